//! Meaning: the only layer that holds keys and sees plaintext.
//!
//! ```text
//!   backup:   source -> chunker -> dedup -> block -> compress, seal -> sealed::pack
//!   restore:  sealed::locations -> open, decompress -> block -> restore::target
//! ```
//!
//! May import: `sealed`, `source`, `store`, `model`.

pub mod admin;
pub mod backup;
pub mod block;
pub mod browse;
pub mod buffers;
pub mod check;
pub mod chunk_list;
pub mod chunker;
pub mod compress;
pub mod dedup;
mod error;
#[cfg(test)]
mod fixture;
mod hashed_file;
pub mod keys;
pub mod payload;
pub mod restore;
pub mod seal;
pub mod secret;
pub mod tree;
pub mod vault;

pub use error::ContentError;
