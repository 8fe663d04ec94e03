//! The one place that speaks HTTP to others' servers.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ureq::config::Config;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Error};

use zeroize::Zeroizing;

use super::receiver::Trouble;
use crate::config::{Credentials, SecretFile};

/// Bytes of an answer that are read.
const ANSWER: u64 = 64 << 10;
/// Letters of a refusal that are told.
const TOLD: usize = 200;

/// What is asked of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// To take something.
    Post,
    /// To put something in the place of what was there.
    Put,
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

/// Posts a text.
///
/// # Errors
/// If it is not taken.
pub(super) fn post(url: &str, headers: &[(&str, &str)], body: &str, time: Duration) -> Result<(), Trouble> {
    send(Method::Post, url, headers, body, time)
}

/// Sends a text. Redirections are not followed: they may lead to a place that shall not see the headers.
///
/// # Errors
/// If it is not taken. No header is in the reason.
pub fn send(method: Method, url: &str, headers: &[(&str, &str)], body: &str, time: Duration) -> Result<(), Trouble> {
    let agent = Agent::new_with_config(config(url, time));
    let mut request = match method {
        Method::Post => agent.post(url),
        Method::Put => agent.put(url),
    };
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut response = request.send(body).map_err(|error| trouble(&error))?;
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    if let Some(location) = response.headers().get("location").filter(|_| status.is_redirection()) {
        let location = String::from_utf8_lossy(location.as_bytes()).into_owned();
        return Err(Trouble::Lasting(format!("the server says that it is at {location}; write that as its url")));
    }
    let answer = response.body_mut().with_config().limit(ANSWER).read_to_string().unwrap_or_default();
    let said: String = answer.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(TOLD).collect();
    let said = if said.trim().is_empty() { String::new() } else { format!(": {}", said.trim()) };
    let why = format!("the server answered {status}{said}");
    // It is busy, or has a fault of its own.
    let passing = status.is_server_error() || [408, 425, 429].contains(&status.as_u16());
    Err(if passing { Trouble::Passing(why) } else { Trouble::Lasting(why) })
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
