//! Why a drill could not be done. That is a failure of the drill: nobody knows then whether the backup can be used.

use std::io;
use std::path::Path;

use crate::content::ContentError;
use crate::job::JobError;
use crate::model::human;

/// A drill that could not be done to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DrillError {
    /// The repository, the restore, or the run was asked to stop.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// A dump could not be looked for, or the lock not be taken.
    #[error(transparent)]
    Job(#[from] JobError),
    /// Another run of the drill is under way.
    #[error("drill `{drill}` is being run by {who}")]
    Running {
        /// The drill.
        drill: String,
        /// What that run says of itself.
        who: String,
    },
    /// There is no snapshot to restore.
    #[error("there is nothing to restore: {0}")]
    NoSnapshot(String),
    /// The place does not take what is to be restored, or what ran in it has nearly filled it.
    #[error(
        "{place} has {} free, and {} are needed; give the drill a larger `scratch` or `tmpfs`, or restore less with `amount`",
        human::size(*.free), human::size(*.needed)
    )]
    NoRoom {
        /// The place.
        place: String,
        /// Bytes that are free.
        free: u64,
        /// Bytes that must be free.
        needed: u64,
    },
    /// The place could not be made.
    #[error("{0}")]
    Place(String),
    /// It took longer than it may.
    #[error("it took longer than its `timeLimit` of {limit} and was ended")]
    TimeLimit {
        /// As it was configured.
        limit: String,
    },
}

impl DrillError {
    /// What could not be done with a path.
    pub(super) fn place(action: &str, path: &Path, error: impl Into<io::Error>) -> Self {
        Self::Place(format!("cannot {action} {}: {}", path.display(), error.into()))
    }
}
