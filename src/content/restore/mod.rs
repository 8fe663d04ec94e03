//! Restore: from a snapshot to files, and the comparison of the two.
//!
//! ```text
//!   TreeWalk --plan: directories, nodes, wants--> batch, sorted by block --> write (threads) --> Target
//!                                                                               |
//!   then: hard links, removals, metadata of directories (deepest first) <-------+
//! ```

mod compare;
mod image;
mod plan;
mod run;
pub mod target;
mod write;

pub use compare::{Difference, compare};
pub use image::restore_image;
pub use run::{RestoreOptions, RestoreSummary, restore};

#[cfg(test)]
mod tests;
