//! `snapshots`: what there is.

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use crate::cli::args::SnapshotFilter;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::listing::{self, Listed, Opener};
use crate::cli::render::table::{Align, Table};
use crate::cli::render::text;
use crate::content::payload::Statistics;
use crate::model::human;
use crate::sealed::repository::Repository;
use crate::sealed::snapshots::{Signer, Snapshot};
use crate::store::Folder;

/// List snapshots; with a writer key its own labels are shown, with a restore key all
#[derive(Debug, Args)]
pub struct SnapshotsCommand {
    #[command(flatten)]
    filter: SnapshotFilter,

    /// List the forgotten ones that prune has not removed yet; `forget --undo` brings them back
    #[arg(long)]
    forgotten: bool,
}

#[derive(Serialize)]
struct List {
    repository: String,
    snapshots: Vec<Record>,
}

/// A snapshot, for machines.
#[derive(Serialize)]
pub struct Record {
    id: String,
    writer: String,
    writer_name: String,
    sequence: u64,
    group: String,
    parent: Option<String>,
    started: Timestamp,
    finished: Timestamp,
    received: Timestamp,
    /// Always false of forgotten ones, whose commits are gone.
    committed: bool,
    pinned: bool,
    /// `known`, `unknown` or `closed`.
    signer: &'static str,
    counts: bool,
    stored_bytes: u64,
    blocks: u64,
    host: Option<String>,
    job: Option<String>,
    paths: Option<Vec<String>>,
    tags: Option<Vec<String>>,
    statistics: Option<Statistics>,
    program: Option<String>,
}

impl Record {
    /// All that is known of a snapshot.
    pub fn new(listed: &Listed) -> Self {
        let (snapshot, labels) = (&listed.snapshot, listed.labels.as_ref());
        let envelope = &snapshot.envelope;
        Self {
            id: snapshot.id.to_string(),
            writer: envelope.writer.to_string(),
            writer_name: listed.writer.clone(),
            sequence: envelope.sequence,
            group: envelope.group.to_string(),
            parent: envelope.parent.map(|id| id.to_string()),
            started: envelope.started,
            finished: envelope.finished,
            received: snapshot.received_at(),
            committed: snapshot.committed,
            pinned: snapshot.pinned,
            signer: match snapshot.signer {
                Signer::Known => "known",
                Signer::Unknown => "unknown",
                Signer::Closed => "closed",
            },
            counts: snapshot.counts(),
            stored_bytes: envelope.sizes.added,
            blocks: envelope.sizes.blocks,
            host: labels.map(|labels| labels.host.clone()),
            job: labels.map(|labels| labels.job.clone()),
            paths: labels.map(|labels| labels.paths.iter().map(|path| String::from_utf8_lossy(&path.0).into_owned()).collect()),
            tags: labels.map(|labels| labels.tags.clone()),
            statistics: labels.map(|labels| labels.statistics),
            program: labels.map(|labels| labels.program.clone()),
        }
    }
}

impl SnapshotsCommand {
    /// Runs the command.
    ///
    /// # Errors
    /// If the repository cannot be read.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let key = context.key()?;
        let repository = context.with_copies(context.repository(key.as_ref())?);
        let opener = Opener::new(&repository, key.as_ref())?;
        let folder = if self.forgotten { Folder::Forgotten } else { Folder::Snapshots };
        let list = listing::load(&repository, folder, &opener, &self.filter)?;
        context.document(&List { repository: repository.id().to_bech32(), snapshots: list.iter().map(Record::new).collect() })?;
        context.say(&render(&repository, &list, folder, key.is_some()))?;
        Ok(Exit::Done)
    }
}

fn render(repository: &Repository, list: &[Listed], folder: Folder, key: bool) -> String {
    let forgotten = folder == Folder::Forgotten;
    if list.is_empty() {
        return format!("No {}snapshots in {}\n", if forgotten { "forgotten " } else { "" }, repository.store().location());
    }
    let now = Timestamp::now();
    let mut table = Table::new(&[
        ("ID", Align::Left),
        ("TIME", Align::Left),
        ("AGE", Align::Left),
        ("WRITER", Align::Left),
        ("GROUP", Align::Left),
        ("HOST", Align::Left),
        ("JOB", Align::Left),
        ("FILES", Align::Right),
        ("SIZE", Align::Right),
        ("ADDED", Align::Right),
        ("TAGS", Align::Left),
        ("PATHS", Align::Left),
        ("STATE", Align::Left),
    ]);
    // Without labels a writer and its group stand for host and job.
    let sealed = list.iter().any(|listed| listed.labels.is_none());
    for listed in list {
        let (snapshot, labels) = (&listed.snapshot, listed.labels.as_ref());
        let of_sealed = |text: String| if sealed { text } else { String::new() };
        let label = |get: &dyn Fn(&crate::content::payload::Payload) -> String| labels.map_or_else(String::new, get);
        table.row([
            snapshot.id.short(),
            text::moment(listed.made()),
            human::age(listed.made(), now),
            of_sealed(listed.writer.clone()),
            of_sealed(snapshot.envelope.group.short()),
            label(&|labels| text::path(labels.host.as_bytes())),
            label(&|labels| text::path(labels.job.as_bytes())),
            label(&|labels| crate::cli::progress::grouped(labels.statistics.files)),
            label(&|labels| human::size(labels.statistics.bytes)),
            human::size(snapshot.envelope.sizes.added),
            label(&|labels| text::path(labels.tags.join(",").as_bytes())),
            label(&paths),
            remarks(snapshot, forgotten),
        ]);
    }
    let mut text = table.render();
    let total = text::count(list.len() as u64, "snapshot");
    text.push_str(&match key {
        true => format!("{total}\n"),
        false => format!("{total}; hosts, jobs and paths are sealed: a writer key shows its own, a restore key all (--key)\n"),
    });
    text
}

/// The first paths, and how many more there are.
fn paths(labels: &crate::content::payload::Payload) -> String {
    const SHOWN: usize = 3;
    let mut text = labels.paths.iter().take(SHOWN).map(|path| text::path(&path.0)).collect::<Vec<_>>().join(" ");
    if labels.paths.len() > SHOWN {
        text.push_str(&format!(" and {} more", labels.paths.len() - SHOWN));
    }
    text
}

/// A difference of clocks worth a remark, in seconds.
const LATE: i64 = 3600;

/// What is out of the ordinary about a snapshot.
fn remarks(snapshot: &Snapshot, forgotten: bool) -> String {
    let mut remarks = Vec::new();
    match snapshot.signer {
        Signer::Known => {}
        Signer::Unknown => remarks.push("unknown writer, not counted".to_owned()),
        Signer::Closed => remarks.push("closed writer, not counted".to_owned()),
    }
    // To forget a snapshot takes its commit away, which says nothing of what it holds.
    if !snapshot.committed && !forgotten {
        remarks.push("incomplete".into());
    }
    if snapshot.pinned {
        remarks.push("pinned".into());
    }
    let received = snapshot.received_at();
    if received.duration_since(snapshot.envelope.finished).as_secs().abs() > LATE {
        remarks.push(format!("received {}", text::moment(received)));
    }
    remarks.join(", ")
}
