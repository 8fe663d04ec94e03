//! Made-up chunks and blocks, the same in every run: ids are random numbers from a seed, as real ids are evenly spread too.
#![allow(dead_code, reason = "each benchmark uses some of it")]

use std::collections::HashSet;
use std::path::Path;

use hearth_backup::content::dedup::{ChunkIndex, Prefix};
use hearth_backup::model::id::{BlockId, IndexId, PackId, RepositoryId};
use hearth_backup::sealed::index::BlockList;
use hearth_backup::sealed::limits;
use hearth_backup::sealed::pack::{BlockEntry, Class, Contents};

/// Chunks in a block: 2 MiB of mean chunks.
pub const CHUNKS: u64 = 32;
/// Plaintext length of every chunk, in bytes.
pub const LENGTH: u32 = 64 << 10;
/// Blocks in a pack.
pub const PACK: usize = 32;

/// Random numbers from a seed (SplitMix64).
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// The next 32 bytes.
    pub fn id(&mut self) -> [u8; 32] {
        let mut id = [0; 32];
        id.chunks_exact_mut(8).for_each(|part| part.copy_from_slice(&self.number().to_le_bytes()));
        id
    }
}

/// The id that stands for chunk `number`.
pub fn chunk(number: u64) -> [u8; 32] {
    Random(number.wrapping_mul(0xd134_2543_de82_ef95)).id()
}

/// Its first 20 bytes, which the chunk index keeps.
pub fn prefix(number: u64) -> Prefix {
    Prefix(*chunk(number).first_chunk().unwrap())
}

/// A full list of one index object.
pub fn list(random: &mut Random) -> BlockList {
    let pack = |random: &mut Random| {
        let blocks = (0..PACK).map(|_| BlockEntry { id: BlockId::from_bytes(random.id()), length: 1 << 20 }).collect();
        (PackId::from_bytes(random.id()), Contents { class: Class::Data, blocks })
    };
    BlockList { packs: (0..limits::INDEX_BLOCKS / PACK).map(|_| pack(random)).collect() }
}

/// Opens a chunk index for lookups: all blocks can be relied on.
pub fn open(dir: &Path) -> ChunkIndex {
    let mut index = ChunkIndex::open(dir, RepositoryId::from_bytes([1; 32])).unwrap();
    index.begin_run().unwrap();
    index.set_live(|_, _| true, &HashSet::new());
    index
}

/// Fills a chunk index with chunks 0 to `count`, rounded up to full index objects, as when a host's cache is lost; how many
/// there are then.
pub fn learn(index: &mut ChunkIndex, count: u64) -> u64 {
    let mut random = Random(1);
    let mut next = 0;
    while next < count {
        let list = list(&mut random);
        let chunks: Vec<Vec<_>> =
            (0..list.len() as u64).map(|block| (0..CHUNKS).map(|rank| (prefix(next + block * CHUNKS + rank), LENGTH)).collect()).collect();
        next += chunks.len() as u64 * CHUNKS;
        index.learn(IndexId::from_bytes(random.id()), list, &chunks).unwrap();
    }
    index.begin_run().unwrap();
    next
}
