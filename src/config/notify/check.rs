//! What the types cannot say of receivers.

use super::receivers::{Email, EmailTls, Healthchecks, HttpMethod, Ntfy, UptimeKuma, Webhook};
use super::{Notify, Occasion, template};
use crate::config::secret::SecretFile;

/// The longest name of a topic.
const TOPIC: usize = 64;
/// The shortest and longest time that telling somebody may take, in seconds.
const TIMEOUT: std::ops::RangeInclusive<u64> = 1..=600;
/// Fewest bytes of a text that still say something.
const SHORTEST_TEXT: u64 = 200;
/// Most bytes of a text that is asked for.
const LONGEST_TEXT: u64 = 100_000;

/// What is wrong: the key, and why.
type Wrong = (String, String);

fn wrong<T: Into<String>>(key: &str, why: T) -> Option<Wrong> {
    Some((key.to_owned(), why.into()))
}

/// The key of what has a `notify` that is wrong, and why.
pub(in crate::config) fn check_own(notify: Option<&Notify>) -> Option<Wrong> {
    check(notify?).map(|(key, why)| (format!("notify.{key}"), why))
}

/// The key that is wrong, and why.
fn check(notify: &Notify) -> Option<Wrong> {
    if notify.command.first().is_some_and(String::is_empty) {
        return wrong("command", "must begin with a program");
    }
    if let Some(timeout) = notify.timeout {
        match timeout.0.to_duration() {
            Ok(time) if TIMEOUT.contains(&time.as_secs()) => {}
            Ok(_) => return wrong("timeout", "must be from 1s to 10min"),
            Err(error) => return wrong("timeout", error.to_string()),
        }
    }
    let below = |key: &str, found: Option<Wrong>| found.map(|(inner, why)| (format!("{key}.{inner}"), why));
    below("ntfy", notify.ntfy.as_ref().and_then(check_ntfy))
        .or_else(|| below("healthchecks", notify.healthchecks.as_ref().and_then(check_healthchecks)))
        .or_else(|| below("uptimeKuma", notify.uptime_kuma.as_ref().and_then(check_uptime_kuma)))
        .or_else(|| below("email", notify.email.as_ref().and_then(check_email)))
        .or_else(|| below("webhook", notify.webhook.as_ref().and_then(check_webhook)))
}

/// Why a text is no URL that can be asked.
fn not_a_url(url: &str) -> Option<&'static str> {
    let server = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    if server.is_none_or(|server| server.starts_with('/') || server.is_empty()) {
        return Some("must begin with https:// or http:// and name a server");
    }
    if url.contains(|letter: char| !letter.is_ascii_graphic()) {
        return Some("must have no spaces and no letters besides those of ASCII; write others as %XX");
    }
    None
}

fn check_ntfy(ntfy: &Ntfy) -> Option<Wrong> {
    if let Some(why) = not_a_url(&ntfy.url) {
        return wrong("url", why);
    }
    if ntfy.url.contains('@') {
        return wrong("url", "must not hold a user or password, as urls are shown in messages; put an access token into tokenFile");
    }
    if ntfy.url.contains(['?', '#']) {
        return wrong("url", "must be the address of a server, such as https://ntfy.sh, without `?` and `#`");
    }
    let letters = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
    if ntfy.topic.is_empty() || ntfy.topic.len() > TOPIC || !ntfy.topic.chars().all(letters) {
        return wrong("topic", "must consist of at most 64 letters, digits, `-` and `_`");
    }
    if !(1..=5).contains(&ntfy.priority) {
        return wrong("priority", "must be from 1 to 5");
    }
    if let Some((occasion, _)) = ntfy.priorities.iter().find(|(_, priority)| !(1..=5).contains(*priority)) {
        return wrong(&format!("priorities.{}", occasion.as_str()), "must be from 1 to 5");
    }
    let tag = |tag: &String| !tag.is_empty() && tag.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
    (!ntfy.tags.iter().all(tag)).then(|| ("tags".to_owned(), "must be words without spaces and commas".to_owned()))
}

/// One of two: a URL that is written down, and a file that holds it.
fn one_url(url: Option<&String>, file: Option<&SecretFile>) -> Option<Wrong> {
    match (url, file) {
        (Some(_), Some(_)) => wrong("url", "is given twice; leave out either this or urlFile"),
        (None, None) => wrong("url", "is missing; give it, or urlFile"),
        (Some(url), None) => not_a_url(url).and_then(|why| wrong("url", why)),
        (None, Some(_)) => None,
    }
}

fn check_healthchecks(check: &Healthchecks) -> Option<Wrong> {
    let by_url = check.url.is_some() || check.url_file.is_some();
    match (&check.slug, &check.ping_key_file) {
        (None, None) => {
            if check.create {
                return wrong("create", "is for checks that are known by their slug; leave it out");
            }
            one_url(check.url.as_ref(), check.url_file.as_ref()).map(|(key, why)| {
                let why = if by_url { why } else { format!("{why}, or slug and pingKeyFile") };
                (key, why)
            })
        }
        _ if by_url => wrong("slug", "is needed only where there is no url; leave out either"),
        (Some(_), None) => wrong("pingKeyFile", "is missing; a slug is found only with the project's ping key"),
        (None, Some(_)) => wrong("slug", "is missing; the ping key is that of all checks of the project"),
        (Some(slug), Some(_)) => {
            let letters = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-_".contains(letter);
            if slug.is_empty() || slug.len() > 100 || !slug.chars().all(letters) {
                return wrong("slug", "must consist of small letters, digits, `-` and `_`");
            }
            not_a_url(&check.server).and_then(|why| wrong("server", why))
        }
    }
}

fn check_uptime_kuma(kuma: &UptimeKuma) -> Option<Wrong> {
    if kuma.on.as_ref().is_some_and(|on| on.contains(&Occasion::Start)) {
        return wrong("on", "has `start`, of which Uptime Kuma knows nothing");
    }
    one_url(kuma.url.as_ref(), kuma.url_file.as_ref())
}

fn check_email(email: &Email) -> Option<Wrong> {
    let host = |letter: char| letter.is_ascii_alphanumeric() || "-._:[]".contains(letter);
    if email.server.is_empty() || !email.server.chars().all(host) {
        return wrong("server", "must be the name or address of a mail server, such as mail.example.org; its port is `port`");
    }
    if email.tls == EmailTls::None && !email.allow_plain && !is_this_machine(&email.server) {
        let why = "is \"none\", so that whoever listens on the way reads the text and the password; use \"starttls\" or \"implicit\", or set allowPlain";
        return wrong("tls", why);
    }
    if email.tls == EmailTls::None && email.ca_file.is_some() {
        return wrong("caFile", "is for TLS, and `tls` is \"none\"; leave it out");
    }
    if email.ca_file.as_ref().is_some_and(|file| !file.is_absolute()) {
        return wrong("caFile", "must be an absolute path; services run in no particular directory");
    }
    match (&email.user, &email.password_file) {
        (Some(_), None) => return wrong("passwordFile", "is missing; `user` needs it"),
        (None, Some(_)) => return wrong("user", "is missing; `passwordFile` is of no use without"),
        _ => {}
    }
    if email.to.is_empty() {
        return wrong("to", "names nobody");
    }
    if let Some(rank) = email.to.iter().position(|address| !is_address(address)) {
        return wrong(&format!("to[{rank}]"), "must be an address such as me@example.org");
    }
    (!is_address(&email.from)).then(|| ("from".to_owned(), "must be an address such as backup@example.org".to_owned()))
}

/// Whether a server is this machine.
fn is_this_machine(server: &str) -> bool {
    let address = server.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    server == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// Roughly; whoever sends it looks closer.
fn is_address(text: &str) -> bool {
    let address = text.trim_end().strip_suffix('>').and_then(|text| Some(text.rsplit_once('<')?.1)).unwrap_or(text);
    let parts = address.rsplit_once('@');
    let fine = |part: &str| !part.is_empty() && !part.contains(|letter: char| letter.is_control() || letter.is_whitespace());
    !text.contains(char::is_control) && parts.is_some_and(|(who, place)| fine(who) && fine(place))
}

fn check_webhook(hook: &Webhook) -> Option<Wrong> {
    let plain: String = hook
        .url
        .iter()
        .flat_map(|url| template::parts(url))
        .map(|part| if let template::Part::Literal(text) = part { text } else { "x" })
        .collect();
    if let Some(found) = one_url(hook.url.as_ref().map(|_| &plain), hook.url_file.as_ref()) {
        return Some(found);
    }
    if hook.json.is_some() && hook.body.is_some() {
        return wrong("body", "is given twice; leave out either this or json");
    }
    if hook.method == HttpMethod::Get && (hook.json.is_some() || hook.body.is_some()) {
        return wrong("method", "is GET, which has no body; use POST, or put what is to be told into the url");
    }
    let token = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if let Some(name) = hook.headers.keys().chain(hook.header_files.keys()).find(|name| !token(name)) {
        return wrong(&format!("headers.{name}"), "is no name of a header");
    }
    if let Some(name) = hook.headers.keys().find(|name| hook.header_files.contains_key(*name)) {
        return wrong(&format!("headers.{name}"), "stands in headerFiles as well");
    }
    if hook.longest_text.is_some_and(|most| !(SHORTEST_TEXT..=LONGEST_TEXT).contains(&most.0)) {
        return wrong("longestText", format!("must be from {SHORTEST_TEXT} to {LONGEST_TEXT} bytes"));
    }
    let texts = hook.url.iter().map(|text| ("url".to_owned(), text.as_str()));
    let texts = texts.chain(hook.headers.iter().map(|(name, text)| (format!("headers.{name}"), text.as_str())));
    let texts = texts.chain(hook.body.iter().map(|text| ("body".to_owned(), text.as_str())));
    let mut texts: Vec<(String, &str)> = texts.collect();
    if let Some(json) = &hook.json {
        texts_of("json", json, &mut texts);
    }
    texts.into_iter().find_map(|(key, text)| {
        let name = template::unknown(text)?;
        let advice = crate::config::error::advice(name, template::PLACEHOLDERS.iter().copied(), "there are");
        wrong(&key, format!("has {{{name}}}, which stands for nothing{advice}"))
    })
}

/// All texts in a value of JSON, with where they stand.
fn texts_of<'a>(key: &str, value: &'a serde_json::Value, found: &mut Vec<(String, &'a str)>) {
    use serde_json::Value;
    match value {
        Value::String(text) => found.push((key.to_owned(), text)),
        Value::Array(values) => values.iter().enumerate().for_each(|(rank, value)| texts_of(&format!("{key}[{rank}]"), value, found)),
        Value::Object(values) => values.iter().for_each(|(name, value)| texts_of(&format!("{key}.{name}"), value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests;
