//! What earlier runs left in the repository, as the next one finds it.

use std::collections::HashSet;

use crate::content::ContentError;
use crate::content::keys::WriterKey;
use crate::model::event::{Event, Monitor};
use crate::model::id::SnapshotId;
use crate::sealed::repository::Repository;
use crate::sealed::snapshots::{self, Signer, Snapshots};
use crate::store::{Folder, Store};

/// What the repository holds of this writer.
pub struct Past {
    /// The highest sequence it used: a host that lost its state must not start over.
    pub sequence: u64,
    snapshots: HashSet<SnapshotId>,
    forgotten: HashSet<SnapshotId>,
}

impl Past {
    /// Reads it.
    ///
    /// # Errors
    /// If the store fails.
    pub fn load(repository: &Repository, key: &WriterKey) -> Result<Self, ContentError> {
        let found = Snapshots::load_without_records(repository, Folder::Snapshots)?;
        let forgotten = Snapshots::load_without_records(repository, Folder::Forgotten)?;
        let checkpoints = snapshots::read_checkpoints(repository)?;
        // What nobody signed must not push the numbers up.
        let snapshots = found.list.iter().chain(&forgotten.list).map(|snapshot| (snapshot.signer, &snapshot.envelope));
        let checkpoints = checkpoints.iter().map(|checkpoint| (checkpoint.signer, &checkpoint.envelope));
        let own = snapshots.chain(checkpoints).filter(|(signer, envelope)| *signer == Signer::Known && envelope.writer == key.writer);
        Ok(Self {
            sequence: own.map(|(_, envelope)| envelope.sequence).max().unwrap_or(0),
            snapshots: found.list.iter().filter(|snapshot| snapshot.counts()).map(|snapshot| snapshot.id).collect(),
            forgotten: forgotten.list.iter().map(|snapshot| snapshot.id).collect(),
        })
    }

    /// The last snapshot, if it still counts. That it is gone is said: an older state of the repository may be shown.
    pub fn confirm(&self, last: Option<SnapshotId>, store: &dyn Store, monitor: &dyn Monitor) -> Option<SnapshotId> {
        let last = last?;
        let is_there = |folder| store.stat(&snapshots::name(folder, &last)).is_ok();
        let unlisted = || !store.listing_lag().is_zero() && is_there(Folder::Snapshots) && is_there(Folder::Commits);
        if self.snapshots.contains(&last) || unlisted() {
            return Some(last);
        }
        if !self.forgotten.contains(&last) {
            let message = "this host's last snapshot is no longer in the repository: somebody forgot and pruned it, or the store shows an \
                           older state; ask who keeps it";
            monitor.event(Event::warning(format!("snapshot {}", last.short()), message));
        }
        None
    }
}
