//! What to read: the filesystem, its metadata, and later streams of databases and devices.
//!
//! Knows no keys and no format. May use `model`.

pub mod metadata;
