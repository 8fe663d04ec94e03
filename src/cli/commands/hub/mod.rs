//! `hub`: the server that keeps the backups of many hosts.

mod maintain;
mod serve;
mod stdio;
mod token;
mod watch;

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::config::ConfigFile;
use crate::cli::exit::UsageError;
use crate::config::{Config, Credentials, Hub};
use crate::store::hub::is_name;

use crate::cli::context::Context;
use crate::cli::exit::Exit;

/// Keep the backups of other hosts, without being able to read them
#[derive(Debug, Subcommand)]
pub enum HubCommand {
    Serve(serve::Serve),
    Maintain(maintain::Maintain),
    Watch(watch::Watch),
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
            HubCommand::Maintain(command) => command.run(context),
            HubCommand::Watch(command) => command.run(context),
            HubCommand::Stdio(command) => command.run(context),
            HubCommand::Token(command) => command.run(context),
        }
    }
}

/// The repository at a hub that `--repository` names, or else `--repo`, where elsewhere a location stands.
fn repository(own: Option<&String>, context: &Context) -> Option<String> {
    own.or(context.global.repo.as_ref().filter(|name| is_name(name))).cloned()
}

/// What the names of the hub's services begin with.
const SERVICE: &str = "hearth-backup-hub-";

/// Which hub: one of a configuration, or a directory for a first try.
#[derive(Debug, Args)]
struct Which {
    /// The hub's directory: its tokens, and the repositories below `repositories`; instead of a configuration with a `hub`
    #[arg(long, value_name = "DIR", env = "HEARTH_HUB_DATA", hide_env_values = true)]
    data: Option<PathBuf>,

    #[command(flatten)]
    file: ConfigFile,
}

impl Which {
    /// What is said of the hub. Its directory is made if it is not there.
    ///
    /// # Errors
    /// If neither a directory is given nor a configuration with a hub, or the directory cannot be made.
    fn hub(&self) -> anyhow::Result<Hub> {
        let hub = self.named()?;
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&hub.data_dir);
        made.map_err(|error| anyhow::anyhow!("cannot make the hub's directory {}: {error}", hub.data_dir.display()))?;
        Ok(hub)
    }

    /// The same, of a hub that has been at work before.
    ///
    /// # Errors
    /// As [`Self::hub`], or if there is none in its directory.
    fn hub_that_is_there(&self) -> anyhow::Result<Hub> {
        let hub = self.named()?;
        if !crate::hub::Hub::is_at(&hub.data_dir) {
            let data = hub.data_dir.display();
            anyhow::bail!("there is no hub in {data}: is its disk mounted? A new one begins with `hub serve`, or `hub token add`");
        }
        Ok(hub)
    }

    fn named(&self) -> anyhow::Result<Hub> {
        Ok(match &self.data {
            Some(data) => Hub::at(std::path::absolute(data)?),
            None => self.configured()?,
        })
    }

    /// The configuration, if that says which hub it is.
    ///
    /// # Errors
    /// If it cannot be used.
    fn config(&self) -> anyhow::Result<Option<Config>> {
        if self.data.is_none() { Ok(Some(self.file.read()?)) } else { Ok(None) }
    }

    fn configured(&self) -> anyhow::Result<Hub> {
        if !self.file.is_there() {
            return Err(UsageError::new("which hub? Give --data DIR, or --config FILE with a `hub` in it"));
        }
        let no_hub = || UsageError::new(format!("{} has no `hub`; add one, or give --data DIR", self.file.path().display()));
        self.file.read()?.hub.ok_or_else(no_hub)
    }

    /// Where secrets are found that systemd keeps for a service of the hub.
    fn credentials(context: &Context, service: &str) -> Credentials {
        Credentials { directory: context.credentials(), service: service.to_owned() }
    }
}
