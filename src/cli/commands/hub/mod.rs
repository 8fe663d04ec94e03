//! `hub`: the server that keeps the backups of many hosts.

mod serve;
mod stdio;
mod token;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use crate::cli::context::Context;
use crate::cli::exit::Exit;

/// Keep the backups of other hosts, without being able to read them
#[derive(Debug, Subcommand)]
pub enum HubCommand {
    Serve(serve::Serve),
    Stdio(stdio::Stdio),
    #[command(subcommand)]
    Token(token::TokenCommand),
}

impl HubCommand {
    /// Runs the command.
    ///
    /// # Errors
    /// If it fails.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        match self {
            HubCommand::Serve(command) => command.run(context),
            HubCommand::Stdio(command) => command.run(),
            HubCommand::Token(command) => command.run(context),
        }
    }
}

/// Where a hub keeps everything.
#[derive(Debug, Args)]
struct Data {
    /// The hub's directory: its tokens, and the repositories below `repositories`
    #[arg(long, value_name = "DIR", env = "HEARTH_HUB_DATA", hide_env_values = true)]
    data: PathBuf,
}

impl Data {
    /// The directory, which is made if it is not there.
    fn path(&self) -> anyhow::Result<&Path> {
        use std::os::unix::fs::DirBuilderExt as _;
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.data);
        made.map_err(|error| anyhow::anyhow!("cannot make the hub's directory {}: {error}", self.data.display()))?;
        Ok(&self.data)
    }
}
