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
mod belief;
mod copies;
mod metrics;
mod repositories;
mod survey;
mod upkeep;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::agents::{BackupList, BackupStatus, JobBrief, SnapshotBrief};
pub(super) use self::metrics::METRICS;
pub(super) use self::repositories::Counts;
pub(super) use self::survey::View;
pub use crate::history::{Copies, CopyPlace, CopyStatus, JobRepository, JobStatus, Point, Run, Severity, State, Warning};
use crate::model::id::{RepositoryId, SnapshotId};
pub use crate::model::report::Disk;
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
    /// Each repository that can be read, by name.
    pub repositories: Vec<RepositoryStatus>,
    /// Those that cannot, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unreadable: BTreeMap<String, String>,
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
    /// When its directory was made, if its filesystem knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<Timestamp>,
    /// In which time each of its bytes shall be read once, in seconds; none if that is not wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify_within: Option<u64>,
    /// When a restore of the hub's own copy was last tried, and worked; none if none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_drill: Option<Timestamp>,
    /// How long it would take to bring everything back from it, in seconds, as the newest drill estimates that worked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_seconds: Option<u64>,
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
    /// When a restore of it was last tried, and worked; none if none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_drill: Option<Timestamp>,
}

#[cfg(test)]
pub(super) mod tests;
