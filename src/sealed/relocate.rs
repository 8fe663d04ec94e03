//! Moving blocks byte for byte out of packs that will be deleted.
//!
//! ```text
//!   read block -> check its hash -> new pack (with a nonce) -> confirm that it is there -> map
//! ```

use crate::model::id::BlockId;
use crate::sealed::index::BlockList;
use crate::sealed::locations::{self, Location};
use crate::sealed::pack::{self, Class, PackWriter, StoredPack};
use crate::sealed::run_id::RunId;
use crate::sealed::{SealedError, limits, marks};
use crate::store::{Folder, ObjectName, Store};

/// Size of the packs that are written, in bytes.
pub const PACK_SIZE: u64 = 64 << 20;

/// Copies blocks into new packs, one open pack per class. Memory: one block.
pub struct Relocator<'a> {
    store: &'a dyn Store,
    run: &'a mut RunId,
    open: [Option<PackWriter>; 2],
    buffer: Vec<u8>,
}

fn slot(class: Class) -> usize {
    usize::from(class.code())
}

fn begin(store: &dyn Store, run: &mut RunId, class: Class) -> Result<PackWriter, SealedError> {
    let mut writer = PackWriter::new(store, class)?;
    writer.nonce(&run.nonce())?;
    Ok(writer)
}

impl<'a> Relocator<'a> {
    /// Starts without any pack.
    pub fn new(store: &'a dyn Store, run: &'a mut RunId) -> Self {
        Self { store, run, open: [None, None], buffer: Vec::new() }
    }

    /// Copies one block, hash-checked. It is safe only once [`Relocator::finish`] of its class returned.
    ///
    /// # Errors
    /// If it is missing or damaged where it was said to be, or the new pack cannot be written.
    pub fn copy(&mut self, id: &BlockId, from: &Location) -> Result<(), SealedError> {
        self.copy_from(self.store, id, from)
    }

    /// The same out of another store.
    ///
    /// # Errors
    /// As [`Relocator::copy`].
    pub fn copy_from(&mut self, store: &dyn Store, id: &BlockId, from: &Location) -> Result<(), SealedError> {
        locations::read_block(store, id, from, &mut self.buffer)?;
        let open = &mut self.open[slot(from.class)];
        let mut writer = match open.take() {
            Some(writer) => writer,
            None => begin(self.store, self.run, from.class)?,
        };
        writer.block(*id, &self.buffer)?;
        *open = Some(writer);
        Ok(())
    }

    /// Whether the open pack of the class has reached its size.
    pub fn is_full(&self, class: Class) -> bool {
        self.open[slot(class)].as_ref().is_some_and(|writer| writer.size() >= PACK_SIZE || writer.len() >= limits::INDEX_BLOCKS)
    }

    /// Stores the open pack of the class, sees that it is there whole, and writes its map.
    ///
    /// # Errors
    /// If any of that fails; then nothing may rest on the copies.
    pub fn finish(&mut self, class: Class) -> Result<Option<StoredPack>, SealedError> {
        let Some(writer) = self.open[slot(class)].take() else { return Ok(None) };
        let stored = writer.finish()?;
        self.confirm(&stored)?;
        let map = marks::encode_map(&BlockList { packs: vec![(stored.id, stored.contents.clone())] });
        self.store.put_new(&ObjectName::of_id(Folder::Maps, blake3::hash(&map).as_bytes()), &map)?;
        Ok(Some(stored))
    }

    fn confirm(&self, stored: &StoredPack) -> Result<(), SealedError> {
        let name = pack::name(&stored.id);
        let info = self.store.stat(&name)?;
        if info.size != stored.size || pack::read_contents(self.store, &info)? != stored.contents {
            return Err(SealedError::damaged(name, "it reads back otherwise than it was written a moment ago"));
        }
        Ok(())
    }
}
