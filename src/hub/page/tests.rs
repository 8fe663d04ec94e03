use jiff::{SignedDuration, Timestamp};

use super::mark::Mark;
use super::text::{brief, encoded, shown, until};
use super::*;
use crate::history::job::never;
use crate::hub::KeptReport;
use crate::hub::status::{
    Copies, CopyPlace, CopyStatus, JobStatus, Point, RepositoryStatus, Run, Severity, State, Status, Upkeep, Warning,
};
use crate::model::id::RepositoryId;
use crate::model::report::{Kind, Outcome, Report, RepositoryRun};
use crate::store::hub::protocol::{Reason, Refusal, Usage};

const EVIL: &str = "<script>alert('&\")</script>\u{202e}\u{1b}[2J";

fn now() -> Timestamp {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

fn hours(ago: i64) -> Timestamp {
    now() - SignedDuration::from_hours(ago)
}

fn point(outcome: Outcome, bytes: u64, bytes_stored: u64) -> Point {
    Point { started: now(), outcome, bytes, bytes_stored }
}

fn job(host: &str, name: &str, state: State) -> JobStatus {
    let run = Run {
        id: "0".repeat(32),
        started: hours(3),
        ended: Some(hours(2)),
        received: hours(2),
        outcome: Outcome::Success,
        error: None,
        seconds: Some(3600),
        warnings: 0,
        first_warning: None,
        problems: 0,
        files: 7,
        bytes: 5 << 30,
        bytes_read: 1,
        bytes_added: 1,
        bytes_stored: 3 << 20,
    };
    JobStatus {
        job: (state != State::Never).then(|| name.to_owned()),
        state,
        last_run: Some(run.clone()),
        last_success: Some(hours(2)),
        age: Some(7200),
        last_good: Some(run),
        next: Some(hours(-22)),
        trend: vec![point(Outcome::Success, 5 << 30, 3 << 20)],
        ..never(host.into(), host.into())
    }
}

fn repository(name: &str) -> RepositoryStatus {
    RepositoryStatus {
        name: name.into(),
        id: Some(RepositoryId::from_bytes([1; 32])),
        hosts: vec!["nas".into()],
        used: Usage { bytes: 1 << 30, objects: 9 },
        quota: Some(Usage { bytes: 4 << 30, objects: 1000 }),
        quota_warning: None,
        snapshots: 12,
        uncounted: 0,
        newest: Some(hours(2)),
        newest_snapshot: None,
        copies: Copies::default(),
        upkeep: None,
        made: None,
        verify_within: None,
        last_drill: None,
        recovery_seconds: None,
    }
}

fn status(jobs: Vec<JobStatus>, repositories: Vec<RepositoryStatus>, warnings: Vec<Warning>) -> Status {
    Status { now: now(), program: "1".into(), disk: None, warnings, jobs, repositories, unreadable: Default::default() }
}

fn warning(severity: Severity, text: &str) -> Warning {
    Warning { severity, host: Some("nas".into()), job: Some("state".into()), repository: None, text: text.into() }
}

fn report(change: impl FnOnce(&mut Report)) -> KeptReport {
    let mut report = Report {
        version: 1,
        id: "ab".repeat(16),
        program: "1".into(),
        host: "q".into(),
        kind: Kind::Backup,
        job: "state".into(),
        started: hours(3),
        ended: Some(hours(2)),
        outcome: Outcome::Success,
        invocation: None,
        refused: false,
        closed: false,
        exit_status: Some(0),
        error: None,
        repositories: vec![RepositoryRun::new("hub", Outcome::Success)],
        phases: Vec::new(),
        drill: None,
        counts: [("files_gone".to_owned(), 4)].into(),
        warning_count: 0,
        warnings: Vec::new(),
        warnings_by_source: Vec::new(),
        log: Vec::new(),
        next: None,
        next_by: None,
    };
    change(&mut report);
    KeptReport { received: hours(2), host: "nas".into(), repository: "nas".into(), report }
}

/// A page of a host with one job.
fn host_page(job: JobStatus, runs: Option<Vec<KeptReport>>) -> String {
    let status = status(vec![job.clone()], vec![repository("nas")], vec![warning(Severity::Error, EVIL)]);
    host(&status, &HostRuns { host: "nas".into(), job: None, jobs: vec![(job, runs)] })
}

fn holds_no_foreign_markup(page: &str) {
    assert!(!page.contains("<script") && !page.contains("alert('&\"") && !page.contains('\u{202e}') && !page.contains('\u{1b}'), "{page}");
    assert!(page.contains("&lt;script&gt;alert('&amp;&quot;)&lt;/script&gt;\u{fffd}\u{fffd}[2J"), "{page}");
}

#[test]
fn what_a_host_calls_itself_and_writes_into_its_log_is_text_and_nothing_else() {
    let mut hostile = job("nas", EVIL, State::Failing);
    hostile.copies = Some(Copies {
        list: vec![CopyStatus {
            place: CopyPlace::Host,
            name: format!("nas/{EVIL}"),
            media: Some(EVIL.into()),
            offsite: true,
            newest: None,
        }],
        ..Copies::default()
    });
    let mut store = repository("nas");
    store.upkeep = Some(Upkeep {
        mirrors: vec![crate::hub::status::MirrorUpkeep {
            name: EVIL.into(),
            media: None,
            offsite: false,
            last_success: None,
            error: Some(EVIL.into()),
            last_drill: None,
        }],
        ..Upkeep::default()
    });
    holds_no_foreign_markup(&cluster(&status(vec![hostile.clone()], vec![store], vec![warning(Severity::Error, EVIL)]), None));
    let said = report(|report| {
        (report.error, report.warning_count) = (Some(EVIL.into()), 1);
        (report.warnings, report.log) = (vec![EVIL.into()], vec![EVIL.into()]);
        report.counts = [(EVIL.to_owned(), 1)].into();
        report.repositories[0].name = EVIL.into();
        report.repositories[0].error = Some(EVIL.into());
    });
    let page = host_page(hostile, Some(vec![said]));
    holds_no_foreign_markup(&page);
    assert!(page.matches("&lt;script&gt;").count() >= 8, "each of them is shown: {page}");
    holds_no_foreign_markup(&refused(&Refusal { error: Reason::NotFound, message: EVIL.into() }, "../"));
}

#[test]
fn letters_that_turn_or_hide_others_are_shown_as_unknown_ones() {
    assert_eq!(shown("a\tb\u{0}\u{7f}\u{9b}\u{200b}\u{2066}\u{2028}é"), "a b\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}é");
    let long = brief(&"é".repeat(1000));
    assert_eq!((long.chars().count(), long.ends_with('…')), (401, true));
    assert_eq!(brief("short"), "short");
    assert_eq!(encoded("a b/ü&=\"#?"), "a%20b%2F%C3%BC%26%3D%22%23%3F");
}

#[test]
fn every_state_has_a_word_a_colour_and_a_symbol_of_its_own() {
    let mut symbols = std::collections::BTreeSet::new();
    for state in State::ALL {
        let page = cluster(&status(vec![job("nas", "state", state)], vec![], vec![]), None);
        let mark = Mark::from(state);
        assert!(
            page.contains(&format!("class=\"state {}\"", mark.class())) && page.contains(&format!("</svg> {}<", state.as_str())),
            "{page}"
        );
        symbols.insert(mark.symbol().into_string());
    }
    assert_eq!(symbols.len(), State::ALL.len());
}

#[test]
fn the_headline_says_how_the_cluster_fares() {
    let headline = |jobs: Vec<JobStatus>, warnings| {
        let page = cluster(&status(jobs, vec![repository("nas")], warnings), None);
        let title = page.split_once("<title>").unwrap().1.split_once(" ·").unwrap().0.to_owned();
        assert!(page.split_once("<h1").unwrap().1.split_once("</h1>").unwrap().0.ends_with(&title), "{page}");
        title
    };
    let well = || job("nas", "state", State::Ok);
    assert_eq!(headline(vec![], vec![]), "No backups yet");
    assert_eq!(headline(vec![well()], vec![]), "The only job is well");
    assert_eq!(headline(vec![well(), well(), job("new", "", State::Never)], vec![warning(Severity::Note, "x")]), "All 2 jobs are well");
    assert_eq!(headline(vec![well(), well()], vec![warning(Severity::Warning, "x")]), "All 2 jobs run, with 1 warning");
    assert_eq!(headline(vec![job("a", "b", State::Late), well()], vec![warning(Severity::Error, "x")]), "1 of 2 jobs is in trouble");
    assert_eq!(headline(vec![job("a", "b", State::Late), job("a", "c", State::Failing)], vec![]), "2 of 2 jobs are in trouble");
    assert_eq!(headline(vec![well()], vec![warning(Severity::Error, "x")]), "Something is wrong at the hub");
    assert_eq!(headline(vec![], vec![warning(Severity::Error, "x")]), "Something is wrong at the hub");
}

#[test]
fn a_row_has_ages_figures_copies_and_the_next_run() {
    let mut fine = job("nas", "state", State::Ok);
    let copy = |place, name: &str, newest| CopyStatus { place, name: name.into(), media: None, offsite: false, newest };
    fine.copies = Some(Copies {
        count: 2,
        media: 1,
        offsite: false,
        enough: false,
        list: vec![copy(CopyPlace::Hub, "nas", Some(hours(2))), copy(CopyPlace::Mirror, "cloud", None)],
    });
    fine.repositories = vec![crate::hub::status::JobRepository {
        name: "hub".into(),
        id: Some(RepositoryId::from_bytes([1; 32])),
        copy: None,
        outcome: Outcome::Success,
        error: None,
        last_success: None,
        mirror: None,
        recovery_seconds: None,
        files: 0,
        bytes: 0,
        bytes_read: 0,
        bytes_added: 0,
        bytes_stored: 0,
        anomalies: Vec::new(),
        disk: None,
    }];
    let mut store = repository("nas");
    store.recovery_seconds = Some(7200);
    let mirror = crate::hub::status::MirrorUpkeep {
        name: "friend".into(),
        media: None,
        offsite: true,
        last_success: Some(hours(3)),
        error: None,
        last_drill: Some(hours(24 * 13)),
    };
    let upkeep = Upkeep { verified: Some(hours(30)), mirrors: vec![mirror], ..Upkeep::default() };
    (store.last_drill, store.upkeep) = (Some(hours(24 * 9)), Some(upkeep));
    let page = cluster(&status(vec![fine], vec![store], vec![]), None);
    for expected in [
        "2 hours ago</time>",
        "took 1 h<",
        "5.0 GiB",
        "3.0 MiB",
        "not 3-2-1",
        "2 of 3 copies, one kind of media of 2, none elsewhere",
        ">hub</span> <time",
        ">cloud</span> <span class=\"never\">never<",
        "30 hours ago</time>",
        "drill <time",
        "9 days ago</time>",
        "13 days ago</time>",
        "all back in about 2 h<",
        "in 22 hours",
        "1.0 GiB of 4.0 GiB",
        "width=\"25.0\"",
        "href=\"hosts/nas\"",
        "12, newest",
    ] {
        assert!(page.contains(expected), "{expected}: {page}");
    }
    assert!(!page.contains("The first backup"));
}

#[test]
fn what_is_due_already_is_not_said_to_come() {
    let words = |then| until(then, now()).into_string().split_once('>').unwrap().1.to_owned();
    assert_eq!(words(hours(-2)), "in 2 hours</time>");
    assert_eq!(words(hours(0)), "now</time>");
    assert_eq!(words(hours(1)), "due 1 hour ago</time>");
}

#[test]
fn an_empty_hub_says_what_to_do_first() {
    let empty = status(vec![], vec![], vec![]);
    let page = cluster(&empty, Some(std::path::Path::new("/srv/<hub>")));
    for expected in
        ["The first backup", "hub token add nas --role writer --data /srv/&lt;hub&gt;", "hearth-backup init --repo", "hearth-backup backup"]
    {
        assert!(page.contains(expected), "{expected}: {page}");
    }
    assert!(!page.contains("<table") && cluster(&empty, None).contains("--data DIR"));
    let waiting = status(vec![job("nas", "", State::Never)], vec![], vec![]);
    assert!(cluster(&waiting, None).contains("The first backup"), "a token alone is no backup");
}

#[test]
fn a_host_that_makes_up_jobs_and_warnings_hides_no_other() {
    let mut jobs: Vec<JobStatus> = (0..200).map(|number| job("bad", &format!("job{number}"), State::Failing)).collect();
    jobs.push(job("good", "state", State::Ok));
    let warnings = (0..500).map(|number| warning(Severity::Error, &format!("w{number}."))).collect();
    let page = cluster(&status(jobs, vec![], warnings), None);
    assert!(page.contains("href=\"hosts/good\"") && page.contains("job19<") && !page.contains("job20<"));
    assert!(page.contains("180 jobs of hosts with more than 20") && page.contains("488 more") && page.contains("188 are not shown"));
    assert!(page.len() < 300_000, "{}", page.len());
}

#[test]
fn a_trend_of_no_run_one_or_equal_ones_is_drawn_as_it_is() {
    let sizes = |values: &[u64]| {
        let trend: Vec<Point> = values.iter().map(|bytes| point(Outcome::Success, *bytes, *bytes)).collect();
        (sparkline::sizes(&trend).into_string(), sparkline::added(&trend).into_string())
    };
    assert_eq!(sizes(&[]), (String::new(), String::new()));
    let (line, bars) = sizes(&[1024]);
    assert!(line.contains("one run, 1.0 KiB") && !line.contains("polyline") && line.contains("cy=\"10.0\""), "{line}");
    assert!(bars.contains("1 run, at most 1.0 KiB added") && bars.matches("<rect").count() == 1, "{bars}");
    let (line, _) = sizes(&[5, 5, 5]);
    assert!(line.contains("points=\"2.0,10.0 45.0,10.0 88.0,10.0\""), "{line}");
    let (line, bars) = sizes(&[0, 0]);
    assert!(line.contains("2.0,10.0 88.0,10.0") && !bars.contains("NaN"), "{line} {bars}");
    let (line, bars) = sizes(&[0, u64::MAX, 1]);
    assert!(line.contains("points=\"2.0,18.0 45.0,2.0 88.0,18.0\"") && bars.contains("height=\"18.0\""), "{line} {bars}");
    let (line, _) = sizes(&[1000, 1001]);
    assert!(line.contains("2.0,10.1 88.0,9.9"), "a small change looks small: {line}");
    let failed = [point(Outcome::Failure, 0, 0), point(Outcome::Success, 7, 7)];
    assert!(!sparkline::sizes(&failed).into_string().contains("polyline"), "a run that failed has no size");
    let bars = sparkline::added(&failed).into_string();
    assert!(bars.contains("2 runs, at most 7 B added, 1 not done") && bars.matches("class=\"bad\"").count() == 1, "{bars}");
}

#[test]
fn a_host_has_its_runs_with_what_they_said() {
    let said = report(|report| {
        (report.outcome, report.error, report.exit_status) = (Outcome::Failure, Some("disk on fire".into()), Some(1));
        (report.warning_count, report.warnings) = (9, vec!["first".into()]);
        report.log = vec!["line one".into(), "  line two".into()];
    });
    let page = host_page(job("nas", "state", State::Failing), Some(vec![said]));
    for expected in [
        "failure",
        "disk on fire",
        "took 1 h",
        "9 warnings, the first of them",
        "<li>first</li>",
        "line one\n  line two\n",
        "files_gone 4",
        "exit status 1",
        "Began 2026-11-20 09:00 UTC",
        "href=\"?job=state\"",
        "href=\"../\"",
    ] {
        assert!(page.contains(expected), "{expected}: {page}");
    }
    assert!(!page.contains("http-equiv=\"refresh\""), "nobody who reads is interrupted");
    assert!(host_page(job("nas", "state", State::Ok), None).contains("too many jobs"));
    assert!(host_page(job("nas", "", State::Never), None).contains("never reported a run"));
}

#[test]
fn a_page_loads_nothing_and_its_style_is_the_one_that_the_policy_names() {
    let page = cluster(&status(vec![job("nas", "state", State::Ok)], vec![repository("nas")], vec![]), None);
    for forbidden in ["<script", " style=", " src=", "http://", "<form", "@import", "url("] {
        let found = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!found.contains(forbidden), "{forbidden}");
    }
    let style = page.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
    assert_eq!(style, include_str!("style.css"), "byte for byte");
    assert!(policy().starts_with("default-src 'none'; style-src 'sha256-") && policy().contains("frame-ancestors 'none'"));
}
