//! Forgetting by retention: the keeper's clock, and the plan's execution.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::KeepError;
use crate::config::Retention;
use crate::model::event::Monitor;
use crate::model::id::SnapshotId;
use crate::retention::{Candidate, Clock, Plan, Policy};
use crate::sealed::forget::forget;
use crate::sealed::repository::Repository;
use crate::sealed::snapshots::{Signer, Snapshot};
use crate::store::durable;

/// Bytes of the file that are read.
const LONGEST: u64 = 4096;

/// A snapshot as retention sees it.
pub fn candidate(snapshot: &Snapshot) -> Candidate {
    Candidate { id: snapshot.id, counted_at: snapshot.received_at(), pinned: snapshot.pinned, trusted: snapshot.signer == Signer::Known }
}

/// What is known about the time: that of this machine, of snapshots, and of the last run of retention.
pub fn clock<'a>(snapshots: impl IntoIterator<Item = &'a Snapshot>, memory: &Memory) -> Clock {
    Clock { now: Timestamp::now(), newest_record: snapshots.into_iter().map(Snapshot::received_at).max(), last_run: memory.last_run() }
}

/// Forgets what the plan does not keep; each snapshot that is gone is added to `forgotten`.
///
/// # Errors
/// If something speaks against the plan, the store fails, or the run is asked to stop.
pub fn carry_out<K>(
    plan: &Plan<K>,
    repository: &Repository,
    forgotten: &mut Vec<SnapshotId>,
    monitor: &dyn Monitor,
) -> Result<(), KeepError> {
    for id in plan.to_forget()? {
        if monitor.cancelled() {
            return Err(KeepError::Stopped("what is forgotten stays forgotten, and the next run goes on"));
        }
        forget(repository, &id)?;
        forgotten.push(id);
    }
    Ok(())
}

/// What a keeper remembers of its last run in a repository, in a file of its own.
#[derive(Debug, Clone)]
pub struct Memory(PathBuf);

#[derive(Serialize, Deserialize)]
struct LastRun {
    last_run: Timestamp,
}

impl Memory {
    /// That in a directory.
    pub fn within(directory: &Path) -> Self {
        Self(directory.join("retention.json"))
    }

    fn last_run(&self) -> Option<Timestamp> {
        let bytes = durable::read(&self.0, LONGEST).ok()??;
        serde_json::from_slice::<LastRun>(&bytes).ok().map(|run| run.last_run)
    }

    /// Remembers that retention ran now, to notice a clock that jumps.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn remember_run(&self) -> Result<(), KeepError> {
        let failed = |error| KeepError::Memory(self.0.clone(), error);
        let text = serde_json::to_vec(&LastRun { last_run: Timestamp::now() }).map_err(|error| failed(error.into()))?;
        durable::replace(&self.0, &text).map_err(failed)
    }
}

/// The policy of a configuration.
pub fn policy(retention: &Retention) -> Policy {
    Policy {
        last: retention.last,
        hourly: retention.hourly,
        daily: retention.daily,
        weekly: retention.weekly,
        monthly: retention.monthly,
        yearly: retention.yearly,
        within: retention.within.map(|span| span.0),
    }
}
