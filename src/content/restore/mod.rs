//! Restore: from a snapshot back to files.
