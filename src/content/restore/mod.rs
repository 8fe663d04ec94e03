//! Restore: from a snapshot back to files.

pub mod target;
