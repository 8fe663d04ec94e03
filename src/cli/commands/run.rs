//! `run`: a job of the configuration, now.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::backup::{host_name, summary_text};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, UsageError};
use crate::content::backup::Summary;
use crate::job::{self, HookLog, HookReport, Outcome, RunOptions};

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
        let log = HookLog::default();
        let options = RunOptions {
            config: &config,
            job: &self.job,
            host: host_name()?,
            state_base: config.state_dir.clone().map_or_else(|| context.state_base(), Ok::<PathBuf, anyhow::Error>)?,
            dry_run: self.dry_run,
            only: self.only.clone(),
            wait: self.wait,
            log: &log,
        };
        let progress = context.progress()?;
        let result = job::run(&options, &progress);
        progress.finish();
        context.document(&Report {
            job: &self.job,
            dry_run: self.dry_run,
            warnings: progress.warnings(),
            error: result.as_ref().err().map(ToString::to_string),
            hooks: log.reports(),
            repositories: result.iter().flatten().map(Destination::of).collect(),
        })?;
        let outcomes = result?;
        for outcome in &outcomes {
            let text = match &outcome.result {
                Ok(summary) => summary_text(summary, self.dry_run, progress.warnings()),
                Err(error) => format!("Failed: {error}\n"),
            };
            context.summary(&format!("{}: {text}", outcome.repository))?;
        }
        // A job that reached one of its repositories has done something; one that reached none has failed.
        let failed = outcomes.iter().filter(|outcome| outcome.result.is_err()).count();
        Ok(if failed == outcomes.len() { Exit::Failed } else { context.end(&progress) })
    }
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
    #[serde(flatten)]
    summary: Option<&'a Summary>,
}

impl<'a> Destination<'a> {
    fn of(outcome: &'a Outcome) -> Self {
        let (summary, error) = match &outcome.result {
            Ok(summary) => (Some(summary), None),
            Err(error) => (None, Some(error.to_string())),
        };
        Self { name: &outcome.repository, error, summary }
    }
}
