//! The plaintext of a block: the lengths of its chunks, then the chunks.
//!
//! ```text
//!   u32 count | u32 length * count | chunk | chunk | ...
//! ```

use std::ops::Range;

use crate::sealed::codec::{FormatError, Reader};
use crate::sealed::limits;

/// Bytes kept free before the chunks, so that the header of nearly every block is written in place.
const ROOM: usize = 4 + 4 * 4096;

/// Collects chunks until a block is full.
#[derive(Debug, Default)]
pub struct BlockBuilder {
    lengths: Vec<u32>,
    /// Empty, or room for the header and then the chunks.
    buffer: Vec<u8>,
}

impl BlockBuilder {
    /// A builder that collects in an empty buffer.
    pub fn in_buffer(buffer: Vec<u8>) -> Self {
        Self { lengths: Vec::new(), buffer }
    }

    /// Appends a chunk of at most [`limits::CHUNK`] bytes.
    pub fn push(&mut self, chunk: &[u8]) {
        if self.buffer.is_empty() {
            self.buffer.resize(ROOM, 0);
        }
        self.lengths.push(u32::try_from(chunk.len()).unwrap_or(u32::MAX));
        self.buffer.extend_from_slice(chunk);
    }

    /// Bytes of chunks so far.
    pub fn size(&self) -> usize {
        self.buffer.len().saturating_sub(ROOM)
    }

    /// Whether there is no chunk.
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// The block is complete.
    pub fn finish(mut self) -> BlockPlaintext {
        let header = 4 + 4 * self.lengths.len();
        if self.buffer.len() < ROOM {
            self.buffer.resize(ROOM, 0);
        }
        if header > ROOM {
            self.buffer.splice(..0, std::iter::repeat_n(0, header - ROOM));
        }
        let start = ROOM.saturating_sub(header);
        let count = u32::try_from(self.lengths.len()).unwrap_or(u32::MAX);
        let numbers = std::iter::once(&count).chain(&self.lengths);
        for (place, number) in self.buffer.get_mut(start..start + header).unwrap_or_default().chunks_exact_mut(4).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        BlockPlaintext { buffer: self.buffer, start }
    }
}

/// The plaintext of a block.
#[derive(Debug)]
pub struct BlockPlaintext {
    buffer: Vec<u8>,
    start: usize,
}

impl BlockPlaintext {
    /// Header and chunks.
    pub fn bytes(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    /// The buffer that the builder collected in.
    pub fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }
}

/// Where each chunk lies in a block's plaintext.
///
/// # Errors
/// If the lengths do not add up to the plaintext, or one is over the limit.
pub fn chunk_ranges(plain: &[u8]) -> Result<Vec<Range<usize>>, FormatError> {
    let mut reader = Reader::new(plain);
    let count = reader.count(4, "chunks")?;
    let mut offset = 4 + 4 * count;
    let mut ranges = Vec::with_capacity(count);
    for _ in 0..count {
        let length = reader.u32("a chunk's length")? as usize;
        if length > limits::CHUNK || length > plain.len() - offset {
            return Err(FormatError::new(format!("it promises a chunk of {length} bytes that is not in it")));
        }
        ranges.push(offset..offset + length);
        offset += length;
    }
    if offset != plain.len() {
        return Err(FormatError::new("bytes follow its last chunk"));
    }
    Ok(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn chunks_come_back_from_a_block(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..2000), 0..40)) {
            let mut builder = BlockBuilder::default();
            chunks.iter().for_each(|chunk| builder.push(chunk));
            let plain = builder.finish();
            let plain = plain.bytes();
            let found: Vec<_> = chunk_ranges(plain).unwrap().into_iter().map(|range| plain[range].to_vec()).collect();
            prop_assert_eq!(found, chunks);
        }

        #[test]
        fn blocks_of_more_chunks_than_expected_come_back(count in ROOM / 4 - 3..ROOM / 4 + 3) {
            let mut builder = BlockBuilder::default();
            (0..count).for_each(|rank| builder.push(&[rank as u8]));
            let plain = builder.finish();
            let found: Vec<_> = chunk_ranges(plain.bytes()).unwrap().into_iter().map(|range| plain.bytes()[range.start]).collect();
            prop_assert_eq!(found, (0..count).map(|rank| rank as u8).collect::<Vec<_>>());
        }

        #[test]
        fn any_bytes_are_a_block_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(ranges) = chunk_ranges(&bytes) {
                prop_assert!(ranges.iter().all(|range| range.end <= bytes.len()));
            }
        }
    }
}
