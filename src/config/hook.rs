//! Commands around a job.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Commands that run before and after a job, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Hooks {
    /// Before anything is read. If one fails, nothing is saved.
    pub before: Vec<Hook>,
    /// After every repository has its snapshot.
    pub after_success: Vec<Hook>,
    /// After a repository, or the whole job, has failed.
    pub after_failure: Vec<Hook>,
    /// In the end, whatever happened, also after a signal.
    pub always: Vec<Hook>,
}

impl Hooks {
    /// Each list with the name of its key.
    pub fn all(&self) -> [(&'static str, &[Hook]); 4] {
        [("before", &self.before), ("afterSuccess", &self.after_success), ("afterFailure", &self.after_failure), ("always", &self.always)]
    }
}

/// A command and how long it may take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Hook {
    /// The program and its arguments; no shell is involved. `HEARTH_JOB` is in its environment, and after the job
    /// `HEARTH_RESULT`, `success` or `failure`.
    pub command: Vec<String>,
    /// After so many seconds it is ended, and has failed.
    #[serde(default = "hour")]
    pub timeout_seconds: u64,
}

fn hour() -> u64 {
    3600
}
