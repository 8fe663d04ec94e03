//! Refs: which blocks a snapshot needs, as bitmaps over the block lists of index objects.
//!
//! ```text
//!   magic | zstd( u32 count | { index id | u32 blocks | bitmap, lowest bit first }* )
//! ```

use std::collections::BTreeMap;

use crate::model::id::{IndexId, RefsId};
use crate::sealed::codec::{FormatError, Reader, put_u32};
use crate::sealed::{SealedError, limits};
use crate::store::{Folder, ObjectName, Store};

/// First bytes of a refs object.
pub const MAGIC: &[u8; 8] = b"hbrefs01";

/// Begins a zstd frame that readers skip (RFC 8878, 3.1.2).
const SKIPPABLE_FRAME: [u8; 4] = [0x50, 0x2a, 0x4d, 0x18];

/// A set of block positions in one index object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bitmap {
    bits: Vec<u8>,
    length: usize,
}

impl Bitmap {
    /// An empty set over `length` positions.
    pub fn new(length: usize) -> Self {
        Self { bits: vec![0; length.div_ceil(8)], length }
    }

    /// A full set over `length` positions.
    pub fn full(length: usize) -> Self {
        let mut bitmap = Self::new(length);
        (0..length).for_each(|position| bitmap.insert(position));
        bitmap
    }

    /// The set with these bits over `length` positions.
    ///
    /// # Errors
    /// If there are not as many bytes as that takes, or a bit beyond the last position is set.
    fn from_bits(bits: &[u8], length: usize) -> Result<Self, FormatError> {
        let unused = match length % 8 {
            0 => 0,
            used => u8::MAX << used,
        };
        if bits.len() != length.div_ceil(8) || bits.last().is_some_and(|last| last & unused != 0) {
            return Err(FormatError::new(format!("it has a bitmap that names blocks beyond the last of {length}")));
        }
        Ok(Self { bits: bits.to_vec(), length })
    }

    /// How many positions it ranges over.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether no position is in it.
    pub fn is_empty(&self) -> bool {
        self.bits.iter().all(|byte| *byte == 0)
    }

    /// Adds a position; one beyond the range is ignored.
    pub fn insert(&mut self, position: usize) {
        if position < self.length
            && let Some(byte) = self.bits.get_mut(position / 8)
        {
            *byte |= 1 << (position % 8);
        }
    }

    /// Adds the positions of another set over the same range; one over another range is ignored.
    pub fn unite(&mut self, other: &Bitmap) {
        if self.length == other.length {
            self.bits.iter_mut().zip(&other.bits).for_each(|(mine, theirs)| *mine |= theirs);
        }
    }

    /// Whether a position is in it.
    pub fn contains(&self, position: usize) -> bool {
        position < self.length && self.bits.get(position / 8).is_some_and(|byte| byte & (1 << (position % 8)) != 0)
    }

    /// How many positions are in it.
    pub fn count(&self) -> usize {
        self.bits.iter().map(|byte| byte.count_ones() as usize).sum()
    }

    /// The positions in it.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.length).filter(|position| self.contains(*position))
    }
}

/// The blocks of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Refs {
    /// Per index object the positions of the needed blocks; none is empty.
    pub indexes: BTreeMap<IndexId, Bitmap>,
}

impl Refs {
    /// The object's bytes.
    ///
    /// # Errors
    /// If the compressor fails, which means out of memory.
    pub fn encode(&self) -> Result<Vec<u8>, FormatError> {
        self.encode_anew(&[])
    }

    /// The object's bytes with a nonce in a skippable frame at the end. The same blocks would else give the same id
    /// again, which prune may have condemned for good when an older snapshot was forgotten.
    ///
    /// # Errors
    /// As [`Refs::encode`].
    pub fn encode_anew(&self, nonce: &[u8]) -> Result<Vec<u8>, FormatError> {
        let mut plain = Vec::new();
        put_u32(&mut plain, self.indexes.len());
        for (index, bitmap) in &self.indexes {
            plain.extend_from_slice(index.as_bytes());
            put_u32(&mut plain, bitmap.length);
            plain.extend_from_slice(&bitmap.bits);
        }
        let packed = zstd::bulk::compress(&plain, 3).map_err(|error| FormatError::new(error.to_string()))?;
        let mut object = [MAGIC.as_slice(), &packed].concat();
        if !nonce.is_empty() {
            object.extend_from_slice(&SKIPPABLE_FRAME);
            put_u32(&mut object, nonce.len());
            object.extend_from_slice(nonce);
        }
        Ok(object)
    }

    /// Parses the object.
    ///
    /// # Errors
    /// If it is not exactly one.
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(bytes);
        reader.magic(MAGIC)?;
        let plain = unpack(reader.rest())?;
        let mut reader = Reader::new(&plain);
        let count = reader.count(36, "index objects")?;
        let mut indexes = BTreeMap::new();
        for _ in 0..count {
            let index = IndexId::from_bytes(reader.array("an index id")?);
            let length = reader.u32("a bitmap's length")? as usize;
            if length > limits::INDEX_BLOCKS {
                return Err(FormatError::new(format!("it has a bitmap over {length} blocks; {} are allowed", limits::INDEX_BLOCKS)));
            }
            let bitmap = Bitmap::from_bits(reader.take(length.div_ceil(8), "a bitmap")?, length)?;
            if indexes.insert(index, bitmap).is_some() {
                return Err(FormatError::new("it names an index object twice"));
            }
        }
        reader.end()?;
        Ok(Self { indexes })
    }
}

fn unpack(packed: &[u8]) -> Result<Vec<u8>, FormatError> {
    use std::io::Read as _;
    let broken = |error: std::io::Error| FormatError::new(format!("its zstd frame does not open ({error})"));
    let mut plain = Vec::new();
    let mut decoder = zstd::stream::read::Decoder::new(packed).map_err(broken)?.take(limits::REFS + 1);
    decoder.read_to_end(&mut plain).map_err(broken)?;
    if plain.len() as u64 > limits::REFS {
        return Err(FormatError::new("it unpacks to more than refs may hold"));
    }
    Ok(plain)
}

/// The name of a refs object.
pub fn name(id: &RefsId) -> ObjectName {
    ObjectName::of_id(Folder::Refs, id.as_bytes())
}

/// Reads and checks a refs object.
///
/// # Errors
/// If it is missing or damaged.
pub fn read(store: &dyn Store, id: &RefsId) -> Result<Refs, SealedError> {
    let bytes = store.get(&name(id), limits::REFS)?;
    if RefsId::of(&bytes) != *id {
        return Err(SealedError::damaged(name(id), "its bytes do not match its name"));
    }
    Refs::parse(&bytes).map_err(|why| SealedError::malformed(name(id), why))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(bits: &[u8], length: usize) -> Vec<u8> {
        let mut plain = vec![1, 0, 0, 0];
        plain.extend_from_slice(&[7; 32]);
        put_u32(&mut plain, length);
        plain.extend_from_slice(bits);
        [MAGIC.as_slice(), &zstd::bulk::compress(&plain, 3).unwrap()].concat()
    }

    #[test]
    fn bits_beyond_the_last_block_are_refused() {
        for length in 1..=17 {
            let mut bits = Bitmap::full(length).bits;
            assert_eq!(Refs::parse(&object(&bits, length)).unwrap().indexes.values().next().unwrap().count(), length);
            for position in length..length.next_multiple_of(8) {
                bits[position / 8] |= 1 << (position % 8);
                let error = Refs::parse(&object(&bits, length)).unwrap_err();
                assert!(error.to_string().contains("beyond the last"), "{error}");
                bits[position / 8] &= !(1 << (position % 8));
            }
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for length in 0..40 {
            let mut some = Bitmap::new(length);
            (0..length + 9).step_by(3).for_each(|position| some.insert(position));
            some.unite(&Bitmap::full(length / 2));
            let index = IndexId::from_bytes([1; 32]);
            let refs = Refs { indexes: [(index, some), (IndexId::from_bytes([2; 32]), Bitmap::full(length))].into() };
            assert_eq!(Refs::parse(&refs.encode_anew(b"nonce").unwrap()).unwrap(), refs);
        }
    }
}
