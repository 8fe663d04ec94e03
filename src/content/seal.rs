//! Sealing: the one place with both plain and sealed bytes.
//!
//! What comes out is a plain age file (age-encryption.org/v1) that stock tools open. The `age` crate makes and opens
//! the header; the payload, a documented STREAM of 64 KiB pieces under ChaCha20-Poly1305, is done here with aws-lc,
//! which is about twice as fast (`docs/decisions.md`).

use std::collections::HashSet;
use std::io::Cursor;
use std::sync::Mutex;

use age::secrecy::ExposeSecret as _;
use age_core::format::{FileKey, Stanza};
use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use zeroize::Zeroizing;

use crate::content::compress::{self, Compressor};
use crate::content::{ContentError, block};
use crate::sealed::limits;

/// Plaintext bytes in a piece of the age payload.
const PIECE: usize = 64 << 10;
const TAG: usize = 16;
const FILE_NONCE: usize = 16;
/// Sealed blocks are padded to multiples of so many bytes, so that sizes tell little.
pub const PADDING: usize = 4 << 10;

/// As many as padding ever takes: up to one multiple, and one more if less than a frame's header is missing.
static ZEROS: [u8; 2 * PADDING] = [0; 2 * PADDING];

/// Notes the file key that the age crate draws, while the real recipient wraps it.
struct NotingRecipient<'a> {
    inner: &'a dyn age::Recipient,
    file_key: &'a Mutex<Option<Zeroizing<[u8; 16]>>>,
}

fn note(slot: &Mutex<Option<Zeroizing<[u8; 16]>>>, key: &FileKey) {
    *slot.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(Zeroizing::new(*key.expose_secret()));
}

fn taken(slot: &Mutex<Option<Zeroizing<[u8; 16]>>>) -> Option<Zeroizing<[u8; 16]>> {
    slot.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
}

impl age::Recipient for NotingRecipient<'_> {
    fn wrap_file_key(&self, key: &FileKey) -> Result<(Vec<Stanza>, HashSet<String>), age::EncryptError> {
        note(self.file_key, key);
        self.inner.wrap_file_key(key)
    }
}

/// Notes the file key that an identity unwraps.
struct NotingIdentity<'a> {
    inner: &'a dyn age::Identity,
    file_key: &'a Mutex<Option<Zeroizing<[u8; 16]>>>,
}

impl age::Identity for NotingIdentity<'_> {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, age::DecryptError>> {
        self.keep(self.inner.unwrap_stanza(stanza))
    }

    fn unwrap_stanzas(&self, stanzas: &[Stanza]) -> Option<Result<FileKey, age::DecryptError>> {
        self.keep(self.inner.unwrap_stanzas(stanzas))
    }
}

impl NotingIdentity<'_> {
    fn keep(&self, found: Option<Result<FileKey, age::DecryptError>>) -> Option<Result<FileKey, age::DecryptError>> {
        if let Some(Ok(key)) = &found {
            note(self.file_key, key);
        }
        found
    }
}

/// ChaCha20-Poly1305 in the STREAM construction as age uses it: nonce = 11-byte big-endian counter, then 1 on the
/// last piece.
struct Stream {
    key: LessSafeKey,
}

impl Stream {
    fn new(file_key: &[u8; 16], nonce: &[u8; FILE_NONCE]) -> Result<Self, ContentError> {
        let failed = |_| ContentError::Other("key derivation failed".into());
        let derived = Salt::new(HKDF_SHA256, nonce).extract(file_key);
        let okm = derived.expand(&[b"payload"], &CHACHA20_POLY1305).map_err(failed)?;
        Ok(Self { key: LessSafeKey::new(UnboundKey::from(okm)) })
    }

    fn nonce(counter: u64, last: bool) -> Nonce {
        let mut bytes = [0; 12];
        bytes[3..11].copy_from_slice(&counter.to_be_bytes());
        bytes[11] = u8::from(last);
        Nonce::assume_unique_for_key(bytes)
    }

    /// Starts a payload at the end of `out`.
    fn sealing<'a>(&'a self, out: &'a mut Vec<u8>) -> Sealing<'a> {
        Sealing { stream: self, piece: out.len(), counter: 0, out }
    }

    /// Opens a payload whole into an empty buffer; `None` if any byte was changed, moved or cut off.
    fn open(&self, sealed: &[u8], plain: &mut Vec<u8>) -> Option<()> {
        let pieces = sealed.len().div_ceil(PIECE + TAG).max(1);
        plain.reserve(sealed.len());
        for (counter, piece) in sealed.chunks(PIECE + TAG).enumerate() {
            let start = plain.len();
            let last = counter + 1 == pieces;
            // Only an empty file has an empty last piece (age specification, "Payload").
            if piece.len() < TAG || (last && piece.len() == TAG && counter > 0) {
                return None;
            }
            plain.extend_from_slice(piece);
            let opened = self.key.open_in_place(Self::nonce(counter as u64, last), Aad::empty(), plain.get_mut(start..)?).ok()?.len();
            plain.truncate(start + opened);
        }
        (!sealed.is_empty()).then_some(())
    }
}

/// A payload being written: bytes are copied once and sealed where they lie, a piece at a time, while the processor's
/// cache has them.
struct Sealing<'a> {
    stream: &'a Stream,
    out: &'a mut Vec<u8>,
    /// Where the piece begins that is not sealed yet.
    piece: usize,
    counter: u64,
}

impl Sealing<'_> {
    fn write(&mut self, mut plain: &[u8]) -> Result<(), ContentError> {
        while !plain.is_empty() {
            let room = PIECE - (self.out.len() - self.piece);
            if room == 0 {
                self.seal_piece(false)?;
                continue;
            }
            let (now, later) = plain.split_at(room.min(plain.len()));
            self.out.extend_from_slice(now);
            plain = later;
        }
        Ok(())
    }

    fn seal_piece(&mut self, last: bool) -> Result<(), ContentError> {
        let nonce = Stream::nonce(self.counter, last);
        let piece = self.out.get_mut(self.piece..).unwrap_or_default();
        let tag = self.stream.key.seal_in_place_separate_tag(nonce, Aad::empty(), piece);
        let tag = tag.map_err(|_| ContentError::Other("encryption failed".into()))?;
        self.out.extend_from_slice(tag.as_ref());
        self.piece = self.out.len();
        self.counter += 1;
        Ok(())
    }

    /// Seals the last piece.
    fn finish(mut self) -> Result<(), ContentError> {
        self.seal_piece(true)
    }
}

fn sealed_length(plain: usize) -> usize {
    plain + TAG * plain.div_ceil(PIECE).max(1)
}

/// Bytes of skippable frame to append to `plain` bytes so that the age file, whose header takes `header` bytes, has a
/// multiple of [`PADDING`].
fn padding(header: usize, plain: usize) -> usize {
    let mut padding = 0;
    loop {
        let over = (header + sealed_length(plain + padding)) % PADDING;
        if over == 0 && (padding == 0 || padding >= 8) {
            return padding;
        }
        padding += PADDING - over;
    }
}

/// Starts an age file: returns its header with the nonce, and the stream for its payload.
fn begin(recipients: &[&dyn age::Recipient]) -> Result<(Vec<u8>, Stream), ContentError> {
    let slot = Mutex::new(None);
    let noting: Vec<_> = recipients.iter().map(|inner| NotingRecipient { inner: *inner, file_key: &slot }).collect();
    let failed = |error: String| ContentError::Other(format!("cannot encrypt: {error}"));
    let encryptor = age::Encryptor::with_recipients(noting.iter().map(|recipient| recipient as &dyn age::Recipient))
        .map_err(|error| failed(error.to_string()))?;
    let mut header = Vec::with_capacity(512);
    drop(encryptor.wrap_output(&mut header).map_err(|error| failed(error.to_string()))?);
    let file_key = taken(&slot).ok_or_else(|| failed("no recipient".into()))?;
    let nonce = header.last_chunk::<FILE_NONCE>().ok_or_else(|| failed("short header".into()))?;
    let stream = Stream::new(&file_key, nonce)?;
    Ok((header, stream))
}

/// Seals bytes as they are.
///
/// # Errors
/// If a recipient cannot be used, such as a plugin that is not installed.
pub fn seal(plain: &[u8], recipients: &[&dyn age::Recipient]) -> Result<Vec<u8>, ContentError> {
    let (mut out, stream) = begin(recipients)?;
    out.reserve(sealed_length(plain.len()));
    let mut sealing = stream.sealing(&mut out);
    sealing.write(plain)?;
    sealing.finish()?;
    Ok(out)
}

/// Compresses and seals bytes.
///
/// # Errors
/// As [`seal`].
pub fn seal_compressed(plain: &[u8], recipients: &[&dyn age::Recipient]) -> Result<Vec<u8>, ContentError> {
    let mut compressor = Compressor::new(compress::DEFAULT_LEVEL)?;
    let frame = compressor.frame(plain)?;
    let (mut out, stream) = begin(recipients)?;
    out.reserve(sealed_length(frame.length()));
    let mut sealing = stream.sealing(&mut out);
    frame.write(&mut |bytes| sealing.write(bytes))?;
    sealing.finish()?;
    Ok(out)
}

/// Compresses, pads and seals blocks; one per thread.
pub struct BlockSealer {
    recipient: age::x25519::Recipient,
    compressor: Compressor,
}

impl BlockSealer {
    /// A sealer to the content key.
    ///
    /// # Errors
    /// If there is no memory for the compressor.
    pub fn new(recipient: age::x25519::Recipient, level: i32) -> Result<Self, ContentError> {
        Ok(Self { recipient, compressor: Compressor::new(level)? })
    }

    /// Writes the sealed bytes of a block with this plaintext into an empty buffer.
    ///
    /// # Errors
    /// If compression or encryption fails, which means out of memory.
    pub fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), ContentError> {
        let frame = self.compressor.frame(plain)?;
        let (header, stream) = begin(&[&self.recipient])?;
        let padding = padding(header.len(), frame.length());
        out.reserve(header.len() + sealed_length(frame.length() + padding));
        out.extend_from_slice(&header);
        let mut sealing = stream.sealing(out);
        frame.write(&mut |bytes| sealing.write(bytes))?;
        if let Some(zeros) = padding.checked_sub(8) {
            sealing.write(&compress::skippable_header(padding))?;
            sealing.write(ZEROS.get(..zeros).unwrap_or_default())?;
        }
        sealing.finish()
    }
}

/// Why sealed bytes did not open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenFailure {
    /// None of the identities is a recipient.
    NoIdentity,
    /// The bytes are not what was sealed.
    Damaged(String),
}

impl std::fmt::Display for OpenFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            OpenFailure::NoIdentity => f.write_str("the key at hand is not among its recipients"),
            OpenFailure::Damaged(why) => f.write_str(why),
        }
    }
}

/// Opens an age file.
///
/// # Errors
/// If no identity fits, or the bytes were changed.
pub fn open(sealed: &[u8], identities: &[&dyn age::Identity]) -> Result<Vec<u8>, OpenFailure> {
    let mut plain = Vec::new();
    open_into(sealed, identities, &mut plain)?;
    Ok(plain)
}

fn open_into(sealed: &[u8], identities: &[&dyn age::Identity], plain: &mut Vec<u8>) -> Result<(), OpenFailure> {
    let mut cursor = Cursor::new(sealed);
    let damaged = |why: String| OpenFailure::Damaged(why);
    let decryptor = age::Decryptor::new(&mut cursor).map_err(|error| damaged(format!("its age header does not parse ({error})")))?;
    let slot = Mutex::new(None);
    let noting: Vec<_> = identities.iter().map(|inner| NotingIdentity { inner: *inner, file_key: &slot }).collect();
    let opened = decryptor.decrypt(noting.iter().map(|identity| identity as &dyn age::Identity)).map(drop);
    opened.map_err(|error| match error {
        age::DecryptError::NoMatchingKeys => OpenFailure::NoIdentity,
        error => damaged(format!("its age header does not open ({error})")),
    })?;
    let start = usize::try_from(cursor.position()).unwrap_or(usize::MAX);
    let (header, payload) = sealed.split_at_checked(start).ok_or_else(|| damaged("it ends within its header".into()))?;
    let file_key = taken(&slot).ok_or(OpenFailure::NoIdentity)?;
    let nonce = header.last_chunk::<FILE_NONCE>().ok_or_else(|| damaged("it ends within its header".into()))?;
    let stream = Stream::new(&file_key, nonce).map_err(|error| damaged(error.to_string()))?;
    stream.open(payload, plain).ok_or_else(|| damaged("its encrypted bytes were changed or cut off".into()))
}

/// Opens and unpacks what [`seal_compressed`] made, up to as many bytes as `limit` says for so many packed ones.
///
/// # Errors
/// As [`open`], or if it unpacks to more.
pub fn open_compressed(sealed: &[u8], identities: &[&dyn age::Identity], limit: impl Fn(usize) -> usize) -> Result<Vec<u8>, OpenFailure> {
    let packed = open(sealed, identities)?;
    let limit = limit(packed.len());
    let mut decompressor = zstd::bulk::Decompressor::new().map_err(|error| OpenFailure::Damaged(error.to_string()))?;
    compress::decompress(&packed, limit, &mut decompressor).map_err(OpenFailure::Damaged)
}

/// An opened block: its plaintext and where the chunks lie in it.
pub struct OpenBlock {
    /// Header and chunks.
    pub plain: Vec<u8>,
    /// The chunks' places in `plain`.
    pub ranges: Vec<std::ops::Range<usize>>,
}

impl OpenBlock {
    /// The bytes of chunk `rank`.
    pub fn chunk(&self, rank: usize) -> Option<&[u8]> {
        self.plain.get(self.ranges.get(rank)?.clone())
    }
}

/// Opens blocks; one per thread.
pub struct BlockOpener {
    identities: Vec<age::x25519::Identity>,
    decompressor: zstd::bulk::Decompressor<'static>,
    packed: Vec<u8>,
    /// The memory of a block that is no longer needed.
    spare: Vec<u8>,
}

impl BlockOpener {
    /// An opener with the content key's generations.
    ///
    /// # Errors
    /// If there is no memory for the decompressor.
    pub fn new(identities: Vec<age::x25519::Identity>) -> Result<Self, ContentError> {
        let decompressor = zstd::bulk::Decompressor::new().map_err(|error| ContentError::Other(error.to_string()))?;
        Ok(Self { identities, decompressor, packed: Vec::new(), spare: Vec::new() })
    }

    /// Opens a sealed block.
    ///
    /// # Errors
    /// If the key does not fit or the bytes were changed.
    pub fn open(&mut self, sealed: &[u8]) -> Result<OpenBlock, OpenFailure> {
        let identities: Vec<&dyn age::Identity> = self.identities.iter().map(|identity| identity as &dyn age::Identity).collect();
        self.packed.clear();
        open_into(sealed, &identities, &mut self.packed)?;
        let mut plain = std::mem::take(&mut self.spare);
        compress::decompress_into(&self.packed, limits::BLOCK_PLAIN, &mut self.decompressor, &mut plain).map_err(OpenFailure::Damaged)?;
        let ranges = block::chunk_ranges(&plain).map_err(|why| OpenFailure::Damaged(why.to_string()))?;
        Ok(OpenBlock { plain, ranges })
    }

    /// Takes back the memory of a block that is no longer needed.
    pub fn recycle(&mut self, block: OpenBlock) {
        self.spare = block.plain;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};

    fn identity() -> age::x25519::Identity {
        age::x25519::Identity::generate()
    }

    fn bytes(length: usize) -> Vec<u8> {
        (0..length).map(|position| (position * 31 % 251) as u8).collect()
    }

    #[test]
    fn the_age_crate_opens_what_is_sealed_here_and_the_other_way_round() {
        let identity = identity();
        for length in [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE] {
            let plain = bytes(length);
            let sealed = seal(&plain, &[&identity.to_public()]).unwrap();
            let mut opened = Vec::new();
            let reader = age::Decryptor::new(sealed.as_slice()).unwrap();
            reader.decrypt(std::iter::once(&identity as _)).unwrap().read_to_end(&mut opened).unwrap();
            assert_eq!(opened, plain);

            let mut sealed = Vec::new();
            let recipient = identity.to_public();
            let encryptor = age::Encryptor::with_recipients(std::iter::once(&recipient as _)).unwrap();
            let mut writer = encryptor.wrap_output(&mut sealed).unwrap();
            writer.write_all(&plain).unwrap();
            writer.finish().unwrap();
            assert_eq!(open(&sealed, &[&identity]).unwrap(), plain);
        }
    }

    #[test]
    fn every_changed_or_missing_byte_is_noticed() {
        let identity = identity();
        let sealed = seal(&bytes(PIECE + 100), &[&identity.to_public()]).unwrap();
        for position in (0..sealed.len()).step_by(997) {
            let mut changed = sealed.clone();
            changed[position] ^= 1;
            assert!(open(&changed, &[&identity]).is_err(), "byte {position}");
            assert!(open(&sealed[..position], &[&identity]).is_err(), "cut at {position}");
        }
        assert_eq!(open(&sealed, &[&self::identity()]), Err(OpenFailure::NoIdentity));
    }

    #[test]
    fn sealed_blocks_have_padded_sizes_and_open() {
        let identity = identity();
        let mut sealer = BlockSealer::new(identity.to_public(), 3).unwrap();
        let mut opener = BlockOpener::new(vec![identity]).unwrap();
        for length in [0, 1, 5000, 70_000, 2 << 20] {
            let mut builder = block::BlockBuilder::default();
            builder.push(&bytes(length));
            builder.push(b"second");
            let mut sealed = Vec::new();
            sealer.seal(builder.finish().bytes(), &mut sealed).unwrap();
            assert_eq!(sealed.len() % PADDING, 0);
            let opened = opener.open(&sealed).unwrap();
            assert_eq!(opened.chunk(0).unwrap(), bytes(length));
            assert_eq!(opened.chunk(1).unwrap(), b"second");
        }
    }

    #[test]
    fn padding_always_ends_on_a_multiple() {
        for plain in 0..200_000 {
            let padding = padding(184, plain);
            assert_eq!((184 + sealed_length(plain + padding)) % PADDING, 0);
            assert!(padding == 0 || (8..8 + ZEROS.len()).contains(&padding));
        }
    }
}
