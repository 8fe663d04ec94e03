//! Before a run: bring the chunk index in line with the repository. After it: see that all the snapshot needs is there.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use super::late;
use crate::content::ContentError;
use crate::content::chunk_list;
use crate::content::dedup::ChunkIndex;
use crate::content::keys::WriterKey;
use crate::model::event::{Event, Monitor};
use crate::model::id::{BlockId, IndexId, PackId, RefsId, WriterId};
use crate::sealed::locations::PackListing;
use crate::sealed::refs::Bitmap;
use crate::sealed::repository::Repository;
use crate::sealed::snapshots::{self, Signer, Snapshots};
use crate::sealed::{SealedError, index, marks, pack, refs};
use crate::store::layer::ListedStore;
use crate::store::{Folder, ObjectName, Store};

fn listed_indexes(store: &dyn Store) -> Result<HashSet<IndexId>, ContentError> {
    Ok(store.list(Folder::Index)?.iter().filter_map(|info| info.name.leaf().parse().ok()).collect())
}

/// Index objects that snapshots and checkpoints of trusted writers name: only these are believed.
fn trusted_indexes(repository: &Repository, trusted: &[WriterId]) -> Result<HashSet<IndexId>, ContentError> {
    let snapshots = Snapshots::load_without_records(repository, Folder::Snapshots)?;
    let checkpoints = snapshots::read_checkpoints(repository)?;
    let of_snapshots = snapshots.list.iter().map(|snapshot| (snapshot.signer, &snapshot.envelope));
    let of_checkpoints = checkpoints.iter().map(|checkpoint| (checkpoint.signer, &checkpoint.envelope));
    let named: HashSet<RefsId> = of_snapshots
        .chain(of_checkpoints)
        .filter(|(signer, envelope)| *signer == Signer::Known && trusted.contains(&envelope.writer))
        .map(|(_, envelope)| envelope.refs)
        .collect();
    let mut indexes = HashSet::new();
    for id in named {
        // Refs that cannot be read protect nothing here; `check` reports them.
        if let Ok(refs) = refs::read(repository.store(), &id) {
            indexes.extend(refs.indexes.into_keys());
        }
    }
    Ok(indexes)
}

/// Makes the chunk index know exactly the index objects that are there and trusted, and stores those that wait in `late`, which it returns.
///
/// # Errors
/// If the store or the cache fails.
pub fn sync(
    index: &mut ChunkIndex,
    repository: &Repository,
    key: &WriterKey,
    late: Option<&Path>,
    monitor: &dyn Monitor,
) -> Result<Vec<(IndexId, Bitmap)>, ContentError> {
    let store = repository.store();
    let condemned = marks::all_condemned(store)?.indexes;
    let listed: HashSet<IndexId> = listed_indexes(store)?.into_iter().filter(|id| !condemned.contains(id)).collect();
    index.retain(|id| listed.contains(id));
    let known: HashSet<IndexId> = index.known().iter().map(|known| known.id).collect();
    if listed.iter().any(|id| !known.contains(id)) {
        let trusted = trusted_indexes(repository, &[key.writer])?;
        for id in listed.iter().filter(|id| trusted.contains(id) && !known.contains(id)) {
            if let Err(error) = learn(index, store, id, key) {
                match error {
                    ContentError::Sealed(SealedError::Store(error)) if !error.is_not_found() => return Err(error.into()),
                    error => monitor.event(Event::warning(index::name(id).to_string(), format!("{error}; its blocks are not reused"))),
                }
            }
        }
    }
    let delivered = late.map_or(Ok(Vec::new()), |late| late::deliver(late, index, store, key, monitor))?;
    index.begin_run()?;
    Ok(delivered)
}

fn learn(index: &mut ChunkIndex, store: &dyn Store, id: &IndexId, key: &WriterKey) -> Result<(), ContentError> {
    learn_from(index, id, &index::read(store, id)?, key)
}

/// Tells the chunk index of an index object, given its bytes.
pub(super) fn learn_from(index: &mut ChunkIndex, id: &IndexId, bytes: &[u8], key: &WriterKey) -> Result<(), ContentError> {
    let name = index::name(id);
    let (list, sealed) = index::parse(bytes).map_err(|why| SealedError::malformed(&name, why))?;
    let chunks = chunk_list::open(sealed, list.len(), &[&key.index_identity]).map_err(|why| ContentError::damaged(&name, why))?;
    index.learn(*id, list, &chunks)
}

/// Blocks that lie in packs which no index object lists as theirs: prune moved them there.
fn moved_blocks(index: &ChunkIndex, store: &dyn Store, listing: &PackListing) -> Result<HashSet<BlockId>, ContentError> {
    let all_stay = index.known().iter().flat_map(|known| &known.list.packs).all(|(pack, contents)| listing.is_live(pack, contents));
    if all_stay {
        return Ok(HashSet::new());
    }
    // Footers, not maps: a map is a hint that anyone may have written, and a snapshot is about to rest on it.
    let known: HashSet<PackId> = index.known().iter().flat_map(|known| &known.list.packs).map(|(pack, _)| *pack).collect();
    let mut moved = HashSet::new();
    for (_, info) in listing.packs.iter().filter(|(pack, _)| !known.contains(*pack) && !listing.condemned.contains(*pack)) {
        if let Ok(contents) = pack::read_contents(store, info) {
            moved.extend(contents.blocks.iter().map(|block| block.id));
        }
    }
    Ok(moved)
}

/// Lists the packs anew and tells the chunk index which blocks can be relied on.
///
/// # Errors
/// If the store fails.
pub fn refresh_live(index: &mut ChunkIndex, store: &dyn Store) -> Result<(), ContentError> {
    rely_on(index, store, PackListing::load(store)?)
}

fn rely_on(index: &mut ChunkIndex, store: &dyn Store, mut listing: PackListing) -> Result<(), ContentError> {
    if !store.listing_lag().is_zero() {
        // What this run stored may not be listed yet.
        for (pack, _) in index.known().iter().flat_map(|known| &known.list.packs) {
            if !listing.packs.contains_key(pack) {
                match store.stat(&ObjectName::of_id(Folder::Packs, pack.as_bytes())) {
                    Ok(info) => drop(listing.packs.insert(*pack, info)),
                    Err(error) if error.is_not_found() => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }
    let moved = moved_blocks(index, store, &listing)?;
    index.set_live(|pack, contents| listing.is_live(pack, contents), &moved);
    Ok(())
}

/// After a snapshot became visible: what it needs and is no longer there for good.
///
/// # Errors
/// If the store fails.
pub fn missing(index: &mut ChunkIndex, store: Arc<dyn Store>, refs_id: &RefsId, refs: &refs::Refs) -> Result<Vec<String>, ContentError> {
    let (store, condemned) = loop {
        let listed = ListedStore::list(Arc::clone(&store), &[Folder::Condemned, Folder::Packs, Folder::Index, Folder::Refs])?;
        if let Some(condemned) = marks::all_condemned_as_listed(&listed)? {
            break (listed, condemned);
        }
    };
    let store = &store;
    rely_on(index, store, PackListing::list(store, condemned.packs.iter().copied().collect())?)?;
    let mut missing: Vec<String> = index.missing().iter().map(|block| format!("block {}", block.short())).collect();
    // Those that are not listed are asked for, as a listing may lag behind the objects that this run wrote.
    for id in refs.indexes.keys() {
        if condemned.indexes.contains(id) || is_gone(store, &index::name(id))? {
            missing.push(index::name(id).to_string());
        }
    }
    if condemned.refs.contains(refs_id) || is_gone(store, &refs::name(refs_id))? {
        missing.push(refs::name(refs_id).to_string());
    }
    Ok(missing)
}

fn is_gone(store: &dyn Store, name: &ObjectName) -> Result<bool, ContentError> {
    match store.stat(name) {
        Ok(_) => Ok(false),
        Err(error) if error.is_not_found() => Ok(true),
        Err(error) => Err(error.into()),
    }
}
