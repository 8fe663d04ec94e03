//! `config`: the configuration file of this host.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::render::text;
use crate::config::Config;

/// Where the configuration is unless told otherwise.
const PLACES: [&str; 2] = ["/etc/hearth-backup/config.json", "/etc/hearth-backup/config.toml"];

/// The configuration file.
#[derive(Debug, Args)]
pub struct ConfigFile {
    /// The configuration: JSON, or TOML if its name ends so [default: /etc/hearth-backup/config.json or config.toml]
    #[arg(long, short = 'c', env = "HEARTH_CONFIG", hide_env_values = true, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ConfigFile {
    /// Where it is, or would be.
    pub fn path(&self) -> PathBuf {
        let usual = || PLACES.iter().map(PathBuf::from).find(|path| path.exists()).unwrap_or_else(|| Path::new(PLACES[0]).to_owned());
        self.config.clone().unwrap_or_else(usual)
    }

    /// Whether one is given, or one lies where it usually does.
    pub fn is_there(&self) -> bool {
        self.config.is_some() || self.path().exists()
    }

    /// Reads and checks it.
    ///
    /// # Errors
    /// If it cannot be used.
    pub fn read(&self) -> anyhow::Result<Config> {
        Ok(Config::read(&self.path())?)
    }
}

/// Check this host's configuration, or see what it may hold
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Read the configuration and say what is wrong with it; nothing is opened or run
    Check(Check),
    /// Print the JSON schema of the configuration, for editors
    Schema,
}

/// Arguments of `config check`.
#[derive(Debug, Args)]
pub struct Check {
    #[command(flatten)]
    file: ConfigFile,
}

impl ConfigCommand {
    /// Runs the command.
    ///
    /// # Errors
    /// If the configuration cannot be used.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        match self {
            ConfigCommand::Check(check) => {
                let config = check.file.read()?;
                context.document(&config)?;
                let names = |names: Vec<&String>| names.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ");
                let rows = [
                    ("Jobs", names(config.jobs.keys().collect())),
                    ("Repositories", names(config.repositories.keys().collect())),
                    ("Mirrors", names(config.mirrors.keys().collect())),
                    ("Drills", names(config.drills.keys().collect())),
                    ("Hub", config.hub.as_ref().map(|hub| hub.data_dir.display().to_string()).unwrap_or_default()),
                ];
                let rows: Vec<_> = rows.into_iter().filter(|(_, names)| !names.is_empty()).collect();
                context.summary(&format!("{} is right\n{}", check.file.path().display(), text::indent(&text::fields(&rows))))?;
            }
            ConfigCommand::Schema => context.console.print(&format!("{}\n", Config::schema()))?,
        }
        Ok(Exit::Done)
    }
}
