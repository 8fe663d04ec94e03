//! Deduplication: which chunks the repository has, and in which blocks.
//!
//! ```text
//!   fresh (this run, in memory) -> segments (sorted files, memory-mapped, newest first)
//!        chunk id prefix  ------------------------------------>  block ordinal -> table: index object, position
//! ```
//!
//! The index is a cache on the host: it can be deleted at any time and is rebuilt from the repository's index objects.
//! Nothing in it is held in memory but the fresh chunks and a dozen bytes a block, so 100 million chunks fit.

mod index;
mod mapping;
mod segment;
mod table;

pub use index::{ChunkIndex, Found};
pub use segment::Prefix;
pub use table::{BlockOrdinal, KnownIndex};
