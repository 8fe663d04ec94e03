//! What the mirror has: packs that stay, blocks that were moved into others, and what is condemned.

use std::collections::{HashMap, HashSet};

use super::origin::Origin;
use super::transfer::{Homeless, Wanted};
use crate::model::id::{BlockId, PackId};
use crate::sealed::index::BlockList;
use crate::sealed::locations::{Location, PackListing};
use crate::sealed::marks::{self, Condemned};
use crate::sealed::pack::{self, Contents, StoredPack};
use crate::sealed::refs::Refs;
use crate::sealed::{SealedError, needs};
use crate::store::{Folder, ObjectInfo, ObjectName, Store};

/// The mirror. Memory: its list of packs, and what maps say.
pub(super) struct Target<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) condemned: Condemned,
    listing: PackListing,
    /// Packs that may hold a block by what maps say.
    said: HashMap<BlockId, Vec<PackId>>,
    /// Footers that were read: a map is only a hint. Ids of packs are content addresses, so they stay true.
    footers: HashMap<PackId, HashSet<BlockId>>,
}

impl<'a> Target<'a> {
    /// Knows nothing yet.
    pub(super) fn new(store: &'a dyn Store) -> Self {
        Self { store, condemned: Condemned::default(), listing: PackListing::default(), said: HashMap::new(), footers: HashMap::new() }
    }

    /// Lists what is condemned, then the packs.
    pub(super) fn refresh(&mut self) -> Result<(), SealedError> {
        self.condemned = marks::all_condemned(self.store)?;
        self.listing = PackListing::list(self.store, self.condemned.packs.iter().copied().collect())?;
        self.said.clear();
        for (pack, contents) in marks::read_maps(self.store)?.0.iter().flat_map(|(_, list)| &list.packs) {
            contents.blocks.iter().for_each(|block| self.said.entry(block.id).or_default().push(*pack));
        }
        Ok(())
    }

    /// Adds the blocks of a snapshot that no uncondemned pack holds. A snapshot's own lists are believed about packs of the right
    /// size (I14); all else by footers only.
    pub(super) fn seek_homeless(&mut self, origin: &Origin<'_>, refs: &Refs, homeless: &mut Homeless) -> Result<(), SealedError> {
        for (index, bitmap) in &refs.indexes {
            let Some(list) = origin.index(index) else { continue };
            let mut position = 0;
            for (pack, contents) in &list.packs {
                if self.listing.is_live(pack, contents) {
                    position += contents.blocks.len();
                    continue;
                }
                for (offset, block) in contents.offsets() {
                    if bitmap.contains(position) && !self.holds(&block.id)? {
                        let here = Location { pack: *pack, class: contents.class, offset, length: block.length };
                        let here = Some(here).filter(|_| self.listing.is_whole(pack, contents));
                        homeless.insert(block.id, Wanted { length: block.length, here });
                    }
                    position += 1;
                }
            }
        }
        Ok(())
    }

    /// Whether a block was moved into a pack that stays.
    pub(super) fn holds(&mut self, block: &BlockId) -> Result<bool, SealedError> {
        let Some(packs) = self.said.get(block) else { return Ok(false) };
        for pack in packs {
            let Some(info) = self.listing.packs.get(pack).filter(|_| !self.listing.condemned.contains(pack)) else { continue };
            if !self.footers.contains_key(pack) {
                let contents = needs::understood(pack::read_contents(self.store, info))?;
                let blocks = contents.map(|contents| contents.blocks.iter().map(|block| block.id).collect());
                self.footers.insert(*pack, blocks.unwrap_or_default());
            }
            if self.footers.get(pack).is_some_and(|blocks| blocks.contains(block)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a pack of this id may be stored: nothing of that name is there or was condemned.
    pub(super) fn takes(&self, pack: &PackId) -> bool {
        !self.listing.packs.contains_key(pack) && !self.condemned.packs.contains(pack)
    }

    /// Takes note of a pack that was copied as it is.
    pub(super) fn has(&mut self, pack: PackId) -> Result<ObjectInfo, SealedError> {
        let info = self.store.stat(&pack::name(&pack))?;
        self.listing.packs.insert(pack, info.clone());
        Ok(info)
    }

    /// Takes note of what is in a pack, by its footer.
    pub(super) fn has_contents(&mut self, pack: PackId, info: ObjectInfo, contents: &Contents) {
        self.listing.packs.insert(pack, info);
        self.footers.insert(pack, contents.blocks.iter().map(|block| block.id).collect());
        contents.blocks.iter().for_each(|block| self.said.entry(block.id).or_default().push(pack));
    }

    /// Takes note of a pack that was made here, and of which there is a map.
    pub(super) fn has_made(&mut self, stored: &StoredPack) -> Result<(), SealedError> {
        let info = self.has(stored.id)?;
        self.has_contents(stored.id, info, &stored.contents);
        Ok(())
    }

    /// Writes where blocks are that no index object leads to.
    pub(super) fn put_map(&self, list: &BlockList) -> Result<(), SealedError> {
        if !list.is_empty() {
            let bytes = marks::encode_map(list);
            self.store.put_new(&ObjectName::of_id(Folder::Maps, blake3::hash(&bytes).as_bytes()), &bytes)?;
        }
        Ok(())
    }
}
