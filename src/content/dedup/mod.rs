//! Deduplication: which chunks the repository has, and in which blocks.
//!
//! ```text
//!   fresh (this run, in memory) -> segments (sorted files, memory-mapped, newest first)
//!        chunk id prefix  ------------------------------------>  block ordinal -> table: index object, position
//! ```
//!
//! The index is a cache on the host: it can be deleted at any time and is rebuilt from the repository's index objects.
//! Nothing in it is held in memory but the fresh chunks, a bit a chunk, and some 60 bytes a block of a dozen or more chunks.

mod index;
mod mapping;
mod merge;
mod segment;
mod table;

pub use index::{ChunkIndex, Found};
pub use segment::Prefix;
pub use table::{BlockOrdinal, KnownIndex};
