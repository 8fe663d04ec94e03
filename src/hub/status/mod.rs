//! How the cluster fares: plain data, of which the page, the metrics and every answer about the state of things are made.
//!
//! ```text
//!   reports of hosts --> jobs ----+
//!   tokens           --> never ---+--> Status --> JSON, metrics, backup-status, the page
//!   repositories     --> snapshots, quota, copies --+
//!   housekeeping     --> upkeep ------+
//! ```
//!
//! What a host says of itself is its word, and whoever has broken into it can lie: that its snapshots are there, signed, and when they came, the hub knows by itself.

mod agents;
mod copies;
mod jobs;
mod metrics;
mod repositories;
mod survey;
mod upkeep;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::agents::{BackupList, BackupStatus, JobBrief, SnapshotBrief};
pub use self::copies::{Copies, CopyPlace, CopyStatus};
pub(super) use self::metrics::METRICS;
pub(super) use self::repositories::Counts;
pub(super) use self::survey::View;
use crate::model::id::{RepositoryId, SnapshotId};
use crate::model::report::{CopyKind, Kind, NextBy, Outcome};
use crate::store::hub::protocol::Usage;

/// How everything fares, or that part of it that a token may see.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The hub's clock.
    pub now: Timestamp,
    /// The hub's version.
    pub program: String,
    /// Room where the hub keeps everything; only for who sees the whole hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<Disk>,
    /// What somebody should look at, the worst first.
    pub warnings: Vec<Warning>,
    /// Each job of each host, those in trouble first.
    pub jobs: Vec<JobStatus>,
    /// Each repository, by name.
    pub repositories: Vec<RepositoryStatus>,
}

/// Room on a disk, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// What is free for the hub.
    pub free: u64,
    /// All there is.
    pub size: u64,
}

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Backups are not made, or soon cannot be.
    Error,
    /// To be looked at.
    Warning,
    /// Good to know.
    Note,
}

/// Something that somebody should look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// How bad it is.
    pub severity: Severity,
    /// The host that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// The repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// A sentence for people.
    pub text: String,
}

/// How a job fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The last run did not do what it should, or not everywhere.
    Failing,
    /// The next run should have been reported by now.
    Late,
    /// Nothing was ever reported.
    Never,
    /// The last run was done, with warnings.
    Warnings,
    /// A run is under way.
    Running,
    /// All is well.
    Ok,
}

impl State {
    /// Every state, the worst first.
    pub const ALL: [State; 6] = [State::Failing, State::Late, State::Never, State::Warnings, State::Running, State::Ok];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Failing => "failing",
            State::Late => "late",
            State::Never => "never",
            State::Warnings => "warnings",
            State::Running => "running",
            State::Ok => "ok",
        }
    }

    /// Whether backups are not made as they should be.
    pub const fn is_trouble(self) -> bool {
        matches!(self, State::Failing | State::Late)
    }
}

/// How a job of a host fares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobStatus {
    /// The host, as its token is called.
    pub host: String,
    /// What kind of run it is.
    pub kind: Kind,
    /// The job, or the name of the repository or mirror that it is about; none if the host never reported anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// The repository at the hub through which it reports.
    pub repository: String,
    /// In a word.
    pub state: State,
    /// Since when a run is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running_since: Option<Timestamp>,
    /// The last run that has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run: Option<Run>,
    /// When it last did what it should, in at least one repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success: Option<Timestamp>,
    /// How long that is ago, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age: Option<u64>,
    /// The run that did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_good: Option<Run>,
    /// When the next run is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Timestamp>,
    /// How that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_by: Option<NextBy>,
    /// Since when it should have been reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late_since: Option<Timestamp>,
    /// How many of the last runs in a row failed.
    pub failures: u64,
    /// How many of the last runs in a row were done with warnings.
    pub warnings: u64,
    /// The job's repositories, as the last report names them.
    pub repositories: Vec<JobRepository>,
    /// Its copies, the live data among them; only of backups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copies: Option<Copies>,
    /// The last runs, oldest first.
    pub trend: Vec<Point>,
}

/// A run. Sizes in bytes; where it had several repositories, of that with the most.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Names it.
    pub id: String,
    /// When it began, by the host's clock.
    pub started: Timestamp,
    /// When it ended, by the host's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// When the hub heard of it.
    pub received: Timestamp,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How long it took, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
    /// How many warnings there were.
    pub warnings: u64,
    /// Files of the source.
    pub files: u64,
    /// Content of the source.
    pub bytes: u64,
    /// What was read of it.
    pub bytes_read: u64,
    /// Of that what was new.
    pub bytes_added: u64,
    /// What that takes, compressed and sealed.
    pub bytes_stored: u64,
}

/// A run in a history. Sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// When it began.
    pub started: Timestamp,
    /// How it ended.
    pub outcome: Outcome,
    /// Content of the source.
    pub bytes: u64,
    /// What it added.
    pub bytes_stored: u64,
}

/// How a job fares in one of its repositories. Sizes in bytes, of the last success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRepository {
    /// Its name in the host's configuration.
    pub name: String,
    /// Which one it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<RepositoryId>,
    /// What kind of copy it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy: Option<CopyKind>,
    /// How the last run ended there.
    pub outcome: Outcome,
    /// Why it failed there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When it last succeeded there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success: Option<Timestamp>,
    /// Files of the source.
    pub files: u64,
    /// Content of the source.
    pub bytes: u64,
    /// What was read of it.
    pub bytes_read: u64,
    /// Of that what was new there.
    pub bytes_added: u64,
    /// What that takes there.
    pub bytes_stored: u64,
}

/// How a repository fares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RepositoryStatus {
    /// Its name at the hub.
    pub name: String,
    /// Which one it is; none before `init`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<RepositoryId>,
    /// The hosts whose tokens add to it.
    pub hosts: Vec<String>,
    /// What it takes.
    pub used: Usage,
    /// What it may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<Usage>,
    /// What to know before the quota is used up, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_warning: Option<String>,
    /// Snapshots that count: whole, and signed by a known writer.
    pub snapshots: u64,
    /// Snapshots that do not: of runs that broke off, or forged.
    pub uncounted: u64,
    /// When the hub received the newest that counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<Timestamp>,
    /// Its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest_snapshot: Option<SnapshotId>,
    /// The copies of what is in it, the live data and the hub among them.
    pub copies: Copies,
    /// What the hub's own housekeeping did; none before it first ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upkeep: Option<Upkeep>,
    /// The last restore that was tried of it; none if none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_drill: Option<Timestamp>,
}

/// What the hub's own housekeeping did in a repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upkeep {
    /// When snapshots that no retention keeps last went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forgot: Option<Timestamp>,
    /// When space was last given back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pruned: Option<Timestamp>,
    /// When a share of its packs was last read and hashed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<Timestamp>,
    /// Since when each of its bytes has been read once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_in_full: Option<Timestamp>,
    /// What went wrong in the last run of a step, for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
    /// When it was last brought to each mirror.
    #[serde(default)]
    pub mirrors: Vec<MirrorUpkeep>,
}

/// How a mirror of the hub fares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MirrorUpkeep {
    /// Its name in the hub's configuration.
    pub name: String,
    /// What it lies on, if the configuration says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media: Option<String>,
    /// Whether it lies in another building.
    pub offsite: bool,
    /// When it last had all that it should.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success: Option<Timestamp>,
    /// Why it does not now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[cfg(test)]
mod tests;
