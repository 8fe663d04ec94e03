//! `find`: in which snapshots something is.

use std::ffi::OsString;
use std::io::Write as _;

use clap::Args;

use crate::cli::args::SnapshotFilter;
use crate::cli::console::Lines;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::listing::{self, Listed, Opener};
use crate::cli::render::entry;
use crate::content::browse::{OpenSnapshot, Step, TreeWalk};
use crate::content::vault::Vault;
use crate::model::entry::Entry;
use crate::source::exclude::Excludes;
use crate::store::Folder;

/// Find files by name in all snapshots, newest first; with --json one document per line
#[derive(Debug, Args)]
pub struct Find {
    /// As in .gitignore: `*.conf` at any depth, `/etc/*.conf` in /etc
    #[arg(value_name = "PATTERN", required = true)]
    patterns: Vec<OsString>,

    /// Only in this snapshot
    #[arg(long, value_name = "SNAP")]
    snapshot: Option<String>,

    /// Show mode, owner, size and time
    #[arg(long, short)]
    long: bool,

    #[command(flatten)]
    filter: SnapshotFilter,
}

impl Find {
    /// Runs the command.
    ///
    /// # Errors
    /// If a pattern is malformed, or a snapshot cannot be read.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let mut rules = Excludes::builder();
        for pattern in &self.patterns {
            rules = rules.pattern(pattern)?;
        }
        let rules = rules.build()?;
        let vault = context.vault()?;
        let list = listing::load(vault.repository(), Folder::Snapshots, &Opener::of_vault(&vault), &self.filter)?;
        let mut chosen: Vec<&Listed> = match &self.snapshot {
            Some(text) => vec![listing::resolve(&list, text)?],
            None => list.iter().filter(|listed| listed.snapshot.counts()).collect(),
        };
        chosen.reverse();
        let mut out = context.console.lines();
        let mut searched: Vec<(&Listed, bool)> = Vec::new();
        for listed in chosen {
            let root = listed.labels.as_ref().map(|labels| &labels.root);
            match searched.iter().find(|(other, _)| other.labels.as_ref().map(|labels| &labels.root) == root) {
                Some((same, true)) => {
                    self.head(context, &mut out, &format!("{}: the same as {}", listed.describe(), same.snapshot.id.short()))?;
                }
                Some((_, false)) => {}
                None => searched.push((listed, self.search(context, &vault, listed, &rules, &mut out)?)),
            }
        }
        out.flush()?;
        if !searched.iter().any(|(_, found)| *found) {
            tracing::info!("nothing matches");
        }
        Ok(Exit::Done)
    }

    fn head(&self, context: &Context, out: &mut Lines, text: &str) -> anyhow::Result<()> {
        if !context.global.json {
            writeln!(out, "{text}")?;
        }
        Ok(())
    }

    /// Prints what matches in a snapshot, below a line that names it; whether anything does.
    fn search(&self, context: &Context, vault: &Vault, listed: &Listed, rules: &Excludes, out: &mut Lines) -> anyhow::Result<bool> {
        let snapshot = OpenSnapshot::open(vault, &listed.snapshot)?;
        let mut reader = snapshot.reader()?;
        let mut walk = TreeWalk::new(&mut reader, &snapshot.payload.root);
        let mut found = false;
        let id = listed.snapshot.id.to_string();
        let mut check = |path: &[u8], entry: &Entry, directory: bool| -> anyhow::Result<()> {
            if rules.matches(path, &entry.name, directory) {
                if !found {
                    self.head(context, out, &listed.describe())?;
                }
                found = true;
                match context.global.json {
                    true => writeln!(out, "{}", serde_json::to_string(&entry::Record::new(path, entry, Some(id.clone())))?)?,
                    false => writeln!(out, "  {}", entry::line(path, entry, self.long))?,
                }
            }
            Ok(())
        };
        while let Some(step) = walk.step() {
            match step {
                Step::Enter(entry) => check(walk.path(), &entry, true)?,
                Step::Entry(entry) => check(walk.path(), &entry, false)?,
                Step::Leave => {}
                Step::Damaged(error) => return Err(error.into()),
            }
        }
        Ok(found)
    }
}
