//! What is read at the source: lists by their ids, and where blocks lie now.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use super::transfer::Homeless;
use crate::model::id::{IndexId, PackId};
use crate::sealed::index::{self, BlockList};
use crate::sealed::locations::{Locations, PackListing};
use crate::sealed::refs::Refs;
use crate::sealed::{SealedError, marks, needs};
use crate::store::Store;

/// The source. Memory: the block lists of the index objects that were asked for.
pub(super) struct Origin<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) listing: PackListing,
    indexes: HashMap<IndexId, BlockList>,
    listed: HashSet<PackId>,
}

impl<'a> Origin<'a> {
    /// Lists the packs.
    pub(super) fn new(store: &'a dyn Store) -> Result<Self, SealedError> {
        Ok(Self { store, listing: PackListing::for_reading(store)?, indexes: HashMap::new(), listed: HashSet::new() })
    }

    /// Reads the block lists of all index objects that refs name.
    pub(super) fn learn(&mut self, refs: &Refs) -> Result<(), SealedError> {
        for id in refs.indexes.keys() {
            if let Entry::Vacant(entry) = self.indexes.entry(*id) {
                let list = entry.insert(index::read_list(self.store, id)?);
                self.listed.extend(list.packs.iter().map(|(pack, _)| *pack));
            }
            if self.indexes.get(id).is_none_or(|list| !needs::fits(refs, id, list)) {
                return Err(SealedError::damaged(index::name(id), "it lists another number of blocks than the refs were made for"));
            }
        }
        Ok(())
    }

    /// The block list of an index object that was learnt.
    pub(super) fn index(&self, id: &IndexId) -> Option<&BlockList> {
        self.indexes.get(id)
    }

    /// Whether one of the index objects that were learnt lists a pack.
    pub(super) fn lists(&self, pack: &PackId) -> bool {
        self.listed.contains(pack)
    }

    /// Where blocks lie by the lists that were learnt and by maps; if some are nowhere there, by the footers of all other packs of a new
    /// listing.
    pub(super) fn locate(&mut self, blocks: &Homeless) -> Result<Locations, SealedError> {
        let maps = marks::read_maps(self.store)?.0;
        let lists = || self.indexes.values().chain(maps.iter().map(|(_, list)| list));
        let (found, _) = Locations::collect(self.store, &self.listing, lists(), false)?;
        if blocks.keys().all(|block| found.contains(block)) {
            return Ok(found);
        }
        self.relocate()
    }

    /// The same from a new listing, whatever packs no list names.
    pub(super) fn relocate(&mut self) -> Result<Locations, SealedError> {
        self.listing = PackListing::for_reading(self.store)?;
        let maps = marks::read_maps(self.store)?.0;
        let lists = self.indexes.values().chain(maps.iter().map(|(_, list)| list));
        Ok(Locations::collect(self.store, &self.listing, lists, true)?.0)
    }
}
