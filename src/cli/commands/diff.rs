//! `diff`: what changed between two snapshots.

use std::io::Write as _;

use clap::Args;
use serde::Serialize;

use crate::cli::args::SnapshotFilter;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::listing::{self, Opener};
use crate::cli::progress::grouped;
use crate::cli::render::text;
use crate::content::ContentError;
use crate::content::browse::{Change, OpenSnapshot, diff};
use crate::content::tree::Bytes;
use crate::model::entry::Kind;
use crate::store::Folder;

/// Show what changed between two snapshots; with --json one document per line
///
/// + added, - removed, M other content, U only owner, mode, times or attributes, T another kind of file
#[derive(Debug, Args)]
pub struct Diff {
    /// The earlier one: an id or the start of it
    #[arg(value_name = "A")]
    first: String,

    /// The later one: `latest`, an id, or the start of it
    #[arg(value_name = "B")]
    second: String,

    /// Do not list what differs in owner, mode, times or attributes only
    #[arg(long)]
    content_only: bool,
}

#[derive(Serialize)]
struct Record<'a> {
    change: &'a str,
    path: Bytes,
    kind: &'a str,
}

#[derive(Debug, Default)]
struct Counts {
    added: u64,
    removed: u64,
    changed: u64,
    metadata: u64,
}

impl Diff {
    /// Runs the command.
    ///
    /// # Errors
    /// If there are no such snapshots, or a tree cannot be read.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let vault = context.vault()?;
        let list = listing::load(vault.repository(), Folder::Snapshots, &Opener::of_vault(&vault), &SnapshotFilter::default())?;
        let first = OpenSnapshot::open(&vault, &listing::resolve(&list, &self.first)?.snapshot)?;
        let second = OpenSnapshot::open(&vault, &listing::resolve(&list, &self.second)?.snapshot)?;
        let mut out = context.console.lines();
        let mut counts = Counts::default();
        diff(&first, &second, &mut |change, path, entry| {
            counts.add(change);
            if change == Change::Metadata && self.content_only {
                return Ok(());
            }
            let (sign, word) = spell(change);
            let line = match context.global.json {
                true => {
                    serde_json::to_string(&Record { change: word, path: Bytes(path.to_vec()), kind: entry.kind.word() }).unwrap_or_default()
                }
                false => {
                    let slash = if matches!(entry.kind, Kind::Directory { .. }) { "/" } else { "" };
                    format!("{sign} {}{slash}", text::path(path))
                }
            };
            writeln!(out, "{line}").map_err(|source| ContentError::File { action: "write", path: "the output".into(), source })
        })?;
        out.flush()?;
        context.say(&counts.text())?;
        Ok(Exit::Done)
    }
}

fn spell(change: Change) -> (char, &'static str) {
    match change {
        Change::Added => ('+', "added"),
        Change::Removed => ('-', "removed"),
        Change::Content => ('M', "content"),
        Change::Metadata => ('U', "metadata"),
        Change::Kind => ('T', "kind"),
    }
}

impl Counts {
    fn add(&mut self, change: Change) {
        match change {
            Change::Added => self.added += 1,
            Change::Removed => self.removed += 1,
            Change::Content | Change::Kind => self.changed += 1,
            Change::Metadata => self.metadata += 1,
        }
    }

    fn text(&self) -> String {
        let Self { added, removed, changed, metadata } = self;
        let [added, removed, changed, metadata] = [added, removed, changed, metadata].map(|count| grouped(*count));
        format!("{added} added, {removed} removed, {changed} changed, {metadata} with other metadata\n")
    }
}
