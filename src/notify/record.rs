//! What was told already, so that nobody is told twice of one run, and whether the last run that was told of had failed.
//!
//! STATE/notified/NAME.json. Losing it does little harm: something is told once more.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How many tellings are remembered.
const REMEMBERED: usize = 64;
/// Largest file that is read.
const LARGEST: u64 = 64 << 10;
/// Most letters of a name.
const LONGEST_NAME: usize = 200;

/// The record of one subject.
pub(super) struct Record(PathBuf);

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Content {
    /// `RUN RECEIVER`, the newest last.
    told: Vec<String>,
    /// Since when runs failed that were told of.
    failing_since: Option<Timestamp>,
}

impl Record {
    /// The record of `name` below the state.
    pub(super) fn new(state: &Path, name: &str) -> Self {
        let fine = |letter: char| if letter.is_ascii_alphanumeric() || "-_.@".contains(letter) { letter } else { '_' };
        let name: String = name.chars().take(LONGEST_NAME).map(fine).collect();
        Self(state.join("notified").join(format!("{name}.json")))
    }

    /// Since when runs failed.
    pub(super) fn failing_since(&self) -> Option<Timestamp> {
        self.change(|content| content.failing_since).ok().flatten()
    }

    /// Remembers whether a run that was told of had failed.
    pub(super) fn ended(&self, failed: bool, at: Timestamp) {
        self.tolerate(self.change(|content| {
            content.failing_since = failed.then(|| content.failing_since.unwrap_or(at));
        }));
    }

    /// Whether a receiver was told of a run.
    pub(super) fn is_told(&self, run: &str, receiver: &str) -> bool {
        let word = format!("{run} {receiver}");
        // Better told twice than not at all.
        self.tolerate(self.change(|content| content.told.contains(&word))).unwrap_or(false)
    }

    /// A receiver was told of a run.
    pub(super) fn told(&self, run: &str, receiver: &str) {
        let word = format!("{run} {receiver}");
        self.tolerate(self.change(|content| {
            content.told.retain(|told| *told != word);
            content.told.push(word);
            let old = content.told.len().saturating_sub(REMEMBERED);
            content.told.drain(..old);
        }));
    }

    fn tolerate<T>(&self, result: io::Result<T>) -> Option<T> {
        result.inspect_err(|error| tracing::debug!("{}: {error}; somebody may be told twice", self.0.display())).ok()
    }

    /// Changes the file while nobody else does. What cannot be understood in it is forgotten.
    fn change<T>(&self, change: impl FnOnce(&mut Content) -> T) -> io::Result<T> {
        if let Some(folder) = self.0.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let mut file: File = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&self.0)?;
        file.lock()?;
        let mut bytes = Vec::new();
        (&mut file).take(LARGEST).read_to_end(&mut bytes)?;
        let mut content: Content = serde_json::from_slice(&bytes).unwrap_or_default();
        let result = change(&mut content);
        let written = serde_json::to_vec(&content)?;
        if written != bytes {
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(&written)?;
        }
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_told_of_which_run_is_remembered() {
        let state = tempfile::tempdir().unwrap();
        let record = || Record::new(state.path(), "job-state");
        assert!(!record().is_told("end 1", "ntfy"));
        record().told("end 1", "ntfy");
        assert!(record().is_told("end 1", "ntfy"));
        assert!(!record().is_told("end 1", "email") && !record().is_told("start 1", "ntfy"));
        assert!(!Record::new(state.path(), "job-other").is_told("end 1", "ntfy"));
    }

    #[test]
    fn not_all_is_remembered_for_ever() {
        let state = tempfile::tempdir().unwrap();
        let record = Record::new(state.path(), "job-state");
        (0..=REMEMBERED).for_each(|run| record.told(&run.to_string(), "ntfy"));
        assert!(!record.is_told("0", "ntfy") && record.is_told("1", "ntfy"));
    }

    #[test]
    fn since_when_it_fails_stays_until_it_works_again() {
        let state = tempfile::tempdir().unwrap();
        let record = Record::new(state.path(), "job-state");
        let at = |hour: i64| Timestamp::from_second(hour * 3600).unwrap();
        assert_eq!(record.failing_since(), None);
        record.ended(true, at(1));
        record.ended(true, at(2));
        assert_eq!(record.failing_since(), Some(at(1)));
        record.ended(false, at(3));
        assert_eq!(record.failing_since(), None);
    }

    #[test]
    fn a_record_that_is_broken_or_cannot_be_kept_keeps_nobody_from_being_told() {
        let state = tempfile::tempdir().unwrap();
        let record = Record::new(state.path(), "job/../state");
        record.told("1", "ntfy");
        std::fs::write(state.path().join("notified/job_.._state.json"), "{\"told\": 7").unwrap();
        assert!(!record.is_told("1", "ntfy"));
        record.told("1", "ntfy");
        assert!(record.is_told("1", "ntfy"));
        std::fs::write(state.path().join("file"), "").unwrap();
        let nowhere = Record::new(&state.path().join("file"), "x");
        nowhere.told("1", "ntfy");
        assert!(!nowhere.is_told("1", "ntfy"));
    }
}
