//! The repositories that a job goes to, opened and locked before anything else happens.

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use super::opened::Opened;
use super::run::{Outcome, RunOptions};
use super::{JobError, recipients};
use crate::config::{ByteRate, Job};
use crate::content::ContentError;
use crate::content::backup::state::RunLock;
use crate::content::backup::{BackupOptions, Destination, backup_to};
use crate::model::event::{Event, Monitor};
use crate::model::pace::Pace;

/// How often to look whether the run is to stop.
const LOOK: Duration = Duration::from_millis(100);

/// A repository to which nobody else writes meanwhile.
struct Locked {
    opened: Opened,
    lock: RunLock,
}

/// The repositories of a job.
pub(super) struct Destinations {
    /// In the job's order.
    all: Vec<(String, Result<Locked, JobError>)>,
    /// At which they are written to, all together.
    upload: Option<Arc<Pace>>,
}

impl Destinations {
    /// Opens the job's repositories, or only those that the options name, and waits until no other run writes to them. Tells where
    /// others can restore than the configuration says.
    ///
    /// # Errors
    /// If the run is asked to stop meanwhile. One that cannot be opened is an outcome later.
    pub(super) fn open(options: &RunOptions<'_>, job: &Job, monitor: &dyn Monitor) -> Result<Self, JobError> {
        let (config, only) = (options.config, &options.only);
        let names = job.repositories.iter().filter(|name| only.is_empty() || only.contains(name));
        let wanted = names.filter_map(|name| config.repositories.get(name).map(|repository| (name, repository)));
        let rate = job.limits.upload_rate.map(ByteRate::get);
        let limited = options.access.limits_uploads() || wanted.clone().any(|(_, repository)| repository.limit_upload.is_some());
        // One that nobody asked for binds nobody, and can still let go of what is under way.
        let upload = rate.or(limited.then_some(u64::MAX)).map(|rate| Arc::new(Pace::new(rate)));
        let mut all: Vec<(String, Result<Opened, JobError>)> = Vec::new();
        for (name, repository) in wanted {
            let mut opened = Opened::open(repository, options.state(), &options.credentials(), &options.access, upload.clone());
            if let Ok(new) = &opened
                && let Some((twin, _)) =
                    all.iter().find(|(_, other)| other.as_ref().is_ok_and(|other| other.key.repository == new.key.repository))
            {
                opened = Err(ContentError::Other(format!("this is the same repository as `{twin}`; name it once")).into());
            }
            if let Ok(opened) = &opened {
                recipients::compare(&config.recipients, name, opened.repository.statement(), monitor);
            }
            all.push((name.clone(), opened));
        }
        // In an order that is the same for all runs: two that wait for each other's locks would wait for ever.
        let mut ordered: Vec<_> = all.into_iter().enumerate().collect();
        ordered.sort_by_key(|(_, (_, opened))| opened.as_ref().ok().map(|opened| *opened.key.repository.as_bytes()));
        let mut locked = Vec::new();
        for (rank, (name, opened)) in ordered {
            let taken = match opened.map(|opened| Locked::take(opened, monitor)) {
                Ok(Err(JobError::Content(ContentError::Cancelled))) => return Err(ContentError::Cancelled.into()),
                Ok(taken) => taken,
                Err(error) => Err(error),
            };
            locked.push((rank, (name, taken)));
        }
        locked.sort_by_key(|(rank, _)| *rank);
        Ok(Self { all: locked.into_iter().map(|(_, locked)| locked).collect(), upload })
    }

    /// Works, and as soon as the run is asked to stop lets what is under way go out without a pace: whoever stops a service waits a minute
    /// or so, and a block may need longer than that.
    fn released_when_cancelled<R>(&self, monitor: &dyn Monitor, work: impl FnOnce() -> R) -> R {
        let Some(pace) = &self.upload else { return work() };
        let (done, ended) = mpsc::channel::<()>();
        thread::scope(|scope| {
            scope.spawn(move || {
                while ended.recv_timeout(LOOK) == Err(mpsc::RecvTimeoutError::Timeout) {
                    if monitor.cancelled() {
                        return pace.release();
                    }
                }
            });
            let result = work();
            drop(done);
            result
        })
    }

    /// Whether none of them can be written to.
    pub(super) fn all_failed(&self) -> bool {
        self.all.iter().all(|(_, opened)| opened.is_err())
    }

    /// Saves once to all of them; an outcome for each.
    ///
    /// # Errors
    /// If the run was asked to stop.
    pub(super) fn save(self, options: &BackupOptions, monitor: &dyn Monitor) -> Result<Vec<Outcome>, JobError> {
        let destinations: Vec<_> = self.all.iter().filter_map(|(_, opened)| opened.as_ref().ok()).map(Locked::destination).collect();
        let mut results = self.released_when_cancelled(monitor, || backup_to(&destinations, options, monitor)).into_iter();
        drop(destinations);
        let mut outcomes = Vec::new();
        for (repository, opened) in self.all {
            let requests = opened.as_ref().ok().and_then(|locked| locked.opened.repository.store().requests());
            let result = opened.and_then(|_| results.next().unwrap_or(Err(ContentError::Cancelled)).map_err(JobError::from));
            outcomes.push(Outcome { repository, result, requests });
        }
        let cancelled = |outcome: &Outcome| matches!(outcome.result, Err(JobError::Content(ContentError::Cancelled)));
        let stopped = outcomes.iter().any(cancelled);
        for Outcome { repository, result, .. } in &outcomes {
            let subject = format!("repository {repository}");
            match result {
                Ok(_) if stopped => monitor.event(Event::info(subject, "had its snapshot before the run was stopped")),
                Err(JobError::Content(ContentError::Cancelled)) | Ok(_) => {}
                Err(error) => monitor.event(Event::error(subject, error.to_string())),
            }
        }
        if stopped { Err(ContentError::Cancelled.into()) } else { Ok(outcomes) }
    }
}

impl Locked {
    /// Waits until no other run writes to it.
    fn take(opened: Opened, monitor: &dyn Monitor) -> Result<Self, JobError> {
        let lock = opened.state.lock(monitor)?;
        Ok(Self { opened, lock })
    }

    fn destination(&self) -> Destination<'_> {
        let Opened { repository, key, state } = &self.opened;
        Destination { repository, key, state, lock: &self.lock }
    }
}
