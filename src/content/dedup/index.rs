//! The chunk index: lookups over fresh chunks and segments, and what the current snapshot uses.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::merge::{Merge, mergeable};
use super::segment::{Prefix, Record, Segment};
use super::table::{BlockOrdinal, KnownIndex, Table};
use crate::content::ContentError;
use crate::model::id::{BlockId, ChunkId, IndexId, PackId, RepositoryId};
use crate::sealed::index::BlockList;
use crate::sealed::pack::Contents;
use crate::sealed::refs::{Bitmap, Refs};

/// Fresh chunks that are held in memory before they are written to a segment.
const FRESH: usize = 400_000;

/// A chunk that the repository has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// The block that holds it.
    pub block: BlockOrdinal,
    /// Its plaintext length in bytes.
    pub length: u32,
}

/// What is known of an ordinal.
#[derive(Debug, Clone, Copy, Default)]
struct Block {
    /// Bytes of chunks in it.
    plain: u32,
    /// Bytes of its chunks that the current snapshot uses.
    used: u32,
    /// Whether it can be relied on: there, whole, and not condemned.
    live: bool,
    /// Whether it could be, but what is used of it is stored again elsewhere.
    avoided: bool,
    /// Whether the current snapshot needs it.
    needed: bool,
}

/// Which chunks the repository has.
pub struct ChunkIndex {
    dir: PathBuf,
    repository: RepositoryId,
    indexes: Vec<KnownIndex>,
    blocks: Vec<Block>,
    segments: Vec<Segment>,
    /// Per segment and record: counted in `used` already.
    counted: Vec<Vec<u64>>,
    next_segment: u32,
    /// Segments from this number on are not in the table on disk.
    first_unsaved: u32,
    fresh: HashMap<Prefix, Found>,
    /// Ordinals from here on were made in this run.
    first_fresh: u32,
    /// Whether any block is avoided in this run.
    avoids: bool,
}

impl ChunkIndex {
    /// Opens the cache in `dir`, or starts an empty one if there is none or it is damaged.
    ///
    /// # Errors
    /// If the directory cannot be used.
    pub fn open(dir: &Path, repository: RepositoryId) -> Result<Self, ContentError> {
        fs::create_dir_all(dir).map_err(|error| ContentError::file("create", dir, error))?;
        let mut index = Self {
            dir: dir.to_owned(),
            repository,
            indexes: Vec::new(),
            blocks: Vec::new(),
            segments: Vec::new(),
            counted: Vec::new(),
            next_segment: 0,
            first_unsaved: 0,
            fresh: HashMap::new(),
            first_fresh: 0,
            avoids: false,
        };
        match Table::load(&index.table_path(), &repository) {
            Some(table) => index.adopt(table),
            None => drop(fs::remove_file(index.table_path())),
        }
        index.remove_strays();
        Ok(index)
    }

    fn table_path(&self) -> PathBuf {
        self.dir.join("table")
    }

    fn segment_path(&self, number: u32) -> PathBuf {
        self.dir.join(format!("segment-{number}"))
    }

    fn adopt(&mut self, table: Table) {
        let mut segments = Vec::new();
        for number in &table.segments {
            match Segment::open(&self.segment_path(*number)) {
                Ok(Some(segment)) => segments.push(segment),
                _ => return,
            }
        }
        self.blocks = vec![Block::default(); table.ordinals as usize];
        for (ordinal, plain) in table.indexes.iter().flat_map(|index| &index.blocks) {
            match self.blocks.get_mut(ordinal.0 as usize) {
                Some(block) => block.plain = *plain,
                None => {
                    self.blocks.clear();
                    return;
                }
            }
        }
        self.next_segment = table.segments.iter().max().map_or(0, |last| last + 1);
        self.first_unsaved = self.next_segment;
        self.counted = segments.iter().map(|segment| vec![0; segment.len().div_ceil(64)]).collect();
        self.segments = segments;
        self.indexes = table.indexes;
        self.first_fresh = table.ordinals;
    }

    /// Deletes files that the table does not name: leftovers of a run that was killed.
    fn remove_strays(&self) {
        let known: HashSet<PathBuf> = self.segments.iter().map(|segment| segment.path().to_owned()).chain([self.table_path()]).collect();
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            if !known.contains(&entry.path()) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// The index objects that the cache covers.
    pub fn known(&self) -> &[KnownIndex] {
        &self.indexes
    }

    /// Drops index objects for which `keep` says no.
    pub fn retain(&mut self, keep: impl Fn(&IndexId) -> bool) {
        self.indexes.retain(|index| keep(&index.id));
    }

    /// Adds an index object read from the repository: its list, and per block the chunks in it.
    ///
    /// # Errors
    /// If the cache cannot be written.
    pub fn learn(&mut self, id: IndexId, list: BlockList, chunks: &[Vec<(Prefix, u32)>]) -> Result<(), ContentError> {
        let mut blocks = Vec::with_capacity(chunks.len());
        for chunks in chunks {
            let ordinal = self.new_block();
            let plain = chunks.iter().map(|(_, length)| *length).fold(0, u32::saturating_add);
            self.set_plain(ordinal, plain);
            blocks.push((ordinal, plain));
            for (prefix, length) in chunks {
                self.fresh.insert(*prefix, Found { block: ordinal, length: *length });
            }
            self.spill_if_full()?;
        }
        self.indexes.push(KnownIndex { id, list, blocks });
        Ok(())
    }

    fn set_plain(&mut self, ordinal: BlockOrdinal, plain: u32) {
        if let Some(block) = self.blocks.get_mut(ordinal.0 as usize) {
            block.plain = plain;
        }
    }

    /// Ends the learning before a run: what was learnt counts as stored.
    ///
    /// # Errors
    /// If the cache cannot be written.
    pub fn begin_run(&mut self) -> Result<(), ContentError> {
        self.spill()?;
        self.first_fresh = u32::try_from(self.blocks.len()).unwrap_or(u32::MAX);
        for block in &mut self.blocks {
            block.used = 0;
            block.needed = false;
        }
        for counted in &mut self.counted {
            counted.fill(0);
        }
        Ok(())
    }

    /// Says which stored blocks can be relied on: those in packs that stay, and those that prune moved to such packs.
    pub fn set_live(&mut self, stays: impl Fn(&PackId, &Contents) -> bool, moved: &HashSet<BlockId>) {
        for block in &mut self.blocks {
            (block.live, block.avoided) = (false, false);
        }
        self.avoids = false;
        for index in &self.indexes {
            let mut ordinals = index.blocks.iter();
            for (pack, contents) in &index.list.packs {
                let stays = stays(pack, contents);
                for (entry, (ordinal, _)) in contents.blocks.iter().zip(ordinals.by_ref()) {
                    if let Some(block) = self.blocks.get_mut(ordinal.0 as usize) {
                        block.live = stays || moved.contains(&entry.id);
                    }
                }
            }
        }
    }

    /// Blocks that the current snapshot needs and that cannot be relied on.
    pub fn missing(&self) -> Vec<BlockId> {
        let mut missing = Vec::new();
        for index in &self.indexes {
            for ((_, _, _, entry), (ordinal, _)) in index.list.blocks().zip(&index.blocks) {
                if self.blocks.get(ordinal.0 as usize).is_some_and(|block| block.needed && !block.live) {
                    missing.push(entry.id);
                }
            }
        }
        missing
    }

    /// Makes lookups pass over these blocks, so that what the snapshot uses of them is stored again.
    pub fn avoid(&mut self, avoided: &HashSet<BlockId>) {
        if avoided.is_empty() {
            return;
        }
        for index in &self.indexes {
            for ((_, _, _, entry), (ordinal, _)) in index.list.blocks().zip(&index.blocks) {
                if avoided.contains(&entry.id)
                    && let Some(block) = self.blocks.get_mut(ordinal.0 as usize)
                {
                    (block.live, block.avoided) = (false, block.live);
                    self.avoids |= block.avoided;
                }
            }
        }
    }

    /// Whether the repository has a chunk only in blocks that are passed over, so that it is no new one.
    pub fn is_avoided(&self, prefix: &Prefix, length: u32) -> bool {
        // Nearly always there is nothing to look for, and this is asked of each chunk that is stored.
        if !self.avoids {
            return false;
        }
        let avoided = |block: BlockOrdinal| self.blocks.get(block.0 as usize).is_some_and(|block| block.avoided);
        self.find(prefix, length, avoided).is_some()
    }

    fn usable(&self, block: BlockOrdinal) -> bool {
        block.0 >= self.first_fresh || self.blocks.get(block.0 as usize).is_some_and(|block| block.live)
    }

    /// Looks a chunk up; a chunk of another length under the same prefix is not it.
    fn lookup(&self, prefix: &Prefix, length: u32) -> Option<(Found, Option<(usize, usize)>)> {
        if let Some(found) = self.fresh.get(prefix)
            && found.length == length
            && self.usable(found.block)
        {
            return Some((*found, None));
        }
        self.find(prefix, length, |block| self.usable(block))
    }

    /// Looks for a chunk among those that were spilled, in a block of a kind.
    fn find(&self, prefix: &Prefix, length: u32, is_meant: impl Fn(BlockOrdinal) -> bool) -> Option<(Found, Option<(usize, usize)>)> {
        for (rank, segment) in self.segments.iter().enumerate().rev() {
            let mut position = segment.lower_bound(prefix);
            while let Some(record) = segment.get(position).filter(|record| record.prefix == *prefix) {
                if record.length == length && is_meant(record.block) {
                    return Some((Found { block: record.block, length }, Some((rank, position))));
                }
                position += 1;
            }
        }
        None
    }

    /// Notes that the current snapshot uses all of these chunks, if the repository has them all; else notes nothing.
    pub fn use_all(&mut self, chunks: &[(Prefix, u32)]) -> bool {
        let found: Option<Vec<_>> = chunks.iter().map(|(prefix, length)| self.lookup(prefix, *length)).collect();
        let all = found.is_some();
        for (found, place) in found.into_iter().flatten() {
            self.note_use(found, place);
        }
        all
    }

    /// Looks a chunk up and notes that the current snapshot uses it.
    pub fn use_chunk(&mut self, prefix: &Prefix, length: u32) -> Option<Found> {
        let (found, place) = self.lookup(prefix, length)?;
        self.note_use(found, place);
        Some(found)
    }

    fn note_use(&mut self, found: Found, place: Option<(usize, usize)>) {
        let first_use = match place {
            Some((segment, position)) => {
                let word = self.counted.get_mut(segment).and_then(|words| words.get_mut(position / 64));
                word.is_some_and(|word| {
                    let bit = 1 << (position % 64);
                    let fresh = *word & bit == 0;
                    *word |= bit;
                    fresh
                })
            }
            None => false,
        };
        if let Some(block) = self.blocks.get_mut(found.block.0 as usize) {
            block.needed = true;
            if first_use && found.block.0 < self.first_fresh {
                block.used = block.used.saturating_add(found.length);
            }
        }
    }

    /// Numbers a block that is being built.
    pub fn new_block(&mut self) -> BlockOrdinal {
        let ordinal = BlockOrdinal(u32::try_from(self.blocks.len()).unwrap_or(u32::MAX));
        self.blocks.push(Block { live: true, ..Block::default() });
        ordinal
    }

    /// Notes a chunk that was put into a block of this run.
    ///
    /// # Errors
    /// If the cache cannot be written.
    pub fn insert(&mut self, id: &ChunkId, length: u32, block: BlockOrdinal) -> Result<(), ContentError> {
        self.fresh.insert(Prefix::of(id), Found { block, length });
        if let Some(known) = self.blocks.get_mut(block.0 as usize) {
            known.needed = true;
            known.used = known.used.saturating_add(length);
            known.plain = known.plain.saturating_add(length);
        }
        self.spill_if_full()
    }

    fn spill_if_full(&mut self) -> Result<(), ContentError> {
        if self.fresh.len() >= FRESH { self.spill() } else { Ok(()) }
    }

    /// Makes a segment of the fresh chunks and merges segments of similar size, so that there are few at any time: a chunk
    /// that is new is looked for in all of them. Blocks may be in the making, so nothing is left out.
    fn spill(&mut self) -> Result<(), ContentError> {
        self.write_fresh()?;
        self.merge_segments(|_| true)
    }

    /// Writes fresh chunks as a segment.
    fn write_fresh(&mut self) -> Result<(), ContentError> {
        if self.fresh.is_empty() {
            return Ok(());
        }
        let mut records: Vec<Record> =
            self.fresh.drain().map(|(prefix, found)| Record { prefix, block: found.block, length: found.length }).collect();
        records.sort_unstable_by_key(|record| record.prefix);
        self.add_segment(records.into_iter())
    }

    fn add_segment(&mut self, records: impl Iterator<Item = Record>) -> Result<(), ContentError> {
        let path = self.segment_path(self.next_segment);
        self.next_segment += 1;
        let segment = Segment::write(&path, records).map_err(|error| ContentError::file("write", &path, error))?;
        self.counted.push(vec![0; segment.len().div_ceil(64)]);
        self.segments.push(segment);
        Ok(())
    }

    /// Merges the newest segments while they are many. Records that no longer lead anywhere are left out.
    fn merge_segments(&mut self, keep: impl Fn(BlockOrdinal) -> bool) -> Result<(), ContentError> {
        let lengths: Vec<usize> = self.segments.iter().map(Segment::len).collect();
        let older = self.segments.len() - mergeable(&lengths);
        let (Some(parts), Some(counted)) = (self.segments.get(older..), self.counted.get(older..)) else { return Ok(()) };
        if parts.len() < 2 {
            return Ok(());
        }
        let path = self.segment_path(self.next_segment);
        let (mut bits, mut written) = (Vec::new(), 0_usize);
        let records = Merge::new(parts).filter(|(_, _, record)| keep(record.block)).map(|(rank, position, record)| {
            if written.is_multiple_of(64) {
                bits.push(0_u64);
            }
            let was = counted.get(rank).and_then(|words| words.get(position / 64)).is_some_and(|word| word >> (position % 64) & 1 == 1);
            if let Some(word) = bits.last_mut() {
                *word |= u64::from(was) << (written % 64);
            }
            written += 1;
            record
        });
        let segment = Segment::write(&path, records).map_err(|error| ContentError::file("write", &path, error))?;
        self.next_segment += 1;
        // Files that the table on disk names stay until the next one is written; all others would only fill the disk.
        for merged in self.segments.drain(older..).filter(|segment| segment_number(segment) >= Some(self.first_unsaved)) {
            let _ = fs::remove_file(merged.path());
        }
        self.counted.truncate(older);
        self.segments.push(segment);
        self.counted.push(bits);
        Ok(())
    }

    /// Per ordinal, whether a known index object lists its block.
    fn stored_blocks(&self) -> Vec<bool> {
        let mut stored = vec![false; self.blocks.len()];
        for (ordinal, _) in self.indexes.iter().flat_map(|index| &index.blocks) {
            if let Some(stored) = stored.get_mut(ordinal.0 as usize) {
                *stored = true;
            }
        }
        stored
    }

    /// The blocks that the current snapshot needs. Blocks of this run must have been registered by [`Self::stored`].
    pub fn refs(&self) -> Refs {
        let mut refs = Refs::default();
        for index in &self.indexes {
            let mut bitmap = Bitmap::new(index.blocks.len());
            for (position, (ordinal, _)) in index.blocks.iter().enumerate() {
                if self.blocks.get(ordinal.0 as usize).is_some_and(|block| block.needed) {
                    bitmap.insert(position);
                }
            }
            if !bitmap.is_empty() {
                refs.indexes.insert(index.id, bitmap);
            }
        }
        refs
    }

    /// Registers an index object written in this run: its list and the ordinals of its blocks by position.
    pub fn stored(&mut self, id: IndexId, list: BlockList, ordinals: &[BlockOrdinal]) {
        let plain = |ordinal: &BlockOrdinal| self.blocks.get(ordinal.0 as usize).map_or(0, |block| block.plain);
        let blocks = ordinals.iter().map(|ordinal| (*ordinal, plain(ordinal))).collect();
        self.indexes.push(KnownIndex { id, list, blocks });
    }

    /// Blocks of which the current snapshot uses less than half: the bytes it uses, sparsest first.
    pub fn sparse_blocks(&self) -> Vec<(BlockId, u32)> {
        let mut sparse = Vec::new();
        for index in &self.indexes {
            for ((_, _, _, entry), (ordinal, _)) in index.list.blocks().zip(&index.blocks) {
                if let Some(block) = self.blocks.get(ordinal.0 as usize)
                    && block.needed
                    && block.used < block.plain / 2
                {
                    sparse.push((f64::from(block.used) / f64::from(block.plain), entry.id, block.used));
                }
            }
        }
        sparse.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        sparse.into_iter().map(|(_, id, used)| (id, used)).collect()
    }

    /// Writes the cache for the next run. Chunks of blocks that were never stored are left out.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn save(&mut self) -> Result<(), ContentError> {
        let stored = self.stored_blocks();
        let is_stored = |block: BlockOrdinal| stored.get(block.0 as usize).is_some_and(|stored| *stored);
        self.fresh.retain(|_, found| is_stored(found.block));
        self.write_fresh()?;
        self.merge_segments(is_stored)?;
        let table = Table {
            ordinals: u32::try_from(self.blocks.len()).unwrap_or(u32::MAX),
            segments: self.segments.iter().filter_map(segment_number).collect(),
            indexes: std::mem::take(&mut self.indexes),
        };
        let saved = table.save(&self.table_path(), &self.repository);
        self.indexes = table.indexes;
        saved.map_err(|error| ContentError::file("write", self.table_path(), error))?;
        self.first_unsaved = self.next_segment;
        self.remove_strays();
        Ok(())
    }

    /// Every record, for tests and for whoever needs them all: prefix, block id, length.
    pub fn chunks(&self) -> usize {
        self.fresh.len() + self.segments.iter().map(Segment::len).sum::<usize>()
    }
}

fn segment_number(segment: &Segment) -> Option<u32> {
    segment.path().file_name()?.to_str()?.strip_prefix("segment-")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sealed::pack::{BlockEntry, Class};

    fn id(number: u32) -> ChunkId {
        ChunkId::from_bytes(*blake3::hash(&number.to_le_bytes()).as_bytes())
    }

    fn list(blocks: u32, seed: u8) -> BlockList {
        let blocks = (0..blocks).map(|number| BlockEntry { id: BlockId::of(&[seed, number as u8]), length: 9 }).collect();
        BlockList { packs: vec![(PackId::of(&[seed]), Contents { class: Class::Data, blocks })] }
    }

    fn filled(dir: &Path) -> ChunkIndex {
        let mut index = ChunkIndex::open(dir, RepositoryId::from_bytes([1; 32])).unwrap();
        index.begin_run().unwrap();
        let ordinals: Vec<_> = (0..3).map(|_| index.new_block()).collect();
        for number in 0..300 {
            index.insert(&id(number), 100, ordinals[(number % 3) as usize]).unwrap();
        }
        index.stored(IndexId::of(b"1"), list(3, 1), &ordinals);
        index.save().unwrap();
        index
    }

    #[test]
    fn chunks_of_earlier_runs_are_found_after_reopening() {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path());
        let mut index = ChunkIndex::open(dir.path(), RepositoryId::from_bytes([1; 32])).unwrap();
        index.begin_run().unwrap();
        index.set_live(|_, _| true, &HashSet::new());
        assert_eq!(index.use_chunk(&Prefix::of(&id(7)), 100).unwrap().block, BlockOrdinal(1));
        assert!(index.use_chunk(&Prefix::of(&id(7)), 99).is_none(), "another length is another chunk");
        assert!(index.use_chunk(&Prefix::of(&id(300)), 100).is_none());
        let refs = index.refs();
        assert_eq!(refs.indexes[&IndexId::of(b"1")].iter().collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn a_dead_block_is_passed_over_and_its_chunks_are_stored_anew() {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path());
        let mut index = ChunkIndex::open(dir.path(), RepositoryId::from_bytes([1; 32])).unwrap();
        index.begin_run().unwrap();
        index.set_live(|_, _| false, &[0, 2].map(|number| BlockId::of(&[1, number])).into());
        assert!(index.use_chunk(&Prefix::of(&id(7)), 100).is_none());
        assert!(index.use_chunk(&Prefix::of(&id(6)), 100).is_some());
        let block = index.new_block();
        index.insert(&id(7), 100, block).unwrap();
        index.stored(IndexId::of(b"2"), list(1, 2), &[block]);
        index.save().unwrap();
        let mut index = ChunkIndex::open(dir.path(), RepositoryId::from_bytes([1; 32])).unwrap();
        index.begin_run().unwrap();
        index.set_live(|_, _| true, &HashSet::new());
        assert_eq!(index.use_chunk(&Prefix::of(&id(7)), 100).unwrap().block, block, "the newer copy is preferred");
    }

    #[test]
    fn sparsely_used_blocks_are_named_sparsest_first_and_a_chunk_counts_once() {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path());
        let mut index = ChunkIndex::open(dir.path(), RepositoryId::from_bytes([1; 32])).unwrap();
        index.begin_run().unwrap();
        index.set_live(|_, _| true, &HashSet::new());
        for _ in 0..200 {
            index.use_chunk(&Prefix::of(&id(0)), 100);
        }
        (0..30).for_each(|number| assert!(index.use_chunk(&Prefix::of(&id(number * 3 + 1)), 100).is_some()));
        (0..90).for_each(|number| assert!(index.use_chunk(&Prefix::of(&id(number * 3 + 2)), 100).is_some()));
        assert_eq!(index.sparse_blocks(), [(BlockId::of(&[1, 0]), 100), (BlockId::of(&[1, 1]), 3000)]);
    }

    #[test]
    fn what_is_stored_again_only_to_leave_a_sparse_block_is_told_from_what_is_new() {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path());
        let mut index = ChunkIndex::open(dir.path(), RepositoryId::from_bytes([1; 32])).unwrap();
        index.begin_run().unwrap();
        index.set_live(|_, _| true, &HashSet::new());
        let there = Prefix::of(&id(0));
        assert!(index.use_chunk(&there, 100).is_some() && !index.is_avoided(&there, 100));
        index.avoid(&[BlockId::of(&[1, 0])].into());
        assert!(index.use_chunk(&there, 100).is_none() && index.is_avoided(&there, 100));
        assert!(!index.is_avoided(&there, 101) && !index.is_avoided(&Prefix::of(&id(5000)), 100), "these are new");
        index.set_live(|_, _| false, &HashSet::new());
        index.avoid(&[BlockId::of(&[1, 0])].into());
        assert!(!index.is_avoided(&there, 100), "what is lost has to be stored as if it was new");
    }

    #[test]
    fn a_damaged_cache_is_as_good_as_none() {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path());
        let table = dir.path().join("table");
        let mut bytes = fs::read(&table).unwrap();
        bytes[20] ^= 1;
        fs::write(&table, bytes).unwrap();
        let index = ChunkIndex::open(dir.path(), RepositoryId::from_bytes([1; 32])).unwrap();
        assert!(index.known().is_empty());
        assert_eq!(index.chunks(), 0);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn one_long_run_has_few_segments_throughout_and_still_counts_a_chunk_once() {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path());
        let mut index = ChunkIndex::open(dir.path(), RepositoryId::from_bytes([1; 32])).unwrap();
        index.begin_run().unwrap();
        index.set_live(|_, _| true, &HashSet::new());
        let use_old = |index: &mut ChunkIndex, numbers: std::ops::Range<u32>| {
            numbers.for_each(|number| assert!(index.use_chunk(&Prefix::of(&id(number)), 100).is_some()));
        };
        use_old(&mut index, 0..30);
        let block = index.new_block();
        for stretch in 0..100 {
            (0..10).for_each(|number| index.insert(&id(1000 + stretch * 10 + number), 5, block).unwrap());
            index.spill().unwrap();
            assert!(index.segments.len() <= 8, "{} segments", index.segments.len());
            // The saved segment and the table stay, should the run be killed.
            assert!(fs::read_dir(dir.path()).unwrap().count() <= index.segments.len() + 2);
            assert!(index.segment_path(0).exists());
        }
        use_old(&mut index, 0..60);
        assert!((1000..2000).all(|number| index.use_chunk(&Prefix::of(&id(number)), 5).is_some()));
        assert_eq!(index.sparse_blocks().iter().map(|(_, used)| *used).collect::<Vec<_>>(), [2000; 3]);
        index.stored(IndexId::of(b"2"), list(1, 2), &[block]);
        index.save().unwrap();
        assert_eq!(index.chunks(), 1300);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), index.segments.len() + 1, "merged segments are deleted");
    }

    #[test]
    fn many_small_runs_leave_few_segments() {
        let dir = tempfile::tempdir().unwrap();
        for run in 0..40_u32 {
            let mut index = ChunkIndex::open(dir.path(), RepositoryId::from_bytes([1; 32])).unwrap();
            index.begin_run().unwrap();
            let block = index.new_block();
            (0..10).for_each(|number| index.insert(&id(run * 10 + number), 5, block).unwrap());
            index.stored(IndexId::of(&run.to_le_bytes()), list(1, run as u8), &[block]);
            index.save().unwrap();
        }
        let mut index = ChunkIndex::open(dir.path(), RepositoryId::from_bytes([1; 32])).unwrap();
        assert!(index.segments.len() <= 8, "{} segments", index.segments.len());
        index.begin_run().unwrap();
        index.set_live(|_, _| true, &HashSet::new());
        assert!((0..400).all(|number| index.use_chunk(&Prefix::of(&id(number)), 5).is_some()));
    }
}
