//! What a server answered: whether it may pass, and how it is told.

use std::error::Error as _;
use std::fmt;
use std::io;

use opendal::{Error, ErrorKind};

use crate::store::attempt::{Failing, Silence};
use crate::store::{StoreError, StoreErrorKind};

/// Letters of an answer that are told.
const TOLD: usize = 300;

/// Why a request failed.
#[derive(Debug)]
pub(in crate::store) enum Failure {
    /// The server answered so, or could not be reached.
    Answer(Error),
    /// It said nothing for so long.
    Silence(Silence),
}

impl Failure {
    /// Whether the server said something.
    pub(super) fn is_answer(&self) -> bool {
        matches!(self, Self::Answer(error) if status(error).is_some())
    }

    /// Whether the server does not permit the request as a whole.
    pub(super) fn is_refusal(&self) -> bool {
        self.is_answer() && matches!(self, Self::Answer(error) if error.kind() == ErrorKind::PermissionDenied)
    }

    /// Whether the server says that the object is not there.
    pub(super) fn is_absence(&self) -> bool {
        matches!(self, Self::Answer(error) if error.kind() == ErrorKind::NotFound)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Answer(error)
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
            Self::Answer(error) => error.is_temporary() && !is_untrusted(error) && !is_plain(error),
            Self::Silence(_) => true,
        }
    }

    fn is_reached(&self) -> bool {
        matches!(self, Self::Answer(error) if status(error).is_some() || !causes(error).iter().any(|cause| cause.contains("(Connect)")))
    }

    fn is_silence(&self) -> bool {
        matches!(self, Self::Silence(_))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer(error) => f.write_str(&told(error)),
            Self::Silence(silence) => silence.fmt(f),
        }
    }
}

/// Whether the server does not know the condition that nothing shall be replaced.
pub(super) fn is_unknown_condition(error: &Error) -> bool {
    status(error) == Some(501) || code(error).is_some_and(|code| code == "NotImplemented")
}

/// Whether an object ended before the range that was asked for.
fn is_short(error: &Error) -> bool {
    error.kind() == ErrorKind::RangeNotSatisfied || status(error) == Some(416) || error.message().contains("too little data")
}

/// A failure as the store tells it: which object, which server, what it answered, what to do.
pub(super) fn explain(action: &'static str, object: String, endpoint: &str, failure: &Failure) -> StoreError {
    let (kind, advice) = match failure {
        Failure::Answer(error) => judge(error),
        Failure::Silence(_) => (StoreErrorKind::Temporary, Some(UNREACHED)),
    };
    let answer = if failure.is_answer() { format!("{endpoint} answered {failure}") } else { format!("{endpoint}: {failure}") };
    let error = StoreError { kind, source: Some(io::Error::other(answer)), ..StoreError::new(kind, action, object) };
    match advice {
        Some(advice) => error.advising(advice),
        None => error,
    }
}

const UNREACHED: &str = "the server does not answer; check the endpoint, the network and whether it runs, then run this again: \
                         nothing stored so far is lost";

/// What a caller can decide on, and what a person can do.
fn judge(error: &Error) -> (StoreErrorKind, Option<&'static str>) {
    use StoreErrorKind as Kind;
    let code = code(error).unwrap_or_default();
    let text = error.message().to_lowercase();
    if status(error) == Some(507) || ["quota", "storagefull", "storage full", "cap exceeded"].iter().any(|word| text.contains(word)) {
        return (Kind::Full, None);
    }
    if text.contains("content-md5") {
        return (Kind::Refused, Some("the bucket has object lock and wants another checksum; write `checksum=md5` into the URL"));
    }
    match code.as_str() {
        "NoSuchBucket" => {
            return (Kind::Other, Some("there is no such bucket; make it at the service, or correct its name or the endpoint"));
        }
        "InvalidAccessKeyId" | "NotSignedUp" | "InvalidToken" | "TokenRefreshRequired" => {
            return (Kind::Refused, Some(UNKNOWN_KEY));
        }
        "SignatureDoesNotMatch" | "AuthorizationHeaderMalformed" => {
            return (Kind::Refused, Some(WRONG_SECRET));
        }
        "ExpiredToken" => return (Kind::Refused, Some("the credentials have expired; bring new ones and run this again")),
        "RequestTimeTooSkewed" => return (Kind::Refused, Some("the clock of this machine is wrong; set it")),
        "InvalidStorageClass" => return (Kind::Refused, Some("the service has no such storage class; correct `storageClass` in the URL")),
        "InvalidObjectState" => return (Kind::Other, Some("the object lies in an archive; have the service bring it back first")),
        _ => {}
    }
    match error.kind() {
        ErrorKind::NotFound => (Kind::NotFound, None),
        _ if is_short(error) => (Kind::Truncated, None),
        ErrorKind::PermissionDenied => (Kind::Refused, Some(judge_refusal(&text))),
        _ if is_plain(error) => (
            Kind::Other,
            Some("the server speaks plain HTTP, not HTTPS; if that is as it shall be, write `http://` before the endpoint's host"),
        ),
        _ if is_untrusted(error) => {
            (Kind::Other, Some("this machine does not trust the server's certificate; install its authority, or correct the endpoint"))
        }
        _ if status(error) == Some(401) => (Kind::Refused, Some("the server wants credentials; check that they were given")),
        _ if status(error).is_none() && told(error).contains("credential") => (Kind::Refused, Some(NO_CREDENTIALS)),
        _ if error.is_temporary() && status(error).is_some() => {
            (Kind::Temporary, Some("the server is overloaded or has a fault; run this again later: nothing stored so far is lost"))
        }
        _ if error.is_temporary() => (Kind::Temporary, Some(UNREACHED)),
        _ => (Kind::Other, None),
    }
}

/// What a refusal means. Garage has no codes of its own for wrong keys, and says it in words.
fn judge_refusal(text: &str) -> &'static str {
    if text.contains("no such key") {
        UNKNOWN_KEY
    } else if text.contains("invalid signature") {
        WRONG_SECRET
    } else {
        "the credentials do not permit this; check that the access key id and the secret are the right ones, and then their rights \
         (docs/stores.md lists those that are needed)"
    }
}

const UNKNOWN_KEY: &str = "the server does not know this access key id; check the credentials, and that they are for this service";
const WRONG_SECRET: &str = "the secret is not that of the access key id, or the region is another one; check these";
const NO_CREDENTIALS: &str = "no credentials were found; give a file with --credentials-file or as `credentials` in the configuration, \
                              or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";

fn is_untrusted(error: &Error) -> bool {
    causes(error).iter().any(|cause| cause.contains("invalid peer certificate"))
}

/// Whether the server answers what opens an encrypted connection with something else.
fn is_plain(error: &Error) -> bool {
    causes(error).iter().any(|cause| cause.contains("InvalidContentType"))
}

/// The number of the answer. The library tells it only in words.
fn status(error: &Error) -> Option<u16> {
    let text = error.to_string();
    let (_, rest) = text.split_once("Parts { status: ")?;
    rest.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

/// The server's word for what is wrong.
fn code(error: &Error) -> Option<String> {
    field(error.message(), "code")
}

/// A field of an answer that the library prints as `S3Error { code: "...", message: "...", ... }`.
fn field(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("{name}: \""))?;
    let (value, _) = rest.split_once("\", ").or_else(|| rest.split_once("\" }"))?;
    Some(value.replace("\\\"", "\""))
}

fn causes(error: &Error) -> Vec<String> {
    let mut causes = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        causes.push(cause.to_string());
        next = cause.source();
    }
    causes
}

/// What was answered, on one line.
fn told(error: &Error) -> String {
    let message = error.message();
    let mut said = match (code(error), field(message, "message")) {
        (Some(code), Some(message)) if !message.is_empty() => format!("{code}: {message}"),
        (Some(code), _) if !code.is_empty() => code,
        _ => [vec![message.to_owned()], causes(error)].concat().join(": "),
    };
    if let Some(status) = status(error) {
        said = if said.is_empty() { status.to_string() } else { format!("{status} {said}") };
    }
    said.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(TOLD).collect()
}
