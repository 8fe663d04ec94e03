//! Whether everything that a snapshot needs is there for good: the check that makes a commit true.
//!
//! It is made *after* the snapshot became visible. A prune that condemned something before is seen here; one that
//! condemns later will see the snapshot when it sweeps.

use std::collections::HashSet;

use crate::model::id::{BlockId, IndexId, RefsId};
use crate::sealed::index;
use crate::sealed::locations::{Location, Locations, PackListing};
use crate::sealed::marks::{self, Condemned};
use crate::sealed::refs::{self, Refs};
use crate::sealed::{SealedError, needs};
use crate::store::{ObjectName, Store};

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

/// Looks for blocks that are not where their index object says: in maps, and in packs that no list names.
fn search(
    store: &dyn Store,
    listing: &PackListing,
    condemned: &Condemned,
    homeless: &HashSet<BlockId>,
    absent: &mut Absent,
) -> Result<(), SealedError> {
    let maps: Vec<_> = marks::read_maps(store)?.0.into_iter().map(|(_, list)| list).collect();
    let mut lists = maps;
    for info in store.list(crate::store::Folder::Index)? {
        if let Ok(id) = info.name.leaf().parse::<IndexId>()
            && !condemned.indexes.contains(&id)
            && let Some(list) = needs::understood(index::read_list(store, &id))?
        {
            lists.push(list);
        }
    }
    let (places, _) = Locations::collect(store, listing, lists.iter(), true)?;
    for block in homeless {
        if places.of(block).any(|place| !listing.condemned.contains(&place.pack)) {
            continue;
        }
        absent.blocks.push(*block);
        absent.condemned.extend(places.of(block).next().map(|place| (*block, *place)));
    }
    Ok(())
}
