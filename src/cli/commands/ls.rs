//! `ls`: what a snapshot holds.

use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use crate::cli::args::SnapshotFilter;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::listing;
use crate::cli::render::{entry, text};
use crate::content::ContentError;
use crate::content::browse::{OpenSnapshot, Step, TreeWalk};
use crate::model::entry::{Entry, Kind};

/// List what a snapshot holds; with --json one document per line
#[derive(Debug, Args)]
pub struct Ls {
    /// `latest`, or the start of an id
    #[arg(value_name = "SNAP")]
    snapshot: String,

    /// What in it [default: everything]
    #[arg(value_name = "PATH")]
    path: Option<PathBuf>,

    /// Show mode, owner, size and time
    #[arg(long, short)]
    long: bool,

    /// List all that lies below too
    #[arg(long, short = 'R')]
    recursive: bool,

    #[command(flatten)]
    filter: SnapshotFilter,
}

impl Ls {
    /// Runs the command.
    ///
    /// # Errors
    /// If there is no such snapshot or path, or a tree cannot be read.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let (vault, listed) = listing::open_content(context, &self.snapshot, &self.filter)?;
        let snapshot = OpenSnapshot::open(&vault, &listed.snapshot)?;
        let path = self.path.as_ref().map(|path| path.as_os_str().as_bytes().to_vec());
        let mut out = context.console.lines();
        let mut show = |path: &[u8], entry: &Entry| {
            let line = match context.global.json {
                true => serde_json::to_string(&entry::Record::new(path, entry, None)).unwrap_or_default(),
                false => entry::line(path, entry, self.long),
            };
            writeln!(out, "{line}").map_err(|source| ContentError::File { action: "write", path: "the output".into(), source })
        };
        match (&path, self.recursive) {
            (None, _) => snapshot.list(b"/", &mut show)?,
            (Some(path), recursive) => {
                let shown = text::path(path);
                let top = path.iter().all(|byte| *byte == b'/');
                let found = snapshot.find(path)?;
                anyhow::ensure!(top || found.is_some(), "{shown} is not in snapshot {}", listed.snapshot.id.short());
                match found {
                    _ if recursive => snapshot.list(path, &mut show)?,
                    Some(entry) if !matches!(entry.kind, Kind::Directory { .. }) => show(path, &entry)?,
                    found => children(&snapshot, path, found.as_ref(), &mut show).with_context(|| format!("cannot list {shown}"))?,
                }
            }
        }
        out.flush()?;
        Ok(Exit::Done)
    }
}

/// Shows what lies in a directory, but not what lies below that.
fn children(
    snapshot: &OpenSnapshot<'_>,
    path: &[u8],
    directory: Option<&Entry>,
    show: &mut dyn FnMut(&[u8], &Entry) -> Result<(), ContentError>,
) -> Result<(), ContentError> {
    let pages = match directory.map(|entry| &entry.kind) {
        Some(Kind::Directory { pages }) => pages,
        _ => &snapshot.payload.root,
    };
    let prefix = path.strip_suffix(b"/").unwrap_or(path);
    let mut reader = snapshot.reader()?;
    let mut walk = TreeWalk::new(&mut reader, pages);
    while let Some(step) = walk.step() {
        let entry = match step {
            Step::Enter(entry) => {
                walk.skip();
                entry
            }
            Step::Entry(entry) => entry,
            Step::Leave => continue,
            Step::Damaged(error) => return Err(error),
        };
        show(&[prefix, walk.path()].concat(), &entry)?;
    }
    Ok(())
}
