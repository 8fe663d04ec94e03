//! `settle`: what a killed run left behind.

use clap::Args;

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::{drill, job};

/// Release what a killed run of a job left: start what it stopped, remove its snapshots
///
/// For the ExecStopPost of a job's unit. Does nothing while the job runs, or if its last run ended by itself. With --drill the same for a
/// drill: what it restored is removed.
#[derive(Debug, Args)]
pub struct Settle {
    /// The job's name
    #[arg(value_name = "JOB", required_unless_present = "drill")]
    job: Option<String>,

    /// A drill instead of a job
    #[arg(long, value_name = "DRILL", conflicts_with = "job")]
    drill: Option<String>,

    #[command(flatten)]
    file: super::config::ConfigFile,
}

impl Settle {
    /// Runs the command.
    ///
    /// # Errors
    /// If the configuration cannot be used, or what the killed run wrote down cannot be read.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let config = self.file.read()?;
        let base = context.state_base_of(&config)?;
        let progress = context.progress()?;
        if let Some(name) = &self.drill {
            drill::settle(name, config.drill(name)?, &base, &progress)?;
            return Ok(context.end(&progress));
        }
        let back = job::settle(&config, self.job.as_deref().unwrap_or_default(), &base, &progress)?;
        let end = context.end(&progress);
        Ok(if back { end } else { Exit::Failed })
    }
}
