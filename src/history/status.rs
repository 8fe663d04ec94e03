//! How a job fares, as plain data.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::copies::Copies;
use crate::model::id::RepositoryId;
use crate::model::report::{Anomaly, CopyKind, Disk, DrillFigures, Kind, NextBy, Outcome};

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
    /// The repository at the hub through which it reports; empty on the host itself.
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
    /// From when on it is late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overdue_at: Option<Timestamp>,
    /// Since when it should have been reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late_since: Option<Timestamp>,
    /// Of a host that never reported anything: since when it could have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub awaited_since: Option<Timestamp>,
    /// How many of the last runs in a row failed.
    pub failures: u64,
    /// How many of the last runs in a row were done with warnings.
    pub warnings: u64,
    /// SQLite databases that the last run copied and looked at.
    #[serde(default)]
    pub sqlite_copies: u64,
    /// Those of them that are damaged.
    #[serde(default)]
    pub integrity_failures: u64,
    /// Seconds by which the host's clock was ahead when its last report came; only at a hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_ahead: Option<i64>,
    /// The job's repositories, as the last report names them.
    pub repositories: Vec<JobRepository>,
    /// What the last drill that restored something found; only of drills.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill: Option<DrillFigures>,
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
    /// When the hub heard of it; on the host itself when it ended.
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
    /// The first of them, shortened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_warning: Option<String>,
    /// How much was found that is damaged or missing.
    #[serde(default)]
    pub problems: u64,
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
    /// Which of the hub's mirrors it was then; only of drills.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<String>,
    /// How long everything in it would take to come back, in seconds, as was estimated then; only of drills.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_seconds: Option<u64>,
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
    /// What looked suspicious then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub anomalies: Vec<Anomaly>,
    /// Room on its disk then, if that is one of the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<Disk>,
}
