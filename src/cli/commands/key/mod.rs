//! `key`: who can restore, who can back up, and what a key file is for.

mod inspect;

use clap::Subcommand;

use crate::cli::context::Context;
use crate::cli::exit::Exit;

/// See and change who can restore and who can back up
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    Inspect(inspect::Inspect),
}

impl KeyCommand {
    /// Runs the command.
    ///
    /// # Errors
    /// If it fails.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        match self {
            KeyCommand::Inspect(command) => command.run(context),
        }
    }
}
