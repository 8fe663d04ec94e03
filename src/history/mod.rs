//! Histories: from the reports of a job to how it fares. A hub does it with what hosts bring, a host with what it keeps of its own runs.
//!
//! ```text
//!   reports --> History (newest first) --> JobStatus: state, last success, due, failures in a row, trend --> pages, tables
//!                                              |--> copies: the rule of 3-2-1                              |--> metrics
//! ```
//!
//! May import `store`, for files on a host, and `model`. Nothing here decides what is done about it.

pub mod copies;
pub mod host;
pub mod job;
pub mod metrics;
mod page;
mod status;
pub mod warning;

use std::sync::Arc;

use jiff::Timestamp;

pub use self::copies::{Copies, CopyPlace, CopyStatus};
pub use self::page::Page;
pub use self::status::{JobRepository, JobStatus, Point, Run, State};
pub use self::warning::{Severity, Warning};
use crate::model::report::{INTEGRITY_FAILURES, Outcome, PROBLEMS, Report, SQLITE_COPIES};

/// Runs of a job that its history has at least, if there are so many.
pub const RUNS: usize = 30;
/// Letters of a warning that are kept in memory.
const WARNING: usize = 200;

/// A report as it is kept in memory: without its log, phases, all warnings but the first, most counts and the tests of a drill.
#[derive(Debug, Clone)]
pub struct Entry {
    /// When it came; on the host itself when the run ended.
    pub received: Timestamp,
    /// The repository at a hub through which it came; empty on the host itself.
    pub repository: String,
    /// What the host says.
    pub report: Report,
}

impl Entry {
    /// Keeps of a report what histories need.
    pub fn new(received: Timestamp, repository: String, mut report: Report) -> Self {
        (report.log, report.phases, report.warnings_by_source) = (Vec::new(), Vec::new(), Vec::new());
        report.warnings.truncate(1);
        report.warnings.iter_mut().for_each(|warning| *warning = warning.chars().take(WARNING).collect());
        report.counts.retain(|name, _| [SQLITE_COPIES, INTEGRITY_FAILURES, PROBLEMS].contains(&name.as_str()));
        if let Some(drill) = &mut report.drill {
            drill.tests.clear();
        }
        Self { received, repository, report }
    }
}

/// What is known of a job: its newest runs first, and as many older ones as it takes to find the last success in each repository.
#[derive(Debug, Clone)]
pub struct History {
    /// The host, as the token that it comes with is called; on the host itself its own name.
    pub host: String,
    /// Its runs.
    pub runs: Vec<Arc<Entry>>,
}

/// Of runs, the newest first, as many as are needed.
pub fn enough(entries: impl Iterator<Item = Arc<Entry>>) -> Vec<Arc<Entry>> {
    let mut runs: Vec<Arc<Entry>> = Vec::new();
    // Repositories whose last success is not found yet.
    let mut sought: Option<Vec<String>> = None;
    let mut done = false;
    for entry in entries {
        let there = &entry.report.repositories;
        if entry.report.outcome != Outcome::Running && !there.is_empty() {
            let sought = sought.get_or_insert_with(|| there.iter().map(|run| run.name.clone()).collect());
            sought.retain(|name| !there.iter().any(|run| run.name == *name && run.outcome.is_success()));
        }
        done |= was_done(&entry.report);
        runs.push(entry);
        if runs.len() >= RUNS && done && sought.as_ref().is_none_or(Vec::is_empty) {
            break;
        }
    }
    runs
}

/// Whether a run says of itself that it was done, was in a repository if it was to save something, and found nothing damaged.
pub fn was_done(report: &Report) -> bool {
    let somewhere = report.repositories.is_empty() || report.repositories.iter().any(|run| run.outcome.is_success());
    report.outcome.is_success() && somewhere && report.problems() == 0
}

#[cfg(test)]
pub(crate) mod tests;
