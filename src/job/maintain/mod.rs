//! Keeping house in a repository of the configuration.
//!
//! ```text
//!   Config, repository's name --> open it with the writer key
//!      --> forget: of each job with a retention, what that does not keep
//!      --> prune, unless forget failed
//!      --> check, with the day's share of packs            --> Maintained: what became of each step
//! ```
//!
//! Each step is a command of its own as well; that goes through the same functions, which are those of `keep`.

pub mod forget;

use std::path::PathBuf;

use self::forget::JobRetention;
use super::JobError;
use super::opened::Opened;
use crate::config::{Config, Credentials};
use crate::keep::check::check;
use crate::keep::prune::{self, Pruned, prune};
use crate::keep::{self, AFTER_FAILURE, Ended};
use crate::model::event::{Event, Monitor};
use crate::retention::Limits;
use crate::sealed::repository::Repository;
use crate::sealed::verify::{self, Share};
use crate::store::Access;

/// A step of keeping house.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Snapshots that no retention keeps go.
    Forget,
    /// The space of what no snapshot needs is given back.
    Prune,
    /// All that the snapshots need is looked for, and a share of it is read.
    Check,
}

/// How to keep house.
pub struct MaintainOptions<'a> {
    /// The host's configuration.
    pub config: &'a Config,
    /// The repository's name in it.
    pub repository: &'a str,
    /// The machine's name, unless the configuration gives one.
    pub host: String,
    /// Where the machine keeps its state, unless the configuration says so.
    pub state_base: PathBuf,
    /// Where systemd has put this service's credentials.
    pub credentials: Option<PathBuf>,
    /// How to reach repositories on servers, unless the configuration says so.
    pub access: Access,
    /// Only these steps; all if there are none.
    pub only: Vec<Step>,
    /// Change nothing, only say what would be done.
    pub dry_run: bool,
    /// What one run may forget.
    pub limits: Limits,
}

/// What became of each step.
pub struct Maintained {
    /// Where.
    pub repository: Repository,
    /// Each job with a retention; empty if there is none.
    pub forget: Ended<Vec<JobRetention>, JobError>,
    /// What was given back.
    pub prune: Ended<Pruned, JobError>,
    /// What was found.
    pub check: Ended<verify::Report, JobError>,
}

impl Maintained {
    /// Whether a step could not be done. What a check finds is no failure of it.
    pub fn failed(&self) -> bool {
        self.forget_failed() || matches!(self.prune, Ended::Failed(_)) || matches!(self.check, Ended::Failed(_))
    }

    fn forget_failed(&self) -> bool {
        match &self.forget {
            Ended::Failed(_) => true,
            Ended::Done(jobs) => jobs.iter().any(|job| job.error.is_some()),
            Ended::NotAsked | Ended::Skipped(_) => false,
        }
    }

    /// Whether forgetting failed, or would fail if this were no dry run.
    fn forget_refused(&self) -> bool {
        let Ended::Done(jobs) = &self.forget else { return self.forget_failed() };
        jobs.iter().any(|job| job.error.is_some() || !job.plan.objections.is_empty())
    }
}

/// Keeps house in a repository. What fails in a step is told as an event, and the next one goes on; but nothing is pruned after
/// something could not be forgotten: whoever looks into that may want snapshots back.
///
/// # Errors
/// If there is no such repository, or it cannot be opened.
pub fn maintain(options: &MaintainOptions<'_>, monitor: &dyn Monitor) -> Result<Maintained, JobError> {
    let configured = options.config.repository(options.repository)?;
    let base = options.config.state_dir.as_deref().unwrap_or(&options.state_base);
    // The NixOS module has a service for each step.
    let first = options.only.first().map_or("forget", |step| step.word());
    let service = format!("hearth-backup-{first}-{}", options.repository);
    let credentials = Credentials { directory: options.credentials.clone(), service };
    let opened = Opened::open(configured, base, &credentials, &options.access, None)?;
    let repository = opened.repository.clone();
    let mut done = Maintained { repository, forget: Ended::NotAsked, prune: Ended::NotAsked, check: Ended::NotAsked };
    done.forget = taken(options, Step::Forget, monitor, || forget::by_jobs(&opened, options, monitor));
    done.prune = if options.asks_for(Step::Prune) && done.forget_refused() {
        monitor.event(Event::warning(Step::Prune.word(), AFTER_FAILURE));
        Ended::Skipped(AFTER_FAILURE)
    } else {
        taken(options, Step::Prune, monitor, || {
            Ok(prune(&opened.repository, &prune::options(configured.prune, options.dry_run)?, monitor)?)
        })
    };
    done.check = taken(options, Step::Check, monitor, || {
        let share = configured.check.unwrap_or_default().read_packs.get();
        Ok(check(&opened.repository, (share > 0).then_some(Share::Percent(share)), monitor)?)
    });
    Ok(done)
}

fn taken<T>(
    options: &MaintainOptions<'_>,
    step: Step,
    monitor: &dyn Monitor,
    work: impl FnOnce() -> Result<T, JobError>,
) -> Ended<T, JobError> {
    if options.asks_for(step) { keep::step(step.word(), monitor, work) } else { Ended::NotAsked }
}

impl MaintainOptions<'_> {
    fn asks_for(&self, step: Step) -> bool {
        self.only.is_empty() || self.only.contains(&step)
    }
}

impl Step {
    fn word(self) -> &'static str {
        match self {
            Step::Forget => "forget",
            Step::Prune => "prune",
            Step::Check => "check",
        }
    }
}
