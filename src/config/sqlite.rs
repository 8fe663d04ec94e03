//! SQLite databases, of which copies are saved.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// SQLite databases: each is saved at its own path as a consistent copy of one moment, and its log is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Sqlite {
    /// Paths or patterns of databases. They need not lie in one of the job's paths.
    pub databases: Vec<String>,
    /// Take every file in the job's paths that begins as a database does for one.
    pub discover: bool,
    /// What is done with each copy.
    pub integrity_check: IntegrityCheck,
}

/// How a copy of a database is checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum IntegrityCheck {
    /// `PRAGMA integrity_check`.
    #[default]
    Full,
    /// `PRAGMA quick_check`: faster, does not compare indexes with their tables.
    Quick,
    /// Not at all.
    Off,
}
