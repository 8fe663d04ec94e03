use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::SignedDuration;

use super::belief::Believed;
use super::copies::{AtHub, of_job, of_repository};
use super::*;
use crate::history::{Entry, History, job as jobs};
use crate::model::report::{CopyKind, DrillFigures, Kind, NextBy, Outcome, Report, RepositoryRun};

fn at(hours: i64) -> Timestamp {
    "2026-11-20T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_hours(hours)
}

fn id(byte: u8) -> RepositoryId {
    RepositoryId::from_bytes([byte; 32])
}

/// A run that took an hour and was to be followed by another a day later.
fn entry(started: i64, outcome: Outcome, change: impl FnOnce(&mut Report)) -> Arc<Entry> {
    let mut run = RepositoryRun::new("hub", outcome);
    (run.id, run.bytes, run.bytes_stored) = (Some(id(1)), 1000, 10);
    let mut report = Report {
        version: 1,
        id: "0".repeat(32),
        program: "1".into(),
        host: "q".into(),
        kind: Kind::Backup,
        job: "state".into(),
        started: at(started),
        ended: Some(at(started + 1)),
        outcome,
        invocation: None,
        exit_status: None,
        error: None,
        repositories: vec![run],
        phases: Vec::new(),
        drill: None,
        counts: BTreeMap::new(),
        warning_count: 0,
        warnings: Vec::new(),
        log: Vec::new(),
        next: Some(at(started + 24)),
        next_by: Some(NextBy::Timer),
    };
    change(&mut report);
    Arc::new(Entry { received: at(started + 1), repository: "nas".into(), report })
}

fn job(runs: Vec<Arc<Entry>>, now: i64) -> JobStatus {
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

/// No reader has a token.
fn nobody() -> Believed {
    Believed::new(&[])
}

fn hub(newest: Option<Timestamp>) -> AtHub {
    AtHub { name: "nas".into(), id: Some(id(1)), newest, mirrors: Vec::new() }
}

#[test]
fn copies_are_counted_with_the_live_data_and_only_where_something_is() {
    let kind = |media: &str, offsite| Some(CopyKind { media: media.into(), offsite });
    let ran = entry(0, Outcome::Success, |report| {
        report.repositories[0].copy = kind("hdd", false);
        let mut cloud = RepositoryRun::new("cloud", Outcome::Success);
        (cloud.id, cloud.copy) = (Some(id(2)), kind("cloud", true));
        report.repositories.push(cloud);
    });
    let jobs = [job(vec![ran], 2)];
    let copies = |at_hub: &[AtHub]| Copies::of(of_job(&jobs[0], &jobs, at_hub, &nobody()));
    let all = copies(&[hub(Some(at(1)))]);
    assert_eq!((all.count, all.media, all.offsite, all.enough), (3, 3, true, true), "{all:?}");
    assert_eq!((all.list[0].place, all.list[1].place), (CopyPlace::Hub, CopyPlace::Host));
    let failing = entry(0, Outcome::Failure, |_| {});
    let others = [job(vec![failing], 2)];
    assert_eq!(
        Copies::of(of_job(&others[0], &others, &[hub(Some(at(1)))], &nobody())).count,
        1,
        "what others have in that repository is no copy of it"
    );
    let claimed = copies(&[hub(None)]);
    assert_eq!((claimed.count, claimed.enough), (2, false), "the hub has no snapshot, whatever the host says");
    assert_eq!(claimed.missing(), ["2 of 3 copies"]);
    assert_eq!(of_repository(&hub(Some(at(1))), &jobs, &[hub(Some(at(1)))], &nobody()), all);
}

#[test]
fn mirrors_count_for_what_they_mirror_and_each_place_once() {
    let of_host = entry(2, Outcome::Success, |report| {
        (report.kind, report.job) = (Kind::Mirror, "stick".into());
        (report.repositories[0].name, report.repositories[0].copy) = ("usb".into(), Some(CopyKind { media: "usb".into(), offsite: false }));
    });
    let jobs = [job(vec![entry(0, Outcome::Success, |_| {})], 4), job(vec![of_host], 4)];
    let of_hub = |last_success| MirrorUpkeep {
        name: "friend".into(),
        media: Some("disk".into()),
        offsite: true,
        last_success,
        error: None,
        last_drill: None,
    };
    let count = |last_success| {
        let at_hub = [AtHub { mirrors: vec![of_hub(last_success)], ..hub(Some(at(1))) }];
        let [job, repository] =
            [Copies::of(of_job(&jobs[0], &jobs, &at_hub, &nobody())), of_repository(&at_hub[0], &jobs, &at_hub, &nobody())];
        assert_eq!(job, repository);
        (job.count, job.media, job.offsite, job.enough)
    };
    assert_eq!(count(None), (3, 2, false, false), "the hub, the stick and the live data");
    assert_eq!(count(Some(at(3))), (4, 2, true, true));
}

#[test]
fn agents_are_told_in_a_sentence_and_whether_all_is_well() {
    let jobs = [job(vec![entry(0, Outcome::Success, |_| {})], 4), jobs::never("new".into(), "new".into())];
    let brief = BackupStatus::of(&jobs, at(4), Some("q"), None);
    assert!(brief.healthy);
    assert_eq!(brief.jobs[0].summary, "backup state of q: ok, last succeeded 3 hours ago");
    assert_eq!((brief.jobs[0].bytes, brief.jobs[0].bytes_stored), (1000, 10));
    assert!(!BackupStatus::of(&jobs, at(4), Some("nobody"), None).healthy, "of whom nothing is known nothing is well");
    assert!(BackupStatus::of(&jobs, at(4), None, Some("other")).jobs.is_empty());
    assert!(!BackupStatus::of(&[job(vec![entry(0, Outcome::Success, |_| {})], 100)], at(100), None, None).healthy);
}

#[test]
fn labels_of_metrics_cannot_break_out_of_their_quotes() {
    let odd = entry(0, Outcome::Success, |report| report.job = "a\"} 1\\".into());
    let status = Status {
        now: at(2),
        program: "1".into(),
        disk: None,
        warnings: Vec::new(),
        jobs: vec![job(vec![odd], 2)],
        repositories: Vec::new(),
        unreadable: Default::default(),
    };
    let text = status.metrics();
    assert!(text.contains(r#"{host="q",job="a\"} 1\\",repository="hub"}"#), "{text}");
    assert!(text.contains("hearth_backup_last_success_timestamp_seconds{"));
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

/// A hub of which everything is known.
fn known() -> Status {
    let ran = entry(0, Outcome::Success, |report| report.repositories[0].disk = Some(Disk { free: 1, size: 2 }));
    let mut backup = job(vec![ran], 2);
    backup.copies = Some(Copies::default());
    let mirror =
        MirrorUpkeep { name: "friend".into(), media: None, offsite: true, last_success: Some(at(1)), error: None, last_drill: Some(at(1)) };
    let repository = RepositoryStatus {
        name: "nas".into(),
        id: Some(id(1)),
        hosts: Vec::new(),
        used: Usage { bytes: 1, objects: 1 },
        quota: Some(Usage { bytes: 2, objects: 2 }),
        quota_warning: None,
        snapshots: 1,
        uncounted: 0,
        newest: Some(at(1)),
        newest_snapshot: None,
        copies: Copies::default(),
        upkeep: Some(Upkeep {
            forgot: Some(at(1)),
            pruned: Some(at(1)),
            verified: Some(at(1)),
            read_in_full: Some(at(1)),
            problems: Vec::new(),
            mirrors: vec![mirror],
        }),
        verify_within: Some(1),
        last_drill: Some(at(1)),
        recovery_seconds: None,
    };
    let check = job(vec![entry(0, Outcome::Success, |report| report.kind = Kind::Check)], 2);
    let figures =
        DrillFigures { snapshot_time: Some(at(0)), bytes_per_second: Some(1), recovery_seconds: Some(1), ..DrillFigures::default() };
    let drill = job(vec![entry(0, Outcome::Success, |report| (report.kind, report.drill) = (Kind::Drill, Some(figures.clone())))], 2);
    Status {
        now: at(2),
        program: "1".into(),
        disk: Some(Disk { free: 1, size: 2 }),
        warnings: Vec::new(),
        jobs: vec![backup, check, drill],
        repositories: vec![repository],
        unreadable: Default::default(),
    }
}

#[test]
fn the_document_lists_every_metric_and_no_other() {
    let document = include_str!("../../../docs/monitoring.md").lines();
    let listed = document.filter_map(|line| line.strip_prefix("| `hearth_backup_")?.split('`').next());
    let listed: BTreeSet<&str> = listed.collect();
    let text = known().metrics();
    let shown = text.lines().filter_map(|line| line.strip_prefix("# TYPE hearth_backup_")?.split(' ').next());
    // Only hosts show this one.
    assert_eq!(shown.chain(["info"]).collect::<BTreeSet<_>>(), listed);
}
