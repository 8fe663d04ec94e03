//! How long snapshots stay.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::span::TimeSpan;

/// Which snapshots of a job stay when house is kept: each period that holds any keeps its first and its last one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Retention {
    /// The newest, at most one an hour counted.
    pub last: u32,
    /// The newest so many hours that hold snapshots.
    pub hourly: u32,
    /// Days.
    pub daily: u32,
    /// Weeks.
    pub weekly: u32,
    /// Months.
    pub monthly: u32,
    /// Years.
    pub yearly: u32,
    /// Everything so long before the newest snapshot, such as `30d` or `1y6m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within: Option<TimeSpan>,
}

impl Retention {
    /// Whether it would keep nothing.
    pub fn is_empty(&self) -> bool {
        let counts = [self.last, self.hourly, self.daily, self.weekly, self.monthly, self.yearly];
        counts.iter().all(|count| *count == 0) && self.within.is_none_or(|span| span.0.is_zero())
    }
}
