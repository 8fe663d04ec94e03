//! Any other service that takes requests of HTTP.
//!
//! A body of JSON is not a text with holes but a value in whose texts places are filled in: what is filled in cannot break out of its quotes, and
//! nothing need be escaped by whoever writes the template. In a URL what is filled in is percent-encoded, in a header it loses what is no letter of one.

use std::time::Duration;

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::http::{self, Method, Request};
use super::message::Message;
use super::receiver::{Receiver, Trouble};
use super::secret::{self, SecretUrl};
use crate::config::{Credentials, HttpMethod, Part, Webhook, parts};

/// Bytes of `{text}`, unless the configuration says otherwise.
const LONGEST: u64 = 3800;

/// A service.
pub(super) struct Hook {
    hook: Webhook,
    credentials: Credentials,
}

impl Hook {
    /// From the configuration. Secrets are read when they are needed.
    pub(super) fn new(hook: &Webhook, credentials: &Credentials) -> Self {
        Self { hook: hook.clone(), credentials: credentials.clone() }
    }

    /// All there is to tell, by name.
    fn values(&self, message: &Message) -> Map<String, Value> {
        let longest = self.hook.longest_text.map_or(LONGEST, |most| most.0);
        let mut values = message.values();
        values.insert("text".to_owned(), Value::String(message.text(usize::try_from(longest).unwrap_or(usize::MAX))));
        values
    }

    fn body(&self, values: &Map<String, Value>) -> String {
        match (&self.hook.json, &self.hook.body) {
            (Some(template), _) => filled(template, values).to_string(),
            (None, Some(template)) => text(template, values, str::to_owned),
            (None, None) => Value::Object(values.clone()).to_string(),
        }
    }
}

impl Receiver for Hook {
    fn kind(&self) -> &'static str {
        "webhook"
    }

    fn name(&self) -> String {
        match &self.hook.url {
            Some(url) => format!("webhook at {}", secret::server_of(url)),
            None => "webhook whose url is in a file".to_owned(),
        }
    }

    fn tell(&self, message: &Message, time: Duration) -> Result<(), Trouble> {
        let values = self.values(message);
        let template = match (&self.hook.url, &self.hook.url_file) {
            (None, Some(file)) => secret::read(file, "the url", &self.credentials)?,
            (url, _) => Zeroizing::new(url.clone().unwrap_or_default()),
        };
        let url = SecretUrl::new(Zeroizing::new(text(&template, &values, http::encoded)))?;
        let mut headers: Vec<(&str, Zeroizing<String>)> = Vec::new();
        for (name, template) in &self.hook.headers {
            headers.push((name, Zeroizing::new(text(template, &values, header))));
        }
        for (name, file) in &self.hook.header_files {
            headers.push((name, secret::read(file, &format!("the value of {name}"), &self.credentials)?));
        }
        let names = |wanted: &str| headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted));
        let method = match self.hook.method {
            HttpMethod::Get => Method::Get,
            HttpMethod::Post => Method::Post,
            HttpMethod::Put => Method::Put,
        };
        let kind = if self.hook.body.is_some() { "text/plain; charset=utf-8" } else { "application/json" };
        let mut given: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        if method != Method::Get && !names("content-type") {
            given.push(("Content-Type", kind));
        }
        let body = if method == Method::Get { String::new() } else { self.body(&values) };
        let answer = http::ask(&Request { method, url: url.as_str(), headers: given, body: &body }, time);
        // What is secret of a header may come back in an answer.
        let secrets = self.hook.header_files.keys().filter_map(|file| headers.iter().find(|(name, _)| name == file));
        let secrets: Vec<&str> = secrets.map(|(_, value)| value.as_str()).collect();
        let mask = |why: String| secrets.iter().fold(url.mask(&why), |text, secret| text.replace(secret, "…"));
        answer.map(drop).map_err(|trouble| trouble.map(mask))
    }
}

/// A template with its places filled in; `shape` makes what is put in fit.
fn text(template: &str, values: &Map<String, Value>, shape: fn(&str) -> String) -> String {
    let part = |part| match part {
        Part::Literal(text) => text.to_owned(),
        Part::Place("json") => shape(&Value::Object(values.clone()).to_string()),
        Part::Place(name) => match values.get(name) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => shape(text),
            Some(value) => shape(&value.to_string()),
        },
    };
    parts(template).into_iter().map(part).collect()
}

/// A value of JSON with the places in its texts filled in. A text that is nothing but a place becomes what that stands for.
fn filled(template: &Value, values: &Map<String, Value>) -> Value {
    match template {
        Value::String(template) => match parts(template).as_slice() {
            [Part::Place("json")] => Value::Object(values.clone()),
            [Part::Place(name)] => values.get(*name).cloned().unwrap_or_default(),
            _ => Value::String(text(template, values, str::to_owned)),
        },
        Value::Array(list) => list.iter().map(|template| filled(template, values)).collect(),
        Value::Object(map) => map.iter().map(|(name, template)| (name.clone(), filled(template, values))).collect(),
        other => other.clone(),
    }
}

/// What can stand in a header.
fn header(text: &str) -> String {
    text.chars().map(|letter| if letter.is_ascii_graphic() || letter == ' ' { letter } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::notify::http::tests::Server;
    use crate::notify::receiver::tests::message;

    fn hook(table: Value) -> Hook {
        Hook::new(&serde_json::from_value(table).unwrap(), &Credentials { directory: None, service: "x".into() })
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn everything_is_told_unless_a_template_says_what() {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        std::fs::write(&secret, "Bearer S3cret").unwrap();
        let server = Server::answering(&["200 OK"; 4]);
        let url = format!("{}/hooks/T0kenT0ken", server.url);
        hook(json!({ "url": url })).tell(&message(), MINUTE).unwrap();
        let discord = json!({ "content": "**{title}**\n{text}", "seconds": "{seconds}", "took": "{seconds} s", "all": ["{json}", 1, null, "{{host}}"] });
        let table = json!({ "url": url, "json": discord, "longestText": 200, "headers": { "X-Title": "{title}" }, "headerFiles": { "Authorization": secret } });
        let title = "häuschen: \"x\"\n".to_owned();
        hook(table).tell(&Message { title, ..message() }, MINUTE).unwrap();
        hook(json!({ "url": url, "method": "PUT", "body": "{host} {event} {next}." })).tell(&message(), MINUTE).unwrap();
        hook(json!({ "url": format!("{url}?t={{title}}"), "method": "GET" })).tell(&message(), MINUTE).unwrap();
        let asked = server.asked.join().unwrap();
        let body = |rank: usize| asked[rank].split_once("\r\n\r\n").unwrap().1;
        let json = |rank: usize| serde_json::from_str::<Value>(body(rank)).unwrap();
        assert_eq!(
            (&json(0)["event"], &json(0)["seconds"], &json(0)["text"]),
            (&json!("failure"), &json!(300), &json!(message().text(3800)))
        );
        let second = json(1);
        assert!(second["content"].as_str().unwrap().starts_with("**häuschen: \"x\"\n**\nJob state"), "{second}");
        assert_eq!((&second["seconds"], &second["took"], &second["all"][0]["host"]), (&json!(300), &json!("300 s"), &json!("rex")));
        assert_eq!((&second["all"][1], &second["all"][2], &second["all"][3]), (&json!(1), &Value::Null, &json!("{host}")));
        let head = asked[1].to_lowercase();
        assert!(head.contains("x-title: h?uschen: \"x\"?\r\n") && head.contains("authorization: bearer s3cret\r\n"), "{head}");
        assert!(asked[2].starts_with("PUT ") && body(2) == "rex failure .", "{}", asked[2]);
        assert!(asked[3].starts_with("GET /hooks/T0kenT0ken?t=rex%3A%20backup%20state%20failed HTTP"), "{}", asked[3]);
    }

    #[test]
    fn neither_the_url_nor_a_secret_header_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        std::fs::write(&secret, "S3cretS3cret").unwrap();
        let server =
            Server::answering(&["403 Forbidden\n\nT0kenT0ken and S3cretS3cret are wrong", "302 Found\nLocation: /hooks/T0kenT0ken\n\n"]);
        let table = json!({ "url": format!("{}/hooks/T0kenT0ken", server.url), "headerFiles": { "X-Key": secret } });
        let hook = hook(table);
        assert_eq!(hook.tell(&message(), MINUTE).unwrap_err().to_string(), "the server answered 403 Forbidden: … and … are wrong");
        let moved = hook.tell(&message(), MINUTE).unwrap_err().to_string();
        assert!(moved.contains("it is at …;") && !hook.name().contains("T0ken"), "{moved} {}", hook.name());
        server.asked();
    }

    proptest! {
        #[test]
        fn whatever_is_filled_in_the_body_stays_json(title in "\\PC{0,30}|[\"\\\\{}a-z]{0,30}") {
            let values = Map::from_iter([("title".to_owned(), Value::String(title.clone()))]);
            let filled = filled(&json!({ "a": "<{title}>" }), &values);
            let read: Value = serde_json::from_str(&filled.to_string()).unwrap();
            prop_assert_eq!(read["a"].as_str().unwrap(), format!("<{title}>"));
        }
    }
}
