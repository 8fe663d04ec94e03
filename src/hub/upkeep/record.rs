//! What is written down of housekeeping, for whoever wants to know whether it works.
//!
//! ```text
//!   DATA/upkeep/REPOSITORY.json   Record: the last run of each step, and the last that was done
//! ```

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::keep::prune::Pruned;
use crate::model::id::{RepositoryId, StatementId};
use crate::store::durable;

/// Bytes of a record that are read.
const LONGEST: u64 = 4 << 20;

/// Where the records of a hub lie.
pub(super) fn folder(data: &Path) -> PathBuf {
    data.join("upkeep")
}

/// What is known of housekeeping in one repository.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// The repository that was there, and its newest statement: nothing older and no other one is kept house in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen: Option<Seen>,
    /// Snapshots that are no longer needed go.
    pub forget: Step<Forgotten>,
    /// Their space is given back.
    pub prune: Step<Freed>,
    /// A part of what is stored is read.
    pub verify: Step<Verified>,
    /// Copies elsewhere, by the names of the mirrors.
    pub mirrors: BTreeMap<String, Step<Copied>>,
}

/// Which repository, and how far its statements had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The repository.
    pub repository: RepositoryId,
    /// Number of the newest statement.
    pub number: u64,
    /// Its hash.
    pub statement: StatementId,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It never ran.
    #[default]
    Never,
    /// All is well.
    Good,
    /// It did its work, and something is not as it should be.
    Problems,
    /// It could not do its work.
    Failed,
    /// It was left out.
    Skipped,
}

/// The last run of a step, and what the last one did that could do its work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Step<T> {
    /// How the last run ended.
    pub outcome: Outcome,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// What is wrong, or why it was left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<String>,
    /// When a run last ended that could do its work, whatever it found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done_at: Option<Timestamp>,
    /// What it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done: Option<T>,
}

impl<T> Default for Step<T> {
    fn default() -> Self {
        Self { outcome: Outcome::Never, started: None, ended: None, messages: Vec::new(), done_at: None, done: None }
    }
}

/// What a forget did; counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Forgotten {
    /// Snapshots that count, afterwards.
    pub kept: u64,
    /// Snapshots that went.
    pub forgotten: u64,
    /// Groups of which nothing was forgotten, as something speaks against it.
    pub refused: u64,
    /// Snapshots whose writer's clock was off by more than an hour, of those that are there.
    pub skewed: u64,
}

/// What a prune did; bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Freed {
    /// Size of all packs afterwards.
    pub stored: u64,
    /// Given back.
    pub freed: u64,
    /// What later prunes give back, once the grace period is over.
    pub freed_later: u64,
}

impl Freed {
    /// That of a prune.
    pub fn of(pruned: &Pruned) -> Self {
        Self { stored: pruned.stored_after(), freed: pruned.outcome.bytes_deleted, freed_later: pruned.freed_later }
    }
}

/// What was read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Verified {
    /// Bytes of packs that were read this time.
    pub read: u64,
    /// Bytes of all packs.
    pub stored: u64,
    /// Objects with problems that matter.
    pub errors: u64,
    /// How far round the circle of packs the reading has come.
    pub turn: Turn,
}

/// Where reading goes on, and since when everything has been read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Turn {
    /// Where the next part begins: the first 64 bits of the ids of packs.
    pub next: u64,
    /// Parts that were read, oldest first: when, and which share of the circle, from 0 to 1. Only those of the last round.
    pub parts: Vec<(Timestamp, f64)>,
}

/// What a mirror was brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Copied {
    /// Snapshots that it got.
    pub snapshots: u64,
    /// Bytes that it got.
    pub bytes: u64,
    /// Snapshots that it could not get whole.
    pub failed: u64,
}

impl Turn {
    /// Since when everything that was there then has been read; none before the first round is through.
    pub fn whole_since(&self) -> Option<Timestamp> {
        let mut share = 0.0;
        for (when, part) in self.parts.iter().rev() {
            share += part;
            // Shares are rounded.
            if share >= 1.0 - 1e-9 {
                return Some(*when);
            }
        }
        None
    }

    /// How much of the circle has been read in this round, from 0 to 1.
    pub fn progress(&self) -> f64 {
        self.parts.iter().map(|(_, part)| part).sum::<f64>().min(1.0)
    }
}

impl Record {
    fn path(data: &Path, repository: &str) -> PathBuf {
        folder(data).join(format!("{repository}.json"))
    }

    /// What is written down of a repository; nothing if nothing is.
    ///
    /// # Errors
    /// If it cannot be read, or holds something else.
    pub fn read(data: &Path, repository: &str) -> io::Result<Self> {
        let path = Self::path(data, repository);
        let failed = |error: io::Error| io::Error::other(format!("{}: {error}", path.display()));
        match durable::read(&path, LONGEST).map_err(failed)? {
            Some(text) => serde_json::from_slice(&text).map_err(|error| failed(error.into())),
            None => Ok(Self::default()),
        }
    }

    /// Writes it down.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, data: &Path, repository: &str) -> io::Result<()> {
        let path = Self::path(data, repository);
        let failed = |error: io::Error| io::Error::other(format!("{}: {error}", path.display()));
        let text = serde_json::to_vec_pretty(self).map_err(|error| failed(error.into()))?;
        durable::replace(&path, &text).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: i64) -> Timestamp {
        Timestamp::from_second(day * 86_400).unwrap()
    }

    #[test]
    fn everything_was_read_since_the_part_began_that_closes_the_circle() {
        let parts = |shares: &[f64]| Turn { next: 0, parts: (0..).map(at).zip(shares.iter().copied()).collect() };
        assert_eq!(parts(&[]).whole_since(), None);
        assert_eq!(parts(&[0.5, 0.4]).whole_since(), None);
        assert_eq!(parts(&[0.5, 0.25, 0.5, 0.25]).whole_since(), Some(at(1)));
        assert_eq!(parts(&[0.1, 1.0]).whole_since(), Some(at(1)));
        assert!((parts(&[0.25, 0.5]).progress() - 0.75).abs() < 1e-9);
    }

    #[test]
    fn a_record_is_read_back_and_an_absent_one_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Record::read(folder.path(), "nas").unwrap(), Record::default());
        let mut record = Record::default();
        record.mirrors.insert("friend".into(), Step { outcome: Outcome::Good, done_at: Some(at(3)), ..Step::default() });
        record.verify.done = Some(Verified { turn: Turn { next: u64::MAX, parts: vec![(at(1), 0.5)] }, ..Verified::default() });
        record.write(folder.path(), "nas").unwrap();
        assert_eq!(Record::read(folder.path(), "nas").unwrap(), record);
        std::fs::write(Record::path(folder.path(), "nas"), "{").unwrap();
        assert!(Record::read(folder.path(), "nas").unwrap_err().to_string().contains("nas.json"));
    }
}
