//! What a check found.

use std::collections::HashSet;

use crate::model::event::Severity;
use crate::model::id::{BlockId, RefsId, SnapshotId};
use crate::sealed::{SealedError, needs};
use crate::store::Store;

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// How much it matters.
    pub severity: Severity,
    /// The object's path.
    pub object: String,
    /// What is wrong, and what to do.
    pub what: String,
    /// The snapshots that need what is lost.
    pub snapshots: Vec<SnapshotId>,
    /// The blocks that are lost.
    pub blocks: Vec<BlockId>,
}

impl Problem {
    /// A problem that concerns no particular blocks.
    pub(super) fn new(severity: Severity, object: impl ToString, what: impl ToString) -> Self {
        Self { severity, object: object.to_string(), what: what.to_string(), snapshots: Vec::new(), blocks: Vec::new() }
    }

    /// The same, concerning one snapshot.
    pub(super) fn of_snapshot(mut self, id: SnapshotId) -> Self {
        self.snapshots.push(id);
        self
    }
}

/// What a check looked at: counts, and sizes in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Committed snapshots of known writers: those that count.
    pub snapshots: u64,
    /// Snapshots that their writer has not committed.
    pub uncommitted: u64,
    /// Snapshots that no known writer signed.
    pub foreign: u64,
    /// Snapshots of closed writers that are not among the accepted ones.
    pub closed: u64,
    /// Forgotten snapshots that can be brought back.
    pub forgotten: u64,
    /// Blocks that counting snapshots need.
    pub blocks: u64,
    /// Sealed bytes of them.
    pub bytes: u64,
    /// Packs.
    pub packs: u64,
    /// Size of them.
    pub pack_bytes: u64,
    /// Packs that no list names: left by crashes or written right now. Prune clears them away.
    pub orphans: u64,
    /// Packs, index and refs objects that will be deleted.
    pub condemned: u64,
    /// Index and refs objects that no snapshot needs.
    pub unneeded_lists: u64,
    /// Folders that this version does not know.
    pub unknown_folders: u64,
    /// Packs read whole.
    pub packs_read: u64,
    /// Bytes of them.
    pub bytes_read: u64,
}

/// What a check found.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Problems, in the order found.
    pub problems: Vec<Problem>,
    /// What was looked at.
    pub counts: Counts,
    /// Whether it was asked to stop before the end.
    pub cancelled: bool,
}

impl Report {
    /// The worst problem's severity.
    pub fn worst(&self) -> Option<Severity> {
        self.problems.iter().map(|problem| problem.severity).max()
    }

    /// Finds out which snapshots need the lost blocks. What none needs is no error.
    pub(super) fn name_snapshots(&mut self, store: &dyn Store, counted: &[(SnapshotId, RefsId)]) -> Result<(), SealedError> {
        let lost: HashSet<BlockId> = self.problems.iter().flat_map(|problem| problem.blocks.iter().copied()).collect();
        if lost.is_empty() {
            return Ok(());
        }
        let concerned = needs::concerned(store, counted.iter().map(|(id, refs)| (*id, refs)), &lost)?;
        for problem in self.problems.iter_mut().filter(|problem| !problem.blocks.is_empty()) {
            problem.snapshots.extend(problem.blocks.iter().filter_map(|block| concerned.get(block)).flatten());
            problem.snapshots.sort_unstable();
            problem.snapshots.dedup();
            if problem.snapshots.is_empty() {
                problem.severity = problem.severity.min(Severity::Warning);
            }
        }
        Ok(())
    }
}
