//! How everything fares, as a hub tells it: to people, to programs, to Prometheus, and to each only what it may see.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod cli_common;
#[path = "hub/cluster.rs"]
mod cluster;
mod hub;
#[path = "hub/raw.rs"]
mod raw;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cli_common::expect;
use cluster::Cluster;
use hearth_backup::config;
use hearth_backup::hub::Role;
use hearth_backup::hub::upkeep::{Outcome, Record, Step, Turn, Verified};
use hub::Server;
use jiff::{SignedDuration, Timestamp};
use raw::ask;
use serde_json::{Value, json};

/// A report of a run that began so many hours ago and took a minute; the next one is due a day after it.
fn report(job: &str, hours: i64, outcome: &str) -> Value {
    let started = Timestamp::now() - SignedDuration::from_hours(hours);
    json!({
        "version": 1, "id": &blake3::hash(format!("{job}{hours}").as_bytes()).to_hex()[..32], "program": "0.1.0", "host": "q",
        "kind": "backup", "job": job, "started": started, "ended": started + SignedDuration::from_mins(1), "outcome": outcome,
        "error": (outcome == "failure").then_some("disk on fire"),
        "repositories": [{ "name": "hub", "outcome": outcome, "bytes": 4096, "files": 2, "bytes_stored": 1024 }],
        "next": started + SignedDuration::from_hours(24), "next_by": "timer"
    })
}

fn post(server: &Server, repository: &str, token: &str, report: &Value) {
    let body = report.to_string();
    let headers = format!("Authorization: Bearer {token}\r\nContent-Length: {}\r\n", body.len());
    let (status, answer) = ask(&server.base, &format!("POST /v1/{repository}/reports"), &headers, &body);
    assert_eq!(status, 200, "{answer}");
}

fn get(server: &Server, path: &str, token: &str) -> (u16, Value) {
    ask(&server.base, &format!("GET {path}"), &format!("Authorization: Bearer {token}\r\n"), "")
}

fn states(status: &Value) -> Vec<(&str, &str, &str)> {
    let text = |job: &'_ Value, name: &str| job[name].as_str().unwrap_or_default().to_owned().leak() as &str;
    status["jobs"].as_array().unwrap().iter().map(|job| (text(job, "host"), text(job, "job"), text(job, "state"))).collect()
}

/// A hub with a host that fares well, one that is silent, one that fails, and one that never said anything.
fn village() -> Server {
    let server = Server::start();
    for (host, hours, outcome) in [("good", 1, "success"), ("silent", 40, "success"), ("broken", 1, "failure")] {
        let token = server.token(host, Role::Writer, host);
        if outcome == "failure" {
            post(&server, host, &token, &report("state", 25, "success"));
        }
        post(&server, host, &token, &report("state", hours, outcome));
    }
    server.token("new", Role::Writer, "new");
    server
}

#[test]
fn a_viewer_sees_who_is_silent_who_fails_and_who_never_said_anything() {
    let server = village();
    let (code, status) = get(&server, "/status", &server.viewer());
    assert_eq!(code, 200, "{status}");
    let expected = [("broken", "state", "failing"), ("silent", "state", "late"), ("new", "", "never"), ("good", "state", "ok")];
    assert_eq!(states(&status), expected);
    let broken = &status["jobs"][0];
    assert_eq!(
        (&broken["last_run"]["error"], &broken["failures"], &broken["trend"].as_array().unwrap().len()),
        (&json!("disk on fire"), &json!(1), &2)
    );
    assert!(broken["age"].as_u64().unwrap() >= 24 * 3600 && broken["repositories"][0]["last_success"].is_string());
    assert!(status["jobs"][1]["late_since"].is_string() && status["disk"]["size"].as_u64().unwrap() > 0);
    let warnings = status["warnings"].as_array().unwrap();
    assert_eq!((&warnings[0]["severity"], &warnings[0]["host"]), (&json!("error"), &json!("broken")));
    assert!(warnings[0]["text"].as_str().unwrap().contains("failure: disk on fire; the last success was 24 hours ago"), "{warnings:?}");
    let names: Vec<_> = status["repositories"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["broken", "good", "new", "silent"]);
}

#[test]
fn status_is_a_table_for_people_and_ends_with_1_while_something_is_wrong() {
    let server = village();
    let bench = cli_common::Bench::new();
    bench.write("viewer.token", server.viewer().as_bytes());
    bench.write("good.token", server.token("good", Role::Writer, "good").as_bytes());
    let status = ["status", "--hub", &server.base, "--token-file", "viewer.token"];
    let (text, _) = bench.ends(&status, 1);
    for expected in
        ["HOST", "silent", "late since", "failing", "24 hours ago", "4.0 KiB", "error: broken/state: the last run ended with failure"]
    {
        assert!(text.contains(expected), "{expected}:\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "no colours where no terminal is");
    let json = bench.json_ends(&status, 1);
    assert_eq!(json["jobs"].as_array().unwrap().len(), 4);
    let (text, _) = bench.ends(&["status", "--hub", &server.base, "--token-file", "good.token"], 0);
    assert!(text.contains("good") && !text.contains("silent") && !text.contains("broken"), "{text}");
    let error = bench.fails(&["status", "--hub", &server.base], 1);
    assert!(error.contains("--token-file"), "{error}");
    let error = bench.fails(&["status", "--hub", "hub.example"], 1);
    assert!(error.contains("names no hub; write https://HOST"), "{error}");
}

#[test]
fn a_token_for_a_repository_shows_nothing_of_others() {
    let server = village();
    let others = ["silent", "broken", "new"];
    for role in [Role::Writer, Role::Reader, Role::Maintainer] {
        let token = server.token("good", role, "good");
        for path in ["/status", "/backup-status", "/backup-status?host=silent", "/backup-list", "/v1/good/reports"] {
            let (code, answer) = get(&server, path, &token);
            assert_eq!(code, 200, "{path}: {answer}");
            let text = answer.to_string();
            assert!(!others.iter().any(|other| text.contains(&format!("\"{other}\""))), "{path}: {text}");
        }
        let (_, status) = get(&server, "/status", &token);
        assert!(status["disk"].is_null() && status["jobs"][0]["host"] == "good", "{status}");
        for path in ["/backup-list?host=silent", "/backup-list?repository=silent", "/backup-list?host=nobody"] {
            assert_eq!(get(&server, path, &token).0, 404, "{path}");
        }
    }
}

#[test]
fn a_repository_that_cannot_be_read_is_told_and_hides_none_of_the_others() {
    let server = village();
    std::fs::write(server.path("new").join("packs"), b"no folder").unwrap();
    let (code, status) = get(&server, "/status", &server.viewer());
    assert_eq!((code, status["repositories"].as_array().unwrap().len()), (200, 3), "{status}");
    let first = &status["warnings"][0];
    assert_eq!((&first["severity"], &first["repository"]), (&json!("error"), &json!("new")));
    assert!(first["text"].as_str().unwrap().starts_with("it cannot be read"), "{first}");
}

#[test]
fn a_host_that_reports_through_another_repository_is_not_called_silent() {
    let server = village();
    let token = server.token("good", Role::Writer, "media");
    let (_, status) = get(&server, "/status", &token);
    assert_eq!(states(&status), []);
    assert_eq!(status["repositories"][0]["hosts"], json!(["good"]));
}

#[test]
fn nothing_is_shown_without_a_token_unless_the_hub_is_open() {
    let server = village();
    for path in ["/status", "/metrics", "/backup-status", "/backup-list"] {
        assert_eq!(ask(&server.base, &format!("GET {path}"), "", "").0, 401, "{path}");
        assert_eq!(get(&server, path, "hbt_00000000_AAAA").0, 401, "{path}");
        assert_eq!(
            ask(&server.base, &format!("POST {path}"), &format!("Authorization: Bearer {}\r\n", server.viewer()), "").0,
            405,
            "{path}"
        );
    }
    let basic = STANDARD.encode(format!("anybody:{}", server.viewer()));
    assert_eq!(ask(&server.base, "GET /status", &format!("Authorization: Basic {basic}\r\n"), "").0, 200);
    let open = Server::configured(|settings| settings.open_status = true, |hub| hub);
    open.token("nas", Role::Writer, "nas");
    assert_eq!(states(&ask(&open.base, "GET /status", "", "").1), [("nas", "", "never")]);
    assert_eq!(ask(&open.base, "GET /v1/nas", "", "").0, 401, "repositories are not open");
}

/// The text at `/metrics`.
fn metrics(server: &Server) -> String {
    let request = format!("GET /metrics HTTP/1.1\r\nHost: hub\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\r\n", server.viewer());
    let answer = String::from_utf8(raw::exchange(&server.base, request.as_bytes(), false)).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    body.to_owned()
}

#[test]
fn metrics_are_what_prometheus_reads() {
    let server = village();
    let text = metrics(&server);
    let mut described = BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            assert!(described.insert(rest.split_once(' ').unwrap().0.to_owned()), "twice: {line}");
        } else if !line.starts_with('#') {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(described.contains(name.split('{').next().unwrap()) && value.parse::<f64>().is_ok(), "{line}");
        }
    }
    for line in [
        "hearth_backup_late{host=\"silent\",job=\"state\"} 1",
        "hearth_backup_late{host=\"good\",job=\"state\"} 0",
        "hearth_backup_last_run_success{host=\"broken\",job=\"state\"} 0",
        "hearth_backup_source_bytes{host=\"good\",job=\"state\",repository=\"hub\"} 4096",
        "hearth_backup_state{host=\"broken\",job=\"state\",state=\"failing\"} 1",
        "hearth_backup_repository_snapshots{repository=\"good\"} 0",
    ] {
        assert!(text.contains(&format!("{line}\n")), "{line}:\n{text}");
    }
    let time = |host: &str| -> i64 {
        let begin = format!("hearth_backup_last_success_timestamp_seconds{{host=\"{host}\",job=\"state\",repository=\"hub\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&begin)).unwrap().parse().unwrap()
    };
    assert!((time("good") - Timestamp::now().as_second()).abs() < 2 * 3600 && time("broken") < time("good") - 20 * 3600);
}

#[test]
fn promtool_finds_nothing_wrong_with_the_metrics() {
    let mut promtool = match Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
    {
        Ok(promtool) => promtool,
        Err(error) => return println!("not tested: promtool, of Debian's `prometheus`, is not there ({error})"),
    };
    promtool.stdin.take().unwrap().write_all(metrics(&village()).as_bytes()).unwrap();
    let (out, error) = expect(promtool.wait_with_output().unwrap(), 0, "promtool check metrics");
    assert_eq!((out.as_str(), error.as_str()), ("", ""));
}

#[test]
fn programs_ask_for_a_job_and_get_a_short_answer() {
    let server = village();
    let viewer = server.viewer();
    let (_, answer) = get(&server, "/backup-status?host=silent&job=state", &viewer);
    assert_eq!((&answer["healthy"], &answer["jobs"][0]["state"]), (&json!(false), &json!("late")));
    assert_eq!(answer["jobs"][0]["summary"], "backup state of silent: late, last succeeded 39 hours ago");
    assert_eq!(get(&server, "/backup-status?host=good", &viewer).1["healthy"], true);
    for (path, code) in
        [("/backup-status?hosts=good", 400), ("/backup-list", 400), ("/backup-list?host=good&limit=x", 400), ("/backup-status/x", 404)]
    {
        assert_eq!(get(&server, path, &viewer).0, code, "{path}");
    }
}

#[test]
fn snapshots_are_listed_by_what_envelopes_show_and_only_whole_ones_count() {
    let cluster = Cluster::new();
    cluster.backs_up();
    cluster.bench.write("source/more", b"more");
    let newest = cluster.backs_up()["snapshot"].as_str().unwrap().to_owned();
    let server = &cluster.server;
    cluster.bench.write("viewer.token", server.viewer().as_bytes());
    let (_, list) = get(server, "/backup-list?host=nas", &server.viewer());
    assert_eq!((&list["repository"], &list["count"], &list["snapshots"][0]["id"]), (&json!("nas"), &json!(2), &json!(newest)));
    assert_eq!((&list["snapshots"][0]["counts"], &list["snapshots"][0]["pinned"]), (&json!(true), &json!(false)));
    let text = cluster.bench.ok(&["backup-list", "--hub", &server.base, "nas", "--token-file", "viewer.token"]);
    assert!(text.contains(&newest[..8]) && text.lines().count() == 3, "{text}");
    let text = cluster.bench.ok(&["backup-list", "--hub", &server.base, "--limit", "1", "--token-file", "writer.token"]);
    assert!(text.contains("1 older ones are not shown"), "{text}");
    let repository = |status: Value| status["repositories"][0].clone();
    let before = repository(get(server, "/status", &server.viewer()).1);
    assert_eq!((&before["snapshots"], &before["newest_snapshot"], &before["hosts"]), (&json!(2), &json!(newest), &json!(["nas"])));
    assert!(before["used"]["bytes"].as_u64().unwrap() > 0 && before["id"].is_string());
    std::fs::remove_file(server.path("nas").join("commits").join(&newest)).unwrap();
    let after = repository(get(server, "/status", &server.viewer()).1);
    assert_eq!((&after["snapshots"], &after["uncounted"]), (&json!(1), &json!(1)), "a change is seen at once");
}

#[test]
fn what_housekeeping_did_is_shown_and_its_mirrors_are_copies_once_they_have_something() {
    let mirror = json!({ "url": "/mnt/{repository}", "media": "usb", "offsite": true });
    let add = |settings: &mut config::Hub| drop(settings.mirrors.insert("friend".into(), serde_json::from_value(mirror.clone()).unwrap()));
    let server = Server::configured(add, |hub| hub);
    server.token("nas", Role::Writer, "nas");
    let repository = || get(&server, "/status", &server.viewer()).1["repositories"][0].clone();
    let never = json!([{ "name": "friend", "media": "usb", "offsite": true }]);
    assert_eq!(repository()["upkeep"]["mirrors"], never, "it shall be made, and was not yet");
    let time: Timestamp = "2026-11-20T02:00:00Z".parse().unwrap();
    let mut record = Record::default();
    (record.verify.outcome, record.verify.done_at) = (Outcome::Good, Some(time));
    record.verify.done = Some(Verified { turn: Turn { next: 0, parts: vec![(time, 1.0)] }, ..Verified::default() });
    (record.prune.outcome, record.prune.messages) = (Outcome::Failed, vec!["disk on fire".into()]);
    record.mirrors.insert("friend".into(), Step { outcome: Outcome::Problems, done_at: Some(time), ..Step::default() });
    record.mirrors.insert("gone".into(), Step { done_at: Some(time), ..Step::default() });
    record.write(server.folder.path(), "nas").unwrap();
    let repository = repository();
    let upkeep = &repository["upkeep"];
    assert_eq!(
        (&upkeep["verified"], &upkeep["read_in_full"], &upkeep["problems"]),
        (&json!(time), &json!(time), &json!(["prune: disk on fire"]))
    );
    assert_eq!((upkeep["mirrors"].as_array().unwrap().len(), &upkeep["mirrors"][0]["error"]), (1, &json!("it failed")));
    let copies = &repository["copies"];
    assert_eq!((&copies["count"], &copies["offsite"], &copies["list"][1]["media"]), (&json!(2), &json!(true), &json!("usb")), "{copies}");
    let text = metrics(&server);
    for line in [
        "hearth_backup_repository_verify_timestamp_seconds{repository=\"nas\"} 1795140000",
        "hearth_backup_mirror_last_success_timestamp_seconds{repository=\"nas\",mirror=\"friend\"} 1795140000",
        "hearth_backup_mirror_success{repository=\"nas\",mirror=\"friend\"} 0",
        "hearth_backup_repository_upkeep_problems{repository=\"nas\"} 1",
    ] {
        assert!(text.contains(&format!("{line}\n")), "{line}:\n{text}");
    }
}

#[test]
fn a_job_with_three_copies_on_two_media_one_elsewhere_has_enough() {
    let cluster = Cluster::new();
    let bench = &cluster.bench;
    bench.ok(&["init", "--repo", "disk", "--writer-key", "d.key", "--restore-key", "dr.key"]);
    let config = json!({
        "repositories": {
            "hub": {
                "url": format!("{}/nas", cluster.server.base), "writerKey": bench.path("w.key"), "token": bench.path("writer.token"),
                "copy": { "media": "hdd", "offsite": true }
            },
            "disk": { "url": bench.path("disk"), "writerKey": bench.path("d.key"), "copy": { "media": "disk" } },
        },
        "jobs": { "state": { "paths": [bench.source()], "repositories": ["hub", "disk"] } }
    });
    bench.write("config.json", config.to_string().as_bytes());
    bench.ok(&["run", "state", "--config", "config.json"]);
    let (_, status) = get(&cluster.server, "/status", &cluster.server.viewer());
    let copies = &status["jobs"][0]["copies"];
    assert_eq!(
        (&copies["count"], &copies["media"], &copies["offsite"], &copies["enough"]),
        (&json!(3), &json!(2), &json!(true), &json!(true))
    );
    assert_eq!((&copies["list"][0]["place"], &copies["list"][1]["name"]), (&json!("hub"), &json!("nas/disk")));
    assert_eq!(&status["repositories"][0]["copies"], copies);
}
