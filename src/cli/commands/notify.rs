//! `notify`: tells that a run has failed.

use clap::Args;
use serde::Serialize;

use super::backup::host_name;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::config::Credentials;
use crate::notify::{Failure, Journal, Message, Subject, Told, Tries, receivers, tell};

/// Tell those whom a job or a mirror names that its run has failed
///
/// For a unit that systemd starts by the OnFailure= of the job's or the mirror's unit. What systemd (251 or newer) says of the failed run is taken from the
/// environment: MONITOR_UNIT, MONITOR_SERVICE_RESULT, MONITOR_EXIT_STATUS, MONITOR_INVOCATION_ID.
#[derive(Debug, Args)]
pub struct Notify {
    /// The job's name, or the mirror's
    #[arg(value_name = "NAME")]
    name: String,

    /// A mirror has this name, not a job
    #[arg(long)]
    mirror: bool,

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
        let notify = match self.mirror {
            true => &config.mirror(&self.name)?.notify,
            false => &config.job(&self.name)?.notify,
        };
        let subject = if self.mirror { Subject::Mirror(self.name) } else { Subject::Job(self.name) };
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
