//! `dump`: one file's content.

use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use clap::Args;

use crate::cli::args::SnapshotFilter;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, UsageError};
use crate::cli::listing;
use crate::content::browse::OpenSnapshot;

/// Write one file's content to standard output
#[derive(Debug, Args)]
pub struct Dump {
    /// `latest`, or the start of an id
    #[arg(value_name = "SNAP")]
    snapshot: String,

    /// The file
    #[arg(value_name = "PATH")]
    path: PathBuf,

    #[command(flatten)]
    filter: SnapshotFilter,
}

impl Dump {
    /// Runs the command.
    ///
    /// # Errors
    /// If there is no such file, or part of it is lost: then what was written must not be used.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        if context.global.json {
            return Err(UsageError::new("dump writes the file itself, so there is no --json"));
        }
        let (vault, listed) = listing::open_content(context, &self.snapshot, &self.filter)?;
        let snapshot = OpenSnapshot::open(&vault, &listed.snapshot)?;
        let found = snapshot.find(self.path.as_os_str().as_bytes())?;
        let entry = found.ok_or_else(|| {
            anyhow::anyhow!("{} is not in snapshot {}; `ls` shows what is", self.path.display(), listed.snapshot.id.short())
        })?;
        let mut out = context.console.lines();
        snapshot.dump(&entry, &mut out)?;
        out.flush()?;
        Ok(Exit::Done)
    }
}
