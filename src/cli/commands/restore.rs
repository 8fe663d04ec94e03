//! `restore`: from a snapshot to files.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};
use jiff::Timestamp;
use serde::Serialize;

use crate::cli::args::SnapshotFilter;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::listing::{self, Listed};
use crate::cli::progress::{Progress, grouped};
use crate::cli::render::text;
use crate::content::browse::OpenSnapshot;
use crate::content::restore::{Difference, RestoreOptions, RestoreSummary, compare, restore};
use crate::content::vault::Vault;
use crate::model::human;
use crate::source::exclude::Selection;

/// Restore files from a snapshot
///
/// Files that are there and unchanged are left alone, so an interrupted restore can be repeated. What is damaged is listed, the
/// rest is restored, and the exit code is 3.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("where").args(["target", "in_place"]).required(true)))]
pub struct Restore {
    /// `latest`, or the start of an id
    #[arg(value_name = "SNAP")]
    snapshot: String,

    /// Below which directory; /etc/fstab becomes DIR/etc/fstab
    #[arg(long, short, value_name = "DIR")]
    target: Option<PathBuf>,

    /// To where the files were
    #[arg(long)]
    in_place: bool,

    /// Only what matches, with all below it; as in .gitignore
    #[arg(long, short, value_name = "GLOB")]
    include: Vec<OsString>,

    /// Not what matches
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<OsString>,

    /// Remove what the snapshot does not have from directories that are restored whole
    #[arg(long)]
    delete: bool,

    /// Write nothing, only count
    #[arg(long, short = 'n')]
    dry_run: bool,

    /// Read everything again afterwards and compare it with the snapshot
    #[arg(long, conflicts_with = "dry_run")]
    verify: bool,

    /// Give files to the users and groups of the same name, not of the same number
    #[arg(long)]
    owners_by_name: bool,

    #[command(flatten)]
    filter: SnapshotFilter,
}

#[derive(Serialize)]
struct Report<'a> {
    snapshot: String,
    made: Timestamp,
    target: &'a Path,
    dry_run: bool,
    #[serde(flatten)]
    summary: &'a RestoreSummary,
    /// Absent unless `--verify` was given.
    differences: Option<&'a [Difference]>,
}

impl Restore {
    /// Runs the command.
    ///
    /// # Errors
    /// If there is no such snapshot, or the target cannot be used.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let selection = Selection::new(&self.include, &self.exclude)?;
        let (vault, listed) = listing::open_content(context, &self.snapshot, &self.filter)?;
        let target = self.target.clone().unwrap_or_else(|| PathBuf::from("/"));
        tracing::info!(
            "{} snapshot {} to {}",
            if self.dry_run { "would restore" } else { "restoring" },
            listed.describe(),
            target.display()
        );
        let progress = context.progress()?;
        let snapshot = OpenSnapshot::open(&vault, &listed.snapshot)?;
        let options = RestoreOptions {
            target: target.clone(),
            selection: selection.clone(),
            delete: self.delete,
            dry_run: self.dry_run,
            owners_by_name: self.owners_by_name,
        };
        let summary = restore(&vault, &snapshot, &options, &progress)?;
        let differences = if self.verify { Some(verify(&vault, &snapshot, &target, &selection, &progress)?) } else { None };
        progress.finish();
        for note in &summary.incomplete {
            tracing::warn!("{note}");
        }
        for include in &summary.unmatched {
            tracing::warn!(
                "nothing in the snapshot matches --include {include}, so nothing was restored by it; `hearth-backup ls` shows what there is"
            );
        }
        self.report(context, &listed, &target, &summary, differences.as_deref())?;
        let complete = summary.lost.is_empty() && summary.incomplete.is_empty() && summary.unmatched.is_empty();
        let whole = complete && differences.is_none_or(|found| found.is_empty());
        Ok(if whole { context.end(&progress) } else { Exit::Warnings })
    }

    fn report(
        &self,
        context: &Context,
        listed: &Listed,
        target: &Path,
        summary: &RestoreSummary,
        differences: Option<&[Difference]>,
    ) -> anyhow::Result<()> {
        context.document(&Report {
            snapshot: listed.snapshot.id.to_string(),
            made: listed.made(),
            target,
            dry_run: self.dry_run,
            summary,
            differences,
        })?;
        context.summary(&self.text(summary, differences))
    }

    fn text(&self, summary: &RestoreSummary, differences: Option<&[Difference]>) -> String {
        let time = std::time::Duration::from_secs_f64(summary.seconds.max(0.0));
        let mut rows = vec![
            ("Written", format!("{} in {}", human::size(summary.bytes), text::count(summary.files, "file"))),
            ("Unchanged", grouped(summary.unchanged)),
            ("Directories", grouped(summary.directories)),
        ];
        if summary.others > 0 {
            rows.push(("Links, nodes", grouped(summary.others)));
        }
        if summary.removed > 0 {
            rows.push(("Removed", grouped(summary.removed)));
        }
        rows.push(("Time", format!("{}, {}", human::duration(time), human::rate(summary.bytes, time))));
        if let Some(found) = differences {
            let verdict =
                if found.is_empty() { "everything is as in the snapshot".into() } else { text::count(found.len() as u64, "difference") };
            rows.push(("Verified", verdict));
        }
        if !summary.lost.is_empty() {
            rows.push(("Lost", format!("{}, listed here:", text::count(summary.lost.len() as u64, "path"))));
        }
        let lost = summary.lost.iter().map(|(path, why)| format!("  {}: {why}\n", text::path(path.as_bytes())));
        let head = if self.dry_run { "Dry run, nothing was written\n" } else { "Restored\n" };
        let fields = text::fields(&rows);
        std::iter::once(head.to_owned()).chain(fields.lines().map(|line| format!("  {line}\n"))).chain(lost).collect()
    }
}

fn verify(
    vault: &Vault,
    snapshot: &OpenSnapshot<'_>,
    target: &Path,
    selection: &Selection,
    progress: &Progress,
) -> anyhow::Result<Vec<Difference>> {
    let found = compare(vault, snapshot, target, selection, progress)?;
    for difference in &found {
        tracing::warn!(subject = %difference.path, "{}", difference.what);
    }
    Ok(found)
}
