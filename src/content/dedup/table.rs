//! The table behind the segments: which index objects are known, and to which of their blocks an ordinal leads.
//!
//! Stored as one file, written anew at the end of each run:
//!
//! ```text
//!   "hbtabl01" | repository id | u32 ordinals | u32 segments | name u32 * | u32 indexes |
//!     { index id | u32 length | block list | { ordinal u32, plaintext bytes u32 } * blocks } * | blake3 of all before
//! ```

use std::io::{self, Write as _};
use std::path::Path;

use super::mapping::Mapping;
use crate::content::hashed_file::HashedFile;
use crate::model::id::{IndexId, RepositoryId};
use crate::sealed::codec::{FormatError, Reader, put_u32};
use crate::sealed::index::BlockList;

const MAGIC: &[u8; 8] = b"hbtabl01";

/// A block's number in this host's cache. Numbers are never given twice, and mean nothing elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockOrdinal(pub u32);

/// An index object as the cache knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownIndex {
    /// The object.
    pub id: IndexId,
    /// Its block list.
    pub list: BlockList,
    /// By position: the block's ordinal and the bytes of its chunks.
    pub blocks: Vec<(BlockOrdinal, u32)>,
}

/// What the file holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) ordinals: u32,
    pub(super) segments: Vec<u32>,
    pub(super) indexes: Vec<KnownIndex>,
}

impl Table {
    /// Reads the table; anything unexpected is as if there were none.
    pub(super) fn load(path: &Path, repository: &RepositoryId) -> Option<Self> {
        let mapping = Mapping::open(path).ok()?;
        let (body, hash) = mapping.bytes().split_last_chunk::<32>()?;
        if blake3::hash(body).as_bytes() != hash {
            return None;
        }
        Self::decode(body, repository).ok()
    }

    fn decode(body: &[u8], repository: &RepositoryId) -> Result<Self, FormatError> {
        let mut reader = Reader::new(body);
        reader.magic(MAGIC)?;
        if reader.array::<32>("the repository")? != *repository.as_bytes() {
            return Err(FormatError::new("it is another repository's"));
        }
        let ordinals = reader.u32("ordinals")?;
        let segments = (0..reader.count(4, "segments")?).map(|_| reader.u32("a segment")).collect::<Result<_, _>>()?;
        let count = reader.count(40, "indexes")?;
        let mut indexes = Vec::with_capacity(count);
        for _ in 0..count {
            let id = IndexId::from_bytes(reader.array("an index id")?);
            let length = reader.u32("a list's length")? as usize;
            let list = BlockList::decode(reader.take(length, "a block list")?)?;
            let mut blocks = Vec::with_capacity(list.len());
            for _ in 0..list.len() {
                blocks.push((BlockOrdinal(reader.u32("an ordinal")?), reader.u32("a size")?));
            }
            indexes.push(KnownIndex { id, list, blocks });
        }
        reader.end()?;
        Ok(Self { ordinals, segments, indexes })
    }

    /// Writes the table atomically, a list at a time: whole, it would be the largest thing in memory.
    pub(super) fn save(&self, path: &Path, repository: &RepositoryId) -> io::Result<()> {
        let mut out = HashedFile::create(path)?;
        let mut part = MAGIC.to_vec();
        part.extend_from_slice(repository.as_bytes());
        part.extend_from_slice(&self.ordinals.to_le_bytes());
        put_u32(&mut part, self.segments.len());
        self.segments.iter().for_each(|segment| part.extend_from_slice(&segment.to_le_bytes()));
        put_u32(&mut part, self.indexes.len());
        for index in &self.indexes {
            part.extend_from_slice(index.id.as_bytes());
            let list = index.list.encode();
            put_u32(&mut part, list.len());
            part.extend_from_slice(&list);
            for (ordinal, plain) in &index.blocks {
                part.extend_from_slice(&ordinal.0.to_le_bytes());
                part.extend_from_slice(&plain.to_le_bytes());
            }
            out.write_all(&part)?;
            part.clear();
        }
        out.write_all(&part)?;
        out.finish()
    }
}
