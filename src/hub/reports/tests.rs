use serde_json::json;

use super::*;
use crate::history::{RUNS, was_done};
use crate::model::report::Outcome;

const ID: &str = "0123456789abcdef0123456789abcdef";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn report(job: &str, id: u64, change: impl FnOnce(&mut serde_json::Value)) -> Vec<u8> {
    let mut value = json!({
        "version": 1, "id": format!("{id:032x}"), "program": "1", "host": "somebody else", "kind": "backup", "job": job,
        "started": "2026-11-20T02:00:00Z", "ended": "2026-11-20T02:05:00Z", "outcome": "success",
        "repositories": [{ "name": "hub", "outcome": "success" }]
    });
    change(&mut value);
    value.to_string().into_bytes()
}

fn reports() -> (Reports, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (Reports::new(folder.path(), None), folder)
}

fn receive(reports: &Reports, host: &str, bytes: &[u8], second: i64) {
    reports.receive((host, Role::Writer), host, bytes, at(second)).unwrap();
}

/// How many reports each job of a host has.
fn counts(reports: &Reports) -> Vec<(String, usize)> {
    let mut counts = BTreeMap::new();
    for kept in reports.read(&Wanted::default(), usize::MAX, u64::MAX).unwrap().0 {
        *counts.entry(kept.report.job).or_default() += 1;
    }
    counts.into_iter().collect()
}

#[test]
fn who_reads_a_repository_reports_drills_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let reports = Reports::new(folder.path(), None);
    let bring = |role, kind: &str| {
        let bytes = report("monthly", 1, |value| value["kind"] = json!(kind));
        reports.receive(("vault", role), "nas", &bytes, at(0)).map(drop).map_err(|refusal| refusal.error)
    };
    assert_eq!((bring(Role::Reader, "drill"), bring(Role::Reader, "backup")), (Ok(()), Err(Reason::Forbidden)));
    assert_eq!(bring(Role::Reader, "mirror"), Ok(()), "it may be fetched from here");
    assert_eq!((bring(Role::Writer, "backup"), bring(Role::Viewer, "drill")), (Ok(()), Err(Reason::Forbidden)));
}

#[test]
fn who_is_taken_for_dead_has_not_unsaid_how_it_ended() {
    let (reports, _folder) = reports();
    let outcome = || reports.read(&Wanted::default(), 10, u64::MAX).unwrap().0.remove(0).report.outcome;
    let killed = |value: &mut serde_json::Value| value["outcome"] = json!("killed");
    let running = |value: &mut serde_json::Value| {
        value["outcome"] = json!("running");
        value.as_object_mut().unwrap().remove("ended");
    };
    receive(&reports, "nas", &report("state", 1, running), 0);
    receive(&reports, "nas", &report("state", 1, |_| {}), 1);
    receive(&reports, "nas", &report("state", 1, killed), 2);
    assert_eq!(outcome(), Outcome::Success, "its host could not write it down, and did not know");
    receive(&reports, "nas", &report("state", 2, running), 3);
    receive(&reports, "nas", &report("state", 2, killed), 4);
    assert_eq!(outcome(), Outcome::Killed);
    let speechless = |value: &mut serde_json::Value| (value["outcome"], value["closed"]) = (json!("warnings"), json!(true));
    receive(&reports, "nas", &report("state", 3, |_| {}), 5);
    receive(&reports, "nas", &report("state", 3, speechless), 6);
    assert_eq!(outcome(), Outcome::Success);
    receive(&reports, "nas", &report("state", 4, running), 7);
    receive(&reports, "nas", &report("state", 4, |value| (value["outcome"], value["refused"]) = (json!("failure"), json!(true))), 8);
    assert_eq!((outcome(), counts(&reports)), (Outcome::Success, vec![("state".to_owned(), 3)]), "it never began");
}

#[test]
fn a_report_belongs_to_whose_token_brought_it_and_came_when_the_hub_says() {
    let (reports, folder) = reports();
    receive(&reports, "nas", &report("state", 1, |_| {}), 0);
    let kept = reports.read(&Wanted::default(), 10, u64::MAX).unwrap().0;
    assert_eq!((kept[0].host.as_str(), kept[0].received, kept[0].report.host.as_str()), ("nas", at(0), "somebody else"));
    assert!(folder.path().join("reports/nas/backup-state").is_dir());
    for host in ["", "..", "../nas", "A"] {
        assert_eq!(
            reports.receive((host, Role::Writer), "nas", &report("state", 2, |_| {}), at(0)).unwrap_err().error,
            Reason::Malformed,
            "{host}"
        );
    }
}

#[test]
fn a_name_that_leads_elsewhere_becomes_one_that_does_not() {
    let (reports, folder) = reports();
    for job in ["../../../etc", "..", "a/b", "ü", "a b", "%2e", "-", &"é".repeat(32)] {
        receive(&reports, "nas", &report(job, 1, |_| {}), 0);
    }
    assert_eq!(folders(&folder.path().join("reports/nas")).unwrap().len(), 8);
    assert_eq!(folders(folder.path()).unwrap(), ["reports"]);
    let kept = reports.read(&Wanted { job: Some("../../../etc".into()), ..Wanted::default() }, 10, u64::MAX).unwrap().0;
    assert_eq!(kept.len(), 1);
}

#[test]
fn what_is_no_report_is_refused_and_leaves_nothing() {
    let (reports, folder) = reports();
    let large = report("state", 1, |value| value["x"] = "x".repeat(LARGEST).into());
    for (bytes, reason) in [
        (b"".as_slice(), Reason::Malformed),
        (b"{}", Reason::Malformed),
        (&report("", 1, |_| {}), Reason::Malformed),
        (&report("a", 1, |value| value["log"] = json!({ "a": 1 })), Reason::Malformed),
        (&report("a", 1, |value| value["started"] = json!("yesterday")), Reason::Malformed),
        (&large, Reason::TooLarge),
    ] {
        assert_eq!(reports.receive(("nas", Role::Writer), "nas", bytes, at(0)).unwrap_err().error, reason);
    }
    assert!(folders(folder.path()).unwrap().is_empty());
}

#[test]
fn the_report_of_a_run_that_has_ended_replaces_that_of_when_it_began() {
    let (reports, _folder) = reports();
    let running = report("state", 7, |value| {
        value["outcome"] = json!("running");
        value.as_object_mut().unwrap().remove("ended");
    });
    receive(&reports, "nas", &running, 0);
    receive(&reports, "nas", &report("state", 7, |_| {}), 60);
    let kept = reports.read(&Wanted::default(), 10, u64::MAX).unwrap().0;
    assert_eq!((kept.len(), kept[0].report.outcome), (1, Outcome::Success));
}

#[test]
fn a_flood_drives_out_the_oldest_of_the_same_host_only() {
    let (reports, _folder) = reports();
    receive(&reports, "quiet", &report("state", 1, |_| {}), 0);
    {
        // As if they had come before.
        let folder = reports.folder.join("loud/backup-state");
        fs::create_dir_all(&folder).unwrap();
        let text = json!({ "received": at(1), "host": "loud", "repository": "loud", "report": serde_json::from_slice::<serde_json::Value>(&report("state", 2, |_| {})).unwrap() });
        for number in 0..REPORTS {
            fs::write(folder.join(format!("{}-{number:032x}.json", stamp(at(1)))), text.to_string()).unwrap();
        }
    }
    receive(&reports, "loud", &report("state", 9, |_| {}), 60);
    assert_eq!(fs::read_dir(reports.folder.join("loud/backup-state")).unwrap().count(), REPORTS);
    for job in 0..JOBS + 5 {
        receive(&reports, "loud", &report(&format!("job{job:03}"), 9, |_| {}), 61 + job as i64);
    }
    assert_eq!(folders(&reports.folder.join("loud")).unwrap().len(), JOBS);
    assert!(!reports.folder.join("loud/backup-state").exists() && reports.folder.join("quiet/backup-state").exists());
}

#[test]
fn what_a_killed_hub_left_half_written_goes_and_what_is_being_written_stays() {
    let (reports, _folder) = reports();
    receive(&reports, "nas", &report("state", 1, |_| {}), 0);
    let folder = reports.folder.join("nas/backup-state");
    let [old, young] = [".old", ".young"].map(|name| folder.join(name));
    fs::write(&young, b"{").unwrap();
    let file = fs::File::create(&old).unwrap();
    file.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(7200)).unwrap();
    assert_eq!(counts(&reports), [("state".to_owned(), 1)]);
    assert!(!old.exists() && young.exists());
}

#[test]
fn all_reports_of_a_host_take_so_many_bytes_and_no_more() {
    let (reports, _folder) = reports();
    let folder = reports.folder.join("loud/backup-state");
    fs::create_dir_all(&folder).unwrap();
    for number in 0..10 {
        // Holes: the room that they are counted with is none on the disk.
        let file = fs::File::create(folder.join(format!("{}-{number:032x}.json", stamp(at(number))))).unwrap();
        file.set_len(BYTES / 4).unwrap();
    }
    receive(&reports, "loud", &report("other", 9, |_| {}), 60);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 3, "and not four, as the new one takes room too");
    assert!(reports.folder.join("loud/backup-other").exists());
}

#[test]
fn old_reports_go_but_for_the_newest_of_a_job() {
    let (reports, folder) = reports();
    let day = 86400;
    let long_ago = Timestamp::now().as_second() - 1_800_000_000 - 500 * day;
    for number in 0..3 {
        receive(&reports, "nas", &report("silent", number, |_| {}), long_ago + number as i64 * day);
    }
    receive(&reports, "nas", &report("state", 1, |_| {}), long_ago);
    receive(&reports, "nas", &report("state", 2, |_| {}), long_ago + 490 * day);
    assert_eq!(counts(&Reports::new(folder.path(), None)), [("silent".to_owned(), 1), ("state".to_owned(), 1)]);
    assert_eq!(counts(&Reports::new(folder.path(), Some(Span::days(2)))), [("silent".to_owned(), 1), ("state".to_owned(), 1)]);
}

#[test]
fn a_history_goes_back_to_the_last_success_and_no_further_than_it_must() {
    let (reports, _folder) = reports();
    for number in 0..100 {
        let failed = number > 40;
        let bytes = report("state", number, |value| {
            if failed {
                value["outcome"] = json!("failure");
                value["repositories"][0]["outcome"] = json!("failure");
            }
        });
        receive(&reports, "nas", &bytes, number as i64);
    }
    let histories = reports.histories(None).unwrap();
    assert_eq!(histories[0].runs.len(), 60);
    assert!(was_done(&histories[0].runs.last().unwrap().report));
    receive(&reports, "nas", &report("state", 100, |_| {}), 100);
    assert_eq!(reports.histories(Some("nas")).unwrap()[0].runs.len(), RUNS);
    assert!(reports.histories(Some("other")).unwrap().is_empty());
}

#[test]
fn reports_that_another_process_brings_and_damaged_ones_are_noticed() {
    let (reports, folder) = reports();
    receive(&reports, "nas", &report("state", 1, |_| {}), 0);
    assert_eq!(reports.histories(None).unwrap().len(), 1);
    receive(&Reports::new(folder.path(), None), "nas", &report("other", 2, |_| {}), 1);
    fs::write(reports.folder.join(format!("nas/backup-state/{}-{ID}.json", stamp(at(2)))), b"{").unwrap();
    fs::write(reports.folder.join("nas/note"), b"").unwrap();
    let histories = reports.histories(None).unwrap();
    assert_eq!((histories.len(), histories.iter().map(|history| history.runs.len()).sum::<usize>()), (2, 2));
}
