//! `check`: whether everything is there and whole.

use clap::Args;
use serde::Serialize;

use crate::cli::args;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::render::text;
use crate::content::check::{DataReport, read_data};
use crate::model::human;

/// Check that everything is there and whole; needs no key but for --read-data
#[derive(Debug, Args)]
pub struct Check {
    /// Read and hash what is stored, or so many percent of it
    #[arg(long, value_name = "PERCENT", num_args = 0..=1, require_equals = true, default_missing_value = "100", value_parser = args::percent)]
    read_packs: Option<u8>,

    /// Open every block and look up every chunk of every file; needs the restore key
    #[arg(long)]
    read_data: bool,

    /// Rebuild index objects that are missing or damaged; needs the restore key
    #[arg(long)]
    repair_index: bool,
}

#[derive(Serialize)]
struct Report {
    repository: String,
    data: Option<DataReport>,
    problems: u64,
}

impl Check {
    /// Runs the command.
    ///
    /// # Errors
    /// If the repository cannot be read at all.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        anyhow::ensure!(self.read_packs.is_none() && !self.repair_index, "not in this build yet");
        let vault = context.vault()?;
        let progress = context.progress()?;
        let data = read_data(&vault, &progress)?;
        progress.finish();
        for problem in &data.problems {
            let snapshots = problem.snapshots.iter().cloned().collect::<Vec<_>>().join(", ");
            let concerned = if snapshots.is_empty() { String::new() } else { format!(" (snapshots {snapshots})") };
            tracing::error!(subject = %problem.subject, "{}{concerned}", problem.what);
        }
        let problems = data.problems.len() as u64;
        let rows = [
            ("Blocks", format!("{} opened, {}", text::count(data.blocks, "block"), human::size(data.bytes))),
            ("Files", format!("{} in {}", text::count(data.files, "file"), text::count(data.snapshots, "snapshot"))),
            ("Verdict", if problems == 0 { "everything is whole".to_owned() } else { text::count(problems, "problem") }),
        ];
        context.say(&text::fields(&rows))?;
        context.document(&Report { repository: vault.repository().id().to_bech32(), data: Some(data), problems })?;
        Ok(if problems > 0 { Exit::Warnings } else { context.end(&progress) })
    }
}
