//! Copies of whole repositories in other places.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::notify::Notify;
use super::percent::Percent;
use super::retention::Retention;

/// A copy of a repository in another place, brought up to date by `mirror` without any key.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Mirror {
    /// The repository that is copied, by name.
    pub from: String,
    /// Where to, by name; an empty place becomes the same repository. It needs no `writerKey`.
    pub to: String,
    /// Which snapshots the mirror keeps of each host and job, whatever the original keeps; all it was ever brought if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
    /// Whether to give back space in the mirror afterwards, as the `prune` of its repository says.
    #[serde(default)]
    pub prune: bool,
    /// How much of what the mirror has is read back and hashed each time, others every day; 0 reads nothing.
    #[serde(default)]
    pub verify: Percent,
    /// Who is told what becomes of its runs, by `notify --mirror`, instead of those whom the configuration names for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<Notify>,
}
