//! One zstd frame per block (RFC 8878), and frames that store what does not compress.

use zstd::zstd_safe::CParameter;

use crate::content::ContentError;

/// zstd's default; measured in `docs/decisions.md`.
pub const DEFAULT_LEVEL: i32 = 3;

/// Of the default level: tables of 256 and 64 KiB instead of 512 and 256, so that they stay in the processor's cache. Measured,
/// a fifth less time for 1% to 2% more bytes (`docs/decisions.md`).
const DEFAULT_HASH_LOG: u32 = 16;
const DEFAULT_CHAIN_LOG: u32 = 14;

const MAGIC: u32 = 0xFD2F_B528;
const SKIPPABLE: u32 = 0x184D_2A50;
/// zstd's largest block (RFC 8878, section 3.1.1.2.4), in bytes.
const RAW_BLOCK: usize = 128 << 10;
/// How the sample for the quick test is taken: so many bytes of every so many.
const SAMPLE: usize = 1 << 10;
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
        let new = |level| zstd::bulk::Compressor::new(level).map_err(failed);
        let mut context = new(level)?;
        if level == DEFAULT_LEVEL {
            context.set_parameter(CParameter::HashLog(DEFAULT_HASH_LOG)).map_err(failed)?;
            context.set_parameter(CParameter::ChainLog(DEFAULT_CHAIN_LOG)).map_err(failed)?;
        }
        Ok(Self { context, probe: new(1)?, sample: Vec::new(), scratch: Vec::new() })
    }

    /// Packs `plain` into one zstd frame.
    ///
    /// # Errors
    /// If zstd fails, which means out of memory.
    pub fn frame<'a>(&'a mut self, plain: &'a [u8]) -> Result<Frame<'a>, ContentError> {
        if plain.len() > 2 * STRIDE && self.looks_incompressible(plain)? {
            return Ok(Frame::Raw(plain));
        }
        self.scratch.clear();
        self.scratch.reserve(zstd::zstd_safe::compress_bound(plain.len()));
        self.context.compress_to_buffer(plain, &mut self.scratch).map_err(failed)?;
        Ok(if self.scratch.len() > plain.len() { Frame::Raw(plain) } else { Frame::Compressed(&self.scratch) })
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

/// A zstd frame that is ready to be written.
pub enum Frame<'a> {
    /// The whole frame.
    Compressed(&'a [u8]),
    /// What will be stored in raw blocks, as it does not compress; never copied before it is written.
    Raw(&'a [u8]),
}

impl Frame<'_> {
    /// Its length in bytes.
    pub fn length(&self) -> usize {
        match self {
            Frame::Compressed(bytes) => bytes.len(),
            Frame::Raw(plain) => RAW_HEADER + plain.len() + RAW_BLOCK_HEADER * plain.len().div_ceil(RAW_BLOCK).max(1),
        }
    }

    /// Gives its bytes to `put`, in order.
    ///
    /// # Errors
    /// Those of `put`.
    pub fn write<E>(&self, put: &mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        match self {
            Frame::Compressed(bytes) => put(bytes),
            Frame::Raw(plain) => write_raw(plain, put),
        }
    }
}

/// Magic, descriptor, content size.
const RAW_HEADER: usize = 4 + 1 + 4;
const RAW_BLOCK_HEADER: usize = 3;

/// A zstd frame of raw blocks: header with a single segment and a 4-byte content size, then the bytes.
fn write_raw<E>(plain: &[u8], put: &mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
    let mut header = Vec::with_capacity(RAW_HEADER);
    header.extend_from_slice(&MAGIC.to_le_bytes());
    header.push(0b1010_0000);
    crate::sealed::codec::put_u32(&mut header, plain.len());
    put(&header)?;
    let last = plain.len().div_ceil(RAW_BLOCK).max(1) - 1;
    let empty: [&[u8]; 1] = [&[]];
    let blocks = plain.chunks(RAW_BLOCK).chain(empty.into_iter().filter(|_| plain.is_empty()));
    for (rank, block) in blocks.enumerate() {
        let header = u32::from(rank == last) | u32::try_from(block.len()).unwrap_or(0) << 3;
        put(header.to_le_bytes().get(..RAW_BLOCK_HEADER).unwrap_or_default())?;
        put(block)?;
    }
    Ok(())
}

/// The first bytes of a zstd skippable frame of `length` bytes in all (at least 8); zeros follow. Decompressors pass over it.
pub fn skippable_header(length: usize) -> [u8; 8] {
    let mut header = [0; 8];
    let content = u32::try_from(length.saturating_sub(8)).unwrap_or(u32::MAX);
    for (place, byte) in header.iter_mut().zip(SKIPPABLE.to_le_bytes().into_iter().chain(content.to_le_bytes())) {
        *place = byte;
    }
    header
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
        let mut compressor = Compressor::new(3).unwrap();
        let frame = compressor.frame(plain).unwrap();
        let mut out = Vec::new();
        let size = frame.length();
        let mut put = |bytes: &[u8]| {
            out.extend_from_slice(bytes);
            Ok::<_, ()>(())
        };
        frame.write(&mut put).unwrap();
        assert_eq!(out.len(), size);
        out.extend_from_slice(&skippable_header(100));
        out.resize(size + 100, 0);
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
