//! `notify`: tells that a run has failed.

use clap::Args;
use serde::Serialize;

use super::backup::host_name;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, UsageError};
use crate::config::Credentials;
use crate::notify::{Failure, Journal, Message, Subject, Told, Tries, receivers, tell};

/// Tell those whom a job, a mirror or the hub names that its run has failed
///
/// For a unit that systemd starts by the OnFailure= of their units. What systemd (251 or newer) says of the failed run is taken from the
/// environment: MONITOR_UNIT, MONITOR_SERVICE_RESULT, MONITOR_EXIT_STATUS, MONITOR_INVOCATION_ID.
#[derive(Debug, Args)]
pub struct Notify {
    /// The job's name, or the mirror's
    #[arg(value_name = "NAME", required_unless_present = "hub")]
    name: Option<String>,

    /// A mirror has this name, not a job
    #[arg(long)]
    mirror: bool,

    /// It was maintenance of the hub, or one of its mirrors
    #[arg(long, conflicts_with_all = ["name", "mirror"])]
    hub: bool,

    #[command(flatten)]
    file: super::config::ConfigFile,

    /// The unit that failed, if systemd does not say
    #[arg(long, value_name = "UNIT")]
    unit: Option<String>,
}

impl Notify {
    /// Runs the command.
    ///
    /// # Errors
    /// If the configuration cannot be used. Whoever could not be told is said, and the exit code is 1.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let config = self.file.read()?;
        let (subject, notify) = match (self.name, self.mirror) {
            (Some(name), true) => (Subject::Mirror(name.clone()), &config.mirror(&name)?.notify),
            (Some(name), false) => (Subject::Job(name.clone()), &config.job(&name)?.notify),
            (None, _) => (Subject::Hub, config.hub.as_ref().map(|hub| &hub.notify).ok_or_else(|| no_hub(&self.file))?),
        };
        let mut failure = Failure::from_variables(|name| std::env::var(name).ok());
        failure.unit = self.unit.or(failure.unit);
        let host = config.host.clone().map_or_else(host_name, Ok)?;
        let service = subject.unit_for("notify-");
        let message = Message::new(&host, subject, &failure, &Journal::default());
        let credentials = Credentials { directory: context.credentials(), service };
        let progress = context.progress()?;
        let told = tell(&receivers(notify, &credentials), &message, &Tries::default(), &progress);
        progress.finish();
        if told.is_empty() {
            tracing::warn!("nobody is told: {}.notify names no receiver", message.subject.key());
        }
        context.document(&Report {
            job: message.subject.job(),
            mirror: message.subject.mirror(),
            unit: message.unit.as_deref(),
            result: message.outcome.word(),
            receivers: told.iter().map(Receiver::of).collect(),
        })?;
        Ok(if told.iter().any(|told| told.trouble.is_some()) { Exit::Failed } else { Exit::Done })
    }
}

fn no_hub(file: &super::config::ConfigFile) -> anyhow::Error {
    UsageError::new(format!("{} has no `hub`; name a job, or a mirror with --mirror", file.path().display()))
}

#[derive(Serialize)]
struct Report<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mirror: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<&'a str>,
    result: &'static str,
    receivers: Vec<Receiver<'a>>,
}

#[derive(Serialize)]
struct Receiver<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl<'a> Receiver<'a> {
    fn of(told: &'a Told) -> Self {
        Self { name: &told.receiver, error: told.trouble.as_ref().map(ToString::to_string) }
    }
}
