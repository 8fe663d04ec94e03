use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn good() -> Value {
    json!({
        "version": 1, "id": "0123456789abcdef0123456789abcdef", "program": "0.1.0", "host": "q", "kind": "backup", "job": "state",
        "started": "2026-11-20T02:00:00Z", "ended": "2026-11-20T02:05:00Z", "outcome": "warnings", "exit_status": 3,
        "repositories": [{ "name": "hub", "outcome": "success", "copy": { "media": "hdd", "offsite": true }, "bytes": 7 }],
        "counts": { "x": 1 }, "warning_count": 1, "warnings": ["a"], "log": ["b"], "next": "2026-11-21T02:00:00Z", "next_by": "timer",
        "invented_later": [1]
    })
}

fn parse(value: &Value) -> Result<Report, ReportError> {
    Report::parse(value.to_string().as_bytes())
}

fn with(change: impl FnOnce(&mut Value)) -> String {
    let mut value = good();
    change(&mut value);
    parse(&value).unwrap_err().to_string()
}

#[test]
fn a_report_is_read_and_what_is_not_known_is_passed_over() {
    let report = parse(&good()).unwrap();
    assert_eq!((report.kind, report.outcome, report.job.as_str()), (Kind::Backup, Outcome::Warnings, "state"));
    assert_eq!(report.duration(), Some(std::time::Duration::from_secs(300)));
    assert!(report.repositories[0].copy.as_ref().unwrap().offsite);
    assert_eq!(Report::parse(&report.to_bytes().unwrap()).unwrap(), report);
}

#[test]
fn every_bound_is_checked_on_reading() {
    let long = |length: usize| Value::from("x".repeat(length));
    for (why, change) in [
        ("64 bytes", Box::new(|value: &mut Value| value["job"] = long(65)) as Box<dyn FnOnce(&mut Value)>),
        ("64 bytes", Box::new(|value: &mut Value| value["job"] = json!(""))),
        ("control characters", Box::new(|value: &mut Value| value["host"] = json!("a\nb"))),
        ("control characters", Box::new(|value: &mut Value| value["repositories"][0]["name"] = json!("\u{1b}[2J"))),
        ("hexadecimal", Box::new(|value: &mut Value| value["id"] = json!("../../../../../../../../../../xx"))),
        ("65 warnings", Box::new(|value: &mut Value| value["warnings"] = json!(vec!["w"; 65]))),
        ("may have 2048", Box::new(|value: &mut Value| value["warnings"][0] = long(2049))),
        ("201 lines", Box::new(|value: &mut Value| value["log"] = json!(vec!["w"; 201]))),
        ("may have 1024", Box::new(|value: &mut Value| value["log"][0] = long(1025))),
        ("may have 4096", Box::new(|value: &mut Value| value["error"] = long(4097))),
        ("may have 4096", Box::new(|value: &mut Value| value["repositories"][0]["error"] = long(4097))),
        ("may have 262144", Box::new(|value: &mut Value| value["invented_later"] = long(LARGEST))),
        ("says when", Box::new(|value: &mut Value| value["outcome"] = json!("running"))),
        ("says when", Box::new(|value: &mut Value| value["ended"] = Value::Null)),
        ("unknown variant", Box::new(|value: &mut Value| value["kind"] = json!("../x"))),
        ("version is 0", Box::new(|value: &mut Value| value["version"] = json!(0))),
        ("invalid", Box::new(|value: &mut Value| value["warning_count"] = json!(-1))),
        ("invalid", Box::new(|value: &mut Value| value["log"] = json!({}))),
    ] {
        let error = with(change);
        assert!(error.contains(why), "{why}: {error}");
    }
    let many = vec![json!({ "name": "a", "outcome": "success" }); REPOSITORIES + 1];
    assert!(with(|value| value["repositories"] = json!(many)).contains("17 repositories"));
    let counts: BTreeMap<String, u64> = (0..=COUNTS).map(|number| (number.to_string(), 1)).collect();
    assert!(with(|value| value["counts"] = json!(counts)).contains("65 counts"));
}

#[test]
fn what_is_too_long_is_cut_where_it_is_written_and_the_end_of_the_log_stays() {
    let mut report = parse(&good()).unwrap();
    report.job = "é".repeat(80);
    report.error = Some("e".repeat(10_000));
    report.warnings = vec!["\u{1}".repeat(5000); 100];
    report.log = (0..500).map(|line| format!("{line} {}", "ü".repeat(2000))).collect();
    let bytes = report.to_bytes().unwrap();
    let read = Report::parse(&bytes).unwrap();
    assert!(bytes.len() <= LARGEST && read.error.unwrap().ends_with('…') && read.job.ends_with('…'));
    assert!(read.log.is_empty() && !read.warnings.is_empty(), "six bytes of JSON for each byte of the warnings leave no room for a log");
    report.warnings.clear();
    let read = Report::parse(&report.to_bytes().unwrap()).unwrap();
    assert!(read.log.last().unwrap().starts_with("499 ") && read.log.len() > 100);
}

#[test]
fn what_a_host_says_moves_no_cursor_and_ends_no_string() {
    let mut value = good();
    value["error"] = json!("a\u{0}b\u{1b}[2J\u{202e}c\nd\te");
    value["warnings"] = json!(["\u{7}bell\u{9b}2J"]);
    let report = Report::parse(value.to_string().as_bytes()).unwrap();
    assert_eq!((report.error.as_deref(), report.warnings[0].as_str()), (Some("a b [2J c\nd\te"), " bell 2J"));
}

proptest! {
    #[test]
    fn any_bytes_give_a_report_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Report::parse(&bytes).is_err());
    }

    #[test]
    fn what_is_written_can_be_read(job in "\\PC{1,90}", error in "\\PC{0,90}", log in proptest::collection::vec(".{0,50}", 0..20), started in -2_000_000_000_i64..4_000_000_000) {
        let mut report = parse(&good()).unwrap();
        (report.job, report.error, report.log) = (job, Some(error), log);
        report.started = Timestamp::from_second(started).unwrap();
        let read = Report::parse(&report.to_bytes().unwrap()).unwrap();
        prop_assert!(read.duration().is_some());
    }
}
