//! A monitor of Uptime Kuma, of the type `Push`: `URL?status=up|down&msg=TEXT&ping=MILLISECONDS`.
//!
//! It knows up and down only. What takes its time shows there as `ping`, so that its graph is that of the runs' durations.

use std::time::Duration;

use zeroize::Zeroizing;

use super::http::{self, Method, Request};
use super::message::Message;
use super::receiver::{Receiver, Trouble};
use super::secret::{self, SecretUrl};
use crate::config::{Credentials, Occasion, UptimeKuma, WithWarnings};

/// Bytes of a message: Kuma shows it in one line.
const LONGEST: usize = 240;

/// A monitor.
pub(super) struct PushMonitor {
    kuma: UptimeKuma,
    credentials: Credentials,
}

impl PushMonitor {
    /// From the configuration. The URL is read when it is needed.
    pub(super) fn new(kuma: &UptimeKuma, credentials: &Credentials) -> Self {
        Self { kuma: kuma.clone(), credentials: credentials.clone() }
    }

    fn is_up(&self, occasion: Occasion) -> bool {
        match occasion {
            Occasion::Start | Occasion::Success | Occasion::Recovery => true,
            Occasion::Warning => self.kuma.warnings == WithWarnings::Success,
            Occasion::Failure => false,
        }
    }
}

impl Receiver for PushMonitor {
    fn kind(&self) -> &'static str {
        "uptimeKuma"
    }

    fn name(&self) -> String {
        match &self.kuma.url {
            Some(url) => format!("Uptime Kuma at {}", secret::server_of(url)),
            None => "Uptime Kuma whose url is in a file".to_owned(),
        }
    }

    fn tell(&self, message: &Message, time: Duration) -> Result<(), Trouble> {
        let url = SecretUrl::read(self.kuma.url.as_ref(), self.kuma.url_file.as_ref(), &self.credentials)?;
        let base = url.as_str().split(['?', '#']).next().unwrap_or_default();
        let why = message.error.as_ref().map(|error| format!(" {error}")).unwrap_or_default();
        let mut line = format!("{}{why}", message.line());
        line.truncate(line.floor_char_boundary(LONGEST));
        let status = if self.is_up(message.occasion) { "up" } else { "down" };
        let ping = message.duration().map(|time| time.as_millis().to_string()).unwrap_or_default();
        let whole = Zeroizing::new(format!("{base}?status={status}&msg={}&ping={ping}", http::encoded(&line)));
        let answer = http::ask(&Request { method: Method::Get, url: &whole, headers: Vec::new(), body: "" }, time);
        let answer = answer.map_err(|trouble| trouble.map(|why| url.mask(&why)))?;
        #[derive(serde::Deserialize)]
        struct Answer {
            ok: bool,
        }
        // Any web server may answer; only Kuma answers so.
        match serde_json::from_str::<Answer>(&answer) {
            Ok(Answer { ok: true }) => Ok(()),
            _ => Err(Trouble::Lasting(format!("the server answered `{}`, and not that all is well", url.mask(&http::told(&answer))))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::http::tests::Server;
    use crate::notify::receiver::tests::message;

    const MINUTE: Duration = Duration::from_secs(60);
    const FINE: &str = "200 OK\nContent-Type: application/json\n\n{\"ok\":true}";

    fn monitor(server: &Server, warnings: &str) -> PushMonitor {
        let table =
            serde_json::json!({ "url": format!("{}/api/push/T0kenT0ken?status=up&msg=OK&ping=", server.url), "warnings": warnings });
        PushMonitor::new(&serde_json::from_value(table).unwrap(), &Credentials { directory: None, service: "x".into() })
    }

    #[test]
    fn what_failed_is_down_and_what_works_is_up() {
        let server = Server::answering(&[FINE; 5]);
        let (strict, lenient) = (monitor(&server, "failure"), monitor(&server, "success"));
        for (kuma, occasion) in [
            (&strict, Occasion::Success),
            (&strict, Occasion::Failure),
            (&strict, Occasion::Warning),
            (&lenient, Occasion::Warning),
            (&strict, Occasion::Recovery),
        ] {
            kuma.tell(&Message { occasion, ..message() }, MINUTE).unwrap();
        }
        assert!(strict.name().starts_with("Uptime Kuma at 127.0.0.1:") && !strict.name().contains("T0ken"));
        let asked = server.asked();
        let states: Vec<&str> = asked.iter().map(|(line, _)| line.split(['=', '&']).nth(1).unwrap()).collect();
        assert_eq!(states, ["up", "down", "down", "up", "up"]);
        let begin = "GET /api/push/T0kenT0ken?status=down&msg=Job%20state%20on%20host%20rex%20failed.%20no%20route&ping=300000";
        assert_eq!(asked[1].0, begin);
    }

    #[test]
    fn an_answer_that_is_not_kumas_is_no_success() {
        let server = Server::answering(&[
            "200 OK\n\n<html>welcome to T0kenT0ken</html>",
            "200 OK\n\n{\"ok\":false,\"msg\":\"x\"}",
            "404 Not Found\n\n{\"ok\":false,\"msg\":\"Monitor not found or not active.\"}",
        ]);
        let kuma = monitor(&server, "failure");
        let tell = || kuma.tell(&message(), MINUTE).unwrap_err();
        assert!(
            matches!(tell(), Trouble::Lasting(why) if why == "the server answered `<html>welcome to …</html>`, and not that all is well")
        );
        assert!(matches!(tell(), Trouble::Lasting(_)));
        assert!(matches!(tell(), Trouble::Lasting(why) if why.contains("Monitor not found or not active.")));
        server.asked();
    }
}
