//! Commands whose output is saved, and devices.

use std::path::PathBuf;

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
    /// What becomes of the output.
    #[serde(default)]
    pub format: StreamFormat,
}

/// What becomes of a command's output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum StreamFormat {
    /// A file.
    #[default]
    File,
    /// It is an archive of `tar`, not compressed, and becomes a directory with its members.
    Tar,
}

/// A block device whose content is saved.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Device {
    /// The device, such as `/dev/vg0/vm-101-disk-0`. A logical volume is read from a snapshot if the job takes those.
    pub path: PathBuf,
}

fn zero() -> Vec<i32> {
    vec![0]
}
