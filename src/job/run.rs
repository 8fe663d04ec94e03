//! One run of a job.

use std::path::{Path, PathBuf};

use super::streams::Streams;
use super::{JobError, discover, hooks};
use crate::config::{Config, Job, Preset, Repository};
use crate::content::ContentError;
use crate::content::backup::state::State;
use crate::content::backup::{BackupOptions, Summary, backup, open_for_writer};
use crate::content::keys::WriterKey;
use crate::model::event::{Event, Monitor};
use crate::source::exclude::Excludes;
use crate::store::{Address, open};

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
    /// Store nothing, only count.
    pub dry_run: bool,
    /// Only to these of the job's repositories; to all if there are none.
    pub only: Vec<String>,
}

/// What became of a job in one repository.
#[derive(Debug)]
pub struct Outcome {
    /// The repository's name in the configuration.
    pub repository: String,
    /// What was done, or why it was not.
    pub result: Result<Summary, JobError>,
}

/// Runs a job: one outcome for each repository, in the job's order.
///
/// # Errors
/// If there is no such job, a hook fails before it, or nothing of what it shall save is there. What fails in one repository is in
/// its outcome.
pub fn run(options: &RunOptions<'_>, monitor: &dyn Monitor) -> Result<Vec<Outcome>, JobError> {
    let job = options.config.job(options.job)?;
    if options.dry_run {
        return save_everywhere(options, job, monitor);
    }
    let name = ("HEARTH_JOB", options.job);
    let result = hooks::run(&job.hooks.before, &[name], monitor).map_err(JobError::Hook);
    let result = result.and_then(|()| save_everywhere(options, job, monitor));
    let success = result.as_ref().is_ok_and(|outcomes| outcomes.iter().all(|outcome| outcome.result.is_ok()));
    let (after, word) = if success { (&job.hooks.after_success, "success") } else { (&job.hooks.after_failure, "failure") };
    let environment = [name, ("HEARTH_RESULT", word)];
    hooks::run_all(after, &environment, monitor);
    hooks::run_all(&job.hooks.always, &environment, monitor);
    result
}

fn save_everywhere(options: &RunOptions<'_>, job: &Job, monitor: &dyn Monitor) -> Result<Vec<Outcome>, JobError> {
    let base = options.config.state_dir.as_deref().unwrap_or(&options.state_base);
    let paths = discover::paths(job, monitor)?;
    let dir = base.join("jobs").join(options.job);
    let streams = Streams::prepare(job, &dir, monitor);
    if paths.is_empty() && streams.files.is_empty() {
        return Err(JobError::Nothing);
    }
    if !options.dry_run {
        discover::report_changes(job, &paths, &dir, monitor)?;
    }
    let skip = repository_folders(options.config, job, base);
    let wanted = job.repositories.iter().filter(|name| options.only.is_empty() || options.only.contains(name));
    let mut outcomes = Vec::new();
    for name in wanted {
        let Some(repository) = options.config.repositories.get(name) else { continue };
        let saving = BackupOptions {
            paths: paths.clone(),
            streams: streams.files.clone(),
            excludes: excludes(job)?,
            one_file_system: job.one_file_system,
            skip: skip.clone(),
            tags: job.tags.clone(),
            host: options.config.host.clone().unwrap_or_else(|| options.host.clone()),
            job: options.job.to_owned(),
            level: job.compression,
            dry_run: options.dry_run,
            skip_if_unchanged: job.skip_if_unchanged,
            trust_inodes: !job.ignore_inode,
            ..BackupOptions::default()
        };
        let result = save(repository, saving, base, monitor);
        if matches!(result, Err(JobError::Content(ContentError::Cancelled))) {
            result?;
            break;
        }
        if let Err(error) = &result {
            monitor.event(Event::error(format!("repository {name}"), error.to_string()));
        }
        outcomes.push(Outcome { repository: name.clone(), result });
    }
    streams.tell(monitor);
    Ok(outcomes)
}

fn save(repository: &Repository, options: BackupOptions, base: &Path, monitor: &dyn Monitor) -> Result<Summary, JobError> {
    let key = WriterKey::read(&repository.writer_key)?;
    let location = open::open(&repository.url)?;
    if let Some(url) = location.expected_id.filter(|id| *id != key.repository) {
        return Err(JobError::OtherRepository { key: key.repository.to_bech32(), url: url.to_bech32() });
    }
    let state = State::open(base, &key.repository)?;
    let opened = open_for_writer(location.store, &key, &state)?;
    Ok(backup(&opened, &key, options, &state, monitor)?)
}

fn excludes(job: &Job) -> Result<Excludes, JobError> {
    let mut rules = Excludes::builder();
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
    let folders = repositories.filter_map(|repository| repository.url.parse::<Address>().ok()).map(|address| address.path);
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
