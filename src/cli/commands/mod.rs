//! One file per command: its arguments, and what it does with them.

mod backup;
mod init;
mod key;
mod snapshots;

use clap::Subcommand;

use super::context::Context;
use super::exit::Exit;

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    Init(init::Init),
    Backup(backup::Backup),
    Snapshots(snapshots::SnapshotsCommand),
    #[command(subcommand)]
    Key(key::KeyCommand),
}

impl Command {
    /// Runs the command.
    ///
    /// # Errors
    /// If it fails; the exit code follows from the error.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        match self {
            Command::Init(command) => command.run(context),
            Command::Backup(command) => command.run(context),
            Command::Snapshots(command) => command.run(context),
            Command::Key(command) => command.run(context),
        }
    }
}
