//! Plain data shared by every layer: identities, archive entries, events. No I/O, no keys, no imports from other layers.

pub mod entry;
pub mod event;
pub mod id;
