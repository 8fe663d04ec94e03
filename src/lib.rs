//! `hearth-backup`: deduplicating, encrypting backups that their keeper can maintain without a key.
//!
//! Layers, top to bottom; an arrow means "may use". Nothing points upwards; `tests/architecture.rs` enforces it.
//!
//! ```text
//!   cli                       commands, progress, output for people and --json
//!    |    \
//!   drill  \                  restores that are tried and tested; it stands on job
//!    |      \
//!    |     hub                 the server that receives, keeps and hands out
//!    |     agent               has systemd run what a hub asks for; it stands on store
//!    |    /   |
//!    |   /   keep              forget, prune, check, mirror: what whoever stores backups does, without a key
//!    |  /   /   |
//!   report                    the report that a run ends in, and what is made of it: metrics, the host's status
//!    |   \
//!    |    history              how a job fares, by the reports of its runs; the hub uses it too
//!    |    notify               telling people what becomes of runs; it knows them from history
//!    |
//!   job       config          what a host's configuration says shall be saved, and doing it
//!    |
//!   content (keys)            chunks, trees, backup, restore: the only layer that sees plaintext
//!    |        \
//!    |       source           what to read: filesystem walk, patterns, metadata, streams
//!    |
//!   sealed (no keys)          blocks, packs, index lists, refs, signatures, prune, verify
//!    |
//!   store                     named opaque objects: directories, buckets, SFTP, hubs, memory
//!
//!   model, retention          plain data and pure functions; used by every layer, using none
//! ```

#![deny(unsafe_code)]

pub mod agent;
pub mod cli;
pub mod config;
pub mod content;
pub mod drill;
pub mod history;
pub mod hub;
pub mod job;
pub mod keep;
pub mod model;
pub mod notify;
pub mod report;
pub mod retention;
pub mod sealed;
pub mod source;
pub mod store;
