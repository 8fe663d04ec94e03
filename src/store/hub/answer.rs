//! What a hub answered: whether it may pass, and how it is told.

use std::error::Error as _;
use std::fmt;
use std::io;

use http::StatusCode;

use super::protocol::{Reason, Refusal};
use crate::store::attempt::{Failing, Silence};
use crate::store::{StoreError, StoreErrorKind};

/// Letters of an answer that are told.
const TOLD: usize = 300;

/// Why a request failed.
#[derive(Debug)]
pub(in crate::store) enum Failure {
    /// The hub, or a proxy before it, answered so.
    Answer(StatusCode, Refusal),
    /// The hub could not be reached, or the line broke.
    Line(Break),
    /// It said nothing for so long.
    Silence(Silence),
    /// It said what no hub says.
    Strange(String),
}

impl Failure {
    /// From an answer that is no success; `body` is its beginning, and `word` the reason as its head has it.
    pub(super) fn of(status: StatusCode, word: Option<&str>, body: &[u8]) -> Self {
        let refusal = serde_json::from_slice(body).unwrap_or_else(|_| {
            // No body, or not the hub's own words, but those of a proxy.
            let text = String::from_utf8_lossy(body);
            Refusal {
                error: word.map_or(Reason::Other, Reason::of),
                message: text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(TOLD).collect(),
            }
        });
        Self::Answer(status, refusal)
    }
}

/// How a line failed.
#[derive(Debug)]
pub(in crate::store) struct Break {
    text: String,
    kind: BreakKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BreakKind {
    /// Nobody was there, or did not let us in.
    Unreached,
    /// It broke.
    Broken,
    /// The certificate is none to be trusted, which it will be no more the next time.
    Untrusted,
    /// No request can be made of what is given.
    Unusable,
}

impl Break {
    /// A line that was there and broke; what was said of it.
    pub(super) fn broken(text: impl Into<String>) -> Self {
        Self { text: text.into(), kind: BreakKind::Broken }
    }

    /// A line that never came to be.
    pub(super) fn unreached(text: impl Into<String>) -> Self {
        Self { text: text.into(), kind: BreakKind::Unreached }
    }
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        let error = error.without_url();
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text.push_str(&format!(": {error}"));
            cause = error.source();
        }
        let kind = match () {
            () if text.contains("invalid peer certificate") => BreakKind::Untrusted,
            () if error.is_builder() => BreakKind::Unusable,
            () if error.is_connect() => BreakKind::Unreached,
            () => BreakKind::Broken,
        };
        Self::Line(Break { text, kind })
    }
}

impl From<Silence> for Failure {
    fn from(silence: Silence) -> Self {
        Self::Silence(silence)
    }
}

impl Failing for Failure {
    fn may_pass(&self) -> bool {
        match self {
            Self::Answer(status, _) => matches!(status.as_u16(), 408 | 429 | 502 | 503 | 504),
            Self::Line(line) => matches!(line.kind, BreakKind::Unreached | BreakKind::Broken),
            Self::Silence(_) => true,
            Self::Strange(_) => false,
        }
    }

    fn is_reached(&self) -> bool {
        match self {
            Self::Answer(..) | Self::Strange(_) => true,
            Self::Line(line) => line.kind != BreakKind::Unreached,
            Self::Silence(_) => false,
        }
    }

    fn is_silence(&self) -> bool {
        matches!(self, Self::Silence(_))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer(status, Refusal { message, .. }) if message.is_empty() => write!(f, "{status}"),
            Self::Answer(status, Refusal { message, .. }) => write!(f, "{}: {message}", status.as_u16()),
            Self::Line(line) => f.write_str(&line.text),
            Self::Silence(silence) => silence.fmt(f),
            Self::Strange(what) => f.write_str(what),
        }
    }
}

/// A failure as the store tells it: what was done, to which object, what the hub answered, what to do.
pub(super) fn explain(action: &'static str, object: String, hub: &str, failure: &Failure) -> StoreError {
    let (kind, advice) = judge(failure);
    let text = if matches!(failure, Failure::Answer(..)) { format!("{hub} answered {failure}") } else { format!("{hub}: {failure}") };
    StoreError { kind, action, object, source: Some(io::Error::other(text)), advice }
}

fn judge(failure: &Failure) -> (StoreErrorKind, Option<&'static str>) {
    use StoreErrorKind as Kind;
    let Failure::Answer(status, refusal) = failure else {
        return match failure {
            Failure::Line(line) if line.kind == BreakKind::Untrusted => {
                (Kind::Refused, Some("this machine must trust whoever signed the hub's certificate; SSL_CERT_FILE names a file with it"))
            }
            Failure::Strange(_) => (Kind::Other, Some("no hub speaks so; is the URL right?")),
            _ => (Kind::Temporary, Some("the hub cannot be reached, or not for long enough; nothing stored so far is lost")),
        };
    };
    match (refusal.error, status.as_u16()) {
        (Reason::NotFound, _) => (Kind::NotFound, None),
        (Reason::NoRepository, _) => {
            (Kind::Refused, Some("the hub has no such repository for this token; its administrator runs `hearth-backup hub token add`"))
        }
        (Reason::Unauthorized, _) | (_, 401) => (Kind::Refused, Some("the hub does not know this token; name its file with --token-file")),
        (Reason::Forbidden, _) | (_, 403) => (Kind::Refused, Some("the hub does not permit it to this token")),
        (Reason::TooLarge, _) | (_, 413) => (Kind::TooLarge, Some("the hub, or a proxy before it, takes no body of that size")),
        (Reason::Range, _) | (_, 416) => (Kind::Truncated, None),
        (Reason::Quota, _) => (Kind::Full, Some("the repository's quota at the hub is used up; nothing stored so far is lost")),
        (Reason::Full, _) | (_, 507) => (Kind::Full, None),
        (_, 404) => (Kind::Other, Some("no hub answers there; is the URL right?")),
        (_, 408 | 429 | 500..=504) => (Kind::Temporary, None),
        _ => (Kind::Other, Some("the hub refuses")),
    }
}
