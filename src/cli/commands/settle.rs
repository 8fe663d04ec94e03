//! `settle`: what a killed run left behind.

use clap::Args;

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::process;
use crate::cli::reporting::reporter;
use crate::cli::telling::Audience;
use crate::model::report::Kind;
use crate::notify::Subject;
use crate::report::close;
use crate::{drill, job};

/// Clear up after a run that was killed: close its report and tell the hub of it, start what it stopped, remove its snapshots and what a drill restored
///
/// For the ExecStopPost of a unit, where systemd says how the run ended. Does nothing while a run is under way, or if the last one ended by itself.
#[derive(Debug, Args)]
pub struct Settle {
    /// The name of the job, or of what the option says
    #[arg(value_name = "NAME")]
    name: String,

    /// It was a run of this kind: of a mirror, of a step of housekeeping in a repository, or a drill
    #[arg(long, value_name = "KIND", default_value = "backup", value_parser = kind)]
    kind: Kind,

    /// Tell those whom the configuration names of a run that was killed; for units beside which no other one tells
    #[arg(long)]
    notify: bool,

    #[command(flatten)]
    file: super::config::ConfigFile,
}

fn kind(word: &str) -> Result<Kind, String> {
    let known = || Kind::ALL.map(Kind::as_str).join(", ");
    Kind::ALL.into_iter().find(|kind| kind.as_str() == word).ok_or_else(|| format!("there are: {}", known()))
}

impl Settle {
    /// What its runs are of, for those who are told of them.
    fn subject(&self) -> Subject {
        let name = self.name.clone();
        match self.kind {
            Kind::Backup => Subject::Job(name),
            Kind::Mirror => Subject::Mirror(name),
            Kind::Drill => Subject::Drill(name),
            Kind::Forget | Kind::Prune | Kind::Check | Kind::Maintain => Subject::Maintain(name),
        }
    }

    /// Runs the command.
    ///
    /// # Errors
    /// If the configuration cannot be used, or what the killed run wrote down cannot be read.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let config = self.file.read()?;
        let (repositories, service) = match self.kind {
            Kind::Backup => (config.job(&self.name)?.repositories.clone(), format!("hearth-backup-{}", self.name)),
            Kind::Mirror => {
                let mirror = config.mirror(&self.name)?;
                (vec![mirror.to.clone(), mirror.from.clone()], format!("hearth-backup-mirror-{}", self.name))
            }
            Kind::Forget | Kind::Prune | Kind::Check | Kind::Maintain => {
                config.repository(&self.name)?;
                (vec![self.name.clone()], format!("hearth-backup-{}-{}", self.kind, self.name))
            }
            Kind::Drill => (vec![config.drill(&self.name)?.repository.clone()], format!("hearth-backup-drill-{}", self.name)),
        };
        let reporter = reporter(context, &config, (self.kind, &self.name), repositories, service)?;
        let killed = close(&reporter, &process::verdict());
        let progress = context.progress()?;
        if self.notify {
            Audience::of(context, &config, self.subject())?.tell_of(killed, &reporter.state, &progress);
        }
        if self.kind == Kind::Drill {
            drill::settle(&self.name, config.drill(&self.name)?, &reporter.state, &progress)?;
        }
        if self.kind != Kind::Backup {
            return Ok(context.end(&progress));
        }
        let back = job::settle(&config, &self.name, &reporter.state, &progress)?;
        let end = context.end(&progress);
        Ok(if back { end } else { Exit::Failed })
    }
}
