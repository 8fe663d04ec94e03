//! One run of a job.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Zoned;

use super::destinations::Destinations;
use super::discover::{self, Files};
use super::hooks::{self, HookLog};
use super::standstill::{self, Sources, Standstill};
use super::streams::{self, Streams};
use super::window::{self, Until};
use super::{JobError, limits, lock};
use crate::config::{Config, Credentials, FilesystemSnapshots, IntegrityCheck, Job, Preset};
use crate::content::ContentError;
use crate::content::backup::{BackupOptions, Summary};
use crate::model::event::{Event, Monitor};
use crate::model::pace::Pace;
use crate::source::database::sqlite;
use crate::source::exclude::Excludes;
use crate::source::mapping::Mapping;
use crate::source::snapshot::btrfs;
use crate::source::snapshot::lvm::Volume;
use crate::source::view;
use crate::store::{Access, Address, Requests};

/// How to run a job.
pub struct RunOptions<'a> {
    /// The host's configuration.
    pub config: &'a Config,
    /// The job's name.
    pub job: &'a str,
    /// The machine's name, unless the configuration gives one.
    pub host: String,
    /// Where the machine keeps its state, unless the configuration says so.
    pub state_base: PathBuf,
    /// Where systemd has put this service's credentials.
    pub credentials: Option<PathBuf>,
    /// How to reach repositories on servers, unless the configuration says so.
    pub access: Access,
    /// Store nothing, only count.
    pub dry_run: bool,
    /// Only to these of the job's repositories; to all if there are none.
    pub only: Vec<String>,
    /// Wait for another run of the job to end, instead of failing.
    pub wait: bool,
    /// Run also outside of the job's window.
    pub now: bool,
    /// What time it is; [`jiff::Zoned::now`], but for tests.
    pub clock: &'a (dyn Fn() -> Zoned + Sync),
    /// Takes down what became of the commands around the job.
    pub log: &'a HookLog,
}

impl RunOptions<'_> {
    /// Where the machine keeps its state.
    pub(super) fn state(&self) -> &Path {
        self.config.state_dir.as_deref().unwrap_or(&self.state_base)
    }

    /// Where secrets are found that systemd keeps for the job's service.
    pub(super) fn credentials(&self) -> Credentials {
        Credentials { directory: self.credentials.clone(), service: format!("hearth-backup-{}", self.job) }
    }

    fn job_state(&self) -> PathBuf {
        self.state().join("jobs").join(self.job)
    }
}

/// What became of a job in one repository.
#[derive(Debug)]
pub struct Outcome {
    /// The repository's name in the configuration.
    pub repository: String,
    /// What was done, or why it was not.
    pub result: Result<Summary, JobError>,
    /// Requests to its server, if it has one.
    pub requests: Option<Requests>,
}

/// Runs a job: one outcome for each repository, in the job's order.
///
/// # Errors
/// If there is no such job, it runs already, its window is closed or closes, a hook fails before it, something does not hold still that must, or nothing of what
/// it shall save is there. What fails in one repository is in its outcome.
pub fn run(options: &RunOptions<'_>, monitor: &dyn Monitor) -> Result<Vec<Outcome>, JobError> {
    let job = options.config.job(options.job)?;
    let mut still = Standstill::default();
    if options.dry_run {
        return save_everywhere(options, job, &mut still, monitor);
    }
    let (dir, log) = (options.job_state(), options.log);
    let _lock = lock::take(options.job, &dir, options.wait, monitor)?;
    standstill::settle((options.job, job), &dir, log, monitor)?;
    let end = match job.window.as_ref().filter(|_| !options.now) {
        Some(window) => Some(window::end(window, &(options.clock)()).ok_or_else(|| JobError::OutsideWindow {
            job: options.job.to_owned(),
            from: window.from.to_string(),
            to: window.to.to_string(),
        })?),
        None => None,
    };
    limits::apply(&job.limits, monitor);
    let name = ("HEARTH_JOB", options.job);
    if !job.hooks.before.is_empty() {
        monitor.event(Event::Phase("before"));
    }
    let result = hooks::run("before", &job.hooks.before, &[name], log, monitor).map_err(JobError::Hook);
    let until = Until::new(monitor, end, options.clock);
    let mut result = result.and_then(|()| save_everywhere(options, job, &mut still, &until));
    if let (true, Err(JobError::Content(ContentError::Cancelled)), Some(window)) = (until.has_ended(), &result, &job.window) {
        result = Err(JobError::WindowEnded { job: options.job.to_owned(), to: window.to.to_string() });
    }
    monitor.event(Event::Phase("release"));
    let released = still.end(log, monitor);
    let success = released && result.as_ref().is_ok_and(|outcomes| outcomes.iter().all(|outcome| outcome.result.is_ok()));
    let (when, after, word) = match success {
        true => ("afterSuccess", &job.hooks.after_success, "success"),
        false => ("afterFailure", &job.hooks.after_failure, "failure"),
    };
    let environment = [name, ("HEARTH_RESULT", word)];
    if !(after.is_empty() && job.hooks.always.is_empty()) {
        monitor.event(Event::Phase("after"));
    }
    hooks::run_all(when, after, &environment, log, monitor);
    hooks::run_all("always", &job.hooks.always, &environment, log, monitor);
    result
}

/// Releases what a killed run of a job left: services and containers go on, snapshots are removed. Does nothing while the job runs.
/// Whether all of it is back.
///
/// # Errors
/// If there is no such job, or what the killed run wrote down cannot be read.
pub fn settle(config: &Config, job: &str, state_base: &Path, monitor: &dyn Monitor) -> Result<bool, JobError> {
    let dir = config.state_dir.as_deref().unwrap_or(state_base).join("jobs").join(job);
    let named = (job, config.job(job)?);
    let _lock = match lock::try_take(&dir)? {
        Ok(lock) => lock,
        Err(who) => {
            monitor.event(Event::info(format!("job {job}"), format!("is run by {who}; there is nothing to settle")));
            return Ok(true);
        }
    };
    standstill::settle(named, &dir, &HookLog::default(), monitor)
}

fn save_everywhere(options: &RunOptions<'_>, job: &Job, still: &mut Standstill, monitor: &dyn Monitor) -> Result<Vec<Outcome>, JobError> {
    // First of all: who has to wait for a repository shall not stop anything meanwhile.
    monitor.event(Event::Phase("open"));
    let destinations = Destinations::open(options, job, monitor)?;
    if destinations.all_failed() {
        return destinations.save(&BackupOptions::default(), monitor);
    }
    monitor.event(Event::Phase("discover"));
    let containers = discover::container_volumes(job, monitor)?;
    let mapping = Mapping::new(&options.config.read_from);
    let Files { reading, databases } = discover::files(job, &mapping, containers.as_ref(), monitor)?;
    let mut paths = reading.paths();
    let volumes = discover::logical_volumes(job, monitor)?;
    let devices: Vec<PathBuf> = job.devices.values().map(|device| device.path.clone()).collect();
    let streams = Streams::prepare(job, &options.job_state(), &options.credentials(), monitor);
    if paths.is_empty() && streams.files.is_empty() && devices.is_empty() && volumes.is_empty() {
        return Err(JobError::Nothing);
    }
    let rules = excludes(job)?;
    if options.dry_run {
        // Nothing is stopped, so nothing stands still.
        volumes.iter().for_each(|volume| monitor.event(Event::info(volume.full_name(), "is not counted in a dry run")));
    } else {
        let found: Vec<PathBuf> = paths.iter().cloned().chain(volumes.iter().map(Volume::place)).collect();
        discover::report_changes(job, &found, &options.job_state(), monitor)?;
        let sources =
            Sources { reading: &reading, excludes: &rules, volumes: &volumes, containers: containers.as_ref(), devices: &devices };
        monitor.event(Event::Phase("hold"));
        still.begin((options.job, job), &sources, &options.job_state(), options.log, monitor)?;
        paths.extend(still.volumes().iter().cloned());
        if paths.is_empty() && streams.files.is_empty() && devices.is_empty() {
            return Err(JobError::Nothing);
        }
    }
    let views = view::compose(reading.views(), still.views());
    let saving = BackupOptions {
        paths,
        streams: streams.files.iter().cloned().chain(streams::devices(job, |device| still.device(device))).collect(),
        databases: sqlite(job, &databases),
        skip: still.skip(repository_folders(options.config, job, options.state()), &views),
        views,
        excludes: rules,
        one_file_system: job.one_file_system,
        tags: job.tags.clone(),
        host: options.config.host.clone().unwrap_or_else(|| options.host.clone()),
        job: options.job.to_owned(),
        level: job.compression,
        dry_run: options.dry_run,
        skip_if_unchanged: job.skip_if_unchanged,
        trust_inodes: !job.ignore_inode,
        pace: job.limits.read_rate.map(|rate| Arc::new(Pace::new(rate.get()))),
        ..BackupOptions::default()
    };
    let outcomes = destinations.save(&saving, monitor);
    streams.tell(monitor);
    outcomes
}

fn sqlite(job: &Job, named: &[PathBuf]) -> Option<Arc<sqlite::Databases>> {
    let options = job.sqlite.as_ref()?;
    let depth = match options.integrity_check {
        IntegrityCheck::Full => sqlite::Depth::Full,
        IntegrityCheck::Quick => sqlite::Depth::Quick,
        IntegrityCheck::Off => sqlite::Depth::Off,
    };
    Some(Arc::new(sqlite::Databases::new(named, options.discover, depth)))
}

fn excludes(job: &Job) -> Result<Excludes, JobError> {
    let mut rules = Excludes::builder();
    if job.filesystem_snapshots != FilesystemSnapshots::Off {
        rules = rules.pattern(format!("{}/", btrfs::DIRECTORY))?;
    }
    for preset in &job.exclude_presets {
        for pattern in preset.patterns() {
            rules = rules.pattern(pattern)?;
        }
        if *preset == Preset::Caches {
            rules = rules.caches();
        }
    }
    for file in &job.exclude_from {
        rules = rules.patterns_from(file)?;
    }
    for pattern in &job.exclude {
        rules = rules.pattern(pattern)?;
    }
    for marker in &job.exclude_if_present {
        rules = rules.if_present(marker)?;
    }
    if let Some(size) = job.exclude_larger_than {
        rules = rules.larger_than(size.0);
    }
    Ok(rules.build()?)
}

/// Repositories on this machine, and our own state: a backup does not contain itself.
fn repository_folders(config: &Config, job: &Job, base: &Path) -> Vec<PathBuf> {
    let repositories = job.repositories.iter().filter_map(|name| config.repositories.get(name));
    let address = |url: &str| Address::parse(url, &Access::default()).ok();
    let folders = repositories.filter_map(|repository| address(&repository.url)?.into_directory());
    folders.chain([base.to_owned()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_made_of_patterns_that_excludes_understand() {
        let presets = vec![Preset::Caches, Preset::Temporary, Preset::ContainerLayers, Preset::Logs];
        let rules = excludes(&Job { exclude_presets: presets, ..Job::default() }).unwrap();
        for (path, name) in [("/home/a/.cache", "cache"), ("/var/lib/docker/overlay2", "overlay2"), ("/var/lib/docker/volumes", "volumes")]
        {
            assert_eq!(rules.matches(path.as_bytes(), path.rsplit('/').next().unwrap().as_bytes(), true), name != "volumes", "{path}");
        }
    }
}
