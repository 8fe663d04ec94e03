//! `notify`: tells what became of a run.

use clap::{ArgGroup, Args};
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::telling::Audience;
use crate::config::{Notify as Receivers, Occasion};
use crate::notify::{Ending, Journal, Run, Search, Subject, Told};

/// Tell those whom the configuration names what became of a run
///
/// For units that systemd starts by the OnFailure= and OnSuccess= of a run's unit. What systemd (251 or newer) says of the run is taken from the
/// environment: MONITOR_UNIT, MONITOR_SERVICE_RESULT, MONITOR_EXIT_STATUS, MONITOR_INVOCATION_ID; what else there is to tell from the run's report in
/// the state. Of each run everybody is told once. Where there is no systemd, `run --notify` and others tell of themselves.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("kind").args(["mirror", "drill", "maintain", "hub"]))]
pub struct Notify {
    /// The job's name, or that of something else
    #[arg(value_name = "NAME", required_unless_present = "hub")]
    name: Option<String>,

    /// A mirror has this name
    #[arg(long)]
    mirror: bool,

    /// A drill has this name
    #[arg(long)]
    drill: bool,

    /// A repository has this name, in which house is kept
    #[arg(long)]
    maintain: bool,

    /// It was maintenance of the hub, or one of its mirrors
    #[arg(long, conflicts_with = "name")]
    hub: bool,

    #[command(flatten)]
    file: super::config::ConfigFile,

    /// The unit that it is about, if systemd does not say; `.service` may be left out
    #[arg(long, value_name = "UNIT")]
    unit: Option<String>,

    /// The run begins just now
    #[arg(long)]
    start: bool,

    /// Tell all receivers that somebody tries whether messages arrive, as if this had happened: start, success, warning, failure, recovery
    #[arg(long, value_name = "EVENT", num_args = 0..=1, require_equals = true, default_missing_value = "failure", conflicts_with = "start")]
    test: Option<Occasion>,
}

impl Notify {
    /// Runs the command.
    ///
    /// # Errors
    /// If the configuration cannot be used. Whoever could not be told is said, and the exit code is 1.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let config = self.file.read()?;
        let subject = self.subject();
        let audience = Audience::of(context, &config, subject)?;
        let state = context.state_base_of(&config)?;
        let mut ending = Ending::from_variables(|name| std::env::var(name).ok());
        ending.unit = self.unit.as_deref().map(service).or(ending.unit);
        let unit = ending.unit.clone();
        let progress = context.progress()?;
        let (result, told) = audience.with(&progress, |telling| {
            if let Some(occasion) = self.test {
                return ("test", telling.test(occasion));
            }
            if self.start {
                return ("running", telling.start(unit.clone()));
            }
            let run = Run::find(&audience.subject, &Search { state: &state, ending, since: None, journal: &Journal::default() });
            (run.outcome().word(), telling.end(&run, &state))
        });
        progress.finish();
        if is_empty(&audience.notify) {
            tracing::warn!("nobody is told: neither {}.notify nor notify names a receiver", audience.subject.key());
        } else if told.is_empty() {
            tracing::info!("nobody is to be told of this, or has been already");
        }
        let (kind, name) = (audience.subject.kind(), audience.subject.name());
        context.document(&Report {
            job: name.filter(|_| kind == "job"),
            mirror: name.filter(|_| kind == "mirror"),
            drill: name.filter(|_| kind == "drill"),
            repository: name.filter(|_| kind == "repository"),
            unit: unit.as_deref(),
            result,
            receivers: told.iter().map(Receiver::of).collect(),
        })?;
        Ok(if told.iter().any(|told| told.trouble.is_some()) { Exit::Failed } else { Exit::Done })
    }

    fn subject(&self) -> Subject {
        match self.name.clone() {
            None => Subject::Hub,
            Some(name) if self.mirror => Subject::Mirror(name),
            Some(name) if self.drill => Subject::Drill(name),
            Some(name) if self.maintain => Subject::Maintain(name),
            Some(name) => Subject::Job(name),
        }
    }
}

/// The full name of a service. One unit must not be the OnFailure= and the OnSuccess= of another, or systemd says nothing of it; so that instances for either
/// are called `UNIT` and `UNIT.service`.
fn service(unit: &str) -> String {
    format!("{}.service", unit.trim_end_matches(".service"))
}

fn is_empty(notify: &Receivers) -> bool {
    let Receivers { on: _, timeout: _, ntfy, healthchecks, uptime_kuma, email, webhook, command } = notify;
    ntfy.is_none() && healthchecks.is_none() && uptime_kuma.is_none() && email.is_none() && webhook.is_none() && command.is_empty()
}

#[derive(Serialize)]
struct Report<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mirror: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    drill: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repository: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<&'a str>,
    /// How the run ended.
    result: &'static str,
    receivers: Vec<Receiver<'a>>,
}

#[derive(Serialize)]
struct Receiver<'a> {
    name: &'a str,
    /// Of what it was told.
    event: Occasion,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl<'a> Receiver<'a> {
    fn of(told: &'a Told) -> Self {
        Self { name: &told.receiver, event: told.occasion, error: told.trouble.as_ref().map(ToString::to_string) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_may_be_named_in_full_or_not() {
        for name in ["backup", "backup.service", "backup.service.service"] {
            assert_eq!(service(name), "backup.service");
        }
    }
}
