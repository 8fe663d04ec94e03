use serde_json::{Value, json};

use super::*;
use crate::config::{Config, Format, WithWarnings};

/// A configuration whose only word is `notify`.
fn with(notify: &Value) -> Result<Notify, String> {
    let text = json!({ "notify": notify }).to_string();
    Config::parse(&text, Format::Json, "x").map(|config| config.notify.unwrap()).map_err(|error| error.to_string())
}

fn refused(notify: &Value, expected: &str) {
    let error = with(notify).unwrap_err();
    assert!(error.contains(expected), "{notify}: {error}");
}

/// A receiver with more keys, or others.
fn changed(kind: &str, base: &Value, change: &Value) -> Value {
    let mut table = base.clone();
    for (key, value) in change.as_object().unwrap() {
        table[key] = value.clone();
    }
    table.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    json!({ kind: table })
}

#[test]
fn a_table_without_receivers_tells_nobody_and_people_hear_of_what_matters() {
    let notify = with(&json!({})).unwrap();
    assert_eq!(notify, Notify::default());
    assert_eq!(notify.occasions(), [Occasion::Warning, Occasion::Failure, Occasion::Recovery]);
    assert_eq!(with(&json!({ "on": ["start"] })).unwrap().occasions(), [Occasion::Start]);
    refused(&json!({ "on": ["fail"] }), "notify.on[0]: unknown value `fail`; did you mean `failure`?");
    refused(&json!({ "ntfi": {} }), "notify.ntfi: unknown key `ntfi`; did you mean `ntfy`?");
    refused(&json!({ "command": [""] }), "notify.command: must begin with a program");
    refused(&json!({ "timeout": "1h" }), "notify.timeout: must be from 1s to 10min");
    refused(&json!({ "timeout": "1m" }), "notify.timeout: `1m`");
}

#[test]
fn jobs_mirrors_repositories_and_the_hub_have_receivers_of_their_own_that_are_checked_too() {
    let wrong = json!({ "command": [""] });
    let repository = json!({ "url": "/r", "writerKey": "/k" });
    let config = |change: fn(&mut Value, Value)| {
        let mut config = json!({
            "repositories": { "r": repository, "s": { "url": "/s" } },
            "jobs": { "state": { "paths": ["/x"], "repositories": ["r"] } },
            "mirrors": { "usb": { "from": "r", "to": "s" } },
            "hub": { "dataDir": "/h" },
        });
        change(&mut config, wrong.clone());
        Config::parse(&config.to_string(), Format::Json, "x").unwrap_err().to_string()
    };
    for (key, change) in [
        ("jobs.state", (|config, wrong| config["jobs"]["state"]["notify"] = wrong) as fn(&mut Value, Value)),
        ("mirrors.usb", |config, wrong| config["mirrors"]["usb"]["notify"] = wrong),
        ("repositories.s", |config, wrong| config["repositories"]["s"]["notify"] = wrong),
        ("hub", |config, wrong| config["hub"]["notify"] = wrong),
    ] {
        let error = config(change);
        assert!(error.contains(&format!("{key}.notify.command: must begin with a program")), "{error}");
    }
}

#[test]
fn a_topic_has_a_server_a_name_and_priorities() {
    let base = json!({ "url": "https://ntfy.sh", "topic": "rex" });
    let ntfy = |change: Value| changed("ntfy", &base, &change);
    let good = with(&ntfy(json!({ "tokenFile": "credential:ntfy", "priority": 5, "priorities": { "success": 1 } }))).unwrap().ntfy.unwrap();
    assert_eq!(good.token_file.as_ref().unwrap().to_string(), "credential:ntfy");
    assert_eq!(Occasion::ALL.map(|occasion| good.priority_of(occasion)), [2, 1, 3, 5, 3]);
    assert_eq!(with(&ntfy(json!({}))).unwrap().ntfy.unwrap().priority_of(Occasion::Failure), 4);
    for (change, expected) in [
        (json!({ "url": null }), "notify.ntfy: missing field `url`"),
        (json!({ "url": "ntfy.sh" }), "notify.ntfy.url: must begin with https://"),
        (json!({ "url": "https:///x" }), "ntfy.url: must begin with https:// or http:// and name a server"),
        (json!({ "url": "https://me:pw@ntfy.sh" }), "ntfy.url: must not hold a user or password"),
        (json!({ "url": "https://ntfy.sh/?a" }), "ntfy.url: must be the address of a server"),
        (json!({ "url": "https://ntfy.sh/ x" }), "ntfy.url: must have no spaces"),
        (json!({ "topic": "a/b" }), "ntfy.topic: must consist of at most 64 letters"),
        (json!({ "topic": "" }), "ntfy.topic: must consist of"),
        (json!({ "priority": 6 }), "ntfy.priority: must be from 1 to 5"),
        (json!({ "priorities": { "start": 0 } }), "ntfy.priorities.start: must be from 1 to 5"),
        (json!({ "tags": ["a,b"] }), "ntfy.tags: must be words"),
        (json!({ "tokenFile": "token" }), "notify.ntfy.tokenFile: must be an absolute path"),
    ] {
        refused(&ntfy(change), expected);
    }
}

#[test]
fn a_check_is_known_by_its_url_or_by_its_slug() {
    let check = |table: Value| json!({ "healthchecks": table });
    let good = with(&check(json!({ "url": "https://hc-ping.com/x" }))).unwrap().healthchecks.unwrap();
    assert_eq!((good.warnings, good.on), (WithWarnings::Failure, None));
    let slug = with(&check(json!({ "slug": "rex-state", "pingKeyFile": "/k", "create": true }))).unwrap().healthchecks.unwrap();
    assert_eq!(slug.server, "https://hc-ping.com");
    for (table, expected) in [
        (json!({}), "healthchecks.url: is missing; give it, or urlFile, or slug and pingKeyFile"),
        (json!({ "url": "https://a", "urlFile": "/f" }), "healthchecks.url: is given twice"),
        (json!({ "url": "a" }), "healthchecks.url: must begin with https://"),
        (json!({ "url": "https://a", "slug": "b" }), "healthchecks.slug: is needed only where there is no url"),
        (json!({ "slug": "b" }), "healthchecks.pingKeyFile: is missing"),
        (json!({ "pingKeyFile": "/k" }), "healthchecks.slug: is missing"),
        (json!({ "slug": "B", "pingKeyFile": "/k" }), "healthchecks.slug: must consist of small letters"),
        (json!({ "slug": "b", "pingKeyFile": "/k", "server": "x" }), "healthchecks.server: must begin with"),
        (json!({ "urlFile": "/f", "create": true }), "healthchecks.create: is for checks that are known by their slug"),
    ] {
        refused(&check(table), expected);
    }
    refused(&json!({ "uptimeKuma": {} }), "uptimeKuma.url: is missing; give it, or urlFile");
    refused(&json!({ "uptimeKuma": { "urlFile": "/f", "on": ["start"] } }), "uptimeKuma.on: has `start`");
}

#[test]
fn mail_is_protected_unless_it_stays_on_this_machine() {
    let base = json!({ "server": "mail.example.org", "from": "Backups <b@example.org>", "to": ["me@example.org"] });
    let email = |change: Value| changed("email", &base, &change);
    let good = with(&email(json!({}))).unwrap().email.unwrap();
    assert_eq!((good.tls, good.tls.port()), (EmailTls::Starttls, 587));
    for server in ["localhost", "127.0.0.1", "[::1]"] {
        with(&email(json!({ "server": server, "tls": "none" }))).unwrap();
    }
    with(&email(json!({ "tls": "none", "allowPlain": true }))).unwrap();
    for (change, expected) in [
        (json!({ "tls": "none" }), "email.tls: is \"none\", so that whoever listens"),
        (json!({ "tls": "ssl" }), "email.tls: unknown value `ssl`"),
        (json!({ "server": "smtp://x" }), "email.server: must be the name or address"),
        (json!({ "user": "me" }), "email.passwordFile: is missing"),
        (json!({ "passwordFile": "/p" }), "email.user: is missing"),
        (json!({ "to": [] }), "email.to: names nobody"),
        (json!({ "to": ["a@b.c", "me"] }), "email.to[1]: must be an address"),
        (json!({ "from": "a@b.c\r\nBcc: d@e.f" }), "email.from: must be an address"),
        (json!({ "caFile": "ca.pem" }), "email.caFile: must be an absolute path"),
    ] {
        refused(&email(change), expected);
    }
}

#[test]
fn a_webhook_has_one_body_and_places_that_stand_for_something() {
    let base = json!({ "url": "https://x.example/{host}" });
    let hook = |change: Value| changed("webhook", &base, &change);
    with(&hook(json!({ "json": { "a": [{ "b": "{title}: {text}" }, 1, null] }, "headers": { "X-Job": "{name}" } }))).unwrap();
    for (change, expected) in [
        (json!({ "url": "https://x.example/{hots}" }), "webhook.url: has {hots}, which stands for nothing; did you mean `host`?"),
        (
            json!({ "json": { "a": [{ "b": "{titel}" }] } }),
            "webhook.json.a[0].b: has {titel}, which stands for nothing; did you mean `title`?",
        ),
        (json!({ "body": "{x}" }), "webhook.body: has {x}"),
        (json!({ "headers": { "X": "{x}" } }), "webhook.headers.X: has {x}"),
        (json!({ "headers": { "X:": "1" } }), "webhook.headers.X:: is no name of a header"),
        (json!({ "headers": { "X": "1" }, "headerFiles": { "X": "/x" } }), "webhook.headers.X: stands in headerFiles as well"),
        (json!({ "json": 1, "body": "" }), "webhook.body: is given twice"),
        (json!({ "method": "GET", "body": "" }), "webhook.method: is GET, which has no body"),
        (json!({ "method": "PATCH" }), "webhook.method: unknown value `PATCH`"),
        (json!({ "longestText": 10 }), "webhook.longestText: must be from 200 to 100000 bytes"),
    ] {
        refused(&hook(change), expected);
    }
}

#[test]
fn the_examples_in_the_documentation_are_right() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/notifications.md")).unwrap();
    let blocks = |kind: &str| -> Vec<String> {
        let fence = format!("```{kind}\n");
        let blocks = text.split(fence.as_str()).skip(1);
        blocks.map(|block| block.split("```").next().unwrap().to_owned()).collect()
    };
    let (tables, documents) = (blocks("toml"), blocks("json"));
    assert!(tables.len() > 6 && documents.len() > 1);
    for table in tables {
        // What a job must have besides.
        let rest = "\n[repositories.disk]\nurl = \"/d\"\nwriterKey = \"/k\"\n[jobs.state]\npaths = [\"/x\"]\nrepositories = [\"disk\"]\n";
        let config = Config::parse(&(table + rest), Format::Toml, "docs/notifications.md").unwrap();
        assert!(config.notify.is_some() || config.jobs["state"].notify.is_some());
    }
    for document in documents {
        assert!(Config::parse(&document, Format::Json, "docs/notifications.md").unwrap().notify.is_some());
    }
    let listed = template::PLACEHOLDERS.iter().filter(|name| !text.contains(&format!("`{{{name}}}`")));
    assert_eq!(listed.collect::<Vec<_>>(), Vec::<&&str>::new(), "every place is documented");
}
