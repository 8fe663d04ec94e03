//! Forgetting by retention: the keeper's clock, the plan's execution, and which snapshots are those of a job.

use std::path::PathBuf;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::MaintainOptions;
use crate::config::Retention;
use crate::content::ContentError;
use crate::content::backup::state::{State, save_bytes};
use crate::content::secret::group_id;
use crate::job::JobError;
use crate::job::opened::Opened;
use crate::model::event::{Event, Monitor};
use crate::model::id::SnapshotId;
use crate::retention::{self, Candidate, Clock, Plan, Policy};
use crate::sealed::forget::forget;
use crate::sealed::repository::Repository;
use crate::sealed::snapshots::{Signer, Snapshot, Snapshots};
use crate::store::Folder;

/// What became of the snapshots of one job.
#[derive(Debug)]
pub struct JobRetention {
    /// The job.
    pub job: String,
    /// Its snapshots that were decided about.
    pub snapshots: Vec<Snapshot>,
    /// The decisions.
    pub plan: Plan<String>,
    /// What was forgotten.
    pub forgotten: Vec<SnapshotId>,
    /// Why not all was that should have been.
    pub error: Option<JobError>,
}

/// A snapshot as retention sees it.
pub fn candidate(snapshot: &Snapshot) -> Candidate {
    Candidate { id: snapshot.id, counted_at: snapshot.received_at(), pinned: snapshot.pinned, trusted: snapshot.signer == Signer::Known }
}

/// What is known about the time: that of this machine, of snapshots, and of the last run of retention.
pub fn clock<'a>(snapshots: impl IntoIterator<Item = &'a Snapshot>, state: &State) -> Clock {
    Clock { now: Timestamp::now(), newest_record: snapshots.into_iter().map(Snapshot::received_at).max(), last_run: last_run(state) }
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
) -> Result<(), JobError> {
    for id in plan.to_forget()? {
        if monitor.cancelled() {
            return Err(JobError::Stopped("what is forgotten stays forgotten, and the next run goes on"));
        }
        forget(repository, &id)?;
        forgotten.push(id);
    }
    Ok(())
}

#[derive(Serialize, Deserialize)]
struct LastRun {
    last_run: Timestamp,
}

fn file(state: &State) -> PathBuf {
    state.dir().join("retention.json")
}

fn last_run(state: &State) -> Option<Timestamp> {
    let bytes = std::fs::read(file(state)).ok()?;
    serde_json::from_slice::<LastRun>(&bytes).ok().map(|run| run.last_run)
}

/// Remembers that retention ran now, to notice a clock that jumps.
///
/// # Errors
/// If the state cannot be written.
pub fn remember_run(state: &State) -> Result<(), JobError> {
    let text = serde_json::to_vec(&LastRun { last_run: Timestamp::now() }).map_err(|error| ContentError::Other(error.to_string()))?;
    Ok(save_bytes(&file(state), &text)?)
}

/// Forgets what the retention of each job does not keep. Jobs stand for themselves: what speaks against one keeps none of the others.
pub(super) fn by_jobs(opened: &Opened, options: &MaintainOptions<'_>, monitor: &dyn Monitor) -> Result<Vec<JobRetention>, JobError> {
    let jobs = options.config.jobs.iter().filter(|(_, job)| job.repositories.iter().any(|name| name == options.repository));
    let jobs: Vec<_> = jobs.filter_map(|(name, job)| job.retention.map(|retention| (name, retention))).collect();
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    monitor.event(Event::Phase("forget"));
    let found = Snapshots::load(&opened.repository, Folder::Snapshots)?;
    for (name, error) in &found.unreadable {
        monitor.event(Event::warning(name.to_string(), error.to_string()));
    }
    let clock = clock(&found.list, &opened.state);
    let host = options.config.host.as_ref().unwrap_or(&options.host);
    let mut done = Vec::new();
    for (job, retention) in jobs {
        let snapshots = of_job(opened, host, job, &found.list);
        let group = Some((job.clone(), snapshots.iter().map(candidate).collect())).filter(|_| !snapshots.is_empty());
        let plan = retention::plan(group, &policy(&retention), &TimeZone::system(), &clock, &options.limits)?;
        let mut of_job = JobRetention { job: job.clone(), snapshots, plan, forgotten: Vec::new(), error: None };
        if !options.dry_run
            && let Err(error) = carry_out(&of_job.plan, &opened.repository, &mut of_job.forgotten, monitor)
        {
            monitor.event(Event::error(format!("forget, job {job}"), error.to_string()));
            of_job.error = Some(error);
        }
        done.push(of_job);
    }
    // A clock that was refused is no time to remember; it was refused for all of them.
    if !options.dry_run && done.iter().any(|job| job.error.is_none()) {
        remember_run(&opened.state)?;
    }
    Ok(done)
}

/// The finished snapshots of a job of this host. Only the holder of the writer key can make, or tell, the group of a host and job.
fn of_job(opened: &Opened, host: &str, job: &str, all: &[Snapshot]) -> Vec<Snapshot> {
    let group = group_id(opened.key.signing.seed(), host, job.as_bytes());
    let ours = |snapshot: &&Snapshot| snapshot.envelope.writer == opened.key.writer && snapshot.envelope.group == group;
    all.iter().filter(|snapshot| snapshot.committed).filter(ours).cloned().collect()
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
