//! `stats`: how much there is.

use clap::Args;
use serde::Serialize;

use super::cost::Cost;
use crate::cli::args::SnapshotFilter;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::listing::{self, Listed, Opener};
use crate::cli::progress::grouped;
use crate::cli::render::table::{Align, Table};
use crate::cli::render::text;
use crate::model::human;
use crate::store::Folder;

/// Show how much is stored; with a key also how much it stands for
#[derive(Debug, Args)]
pub struct Stats {
    #[command(flatten)]
    cost: Cost,
}

#[derive(Serialize)]
struct Report {
    repository: String,
    snapshots: usize,
    /// Of the snapshots whose labels the key opens.
    labelled_snapshots: usize,
    content_files: u64,
    content_bytes: u64,
    folders: Vec<FolderRecord>,
    objects: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct FolderRecord {
    folder: &'static str,
    objects: u64,
    bytes: u64,
}

impl Stats {
    /// Runs the command.
    ///
    /// # Errors
    /// If the repository cannot be read.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        if self.cost.cost {
            return self.cost.run(context);
        }
        let key = context.key()?;
        let repository = context.repository(key.as_ref())?;
        let list = listing::load(&repository, Folder::Snapshots, &Opener::new(&repository, key.as_ref())?, &SnapshotFilter::default())?;
        let counted: Vec<&Listed> = list.iter().filter(|listed| listed.snapshot.counts()).collect();
        let labels: Vec<_> = counted.iter().filter_map(|listed| listed.labels.as_ref()).collect();
        let mut folders = Vec::new();
        for folder in Folder::ALL {
            let objects = repository.store().list(folder)?;
            folders.push(FolderRecord {
                folder: folder.as_str(),
                objects: objects.len() as u64,
                bytes: objects.iter().map(|info| info.size).sum(),
            });
        }
        let report = Report {
            repository: repository.id().to_bech32(),
            snapshots: counted.len(),
            labelled_snapshots: labels.len(),
            content_files: labels.iter().map(|labels| labels.statistics.files).sum(),
            content_bytes: labels.iter().map(|labels| labels.statistics.bytes).sum(),
            objects: folders.iter().map(|folder| folder.objects).sum(),
            bytes: folders.iter().map(|folder| folder.bytes).sum(),
            folders,
        };
        context.document(&report)?;
        context.say(&render(&report))?;
        Ok(Exit::Done)
    }
}

fn render(report: &Report) -> String {
    let mut table = Table::new(&[("FOLDER", Align::Left), ("OBJECTS", Align::Right), ("SIZE", Align::Right)]);
    for folder in report.folders.iter().filter(|folder| folder.objects > 0) {
        table.row([folder.folder.to_owned(), grouped(folder.objects), human::size(folder.bytes)]);
    }
    table.row(["total".to_owned(), grouped(report.objects), human::size(report.bytes)]);
    let mut rows = vec![("Snapshots", grouped(report.snapshots as u64))];
    if report.labelled_snapshots > 0 {
        rows.push(("Content", format!("{} in {}", human::size(report.content_bytes), text::count(report.content_files, "file"))));
    }
    if report.labelled_snapshots == report.snapshots && report.bytes > 0 && report.content_bytes > 0 {
        rows.push(("Ratio", format!("{:.1} : 1", report.content_bytes as f64 / report.bytes as f64)));
    }
    format!("{}\n{}", table.render(), text::fields(&rows))
}
