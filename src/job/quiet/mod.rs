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
        job: &Job,
        containers: Option<&ContainerVolumes>,
        dir: &Path,
        log: &HookLog,
        monitor: &dyn Monitor,
    ) -> Result<Self, JobError> {
        let steps = steps(job, containers).map_err(JobError::Quiesce)?;
        // What an earlier run could not let go on stays written down, and is tried again in the end.
        let mut quiet = Self { dir: dir.to_owned(), begun: Journal::load(dir)?.steps };
        if steps.is_empty() {
            return Ok(quiet);
        }
        Journal { steps: quiet.begun.iter().chain(steps.iter().map(|(step, _)| step)).cloned().collect() }.save(dir)?;
        for (step, commands) in steps {
            monitor.event(Event::info(step.name(), step.held()));
            quiet.begun.push(step);
            if let Err(error) = hooks::run("quiesce", &commands, &[], log, monitor) {
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
        undo(std::mem::take(&mut self.begun), &self.dir, log, monitor)
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        self.end(&HookLog::default(), &Silent);
    }
}

/// Lets go on what a killed run left stopped. Whether all of it does.
pub(super) fn settle(dir: &Path, log: &HookLog, monitor: &dyn Monitor) -> Result<bool, JobError> {
    let steps = Journal::load(dir)?.steps;
    if steps.is_empty() {
        return Ok(true);
    }
    monitor.event(Event::info("quiesce", "an earlier run ended before what it had stopped went on; that is done now"));
    Ok(undo(steps, dir, log, monitor))
}

/// Undoes steps, the last first, and forgets those that are undone.
fn undo(steps: Vec<Step>, dir: &Path, log: &HookLog, monitor: &dyn Monitor) -> bool {
    let mut left = Vec::new();
    for step in steps.into_iter().rev() {
        if let Err(error) = step.undo(log, monitor) {
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
