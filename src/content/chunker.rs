//! Content-defined chunking: FastCDC, 2020 version (Xia et al., "The Design of Fast Content-Defined Chunking for Data
//! Deduplication Based Storage Systems"), normalisation level 1, with a secret gear table, so that chunk sizes do not
//! betray known files.

use fastcdc::v2020::{Normalization, cut_gear, select_masks};

use crate::content::secret::ChunkSecret;
use crate::sealed::statement::Chunking;

/// Cuts a stream of bytes into chunks.
#[derive(Clone)]
pub struct Chunker {
    gear: Box<[u64; 256]>,
    gear_shifted: Box<[u64; 256]>,
    mask_small: u64,
    mask_large: u64,
    sizes: Chunking,
}

impl Chunker {
    /// A chunker for a repository's secret and sizes.
    pub fn new(secret: &ChunkSecret, sizes: Chunking) -> Self {
        let gear = secret.gear();
        let mut gear_shifted = gear.clone();
        gear_shifted.iter_mut().for_each(|value| *value <<= 1);
        let (mask_small, mask_large) = select_masks(sizes.avg as usize, Normalization::Level1);
        Self { gear, gear_shifted, mask_small, mask_large, sizes }
    }

    /// The largest chunk in bytes; [`Chunker::cut`] needs to see so much, or all that is left.
    pub fn max(&self) -> usize {
        self.sizes.max as usize
    }

    /// Length of the first chunk of `bytes`. Unless these are all that is left of the stream, they must be at least
    /// [`Chunker::max`]. Zero only for no bytes.
    pub fn cut(&self, bytes: &[u8]) -> usize {
        let sizes = &self.sizes;
        let (_, cut) = cut_gear(
            bytes,
            sizes.min as usize,
            sizes.avg as usize,
            sizes.max as usize,
            self.mask_small,
            self.mask_large,
            self.mask_small << 1,
            self.mask_large << 1,
            self.gear.as_slice(),
            self.gear_shifted.as_slice(),
        );
        cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn noise(length: usize, seed: u8) -> Vec<u8> {
        let mut bytes = vec![0; length];
        blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
        bytes
    }

    fn cuts(chunker: &Chunker, mut bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut chunks = Vec::new();
        while !bytes.is_empty() {
            let cut = chunker.cut(bytes);
            chunks.push(bytes[..cut].to_vec());
            bytes = &bytes[cut..];
        }
        chunks
    }

    proptest! {
        #[test]
        fn chunks_join_to_the_input_and_keep_their_bounds(length in 0_usize..400_000, seed: u8) {
            let sizes = Chunking { min: 1024, avg: 4096, max: 16384 };
            let chunker = Chunker::new(&ChunkSecret::from_bytes([seed; 32]), sizes);
            let bytes = noise(length, seed);
            let chunks = cuts(&chunker, &bytes);
            prop_assert_eq!(chunks.concat(), bytes);
            for (rank, chunk) in chunks.iter().enumerate() {
                prop_assert!(chunk.len() <= 16384);
                prop_assert!(chunk.len() >= 1024 || rank + 1 == chunks.len());
            }
        }
    }

    #[test]
    fn an_insertion_changes_only_chunks_near_it() {
        let chunker = Chunker::new(&ChunkSecret::from_bytes([1; 32]), Chunking::default());
        let before = noise(8 << 20, 3);
        let mut after = before.clone();
        after.splice(4_000_000..4_000_000, b"inserted".iter().copied());
        let old: std::collections::HashSet<_> = cuts(&chunker, &before).into_iter().collect();
        let fresh = cuts(&chunker, &after).into_iter().filter(|chunk| !old.contains(chunk)).count();
        assert!((1..=4).contains(&fresh), "{fresh} chunks changed");
    }

    #[test]
    fn another_secret_cuts_elsewhere() {
        let bytes = noise(2 << 20, 9);
        let sizes = |secret: u8| -> Vec<usize> {
            cuts(&Chunker::new(&ChunkSecret::from_bytes([secret; 32]), Chunking::default()), &bytes).iter().map(Vec::len).collect()
        };
        assert_ne!(sizes(1), sizes(2));
    }
}
