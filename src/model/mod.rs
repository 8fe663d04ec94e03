//! Plain data shared by every layer: identities, archive entries, events, units. No I/O, no keys, no imports from other layers.

pub mod entry;
pub mod event;
pub mod human;
pub mod id;
pub mod pace;
pub mod rate;
pub mod shell;
pub mod size;
pub mod span;
