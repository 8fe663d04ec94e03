//! Reports on this machine: a file each, and not for ever.

use std::fs;
use std::io;
use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::model::report::Report;
use crate::model::span::Span;
use crate::store::durable;

/// How many reports of one name stay.
const MOST: usize = 400;
/// How long they do, in days.
const DAYS: u32 = 400;

/// Writes a report below the state, and removes those of its name that are too old or too many.
pub(super) fn keep(state: &Path, report: &Report, bytes: &[u8]) -> io::Result<()> {
    let folder = state.join("reports").join(format!("{}-{}", report.kind, report.job));
    durable::replace(&folder.join(format!("{}-{}.json", stamp(report.started), report.id)), bytes)?;
    clear(&folder, report.started)
}

/// A time as names of files have it, which sort by it.
fn stamp(time: Timestamp) -> String {
    time.strftime("%Y%m%dT%H%M%SZ").to_string()
}

fn clear(folder: &Path, now: Timestamp) -> io::Result<()> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        // One that another run is writing is called otherwise.
        names.extend(entry?.file_name().into_string().ok().filter(|name| name.ends_with(".json")));
    }
    names.sort_unstable();
    let oldest = stamp(Span::days(DAYS).before(now, &TimeZone::UTC));
    let surplus = names.len().saturating_sub(MOST);
    for (rank, name) in names.iter().enumerate() {
        if rank < surplus || name.as_str() < oldest.as_str() {
            fs::remove_file(folder.join(name))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::report::{Kind, Outcome};

    fn report(started: &str) -> Report {
        Report {
            version: 1,
            id: "0".repeat(32),
            program: "1".into(),
            host: "q".into(),
            kind: Kind::Backup,
            job: "state".into(),
            started: started.parse().unwrap(),
            ended: None,
            outcome: Outcome::Running,
            exit_status: None,
            error: None,
            repositories: Vec::new(),
            counts: Default::default(),
            warning_count: 0,
            warnings: Vec::new(),
            log: Vec::new(),
            next: None,
            next_by: None,
        }
    }

    #[test]
    fn reports_that_are_too_old_or_too_many_go_and_the_newest_stay() {
        let state = tempfile::tempdir().unwrap();
        let kept = |started: &str| keep(state.path(), &report(started), b"{}").unwrap();
        let names = || {
            let mut names: Vec<_> = fs::read_dir(state.path().join("reports/backup-state"))
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        kept("2025-01-01T00:00:00Z");
        kept("2026-01-01T00:00:00Z");
        assert_eq!(names().len(), 2, "365 days");
        kept("2026-06-01T00:00:00Z");
        assert_eq!(names()[0], format!("20260101T000000Z-{}.json", "0".repeat(32)));
        let first: Timestamp = "2026-06-01T00:00:00Z".parse().unwrap();
        for minute in 1..=MOST as i64 {
            kept(&(first + jiff::SignedDuration::from_mins(minute)).to_string());
        }
        assert_eq!((names().len(), names()[0].starts_with("20260601T0001")), (MOST, true));
    }
}
