//! Index objects: the clear list of packs and their blocks, and after it, sealed, the chunks in each block.
//!
//! ```text
//!   magic | u32 length | block list | age file: chunks of each block (for those who hold the index identity)
//! ```

use crate::model::id::{IndexId, PackId};
use crate::sealed::codec::{FormatError, Reader, join_clear, put_u32, split_clear};
use crate::sealed::pack::{BlockEntry, Class, Contents};
use crate::sealed::{SealedError, limits};
use crate::store::{Folder, ObjectName, Store};

/// First bytes of an index object.
pub const MAGIC: &[u8; 8] = b"hbindx01";

/// The clear part: packs in order; the position of a block is its rank over all of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BlockList {
    /// Packs and their blocks.
    pub packs: Vec<(PackId, Contents)>,
}

impl BlockList {
    /// How many blocks it lists.
    pub fn len(&self) -> usize {
        self.packs.iter().map(|(_, contents)| contents.blocks.len()).sum()
    }

    /// Whether it lists no block.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The blocks by position, each with its pack, class and offset in bytes.
    pub fn blocks(&self) -> impl Iterator<Item = (PackId, Class, u64, BlockEntry)> + '_ {
        self.packs.iter().flat_map(|(pack, contents)| contents.offsets().map(|(offset, block)| (*pack, contents.class, offset, *block)))
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + self.len() * 36);
        put_u32(&mut out, self.packs.len());
        for (pack, contents) in &self.packs {
            out.extend_from_slice(pack.as_bytes());
            contents.encode(&mut out);
        }
        out
    }

    /// Reads [`BlockList::encode`].
    ///
    /// # Errors
    /// If it is not exactly that, or lists more than [`limits::INDEX_BLOCKS`] blocks.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(bytes);
        let count = reader.count(37, "packs")?;
        let mut packs = Vec::with_capacity(count);
        for _ in 0..count {
            let pack = PackId::from_bytes(reader.array("a pack id")?);
            packs.push((pack, Contents::decode(&mut reader)?));
        }
        reader.end()?;
        let list = Self { packs };
        if list.len() > limits::INDEX_BLOCKS {
            return Err(FormatError::new(format!("it lists {} blocks; {} are allowed", list.len(), limits::INDEX_BLOCKS)));
        }
        Ok(list)
    }
}

/// The name of an index object.
pub fn name(id: &IndexId) -> ObjectName {
    ObjectName::of_id(Folder::Index, id.as_bytes())
}

/// Builds an index object from its clear list and the sealed rest.
pub fn encode(list: &BlockList, sealed: &[u8]) -> Vec<u8> {
    join_clear(MAGIC, &list.encode(), sealed)
}

/// Parses an index object into its clear list and the sealed rest.
///
/// # Errors
/// If it is not one.
pub fn parse(bytes: &[u8]) -> Result<(BlockList, &[u8]), FormatError> {
    let (clear, sealed) = split_clear(bytes, MAGIC, limits::INDEX_BLOCKS * 80)?;
    Ok((BlockList::decode(clear)?, sealed))
}

/// Reads an index object whole and checks its id.
///
/// # Errors
/// If it is missing or damaged.
pub fn read(store: &dyn Store, id: &IndexId) -> Result<Vec<u8>, SealedError> {
    let bytes = store.get(&name(id), limits::INDEX)?;
    if IndexId::of(&bytes) != *id {
        return Err(SealedError::damaged(name(id), "its bytes do not match its name"));
    }
    Ok(bytes)
}

/// Reads and checks an index object's clear list.
///
/// # Errors
/// If it is missing or damaged.
pub fn read_list(store: &dyn Store, id: &IndexId) -> Result<BlockList, SealedError> {
    let bytes = read(store, id)?;
    let (list, _) = parse(&bytes).map_err(|why| SealedError::malformed(name(id), why))?;
    Ok(list)
}
