//! What earlier runs left in the repository, as the next one finds it.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::content::ContentError;
use crate::content::dedup::ChunkIndex;
use crate::content::keys::WriterKey;
use crate::model::event::{Event, Monitor};
use crate::model::id::{GroupId, IndexId, RefsId, SnapshotId};
use crate::sealed::refs::{self, Bitmap};
use crate::sealed::repository::Repository;
use crate::sealed::snapshots::{self, Signer, Snapshots};
use crate::store::{Folder, Store};

/// What the repository holds of this writer.
pub struct Past {
    /// The highest sequence it used: a host that lost its state must not start over.
    pub sequence: u64,
    snapshots: HashSet<SnapshotId>,
    forgotten: HashSet<SnapshotId>,
    /// Of each group of this writer the newest envelope: its sequence, and the refs of a checkpoint if it is one.
    newest: HashMap<GroupId, (u64, Option<RefsId>)>,
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
        let snapshots = found.list.iter().chain(&forgotten.list).map(|snapshot| (snapshot.signer, &snapshot.envelope, None));
        let checkpoints = checkpoints.iter().map(|found| (found.signer, &found.envelope, Some(found.envelope.refs)));
        let own = snapshots.chain(checkpoints).filter(|(signer, envelope, _)| *signer == Signer::Known && envelope.writer == key.writer);
        let mut newest = HashMap::new();
        for (_, envelope, refs) in own {
            let known = newest.entry(envelope.group).or_insert((envelope.sequence, refs));
            if known.0 < envelope.sequence {
                *known = (envelope.sequence, refs);
            }
        }
        Ok(Self {
            sequence: newest.values().map(|(sequence, _)| *sequence).max().unwrap_or(0),
            newest,
            snapshots: found.list.iter().filter(|snapshot| snapshot.counts()).map(|snapshot| snapshot.id).collect(),
            forgotten: forgotten.list.iter().map(|snapshot| snapshot.id).collect(),
        })
    }

    /// What an unfinished run of a group has stored, as far as it is known and there.
    pub fn unfinished(&self, group: &GroupId, store: &dyn Store, index: &ChunkIndex) -> BTreeMap<IndexId, Bitmap> {
        let Some((_, Some(id))) = self.newest.get(group) else { return BTreeMap::new() };
        // Without it the run begins anew, as far as a prune has taken what it named.
        let Ok(refs) = refs::read(store, id) else { return BTreeMap::new() };
        let known: HashSet<IndexId> = index.known().iter().map(|known| known.id).collect();
        refs.indexes.into_iter().filter(|(id, _)| known.contains(id)).collect()
    }

    /// The last snapshot, if it still counts. That it is gone is said: an older state of the repository may be shown.
    pub fn confirm(&self, last: Option<SnapshotId>, store: &dyn Store, monitor: &dyn Monitor) -> Option<SnapshotId> {
        let last = last?;
        let is_there = |folder| store.stat(&snapshots::name(folder, &last)).is_ok();
        // A listing may lag, or have missed what was moved while it was taken.
        if self.snapshots.contains(&last) || (is_there(Folder::Snapshots) && is_there(Folder::Commits)) {
            return Some(last);
        }
        if !self.forgotten.contains(&last) && !is_there(Folder::Forgotten) {
            let message = "this host's last snapshot is no longer in the repository: somebody forgot and pruned it, or the store shows an \
                           older state; ask who keeps it";
            monitor.event(Event::warning(format!("snapshot {}", last.short()), message));
        }
        None
    }
}
