use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::job as jobs;
use super::*;
use crate::model::id::RepositoryId;
use crate::model::report::{DrillFigures, Kind, NextBy, RepositoryRun};

pub(crate) fn at(hours: i64) -> Timestamp {
    "2026-11-20T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_hours(hours)
}

pub(crate) fn id(byte: u8) -> RepositoryId {
    RepositoryId::from_bytes([byte; 32])
}

/// A run that took an hour and was to be followed by another a day later.
pub(crate) fn entry(started: i64, outcome: Outcome, change: impl FnOnce(&mut Report)) -> Arc<Entry> {
    let mut run = RepositoryRun::new("hub", outcome);
    (run.id, run.bytes, run.bytes_stored) = (Some(id(1)), 1000, 10);
    let mut report = Report {
        version: 1,
        id: format!("{started:032}"),
        program: "1".into(),
        host: "q".into(),
        kind: Kind::Backup,
        job: "state".into(),
        started: at(started),
        ended: Some(at(started + 1)),
        outcome,
        invocation: None,
        exit_status: None,
        refused: false,
        closed: false,
        error: None,
        repositories: vec![run],
        phases: Vec::new(),
        drill: None,
        counts: BTreeMap::new(),
        warning_count: 0,
        warnings: Vec::new(),
        warnings_by_source: Vec::new(),
        log: Vec::new(),
        next: Some(at(started + 24)),
        next_by: Some(NextBy::Timer),
    };
    change(&mut report);
    Arc::new(Entry { received: at(started + 1), repository: "nas".into(), report })
}

pub(crate) fn job(runs: Vec<Arc<Entry>>, now: i64) -> JobStatus {
    jobs::of(&History { host: "q".into(), runs }, at(now)).unwrap()
}

#[test]
fn a_job_is_late_when_its_next_run_is_overdue_by_a_quarter_and_the_time_that_one_takes() {
    let ran = || vec![entry(0, Outcome::Success, |_| {})];
    assert_eq!(job(ran(), 2).state, State::Ok);
    assert_eq!(job(ran(), 24 + 6 + 1).state, State::Ok, "it is exactly due");
    let late = job(ran(), 24 + 6 + 2);
    assert_eq!((late.state, late.late_since), (State::Late, Some(at(31))));
    assert_eq!((late.last_success, late.age), (Some(at(1)), Some(31 * 3600)));
    let without = vec![entry(0, Outcome::Success, |report| report.next = None)];
    assert_eq!(job(without, 10_000).state, State::Ok, "nobody knows when it is due");
    let weekly = vec![entry(0, Outcome::Success, |report| report.next = Some(at(7 * 24)))];
    assert_eq!(job(weekly, 7 * 24 + 26).late_since, Some(at(7 * 24 + 25)), "no more than a day");
    let hostile = vec![entry(0, Outcome::Success, |report| (report.next, report.ended) = (Some(Timestamp::MAX), Some(Timestamp::MAX)))];
    assert_eq!((job(hostile.clone(), 1).state, job(hostile, 5).last_success), (State::Ok, Some(at(1))), "not in the future");
}

#[test]
fn the_last_run_decides_the_state_and_older_ones_the_last_success() {
    let runs = |newest| vec![entry(48, newest, |_| {}), entry(24, Outcome::Warnings, |_| {}), entry(0, Outcome::Success, |_| {})];
    let state = |newest| job(runs(newest), 50).state;
    for (outcome, expected) in [
        (Outcome::Success, State::Ok),
        (Outcome::Warnings, State::Warnings),
        (Outcome::Failure, State::Failing),
        (Outcome::Stopped, State::Failing),
        (Outcome::Killed, State::Failing),
    ] {
        assert_eq!(state(outcome), expected, "{outcome}");
    }
    let failing = job(runs(Outcome::Failure), 50);
    assert_eq!((failing.last_success, failing.failures, failing.warnings), (Some(at(25)), 1, 0));
    assert_eq!(failing.repositories[0].last_success, Some(at(25)));
    assert_eq!(job(runs(Outcome::Warnings), 50).warnings, 2);
    let points: Vec<_> = failing.trend.iter().map(|point| (point.started, point.outcome)).collect();
    assert_eq!(points, [(at(0), Outcome::Success), (at(24), Outcome::Warnings), (at(48), Outcome::Failure)]);
}

#[test]
fn a_run_that_is_under_way_leaves_what_is_known_of_the_one_before_it() {
    let running = entry(24, Outcome::Running, |report| (report.ended, report.next) = (None, None));
    let runs = vec![running, entry(0, Outcome::Warnings, |_| {})];
    let status = job(runs.clone(), 26);
    assert_eq!((status.state, status.running_since, status.warnings), (State::Running, Some(at(24)), 1));
    assert_eq!((status.last_run.unwrap().outcome, status.repositories[0].outcome), (Outcome::Warnings, Outcome::Warnings));
    assert_eq!(job(runs, 40).state, State::Late, "it takes longer than anybody expects");
}

#[test]
fn a_run_that_fails_in_one_repository_fails_and_one_that_did_nothing_is_no_success() {
    let half = entry(24, Outcome::Warnings, |report| report.repositories.push(RepositoryRun::new("cloud", Outcome::Failure)));
    let status = job(vec![half, entry(0, Outcome::Success, |_| {})], 26);
    assert_eq!((status.state, status.last_success), (State::Failing, Some(at(25))));
    assert_eq!(status.repositories[1].last_success, None);
    let nothing = entry(24, Outcome::Warnings, |report| report.repositories[0].outcome = Outcome::Stopped);
    let status = job(vec![nothing, entry(0, Outcome::Success, |_| {})], 26);
    assert_eq!((status.state, status.last_success), (State::Warnings, Some(at(1))), "outside of its window");
}

#[test]
fn a_drill_that_worked_counts_for_the_repository_that_it_was_of() {
    let drill = |started, outcome| entry(started, outcome, |report| report.kind = Kind::Drill);
    let backup = entry(40, Outcome::Success, |_| {});
    let jobs = [job(vec![drill(48, Outcome::Failure), drill(24, Outcome::Success)], 50), job(vec![backup], 50)];
    assert_eq!(jobs::last_drill(&jobs, Some(id(1)), None), Some(at(25)));
    assert_eq!((jobs::last_drill(&jobs, Some(id(2)), None), jobs::last_drill(&jobs, None, None)), (None, None));
    assert_eq!(jobs::recovery(&jobs, Some(id(1)), None), None, "it was not measured");
    let jobs = [job(vec![measured(48, Outcome::Failure, None, 70), measured(24, Outcome::Success, None, 60)], 50)];
    assert_eq!((jobs::recovery(&jobs, Some(id(1)), None), jobs::recovery(&jobs, Some(id(2)), None)), (Some(60), None));
}

/// A drill of the repository, or of a mirror of it.
fn measured(started: i64, outcome: Outcome, mirror: Option<&str>, seconds: u64) -> Arc<Entry> {
    let figures = DrillFigures {
        mirror: mirror.map(Into::into),
        bytes_per_second: Some(1),
        recovery_seconds: Some(seconds),
        ..DrillFigures::default()
    };
    entry(started, outcome, |report| (report.kind, report.drill) = (Kind::Drill, Some(figures)))
}

#[test]
fn a_drill_of_a_mirror_counts_for_that_mirror_only_though_it_has_the_id_of_what_it_mirrors() {
    let jobs = [
        job(vec![measured(30, Outcome::Success, Some("cloud"), 70)], 50),
        job(vec![measured(20, Outcome::Success, None, 60)], 50),
        job(vec![measured(40, Outcome::Failure, Some("friend"), 80)], 50),
    ];
    let of = |mirror| (jobs::last_drill(&jobs, Some(id(1)), mirror), jobs::recovery(&jobs, Some(id(1)), mirror));
    assert_eq!(of(None), (Some(at(21)), Some(60)));
    assert_eq!(of(Some("cloud")), (Some(at(31)), Some(70)));
    assert_eq!(of(Some("friend")), (None, None), "it did not work");
    // What was tried before the configuration said otherwise was another place.
    let jobs = [job(vec![measured(40, Outcome::Failure, Some("cloud"), 1), measured(10, Outcome::Success, None, 2)], 50)];
    assert_eq!((jobs::last_drill(&jobs, Some(id(1)), Some("cloud")), jobs::last_drill(&jobs, Some(id(1)), None)), (None, Some(at(11))));
}

#[test]
fn a_check_that_finds_damage_has_failed() {
    let check = |started, problems: u64| {
        entry(started, if problems > 0 { Outcome::Warnings } else { Outcome::Success }, |report| {
            (report.kind, report.error) = (Kind::Check, (problems > 0).then(|| "1 thing is damaged".to_owned()));
            report.counts.insert(PROBLEMS.into(), problems);
        })
    };
    let status = job(vec![check(24, 1), check(0, 0)], 26);
    assert_eq!((status.state, status.failures, status.last_success), (State::Failing, 1, Some(at(1))));
    let warnings: Vec<String> = warning::of_job(&status, at(26)).into_iter().map(|warning| warning.text).collect();
    assert_eq!(warnings, ["check: the last run found damage: 1 thing is damaged; the last success was 25 hours ago"]);
    assert_eq!(job(vec![check(24, 0), check(0, 1)], 26).state, State::Ok);
}

#[test]
fn what_was_known_of_repositories_stays_known_when_a_run_comes_to_nothing() {
    let drill = |started, outcome| entry(started, outcome, |report| report.kind = Kind::Drill);
    let nothing = entry(48, Outcome::Killed, |report| {
        (report.kind, report.error) = (Kind::Drill, Some("it ended without a word".into()));
        report.repositories.clear();
    });
    let status = job(vec![nothing, drill(24, Outcome::Success)], 50);
    let [there] = status.repositories.as_slice() else { panic!("{:?}", status.repositories) };
    assert_eq!((there.name.as_str(), there.outcome, there.last_success), ("hub", Outcome::Killed, Some(at(25))));
    assert_eq!(there.error.as_deref(), Some("it ended without a word"));
    assert_eq!(jobs::last_drill(&[status], Some(id(1)), None), Some(at(25)));
}

#[test]
fn a_run_that_is_under_way_is_late_only_when_it_takes_far_longer_than_the_last_one() {
    let minutes = |minutes| SignedDuration::from_mins(minutes);
    // Hourly, and it takes two minutes.
    let hourly = |started: Timestamp, outcome| {
        entry(0, outcome, |report| {
            report.started = started;
            report.ended = (outcome != Outcome::Running).then(|| started + minutes(2));
            report.next = (outcome != Outcome::Running).then(|| started + minutes(60));
        })
    };
    let state = |now| {
        let runs = vec![hourly(at(1), Outcome::Running), hourly(at(0), Outcome::Success)];
        let status = jobs::of(&History { host: "q".into(), runs }, at(1) + minutes(now)).unwrap();
        (status.state, warning::of_job(&status, at(3)).first().map(|warning| warning.text.clone()).unwrap_or_default())
    };
    assert_eq!(state(70).0, State::Running);
    let (late, text) = state(76);
    assert!(late == State::Late && text.contains("a run is under way since 2026-11-20T01:00:00Z, and should have ended by now"), "{text}");
    let first = vec![entry(0, Outcome::Running, |report| report.ended = None)];
    assert_eq!(job(first, 3 * 24).state, State::Running, "the first one takes as long as it takes, whatever its schedule");
    let first = vec![entry(0, Outcome::Running, |report| (report.ended, report.next) = (None, None))];
    assert_eq!(job(first.clone(), 1).overdue_at, None);
    assert_eq!((job(first.clone(), 7 * 24).state, job(first, 7 * 24 + 1).state), (State::Running, State::Late), "its machine died with it");
}
