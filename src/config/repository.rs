//! Where backups go.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A repository that jobs name.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Repository {
    /// Where it lies: a directory, with `#hb1...` at the end to say which one it must be.
    pub url: String,
    /// The file with this host's writer key.
    pub writer_key: PathBuf,
}
