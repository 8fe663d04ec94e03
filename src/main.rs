//! The `hearth-backup` program.

fn main() {}
