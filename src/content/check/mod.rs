//! Checking with a restore key: every block is opened, every chunk id recomputed, and every chunk of every tree is
//! found in a block that the snapshot's refs name.
//!
//! ```text
//!   packs --> blocks --open--> chunk ids == index objects?     (threads)
//!   snapshots --> trees --> every chunk in a good block of the refs?
//! ```

mod blocks;
mod repair;
mod trees;

pub use repair::{Repaired, repair_index};

use std::collections::{BTreeSet, HashSet};

use serde::Serialize;

use crate::content::ContentError;
use crate::content::vault::Vault;
use crate::model::event::{Event, Monitor};
use crate::model::id::BlockId;
use crate::sealed::snapshots::Snapshots;
use crate::store::Folder;

/// Something wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The object or path.
    pub subject: String,
    /// What is wrong with it.
    pub what: String,
    /// Short ids of the snapshots concerned, where known.
    pub snapshots: BTreeSet<String>,
}

/// What a check with a restore key found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct DataReport {
    /// Blocks opened.
    pub blocks: u64,
    /// Chunks whose ids were recomputed.
    pub chunks: u64,
    /// Plaintext bytes of them.
    pub bytes: u64,
    /// Snapshots whose trees were walked.
    pub snapshots: u64,
    /// Files whose chunks were looked up.
    pub files: u64,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

/// Opens everything.
///
/// # Errors
/// If the store fails or the run is asked to stop; damage is reported, not an error.
pub fn read_data(vault: &Vault, monitor: &dyn Monitor) -> Result<DataReport, ContentError> {
    let mut report = DataReport::default();
    monitor.event(Event::Phase("open blocks"));
    let bad: HashSet<BlockId> = blocks::open_all(vault, &mut report, monitor)?;
    monitor.event(Event::Phase("walk trees"));
    let snapshots = Snapshots::load(vault.repository(), Folder::Snapshots)?;
    for snapshot in snapshots.list.iter().filter(|snapshot| snapshot.counts()) {
        if monitor.cancelled() {
            return Err(ContentError::Cancelled);
        }
        trees::walk(vault, snapshot, &bad, &mut report)?;
        report.snapshots += 1;
    }
    Ok(report)
}
