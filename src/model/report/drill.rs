//! What a drill found: a restore that was tried, how long it took, and what the tests said.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{ReportError, check_lengths, check_name, cut, cut_name, wrong};
use crate::model::human;
use crate::model::id::SnapshotId;

/// Most tests that are told one by one.
pub const TESTS: usize = 64;
/// Most bytes of what a test says.
pub const LONGEST_TEXT: usize = 1 << 10;

/// After so many restored bytes the speed says something of any amount.
const TELLING: u64 = 64 << 20;
/// Of less than that, it says something of as many times as much.
const TELLING_OF: u64 = 100;

/// What became of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TestOutcome {
    /// All is as it should be.
    Passed,
    /// Something is not, or the test could not be made.
    Failed,
    /// There was nothing to compare with: the text says why.
    Inconclusive,
}

impl TestOutcome {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            TestOutcome::Passed => "passed",
            TestOutcome::Failed => "failed",
            TestOutcome::Inconclusive => "inconclusive",
        }
    }
}

impl fmt::Display for TestOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One test of a drill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillTest {
    /// What was tested, such as `read back` or `postgresql app: rows`.
    pub name: String,
    /// What became of it.
    pub outcome: TestOutcome,
    /// What was found, in words.
    #[serde(default)]
    pub text: String,
}

/// What a drill found. Sizes in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillFigures {
    /// Which of the hub's mirrors the repository is, as the hub calls it; absent if it is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<String>,
    /// The snapshot that was restored; absent if none was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<SnapshotId>,
    /// When it was made, by its writer's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_time: Option<Timestamp>,
    /// Milliseconds that the restore took, of files and of databases, whose dumps are loaded, without the tests.
    #[serde(default)]
    pub restore_milliseconds: u64,
    /// Files that were restored; a database counts as the file of its dump, once, also if that was restored as a file and loaded too.
    #[serde(default)]
    pub files: u64,
    /// Their content.
    #[serde(default)]
    pub bytes: u64,
    /// What was restored in a second; absent if nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<u64>,
    /// Content of the newest snapshot of every host and job in the repository: what is to be restored when all is lost.
    #[serde(default)]
    pub recovery_bytes: u64,
    /// Seconds that this would take at that speed: an estimate. Absent if too little was restored to tell: less than a hundredth of it, and less
    /// than 64 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_seconds: Option<u64>,
    /// How many tests passed.
    #[serde(default)]
    pub tests_passed: u64,
    /// How many did not.
    #[serde(default)]
    pub tests_failed: u64,
    /// The tests, in the order in which they were made; if there were more than fit, those that failed.
    #[serde(default)]
    pub tests: Vec<DrillTest>,
}

impl DrillFigures {
    /// Notes a test.
    pub fn test(&mut self, name: impl Into<String>, outcome: TestOutcome, text: impl Into<String>) {
        match outcome {
            TestOutcome::Passed => self.tests_passed += 1,
            TestOutcome::Failed => self.tests_failed += 1,
            TestOutcome::Inconclusive => {}
        }
        self.tests.push(DrillTest { name: name.into(), outcome, text: text.into() });
    }

    /// Adds a restore to those that were measured, and estimates anew how long all of it would take.
    pub fn restored(&mut self, files: u64, bytes: u64, took: std::time::Duration) {
        self.files += files;
        self.bytes += bytes;
        self.restore_milliseconds = self.restore_milliseconds.saturating_add(took.as_millis().try_into().unwrap_or(u64::MAX));
        let per_second = u128::from(self.bytes) * 1000 / u128::from(self.restore_milliseconds.max(1));
        self.bytes_per_second = u64::try_from(per_second).ok().filter(|speed| *speed > 0);
        let enough = self.bytes >= TELLING.min(self.recovery_bytes.div_ceil(TELLING_OF));
        self.recovery_seconds = self.bytes_per_second.filter(|_| enough).map(|speed| self.recovery_bytes.div_ceil(speed));
    }

    /// Why there is no estimate, if something was restored and there is none: what little takes is mostly spent on beginning.
    pub fn no_recovery_time(&self) -> Option<String> {
        (self.bytes > 0 && self.recovery_seconds.is_none()).then(|| {
            let (restored, all) = (human::size(self.bytes), human::size(self.recovery_bytes));
            format!("too little was restored to tell: {restored} of {all}; restore 1%, or 64 MiB, with `amount`")
        })
    }

    /// Whether they keep all bounds.
    pub(super) fn check(&self) -> Result<(), ReportError> {
        if self.tests.len() > TESTS {
            return wrong(format!("it has {} tests, and may have {TESTS}", self.tests.len()));
        }
        self.mirror.iter().try_for_each(|mirror| check_name("mirror", mirror))?;
        self.tests.iter().try_for_each(|test| check_name("test", &test.name))?;
        check_lengths("test's text", self.tests.iter().map(|test| &test.text), LONGEST_TEXT)
    }

    /// Cuts what exceeds a bound. Tests that failed stay before others.
    pub(super) fn bound(&mut self) {
        for wanted in [TestOutcome::Passed, TestOutcome::Inconclusive] {
            while self.tests.len() > TESTS
                && let Some(place) = self.tests.iter().rposition(|test| test.outcome == wanted)
            {
                self.tests.remove(place);
            }
        }
        self.tests.truncate(TESTS);
        self.mirror.iter_mut().for_each(cut_name);
        for test in &mut self.tests {
            cut_name(&mut test.name);
            cut(&mut test.text, LONGEST_TEXT);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn speed_and_recovery_follow_from_what_was_measured() {
        let mut figures = DrillFigures { recovery_bytes: 1_000_000, ..DrillFigures::default() };
        figures.restored(2, 100_000, Duration::from_millis(500));
        assert_eq!((figures.bytes_per_second, figures.recovery_seconds), (Some(200_000), Some(5)));
        figures.restored(1, 100_000, Duration::from_millis(1500));
        assert_eq!((figures.files, figures.bytes_per_second, figures.recovery_seconds), (3, Some(100_000), Some(10)));
    }

    #[test]
    fn a_dump_that_is_restored_as_a_file_and_loaded_counts_once_with_the_time_of_both() {
        let mib = 1 << 20;
        let mut figures = DrillFigures { recovery_bytes: 184 * mib, ..DrillFigures::default() };
        figures.restored(6, 184 * mib, Duration::from_secs(2));
        figures.restored(0, 0, Duration::from_secs(6));
        assert_eq!((figures.files, figures.bytes, figures.restore_milliseconds), (6, 184 * mib, 8000));
        assert_eq!((figures.bytes_per_second, figures.recovery_seconds), (Some(23 * mib), Some(8)));
    }

    #[test]
    fn what_little_takes_tells_nothing_of_much() {
        let took = |bytes, recovery_bytes| {
            let mut figures = DrillFigures { recovery_bytes, ..DrillFigures::default() };
            figures.restored(1, bytes, Duration::from_millis(20));
            (figures.recovery_seconds.is_some(), figures.no_recovery_time())
        };
        let (told, why) = took(4, 10_276_044);
        assert!(!told && why.as_ref().is_some_and(|why| why.contains("4 B of 9.8 MiB")), "{why:?}");
        for (bytes, all, is_told) in [
            (102_760, 10_276_044, false),
            (102_761, 10_276_044, true),
            (64 << 20, 1 << 50, true),
            ((64 << 20) - 1, 1 << 50, false),
            (5, 5, true),
        ] {
            assert_eq!((is_told, took(bytes, all).1.is_none()), (took(bytes, all).0, is_told), "{bytes} of {all}");
        }
        assert_eq!(DrillFigures::default().no_recovery_time(), None, "nothing was measured");
    }

    #[test]
    fn a_restore_of_nothing_tells_no_speed() {
        let mut figures = DrillFigures { recovery_bytes: 5, ..DrillFigures::default() };
        figures.restored(0, 0, Duration::ZERO);
        assert_eq!((figures.bytes_per_second, figures.recovery_seconds), (None, None));
        figures.restored(1, u64::MAX - 5, Duration::MAX);
        assert_eq!(figures.restore_milliseconds, u64::MAX);
    }

    #[test]
    fn of_too_many_tests_those_that_failed_stay() {
        let mut figures = DrillFigures { mirror: Some("cloud\n".repeat(20)), ..DrillFigures::default() };
        for number in 0..100 {
            let outcome = if number % 10 == 9 { TestOutcome::Failed } else { TestOutcome::Passed };
            figures.test(format!("test {number}\n{}", "x".repeat(100)), outcome, "y".repeat(5000));
        }
        assert!(figures.check().is_err());
        figures.bound();
        figures.check().unwrap();
        assert!(figures.mirror.as_ref().is_some_and(|name| name.starts_with("cloudcloud")));
        assert!(DrillFigures { mirror: Some("a\nb".into()), ..DrillFigures::default() }.check().is_err());
        let failed = figures.tests.iter().filter(|test| test.outcome == TestOutcome::Failed).count();
        assert_eq!((figures.tests.len(), failed, figures.tests_failed, figures.tests_passed), (TESTS, 10, 10, 90));
    }
}
