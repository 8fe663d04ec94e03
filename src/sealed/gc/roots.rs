//! Roots: what keeps blocks alive.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, SystemTime};

use super::{PATIENCE, age};
use crate::model::event::{Event, Monitor};
use crate::model::id::{CheckpointId, GroupId, IndexId, RefsId, SnapshotId, WriterId};
use crate::sealed::SealedError;
use crate::sealed::needs::{Needs, readable};
use crate::sealed::refs;
use crate::sealed::repository::Repository;
use crate::sealed::snapshots::{self, Checkpoint, Signer, Snapshot, Snapshots};
use crate::store::{Folder, ObjectName, Store};

/// How much rests on a root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Duty {
    /// A committed snapshot of a known writer: prune stops when it cannot be read.
    Committed,
    /// A known writer has not committed it. If its lists are gone it never will be: its writer's check fails.
    Undecided,
    /// Nothing is promised: checkpoints, unknown writers, forgotten snapshots.
    Courtesy,
}

/// An object that keeps blocks alive.
#[derive(Debug, Clone)]
pub(super) struct Root {
    object: ObjectName,
    refs: RefsId,
    duty: Duty,
}

/// Everything that keeps blocks alive.
#[derive(Debug, Clone, Default)]
pub(super) struct Roots {
    list: Vec<Root>,
    /// What the roots need.
    pub(super) needs: Needs,
    /// What forgotten snapshots need that may still be brought back.
    pub(super) undoable: Needs,
    /// Forgotten snapshots whose time to be brought back is over.
    pub(super) expired: Vec<SnapshotId>,
    /// Checkpoints that are roots, or too young to judge.
    pub(super) checkpoints: HashSet<CheckpointId>,
    /// Snapshots that are roots and count, with their refs.
    pub(super) counted: Vec<(SnapshotId, RefsId)>,
}

impl Roots {
    /// Lists the roots and reads their refs.
    pub(super) fn find(repository: &Repository, now: SystemTime, grace: Duration, monitor: &dyn Monitor) -> Result<Self, SealedError> {
        let mut roots = Self::default();
        let found = Snapshots::load(repository, Folder::Snapshots)?;
        refuse_unreadable(repository.store(), &found)?;
        roots.add_snapshots(&found.list, now);
        let checkpoints = snapshots::read_checkpoints(repository)?;
        roots.add_checkpoints(&checkpoints, &found.list, now);
        roots.read_refs(repository.store(), monitor)?;
        roots.add_forgotten(repository, now, grace)?;
        Ok(roots)
    }

    fn add_snapshots(&mut self, list: &[Snapshot], now: SystemTime) {
        for snapshot in list {
            let duty = match snapshot.signer {
                Signer::Known if snapshot.committed => Duty::Committed,
                Signer::Known => Duty::Undecided,
                Signer::Unknown if age(now, snapshot.stored) < PATIENCE => Duty::Courtesy,
                Signer::Unknown | Signer::Closed => continue,
            };
            self.list.push(Root { object: snapshots::name(Folder::Snapshots, &snapshot.id), refs: snapshot.envelope.refs, duty });
            if duty == Duty::Committed {
                self.counted.push((snapshot.id, snapshot.envelope.refs));
            }
        }
    }

    /// Of each known writer the newest checkpoint, per group as one writer may run several jobs at once, unless a
    /// snapshot came after it.
    fn add_checkpoints(&mut self, checkpoints: &[Checkpoint], snapshots: &[Snapshot], now: SystemTime) {
        let mut done: BTreeMap<(WriterId, GroupId), u64> = BTreeMap::new();
        for snapshot in snapshots.iter().filter(|snapshot| snapshot.signer == Signer::Known) {
            let newest = done.entry((snapshot.envelope.writer, snapshot.envelope.group)).or_default();
            *newest = snapshot.envelope.sequence.max(*newest);
        }
        let mut newest: BTreeMap<(WriterId, GroupId), &Checkpoint> = BTreeMap::new();
        for checkpoint in checkpoints.iter().filter(|checkpoint| checkpoint.signer == Signer::Known) {
            let key = (checkpoint.envelope.writer, checkpoint.envelope.group);
            let sequence = checkpoint.envelope.sequence;
            let superseded = done.get(&key).is_some_and(|snapshot| *snapshot > sequence)
                || newest.get(&key).is_some_and(|other| other.envelope.sequence >= sequence);
            if !superseded && age(now, checkpoint.stored) < PATIENCE {
                newest.insert(key, checkpoint);
            }
        }
        for checkpoint in newest.values() {
            let object = ObjectName::of_id(Folder::Checkpoints, checkpoint.id.as_bytes());
            self.list.push(Root { object, refs: checkpoint.envelope.refs, duty: Duty::Courtesy });
            self.checkpoints.insert(checkpoint.id);
        }
        let waiting = checkpoints.iter().filter(|one| one.signer == Signer::Unknown && age(now, one.stored) < PATIENCE);
        self.checkpoints.extend(waiting.map(|checkpoint| checkpoint.id));
    }

    fn read_refs(&mut self, store: &dyn Store, monitor: &dyn Monitor) -> Result<(), SealedError> {
        let mut unreadable = Vec::new();
        for root in self.list.iter() {
            if self.needs.refs.contains(&root.refs) {
                continue;
            }
            match refs::read(store, &root.refs) {
                Ok(refs) => self.needs.add(root.refs, refs),
                Err(error) => unreadable.push((root, error)),
            }
        }
        unreadable.into_iter().try_for_each(|(root, error)| root.unreadable(store, error, monitor))
    }

    /// Forgotten snapshots protect nothing from being condemned, but as long as a forget can be undone, a sweep copies
    /// their blocks too and keeps their lists.
    fn add_forgotten(&mut self, repository: &Repository, now: SystemTime, grace: Duration) -> Result<(), SealedError> {
        for snapshot in Snapshots::load(repository, Folder::Forgotten)?.list {
            if age(now, snapshot.stored) >= grace {
                self.expired.push(snapshot.id);
            } else if let Some(refs) = readable(refs::read(repository.store(), &snapshot.envelope.refs))? {
                self.undoable.add(snapshot.envelope.refs, refs);
            }
        }
        Ok(())
    }

    /// An index object that roots name cannot be read, or is not as long as they say.
    pub(super) fn index_unreadable(
        &self,
        store: &dyn Store,
        index: &IndexId,
        why: impl Fn() -> SealedError,
        blocks: Option<usize>,
        monitor: &dyn Monitor,
    ) -> Result<(), SealedError> {
        for root in &self.list {
            let Ok(refs) = refs::read(store, &root.refs) else { continue };
            let Some(bitmap) = refs.indexes.get(index) else { continue };
            if blocks.is_none_or(|blocks| bitmap.len() != blocks) {
                root.unreadable(store, why(), monitor)?;
            }
        }
        Ok(())
    }
}

impl Root {
    /// Whether prune can go on although what the root names cannot be read.
    fn unreadable(&self, store: &dyn Store, error: SealedError, monitor: &dyn Monitor) -> Result<(), SealedError> {
        let gone = error.is_not_found();
        if !gone && !matches!(error, SealedError::Damaged { .. }) {
            return Err(error);
        }
        match store.stat(&self.object) {
            Err(missing) if missing.is_not_found() => return Ok(()),
            Err(other) => return Err(other.into()),
            Ok(_) => {}
        }
        if self.duty == Duty::Committed || (self.duty == Duty::Undecided && !gone) {
            return Err(refusal(&self.object, &error));
        }
        monitor.event(Event::warning(self.object.to_string(), format!("{error}. It keeps nothing from being pruned")));
        Ok(())
    }
}

fn refusal(object: &ObjectName, why: &SealedError) -> SealedError {
    if matches!(why, SealedError::TooNew { .. }) {
        return SealedError::PruneRefused(why.to_string());
    }
    SealedError::PruneRefused(format!(
        "what {object} needs cannot be told ({why}). Bring the object back from a mirror, or give the snapshot up with `hearth-backup forget --broken {}`",
        object.leaf()
    ))
}

/// A snapshot object that cannot be read may be the only trace of blocks that are needed, whoever signed it.
fn refuse_unreadable(store: &dyn Store, found: &Snapshots) -> Result<(), SealedError> {
    for (object, error) in found.unreadable.iter().filter(|(object, _)| object.leaf().parse::<SnapshotId>().is_ok()) {
        if store.stat(object).is_ok() {
            return Err(refusal(object, error));
        }
    }
    Ok(())
}
