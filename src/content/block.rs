//! The plaintext of a block: the lengths of its chunks, then the chunks.
//!
//! ```text
//!   u32 count | u32 length * count | chunk | chunk | ...
//! ```

use std::ops::Range;

use crate::sealed::codec::{FormatError, Reader, put_u32};
use crate::sealed::limits;

/// Collects chunks until a block is full.
#[derive(Debug, Default)]
pub struct BlockBuilder {
    lengths: Vec<u32>,
    bytes: Vec<u8>,
}

impl BlockBuilder {
    /// A builder that collects in an empty buffer.
    pub fn in_buffer(bytes: Vec<u8>) -> Self {
        Self { lengths: Vec::new(), bytes }
    }

    /// Appends a chunk of at most [`limits::CHUNK`] bytes.
    pub fn push(&mut self, chunk: &[u8]) {
        self.lengths.push(u32::try_from(chunk.len()).unwrap_or(u32::MAX));
        self.bytes.extend_from_slice(chunk);
    }

    /// Bytes of chunks so far.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is no chunk.
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// The block's plaintext.
    pub fn finish(self) -> Vec<u8> {
        let mut out = Vec::new();
        self.finish_into(&mut out);
        out
    }

    /// Writes the block's plaintext into an empty buffer; returns the one that it collected in.
    pub fn finish_into(self, out: &mut Vec<u8>) -> Vec<u8> {
        out.reserve(4 + 4 * self.lengths.len() + self.bytes.len());
        put_u32(out, self.lengths.len());
        for length in &self.lengths {
            out.extend_from_slice(&length.to_le_bytes());
        }
        out.extend_from_slice(&self.bytes);
        self.bytes
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
            return Err(FormatError(format!("it promises a chunk of {length} bytes that is not in it")));
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
            let found: Vec<_> = chunk_ranges(&plain).unwrap().into_iter().map(|range| plain[range].to_vec()).collect();
            prop_assert_eq!(found, chunks);
        }

        #[test]
        fn any_bytes_are_a_block_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(ranges) = chunk_ranges(&bytes) {
                prop_assert!(ranges.iter().all(|range| range.end <= bytes.len()));
            }
        }
    }
}
