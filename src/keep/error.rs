//! Why house could not be kept.

use std::io;
use std::path::PathBuf;

use crate::model::shell::quoted;
use crate::model::span::SpanError;
use crate::retention::Guard;
use crate::sealed::SealedError;

/// A step of keeping house that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeepError {
    /// Something speaks against forgetting snapshots.
    #[error(transparent)]
    Guard(#[from] Guard),
    /// The run was asked to stop.
    #[error("stopped on request; {0}")]
    Stopped(&'static str),
    /// A mirror's rules for a repository that no mirror has ever brought anything.
    #[error(
        "{location} is no mirror yet: all its snapshots were made there, and the rules would forget {forgotten} of them. If the two ends are \
         mixed up, put the original after --from; if it shall be thinned out all the same, use `hearth-backup forget --repo {}`",
        quoted(location)
    )]
    NoMirror {
        /// The repository.
        location: String,
        /// Snapshots that would be forgotten, a count.
        forgotten: usize,
    },
    /// A time has no fixed length.
    #[error(transparent)]
    Span(#[from] SpanError),
    /// The repository or its store.
    #[error(transparent)]
    Sealed(#[from] SealedError),
    /// What the keeper remembers cannot be written.
    #[error("cannot write {0}, where the last run is remembered: {1}")]
    Memory(PathBuf, io::Error),
}
