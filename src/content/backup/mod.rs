//! Backup: from paths to a committed snapshot.
//!
//! ```text
//!   walk + catalogue --tasks--> read (threads) --parts, in order--> assemble --blocks--> upload (threads) --> store
//!                                                                      |
//!                                     refs, snapshot, verify, commit <-+ root, statistics, new catalogue
//! ```
//!
//! Every arrow is a bounded queue, so memory does not grow with the data.

mod assemble;
mod catalogue;
mod estimate;
mod feed;
mod past;
mod publish;
mod read;
mod run;
pub mod state;
mod sync;
mod upload;

pub use publish::put_refs;
pub use run::{BackupOptions, Summary, backup, open_for_writer};

#[cfg(test)]
mod tests;
