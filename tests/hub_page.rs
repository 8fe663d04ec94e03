//! The hub's pages, as a browser gets them, and as Chromium shows them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

#[path = "hub/browser.rs"]
mod browser;
mod hub;
#[path = "hub/raw.rs"]
mod raw;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use browser::Browser;
use hearth_backup::hub::Role;
use hub::Server;
use jiff::{SignedDuration, Timestamp};
use raw::{ask, exchange};
use serde_json::{Value, json};

/// What would be seen if it were anything but text.
const EVIL: &str = "<img src=x onerror=alert(1)><script>document.title='owned'</script>";

fn report(job: &str, hours: i64, outcome: &str) -> Value {
    let started = Timestamp::now() - SignedDuration::from_hours(hours);
    json!({
        "version": 1, "id": &blake3::hash(format!("{job}{hours}").as_bytes()).to_hex()[..32], "program": "0.1.0", "host": "q",
        "kind": "backup", "job": job, "started": started, "ended": started + SignedDuration::from_mins(7), "outcome": outcome,
        "repositories": [{ "name": "offsite", "outcome": outcome, "bytes": 50_000_000_000_u64 + hours.unsigned_abs() * 1_000_000, "files": 120_000,
            "bytes_stored": 40_000_000 + 900_000 * (hours % 7), "copy": { "media": "hdd", "offsite": true } }],
        "log": ["2026-11-20T02:00:00Z info began", "2026-11-20T02:07:00Z info ended"],
        "next": started + SignedDuration::from_hours(24), "next_by": "timer"
    })
}

fn post(server: &Server, repository: &str, token: &str, report: &Value) {
    let body = report.to_string();
    let headers = format!("Authorization: Bearer {token}\r\nContent-Length: {}\r\n", body.len());
    let (status, answer) = ask(&server.base, &format!("POST /v1/{repository}/reports"), &headers, &body);
    assert_eq!(status, 200, "{answer}");
}

/// A host that fares well, one that says hostile things, one that fails with a sentence that has no end, one that is silent, and a new one.
fn fill(server: &Server) {
    let token = server.token("nas", Role::Writer, "nas");
    (0..30).rev().for_each(|day| post(server, "nas", &token, &report("state", 1 + 24 * day, "success")));
    let token = server.token("web", Role::Writer, "web");
    let mut hostile = report(&EVIL[..28], 2, "warnings");
    (hostile["warning_count"], hostile["warnings"]) = (json!(2), json!([EVIL, "\u{202e}txt.exe\u{0}"]));
    (hostile["log"], hostile["repositories"][0]["name"]) = (json!(vec![EVIL; 40]), json!("<b>&amp;\"'"));
    post(server, "web", &token, &hostile);
    let token = server.token("broken-with-a-name-that-is-as-long-as-one-may-be-for-a-host-0123", Role::Writer, "broken");
    let mut failed = report(&"W".repeat(64), 1, "failure");
    failed["error"] = json!("/a/path/without/any/space/".repeat(100));
    failed["log"] = json!(vec!["x".repeat(1000); 20]);
    post(server, "broken", &token, &failed);
    let token = server.token("silent", Role::Writer, "silent");
    post(server, "silent", &token, &report("photos", 100, "success"));
    server.token("new", Role::Writer, "new");
}

fn open_hub() -> Server {
    Server::configured(|settings| settings.open_status = true, |hub| hub)
}

/// The head and the body of an answer.
fn get(server: &Server, request: &str, headers: &str) -> (String, String) {
    let text = format!("{request} HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n{headers}\r\n");
    let answer = String::from_utf8(exchange(&server.base, text.as_bytes(), false)).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_ascii_lowercase(), body.to_owned())
}

fn with_token(token: &str) -> String {
    format!("Authorization: Basic {}\r\n", STANDARD.encode(format!("anybody:{token}")))
}

#[test]
fn a_browser_is_asked_for_a_token_and_every_answer_to_it_is_a_guarded_page() {
    let server = Server::start();
    fill(&server);
    let viewer = with_token(&server.viewer());
    for (request, headers, status, text) in [
        ("GET /", "", "401", "Sign in with a token as the password"),
        ("GET /hosts/nas", "", "401", "Sign in"),
        ("GET /", &with_token("hbt_00000000_AAAA")[..], "401", "does not know this token"),
        ("GET /", &viewer, "200", "in trouble"),
        ("GET /hosts/nas", &viewer, "200", "More runs of state"),
        ("GET /hosts/nas?job=state", &viewer, "200", "Began"),
        ("GET /hosts/new", &viewer, "200", "never reported a run"),
        ("GET /hosts/nas?job=none", &viewer, "404", "no such host"),
        ("GET /hosts/nobody", &viewer, "404", "no such host"),
        ("GET /hosts/..%2f..%2fetc", &viewer, "404", "no such host"),
        ("GET /hosts/nas/x", &viewer, "404", "href=\"../../\""),
        ("GET /hosts/nas?x=1", &viewer, "400", "That did not work"),
        ("POST /", &viewer, "405", "pages know GET"),
        ("DELETE /hosts/nas", &viewer, "405", "pages know GET"),
    ] {
        let (head, body) = get(&server, request, headers);
        assert!(head.starts_with(&format!("http/1.1 {status}")), "{request}: {head}");
        assert!(body.contains(text) && body.starts_with("<!DOCTYPE html>"), "{request}: {text}: {body}");
        for guard in [
            "content-type: text/html; charset=utf-8",
            "content-security-policy: default-src 'none'; style-src 'sha256-",
            "frame-ancestors 'none'",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "cache-control: no-store",
        ] {
            assert!(head.contains(guard), "{request}: {guard}: {head}");
        }
        assert_eq!(head.contains("www-authenticate: basic realm=\"hearth-backup\""), status == "401", "{head}");
        assert_eq!(head.contains("allow: get, head"), status == "405", "{head}");
    }
    let (head, _) = get(&server, "GET /status", "");
    assert!(head.contains("www-authenticate: bearer"), "programs are not asked as people are: {head}");
    let (head, body) = get(&server, "HEAD /", &viewer);
    assert!(head.starts_with("http/1.1 200") && body.is_empty(), "{head}");
    for _ in 0..12 {
        get(&server, "GET /", &with_token("hbt_00000000_AAAA"));
    }
    let (head, body) = get(&server, "GET /", &viewer);
    assert!(head.starts_with("http/1.1 429") && head.contains("retry-after: ") && body.contains("Too many failed logins"), "{head}");
}

#[test]
fn each_token_sees_the_page_of_what_it_may_see() {
    let server = Server::start();
    fill(&server);
    let nas = with_token(&server.token("drills", Role::Reader, "nas"));
    let (_, page) = get(&server, "GET /", &nas);
    assert!(page.contains("The only job is well") && page.contains("href=\"hosts/nas\""), "{page}");
    let body = page.split_once("</style>").unwrap().1;
    for other in ["silent", "web", "broken", "Disk:"] {
        assert!(!body.contains(other), "{other}: {body}");
    }
    let (head, page) = get(&server, "GET /hosts/silent", &nas);
    assert!(head.starts_with("http/1.1 404") && page.contains("no such host"), "{head}");
    assert!(get(&server, "GET /hosts/nas", &nas).1.contains("info ended"), "the end of the log");
}

#[test]
fn a_page_of_another_site_can_use_no_token_that_a_browser_was_given() {
    let server = Server::start();
    let operator = with_token(&server.token("nas", Role::Maintainer, "nas"));
    let body = json!({ "host": "nas", "job": "state" }).to_string();
    let sent = format!("{operator}Content-Length: {}\r\n", body.len());
    for forged in ["Origin: https://evil.example\r\n", "Origin: null\r\n", "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n"] {
        let (status, answer) = ask(&server.base, "POST /backup-trigger", &format!("{sent}{forged}"), &body);
        assert_eq!((status, &answer["error"]), (403, &json!("forbidden")), "{forged}: {answer}");
    }
    assert_eq!(ask(&server.base, "POST /backup-trigger", &sent, &body).0, 200, "a program may");
    let image = "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: image\r\n";
    assert!(get(&server, "GET /v1/nas/orders", &format!("{operator}{image}")).0.starts_with("http/1.1 403"));
}

#[test]
fn an_open_hub_in_which_there_is_nothing_says_what_to_do() {
    let server = open_hub();
    let (head, page) = get(&server, "GET /", "");
    assert!(head.starts_with("http/1.1 200") && page.contains("The first backup") && page.contains("--data DIR"), "{head} {page}");
    assert!(!page.contains(&server.folder.path().display().to_string()), "strangers are not told where it lies");
}

/// How much of the page stands out to the right, in pixels, and which elements do.
const SIDEWAYS: &str = "const wide = document.documentElement.clientWidth;
    const out = [...document.querySelectorAll('body *')].filter(e => !e.closest('thead') && e.getBoundingClientRect().right > wide + 1)
        .map(e => e.tagName + '.' + e.className.baseVal + e.className);
    return [document.documentElement.scrollWidth - wide, out.slice(0, 5)]";

/// Texts whose colour is too near to what is behind them, as WCAG counts (4.5 to 1).
const FAINT: &str = "const parts = text => (text.match(/[\\d.]+/g) || []).map(Number);
    const light = ([r, g, b]) => [r, g, b].map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = e => { for (; e; e = e.parentElement) { const c = parts(getComputedStyle(e).backgroundColor); if (c[3] !== 0) return c; } return [255, 255, 255]; };
    const faint = [];
    for (const e of document.querySelectorAll('body *')) {
        if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) || !e.checkVisibility()) continue;
        const [one, other] = [light(parts(getComputedStyle(e).color)), light(behind(e))].sort((a, b) => b - a);
        if ((one + 0.05) / (other + 0.05) < 4.5) faint.push(e.tagName + ': ' + e.textContent.slice(0, 40));
    }
    return [document.querySelectorAll('body *').length, faint]";

/// What a page must have for those who do not see it, and must not have at all.
const MARKUP: &str = "const wrong = [];
    for (const name of ['header', 'main', 'footer', 'h1']) if (document.querySelectorAll('body ' + name).length !== 1) wrong.push(name);
    for (const s of document.querySelectorAll('svg')) if (!s.hasAttribute('aria-hidden') && !s.getAttribute('aria-label')) wrong.push('svg');
    for (const t of document.querySelectorAll('table')) if (!t.querySelector('th[scope=col]')) wrong.push('table');
    for (const s of document.querySelectorAll('section[aria-labelledby]')) if (!document.getElementById(s.getAttribute('aria-labelledby'))) wrong.push('label');
    for (const bad of document.querySelectorAll('script, img, form, iframe, object, [style], [onerror], main b b')) wrong.push(bad.tagName);
    return wrong";

#[test]
fn in_chromium_every_page_fits_a_phone_is_readable_in_light_and_dark_and_runs_nothing_of_what_hosts_say() {
    let browser = match Browser::start() {
        Ok(browser) => browser,
        Err(why) => return println!("SKIPPED: not tested in a browser: {why}"),
    };
    let (server, empty) = (open_hub(), open_hub());
    fill(&server);
    let long = "broken-with-a-name-that-is-as-long-as-one-may-be-for-a-host-0123";
    let pages = [
        format!("{}/", server.base),
        format!("{}/hosts/nas", server.base),
        format!("{}/hosts/web", server.base),
        format!("{}/hosts/{long}", server.base),
        format!("{}/hosts/nas?job=state", server.base),
        format!("{}/", empty.base),
    ];
    for url in &pages {
        for (width, dark) in [(360, false), (360, true), (768, false), (1160, false), (1280, false), (1280, true)] {
            let at = format!("{url} at {width}, dark: {dark}");
            browser.looks(width, dark);
            browser.open(url);
            browser.run("document.querySelectorAll('details').forEach(d => d.open = true)");
            assert_eq!(browser.run(SIDEWAYS), json!([0, []]), "{at}: it scrolls sideways");
            let faint = browser.run(FAINT);
            assert!(faint[0].as_u64().unwrap() > 10 && faint[1] == json!([]), "{at}: {faint}");
            assert_eq!(browser.run(MARKUP), json!([]), "{at}");
            assert!(browser.run("return document.title").as_str().unwrap().ends_with(" · hearth-backup"), "{at}");
            let ground = browser.run("return getComputedStyle(document.body).backgroundColor");
            assert_eq!(ground == "rgb(20, 23, 26)", dark, "{at}: {ground}");
        }
    }
    assert_eq!(browser.console(), Vec::<String>::new(), "the console has something to say");
    browser.open(&format!("{}/hosts/web", server.base));
    let text = browser.run("return document.querySelector('pre.log').textContent");
    assert!(text.as_str().unwrap().starts_with(EVIL), "the log is shown as it is: {text}");
    browser.run("document.querySelector('header nav a').click()");
    assert_eq!(browser.run("return location.pathname"), "/", "the way back");
    browser.open(&format!("{}/hosts/nobody", server.base));
    assert_eq!(browser.run("return document.querySelector('h1').textContent.trim()"), "Nothing is there");
}

#[test]
fn in_chromium_a_token_as_the_password_lets_in() {
    let browser = match Browser::start() {
        Ok(browser) => browser,
        Err(why) => return println!("SKIPPED: not tested in a browser: {why}"),
    };
    let server = Server::start();
    fill(&server);
    browser.open(&server.base.replace("http://", &format!("http://me:{}@", server.viewer())));
    assert_eq!(browser.run("return document.querySelector('h1').textContent.trim()"), "2 of 4 jobs are in trouble");
    browser.run("document.querySelector('table.jobs a[href=\"hosts/nas\"]').click()");
    assert_eq!(browser.run("return [location.pathname, document.querySelector('h1').textContent.trim()]"), json!(["/hosts/nas", "nas"]));
}
