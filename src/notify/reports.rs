//! Reports of runs, as this machine keeps them: STATE/reports/KIND-NAME/STARTED-ID.json.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::model::report::{self, Report};

/// How many of a folder's newest reports are looked at for one run: others may have begun meanwhile.
const NEWEST: usize = 8;
/// How many earlier reports are looked at for how things were before.
const BEFORE: usize = 60;
/// Most folders that are looked through.
const FOLDERS: usize = 1000;

/// Which run's report is wanted.
pub(super) struct Wanted<'a> {
    /// Folders of the reports that its kind of run has.
    pub folders: Vec<String>,
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
    let all = state.join("reports");
    let own: Vec<PathBuf> = wanted.folders.iter().map(|folder| all.join(folder)).collect();
    let found = match wanted.invocation {
        // A unit of another name may have run it, or it was of a kind that the subject is only concerned with.
        Some(id) => of_invocation(&own, id).or_else(|| of_invocation(&folders(&all), id)),
        None => newest(&own, wanted.since),
    };
    let (path, report) = found?;
    let before = before(&path);
    Some((report, before))
}

/// How things were before, of a subject none of whose reports is that of the run.
pub(super) fn state_of(state: &Path, folders: &[String]) -> Before {
    let newest = folders.iter().flat_map(|folder| names(&state.join("reports").join(folder)));
    newest.max_by(|one, other| one.file_name().cmp(&other.file_name())).map(|path| with_itself(&path)).unwrap_or_default()
}

fn folders(all: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(all).into_iter().flatten().take(FOLDERS);
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

/// Files of reports, the newest first: their names sort by the time.
fn names(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let mut found: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|extension| extension == "json")).collect();
    found.sort_unstable();
    found.reverse();
    found
}

fn of_invocation(folders: &[PathBuf], invocation: &str) -> Option<(PathBuf, Report)> {
    let newest = folders.iter().flat_map(|folder| names(folder).into_iter().take(NEWEST));
    newest
        .filter_map(|path| Some((read(&path)?, path)))
        .find(|((_, found), _)| found.as_deref() == Some(invocation))
        .map(|((report, _), path)| (path, report))
}

fn newest(folders: &[PathBuf], since: Option<Timestamp>) -> Option<(PathBuf, Report)> {
    let newest = folders.iter().filter_map(|folder| names(folder).into_iter().find_map(|path| Some((read(&path)?.0, path))));
    let ended =
        newest.filter(|(report, _)| report.outcome != report::Outcome::Running && since.is_none_or(|since| report.started >= since));
    ended.max_by_key(|(report, _)| report.started).map(|(report, path)| (path, report))
}

/// A report, and which run of a unit it was; none if it is not one that can be read.
fn read(path: &Path) -> Option<(Report, Option<String>)> {
    #[derive(serde::Deserialize)]
    struct Run {
        #[serde(default)]
        invocation: Option<String>,
    }
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(report::LARGEST as u64 + 1).read_to_end(&mut bytes).ok()?;
    let report = Report::parse(&bytes).ok()?;
    let run: Run = serde_json::from_slice(&bytes).ok()?;
    Some((report, run.invocation))
}

fn before(path: &Path) -> Before {
    let folder = path.parent().unwrap_or(path);
    fold(names(folder).into_iter().filter(|other| other.file_name() < path.file_name()))
}

fn with_itself(path: &Path) -> Before {
    fold(names(path.parent().unwrap_or(path)).into_iter())
}

/// Looks back until there is a good one.
fn fold(paths: impl Iterator<Item = PathBuf>) -> Before {
    let mut before = Before::default();
    for (report, _) in paths.take(BEFORE).filter_map(|path| read(&path)) {
        match report.outcome {
            // Neither says anything of whether it works.
            report::Outcome::Running | report::Outcome::Stopped => {}
            report::Outcome::Success | report::Outcome::Warnings => {
                before.last_good = report.ended;
                break;
            }
            report::Outcome::Failure | report::Outcome::Killed => {
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
        let folder = state.join("reports").join(format!("{}-{}", report["kind"].as_str().unwrap(), report["job"].as_str().unwrap()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("20261120T{hour:02}0000Z-{id}.json")), report.to_string()).unwrap();
    }

    fn wanted<'a>(invocation: Option<&'a str>, since: Option<&str>) -> Wanted<'a> {
        Wanted { folders: vec!["backup-state".into()], invocation, since: since.map(|since| since.parse().unwrap()) }
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
        fs::write(state.path().join("reports/backup-state/20261120T060000Z-x.json"), "no report").unwrap();
        let id = |hour: u8| format!("{hour:032x}");
        assert_eq!(hour(find(state.path(), &wanted(Some(&id(2)), None))), Some(2));
        assert_eq!(hour(find(state.path(), &wanted(Some(&id(5)), None))), Some(5));
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
        assert_eq!(state_of(state.path(), &["backup-state".into()]).last_good, at("2026-11-20T06:05:00Z"));
    }
}
