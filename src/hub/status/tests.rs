use std::collections::BTreeSet;

use super::belief::Believed;
use super::copies::{AtHub, of_job, of_repository};
use super::*;
use crate::history::job as jobs;
use crate::history::tests::{at, entry, id, job};
use crate::model::report::{CopyKind, DrillFigures, Kind, Outcome, RepositoryRun};

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

/// A hub of which everything is known.
pub(in crate::hub) fn known() -> Status {
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
        made: None,
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
