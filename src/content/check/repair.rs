//! Repairing the way to the chunks: index objects are made anew from the blocks, and snapshots whose refs or index
//! objects are lost get new refs and a new signature. Needs a restore key, as blocks must be opened and the root key
//! must let a writer of this repair in.
//!
//! ```text
//!   packs' footers --blocks that no readable index lists--> open --> new index objects
//!   broken snapshots --walk trees--> blocks needed --> new refs, new snapshot (old one: forgotten)
//! ```

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use serde::Serialize;

use crate::content::admin::Admin;
use crate::content::backup::put_refs;
use crate::content::browse::{Step, TreeWalk};
use crate::content::dedup::Prefix;
use crate::content::keys::WriterKey;
use crate::content::payload::Payload;
use crate::content::tree::{self, TreeSource};
use crate::content::vault::{ChunkMap, TreeReader, Vault};
use crate::content::{ContentError, chunk_list, seal};
use crate::model::entry::{Element, Kind};
use crate::model::event::{Event, Monitor};
use crate::model::id::{BlockId, ChunkId, IndexId, PackId, SnapshotId};
use crate::sealed::envelope::{self, Sizes};
use crate::sealed::index::{self, BlockList};
use crate::sealed::locations::{Location, PackListing, read_block};
use crate::sealed::pack::{self, Contents};
use crate::sealed::refs::{self, Bitmap, Refs};
use crate::sealed::signature::Subject;
use crate::sealed::snapshots::{self, Snapshot, Snapshots};
use crate::sealed::{SealedError, forget, limits, marks};
use crate::store::{Folder, Store};

/// What a repair did.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Repaired {
    /// Index objects written.
    pub indexes: u64,
    /// Blocks that they list.
    pub blocks: u64,
    /// Snapshots replaced: old id, new id.
    pub snapshots: Vec<(SnapshotId, SnapshotId)>,
    /// Chunks that replaced snapshots need and that are in no block, a count.
    pub lost_chunks: u64,
    /// Objects that could not be mended, with the reason.
    pub unmended: Vec<(String, String)>,
}

/// Rebuilds index objects and replaces the snapshots that need them.
///
/// # Errors
/// If the store fails, or the key does not serve.
pub fn repair_index(admin: &mut Admin, vault: &Vault, monitor: &dyn Monitor) -> Result<Repaired, ContentError> {
    let store = vault.repository().store();
    let mut repaired = Repaired::default();
    monitor.event(Event::Phase("read lists"));
    let mut lists = readable_lists(vault)?;
    let broken = broken_snapshots(vault, &lists)?;
    let unlisted = unlisted_packs(store, &lists)?;
    if broken.is_empty() {
        return Ok(repaired);
    }
    monitor.event(Event::Phase("open blocks"));
    for (id, list) in write_indexes(vault, unlisted, &mut repaired, monitor)? {
        lists.insert(id, list);
    }
    monitor.event(Event::Phase("walk trees"));
    let name = format!("repair {}", jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S"));
    let writer = admin.add_writer(&name, &mut |_| Ok(()))?;
    let all = Refs { indexes: lists.iter().map(|(id, list)| (*id, Bitmap::full(list.len()))).collect() };
    let map = ChunkMap::load(vault, &all)?;
    let home = homes(&lists);
    for (sequence, snapshot) in (1..).zip(&broken) {
        match replace(vault, snapshot, &map, &home, &lists, &writer, sequence, &mut repaired) {
            Ok(id) => {
                monitor.event(Event::info(format!("snapshot {}", snapshot.id.short()), format!("replaced by {}", id.short())));
                repaired.snapshots.push((snapshot.id, id));
            }
            Err(ContentError::Sealed(SealedError::Store(error))) if !error.is_not_found() => return Err(error.into()),
            Err(error) => repaired.unmended.push((format!("snapshot {}", snapshot.id.short()), error.to_string())),
        }
    }
    // Its key was only ever in memory; closing it keeps what it signed and nothing else.
    admin.close_writer(&writer.writer, None)?;
    Ok(repaired)
}

fn readable_lists(vault: &Vault) -> Result<BTreeMap<IndexId, BlockList>, ContentError> {
    let mut lists = BTreeMap::new();
    for info in vault.repository().store().list(Folder::Index)? {
        let Ok(id) = info.name.leaf().parse::<IndexId>() else { continue };
        match vault.index(&id) {
            Ok((list, _)) => drop(lists.insert(id, list)),
            Err(ContentError::Sealed(SealedError::Store(error))) if !error.is_not_found() => return Err(error.into()),
            // What only a newer program can read is not broken.
            Err(error @ ContentError::Sealed(SealedError::TooNew { .. })) => return Err(error),
            Err(_) => {}
        }
    }
    Ok(lists)
}

fn broken_snapshots(vault: &Vault, lists: &BTreeMap<IndexId, BlockList>) -> Result<Vec<Snapshot>, ContentError> {
    let store = vault.repository().store();
    let snapshots = Snapshots::load(vault.repository(), Folder::Snapshots)?.list;
    let sound = |snapshot: &Snapshot| match refs::read(store, &snapshot.envelope.refs) {
        Ok(refs) => refs.indexes.keys().all(|id| lists.contains_key(id)),
        Err(_) => false,
    };
    Ok(snapshots.into_iter().filter(|snapshot| snapshot.counts() && !sound(snapshot)).collect())
}

/// Packs with blocks that no readable index object lists.
fn unlisted_packs(store: &dyn Store, lists: &BTreeMap<IndexId, BlockList>) -> Result<Vec<(PackId, Contents)>, ContentError> {
    let listed: HashSet<BlockId> = lists.values().flat_map(|list| list.blocks().map(|(_, _, _, entry)| entry.id)).collect();
    let listing = PackListing::load(store)?;
    let mut unlisted = Vec::new();
    for (id, info) in &listing.packs {
        if let Ok(contents) = pack::read_contents(store, info)
            && contents.blocks.iter().any(|block| !block.is_nonce() && !listed.contains(&block.id))
        {
            unlisted.push((*id, contents));
        }
    }
    unlisted.sort_by_key(|(id, _)| *id);
    Ok(unlisted)
}

/// Opens the blocks of packs, and writes index objects that list them.
fn write_indexes(
    vault: &Vault,
    packs: Vec<(PackId, Contents)>,
    repaired: &mut Repaired,
    monitor: &dyn Monitor,
) -> Result<Vec<(IndexId, BlockList)>, ContentError> {
    let store = vault.repository().store();
    let (content, index_recipient) = recipients(vault)?;
    let mut written = Vec::new();
    let mut list = BlockList::default();
    let mut chunks = Vec::new();
    let mut flush = |list: &mut BlockList, chunks: &mut Vec<u8>, repaired: &mut Repaired| {
        if list.is_empty() {
            return Ok::<_, ContentError>(());
        }
        let sealed = seal::seal_compressed(chunks, &[&content, &index_recipient])?;
        let bytes = index::encode(list, &sealed);
        let id = IndexId::of(&bytes);
        store.put_new(&index::name(&id), &bytes)?;
        repaired.indexes += 1;
        repaired.blocks += list.len() as u64;
        written.push((id, std::mem::take(list)));
        chunks.clear();
        Ok(())
    };
    let mut opener = vault.opener()?;
    let keys = vault.chunk_keys();
    let mut buffer = Vec::new();
    for (pack, contents) in packs {
        if list.len() + contents.blocks.len() > limits::INDEX_BLOCKS {
            flush(&mut list, &mut chunks, repaired)?;
        }
        for (offset, block) in contents.offsets() {
            if block.is_nonce() {
                // It has a position in the list, and no chunks.
                chunk_list::append(&mut chunks, &[]);
                continue;
            }
            let place = Location { pack, class: contents.class, offset, length: block.length };
            let opened = read_block(store, &block.id, &place, &mut buffer).map_err(ContentError::from);
            let opened =
                opened.and_then(|()| opener.open(&buffer).map_err(|why| ContentError::damaged(format!("block {}", block.id.short()), why)));
            let found: Vec<(Prefix, u32)> = match &opened {
                Ok(open) => (0..open.ranges.len())
                    .filter_map(|rank| open.chunk(rank))
                    .map(|chunk| (Prefix::of(&keys.id(contents.class, chunk)), u32::try_from(chunk.len()).unwrap_or(u32::MAX)))
                    .collect(),
                Err(_) if block.is_nonce() => Vec::new(),
                Err(error) => {
                    repaired.unmended.push((format!("block {}", block.id.short()), error.to_string()));
                    Vec::new()
                }
            };
            chunk_list::append(&mut chunks, &found);
            monitor.event(Event::Progress { files: 0, bytes: u64::from(block.length) });
        }
        list.packs.push((pack, contents));
    }
    flush(&mut list, &mut chunks, repaired)?;
    Ok(written)
}

fn recipients(vault: &Vault) -> Result<(age::x25519::Recipient, age::x25519::Recipient), ContentError> {
    let newest = vault.keys().identities.first().ok_or_else(|| ContentError::Other("the restore key opens no content key".into()))?;
    Ok((newest.to_public(), vault.keys().index_identity.to_public()))
}

/// In which index object, and where in it, each block is listed.
fn homes(lists: &BTreeMap<IndexId, BlockList>) -> HashMap<BlockId, (IndexId, usize)> {
    let positions =
        lists.iter().flat_map(|(id, list)| list.blocks().enumerate().map(|(position, (_, _, _, entry))| (entry.id, (*id, position))));
    positions.collect()
}

/// Reads trees and notes the blocks that they come from.
struct Noting<'a> {
    reader: TreeReader<'a>,
    map: &'a ChunkMap,
    used: HashSet<u32>,
    lost: u64,
}

impl Noting<'_> {
    fn note(&mut self, id: &ChunkId) {
        match self.map.find(id).next() {
            Some(place) => drop(self.used.insert(place.block)),
            None => self.lost += 1,
        }
    }
}

impl TreeSource for Noting<'_> {
    type Error = ContentError;

    fn tree(&mut self, id: &ChunkId) -> Result<Arc<Vec<u8>>, ContentError> {
        self.note(id);
        self.reader.tree(id)
    }
}

/// The blocks that a snapshot's trees need.
fn needed_blocks(vault: &Vault, payload: &Payload, map: &ChunkMap) -> Result<(HashSet<u32>, u64), ContentError> {
    let noting = |used| Ok::<_, ContentError>(Noting { reader: TreeReader::new(vault, map)?, map, used, lost: 0 });
    let mut trees = noting(HashSet::new())?;
    let mut lists = noting(HashSet::new())?;
    let mut data = noting(HashSet::new())?;
    let mut walk = TreeWalk::new(&mut trees, &payload.root);
    while let Some(step) = walk.step() {
        if let Step::Entry(entry) = step
            && let Kind::File { content, .. } = &entry.kind
        {
            let walked = tree::walk_elements(content, &mut lists, &mut |element| {
                if let Element::Chunk { id, .. } = element {
                    data.note(id);
                }
                Ok(())
            });
            lists.lost += u64::from(walked.is_err());
        }
    }
    let lost = trees.lost + lists.lost + data.lost;
    Ok((trees.used.into_iter().chain(lists.used).chain(data.used).collect(), lost))
}

#[allow(clippy::too_many_arguments)]
fn replace(
    vault: &Vault,
    snapshot: &Snapshot,
    map: &ChunkMap,
    home: &HashMap<BlockId, (IndexId, usize)>,
    lists: &BTreeMap<IndexId, BlockList>,
    writer: &WriterKey,
    sequence: u64,
    repaired: &mut Repaired,
) -> Result<SnapshotId, ContentError> {
    let store = vault.repository().store();
    let mut payload = vault.payload(&snapshot.id)?;
    let (blocks, lost) = needed_blocks(vault, &payload, map)?;
    repaired.lost_chunks += lost;
    let mut refs = Refs::default();
    for (index, position) in blocks.iter().filter_map(|block| map.block_id(*block)).filter_map(|id| home.get(&id)) {
        let length = lists.get(index).map_or(0, BlockList::len);
        refs.indexes.entry(*index).or_insert_with(|| Bitmap::new(length)).insert(*position);
    }
    let refs_id = put_refs(store, &refs)?;
    payload.writer = writer.writer;
    payload.sequence = sequence;
    let (content, _) = recipients(vault)?;
    let sealed = payload.seal(&[&content, &writer.identity.to_public()])?;
    let mut envelope = snapshot.envelope.clone();
    envelope.writer = writer.writer;
    envelope.sequence = sequence;
    envelope.refs = refs_id;
    envelope.sizes = Sizes { added: 0, blocks: blocks.len() as u64 };
    envelope.payload = Some(blake3::hash(&sealed).to_hex().to_string());
    let text = serde_json::to_vec(&envelope).map_err(|error| ContentError::Other(error.to_string()))?;
    let signature = writer.signing.sign(Subject::Snapshot, &vault.repository().id(), &text);
    let bytes = envelope::encode(Subject::Snapshot, &text, &signature, &sealed);
    let id = SnapshotId::of(&bytes);
    keep_time(store, snapshot, &id)?;
    store.put_new(&snapshots::name(Folder::Snapshots, &id), &bytes)?;
    store.put_new(&snapshots::name(Folder::Commits, &id), &marks::encode_commit(&id))?;
    if snapshot.pinned {
        forget::pin(vault.repository(), &id)?;
        forget::unpin(vault.repository(), &snapshot.id)?;
    }
    forget::forget(vault.repository(), &snapshot.id)?;
    Ok(id)
}

/// The new snapshot counts from when the old one was received.
fn keep_time(store: &dyn Store, old: &Snapshot, new: &SnapshotId) -> Result<(), ContentError> {
    let received = jiff::Timestamp::try_from(old.received).map_err(|error| ContentError::Other(error.to_string()))?;
    let record = marks::Received { received, door: format!("repair of {}", old.id.short()), mirrored: false };
    let bytes = marks::encode_received(&record).map_err(|why| ContentError::Other(why.to_string()))?;
    store.put_new(&snapshots::name(Folder::Received, new), &bytes)?;
    Ok(())
}
