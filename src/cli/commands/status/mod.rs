//! `status`: how everything fares.

mod host;
mod hub;
mod table;

use clap::Args;

use super::config::ConfigFile;
use crate::cli::context::Context;
use crate::cli::exit::Exit;

/// See how this host's jobs, mirrors and drills fare, or with --hub those of all hosts; ends with 1 if one is late, failing, or never ran
///
/// Without --hub nobody is asked: it shows what the reports say that this host keeps of its own runs.
#[derive(Debug, Args)]
pub struct StatusCommand {
    #[command(flatten)]
    file: ConfigFile,

    /// Ask a hub: https://HUB, or ssh://USER@HOST/NAME for what concerns that repository
    #[arg(long, value_name = "URL", conflicts_with = "config")]
    hub: Option<String>,
}

impl StatusCommand {
    /// Runs the command.
    ///
    /// # Errors
    /// If the configuration or the reports cannot be read, or the hub cannot be asked or does not let us.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        match &self.hub {
            Some(hub) => hub::show(context, hub),
            None => host::show(context, &self.file.read()?),
        }
    }
}
