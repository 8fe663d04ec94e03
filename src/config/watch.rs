//! What a hub tells people of by itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::span::TimeSpan;

/// Of what `hub watch` tells those whom the hub's `notify` names.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Watch {
    /// Only of these; of all if absent. Hosts with a `notify` of their own tell what failed by themselves, and cannot tell that they are silent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tell: Option<Vec<Cause>>,
    /// In which time a restore of each repository, and of each mirror of it, shall have been tried; nobody is told of it if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drill_within: Option<TimeSpan>,
}

/// Why somebody is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Cause {
    /// A run should have been reported by now and was not.
    Silent,
    /// The last run failed, also if it was a drill or the hub's own.
    Failing,
    /// Three runs in a row had warnings.
    Warnings,
    /// A snapshot shrank, grew or changed suspiciously.
    Suspicious,
    /// A SQLite database is damaged, as its own check says.
    Integrity,
    /// Housekeeping found something wrong in a repository.
    Upkeep,
    /// A mirror does not have what it should.
    Mirror,
    /// A repository was not read in full within the time that it should.
    Unverified,
    /// A restore was not tried within the time that it should.
    Untried,
    /// A quota is nearly used up.
    Quota,
    /// The hub's disk is nearly full.
    Disk,
}

impl Watch {
    /// Whether somebody is told because of this.
    pub fn tells(&self, cause: Cause) -> bool {
        self.tell.as_ref().is_none_or(|causes| causes.contains(&cause))
    }
}

/// Whether nothing is said of it.
pub(super) fn is_absent(watch: &Watch) -> bool {
    *watch == Watch::default()
}
