//! Runs that tell of themselves (`--notify`), where no unit beside them does.
//!
//! ```text
//!   the run begins --> a thread: whoever wants to hear of starts; the run does not wait for it
//!   the run ends --> its report is written --> the thread has ended --> whoever wants to hear what became of it
//! ```
//!
//! Whatever comes of telling, the run's exit status stays.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use super::commands::backup::host_name;
use super::context::Context;
use super::exit::{Exit, UsageError};
use super::progress::Progress;
use crate::config::{Config, Credentials, Notify, Occasion};
use crate::model::report::Report;
use crate::notify::{Ending, Journal, Outcome, Run, Search, Subject, Telling, Tries};
use crate::report::{Reporter, Verdict, close};

/// Who is told of something, and as whom.
#[derive(Clone)]
pub struct Audience {
    /// The machine's name.
    pub host: String,
    /// What it is about.
    pub subject: Subject,
    /// Who is told; without receivers nobody is.
    pub notify: Notify,
    credentials: Credentials,
}

impl Audience {
    /// Those whom the configuration names for a subject.
    ///
    /// # Errors
    /// If it has no such subject.
    pub fn of(context: &Context, config: &Config, subject: Subject) -> anyhow::Result<Self> {
        let own = match &subject {
            Subject::Job(name) => config.job(name)?.notify.as_ref(),
            Subject::Mirror(name) => config.mirror(name)?.notify.as_ref(),
            Subject::Maintain(name) => config.repository(name)?.notify.as_ref(),
            Subject::Drill(name) => config.drill(name)?.notify.as_ref(),
            Subject::Hub => match &config.hub {
                Some(hub) => hub.notify.as_ref(),
                None => return Err(UsageError::new("the configuration has no `hub`; name a job, or a mirror with --mirror")),
            },
        };
        let notify = own.or(config.notify.as_ref()).cloned().unwrap_or_default();
        let host = config.host.clone().map_or_else(host_name, Ok)?;
        let credentials = Credentials { directory: context.credentials(), service: subject.unit_for("notify-") };
        Ok(Self { host, subject, notify, credentials })
    }

    /// Tells of runs that ended without a word.
    pub fn tell_of(&self, killed: Vec<Report>, state: &Path, monitor: &Progress) {
        // The newest was closed first.
        for report in killed.into_iter().rev() {
            let run = Run::of_report(&self.subject, report, state);
            self.with(monitor, |telling| telling.end(&run, state));
        }
    }

    /// Does something with it.
    pub fn with<T>(&self, monitor: &Progress, tell: impl FnOnce(&Telling<'_>) -> T) -> T {
        let Self { host, subject, notify, credentials } = self;
        tell(&Telling { host, subject, notify, credentials, tries: Tries::of(notify), monitor })
    }
}

/// Runs something and tells of it, if a reporter says that that is wanted; first of an earlier run of it that was killed.
///
/// # Errors
/// Those of the run.
pub fn telling(
    context: &Context,
    config: &Config,
    subject: Subject,
    reporter: Option<&Reporter<'_>>,
    run: impl FnOnce() -> anyhow::Result<Exit>,
) -> anyhow::Result<Exit> {
    let Some(reporter) = reporter else { return run() };
    let started = reporter.started;
    let audience = Audience::of(context, config, subject)?;
    let state = context.state_base_of(config)?;
    // With a course of its own: what becomes of telling is not part of the run.
    let monitor = || Progress::start(&context.console, &context.interrupt, &Arc::default(), false);
    let killed = close(reporter, &Verdict::default());
    let beginning = {
        let (audience, monitor, state) = (audience.clone(), monitor(), state.clone());
        thread::spawn(move || {
            audience.tell_of(killed, &state, &monitor);
            audience.with(&monitor, |telling| if telling.anybody_for(Occasion::Start) { telling.start(None) } else { Vec::new() })
        })
    };
    // Whoever broke off in the middle left nothing that is used again.
    let ended = catch_unwind(AssertUnwindSafe(run));
    // Whoever hears of the start after the end believes that it still runs.
    if beginning.join().is_err() {
        tracing::warn!("it could not be told that this run begins");
    }
    let exit = match &ended {
        Ok(result) => result.as_ref().map_or_else(Exit::of, |exit| *exit),
        Err(_) => Exit::Failed,
    };
    let outcome = match context.interrupt.exit().filter(|_| exit != Exit::Done) {
        Some(_) => Outcome::Stopped,
        None => match exit {
            Exit::Done => Outcome::Succeeded,
            Exit::Warnings => Outcome::Incomplete,
            Exit::Failed | Exit::Usage | Exit::Signal(_) => Outcome::Failed,
        },
    };
    let ending = Ending { unit: None, invocation: None, outcome: Some(outcome) };
    let found = Run::find(&audience.subject, &Search { state: &state, ending, since: Some(started), journal: &Journal::default() });
    audience.with(&monitor(), |telling| telling.end(&found, &state));
    ended.unwrap_or_else(|panic| resume_unwind(panic))
}
