//! `key`: who can restore, who can back up, and what a key file is for.

mod inspect;
mod recipients;
mod rotate;
mod writers;

use clap::Subcommand;

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::keys::Key;
use crate::content::admin::Admin;

/// See and change who can restore and who can back up
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    Inspect(inspect::Inspect),
    Recipients(recipients::Recipients),
    AddRecipient(recipients::AddRecipient),
    RemoveRecipient(recipients::RemoveRecipient),
    Rotate(rotate::Rotate),
    Writers(writers::Writers),
    AddWriter(writers::AddWriter),
    CloseWriter(writers::CloseWriter),
}

impl KeyCommand {
    /// Runs the command.
    ///
    /// # Errors
    /// If it fails.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        match self {
            KeyCommand::Inspect(command) => command.run(context),
            KeyCommand::Recipients(command) => command.run(context),
            KeyCommand::AddRecipient(command) => command.run(context),
            KeyCommand::RemoveRecipient(command) => command.run(context),
            KeyCommand::Rotate(command) => command.run(context),
            KeyCommand::Writers(command) => command.run(context),
            KeyCommand::AddWriter(command) => command.run(context),
            KeyCommand::CloseWriter(command) => command.run(context),
        }
    }
}

/// Opens the repository with the root key, which the restore key gives.
fn open_admin(context: &Context) -> anyhow::Result<Admin> {
    let key = Key::Restore(context.restore_key()?);
    let repository = context.repository(Some(&key))?;
    let Key::Restore(key) = key else { anyhow::bail!("not a restore key") };
    Ok(Admin::open(repository, &key)?)
}
