//! A topic of an ntfy server (<https://docs.ntfy.sh/publish/>).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::http::{self, Method, Request};
use super::message::Message;
use super::receiver::{Receiver, Trouble};
use super::secret;
use crate::config::{Credentials, Ntfy, Occasion};

/// Bytes of a text: ntfy makes an attachment of what has more than 4096.
const LONGEST: usize = 3800;

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
        let token = secret::read(file, "the token", &self.credentials)?;
        Ok(Some(Zeroizing::new(format!("Bearer {}", token.as_str()))))
    }

    /// Words that ntfy shows as emoji, and the user's own.
    fn tags(&self, occasion: Occasion) -> String {
        let first = match occasion {
            Occasion::Start => "arrow_forward",
            Occasion::Success => "white_check_mark",
            Occasion::Warning => "warning",
            Occasion::Failure => "rotating_light",
            Occasion::Recovery => "green_heart",
        };
        let own = self.ntfy.tags.iter().map(String::as_str);
        std::iter::once(first).chain(own).collect::<Vec<_>>().join(",")
    }
}

impl Receiver for Topic {
    fn kind(&self) -> &'static str {
        "ntfy"
    }

    fn name(&self) -> String {
        format!("ntfy {}", self.url())
    }

    fn tell(&self, message: &Message, time: Duration) -> Result<(), Trouble> {
        let authorization = self.authorization()?;
        let (title, priority) = (header(&message.title), self.ntfy.priority_of(message.occasion).to_string());
        let (url, tags, text) = (self.url(), self.tags(message.occasion), message.text(LONGEST));
        let mut headers = vec![("Title", title.as_str()), ("Priority", priority.as_str()), ("Tags", tags.as_str())];
        headers.extend(authorization.as_ref().map(|value| ("Authorization", value.as_str())));
        http::ask(&Request { method: Method::Post, url: &url, headers, body: &text }, time).map(drop)
    }
}

/// A text as the value of a header: by RFC 2047 if it is not plain.
fn header(text: &str) -> String {
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    if plain { text.to_owned() } else { format!("=?UTF-8?B?{}?=", STANDARD.encode(text)) }
}

#[cfg(test)]
mod tests;
