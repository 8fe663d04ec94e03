//! A check of Healthchecks.io, or of a server that is like it (<https://healthchecks.io/docs/http_api/>).
//!
//! ```text
//!   start --> URL/start    success, recovery --> URL    failure --> URL/EXIT-STATUS, or URL/fail if there is none
//! ```
//!
//! Runs of one subject do not overlap, so that no `rid` is needed to tell which start an end belongs to.

use std::time::Duration;

use zeroize::Zeroizing;

use super::http::{self, Method, Request};
use super::message::Message;
use super::receiver::{Receiver, Trouble};
use super::secret::{self, SecretUrl};
use crate::config::{Credentials, Healthchecks, Occasion, WithWarnings};

/// Bytes of a body that are kept there; of what has more the beginning is.
const LONGEST: usize = 100_000;

/// A check.
pub(super) struct Check {
    check: Healthchecks,
    credentials: Credentials,
}

impl Check {
    /// From the configuration. Secrets are read when they are needed.
    pub(super) fn new(check: &Healthchecks, credentials: &Credentials) -> Self {
        Self { check: check.clone(), credentials: credentials.clone() }
    }

    fn url(&self) -> Result<SecretUrl, Trouble> {
        let Healthchecks { url, url_file, server, slug, ping_key_file, .. } = &self.check;
        match (slug, ping_key_file) {
            (Some(slug), Some(file)) => {
                let key = secret::read(file, "the ping key", &self.credentials)?;
                let server = server.trim_end_matches('/');
                SecretUrl::new(Zeroizing::new(format!("{server}/{}/{slug}", http::encoded(&key))))
            }
            _ => SecretUrl::read(url.as_ref(), url_file.as_ref(), &self.credentials),
        }
    }

    /// What follows the check's own URL.
    fn end(&self, message: &Message) -> String {
        let failed = || message.exit_status.filter(|status| *status > 0).map_or_else(|| "/fail".to_owned(), |status| format!("/{status}"));
        match (message.occasion, self.check.warnings) {
            (Occasion::Start, _) => "/start".to_owned(),
            (Occasion::Success | Occasion::Recovery, _) | (Occasion::Warning, WithWarnings::Success) => String::new(),
            (Occasion::Failure, _) | (Occasion::Warning, WithWarnings::Failure) => failed(),
        }
    }
}

impl Receiver for Check {
    fn kind(&self) -> &'static str {
        "healthchecks"
    }

    fn name(&self) -> String {
        match (&self.check.slug, &self.check.url) {
            (Some(slug), _) => format!("check {slug} at {}", secret::server_of(&self.check.server)),
            (None, Some(url)) => format!("check at {}", secret::server_of(url)),
            (None, None) => "check whose url is in a file".to_owned(),
        }
    }

    fn tell(&self, message: &Message, time: Duration) -> Result<(), Trouble> {
        let url = self.url()?;
        let create = if self.check.create { "?create=1" } else { "" };
        let whole = Zeroizing::new(format!("{}{}{create}", url.as_str().trim_end_matches('/'), self.end(message)));
        let text = format!("{}\n\n{}", message.title, message.text(LONGEST.saturating_sub(message.title.len() + 2)));
        let answer = http::ask(&Request { method: Method::Post, url: &whole, headers: Vec::new(), body: &text }, time);
        let answer = answer.map_err(|trouble| trouble.map(|why| url.mask(&why)))?;
        // Of some things it says only there that they went wrong.
        if answer.contains("not found") {
            return Err(Trouble::Lasting(format!("the server says `{}`; is its url, or its slug, right?", url.mask(&http::told(&answer)))));
        }
        if answer.contains("rate limited") {
            return Err(Trouble::Passing(format!("the server says `{}`", url.mask(&http::told(&answer)))));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::http::tests::Server;
    use crate::notify::receiver::tests::message;

    fn check(table: serde_json::Value) -> Check {
        let check = serde_json::from_value(table).unwrap();
        Check::new(&check, &Credentials { directory: None, service: "x".into() })
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn each_occasion_has_an_end_of_its_own() {
        let server = Server::answering(&["200 OK\n\nOK"; 6]);
        let check = check(serde_json::json!({ "url": format!("{}/5b2f1a6e-0000", server.url) }));
        for occasion in Occasion::ALL {
            check.tell(&Message { occasion, ..message() }, MINUTE).unwrap();
        }
        check.tell(&Message { exit_status: Some(226), ..message() }, MINUTE).unwrap();
        let asked = server.asked();
        let lines: Vec<&str> = asked.iter().map(|(line, _)| line.strip_prefix("POST /5b2f1a6e-0000").unwrap()).collect();
        assert_eq!(lines, ["/start", "", "/fail", "/fail", "", "/226"]);
        let text = message().text(3800);
        assert_eq!(asked[3].1, format!("{}\n\n{text}", message().title));
    }

    #[test]
    fn warnings_are_what_the_user_says_and_a_slug_may_be_made() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        std::fs::write(&key, "p1ngKeyp1ngKey\n").unwrap();
        let server = Server::answering(&["200 OK\n\nOK", "201 Created\n\nCreated"]);
        let table = serde_json::json!({
            "server": format!("{}/ping/", server.url), "slug": "rex-state", "pingKeyFile": key, "create": true, "warnings": "success",
        });
        let check = check(table);
        check.tell(&Message { occasion: Occasion::Warning, exit_status: Some(3), ..message() }, MINUTE).unwrap();
        check.tell(&message(), MINUTE).unwrap();
        assert!(check.name().starts_with("check rex-state at 127.0.0.1:"), "{}", check.name());
        let lines: Vec<String> = server.asked().into_iter().map(|(line, _)| line).collect();
        assert_eq!(lines, ["POST /ping/p1ngKeyp1ngKey/rex-state?create=1", "POST /ping/p1ngKeyp1ngKey/rex-state/fail?create=1"]);
    }

    #[test]
    fn a_server_that_says_well_but_means_otherwise_is_not_believed_and_the_url_is_not_shown() {
        let server =
            Server::answering(&["200 OK\n\nOK (not found)", "200 OK\n\nOK (rate limited)", "404 Not Found\n\nno 5b2f1a6e-0000 here"]);
        let check = check(serde_json::json!({ "url": format!("{}/5b2f1a6e-0000", server.url) }));
        let tell = || check.tell(&message(), MINUTE).unwrap_err();
        assert!(matches!(tell(), Trouble::Lasting(why) if why.contains("`OK (not found)`; is its url")));
        assert!(matches!(tell(), Trouble::Passing(why) if why.contains("rate limited")));
        assert_eq!(tell(), Trouble::Lasting("the server answered 404 Not Found: no … here".into()));
        server.asked();
        let gone = check.tell(&message(), MINUTE).unwrap_err().to_string();
        assert!(!gone.contains("5b2f1a6e") && !check.name().contains("5b2f1a6e"), "{gone} {}", check.name());
    }
}
