//! How results look: for people here, for machines as JSON through [`super::context::Context::document`].

pub mod entry;
pub mod table;
pub mod text;
