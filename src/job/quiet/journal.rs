//! What was stopped, on the disk before it is stopped.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::service;
use crate::config::Hook;
use crate::content::ContentError;
use crate::content::backup::state::save_bytes;
use crate::job::hooks::{self, HookLog};
use crate::model::event::{Event, Monitor};
use crate::source::container::{Container, Engine};

/// The file in the job's state.
const FILE: &str = "quiesced";

/// Everything that must go on, in the order in which it was stopped.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Journal {
    pub(super) steps: Vec<Step>,
}

/// One thing that was stopped.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Step {
    /// A unit of systemd.
    #[serde(rename_all = "camelCase")]
    Service { unit: String, timeout_seconds: u64 },
    /// A container, paused or stopped.
    #[serde(rename_all = "camelCase")]
    Container { engine: Engine, container: Container, paused: bool, timeout_seconds: u64 },
    /// What commands have frozen.
    Frozen { thaw: Vec<Hook> },
}

impl Journal {
    /// The journal of the job whose state is in `dir`; empty if there is none.
    pub(super) fn load(dir: &Path) -> Result<Self, ContentError> {
        let path = dir.join(FILE);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                let why = format!("{error}; it says what a killed run has stopped: start that by hand, then remove the file");
                ContentError::damaged(path.display(), why)
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(ContentError::file("read", &path, error)),
        }
    }

    /// Makes it last; removes it if it is empty.
    pub(super) fn save(&self, dir: &Path) -> Result<(), ContentError> {
        let path = dir.join(FILE);
        let failed = |error| ContentError::file("write", &path, error);
        if self.steps.is_empty() {
            fs::remove_file(&path)
                .or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
                .map_err(failed)?;
        } else {
            let text = serde_json::to_vec_pretty(self).map_err(|error| ContentError::Other(error.to_string()))?;
            save_bytes(&path, &text)?;
        }
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed)
    }
}

impl Step {
    /// What it is about.
    pub(super) fn name(&self) -> String {
        match self {
            Step::Service { unit, .. } => unit.clone(),
            Step::Container { container, .. } => format!("container {}", container.name),
            Step::Frozen { .. } => "freeze".into(),
        }
    }

    /// What happens to it.
    pub(super) fn held(&self) -> &'static str {
        match self {
            Step::Service { .. } | Step::Container { paused: false, .. } => "is stopped",
            Step::Container { paused: true, .. } => "is paused",
            Step::Frozen { .. } => "the commands of quiesce.freeze run",
        }
    }

    /// What a person does if it does not go on.
    pub(super) fn advice(&self) -> String {
        match self {
            Step::Service { unit, .. } => format!("it was stopped for this backup: see `systemctl status {unit}` and start it by hand"),
            Step::Container { engine, container, paused, .. } => {
                let verb = if *paused { "unpause" } else { "start" };
                format!("it was halted for this backup: see `{0} logs {1}`, then `{0} {verb} {1}`", engine.name(), container.name)
            }
            Step::Frozen { .. } => "what quiesce.freeze froze may hold still yet: thaw it by hand".into(),
        }
    }

    /// Lets it go on; nothing happens if it does already.
    pub(super) fn undo(&self, job: &str, log: &HookLog, monitor: &dyn Monitor) -> io::Result<()> {
        let environment = [("HEARTH_JOB", job)];
        let run = |command, timeout_seconds| hooks::run("quiesce", &[Hook { command, timeout_seconds }], &environment, log, monitor);
        match self {
            Step::Service { unit, timeout_seconds } => {
                let started = run(service::command("start", unit), *timeout_seconds);
                if started.is_err() && service::is_gone(unit) {
                    monitor.event(Event::warning(unit.as_str(), "was stopped for a backup, and is no unit any more"));
                    return Ok(());
                }
                started
            }
            Step::Container { engine, container, paused, timeout_seconds } => match engine.state(container)?.as_deref() {
                None => {
                    monitor.event(Event::warning(self.name(), "was halted for a backup, and is gone"));
                    Ok(())
                }
                Some("paused") => run(engine.command(&["unpause", &container.id]), *timeout_seconds),
                // A paused container that does not run was stopped by somebody else meanwhile.
                Some("running") => Ok(()),
                Some(_) if *paused => Ok(()),
                Some(_) => run(engine.command(&["start", &container.id]), *timeout_seconds),
            },
            Step::Frozen { thaw } => {
                // One that fails does not keep the others from being thawed.
                thaw.iter()
                    .map(|hook| hooks::run("quiesce", std::slice::from_ref(hook), &environment, log, monitor))
                    .fold(Ok(()), Result::and)
            }
        }
    }
}
