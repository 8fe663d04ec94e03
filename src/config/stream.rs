//! Commands whose output is saved.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::size::ByteSize;

/// A command whose standard output becomes a file of the snapshot.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct CommandStream {
    /// The program and its arguments; no shell is involved.
    pub command: Vec<String>,
    /// Exit statuses that mean success.
    #[serde(default = "zero")]
    pub success: Vec<i32>,
    /// Fewer bytes than this are a failure, such as `1 MiB`.
    #[serde(default)]
    pub minimum_size: ByteSize,
}

fn zero() -> Vec<i32> {
    vec![0]
}
