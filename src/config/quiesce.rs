//! What is stopped while a job copies, and starts again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::hook::Hook;

/// Services that are stopped and machines that are frozen while a job copies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Quiesce {
    /// systemd units that are stopped in this order and started in the reverse one. Those that do not run stay so.
    pub services: Vec<String>,
    /// Commands that make something hold still, such as `qm guest cmd 101 fsfreeze-freeze`.
    pub freeze: Vec<Hook>,
    /// Commands that let it go on. They run whenever one of `freeze` has begun.
    pub thaw: Vec<Hook>,
    /// How long stopping or starting one service or container may take.
    pub timeout_seconds: u64,
}

impl Default for Quiesce {
    fn default() -> Self {
        Self { services: Vec::new(), freeze: Vec::new(), thaw: Vec::new(), timeout_seconds: 120 }
    }
}

/// Volumes of containers that are saved.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Containers {
    /// Whose; the one that is there if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<ContainerEngine>,
    /// Names of volumes, or patterns of them with `*`, `?` and `[`. One that begins with `!` leaves out again.
    pub volumes: Vec<String>,
    /// Volumes with one of these labels, as `name` or `name=value`.
    pub labels: Vec<String>,
    /// What is done to running containers that use them.
    pub quiesce: ContainerQuiesce,
}

/// An engine that runs containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ContainerEngine {
    /// Docker.
    Docker,
    /// Podman, as the user of the job.
    Podman,
}

/// What is done to containers whose volumes are copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ContainerQuiesce {
    /// They go on.
    #[default]
    None,
    /// They are paused: nothing is written, but what they keep in memory is not saved.
    Pause,
    /// They are stopped and started again.
    Stop,
}
