//! What to read: the layer between the machine and the backup engine.
//!
//! May use `model` only. It knows no keys, no repository format and no terminal.

pub mod archive;
pub mod command;
pub mod confined;
pub mod container;
pub mod database;
pub mod device;
pub mod exclude;
pub mod mapping;
pub mod metadata;
pub mod snapshot;
pub mod stream;
pub mod view;
pub mod walk;
