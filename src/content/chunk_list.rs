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
/// Five bytes of six are ids, which do not compress; so nothing true unpacks to much more than it is packed. The rest is for
/// lists of hardly any chunks.
const RATIO: usize = 16;
const SMALL: usize = 64 << 10;

/// Opens the sealed part of an index object that lists `blocks` blocks.
///
/// # Errors
/// If no identity fits, or it is not such a list.
pub fn open(sealed: &[u8], blocks: usize, identities: &[&dyn age::Identity]) -> Result<Vec<Vec<(Prefix, u32)>>, OpenFailure> {
    let plain = seal::open_compressed(sealed, identities, most_unpacked)?;
    parse(&plain, blocks).map_err(|why| OpenFailure::Damaged(why.to_string()))
}

/// What so many packed bytes may unpack to, so that a hostile object cannot make a host take more memory than it has bytes itself.
fn most_unpacked(packed: usize) -> usize {
    packed.saturating_mul(RATIO).saturating_add(SMALL).min(UNPACKED)
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

#[cfg(test)]
mod tests {
    use age::x25519::Identity;

    use super::*;

    fn sealed(plain: &[u8]) -> (Vec<u8>, Identity) {
        let identity = Identity::generate();
        (seal::seal_compressed(plain, &[&identity.to_public()]).unwrap(), identity)
    }

    #[test]
    fn a_list_of_many_chunks_of_one_length_opens() {
        let chunk = |number: u32| {
            let hash = blake3::hash(&number.to_le_bytes());
            (Prefix(*hash.as_bytes().first_chunk().unwrap()), 65_536)
        };
        let mut plain = Vec::new();
        let blocks: Vec<Vec<_>> = (0..100).map(|block| (0..300).map(|rank| chunk(block * 1000 + rank)).collect()).collect();
        blocks.iter().for_each(|chunks| append(&mut plain, chunks));
        let (sealed, identity) = sealed(&plain);
        assert_eq!(open(&sealed, blocks.len(), &[&identity]).unwrap(), blocks);
    }

    #[test]
    fn lists_without_chunks_open() {
        let (sealed, identity) = sealed(&vec![0; 4 * limits::INDEX_BLOCKS]);
        assert_eq!(open(&sealed, limits::INDEX_BLOCKS, &[&identity]).unwrap().len(), limits::INDEX_BLOCKS);
    }

    #[test]
    fn a_small_object_that_would_fill_the_memory_is_refused_before_it_is_unpacked() {
        let (sealed, identity) = sealed(&vec![0; 64 << 20]);
        assert!(sealed.len() < 10_000, "{}", sealed.len());
        let error = open(&sealed, 1, &[&identity]).unwrap_err().to_string();
        assert!(error.contains("would unpack to 67108864 bytes"), "{error}");
    }
}
