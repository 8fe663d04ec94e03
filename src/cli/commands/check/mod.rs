//! `check`: whether everything is there and whole, in three depths; and mending the lists that lead to it.

pub mod report;

use clap::Args;

use self::report::Report;
use crate::cli::args;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::keys::Key;
use crate::cli::progress::Progress;
use crate::content::admin::Admin;
use crate::content::check::{read_data, repair_index};
use crate::content::keys::RestoreKey;
use crate::content::vault::Vault;
use crate::keep::check::check;
use crate::sealed::repository::Repository;
use crate::sealed::verify::Share;

/// Check that everything is there and whole
///
/// Without options: all that the snapshots need is there, in the right length. This and --read-packs need no key. What is wrong is
/// listed with the snapshots and files concerned, and the exit code is 3.
#[derive(Debug, Args)]
pub struct Check {
    /// Also read and hash every pack, or so many percent of them, others every day
    #[arg(long, value_name = "PERCENT", num_args = 0..=1, default_missing_value = "100", value_parser = args::OptionalPercent)]
    read_packs: Option<u8>,

    /// Also open every block and look up every chunk of every file; needs the restore key
    #[arg(long)]
    read_data: bool,

    /// Make missing or damaged index objects anew and renew the snapshots that need them; needs the restore key
    #[arg(long)]
    repair_index: bool,
}

impl Check {
    /// Runs the command.
    ///
    /// # Errors
    /// If the repository cannot be read at all.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let key = if self.read_data || self.repair_index { Some(Key::Restore(context.restore_key()?)) } else { context.key()? };
        let mut repository = context.repository(key.as_ref())?;
        let progress = context.progress()?;
        let mut report = Report::new(&repository);
        if let (true, Some(Key::Restore(key))) = (self.repair_index, &key) {
            report.repaired(repair(&repository, key, &progress)?);
        }
        if self.repair_index {
            // A repair adds statements.
            repository = context.repository(key.as_ref())?;
        }
        report.structure(&check(&repository, self.read_packs.map(Share::Percent), &progress)?);
        if let (true, Some(Key::Restore(key))) = (self.read_data, &key) {
            report.data(read_data(&Vault::open(repository, key)?, &progress)?);
        }
        progress.finish();
        report.log();
        context.summary(&report.text())?;
        context.document(&report)?;
        Ok(if report.is_clean() { context.end(&progress) } else { Exit::Warnings })
    }
}

fn repair(repository: &Repository, key: &RestoreKey, progress: &Progress) -> anyhow::Result<crate::content::check::Repaired> {
    let mut admin = Admin::open(repository.clone(), key)?;
    let vault = Vault::open(repository.clone(), key)?;
    Ok(repair_index(&mut admin, &vault, progress)?)
}
