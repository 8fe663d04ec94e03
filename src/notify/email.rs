//! People, by e-mail: SMTP (RFC 5321), with TLS at once (RFC 8314) or after STARTTLS (RFC 3207), which is not skipped if the server does not offer it.

use std::error::Error as _;
use std::time::Duration;

use lettre::address::Envelope;
use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, SinglePart};
use lettre::transport::smtp::authentication::{Credentials as Login, Mechanism};
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::{Error, SmtpTransport};
use lettre::{Message as Mail, Transport as _};

use super::http;
use super::message::Message;
use super::receiver::{Receiver, Trouble};
use super::secret;
use crate::config::{Credentials, Email, EmailTls, Occasion};

/// Bytes of a text.
const LONGEST: usize = 100_000;
/// How a certificate begins.
const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
/// Largest file of certificates.
const LARGEST: u64 = 1 << 20;

/// People who are written to.
pub(super) struct Letter {
    email: Email,
    credentials: Credentials,
}

impl Letter {
    /// From the configuration. The password is read when it is needed.
    pub(super) fn new(email: &Email, credentials: &Credentials) -> Self {
        Self { email: email.clone(), credentials: credentials.clone() }
    }

    fn port(&self) -> u16 {
        self.email.port.unwrap_or(self.email.tls.port())
    }

    /// The server, as a connection is made to it.
    fn server(&self) -> &str {
        self.email.server.trim_start_matches('[').trim_end_matches(']')
    }

    fn protection(&self) -> Result<Tls, Trouble> {
        let wrong = |error: Error| Trouble::Lasting(format!("TLS cannot be set up: {error}"));
        let parameters = || {
            let mut builder = TlsParameters::builder(self.server().to_owned());
            if let Some(file) = &self.email.ca_file {
                let unusable = |why: &dyn std::fmt::Display| Trouble::Lasting(format!("caFile {} cannot be used ({why})", file.display()));
                let size = std::fs::metadata(file).map_err(|error| unusable(&error))?.len();
                if size > LARGEST {
                    return Err(unusable(&"it is larger than 1 MiB"));
                }
                let pem = std::fs::read(file).map_err(|error| unusable(&error))?;
                // No certificate at all would be read as none more.
                if !pem.windows(BEGIN.len()).any(|part| part == BEGIN) {
                    return Err(unusable(&"it holds no certificate in PEM"));
                }
                builder = builder.add_root_certificate(Certificate::from_pem(&pem).map_err(|error| unusable(&error))?);
            }
            builder.build_rustls().map_err(wrong)
        };
        Ok(match self.email.tls {
            EmailTls::Starttls => Tls::Required(parameters()?),
            EmailTls::Implicit => Tls::Wrapper(parameters()?),
            EmailTls::None => Tls::None,
        })
    }

    fn transport(&self, host: &str, time: Duration) -> Result<SmtpTransport, Trouble> {
        let mut builder = SmtpTransport::builder_dangerous(self.server())
            .port(self.port())
            .tls(self.protection()?)
            .timeout(Some(time))
            .hello_name(ClientId::Domain(if is_domain(host) { host.to_owned() } else { "localhost".to_owned() }));
        if let (Some(user), Some(file)) = (&self.email.user, &self.email.password_file) {
            let password = secret::read(file, "the password", &self.credentials)?;
            builder = builder
                .credentials(Login::new(user.clone(), password.to_string()))
                .authentication(vec![Mechanism::Plain, Mechanism::Login]);
        }
        Ok(builder.build())
    }

    fn letter(&self, message: &Message) -> Result<Mail, Trouble> {
        let wrong = |what: &str, why: &dyn std::fmt::Display| Trouble::Lasting(format!("{what} is no address of e-mail ({why})"));
        let address = |text: &String| text.parse::<Mailbox>().map_err(|error| wrong(text, &error));
        let from = address(&self.email.from)?;
        let recipients = self.email.to.iter().map(address).collect::<Result<Vec<Mailbox>, Trouble>>()?;
        let envelope = Envelope::new(Some(from.email.clone()), recipients.iter().map(|to| to.email.clone()).collect());
        let mut builder =
            Mail::builder().envelope(envelope.map_err(|error| Trouble::Lasting(error.to_string()))?).from(from).subject(&message.title);
        for to in recipients {
            builder = builder.to(to);
        }
        // No answers of those who are away (RFC 3834), and a way to sort.
        for (name, value) in [("Auto-Submitted", "auto-generated"), ("X-Hearth-Backup-Event", message.occasion.as_str())] {
            if let Ok(name) = HeaderName::new_from_ascii(name.to_owned()) {
                builder = builder.raw_header(HeaderValue::new(name, value.to_owned()));
            }
        }
        if message.occasion == Occasion::Failure
            && let Ok(name) = HeaderName::new_from_ascii("X-Priority".to_owned())
        {
            builder = builder.raw_header(HeaderValue::new(name, "2".to_owned()));
        }
        // Lines of a log may be longer than mail allows.
        let part = SinglePart::builder()
            .header(ContentType::TEXT_PLAIN)
            .header(ContentTransferEncoding::QuotedPrintable)
            .body(message.text(LONGEST).replace('\n', "\r\n"));
        // Names each letter; two of the same nanosecond are not written here.
        let domain = if is_domain(&message.host) { message.host.as_str() } else { "localhost" };
        let id = format!("<{}.{}.{}@{domain}>", jiff::Timestamp::now().as_nanosecond(), std::process::id(), message.occasion.as_str());
        builder.message_id(Some(id)).singlepart(part).map_err(|error| Trouble::Lasting(error.to_string()))
    }
}

impl Receiver for Letter {
    fn kind(&self) -> &'static str {
        "email"
    }

    fn name(&self) -> String {
        format!("e-mail to {} by {}:{}", self.email.to.join(", "), self.email.server, self.port())
    }

    fn tell(&self, message: &Message, time: Duration) -> Result<(), Trouble> {
        let letter = self.letter(message)?;
        self.transport(&message.host, time)?.send(&letter).map(drop).map_err(|error| trouble(&error))
    }
}

/// Whether a name can be said in a greeting.
fn is_domain(host: &str) -> bool {
    !host.is_empty() && host.len() < 250 && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
}

fn trouble(error: &Error) -> Trouble {
    let mut source = error.source();
    let mut certificate = false;
    while let Some(inner) = source {
        let io = inner
            .downcast_ref::<std::io::Error>()
            .and_then(|inner| inner.get_ref())
            .and_then(|inner| inner.downcast_ref::<rustls::Error>());
        certificate |= matches!(io.or_else(|| inner.downcast_ref()), Some(rustls::Error::InvalidCertificate(_)));
        source = inner.source();
    }
    let why = http::told(&error.to_string());
    if certificate {
        return Trouble::Lasting(format!("{why}; this machine must trust whoever signed it, or caFile name them"));
    }
    // A refusal stays one; a server that cannot what was asked of it will not learn it.
    if error.is_permanent() || error.is_client() { Trouble::Lasting(why) } else { Trouble::Passing(why) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::receiver::tests::message;

    fn letter(table: serde_json::Value) -> Letter {
        Letter::new(&serde_json::from_value(table).unwrap(), &Credentials { directory: None, service: "x".into() })
    }

    #[test]
    fn a_letter_says_what_it_is_about_in_any_language() {
        let letter = letter(serde_json::json!({
            "server": "[::1]", "tls": "none", "from": "Backups of Zoë <b@example.org>", "to": ["one@example.org", "Two <two@example.org>"],
        }));
        let message = Message { title: "häuschen: backup state failed".into(), ..message() };
        let text = String::from_utf8(letter.letter(&message).unwrap().formatted()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        for expected in [
            "Subject: =?utf-8?b?aMOkdXNjaGVuOg==?= backup state failed\r\n",
            "To: one@example.org, Two <two@example.org>\r\n",
            "Content-Type: text/plain; charset=utf-8",
            "Auto-Submitted: auto-generated\r\n",
            "X-Hearth-Backup-Event: failure\r\n",
            ".failure@rex>\r\n",
            "Date: ",
        ] {
            assert!(head.contains(expected), "{expected} in {head}");
        }
        assert!(body.starts_with("Job state on host rex failed.\r\n") && body.lines().all(|line| line.len() <= 78), "{body}");
        assert_eq!((letter.server(), letter.name().as_str()), ("::1", "e-mail to one@example.org, Two <two@example.org> by [::1]:25"));
    }

    #[test]
    fn an_address_that_is_none_is_told() {
        let letter = letter(serde_json::json!({ "server": "x", "from": "b@example.org", "to": ["a b@c"] }));
        assert!(matches!(letter.letter(&message()), Err(Trouble::Lasting(why)) if why.starts_with("a b@c is no address of e-mail")));
        assert!(is_domain("rex.example") && !is_domain("my host") && !is_domain(""));
    }
}
