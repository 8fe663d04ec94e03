//! `run`: a job of the configuration, now.

use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use super::backup::{host_name, summary_text};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, UsageError};
use crate::cli::reporting::{Told, reported, reporter};
use crate::cli::telling::telling;
use crate::config::Config;
use crate::content::ContentError;
use crate::content::backup::Summary;
use crate::job::{self, HookLog, HookReport, JobError, Outcome, RunOptions};
use crate::model::event::Monitor as _;
use crate::model::human;
use crate::model::report::Kind;
use crate::model::span::Span;
use crate::notify::Subject;
use crate::report::of_run;
use crate::store::Requests;

/// How often to look whether a signal has come while waiting.
const LOOK: Duration = Duration::from_millis(100);

/// Run a job of this host's configuration
#[derive(Debug, Args)]
pub struct Run {
    /// The job's name
    #[arg(value_name = "JOB")]
    job: String,

    #[command(flatten)]
    file: super::config::ConfigFile,

    /// Only to this repository of the job; repeatable
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,

    /// Store nothing, only count
    #[arg(long, short = 'n')]
    dry_run: bool,

    /// Wait for another run of the job to end, instead of failing
    #[arg(long)]
    wait: bool,

    /// Run also outside of the job's window, and beyond its end
    #[arg(long)]
    now: bool,

    /// Try again so often, to those repositories to which it failed
    #[arg(long, value_name = "N", default_value_t = 0)]
    retries: u32,

    /// How long to wait before
    #[arg(long, value_name = "DURATION", default_value = "10min")]
    retry_delay: Span,

    /// Tell those whom the job's `notify` names, where no unit beside this one does
    #[arg(long)]
    notify: bool,
}

impl Run {
    /// Runs the command.
    ///
    /// # Errors
    /// If the configuration cannot be used, or nothing could be saved anywhere.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let config = self.file.read()?;
        let job = config.job(&self.job)?;
        if let Some(stranger) = self.only.iter().find(|name| !job.repositories.contains(name)) {
            let known = job.repositories.join(", ");
            return Err(UsageError::new(format!("job `{}` does not go to `{stranger}`, but to: {known}", self.job)));
        }
        let only = |name: &&String| self.only.is_empty() || self.only.contains(name);
        let repositories = job.repositories.iter().filter(only).cloned().collect();
        let service = format!("hearth-backup-{}", self.job);
        let reporter = reporter(context, &config, (Kind::Backup, &self.job), repositories, service)?;
        telling(context, &config, Subject::Job(self.job.clone()), (self.notify && !self.dry_run).then_some(&reporter), || {
            reported(context, Some(&reporter).filter(|_| !self.dry_run), |told| self.attempt(context, &config, told))
        })
    }

    fn attempt(&self, context: &Context, config: &Config, told: &mut Told) -> anyhow::Result<Exit> {
        let job = config.job(&self.job)?;
        context.course.reads(&[job.paths.as_slice(), &job.optional_paths].concat());
        let log = HookLog::default();
        let delay = self.retry_delay.to_duration()?;
        let mut options = RunOptions {
            config,
            job: &self.job,
            host: host_name()?,
            state_base: context.state_base_of(config)?,
            credentials: context.credentials(),
            access: context.access()?,
            dry_run: self.dry_run,
            only: self.only.clone(),
            wait: self.wait,
            now: self.now,
            clock: &jiff::Zoned::now,
            log: &log,
        };
        let mut done: Vec<Outcome> = Vec::new();
        let mut earlier = 0;
        let mut left = self.retries;
        let (result, progress) = loop {
            // Its own for each attempt: what a later one mends is no warning in the end.
            let progress = context.progress()?;
            let result = job::run(&options, &progress);
            progress.finish();
            if left == 0 || !is_worth_another_try(&result) {
                break (result, progress);
            }
            left -= 1;
            tracing::warn!("{}; trying again in {}", failure(&result), human::duration(delay));
            let (good, bad): (Vec<Outcome>, Vec<Outcome>) = result.into_iter().flatten().partition(|outcome| outcome.result.is_ok());
            if !good.is_empty() {
                // What was warned of while some of them succeeded, less that the others failed, which may be mended.
                earlier += progress.warnings().saturating_sub(bad.len() as u64);
            }
            done.extend(good);
            if !bad.is_empty() {
                options.only = bad.into_iter().map(|outcome| outcome.repository).collect();
            }
            told.found(&progress);
            if !wait(delay, &|| progress.cancelled()) {
                return Err(JobError::Content(ContentError::Cancelled).into());
            }
        };
        let warnings = earlier + progress.warnings();
        told.found(&progress);
        told.warning_count = warnings;
        let result = result.map(|outcomes| in_order(&job.repositories, done, outcomes));
        told.work = of_run(result.as_deref().unwrap_or_default());
        context.document(&Report {
            job: &self.job,
            dry_run: self.dry_run,
            warnings,
            error: result.as_ref().err().map(ToString::to_string),
            hooks: log.reports(),
            repositories: result.iter().flatten().map(Destination::of).collect(),
        })?;
        let outcomes = match result {
            Ok(outcomes) => outcomes,
            // Nothing is wrong, but not everything is saved.
            Err(error @ (JobError::OutsideWindow { .. } | JobError::WindowEnded { .. })) => {
                tracing::warn!("{error}");
                told.work.error = Some(error.to_string());
                return Ok(Exit::Warnings);
            }
            Err(error) => return Err(error.into()),
        };
        for outcome in &outcomes {
            let text = match &outcome.result {
                Ok(summary) => summary_text(summary, self.dry_run, warnings),
                Err(error) => format!("Failed: {error}\n"),
            };
            context.summary(&format!("{}: {text}", outcome.repository))?;
        }
        // A job that reached one of its repositories has done something; one that reached none has failed.
        let failed = outcomes.iter().filter(|outcome| outcome.result.is_err()).count();
        Ok(if failed == outcomes.len() {
            Exit::Failed
        } else if warnings > 0 {
            Exit::Warnings
        } else {
            context.end(&progress)
        })
    }
}

/// Whether time may mend what failed. What the configuration, the clock or a person decided stays.
fn is_worth_another_try(result: &Result<Vec<Outcome>, JobError>) -> bool {
    let mends = |error: &JobError| {
        !matches!(
            error,
            JobError::Config(_)
                | JobError::Secret(_)
                | JobError::OutsideWindow { .. }
                | JobError::WindowEnded { .. }
                | JobError::Running { .. }
                | JobError::Content(ContentError::Cancelled)
        )
    };
    match result {
        Ok(outcomes) => outcomes.iter().any(|outcome| outcome.result.as_ref().is_err_and(mends)),
        Err(error) => mends(error),
    }
}

fn failure(result: &Result<Vec<Outcome>, JobError>) -> String {
    match result {
        Ok(outcomes) => {
            let failed = outcomes.iter().filter(|outcome| outcome.result.is_err()).map(|outcome| outcome.repository.as_str());
            format!("failed to reach {}", failed.collect::<Vec<_>>().join(", "))
        }
        Err(error) => error.to_string(),
    }
}

/// Waits; false if it is to stop.
fn wait(delay: Duration, cancelled: &dyn Fn() -> bool) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < delay {
        if cancelled() {
            return false;
        }
        std::thread::sleep(LOOK.min(delay.saturating_sub(begun.elapsed())));
    }
    !cancelled()
}

/// The outcomes of several attempts in the job's order.
fn in_order(names: &[String], earlier: Vec<Outcome>, last: Vec<Outcome>) -> Vec<Outcome> {
    let mut all: Vec<Outcome> = earlier.into_iter().chain(last).collect();
    all.sort_by_key(|outcome| names.iter().position(|name| *name == outcome.repository));
    all
}

#[derive(Serialize)]
struct Report<'a> {
    job: &'a str,
    dry_run: bool,
    warnings: u64,
    /// Why nothing was saved anywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    hooks: Vec<HookReport>,
    repositories: Vec<Destination<'a>>,
}

#[derive(Serialize)]
struct Destination<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Requests to its server.
    #[serde(skip_serializing_if = "Option::is_none")]
    requests: Option<Requests>,
    #[serde(flatten)]
    summary: Option<&'a Summary>,
}

impl<'a> Destination<'a> {
    fn of(outcome: &'a Outcome) -> Self {
        let (summary, error) = match &outcome.result {
            Ok(summary) => (Some(summary), None),
            Err(error) => (None, Some(error.to_string())),
        };
        Self { name: &outcome.repository, error, requests: outcome.requests, summary }
    }
}
