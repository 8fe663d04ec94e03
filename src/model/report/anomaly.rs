//! Snapshots that look as if something had happened to what they were made of.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What is suspicious about a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anomaly {
    /// In a word.
    pub kind: AnomalyKind,
    /// A sentence for people.
    pub text: String,
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// In which way a snapshot is suspicious.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnomalyKind {
    /// It has less than half of what the one before had.
    Shrunk,
    /// It has more than twice as much.
    Grown,
    /// Nearly all of it is new.
    Changed,
}

impl AnomalyKind {
    /// Every kind.
    pub const ALL: [AnomalyKind; 3] = [AnomalyKind::Shrunk, AnomalyKind::Grown, AnomalyKind::Changed];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            AnomalyKind::Shrunk => "shrunk",
            AnomalyKind::Grown => "grown",
            AnomalyKind::Changed => "changed",
        }
    }
}
