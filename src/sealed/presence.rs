//! Whether everything that a snapshot needs is there for good: the check that makes a commit true.
//!
//! It is made *after* the snapshot became visible. A prune that condemned something before is seen here; one that
//! condemns later will see the snapshot when it sweeps.

use std::collections::HashSet;

use crate::model::id::{BlockId, IndexId, PackId, RefsId};
use crate::sealed::index;
use crate::sealed::locations::{Location, Locations, PackListing};
use crate::sealed::marks::{self, Condemned};
use crate::sealed::refs::{self, Refs};
use crate::sealed::{SealedError, needs};
use crate::store::{Folder, ObjectName, Store};

/// What is not there for good.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Absent {
    /// Lists, refs and index objects, that are condemned, missing or damaged.
    pub lists: Vec<ObjectName>,
    /// Blocks that are in no pack, or only in condemned ones.
    pub blocks: Vec<BlockId>,
    /// For some of `blocks`, where they still lie in condemned packs.
    pub condemned: Vec<(BlockId, Location)>,
}

impl Absent {
    /// Whether nothing is missing.
    pub fn is_empty(&self) -> bool {
        self.lists.is_empty() && self.blocks.is_empty()
    }
}

/// Checks what `refs` need: lists `condemned/` and the packs anew.
///
/// # Errors
/// If the store fails or a condemned object cannot be read.
pub fn absent(store: &dyn Store, id: &RefsId, refs: &Refs) -> Result<Absent, SealedError> {
    let condemned = marks::all_condemned(store)?;
    let listing = PackListing::list(store, condemned.packs.iter().copied().collect())?;
    let mut absent = Absent::default();
    if condemned.refs.contains(id) || store.stat(&refs::name(id)).is_err() {
        absent.lists.push(refs::name(id));
    }
    let mut homeless = HashSet::new();
    for (index, bitmap) in &refs.indexes {
        let list = if condemned.indexes.contains(index) { None } else { needs::readable(index::read_list(store, index))? };
        let Some(list) = list.filter(|list| needs::fits(refs, index, list)) else {
            absent.lists.push(index::name(index));
            continue;
        };
        let mut position = 0;
        for (pack, contents) in &list.packs {
            let live = listing.is_live(pack, contents);
            for block in &contents.blocks {
                if !live && bitmap.contains(position) {
                    homeless.insert(block.id);
                }
                position += 1;
            }
        }
    }
    if !homeless.is_empty() {
        search(store, &listing, &condemned, &homeless, &mut absent)?;
    }
    Ok(absent)
}

/// Looks for blocks that are not where their index object says. Lists that the snapshot does not name, and maps, may say
/// anything: they tell in which packs to look first, and only footers count.
fn search(
    store: &dyn Store,
    listing: &PackListing,
    condemned: &Condemned,
    homeless: &HashSet<BlockId>,
    absent: &mut Absent,
) -> Result<(), SealedError> {
    let said = said_homes(store, listing, condemned, homeless)?;
    let near = by_footers(store, listing, |pack| said.contains(pack))?;
    let stays = |place: &Location| !listing.condemned.contains(&place.pack);
    let far = if homeless.iter().all(|block| near.of(block).any(stays)) {
        Locations::default()
    } else {
        by_footers(store, listing, |pack| !said.contains(pack))?
    };
    for block in homeless {
        let places = || near.of(block).chain(far.of(block));
        if places().any(stays) {
            continue;
        }
        absent.blocks.push(*block);
        absent.condemned.extend(places().next().map(|place| (*block, *place)));
    }
    Ok(())
}

/// The packs that maps and index objects name for some blocks.
fn said_homes(
    store: &dyn Store,
    listing: &PackListing,
    condemned: &Condemned,
    blocks: &HashSet<BlockId>,
) -> Result<HashSet<PackId>, SealedError> {
    let mut lists: Vec<_> = marks::read_maps(store)?.0.into_iter().map(|(_, list)| list).collect();
    for info in store.list(Folder::Index)? {
        if let Ok(id) = info.name.leaf().parse::<IndexId>()
            && !condemned.indexes.contains(&id)
            && let Some(list) = needs::understood(index::read_list(store, &id))?
        {
            lists.push(list);
        }
    }
    let (places, _) = Locations::collect(store, listing, lists.iter(), false)?;
    Ok(blocks.iter().flat_map(|block| places.of(block)).map(|place| place.pack).collect())
}

/// Where blocks lie by the footers of some packs.
fn by_footers(store: &dyn Store, listing: &PackListing, wanted: impl Fn(&PackId) -> bool) -> Result<Locations, SealedError> {
    let packs = listing.packs.iter().filter(|(id, _)| wanted(id)).map(|(id, info)| (*id, info.clone())).collect();
    let some = PackListing { packs, condemned: listing.condemned.clone() };
    Ok(Locations::collect(store, &some, std::iter::empty(), true)?.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sealed::fixture::{self, refs_to};
    use crate::sealed::index::BlockList;
    use crate::sealed::pack::{self, Class};
    use crate::store::MemoryStore;

    #[test]
    fn a_moved_block_is_where_a_footer_says_and_not_where_a_list_says() {
        let memory = MemoryStore::new();
        let put = |byte, nonce: u8| fixture::put_pack(&memory, Class::Data, &[vec![byte; 1000], vec![nonce; 16]]).unwrap();
        let (lost, innocent) = (put(1, 0), put(2, 0));
        let index = fixture::put_index(&memory, std::slice::from_ref(&lost), b"sealed").unwrap().0;
        let refs = refs_to(index, 2, [0]);
        let id = fixture::put_refs(&memory, &refs, &[]).unwrap();
        memory.delete(&pack::name(&lost.id)).unwrap();

        let lie = BlockList { packs: vec![(innocent.id, lost.contents.clone())] };
        let bytes = marks::encode_map(&lie);
        memory.put_new(&ObjectName::of_id(Folder::Maps, blake3::hash(&bytes).as_bytes()), &bytes).unwrap();
        let bytes = index::encode(&lie, b"lie");
        memory.put_new(&ObjectName::of_id(Folder::Index, blake3::hash(&bytes).as_bytes()), &bytes).unwrap();
        assert_eq!(absent(&memory, &id, &refs).unwrap().blocks, [lost.contents.blocks[0].id]);

        put(1, 9);
        assert!(absent(&memory, &id, &refs).unwrap().is_empty(), "though no list leads to it");
    }
}
