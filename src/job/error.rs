//! Why a job could not do its work.

use crate::config::{ConfigError, SecretError};
use crate::content::ContentError;
use crate::keep::KeepError;
use crate::keep::reach::ReachError;
use crate::model::span::SpanError;
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
    /// A file with a secret is not there.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A time has no fixed length.
    #[error(transparent)]
    Span(#[from] SpanError),
    /// House could not be kept.
    #[error(transparent)]
    Keep(#[from] KeepError),
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
    /// The job may not run at this time of day.
    #[error("job `{job}` runs from {from} to {to} only; nothing was done. --now runs it all the same")]
    OutsideWindow {
        /// The job.
        job: String,
        /// When its window begins.
        from: String,
        /// When it ends.
        to: String,
    },
    /// The time of day in which the job may run ended before the job did.
    #[error("the window of job `{job}` ended at {to} before all was saved; what was stored stays, and the next run continues from it")]
    WindowEnded {
        /// The job.
        job: String,
        /// When the window ended.
        to: String,
    },
    /// Something did not hold still before anything was saved.
    #[error("{0}; what was stopped goes on, and nothing was saved")]
    Quiesce(std::io::Error),
    /// Snapshots that are required were not to be had.
    #[error("{0}; nothing was saved")]
    Snapshot(std::io::Error),
    /// A place cannot be reached.
    #[error(transparent)]
    Reach(#[from] ReachError),
    /// The repository's location is not understood, or nothing is there.
    #[error(transparent)]
    Location(#[from] LocationError),
    /// The configuration names no key.
    #[error("the repository {url} has no `writerKey` in the configuration; give it this host's, or use the commands that take --repo")]
    NoWriterKey {
        /// Where the repository is.
        url: String,
    },
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
        "the database `{database}` holds {tables} tables, views, sequences and other objects; --replace drops it when the new one is complete, --to takes another name"
    )]
    NotEmpty {
        /// The database.
        database: String,
        /// How many.
        tables: String,
    },
    /// The tables of a restored database do not hold the rows that were recorded.
    #[error(
        "the restored `{database}` does not hold what was saved: {}; nothing was replaced (--no-verify-rows takes it as it is)",
        listed(.differences)
    )]
    RowsDiffer {
        /// The database.
        database: String,
        /// Each table with both counts.
        differences: Vec<String>,
    },
    /// An earlier restore was ended when the old database was gone and the new one did not have its name yet.
    #[error(
        "a restore was ended before it could rename `{}`, which is complete, to `{}`, which is not there. Keep it: alter database \"{}\" rename to \"{}\"; \
         or drop it: drop database \"{}\"; then restore again",
        .names.0, .names.1, .names.0, .names.1, .names.0
    )]
    OnlyCopy {
        /// What it is called now, and what it shall be called.
        names: (String, String),
    },
    /// An earlier restore was ended when the old database was gone and the new one was not complete yet.
    #[error(
        "a restore was ended after its trial: `{}` is complete but for events, and `{}` is not. Rename it or drop it (drop database `{}`), then restore again",
        .names.0, .names.1, .names.0
    )]
    TrialLeft {
        /// The trial, and what was to be made.
        names: (String, String),
    },
    /// The dump could be loaded as a trial, and then not in the old database's place.
    #[error("{error}; the old `{}` is gone, but all that it was restored to is in `{}`, where the trial succeeded", .names.0, .names.1)]
    AfterTrial {
        /// The database and the trial.
        names: (String, String),
        /// What failed.
        error: Box<JobError>,
    },
    /// A database has the name that a restore needs.
    #[error(
        "the database `{database}` is in the way: the restored one is called so until it is complete. Rename or drop it, then restore again"
    )]
    NotOurs {
        /// Its name.
        database: String,
    },
    /// A database server or one of its programs.
    #[error("{0}")]
    Server(std::io::Error),
    /// None of the job's sources is there.
    #[error("nothing to save: none of the paths is there; no snapshot was made")]
    Nothing,
}

/// Most that a message lists.
const LISTED: usize = 20;

fn listed(all: &[String]) -> String {
    let more = all.len().saturating_sub(LISTED);
    let first: Vec<&str> = all.iter().take(LISTED).map(String::as_str).collect();
    if more == 0 { first.join(", ") } else { format!("{}, and {more} more tables", first.join(", ")) }
}

impl From<std::io::Error> for JobError {
    fn from(error: std::io::Error) -> Self {
        Self::Server(error)
    }
}
