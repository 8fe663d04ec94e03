//! Segments: immutable sorted files of chunk records.
//!
//! ```text
//!   "hbsegm01" | record*      record = prefix (20) | block ordinal u32 | chunk length u32, little-endian
//! ```

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::mapping::Mapping;
use super::table::BlockOrdinal;
use crate::model::id::ChunkId;

const MAGIC: &[u8; 8] = b"hbsegm01";
const RECORD: usize = 28;

/// The first 20 bytes of a chunk id: 160 bits, so that chance never makes two chunks look alike, at less space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix(pub [u8; 20]);

impl Prefix {
    /// The prefix of an id.
    pub fn of(id: &ChunkId) -> Self {
        let mut bytes = [0; 20];
        bytes.copy_from_slice(id.as_bytes().first_chunk::<20>().unwrap_or(&[0; 20]));
        Self(bytes)
    }

    fn rank(&self) -> u64 {
        self.0.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
    }
}

/// A chunk as a segment records it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) prefix: Prefix,
    pub(super) block: BlockOrdinal,
    pub(super) length: u32,
}

impl Record {
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (prefix, rest) = bytes.split_first_chunk::<20>()?;
        let (block, rest) = rest.split_first_chunk::<4>()?;
        let length = rest.first_chunk::<4>()?;
        Some(Self { prefix: Prefix(*prefix), block: BlockOrdinal(u32::from_le_bytes(*block)), length: u32::from_le_bytes(*length) })
    }

    fn encode(&self) -> [u8; RECORD] {
        let mut bytes = [0; RECORD];
        bytes[..20].copy_from_slice(&self.prefix.0);
        bytes[20..24].copy_from_slice(&self.block.0.to_le_bytes());
        bytes[24..].copy_from_slice(&self.length.to_le_bytes());
        bytes
    }
}

/// A sorted file of records.
pub(super) struct Segment {
    path: PathBuf,
    mapping: Mapping,
    count: usize,
}

impl Segment {
    /// Opens a segment; `None` if it is not one.
    pub(super) fn open(path: &Path) -> io::Result<Option<Self>> {
        let mapping = Mapping::open(path)?;
        let body = mapping.bytes().len().saturating_sub(MAGIC.len());
        if !mapping.bytes().starts_with(MAGIC) || !body.is_multiple_of(RECORD) {
            return Ok(None);
        }
        Ok(Some(Self { path: path.to_owned(), mapping, count: body / RECORD }))
    }

    /// Writes records that come sorted, and opens the result.
    pub(super) fn write(path: &Path, records: impl Iterator<Item = Record>) -> io::Result<Self> {
        let temporary = path.with_extension("tmp");
        let mut out = BufWriter::with_capacity(1 << 16, File::create(&temporary)?);
        out.write_all(MAGIC)?;
        for record in records {
            out.write_all(&record.encode())?;
        }
        out.into_inner().map_err(io::IntoInnerError::into_error)?;
        std::fs::rename(&temporary, path)?;
        Self::open(path)?.ok_or_else(|| io::Error::other("a segment was cut short while it was written"))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn get(&self, position: usize) -> Option<Record> {
        let start = MAGIC.len() + position * RECORD;
        self.mapping.bytes().get(start..start + RECORD).and_then(Record::decode)
    }

    /// The first position with a prefix not below `prefix`: two or three steps of interpolation, as prefixes are evenly
    /// spread, come within a few records of it; doubling steps and bisection find it wherever it is.
    pub(super) fn lower_bound(&self, prefix: &Prefix) -> usize {
        let below = |position: usize| self.get(position).is_some_and(|record| record.prefix < *prefix);
        let guess = self.interpolate(prefix);
        let (mut low, mut high);
        let mut step = 1;
        if below(guess) {
            low = guess + 1;
            while low + step < self.count && below(low + step) {
                low += step + 1;
                step *= 2;
            }
            high = self.count.min(low + step);
        } else {
            high = guess.min(self.count);
            while high > step && !below(high - step) {
                high -= step;
                step *= 2;
            }
            low = high.saturating_sub(step);
        }
        while low < high {
            let middle = low + (high - low) / 2;
            if below(middle) { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// A position near the first one with a prefix not below `prefix`.
    fn interpolate(&self, prefix: &Prefix) -> usize {
        let (wanted, count) = (prefix.rank(), self.count as u128);
        let expected = |values: u64| ((u128::from(values) * count) >> 64) as usize;
        let last = self.count.saturating_sub(1);
        let mut guess = expected(wanted).min(last);
        for _ in 0..2 {
            let Some(found) = self.get(guess).map(|record| record.prefix.rank()) else { break };
            let off = expected(found.abs_diff(wanted));
            if off < 4 {
                break;
            }
            guess = if found < wanted { (guess + off).min(last) } else { guess.saturating_sub(off) };
        }
        guess
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(number: u64) -> Prefix {
        let hash = blake3::hash(&number.to_le_bytes());
        Prefix(*hash.as_bytes().first_chunk().unwrap())
    }

    #[test]
    fn every_record_is_found_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        for count in [0, 1, 2, 9, 1000, 50_000] {
            let mut records: Vec<_> =
                (0..count).map(|number| Record { prefix: prefix(number), block: BlockOrdinal(number as u32), length: 7 }).collect();
            records.sort_by_key(|record| record.prefix);
            let segment = Segment::write(&dir.path().join(format!("s{count}")), records.iter().copied()).unwrap();
            assert_eq!(segment.len() as u64, count);
            for (position, record) in records.iter().enumerate() {
                assert_eq!(segment.lower_bound(&record.prefix), position);
                assert_eq!(segment.get(position), Some(*record));
            }
            for number in count..count + 100 {
                let wanted = prefix(number);
                let expected = records.partition_point(|record| record.prefix < wanted);
                assert_eq!(segment.lower_bound(&wanted), expected);
            }
        }
    }

    #[test]
    fn a_file_of_another_kind_is_not_a_segment() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, b"hbsegm01 cut").unwrap();
        assert!(Segment::open(&path).unwrap().is_none());
    }
}
