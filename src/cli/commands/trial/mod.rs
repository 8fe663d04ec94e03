//! `try`: everything once, on real files, in a repository to throw away.

mod report;
mod steps;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

use self::report::Report;
use self::steps::Bench;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, UsageError};
use crate::source::walk;

/// Try it: back up, check, restore, compare and prune in a repository to throw away
#[derive(Debug, Args)]
pub struct Try {
    /// What to try it on; only read
    #[arg(value_name = "PATH", default_value = ".")]
    path: PathBuf,

    /// Work in this new or empty directory, and keep it
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

impl Try {
    /// Runs the command.
    ///
    /// # Errors
    /// If a step fails.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let source = walk::absolute(&self.path).with_context(|| format!("cannot read {}", self.path.display()))?;
        anyhow::ensure!(source.symlink_metadata().is_ok(), "cannot read {}: there is nothing of that name", source.display());
        let (dir, _temporary) = self.directory()?;
        let progress = context.progress()?;
        let bench = Bench::new(&dir, &source, &progress)?;
        let mut report = Report::new(context, &source, &dir, self.keep.is_some())?;
        let first = bench.backup()?;
        report.backup("backup", &first)?;
        let second = bench.backup()?;
        report.backup("backup again", &second)?;
        report.check(&bench.check()?)?;
        let (restored, differences) = bench.restore()?;
        report.restore(&restored)?;
        report.compare(&differences)?;
        report.prune(&bench.prune()?)?;
        progress.finish();
        report.end(context, progress.warnings())
    }

    /// The directory to work in; a temporary one vanishes when its guard is dropped.
    fn directory(&self) -> anyhow::Result<(PathBuf, Option<tempfile::TempDir>)> {
        let Some(dir) = &self.keep else {
            let temporary = tempfile::Builder::new().prefix("hearth-try-").tempdir().context("cannot make a temporary directory")?;
            return Ok((temporary.path().canonicalize()?, Some(temporary)));
        };
        if !is_new(dir)? {
            return Err(UsageError::new(format!("{} is not empty; --keep needs a new or an empty directory", dir.display())));
        }
        std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        Ok((dir.canonicalize()?, None))
    }
}

fn is_new(dir: &Path) -> anyhow::Result<bool> {
    match std::fs::read_dir(dir) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error).with_context(|| format!("cannot use {}", dir.display())),
    }
}
