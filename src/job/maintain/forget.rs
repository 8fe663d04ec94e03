//! Forgetting by the retention of jobs, and which snapshots are those of a job.

use jiff::tz::TimeZone;

use super::MaintainOptions;
use crate::content::secret::group_id;
use crate::job::JobError;
use crate::job::opened::Opened;
use crate::keep::KeepError;
use crate::keep::forget::{Memory, candidate, carry_out, clock, policy};
use crate::model::event::{Event, Monitor};
use crate::model::id::SnapshotId;
use crate::retention::{self, Plan};
use crate::sealed::snapshots::{Snapshot, Snapshots};
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
    let memory = Memory::within(opened.state.dir());
    let clock = clock(&found.list, &memory);
    let host = options.config.host.as_ref().unwrap_or(&options.host);
    let mut done = Vec::new();
    for (job, retention) in jobs {
        let snapshots = of_job(opened, host, job, &found.list);
        let group = Some((job.clone(), snapshots.iter().map(candidate).collect())).filter(|_| !snapshots.is_empty());
        let plan = retention::plan(group, &policy(&retention), &TimeZone::system(), &clock, &options.limits).map_err(KeepError::from)?;
        let mut of_job = JobRetention { job: job.clone(), snapshots, plan, forgotten: Vec::new(), error: None };
        if !options.dry_run
            && let Err(error) = carry_out(&of_job.plan, &opened.repository, &mut of_job.forgotten, monitor)
        {
            monitor.event(Event::error(format!("forget, job {job}"), error.to_string()));
            of_job.error = Some(error.into());
        }
        done.push(of_job);
    }
    // A clock that was refused is no time to remember; it was refused for all of them.
    if !options.dry_run && done.iter().any(|job| job.error.is_none()) {
        memory.remember_run()?;
    }
    Ok(done)
}

/// The finished snapshots of a job of this host. Only the holder of the writer key can make, or tell, the group of a host and job.
fn of_job(opened: &Opened, host: &str, job: &str, all: &[Snapshot]) -> Vec<Snapshot> {
    let group = group_id(opened.key.signing.seed(), host, job.as_bytes());
    let ours = |snapshot: &&Snapshot| snapshot.envelope.writer == opened.key.writer && snapshot.envelope.group == group;
    all.iter().filter(|snapshot| snapshot.committed).filter(ours).cloned().collect()
}
