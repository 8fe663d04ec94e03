//! Metadata that could not be restored although the content was: collected once per kind, not once per file.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;

/// A part of the metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Lost {
    /// Who owns the entry.
    Owner,
    /// The group it belongs to.
    Group,
    /// The setuid and setgid bits: they are never given to an owner who is not the original one.
    SetId,
    /// Permission bits.
    Mode,
    /// Time of last modification.
    Time,
    /// Access control lists.
    Acl,
    /// File capabilities.
    Capabilities,
    /// Attributes of the namespace `user`.
    UserAttributes,
    /// Attributes of other namespaces: `trusted`, `security`, and so on.
    SystemAttributes,
}

impl Lost {
    /// The kind to which an extended attribute belongs.
    pub(super) fn attribute(name: &[u8]) -> Self {
        match name {
            b"security.capability" => Self::Capabilities,
            _ if name.starts_with(b"system.posix_acl_") => Self::Acl,
            _ if name.starts_with(b"user.") => Self::UserAttributes,
            _ => Self::SystemAttributes,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Owner => "the owner",
            Self::Group => "the group",
            Self::SetId => "the setuid or setgid bit",
            Self::Mode => "the permissions",
            Self::Time => "the modification time",
            Self::Acl => "the access control list",
            Self::Capabilities => "the file capabilities",
            Self::UserAttributes => "user attributes",
            Self::SystemAttributes => "trusted or security attributes",
        }
    }
}

/// One kind of metadata that could not be restored, for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incomplete {
    /// What was lost.
    pub lost: Lost,
    /// Why.
    pub reason: Errno,
    /// The first entry that it happened to.
    pub example: String,
    /// How often it happened.
    pub count: u64,
}

impl fmt::Display for Incomplete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} could not be restored", self.lost.words())?;
        match self.count {
            1 => write!(f, " on {}", self.example)?,
            count => write!(f, " on {count} entries, the first being {}", self.example)?,
        }
        write!(f, ": {}{}", self.reason.desc(), advice(self.reason))
    }
}

fn advice(reason: Errno) -> &'static str {
    match reason {
        Errno::EPERM | Errno::EACCES => "; restore as root to keep it",
        Errno::EOPNOTSUPP => "; the target's filesystem does not have it",
        Errno::ENOSPC | Errno::E2BIG => "; the target's filesystem has no room for it",
        _ => "",
    }
}

/// Collects [`Incomplete`] from many threads.
#[derive(Debug, Default)]
pub(super) struct Notes(Mutex<BTreeMap<(Lost, i32), Incomplete>>);

impl Notes {
    /// Counts one loss; `path` is asked only for the first of its kind.
    pub(super) fn add(&self, lost: Lost, reason: Errno, path: impl FnOnce() -> String) {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        notes.entry((lost, reason as i32)).and_modify(|note| note.count += 1).or_insert_with(|| Incomplete {
            lost,
            reason,
            example: path(),
            count: 1,
        });
    }

    /// Everything so far.
    pub(super) fn list(&self) -> Vec<Incomplete> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}
