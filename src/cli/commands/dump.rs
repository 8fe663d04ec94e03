//! `dump`: one file's content, or a directory as an archive.

use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use clap::Args;

use crate::cli::args::SnapshotFilter;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, UsageError};
use crate::cli::listing;
use crate::content::browse::{OpenSnapshot, write_archive};
use crate::content::restore::restore_image;
use crate::model::entry::Kind;
use crate::model::human;

/// Write one file's content, or a directory as an archive, to standard output; or an image to a device
#[derive(Debug, Args)]
pub struct Dump {
    /// `latest`, or the start of an id
    #[arg(value_name = "SNAP")]
    snapshot: String,

    /// The file
    #[arg(value_name = "PATH")]
    path: PathBuf,

    /// Write the directory and all that is in it as a tar archive
    #[arg(long, conflicts_with = "to")]
    tar: bool,

    /// Write to this file or block device, with holes where the content has them
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,

    /// Overwrite a file or device that is there
    #[arg(long, requires = "to")]
    replace: bool,

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
        if let Some(target) = &self.to {
            let (bytes, holes) = restore_image(&snapshot, &entry, target, self.replace)?;
            let sizes = format!("{}, {} of them zeros that were not stored", human::size(bytes), human::size(holes));
            context.summary(&format!("Wrote {} to {}: {sizes}\n", self.path.display(), target.display()))?;
            return Ok(Exit::Done);
        }
        let mut out = context.console.lines();
        match (&entry.kind, self.tar) {
            (Kind::Directory { .. }, false) => {
                anyhow::bail!("{} is a directory; --tar writes it as an archive, `restore` as files", self.path.display())
            }
            (_, true) => drop(write_archive(&snapshot, self.path.as_os_str().as_bytes(), &mut out)?),
            (_, false) => snapshot.dump(&entry, &mut out)?,
        }
        out.flush()?;
        Ok(Exit::Done)
    }
}
