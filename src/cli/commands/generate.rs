//! `completions` and `man`: what is generated from the definition of the command line.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use clap_complete::Shell;

use crate::cli::context::Context;
use crate::cli::definition;
use crate::cli::exit::Exit;

/// Print completions for a shell
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    shell: Shell,
}

/// Write manual pages to a directory
#[derive(Debug, Args)]
pub struct Man {
    /// The directory; made if it is not there
    dir: PathBuf,
}

impl Completions {
    /// Runs the command.
    ///
    /// # Errors
    /// If nobody reads the output.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut definition(), "hearth-backup", &mut script);
        context.console.print(&String::from_utf8_lossy(&script))?;
        Ok(Exit::Done)
    }
}

impl Man {
    /// Runs the command.
    ///
    /// # Errors
    /// If the pages cannot be written.
    pub fn run(self, _: &Context) -> anyhow::Result<Exit> {
        let failed = || format!("cannot write manual pages to {}", self.dir.display());
        std::fs::create_dir_all(&self.dir).with_context(failed)?;
        clap_mangen::generate_to(definition(), &self.dir).with_context(failed)?;
        Ok(Exit::Done)
    }
}
