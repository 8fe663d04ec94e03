//! `maintain`: house is kept in a repository of the configuration.

mod report;

use clap::{Args, ValueEnum};

use self::report::Report;
use super::backup::host_name;
use crate::cli::args;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::reporting::{Told, reported, reporter};
use crate::cli::telling::telling;
use crate::config::Config;
use crate::job::maintain::{MaintainOptions, Step, maintain, service};
use crate::model::report::Kind;
use crate::notify::Subject;
use crate::report::of_maintain;
use crate::retention::Limits;

/// Keep house in a repository of this host's configuration: forget, prune, check
///
/// Of each job with a `retention` that goes to the repository, this host's snapshots are forgotten that it does not keep; then
/// space is given back, and a part of what is stored is read and checked, as the repository's `prune` and `check` say. A step that
/// fails does not keep the next from running, but nothing is pruned after a forget that failed.
#[derive(Debug, Args)]
pub struct Maintain {
    /// The repository's name in the configuration
    #[arg(value_name = "REPOSITORY")]
    repository: String,

    #[command(flatten)]
    file: super::config::ConfigFile,

    /// Only this step; repeatable
    #[arg(long, value_name = "STEP")]
    only: Vec<StepName>,

    /// Change nothing, say what would be done
    #[arg(long, short = 'n')]
    dry_run: bool,

    /// Refuse to forget more than so many percent of a job's snapshots at once
    #[arg(long, value_name = "PERCENT", default_value = "90", value_parser = args::percent)]
    max_forget: u8,

    /// The clock is right, although it is behind a record or far past the last run
    #[arg(long)]
    accept_clock: bool,

    /// Tell those whom the repository's `notify` names, where no unit beside this one does
    #[arg(long)]
    notify: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum StepName {
    Forget,
    Prune,
    Check,
}

impl From<StepName> for Step {
    fn from(name: StepName) -> Self {
        match name {
            StepName::Forget => Step::Forget,
            StepName::Prune => Step::Prune,
            StepName::Check => Step::Check,
        }
    }
}

impl Maintain {
    /// Runs the command.
    ///
    /// # Errors
    /// If the configuration cannot be used, or the repository cannot be opened.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let config = self.file.read()?;
        config.repository(&self.repository)?;
        let kind = match self.only.as_slice() {
            [StepName::Forget] => Kind::Forget,
            [StepName::Prune] => Kind::Prune,
            [StepName::Check] => Kind::Check,
            _ => Kind::Maintain,
        };
        let first = self.only.first().map_or(Step::Forget, |step| (*step).into());
        // The NixOS module has a service for each step.
        let service = service(first, &self.repository);
        let reporter = reporter(context, &config, (kind, &self.repository), vec![self.repository.clone()], service)?;
        telling(context, &config, Subject::Maintain(self.repository.clone()), (self.notify && !self.dry_run).then_some(&reporter), || {
            reported(context, Some(&reporter).filter(|_| !self.dry_run), |told| self.keep_house(context, &config, told))
        })
    }

    fn keep_house(&self, context: &Context, config: &Config, told: &mut Told) -> anyhow::Result<Exit> {
        let options = MaintainOptions {
            config,
            repository: &self.repository,
            host: host_name()?,
            state_base: context.state_base_of(config)?,
            credentials: context.credentials(),
            access: context.access()?,
            only: self.only.iter().copied().map(Step::from).collect(),
            dry_run: self.dry_run,
            limits: Limits { max_forget_percent: self.max_forget, accept_clock: self.accept_clock },
        };
        let progress = context.progress()?;
        let maintained = maintain(&options, &progress)?;
        progress.finish();
        told.work = of_maintain(&self.repository, &maintained);
        told.found(&progress);
        let failed = maintained.failed();
        let report = Report::new(&options, maintained, progress.warnings());
        report.log();
        if self.dry_run {
            context.say(&report.text())?;
        } else {
            context.summary(&report.text())?;
        }
        context.document(&report)?;
        Ok(match (failed, report.is_clean()) {
            (true, _) => Exit::Failed,
            (false, false) => Exit::Warnings,
            (false, true) => context.end(&progress),
        })
    }
}
