//! What a set of snapshots needs: the union of their refs, as one bitmap per index object.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::model::id::{BlockId, IndexId, RefsId, SnapshotId};
use crate::sealed::index::{self, BlockList};
use crate::sealed::refs::{self, Bitmap, Refs};
use crate::sealed::{SealedError, snapshots};
use crate::store::{Folder, Store};

/// The union of refs. It costs a bit per stored block, whatever the number of snapshots.
#[derive(Debug, Clone, Default)]
pub struct Needs {
    /// Refs objects that were added.
    pub refs: BTreeSet<RefsId>,
    /// Per index object, and per number of blocks that the refs say it has, the needed positions. Only the entry with
    /// the object's true number is meaningful; others come from damaged or lying refs.
    indexes: BTreeMap<(IndexId, usize), Bitmap>,
}

impl Needs {
    /// Adds what one refs object names.
    pub fn add(&mut self, id: RefsId, refs: Refs) {
        if !self.refs.insert(id) {
            return;
        }
        for (index, bitmap) in refs.indexes {
            match self.indexes.get_mut(&(index, bitmap.len())) {
                Some(union) => union.unite(&bitmap),
                None => {
                    self.indexes.insert((index, bitmap.len()), bitmap);
                }
            }
        }
    }

    /// The index objects that are named.
    pub fn index_ids(&self) -> BTreeSet<IndexId> {
        self.indexes.keys().map(|(id, _)| *id).collect()
    }

    /// Whether an index object is named.
    pub fn names(&self, id: &IndexId) -> bool {
        self.indexes.range((*id, 0)..=(*id, usize::MAX)).next().is_some()
    }

    /// The needed positions in an index object of so many blocks.
    pub fn in_index(&self, id: &IndexId, blocks: usize) -> Option<&Bitmap> {
        self.indexes.get(&(*id, blocks))
    }

    /// Whether some refs name the index object with another number of blocks than it has.
    pub fn disagree(&self, id: &IndexId, blocks: usize) -> bool {
        self.indexes.range((*id, 0)..=(*id, usize::MAX)).any(|((_, length), _)| *length != blocks)
    }
}

/// Whether refs fit an index object: they give the number of blocks that it has.
pub fn fits(refs: &Refs, id: &IndexId, list: &BlockList) -> bool {
    refs.indexes.get(id).is_none_or(|bitmap| bitmap.len() == list.len())
}

/// Which of the snapshots, given with their refs, need which of the blocks. Costs reading the refs and index objects
/// again, so it is only asked when something is wrong. What cannot be read is left out, and so are snapshots that have
/// been forgotten meanwhile: prune may have deleted what they needed.
///
/// # Errors
/// If the store fails.
pub fn concerned<'a>(
    store: &dyn Store,
    snapshots: impl Iterator<Item = (SnapshotId, &'a RefsId)>,
    blocks: &HashSet<BlockId>,
) -> Result<HashMap<BlockId, Vec<SnapshotId>>, SealedError> {
    let mut positions: HashMap<IndexId, Vec<(usize, BlockId)>> = HashMap::new();
    let mut found: HashMap<BlockId, Vec<SnapshotId>> = HashMap::new();
    for (snapshot, id) in snapshots {
        let Some(refs) = understood(refs::read(store, id))? else { continue };
        for (index, bitmap) in &refs.indexes {
            if !positions.contains_key(index) {
                let list = understood(index::read_list(store, index))?.unwrap_or_default();
                let hits = list.blocks().enumerate().filter(|(_, (.., block))| blocks.contains(&block.id));
                positions.insert(*index, hits.map(|(position, (.., block))| (position, block.id)).collect());
            }
            for (_, block) in positions.get(index).into_iter().flatten().filter(|(position, _)| bitmap.contains(*position)) {
                let list = found.entry(*block).or_default();
                if list.last() != Some(&snapshot) {
                    list.push(snapshot);
                }
            }
        }
    }
    let mut there = HashMap::new();
    for list in found.values_mut() {
        for id in list.iter() {
            if !there.contains_key(id) {
                there.insert(*id, is_there(store, id)?);
            }
        }
        list.retain(|id| there.get(id) == Some(&true));
    }
    found.retain(|_, list| !list.is_empty());
    Ok(found)
}

/// Whether a snapshot has not been forgotten.
///
/// # Errors
/// If the store fails.
pub fn is_there(store: &dyn Store, id: &SnapshotId) -> Result<bool, SealedError> {
    match store.stat(&snapshots::name(Folder::Snapshots, id)) {
        Ok(_) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The value, or nothing if the object is missing, damaged or from a newer program: for a search among whatever is there.
///
/// # Errors
/// If the store fails otherwise.
pub fn understood<T>(result: Result<T, SealedError>) -> Result<Option<T>, SealedError> {
    match result {
        Err(SealedError::TooNew { .. }) => Ok(None),
        other => readable(other),
    }
}

/// The value, or nothing if the object is missing or damaged.
///
/// # Errors
/// If the store fails otherwise.
pub fn readable<T>(result: Result<T, SealedError>) -> Result<Option<T>, SealedError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(SealedError::Damaged { .. }) => Ok(None),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Up to five of the snapshots, for messages.
pub fn names(snapshots: &[SnapshotId]) -> String {
    let shown: Vec<String> = snapshots.iter().take(5).map(|id| snapshots::name(Folder::Snapshots, id).to_string()).collect();
    match snapshots.len().saturating_sub(shown.len()) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
