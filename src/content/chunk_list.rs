//! The sealed part of an index object: the chunks in each block of its list.
//!
//! ```text
//!   per block: u32 count | u32 length * count | id prefix (20) * count       zstd, then age
//! ```

use crate::content::dedup::Prefix;
use crate::content::seal::{self, OpenFailure};
use crate::sealed::codec::{FormatError, Reader, put_u32};
use crate::sealed::limits;

/// What the sealed part may unpack to, in bytes.
const UNPACKED: usize = 512 << 20;

/// Opens the sealed part of an index object that lists `blocks` blocks.
///
/// # Errors
/// If no identity fits, or it is not such a list.
pub fn open(sealed: &[u8], blocks: usize, identities: &[&dyn age::Identity]) -> Result<Vec<Vec<(Prefix, u32)>>, OpenFailure> {
    let plain = seal::open_compressed(sealed, identities, UNPACKED)?;
    parse(&plain, blocks).map_err(|why| OpenFailure::Damaged(why.to_string()))
}

/// Appends a block's chunks to the list.
pub fn append(out: &mut Vec<u8>, chunks: &[(Prefix, u32)]) {
    put_u32(out, chunks.len());
    for (_, length) in chunks {
        out.extend_from_slice(&length.to_le_bytes());
    }
    for (prefix, _) in chunks {
        out.extend_from_slice(&prefix.0);
    }
}

/// Parses the list of `blocks` blocks' chunks.
///
/// # Errors
/// If it is not exactly that.
pub fn parse(plain: &[u8], blocks: usize) -> Result<Vec<Vec<(Prefix, u32)>>, FormatError> {
    let mut reader = Reader::new(plain);
    let mut all = Vec::with_capacity(blocks.min(limits::INDEX_BLOCKS));
    for _ in 0..blocks {
        let count = reader.count(24, "chunks")?;
        let lengths = reader.take(4 * count, "chunk lengths")?;
        let prefixes = reader.take(20 * count, "chunk ids")?;
        let chunks = prefixes.as_chunks::<20>().0.iter().zip(lengths.as_chunks::<4>().0);
        all.push(chunks.map(|(prefix, length)| (Prefix(*prefix), u32::from_le_bytes(*length))).collect());
    }
    reader.end()?;
    Ok(all)
}
