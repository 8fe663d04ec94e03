//! Small answers for programs that ask one thing: how a job fares, and which snapshots there are.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::survey::View;
use super::{JobStatus, State};
use crate::hub::repository::{failed, refusal};
use crate::hub::{Hub, Role};
use crate::model::human;
use crate::model::id::{GroupId, SnapshotId, WriterId};
use crate::model::report::Kind;
use crate::sealed::SealedError;
use crate::sealed::snapshots::Snapshots;
use crate::store::Folder;
use crate::store::hub::protocol::{Reason, Refusal};

/// How jobs fare, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupStatus {
    /// The hub's clock.
    pub now: Timestamp,
    /// Whether no job is late or failing, and there is one.
    pub healthy: bool,
    /// Each, those in trouble first.
    pub jobs: Vec<JobBrief>,
}

/// How a job fares, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobBrief {
    /// The host.
    pub host: String,
    /// The job; none if the host never reported anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// What kind of run it is.
    pub kind: Kind,
    /// In a word.
    pub state: State,
    /// The same as a sentence for people.
    pub summary: String,
    /// When it last did what it should.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success: Option<Timestamp>,
    /// How long that is ago, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age: Option<u64>,
    /// When the next run is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Timestamp>,
    /// Why the last run failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Content of the source at the last success, in bytes.
    pub bytes: u64,
    /// What that run added, in bytes.
    pub bytes_stored: u64,
}

impl BackupStatus {
    /// Of some jobs.
    pub(in crate::hub) fn of(jobs: &[JobStatus], now: Timestamp, host: Option<&str>, job: Option<&str>) -> Self {
        let meant =
            |status: &&JobStatus| host.is_none_or(|host| status.host == host) && job.is_none_or(|job| status.job.as_deref() == Some(job));
        let jobs: Vec<JobBrief> = jobs.iter().filter(meant).map(|job| JobBrief::of(job, now)).collect();
        Self { now, healthy: !jobs.is_empty() && !jobs.iter().any(|job| job.state.is_trouble()), jobs }
    }
}

impl JobBrief {
    fn of(job: &JobStatus, now: Timestamp) -> Self {
        let since =
            job.last_success.map_or_else(|| "never succeeded".to_owned(), |then| format!("last succeeded {}", human::age(then, now)));
        let name = job.job.as_deref().unwrap_or("no job");
        let error = job.last_run.as_ref().and_then(|run| run.error.clone());
        Self {
            host: job.host.clone(),
            job: job.job.clone(),
            kind: job.kind,
            state: job.state,
            summary: format!("{} {name} of {}: {}, {since}", job.kind, job.host, job.state.as_str()),
            last_success: job.last_success,
            age: job.age,
            next: job.next,
            error,
            bytes: job.last_good.as_ref().map_or(0, |run| run.bytes),
            bytes_stored: job.last_good.as_ref().map_or(0, |run| run.bytes_stored),
        }
    }
}

/// The snapshots of a repository, by what their envelopes show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupList {
    /// The repository at the hub.
    pub repository: String,
    /// How many there are.
    pub count: u64,
    /// The newest of them, newest first.
    pub snapshots: Vec<SnapshotBrief>,
}

/// What can be seen of a snapshot without a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotBrief {
    /// Its id.
    pub id: SnapshotId,
    /// Who made it.
    pub writer: WriterId,
    /// Which host and job, as an opaque hash.
    pub group: GroupId,
    /// When the run began, by the writer's clock.
    pub started: Timestamp,
    /// When the hub received it.
    pub received: Timestamp,
    /// What the run added, in bytes.
    pub bytes_added: u64,
    /// Blocks that it needs, a count.
    pub blocks: u64,
    /// Whether its writer has verified that all of it is there.
    pub committed: bool,
    /// Whether it counts: committed, and signed by a known writer.
    pub counts: bool,
    /// Whether it is kept whatever the retention says.
    pub pinned: bool,
}

impl Hub {
    /// The snapshots of the repository of this name, or of the one that a host adds to; of the only one that is seen if nothing is said.
    pub(in crate::hub) fn backup_list(
        &self,
        view: &View,
        host: Option<&str>,
        repository: Option<&str>,
        limit: usize,
    ) -> Result<BackupList, Refusal> {
        let unknown = || refusal(Reason::NotFound, "there is no such host or repository that you may see");
        let name = match (host, repository, view.repository()) {
            (None, Some(name), _) | (None, None, Some(name)) => name.to_owned(),
            (Some(host), None, _) => self.repository_of(host, view).ok_or_else(unknown)?,
            _ => return Err(refusal(Reason::Malformed, "behind `?` there must be `host=` or `repository=`, and not both")),
        };
        if !view.shows(&name) {
            return Err(unknown());
        }
        let kept = self.repositories.get(&name).map_err(|_| unknown())?;
        let Ok(repository) = kept.repository() else {
            return Ok(BackupList { repository: name, count: 0, snapshots: Vec::new() });
        };
        let found = Snapshots::load(&repository, Folder::Snapshots).map_err(|error| match error {
            SealedError::Store(error) => failed(&error),
            error => {
                tracing::error!("{error}");
                refusal(Reason::Failed, "the snapshots cannot be read; the hub's log says why")
            }
        })?;
        let brief = |snapshot: &crate::sealed::snapshots::Snapshot| SnapshotBrief {
            id: snapshot.id,
            writer: snapshot.envelope.writer,
            group: snapshot.envelope.group,
            started: snapshot.envelope.started,
            received: snapshot.received_at(),
            bytes_added: snapshot.envelope.sizes.added,
            blocks: snapshot.envelope.sizes.blocks,
            committed: snapshot.committed,
            counts: snapshot.counts(),
            pinned: snapshot.pinned,
        };
        let snapshots = found.list.iter().rev().take(limit).map(brief).collect();
        Ok(BackupList { repository: name, count: found.list.len() as u64, snapshots })
    }

    /// The repository that a host's token is for, or the one through which it reports.
    fn repository_of(&self, host: &str, view: &View) -> Option<String> {
        let tokens = self.tokens.all().ok()?;
        let own = tokens.into_iter().find(|token| token.name == host && token.role == Role::Writer).and_then(|token| token.repository);
        let own = own.or_else(|| {
            let histories = self.reports.histories(view.repository()).ok()?;
            histories.into_iter().find(|history| history.host == host).and_then(|history| Some(history.runs.first()?.repository.clone()))
        });
        own.filter(|name| view.shows(name))
    }
}
