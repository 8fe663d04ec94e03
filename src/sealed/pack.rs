//! Packs: many sealed blocks and a footer that lists them.
//!
//! ```text
//!   magic | block | block | ... | footer | u32 length of footer | magic
//! ```

use crate::model::id::{BlockId, PackId};
use crate::sealed::codec::{FormatError, Reader, check_magic, put_u32};
use crate::sealed::{SealedError, limits};
use crate::store::{Folder, ObjectInfo, ObjectName, Put, StagedObject, Store};

/// First and last bytes of a pack.
pub const MAGIC: &[u8; 8] = b"hbpack01";

/// What kind of chunks a pack's blocks hold: listing never fetches data, and a bucket can tier the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// File content.
    Data,
    /// Trees.
    Tree,
}

impl Class {
    /// The byte in a footer or block list.
    pub fn code(self) -> u8 {
        match self {
            Class::Data => 0,
            Class::Tree => 1,
        }
    }

    /// The class of a byte.
    ///
    /// # Errors
    /// If there is none.
    pub fn from_code(code: u8) -> Result<Self, FormatError> {
        match code {
            0 => Ok(Class::Data),
            1 => Ok(Class::Tree),
            other => Err(FormatError::new(format!("{other} is not a class of packs"))),
        }
    }
}

/// A block's place in a list: its id and sealed length in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockEntry {
    /// The block.
    pub id: BlockId,
    /// Sealed length in bytes, 1 to [`limits::BLOCK_SEALED`].
    pub length: u32,
}

/// A pack's blocks in the order in which they lie in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// Data or trees.
    pub class: Class,
    /// The blocks, first one at offset 8.
    pub blocks: Vec<BlockEntry>,
}

impl BlockEntry {
    /// Whether this is no block but the nonce of a pack that prune wrote.
    pub fn is_nonce(&self) -> bool {
        self.length as usize == NONCE
    }
}

const BLOCK_ENTRY: usize = 36;

/// Length of a nonce in bytes; no sealed block is that short.
pub const NONCE: usize = 16;

impl Contents {
    /// Appends the form used in footers and block lists: class, count, `{id, length}*`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.class.code());
        put_u32(out, self.blocks.len());
        for block in &self.blocks {
            out.extend_from_slice(block.id.as_bytes());
            out.extend_from_slice(&block.length.to_le_bytes());
        }
    }

    /// Reads that form.
    ///
    /// # Errors
    /// If it is cut short, or a length is out of bounds.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let class = Class::from_code(reader.u8("its class")?)?;
        let count = reader.count(BLOCK_ENTRY, "blocks")?;
        let mut blocks = Vec::with_capacity(count);
        for _ in 0..count {
            let id = BlockId::from_bytes(reader.array("a block id")?);
            let length = reader.u32("a block length")?;
            if length == 0 || length as usize > limits::BLOCK_SEALED {
                return Err(FormatError::new(format!("it lists a block of {length} bytes")));
            }
            blocks.push(BlockEntry { id, length });
        }
        Ok(Self { class, blocks })
    }

    /// Size of the whole pack with these blocks, in bytes.
    pub fn pack_size(&self) -> u64 {
        let blocks: u64 = self.blocks.iter().map(|block| u64::from(block.length)).sum();
        let footer = 5 + BLOCK_ENTRY * self.blocks.len();
        blocks + footer as u64 + 8 + 4 + 8
    }

    /// Where the footer begins, in bytes: what lies before is blocks.
    pub fn footer_start(&self) -> u64 {
        self.offsets().last().map_or(MAGIC.len() as u64, |(offset, block)| offset + u64::from(block.length))
    }

    /// Offset of each block in the pack, in bytes.
    pub fn offsets(&self) -> impl Iterator<Item = (u64, &BlockEntry)> {
        self.blocks.iter().scan(MAGIC.len() as u64, |offset, block| {
            let here = *offset;
            *offset += u64::from(block.length);
            Some((here, block))
        })
    }
}

/// The name of a pack.
pub fn name(id: &PackId) -> ObjectName {
    ObjectName::of_id(Folder::Packs, id.as_bytes())
}

/// Writes one pack.
pub struct PackWriter {
    staged: Box<dyn StagedObject>,
    hasher: blake3::Hasher,
    contents: Contents,
    size: u64,
}

/// A pack that is stored.
#[derive(Debug, Clone)]
pub struct StoredPack {
    /// Its id.
    pub id: PackId,
    /// Its blocks.
    pub contents: Contents,
    /// Its size in bytes.
    pub size: u64,
}

impl PackWriter {
    /// Starts a pack.
    ///
    /// # Errors
    /// If the store takes no writes.
    pub fn new(store: &dyn Store, class: Class) -> Result<Self, SealedError> {
        let mut writer =
            Self { staged: store.stage()?, hasher: blake3::Hasher::new(), contents: Contents { class, blocks: Vec::new() }, size: 0 };
        writer.append(MAGIC)?;
        Ok(writer)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), SealedError> {
        self.staged.write(bytes)?;
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }

    /// Appends a sealed block whose id the caller has computed or checked.
    ///
    /// # Errors
    /// If the store fails.
    pub fn block(&mut self, id: BlockId, bytes: &[u8]) -> Result<(), SealedError> {
        if bytes.is_empty() || bytes.len() > limits::BLOCK_SEALED || self.contents.blocks.len() >= limits::INDEX_BLOCKS {
            return Err(SealedError::damaged(
                "a new pack",
                "a block is over the limits of the format and would be unreadable; please report this",
            ));
        }
        self.append(bytes)?;
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.contents.blocks.push(BlockEntry { id, length });
        Ok(())
    }

    /// Appends random bytes, listed like a block. A pack whose blocks are copies of stored ones must never get the id
    /// of a pack that was condemned before, or a sweep that slept would delete it; with a nonce every pack is new.
    ///
    /// # Errors
    /// If the store fails.
    pub fn nonce(&mut self, nonce: &[u8; NONCE]) -> Result<(), SealedError> {
        self.block(BlockId::of(nonce), nonce)
    }

    /// Bytes so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Blocks so far, a count.
    pub fn len(&self) -> usize {
        self.contents.blocks.len()
    }

    /// Whether no block was added.
    pub fn is_empty(&self) -> bool {
        self.contents.blocks.is_empty()
    }

    /// Writes the footer and makes the pack visible and durable.
    ///
    /// # Errors
    /// If the store fails; then there is no pack.
    pub fn finish(mut self) -> Result<StoredPack, SealedError> {
        let mut footer = Vec::new();
        self.contents.encode(&mut footer);
        let length = footer.len();
        put_u32(&mut footer, length);
        footer.extend_from_slice(MAGIC);
        self.append(&footer)?;
        let id = PackId::from_bytes(*self.hasher.finalize().as_bytes());
        let _: Put = self.staged.commit(&name(&id))?;
        Ok(StoredPack { id, contents: self.contents, size: self.size })
    }
}

/// Parses the footer at the end of `tail`, the last bytes of a pack of `size` bytes. `Err(Ok(n))` asks for the last
/// `n` bytes.
fn parse_footer(tail: &[u8], size: u64) -> Result<Contents, Result<usize, FormatError>> {
    let bad = |why: &str| Err(Err(FormatError::new(why)));
    let Some((rest, magic)) = tail.split_last_chunk::<8>() else { return bad("it is too short") };
    match check_magic(magic, MAGIC) {
        Ok(()) => {}
        Err(newer @ FormatError::TooNew(_)) => return Err(Err(newer)),
        Err(_) => return bad("it does not end like a pack, so it is truncated or overwritten"),
    }
    let Some((rest, length)) = rest.split_last_chunk::<4>() else { return bad("it is too short") };
    let length = u32::from_le_bytes(*length) as usize;
    if length as u64 + 20 > size || length > 5 + BLOCK_ENTRY * limits::INDEX_BLOCKS {
        return bad("its footer is longer than itself or than the format allows");
    }
    let Some(start) = rest.len().checked_sub(length) else { return Err(Ok(length + 12)) };
    let mut reader = Reader::new(rest.get(start..).unwrap_or_default());
    let contents = Contents::decode(&mut reader).map_err(Err)?;
    reader.end().map_err(Err)?;
    if contents.pack_size() != size {
        return bad("its footer does not add up to its size");
    }
    Ok(contents)
}

/// Reads a pack's own list of its blocks.
///
/// # Errors
/// If the pack is missing, truncated or damaged there.
pub fn read_contents(store: &dyn Store, info: &ObjectInfo) -> Result<Contents, SealedError> {
    let damaged = |why: FormatError| SealedError::malformed(&info.name, why);
    if info.size > limits::PACK {
        return Err(damaged(FormatError::new("it is larger than a pack may be")));
    }
    let mut tail = 4096.min(usize::try_from(info.size).unwrap_or(0));
    let mut buffer = Vec::new();
    for _ in 0..2 {
        store.get_range(&info.name, info.size - tail as u64, tail, &mut buffer)?;
        match parse_footer(&buffer, info.size) {
            Ok(contents) => return Ok(contents),
            Err(Ok(more)) => tail = more,
            Err(Err(why)) => return Err(damaged(why)),
        }
    }
    Err(damaged(FormatError::new("its footer changes while it is read")))
}

/// Parses a whole pack without a store: fuzzing and `check` use it.
///
/// # Errors
/// If any part is not as the format says.
pub fn parse(bytes: &[u8]) -> Result<Contents, FormatError> {
    Reader::new(bytes).magic(MAGIC)?;
    match parse_footer(bytes, bytes.len() as u64) {
        Ok(contents) => Ok(contents),
        Err(Ok(_)) => Err(FormatError::new("its footer is longer than itself")),
        Err(Err(why)) => Err(why),
    }
}
