//! Backup: from paths to a committed snapshot.
//!
//! ```text
//!   walk + catalogues --tasks--> read (threads) --parts, in order--> assemble --blocks--> upload (threads) --> store
//!                                               for each destination    |
//!                                      refs, snapshot, verify, commit <-+ root, statistics, new catalogue
//! ```
//!
//! Every arrow is a bounded queue, so memory does not grow with the data. A run may have several destinations: each file is read
//! once, and cut and stored for each by itself.

mod assemble;
mod catalogue;
mod chorus;
mod chunk_store;
mod cut;
mod destination;
mod estimate;
mod feed;
mod late;
mod options;
mod part;
mod past;
mod prepare;
mod publish;
mod read;
mod read_database;
mod read_stream;
mod run;
mod shelf;
pub mod state;
mod suspicion;
mod sync;
mod upload;

pub use destination::Destination;
pub use options::{BackupOptions, Summary};
pub use prepare::open_for_writer;
pub use publish::put_refs;
pub use run::{backup, backup_to};

#[cfg(test)]
mod tests;
