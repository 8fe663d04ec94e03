//! What keyless work can run into.

use crate::model::shell::quoted;
use crate::sealed::codec::FormatError;
use crate::store::StoreError;

/// A failure in the sealed layer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealedError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An object's bytes are not what its name or its format promise.
    #[error("{object} is damaged: {why}. Run `hearth-backup check` to see what it concerns; a mirror has the same object")]
    Damaged {
        /// The object's path.
        object: String,
        /// What is wrong with it.
        why: String,
    },
    /// A newer program wrote this.
    #[error("{object} needs {what}, which this version of hearth-backup does not know; install a newer one")]
    TooNew {
        /// The object's path.
        object: String,
        /// The format number or feature.
        what: String,
    },
    /// There is no repository here.
    #[error("{location} holds no repository; create one with `hearth-backup init --repo {}`", quoted(location))]
    NoRepository {
        /// The store.
        location: String,
    },
    /// Another repository than the key or the URL names.
    #[error("{location} is repository {found}, but {expected} was expected: wrong path, wrong key, or somebody replaced the repository")]
    OtherRepository {
        /// The store.
        location: String,
        /// The id found.
        found: String,
        /// The id named by the key or URL.
        expected: String,
    },
    /// An older state than one seen before is served.
    #[error("{location} shows statement {shown}, but statement {seen} was seen before: somebody has put back an older state of it")]
    RolledBack {
        /// The store.
        location: String,
        /// Newest statement served.
        shown: u64,
        /// Newest statement remembered.
        seen: u64,
    },
    /// A statement or snapshot that its alleged signer did not sign.
    #[error("{object} is forged: {why}. Do not use this repository before you know who wrote it")]
    Forged {
        /// The object's path.
        object: String,
        /// Which check failed.
        why: String,
    },
    /// Prune must not go on.
    #[error("prune stopped: {0}")]
    PruneRefused(String),
    /// No snapshot of this id is there.
    #[error("there is no {object}; `hearth-backup snapshots` lists what is there")]
    NoSnapshot {
        /// The path where it was looked for.
        object: String,
    },
    /// A pinned snapshot is not forgotten.
    #[error("{object} is pinned; run `hearth-backup unpin` first if it may go")]
    Pinned {
        /// The snapshot's path.
        object: String,
    },
    /// A snapshot that is whole is not dropped as a broken one.
    #[error("{object} can be read whole; use `hearth-backup forget` without --broken, so that it can be undone")]
    NotBroken {
        /// The snapshot's path.
        object: String,
    },
    /// A forgotten snapshot that cannot be brought back.
    #[error("{object} cannot be brought back: {why}. It stays forgotten; a mirror may still have it")]
    Unrecoverable {
        /// The forgotten snapshot's path.
        object: String,
        /// What is not there any more.
        why: String,
    },
    /// The store's clock does not go on.
    #[error("the clock of {location} does not advance, so nobody can tell what its listings show; set it right and try again")]
    ClockStands {
        /// The store.
        location: String,
    },
    /// A mirror of a repository in its own place.
    #[error("{location} is the repository itself; a mirror needs a place of its own")]
    SamePlace {
        /// The store.
        location: String,
    },
    /// The system gives no random numbers.
    #[error("the system's random number generator fails; nothing was changed")]
    NoRandomness,
}

impl SealedError {
    /// A [`SealedError::Damaged`].
    pub fn damaged(object: impl ToString, why: impl ToString) -> Self {
        Self::Damaged { object: object.to_string(), why: why.to_string() }
    }

    /// An object that could not be parsed: damaged, or written by a newer program.
    pub fn malformed(object: impl ToString, why: FormatError) -> Self {
        match why {
            FormatError::Wrong(why) => Self::damaged(object, why),
            FormatError::TooNew(what) => Self::TooNew { object: object.to_string(), what },
        }
    }

    /// Whether the object is there, but is damaged or from a newer program. To search goes on without it; to delete does not.
    pub fn is_unreadable(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::TooNew { .. })
    }

    /// Whether the cause is an object that is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_not_found())
    }
}
