//! A topic of an ntfy server (<https://docs.ntfy.sh/publish/>).

use std::io;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::failure::Outcome;
use super::http;
use super::message::Message;
use super::receiver::{Receiver, Trouble};
use crate::config::{Credentials, Ntfy};

/// A topic to publish to.
pub(super) struct Topic {
    ntfy: Ntfy,
    credentials: Credentials,
}

impl Topic {
    /// From the configuration. The token is read when it is needed.
    pub(super) fn new(ntfy: &Ntfy, credentials: &Credentials) -> Self {
        Self { ntfy: ntfy.clone(), credentials: credentials.clone() }
    }

    fn url(&self) -> String {
        format!("{}/{}", self.ntfy.url.trim_end_matches('/'), self.ntfy.topic)
    }

    /// The header that proves who we are.
    fn authorization(&self) -> Result<Option<Zeroizing<String>>, Trouble> {
        let Some(file) = &self.ntfy.token_file else { return Ok(None) };
        let path = file.locate(&self.credentials).map_err(|error| Trouble::Lasting(error.to_string()))?;
        let unusable = |why: &dyn std::fmt::Display| Trouble::Lasting(format!("the token in {} cannot be used ({why})", path.display()));
        let text = Zeroizing::new(std::fs::read_to_string(&path).map_err(|error| unusable(&error))?);
        let token = text.trim();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(unusable(&io::Error::other("it must be one line of letters, digits and signs")));
        }
        Ok(Some(Zeroizing::new(format!("Bearer {token}"))))
    }
}

impl Receiver for Topic {
    fn name(&self) -> String {
        format!("ntfy {}", self.url())
    }

    fn tell(&self, message: &Message, time: Duration) -> Result<(), Trouble> {
        let authorization = self.authorization()?;
        let (title, priority) = (header(&message.title), self.ntfy.priority.to_string());
        let tags = if message.outcome == Outcome::Incomplete { "warning" } else { "rotating_light" };
        let mut headers = vec![("Title", title.as_str()), ("Priority", priority.as_str()), ("Tags", tags)];
        headers.extend(authorization.as_ref().map(|value| ("Authorization", value.as_str())));
        http::post(&self.url(), &headers, &message.text, time)
    }
}

/// A text as the value of a header: by RFC 2047 if it is not plain.
fn header(text: &str) -> String {
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    if plain { text.to_owned() } else { format!("=?UTF-8?B?{}?=", STANDARD.encode(text)) }
}

#[cfg(test)]
mod tests;
