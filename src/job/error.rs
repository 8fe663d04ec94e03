//! Why a job could not do its work.

use crate::config::ConfigError;
use crate::content::ContentError;
use crate::sealed::SealedError;
use crate::source::exclude::ExcludeError;
use crate::store::LocationError;

/// A job, or its part for one repository, that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// The job is not configured.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A pattern of what to leave out is not understood.
    #[error(transparent)]
    Exclude(#[from] ExcludeError),
    /// A pattern of what to save is not understood.
    #[error("`{pattern}` is not a pattern of paths: {why}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        why: String,
    },
    /// A pattern of names is not understood.
    #[error("`{pattern}` is not a pattern of names: {why}")]
    NamePattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        why: String,
    },
    /// Another run of the job is under way.
    #[error("job `{job}` is being run by {who}; --wait waits for it to end")]
    Running {
        /// The job.
        job: String,
        /// What that run says of itself.
        who: String,
    },
    /// Something did not hold still before anything was saved.
    #[error("{0}; what was stopped goes on, and nothing was saved")]
    Quiesce(std::io::Error),
    /// Snapshots that are required were not to be had.
    #[error("{0}; nothing was saved")]
    Snapshot(std::io::Error),
    /// The repository's location is not understood, or nothing is there.
    #[error(transparent)]
    Location(#[from] LocationError),
    /// The key belongs to another repository than the location names.
    #[error("the writer key is for repository {key}, but the url names {url}; one of them is the wrong one")]
    OtherRepository {
        /// From the key.
        key: String,
        /// From the location.
        url: String,
    },
    /// The repository cannot be opened.
    #[error(transparent)]
    Sealed(#[from] SealedError),
    /// The backup failed.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// A hook failed before anything was saved.
    #[error("{0}; nothing was saved")]
    Hook(std::io::Error),
    /// The snapshot has no dump of a database.
    #[error("the snapshot has no dump of `{database}` ({path}); `ls` of its folder shows which it has")]
    NoDump {
        /// The database.
        database: String,
        /// Where its dump would be.
        path: String,
    },
    /// A database that holds something is not replaced without being told so.
    #[error(
        "the database `{database}` holds {tables} tables, views and sequences; --replace drops it when the new one is complete, --to takes another name"
    )]
    NotEmpty {
        /// The database.
        database: String,
        /// How many.
        tables: String,
    },
    /// A database server or one of its programs.
    #[error("{0}")]
    Server(std::io::Error),
    /// None of the job's sources is there.
    #[error("nothing to save: none of the paths is there; no snapshot was made")]
    Nothing,
}

impl From<std::io::Error> for JobError {
    fn from(error: std::io::Error) -> Self {
        Self::Server(error)
    }
}
