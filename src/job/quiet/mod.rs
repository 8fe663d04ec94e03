//! What holds still while a job copies, and goes on whatever happens.
//!
//! ```text
//!   services, containers, freeze --> journal (on the disk) --> each is stopped --> ... copy ...
//!   end, error, panic, SIGTERM   --> each goes on, the last first --> journal removed
//!   killed                       --> the next run, or `settle`, reads the journal and does the same
//! ```

mod journal;
mod service;

use std::io;
use std::path::{Path, PathBuf};

use self::journal::{Journal, Step};
use super::JobError;
use super::hooks::{self, HookLog};
use crate::config::{ContainerQuiesce, Hook, Job};
use crate::model::event::{Event, Monitor, Silent};
use crate::source::container::{Container, Engine, Volume};

/// Volumes of containers that are saved, and whose they are.
#[derive(Debug)]
pub(super) struct ContainerVolumes {
    /// Who runs the containers.
    pub(super) engine: Engine,
    /// The volumes.
    pub(super) volumes: Vec<Volume>,
}

/// What holds still. Dropped, it goes on.
#[derive(Debug)]
pub(super) struct Quiet {
    job: String,
    dir: PathBuf,
    /// What has been begun, in its order.
    begun: Vec<Step>,
}

impl Quiet {
    /// Stops what the job names.
    ///
    /// # Errors
    /// If something cannot be stopped, or what is stopped cannot be written down; then everything goes on.
    pub(super) fn begin(
        (name, job): (&str, &Job),
        containers: Option<&ContainerVolumes>,
        dir: &Path,
        log: &HookLog,
        monitor: &dyn Monitor,
    ) -> Result<Self, JobError> {
        let steps = steps(job, containers).map_err(JobError::Quiesce)?;
        // What an earlier run could not let go on stays written down, and is tried again in the end.
        let mut quiet = Self { job: name.to_owned(), dir: dir.to_owned(), begun: Journal::load(dir)?.steps };
        if steps.is_empty() {
            return Ok(quiet);
        }
        Journal { steps: quiet.begun.iter().chain(steps.iter().map(|(step, _)| step)).cloned().collect() }.save(dir)?;
        for (step, commands) in steps {
            monitor.event(Event::info(step.name(), step.held()));
            quiet.begun.push(step);
            if let Err(error) = hooks::run("quiesce", &commands, &[("HEARTH_JOB", name)], log, monitor) {
                quiet.end(log, monitor);
                return Err(JobError::Quiesce(error));
            }
        }
        Ok(quiet)
    }

    /// Whether anything holds still.
    pub(super) fn is_empty(&self) -> bool {
        self.begun.is_empty()
    }

    /// Lets everything go on. What cannot is an error that is told; false if there was one. The journal keeps it.
    pub(super) fn end(&mut self, log: &HookLog, monitor: &dyn Monitor) -> bool {
        if self.begun.is_empty() {
            return true;
        }
        undo(std::mem::take(&mut self.begun), (&self.job, &self.dir), log, monitor)
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        self.end(&HookLog::default(), &Silent);
    }
}

/// Lets go on what a killed run left stopped. Whether all of it does.
pub(super) fn settle(job: &str, dir: &Path, log: &HookLog, monitor: &dyn Monitor) -> Result<bool, JobError> {
    let steps = Journal::load(dir)?.steps;
    if steps.is_empty() {
        return Ok(true);
    }
    monitor.event(Event::info("quiesce", "an earlier run ended before what it had stopped went on; that is done now"));
    Ok(undo(steps, (job, dir), log, monitor))
}

/// Undoes steps, the last first, and forgets those that are undone.
fn undo(steps: Vec<Step>, (job, dir): (&str, &Path), log: &HookLog, monitor: &dyn Monitor) -> bool {
    let mut left = Vec::new();
    for step in steps.into_iter().rev() {
        if let Err(error) = step.undo(job, log, monitor) {
            monitor.event(Event::error(step.name(), format!("{error}; {}", step.advice())));
            left.push(step);
        }
    }
    left.reverse();
    let all = left.is_empty();
    if let Err(error) = (Journal { steps: left }).save(dir) {
        monitor.event(Event::warning("quiesce", error.to_string()));
    }
    all
}

/// What is to be stopped, in order, each with the commands that do it.
fn steps(job: &Job, containers: Option<&ContainerVolumes>) -> io::Result<Vec<(Step, Vec<Hook>)>> {
    let timeout_seconds = job.quiesce.timeout_seconds;
    let mut steps = Vec::new();
    for unit in &job.quiesce.services {
        if service::is_active(unit)? {
            let stop = Hook { command: service::command("stop", unit), timeout_seconds };
            steps.push((Step::Service { unit: unit.clone(), timeout_seconds }, vec![stop]));
        }
    }
    if let (Some(options), Some(found)) = (&job.containers, containers)
        && options.quiesce != ContainerQuiesce::None
    {
        let pause = options.quiesce == ContainerQuiesce::Pause;
        for container in users(found)? {
            let arguments: &[&str] = if pause { &["pause", &container.id] } else { &["stop", &container.id] };
            let command = Hook { command: found.engine.command(arguments), timeout_seconds };
            let engine = found.engine.clone();
            steps.push((Step::Container { engine, container: container.clone(), paused: pause, timeout_seconds }, vec![command]));
        }
    }
    if !job.quiesce.freeze.is_empty() {
        steps.push((Step::Frozen { thaw: job.quiesce.thaw.clone() }, job.quiesce.freeze.clone()));
    }
    Ok(steps)
}

/// The containers that use any of the volumes, each once.
fn users(found: &ContainerVolumes) -> io::Result<Vec<Container>> {
    let mut users = Vec::new();
    for volume in &found.volumes {
        users.extend(found.engine.users(volume)?);
    }
    users.sort();
    users.dedup();
    Ok(users)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Quiesce;
    use crate::model::event::{Collect, Severity};

    /// A job that writes `freeze` and `thaw` with its name to `log`.
    fn job(log: &Path, freeze: &str) -> Job {
        let hook = |script: String| Hook { command: ["sh", "-c", &script].map(str::to_owned).to_vec(), timeout_seconds: 60 };
        let say = |what: &str| hook(format!("echo {what} $HEARTH_JOB >> {}", log.display()));
        let quiesce = Quiesce { freeze: vec![say("freeze"), hook(freeze.into())], thaw: vec![say("thaw")], ..Quiesce::default() };
        Job { quiesce, ..Job::default() }
    }

    #[test]
    fn a_bug_that_ends_the_run_does_not_leave_anything_frozen() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let run = std::panic::catch_unwind(|| {
            let _quiet =
                Quiet::begin(("state", &job(&log, "true")), None, folder.path(), &HookLog::default(), &Collect::default()).unwrap();
            assert!(folder.path().join("quiesced").exists(), "it is written down");
            panic!("a bug");
        });
        assert!(run.is_err());
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "freeze state\nthaw state\n");
        assert!(!folder.path().join("quiesced").exists());
    }

    #[test]
    fn a_freeze_that_fails_is_thawed() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let heard = Collect::default();
        let error = Quiet::begin(("state", &job(&log, "exit 3")), None, folder.path(), &HookLog::default(), &heard).unwrap_err();
        assert!(error.to_string().contains("exit status: 3"), "{error}");
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "freeze state\nthaw state\n");
        assert!(heard.findings(Severity::Warning).is_empty());
    }

    #[test]
    fn a_journal_that_cannot_be_read_is_told_and_not_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("quiesced"), "{ half").unwrap();
        let error = settle("state", folder.path(), &HookLog::default(), &Collect::default()).unwrap_err().to_string();
        assert!(error.contains("quiesced is damaged") && error.contains("start that by hand"), "{error}");
        assert!(folder.path().join("quiesced").exists());
    }
}
