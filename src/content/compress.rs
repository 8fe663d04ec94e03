//! One zstd frame per block (RFC 8878), and frames that store what does not compress.

use crate::content::ContentError;

/// zstd's default; measured in `docs/decisions.md`.
pub const DEFAULT_LEVEL: i32 = 3;

const MAGIC: u32 = 0xFD2F_B528;
const SKIPPABLE: u32 = 0x184D_2A50;
/// zstd's largest block (RFC 8878, section 3.1.1.2.4), in bytes.
const RAW_BLOCK: usize = 128 << 10;
/// How the sample for the quick test is taken: so many bytes of every so many.
const SAMPLE: usize = 2 << 10;
const STRIDE: usize = 64 << 10;

/// Compresses blocks; keeps its working memory between them.
pub struct Compressor {
    context: zstd::bulk::Compressor<'static>,
    probe: zstd::bulk::Compressor<'static>,
    sample: Vec<u8>,
    scratch: Vec<u8>,
}

impl Compressor {
    /// A compressor of zstd level `level` (1 to 22, or negative for faster).
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn new(level: i32) -> Result<Self, ContentError> {
        let context = |level| zstd::bulk::Compressor::new(level).map_err(failed);
        Ok(Self { context: context(level)?, probe: context(1)?, sample: Vec::new(), scratch: Vec::new() })
    }

    /// Appends `plain` as one zstd frame to `out`.
    ///
    /// # Errors
    /// If zstd fails, which means out of memory.
    pub fn frame(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), ContentError> {
        if plain.len() > 2 * STRIDE && self.looks_incompressible(plain)? {
            store_raw(plain, out);
            return Ok(());
        }
        let start = out.len();
        self.scratch.clear();
        self.scratch.reserve(zstd::zstd_safe::compress_bound(plain.len()));
        self.context.compress_to_buffer(plain, &mut self.scratch).map_err(failed)?;
        if self.scratch.len() > plain.len() {
            store_raw(plain, out);
        } else {
            out.extend_from_slice(&self.scratch);
        }
        debug_assert!(out.len() > start);
        Ok(())
    }

    /// Compresses a thin sample at level 1: random and already compressed data costs little to recognise.
    fn looks_incompressible(&mut self, plain: &[u8]) -> Result<bool, ContentError> {
        self.sample.clear();
        for stretch in plain.chunks(STRIDE) {
            let middle = stretch.len() / 2;
            self.sample.extend_from_slice(stretch.get(middle..(middle + SAMPLE).min(stretch.len())).unwrap_or_default());
        }
        self.scratch.clear();
        self.scratch.reserve(zstd::zstd_safe::compress_bound(self.sample.len()));
        let size = self.probe.compress_to_buffer(self.sample.as_slice(), &mut self.scratch).map_err(failed)?;
        Ok(size + self.sample.len() / 64 > self.sample.len())
    }
}

fn failed(error: std::io::Error) -> ContentError {
    ContentError::Other(format!("zstd failed: {error}"))
}

/// Writes a zstd frame of raw blocks: header with a single segment and a 4-byte content size, then the bytes.
fn store_raw(plain: &[u8], out: &mut Vec<u8>) {
    out.reserve(plain.len() + 16 + 3 * (plain.len() / RAW_BLOCK + 1));
    out.extend_from_slice(&MAGIC.to_le_bytes());
    out.push(0b1010_0000);
    crate::sealed::codec::put_u32(out, plain.len());
    let last = plain.len().div_ceil(RAW_BLOCK).max(1) - 1;
    let empty: [&[u8]; 1] = [&[]];
    let blocks = plain.chunks(RAW_BLOCK).chain(empty.into_iter().filter(|_| plain.is_empty()));
    for (rank, block) in blocks.enumerate() {
        let header = u32::from(rank == last) | u32::try_from(block.len()).unwrap_or(0) << 3;
        out.extend_from_slice(header.to_le_bytes().get(..3).unwrap_or_default());
        out.extend_from_slice(block);
    }
}

/// Appends a zstd skippable frame of `length` bytes in all (at least 8), which decompressors pass over.
pub fn skippable_frame(length: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&SKIPPABLE.to_le_bytes());
    let content = length.saturating_sub(8);
    crate::sealed::codec::put_u32(out, content);
    out.resize(out.len() + content, 0);
}

/// Unpacks frames into at most `limit` bytes.
///
/// # Errors
/// If they are not zstd, or unpack to more.
pub fn decompress(packed: &[u8], limit: usize, decompressor: &mut zstd::bulk::Decompressor<'static>) -> Result<Vec<u8>, String> {
    let mut plain = Vec::new();
    decompress_into(packed, limit, decompressor, &mut plain)?;
    Ok(plain)
}

/// Unpacks frames into a buffer, whose content is replaced.
///
/// # Errors
/// As [`decompress`].
pub fn decompress_into(
    packed: &[u8],
    limit: usize,
    decompressor: &mut zstd::bulk::Decompressor<'static>,
    plain: &mut Vec<u8>,
) -> Result<(), String> {
    let promised = zstd::zstd_safe::get_frame_content_size(packed).ok().flatten();
    let size = match promised {
        Some(size) if size <= limit as u64 => usize::try_from(size).unwrap_or(limit),
        Some(size) => return Err(format!("it would unpack to {size} bytes; {limit} are allowed")),
        None => limit,
    };
    plain.clear();
    plain.reserve(size);
    decompressor.decompress_to_buffer(packed, plain).map(drop).map_err(|error| format!("its zstd frame does not open ({error})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(plain: &[u8]) -> usize {
        let mut out = Vec::new();
        Compressor::new(3).unwrap().frame(plain, &mut out).unwrap();
        let size = out.len();
        skippable_frame(100, &mut out);
        let mut decompressor = zstd::bulk::Decompressor::new().unwrap();
        assert_eq!(decompress(&out, 16 << 20, &mut decompressor).unwrap(), plain);
        assert_eq!(zstd::stream::decode_all(out.as_slice()).unwrap(), plain, "stock decoders read it too");
        size
    }

    #[test]
    fn any_block_comes_back_and_noise_hardly_grows() {
        for length in [0, 1, 100, RAW_BLOCK, RAW_BLOCK + 1, 2 << 20] {
            let mut noise = vec![0; length];
            blake3::Hasher::new().finalize_xof().fill(&mut noise);
            assert!(round_trip(&noise) <= length + 80);
            round_trip(&vec![b'a'; length]);
        }
    }

    #[test]
    fn a_frame_that_promises_too_much_is_refused() {
        let packed = zstd::bulk::compress(&vec![0; 1 << 20], 3).unwrap();
        let mut decompressor = zstd::bulk::Decompressor::new().unwrap();
        assert!(decompress(&packed, 1000, &mut decompressor).is_err());
    }
}
