//! The vault without keys: everything that whoever keeps the backups can read, verify, prune and mirror.
//!
//! ```text
//!   snapshots/ --refs id--> refs/ --index id, bitmap--> index/ --pack id--> packs/
//!       |                                                                    ^
//!   repo/ (who may sign)                              maps/ (moved blocks) --+
//! ```
//!
//! May import: `store`, `model`. Never a key, never plaintext; byte layouts are specified in `docs/format.md`.

pub mod codec;
pub mod envelope;
mod error;
#[cfg(test)]
pub(crate) mod fixture;
pub mod forget;
pub mod gc;
pub mod index;
pub mod lag;
pub mod locations;
pub mod marks;
pub mod mirror;
pub mod needs;
pub mod pack;
pub mod presence;
pub mod received;
pub mod refs;
pub mod relocate;
pub(crate) mod removal;
pub mod repair;
pub mod repository;
pub mod run_id;
pub mod signature;
pub mod snapshots;
pub mod statement;
pub mod verify;

pub use error::SealedError;

/// Bounds from which parsers allocate (`docs/format.md`, section "Limits"). All in bytes unless named otherwise.
pub mod limits {
    /// Plaintext of a chunk.
    pub const CHUNK: usize = 8 << 20;
    /// Plaintext of a block, its header included.
    pub const BLOCK_PLAIN: usize = 16 << 20;
    /// A sealed block: plaintext that did not compress, padding, age header and tags.
    pub const BLOCK_SEALED: usize = (16 << 20) + (1 << 18);
    /// A pack.
    pub const PACK: u64 = 1 << 30;
    /// An index object.
    pub const INDEX: u64 = 64 << 20;
    /// Blocks in one index object, a count.
    pub const INDEX_BLOCKS: usize = 4096;
    /// Clear part of a snapshot or checkpoint.
    pub const ENVELOPE: usize = 64 << 10;
    /// Sealed payload of a snapshot, a statement, a mark.
    pub const PAYLOAD: u64 = 1 << 20;
    /// A refs object, and what it may unpack to.
    pub const REFS: u64 = 64 << 20;
    /// A condemned or map object.
    pub const LIST: u64 = 64 << 20;
    /// Snapshots in a repository, a count.
    pub const SNAPSHOTS: usize = 100_000;
    /// Statements in a repository, a count.
    pub const STATEMENTS: usize = 100_000;
}
