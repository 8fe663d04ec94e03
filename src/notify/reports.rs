//! What is kept of runs on this machine: the report of one, and how things were before it.

use std::io;
use std::path::Path;

use jiff::Timestamp;

use crate::history::host::Reports;
use crate::model::report::{Kind, Outcome, Report};

/// How many of a name's newest reports are looked at for one run: others may have begun meanwhile.
const NEWEST: usize = 8;
/// How many earlier reports are looked at for how things were before.
const BEFORE: usize = 60;
/// Most names whose reports are looked at.
const NAMES: usize = 1000;

/// Which run's report is wanted.
pub(super) struct Wanted<'a> {
    /// What its kind of run is called in reports.
    pub names: Vec<(Kind, String)>,
    /// The run, as systemd names it.
    pub invocation: Option<&'a str>,
    /// It did not begin before.
    pub since: Option<Timestamp>,
}

/// How things were before a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Before {
    /// How many runs without a break had failed.
    pub failures: usize,
    /// When the first of them had begun.
    pub failing_since: Option<Timestamp>,
    /// When the last one that was good had ended.
    pub last_good: Option<Timestamp>,
}

/// The report of a run, and how things were before it.
pub(super) fn find(state: &Path, wanted: &Wanted<'_>) -> Option<(Report, Before)> {
    let reports = Reports::new(state, None);
    let report = match wanted.invocation {
        // A unit of another name may have run it, or it was of a kind that the subject is only concerned with.
        Some(id) => of_invocation(&reports, &wanted.names, id).or_else(|| of_invocation(&reports, &all(state), id)),
        None => newest(&reports, wanted),
    }?;
    let before = before(state, &report);
    Some((report, before))
}

/// How things were before a run.
pub(super) fn before(state: &Path, report: &Report) -> Before {
    let earlier = newest_of(&Reports::new(state, None), report.kind, &report.job, BEFORE);
    fold(earlier.into_iter().filter(|other| other.started < report.started))
}

/// How things were before, of a subject none of whose reports is that of the run.
pub(super) fn state_of(state: &Path, names: &[(Kind, String)]) -> Before {
    let reports = Reports::new(state, None);
    let newest = names.iter().filter_map(|(kind, name)| newest_of(&reports, *kind, name, 1).pop());
    let newest = newest.max_by_key(|report| report.started);
    newest.map(|report| fold(newest_of(&reports, report.kind, &report.job, BEFORE).into_iter())).unwrap_or_default()
}

/// What all that ever ran here is called in reports.
fn all(state: &Path) -> Vec<(Kind, String)> {
    let entries = std::fs::read_dir(state.join("reports")).into_iter().flatten().take(NAMES);
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let parse = |slot: String| {
        let (kind, name) = slot.split_once('-')?;
        // As folders are called (`slot`): of what is not a letter only this occurs in names.
        Some((Kind::ALL.into_iter().find(|known| known.as_str() == kind)?, name.replace("%2F", "/")))
    };
    names.filter_map(parse).collect()
}

fn newest_of(reports: &Reports, kind: Kind, name: &str, most: usize) -> Vec<Report> {
    let tolerate = |error: io::Error| {
        tracing::warn!("the reports of {kind} {name} cannot be read: {error}");
        Vec::new()
    };
    reports.newest(kind, name, most).unwrap_or_else(tolerate)
}

fn of_invocation(reports: &Reports, names: &[(Kind, String)], invocation: &str) -> Option<Report> {
    let newest = names.iter().flat_map(|(kind, name)| newest_of(reports, *kind, name, NEWEST));
    let of_it = |report: &Report| report.invocation.as_deref() == Some(invocation);
    newest.into_iter().find(|report| of_it(report)).or_else(|| refused(reports, names, of_it))
}

/// The run that was refused last, if it is the one that is meant.
fn refused(reports: &Reports, names: &[(Kind, String)], is_meant: impl Fn(&Report) -> bool) -> Option<Report> {
    names.iter().filter_map(|(kind, name)| reports.refused(*kind, name)).find(is_meant)
}

fn newest(reports: &Reports, wanted: &Wanted<'_>) -> Option<Report> {
    // Who does not know when the run began knows it only if none has begun since.
    let most = if wanted.since.is_some() { NEWEST } else { 1 };
    let newest = wanted.names.iter().flat_map(|(kind, name)| newest_of(reports, *kind, name, most));
    let ended = newest.filter(|report| report.outcome != Outcome::Running && wanted.since.is_none_or(|since| report.started >= since));
    // If there is none, it came to nothing because another one was under way.
    let since = |report: &Report| wanted.since.is_some_and(|since| report.started >= since);
    ended.max_by_key(|report| report.started).or_else(|| refused(reports, &wanted.names, since))
}

/// Looks back until there is a good one.
fn fold(reports: impl Iterator<Item = Report>) -> Before {
    let mut before = Before::default();
    for report in reports {
        match report.outcome {
            // Neither says anything of whether it works.
            Outcome::Running | Outcome::Stopped => {}
            Outcome::Success | Outcome::Warnings if report.problems() == 0 => {
                before.last_good = report.ended;
                break;
            }
            Outcome::Success | Outcome::Warnings | Outcome::Failure | Outcome::Killed => {
                before.failures += 1;
                before.failing_since = Some(report.started);
            }
        }
    }
    before
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Keeps a report of job `state` that began at this hour of a day, as a run does.
    pub(in crate::notify) fn keep(state: &Path, hour: u8, outcome: &str, change: &Value) {
        let id = format!("{hour:032x}");
        let mut report = json!({
            "version": 1, "id": id, "program": "0.1.0", "host": "rex", "kind": "backup", "job": "state", "outcome": outcome,
            "started": format!("2026-11-20T{hour:02}:00:00Z"), "ended": format!("2026-11-20T{hour:02}:05:00Z"), "invocation": id,
        });
        report.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        if outcome == "running" {
            report.as_object_mut().unwrap().remove("ended");
        }
        Reports::new(state, None).write(&Report::parse(report.to_string().as_bytes()).unwrap()).unwrap();
    }

    fn wanted<'a>(invocation: Option<&'a str>, since: Option<&str>) -> Wanted<'a> {
        Wanted { names: vec![(Kind::Backup, "state".into())], invocation, since: since.map(|since| since.parse().unwrap()) }
    }

    fn hour(found: Option<(Report, Before)>) -> Option<i8> {
        found.map(|(report, _)| report.started.to_zoned(jiff::tz::TimeZone::UTC).hour())
    }

    #[test]
    fn a_run_is_found_by_its_invocation_wherever_it_lies_and_else_the_newest_that_has_ended() {
        let state = tempfile::tempdir().unwrap();
        assert_eq!(find(state.path(), &wanted(None, None)), None);
        keep(state.path(), 2, "success", &json!({}));
        keep(state.path(), 3, "failure", &json!({}));
        keep(state.path(), 4, "running", &json!({}));
        keep(state.path(), 5, "failure", &json!({ "kind": "check", "job": "disk" }));
        keep(state.path(), 6, "failure", &json!({ "kind": "mirror", "job": "hub/b2" }));
        std::fs::write(state.path().join("reports/backup-state/20261120T060000Z-x.json"), "no report").unwrap();
        let id = |hour: u8| format!("{hour:032x}");
        assert_eq!(hour(find(state.path(), &wanted(Some(&id(2)), None))), Some(2));
        assert_eq!(hour(find(state.path(), &wanted(Some(&id(5)), None))), Some(5));
        assert_eq!(hour(find(state.path(), &wanted(Some(&id(6)), None))), Some(6), "a hub's, whose folder is called otherwise");
        assert_eq!(hour(find(state.path(), &wanted(Some(&id(9)), None))), None);
        let newest = find(state.path(), &wanted(None, None));
        assert_eq!(hour(newest), None, "the newest still runs");
        keep(state.path(), 4, "warnings", &json!({}));
        assert_eq!(hour(find(state.path(), &wanted(None, Some("2026-11-20T04:00:00Z")))), Some(4));
        assert_eq!(hour(find(state.path(), &wanted(None, Some("2026-11-20T04:00:01Z")))), None);
    }

    #[test]
    fn before_a_run_it_is_known_since_when_others_failed() {
        let state = tempfile::tempdir().unwrap();
        for (hour, outcome) in [(1, "success"), (2, "failure"), (3, "stopped"), (4, "killed"), (5, "success"), (6, "success")] {
            keep(state.path(), hour, outcome, &json!({}));
        }
        let before = |hour: u8| find(state.path(), &wanted(Some(&format!("{hour:032x}")), None)).unwrap().1;
        let at = |text: &str| Some(text.parse().unwrap());
        assert_eq!(before(5), Before { failures: 2, failing_since: at("2026-11-20T02:00:00Z"), last_good: at("2026-11-20T01:05:00Z") });
        assert_eq!(before(6), Before { failures: 0, failing_since: None, last_good: at("2026-11-20T05:05:00Z") });
        assert_eq!(before(1), Before::default());
        assert_eq!(state_of(state.path(), &[(Kind::Backup, "state".into())]).last_good, at("2026-11-20T06:05:00Z"));
    }
}
