//! What is known of a run: what systemd says, what the run itself reported, and how things were before.

use std::path::Path;

use jiff::Timestamp;

use super::ending::{Ending, Outcome};
use super::journal::Journal;
use super::record::Record;
use super::reports::{self, Before, Wanted};
use super::subject::Subject;
use crate::config::Occasion;
use crate::model::report::Report;

/// Bytes of the end of a log that are kept.
const LOG: usize = 90_000;

/// A run that is over.
#[derive(Debug, Clone)]
pub struct Run {
    /// The unit that ran it, if one did and it is known.
    pub(super) unit: Option<String>,
    /// Whether it tells of itself.
    pub(super) by_itself: bool,
    /// How it ended.
    pub(super) outcome: Outcome,
    /// What it said of itself.
    pub(super) report: Option<Report>,
    /// How things were before.
    pub(super) before: Before,
    /// The end of its log, or why there is none.
    pub(super) log: Result<Vec<String>, String>,
    /// What names it, so that nobody is told twice of it.
    pub(super) id: Option<String>,
}

/// Where to look for what is known of a run.
#[derive(Debug, Clone)]
pub struct Search<'a> {
    /// Where this machine keeps its state.
    pub state: &'a Path,
    /// What systemd says.
    pub ending: Ending,
    /// When it began, if it tells of itself.
    pub since: Option<Timestamp>,
    /// The journal.
    pub journal: &'a Journal,
}

impl Run {
    /// Finds out what there is to know.
    pub fn find(subject: &Subject, search: &Search<'_>) -> Self {
        let Search { state, ending, since, journal } = search;
        let own = ending.unit.as_ref().is_none_or(|unit| subject.is_run_by(unit));
        let names = subject.reported();
        let invocation = ending.invocation.as_deref();
        // Of a unit that is not its own, and of which it is not known which run it was, no report can be told from others.
        let wanted = Wanted { names: if own || invocation.is_some() { names.clone() } else { Vec::new() }, invocation, since: *since };
        let found = reports::find(state, &wanted);
        let (report, mut before) = match found {
            Some((report, before)) => (Some(report), before),
            None if own => (None, reports::state_of(state, &names)),
            None => (None, Before::default()),
        };
        let outcome = Outcome::either(ending.outcome.clone(), report.as_ref().and_then(Outcome::reported));
        let outcome = report.as_ref().map_or(outcome.clone(), |report| in_earnest(outcome, report));
        recall(&mut before, &record(subject, ending.unit.as_deref(), state));
        // Not first the invocation: all that cron starts has the one of cron.
        let id = report.as_ref().map(|report| report.id.clone()).or_else(|| invocation.map(str::to_owned));
        let log = match &report {
            Some(report) if !report.log.is_empty() => Ok(shortened(&report.log)),
            _ => journal.end_of(invocation),
        };
        Self { unit: ending.unit.clone(), by_itself: since.is_some(), outcome, report, before, log, id }
    }

    /// Of a run that ended without a word, by its report.
    pub fn of_report(subject: &Subject, report: Report, state: &Path) -> Self {
        let mut before = reports::before(state, &report);
        recall(&mut before, &record(subject, None, state));
        let log = if report.log.is_empty() { Err("it was ended before it wrote any down".to_owned()) } else { Ok(shortened(&report.log)) };
        let outcome = Outcome::reported(&report).unwrap_or_default();
        Self { unit: None, by_itself: true, outcome, before, log, id: Some(report.id.clone()), report: Some(report) }
    }

    /// Of what one can be told who wants to hear of some things only, the most telling first.
    pub(super) fn occasions(&self) -> Vec<Occasion> {
        let recovered = self.before.failing_since.is_some();
        match &self.outcome {
            Outcome::Succeeded if recovered => vec![Occasion::Recovery, Occasion::Success],
            Outcome::Succeeded => vec![Occasion::Success],
            Outcome::Incomplete if recovered => vec![Occasion::Warning, Occasion::Recovery],
            Outcome::Incomplete => vec![Occasion::Warning],
            // Whoever stopped it knows.
            Outcome::Stopped => Vec::new(),
            _ => vec![Occasion::Failure],
        }
    }

    /// How it ended.
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// When it began.
    pub(super) fn started(&self) -> Option<Timestamp> {
        self.report.as_ref().map(|report| report.started)
    }
}

/// How a run ended by what it found: damage is a failure, and what looks suspicious is to be looked at.
fn in_earnest(outcome: Outcome, report: &Report) -> Outcome {
    let suspicious = report.repositories.iter().any(|there| !there.anomalies.is_empty());
    match outcome {
        Outcome::Succeeded | Outcome::Incomplete if report.problems() > 0 => Outcome::Damage,
        Outcome::Succeeded if suspicious => Outcome::Incomplete,
        other => other,
    }
}

/// Adds what is remembered of runs that had no report.
fn recall(before: &mut Before, record: &Record) {
    if let Some(since) = record.failing_since() {
        before.failing_since = Some(before.failing_since.map_or(since, |other| other.min(since)));
        before.failures = before.failures.max(1);
    }
}

/// What is remembered of tellings: by subject, or by a unit that is not its own.
pub(super) fn record(subject: &Subject, unit: Option<&str>, state: &Path) -> Record {
    match unit {
        Some(unit) if !subject.is_run_by(unit) => Record::new(state, unit),
        _ => Record::new(state, &subject.unit_for("")),
    }
}

/// The last lines, as many as anybody takes.
fn shortened(log: &[String]) -> Vec<String> {
    let mut room = LOG;
    let last = log.iter().rev().take_while(|line| {
        let fits = line.len() < room;
        room = room.saturating_sub(line.len() + 1);
        fits
    });
    let mut lines: Vec<String> = last.map(|line| super::journal::plain(line)).collect();
    lines.reverse();
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::notify::reports::tests::keep;

    /// The run of job `state` that ended as systemd says.
    fn run(state: &Path, invocation: Option<u8>, outcome: Option<Outcome>) -> Run {
        let invocation = invocation.map(|hour| format!("{hour:032x}"));
        let ending = Ending { unit: Some("hearth-backup-state.service".into()), invocation, outcome };
        let journal = Journal { program: "no-such-journalctl".into(), ..Journal::default() };
        Run::find(&Subject::Job("state".into()), &Search { state, ending, since: None, journal: &journal })
    }

    #[test]
    fn the_first_good_run_after_a_failed_one_is_a_recovery_and_the_next_is_not() {
        let state = tempfile::tempdir().unwrap();
        for (hour, outcome) in [(1, "success"), (2, "failure"), (3, "success"), (4, "success"), (5, "killed"), (6, "warnings")] {
            keep(state.path(), hour, outcome, &json!({}));
        }
        let occasions = |hour: u8| run(state.path(), Some(hour), None).occasions();
        assert_eq!(occasions(1), [Occasion::Success]);
        assert_eq!(occasions(2), [Occasion::Failure]);
        assert_eq!(occasions(3), [Occasion::Recovery, Occasion::Success]);
        assert_eq!(occasions(4), [Occasion::Success]);
        assert_eq!(occasions(5), [Occasion::Failure]);
        assert_eq!(occasions(6), [Occasion::Warning, Occasion::Recovery]);
    }

    #[test]
    fn damage_is_a_failure_and_what_looks_suspicious_a_warning() {
        let state = tempfile::tempdir().unwrap();
        keep(state.path(), 1, "success", &json!({}));
        let anomalies = json!([{ "kind": "shrunk", "text": "the source shrank from 2 GiB to 3 MiB" }]);
        keep(state.path(), 2, "success", &json!({ "repositories": [{ "name": "disk", "outcome": "success", "anomalies": anomalies }] }));
        keep(state.path(), 3, "warnings", &json!({ "counts": { "problems": 2 }, "error": "2 things are damaged" }));
        keep(state.path(), 4, "success", &json!({}));
        let run = |hour: u8| run(state.path(), Some(hour), None);
        assert_eq!(run(2).occasions(), [Occasion::Warning]);
        assert_eq!((run(3).occasions(), run(3).outcome().to_string()), (vec![Occasion::Failure], "found damage".to_owned()));
        assert_eq!(run(4).occasions(), [Occasion::Recovery, Occasion::Success]);
    }

    #[test]
    fn a_failure_without_a_report_is_known_from_systemd_and_remembered() {
        let state = tempfile::tempdir().unwrap();
        keep(state.path(), 1, "success", &json!({}));
        // It could not be started, so that the newest report is of another run.
        let failed = run(state.path(), Some(2), Some(Outcome::Status(226)));
        assert_eq!((failed.occasions(), failed.report.is_none()), (vec![Occasion::Failure], true));
        record(&Subject::Job("state".into()), Some("hearth-backup-state.service"), state.path()).ended(true, Timestamp::UNIX_EPOCH);
        keep(state.path(), 3, "success", &json!({}));
        let good = run(state.path(), Some(3), Some(Outcome::Succeeded));
        assert_eq!(good.occasions(), [Occasion::Recovery, Occasion::Success]);
        assert_eq!(good.before.failing_since, Some(Timestamp::UNIX_EPOCH));
    }

    #[test]
    fn of_a_run_that_was_stopped_nobody_is_told() {
        let state = tempfile::tempdir().unwrap();
        keep(state.path(), 1, "stopped", &json!({}));
        assert_eq!(run(state.path(), Some(1), Some(Outcome::Stopped)).occasions(), []);
    }

    #[test]
    fn the_log_is_that_of_the_report_and_else_that_of_the_journal() {
        let state = tempfile::tempdir().unwrap();
        keep(state.path(), 1, "failure", &json!({ "log": ["one\u{1b}[2J", "two"] }));
        assert_eq!(run(state.path(), Some(1), None).log.unwrap(), ["one [2J", "two"]);
        assert!(run(state.path(), Some(2), None).log.unwrap_err().contains("no-such-journalctl"));
    }

    #[test]
    fn a_unit_of_another_name_has_the_report_of_its_invocation_or_none() {
        let state = tempfile::tempdir().unwrap();
        keep(state.path(), 1, "success", &json!({}));
        keep(state.path(), 2, "failure", &json!({ "kind": "check", "job": "disk" }));
        let find = |invocation: Option<String>| {
            let ending = Ending { unit: Some("hearth-backup-check-disk.service".into()), invocation, outcome: Some(Outcome::Failed) };
            let journal = Journal { program: "no-such-journalctl".into(), ..Journal::default() };
            Run::find(&Subject::Job("state".into()), &Search { state: state.path(), ending, since: None, journal: &journal })
        };
        assert_eq!(find(Some(format!("{:032x}", 2))).report.unwrap().job, "disk");
        assert!(find(None).report.is_none());
    }
}
