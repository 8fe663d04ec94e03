//! The one place that speaks HTTP to others' servers.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ureq::config::Config;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Error, http};
use zeroize::Zeroizing;

use super::receiver::Trouble;
use crate::config::{Credentials, SecretFile};

/// Bytes of an answer that are read.
const ANSWER: u64 = 64 << 10;
/// Letters of an answer that are told.
const TOLD: usize = 200;

/// What is done at a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// To ask only.
    Get,
    /// To give something.
    Post,
    /// To put something in the place of what was there.
    Put,
}

impl Method {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
        }
    }
}

/// The header that proves who we are, from a file with `USER:PASSWORD`.
///
/// # Errors
/// If there is no such file, or something else in it. It is never shown.
pub fn basic(file: &SecretFile, credentials: &Credentials) -> Result<Zeroizing<String>, Trouble> {
    let path = file.locate(credentials).map_err(|error| Trouble::Lasting(error.to_string()))?;
    let unusable = |why: &dyn std::fmt::Display| Trouble::Lasting(format!("{} cannot be used ({why})", path.display()));
    let text = Zeroizing::new(std::fs::read_to_string(&path).map_err(|error| unusable(&error))?);
    let pair = text.trim_end_matches(['\n', '\r']);
    if !pair.contains(':') || pair.contains(char::is_control) {
        return Err(unusable(&"it must hold one line, USER:PASSWORD"));
    }
    Ok(Zeroizing::new(format!("Basic {}", STANDARD.encode(pair))))
}

/// Sends a text.
///
/// # Errors
/// If it is not taken. No header is in the reason.
pub fn send(method: Method, url: &str, headers: &[(&str, &str)], body: &str, time: Duration) -> Result<(), Trouble> {
    ask(&Request { method, url, headers: headers.to_vec(), body }, time).map(drop)
}

/// What a server is asked.
pub(super) struct Request<'a> {
    /// How.
    pub method: Method,
    /// Where.
    pub url: &'a str,
    /// Headers, by name.
    pub headers: Vec<(&'a str, &'a str)>,
    /// What is sent; nothing with `GET`.
    pub body: &'a str,
}

/// Asks a server; what it answered, if that was that all is well. Redirections are not followed: they may lead to a place that shall not see the
/// headers.
pub(super) fn ask(asked: &Request<'_>, time: Duration) -> Result<String, Trouble> {
    let agent = Agent::new_with_config(config(asked.url, time));
    let mut request = http::Request::builder().method(asked.method.as_str()).uri(asked.url);
    for (name, value) in &asked.headers {
        request = request.header(*name, *value);
    }
    let unusable =
        |error: http::Error| Trouble::Lasting(format!("what is to be sent is no request ({error}); look at its url and headers"));
    let sent = if asked.method == Method::Get {
        agent.run(request.body(()).map_err(unusable)?)
    } else {
        agent.run(request.body(asked.body).map_err(unusable)?)
    };
    let mut response = sent.map_err(|error| trouble(&error))?;
    let status = response.status();
    if let Some(location) = response.headers().get("location").filter(|_| status.is_redirection()) {
        let location = String::from_utf8_lossy(location.as_bytes()).into_owned();
        return Err(Trouble::Lasting(format!("the server says that it is at {location}; write that as its url")));
    }
    let answer = response.body_mut().with_config().limit(ANSWER).read_to_string().unwrap_or_default();
    if status.is_success() {
        return Ok(answer);
    }
    let said = told(&answer);
    let said = if said.is_empty() { String::new() } else { format!(": {said}") };
    let why = format!("the server answered {status}{said}");
    // It is busy, or has a fault of its own.
    let passing = status.is_server_error() || [408, 425, 429].contains(&status.as_u16());
    Err(if passing { Trouble::Passing(why) } else { Trouble::Lasting(why) })
}

/// The beginning of an answer, in one line.
pub(super) fn told(answer: &str) -> String {
    let line: String = answer.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(TOLD).collect();
    line.trim().to_owned()
}

fn config(url: &str, time: Duration) -> Config {
    let builder = Agent::config_builder()
        .timeout_global(Some(time))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("hearth-backup/", env!("CARGO_PKG_VERSION")));
    if url.starts_with("https:") { builder.tls_config(tls()).build() } else { builder.build() }
}

/// Trusts the authorities that the system trusts, among them people's own; and uses the cryptography that we have anyway.
fn tls() -> TlsConfig {
    let found = rustls_native_certs::load_native_certs().certs;
    let certificates: Vec<Certificate<'static>> = found.iter().map(|found| Certificate::from_der(found).to_owned()).collect();
    TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .root_certs(RootCerts::new_with_certs(&certificates))
        .build()
}

fn by_tls(error: &rustls::Error) -> Trouble {
    match error {
        rustls::Error::InvalidCertificate(_) => Trouble::Lasting(format!("{error}; this machine must trust whoever signed it")),
        _ => Trouble::Passing(error.to_string()),
    }
}

fn trouble(error: &Error) -> Trouble {
    match error {
        Error::BadUri(_) | Error::Http(_) | Error::InvalidProxyUrl => Trouble::Lasting(error.to_string()),
        Error::Rustls(inner) => by_tls(inner),
        Error::Io(inner) => match inner.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(inner) => by_tls(inner),
            None => Trouble::Passing(error.to_string()),
        },
        // A name may be unknown for a while as well.
        _ => Trouble::Passing(error.to_string()),
    }
}

/// Percent-encodes what is to be a part of a URL's query or path.
pub(super) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(byte.into());
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::TcpListener;
    use std::thread::{self, JoinHandle};

    use super::*;

    /// A stand-in of a few lines: a server that answers each request with the next of its answers (status and headers, then the body after an empty
    /// line), and then ends.
    pub(in crate::notify) struct Server {
        /// Where it is.
        pub url: String,
        /// What it was asked, once it has ended.
        pub asked: JoinHandle<Vec<String>>,
    }

    impl Server {
        pub(in crate::notify) fn answering(answers: &'static [&'static str]) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap());
            let asked = thread::spawn(move || {
                let answer = |answer: &&str| {
                    let (mut stream, _) = listener.accept().unwrap();
                    let mut reader = BufReader::new(stream.try_clone().unwrap());
                    let mut request = String::new();
                    while !request.ends_with("\r\n\r\n") {
                        assert!(reader.read_line(&mut request).unwrap() > 0, "{request}");
                    }
                    let length = request.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
                    let mut body = vec![0; length.unwrap_or(0)];
                    reader.read_exact(&mut body).unwrap();
                    let (head, said) = answer.split_once("\n\n").unwrap_or((answer, "why it is so"));
                    let head = head.replace('\n', "\r\n");
                    write!(stream, "HTTP/1.1 {head}\r\nConnection: close\r\n\r\n{said}").unwrap();
                    request + std::str::from_utf8(&body).unwrap()
                };
                answers.iter().map(answer).collect()
            });
            Self { url, asked }
        }

        /// What it was asked: the first line of each request without the version, and its body.
        pub(in crate::notify) fn asked(self) -> Vec<(String, String)> {
            let split = |request: String| {
                let (head, body) = request.split_once("\r\n\r\n").unwrap();
                (head.lines().next().unwrap().trim_end_matches(" HTTP/1.1").to_owned(), body.to_owned())
            };
            self.asked.join().unwrap().into_iter().map(split).collect()
        }
    }

    #[test]
    fn what_is_no_letter_of_a_url_is_encoded() {
        assert_eq!(encoded("a b/ä&=%\n.-_~"), "a%20b%2F%C3%A4%26%3D%25%0A.-_~");
    }

    #[test]
    fn a_header_or_url_that_is_none_is_told() {
        let request = |url, value| Request { method: Method::Post, url, headers: vec![("X", value)], body: "" };
        let time = Duration::from_secs(5);
        assert!(matches!(ask(&request("http://127.0.0.1:9/", "a\nb"), time), Err(Trouble::Lasting(why)) if why.contains("no request")));
        assert!(matches!(ask(&request("http://[", "a"), time), Err(Trouble::Lasting(_))));
    }
}
