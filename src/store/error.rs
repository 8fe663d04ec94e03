//! What can go wrong in a store: a kind to decide on, the object, and the cause.

use std::fmt;
use std::io;

/// What a caller can decide on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// No such object.
    NotFound,
    /// The object is larger than the caller or the format allows.
    TooLarge,
    /// The object ends before the bytes that were asked for.
    Truncated,
    /// No room left: disk full or quota reached.
    Full,
    /// The store refuses: permissions, read-only.
    Refused,
    /// It may work when tried again.
    Temporary,
    /// Anything else.
    Other,
}

/// A store operation that failed.
#[derive(Debug)]
pub struct StoreError {
    /// What to decide on.
    pub kind: StoreErrorKind,
    /// What was done: a verb such as `read`.
    pub action: &'static str,
    /// The object's path, or the store's location.
    pub object: String,
    /// The cause, where the system gave one.
    pub source: Option<io::Error>,
    /// What to do, where the store knows better than the kind tells.
    pub advice: Option<&'static str>,
}

impl StoreError {
    /// An error without a cause from the system.
    pub fn new(kind: StoreErrorKind, action: &'static str, object: impl fmt::Display) -> Self {
        Self { kind, action, object: object.to_string(), source: None, advice: None }
    }

    /// An error from the system, with the kind that follows from it.
    pub fn io(action: &'static str, object: impl fmt::Display, source: io::Error) -> Self {
        use io::ErrorKind as Io;
        let kind = match source.kind() {
            Io::NotFound => StoreErrorKind::NotFound,
            Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => StoreErrorKind::Full,
            Io::PermissionDenied | Io::ReadOnlyFilesystem => StoreErrorKind::Refused,
            Io::UnexpectedEof => StoreErrorKind::Truncated,
            Io::Interrupted | Io::TimedOut | Io::ResourceBusy => StoreErrorKind::Temporary,
            _ => StoreErrorKind::Other,
        };
        Self { kind, action, object: object.to_string(), source: Some(source), advice: None }
    }

    /// The same with better advice than the kind gives.
    #[must_use]
    pub fn advising(self, advice: &'static str) -> Self {
        Self { advice: Some(advice), ..self }
    }

    /// Whether the object is simply not there.
    pub fn is_not_found(&self) -> bool {
        self.kind == StoreErrorKind::NotFound
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: ", self.action, self.object)?;
        f.write_str(self.advice.unwrap_or(match self.kind {
            StoreErrorKind::NotFound => "it is not there",
            StoreErrorKind::TooLarge => "it is larger than the format allows",
            StoreErrorKind::Truncated => "it ends too early",
            StoreErrorKind::Full => "no space left; free some or raise the quota, nothing stored so far is lost",
            StoreErrorKind::Refused => "the store refuses; check its permissions and whether it is mounted read-only",
            StoreErrorKind::Temporary => "a passing fault; try again",
            StoreErrorKind::Other => "the store failed",
        }))?;
        if let Some(source) = &self.source {
            write!(f, " ({source})")?;
        }
        Ok(())
    }
}

impl std::error::Error for StoreError {}
