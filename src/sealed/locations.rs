//! Where blocks lie now: from the list of packs, the block lists of index objects, maps, and, where these say nothing,
//! the packs' own footers.

use std::collections::{HashMap, HashSet};

use crate::model::id::{BlockId, PackId};
use crate::sealed::index::BlockList;
use crate::sealed::pack::{self, Class, Contents};
use crate::sealed::{SealedError, marks};
use crate::store::{Folder, Forward, ObjectInfo, Store};

/// A block's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location {
    /// The pack.
    pub pack: PackId,
    /// Data or trees.
    pub class: Class,
    /// Offset in the pack, in bytes.
    pub offset: u64,
    /// Sealed length in bytes.
    pub length: u32,
}

/// The packs that are there, and which of them are condemned.
#[derive(Debug, Clone, Default)]
pub struct PackListing {
    /// Listed packs.
    pub packs: HashMap<PackId, ObjectInfo>,
    /// Packs that will be deleted.
    pub condemned: HashSet<PackId>,
}

impl PackListing {
    /// Lists what is condemned, then the packs: a pack condemned later is at worst seen as live, which the writer's
    /// check after its snapshot became visible makes up for.
    ///
    /// # Errors
    /// If the store fails or a condemned object cannot be read.
    pub fn load(store: &dyn Store) -> Result<Self, SealedError> {
        let condemned = marks::all_condemned(store)?;
        Self::list(store, condemned.packs.into_iter().collect())
    }

    /// The same for readers, whom a damaged condemned object does not keep from reading.
    ///
    /// # Errors
    /// If the store fails.
    pub fn for_reading(store: &dyn Store) -> Result<Self, SealedError> {
        Self::list(store, marks::packs_said_condemned(store)?.into_iter().collect())
    }

    /// Lists the packs, given those that were condemned before.
    ///
    /// # Errors
    /// If the store fails.
    pub fn list(store: &dyn Store, condemned: HashSet<PackId>) -> Result<Self, SealedError> {
        let packs =
            store.list(Folder::Packs)?.into_iter().filter_map(|info| info.name.leaf().parse().ok().map(|id: PackId| (id, info))).collect();
        Ok(Self { packs, condemned })
    }

    /// Whether a pack is there whole and will stay: listed, of the size its list says, not condemned.
    pub fn is_live(&self, pack: &PackId, contents: &Contents) -> bool {
        self.is_whole(pack, contents) && !self.condemned.contains(pack)
    }

    /// Whether a pack is there whole, condemned or not.
    pub fn is_whole(&self, pack: &PackId, contents: &Contents) -> bool {
        self.packs.get(pack).is_some_and(|info| info.size == contents.pack_size())
    }
}

/// Where every known block lies. A block may lie in several packs; packs that stay come first.
#[derive(Debug, Default)]
pub struct Locations {
    first: HashMap<BlockId, Location>,
    more: HashMap<BlockId, Vec<Location>>,
}

impl Locations {
    fn add(&mut self, id: BlockId, location: Location, stays: bool) {
        match self.first.get_mut(&id) {
            None => {
                self.first.insert(id, location);
            }
            Some(known) if *known == location => {}
            Some(known) => {
                let second = if stays { std::mem::replace(known, location) } else { location };
                let more = self.more.entry(id).or_default();
                if !more.contains(&second) {
                    more.push(second);
                }
            }
        }
    }

    /// Collects the places of blocks from `lists` (of index objects and maps) and, for packs in none of them, footers.
    /// Packs whose footer cannot be read are returned as damage.
    ///
    /// # Errors
    /// If the store fails.
    pub fn collect<'a>(
        store: &dyn Store,
        listing: &PackListing,
        lists: impl Iterator<Item = &'a BlockList>,
        read_footers: bool,
    ) -> Result<(Self, Vec<SealedError>), SealedError> {
        let mut locations = Self::default();
        let mut known = HashSet::new();
        for (id, contents) in lists.flat_map(|list| &list.packs) {
            if listing.is_whole(id, contents) && known.insert(*id) {
                locations.add_pack(*id, contents, !listing.condemned.contains(id));
            }
        }
        let mut damage = Vec::new();
        for (id, info) in listing.packs.iter().filter(|(id, _)| read_footers && !known.contains(*id)) {
            match pack::read_contents(store, info) {
                Ok(contents) => locations.add_pack(*id, &contents, !listing.condemned.contains(id)),
                Err(error) if error.is_not_found() => {}
                Err(error) if error.is_unreadable() => damage.push(error),
                Err(error) => return Err(error),
            }
        }
        Ok((locations, damage))
    }

    fn add_pack(&mut self, pack: PackId, contents: &Contents, stays: bool) {
        for (offset, block) in contents.offsets() {
            self.add(block.id, Location { pack, class: contents.class, offset, length: block.length }, stays);
        }
    }

    /// The places of a block, best first.
    pub fn of(&self, block: &BlockId) -> impl Iterator<Item = &Location> {
        self.first.get(block).into_iter().chain(self.more.get(block).into_iter().flatten())
    }

    /// Every block with its best place.
    pub fn iter(&self) -> impl Iterator<Item = (&BlockId, &Location)> {
        self.first.iter()
    }

    /// Whether the block is anywhere.
    pub fn contains(&self, block: &BlockId) -> bool {
        self.first.contains_key(block)
    }

    /// How many different blocks there are.
    pub fn len(&self) -> usize {
        self.first.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.first.is_empty()
    }
}

/// Reads a block's sealed bytes from one place and checks them against its id.
///
/// # Errors
/// If they are missing or not the block.
pub fn read_block(store: &dyn Store, id: &BlockId, location: &Location, buffer: &mut Vec<u8>) -> Result<(), SealedError> {
    read_block_on(&mut Forward::new(store), id, location, buffer)
}

/// The same for one who reads forwards.
///
/// # Errors
/// As [`read_block`].
pub fn read_block_on(forward: &mut Forward<'_>, id: &BlockId, location: &Location, buffer: &mut Vec<u8>) -> Result<(), SealedError> {
    let name = pack::name(&location.pack);
    forward.get_range(&name, location.offset, location.length as usize, buffer)?;
    if BlockId::of(buffer) != *id {
        return Err(SealedError::damaged(&name, format!("the bytes of block {} in it have changed", id.short())));
    }
    Ok(())
}
