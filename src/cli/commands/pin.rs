//! `pin` and `unpin`: keep a snapshot whatever the policy says.

use clap::Args;
use serde::Serialize;

use crate::cli::args::SnapshotFilter;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::listing::{self, Opener};
use crate::sealed::forget;
use crate::store::Folder;

/// Keep a snapshot whatever the policy says
#[derive(Debug, Args)]
pub struct Pin {
    #[command(flatten)]
    which: Which,
}

/// Let the policy decide about a snapshot again
#[derive(Debug, Args)]
pub struct Unpin {
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, Args)]
struct Which {
    /// `latest`, or the start of an id
    #[arg(value_name = "SNAP", required = true)]
    snapshots: Vec<String>,
}

#[derive(Serialize)]
struct Report {
    snapshots: Vec<String>,
    pinned: bool,
}

impl Pin {
    /// Runs the command.
    ///
    /// # Errors
    /// If there is no such snapshot.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        set(context, &self.which, true)
    }
}

impl Unpin {
    /// Runs the command.
    ///
    /// # Errors
    /// If there is no such snapshot.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        set(context, &self.which, false)
    }
}

fn set(context: &Context, which: &Which, pinned: bool) -> anyhow::Result<Exit> {
    let key = context.key()?;
    let repository = context.repository(key.as_ref())?;
    let list = listing::load(&repository, Folder::Snapshots, &Opener::default(), &SnapshotFilter::default())?;
    let chosen = which.snapshots.iter().map(|text| listing::resolve(&list, text)).collect::<anyhow::Result<Vec<_>>>()?;
    for listed in &chosen {
        let id = &listed.snapshot.id;
        if pinned {
            forget::pin(&repository, id)?
        } else {
            forget::unpin(&repository, id)?
        }
        context.summary(&format!("{} {}\n", if pinned { "Pinned" } else { "Unpinned" }, listed.describe()))?;
    }
    context.document(&Report { snapshots: chosen.iter().map(|listed| listed.snapshot.id.to_string()).collect(), pinned })?;
    Ok(Exit::Done)
}
