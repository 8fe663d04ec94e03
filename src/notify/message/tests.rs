use std::path::Path;

use serde_json::json;

use super::*;
use crate::notify::ending::Ending;
use crate::notify::journal::Journal;
use crate::notify::reports::tests::keep;
use crate::notify::run::Search;

/// The message about a run of a job.
pub(in crate::notify) fn message_of(state: &Path, invocation: Option<u8>, outcome: Option<Outcome>, unit: Option<&str>) -> Message {
    let subject = Subject::Job("state".into());
    let invocation = invocation.map(|hour| format!("{hour:032x}"));
    let ending = Ending { unit: unit.map(str::to_owned), invocation, outcome };
    let journal = Journal { program: "no-such-journalctl".into(), ..Journal::default() };
    let run = Run::find(&subject, &Search { state, ending, since: None, journal: &journal });
    let occasion = run.occasions()[0];
    Message::end("rex", subject, &run, occasion)
}

const OWN: Option<&str> = Some("hearth-backup-state.service");

/// Without a report.
fn of(unit: Option<&str>, outcome: Outcome) -> Message {
    message_of(tempfile::tempdir().unwrap().path(), None, Some(outcome), unit)
}

#[test]
fn a_failure_says_since_when_why_and_what_to_do_and_ends_with_the_log() {
    let state = tempfile::tempdir().unwrap();
    keep(state.path(), 1, "success", &json!({}));
    keep(state.path(), 2, "failure", &json!({}));
    let log: Vec<String> = (0..150).map(|line| format!("line {line} {}", "x".repeat(80))).collect();
    let repositories = json!([
        { "name": "hub", "outcome": "failure", "error": "hub: no route to host" },
        { "name": "disk", "outcome": "success", "files": 1, "bytes": 1024, "bytes_stored": 2048 },
    ]);
    let change = json!({
        "exit_status": 1, "error": "hub: no route to host", "repositories": repositories, "log": log, "next": "2026-11-21T03:00:00Z",
    });
    keep(state.path(), 3, "failure", &change);
    let message = message_of(state.path(), Some(3), None, OWN);
    assert_eq!(message.title, "rex: backup state failed");
    let text = message.text(3800);
    for expected in [
        "Job state on host rex failed.\nIt has been failing since 2026-11-20 02:00 ",
        "(1 run before this one); the last run that was good ended 2026-11-20 01:05 ",
        ", took 5 min.\nWhy: hub: no route to host\n",
        "\nhub: failure: hub: no route to host\ndisk: 1 file, 1.0 KiB; 2.0 KiB added\n",
        "\nTo try again: systemctl start hearth-backup-state.service\nNext run: 2026-11-21 03:00 ",
        "\nUnit: hearth-backup-state.service\n\nThe end of its log:\nline ",
    ] {
        assert!(text.contains(expected), "{expected}\nin {text}");
    }
    assert!(text.ends_with(&format!("line 149 {}\n", "x".repeat(80))) && text.len() <= 3800 && text.len() > 3600, "{}", text.len());
    assert!(message.text(100_000).contains("\nline 0 "));
    let short = message.text(60);
    assert!(short.len() <= 60 && short.ends_with("…\n"), "{short}");
    let values = message.values();
    assert_eq!((&values["exit_status"], &values["seconds"], &values["bytes"]), (&json!(1), &json!(300), &json!(1024)));
    assert_eq!((&values["event"], &values["outcome"], &values["name"]), (&json!("failure"), &json!("failure"), &json!("state")));
}

#[test]
fn warnings_are_listed_and_a_recovery_says_what_was() {
    let state = tempfile::tempdir().unwrap();
    let warnings: Vec<String> = (0..7).map(|number| format!("/srv/{number}: cannot be read\u{7}")).collect();
    keep(state.path(), 1, "warnings", &json!({ "warnings": warnings, "warning_count": 9, "log": ["x"] }));
    let message = message_of(state.path(), Some(1), None, OWN);
    assert_eq!((message.title.as_str(), message.occasion), ("rex: backup state finished with warnings", Occasion::Warning));
    let text = message.text(3800);
    assert!(text.starts_with("Job state on host rex finished with 9 warnings.\n"), "{text}");
    assert!(
        text.contains("Warnings:\n- /srv/0: cannot be read \n") && text.contains("- /srv/4") && text.contains("- and 4 more\n"),
        "{text}"
    );
    assert!(!text.contains("/srv/5"), "{text}");
    keep(state.path(), 2, "failure", &json!({}));
    keep(state.path(), 3, "success", &json!({ "log": ["x"] }));
    let message = message_of(state.path(), Some(3), Some(Outcome::Succeeded), OWN);
    assert_eq!((message.title.as_str(), message.occasion), ("rex: backup state works again", Occasion::Recovery));
    let text = message.text(3800);
    assert!(text.starts_with("Job state on host rex works again.\nIt had failed since 2026-11-20 02:00 "), "{text}");
    assert!(!text.contains("try again"), "{text}");
}

#[test]
fn without_a_report_it_says_what_happened_where_and_why_there_is_no_log() {
    let message = of(OWN, Outcome::Signal("KILL".into()));
    let text = message.text(3800);
    assert_eq!(message.title, "rex: backup state failed");
    assert!(text.starts_with("Job state on host rex was ended by signal KILL.\nTo try again: "), "{text}");
    assert!(text.contains("(systemd did not say which run it was); see: journalctl -u hearth-backup-state.service"), "{text}");
    assert!(of(OWN, Outcome::Timeout).text(3800).contains("raise limits.time"));
    assert!(of(OWN, Outcome::Memory).text(3800).contains("Raise limits.memory"));
    assert!(of(OWN, Outcome::Status(226)).text(3800).contains("systemctl status hearth-backup-state.service says what"));
    assert_eq!((of(OWN, Outcome::Status(2)).exit_status, of(OWN, Outcome::Failed).exit_status), (Some(2), None));
}

#[test]
fn a_unit_that_is_not_the_jobs_own_is_called_by_its_name_and_one_that_is_not_known_is_not_guessed() {
    let message = of(Some("hearth-backup-check-disk.service"), Outcome::Incomplete);
    assert_eq!(message.title, "rex: hearth-backup-check-disk finished with warnings");
    let text = message.text(3800);
    assert!(text.contains(" could not be read, or is not as it should be.\n"), "{text}");
    assert!(text.contains("\nUnit: hearth-backup-check-disk.service, told for job state\n"), "{text}");
    let message = of(None, Outcome::Failed);
    let text = message.text(3800);
    assert!(text.starts_with("Job state, or what looks after its repositories, on host rex failed.\n"), "{text}");
    assert!(text.contains("systemctl --failed") && message.unit.is_none(), "{text}");
}

#[test]
fn each_kind_of_subject_is_called_what_it_is() {
    let start = |subject: Subject| Message::start("ursula", subject, None).title;
    assert_eq!(start(Subject::Hub), "ursula: hub begins");
    assert_eq!(start(Subject::Mirror("usb".into())), "ursula: mirror usb begins");
    assert_eq!(start(Subject::Drill("monthly".into())), "ursula: drill monthly begins");
    assert_eq!(start(Subject::Maintain("disk".into())), "ursula: keeping house in disk begins");
    let message = Message::start("ursula", Subject::Drill("monthly".into()), Some("x.service".into()));
    assert_eq!((message.values()["kind"].as_str(), message.values()["unit"].as_str()), (Some("drill"), Some("x.service")));
    assert_eq!(message.text(1000), "Drill monthly on host ursula begins.\nUnit: x.service\n");
}

#[test]
fn a_test_says_that_nothing_has_happened() {
    let message = Message::test("rex", Subject::Job("state".into()), Occasion::Failure);
    assert_eq!(message.title, "rex: test of messages about job state");
    assert!(message.text(3800).contains("Nothing has happened.") && message.text(3800).ends_with("another line\n"));
}

#[test]
fn of_a_long_log_the_last_lines_are_shown() {
    let lines: Vec<String> = (0..20).map(|number| format!("{number:03}")).collect();
    assert_eq!(last_that_fit(&lines, 9).collect::<Vec<_>>(), ["018", "019"]);
    assert_eq!(last_that_fit(&lines, 1000).count(), 20);
    assert_eq!(last_that_fit(&lines, 0).count(), 0);
}

proptest::proptest! {
    #[test]
    fn a_text_never_has_more_bytes_than_it_may(most in 4_usize..500, head in "\\PC{0,60}", lines in proptest::collection::vec("\\PC{0,40}", 0..9)) {
        let mut message = Message::start("rex", Subject::Hub, None);
        (message.head, message.log) = (head + "\n", Some(("log:", lines)));
        proptest::prop_assert!(message.text(most).len() <= most);
    }
}
