//! A hub tells by itself what has become wrong: silence above all, which nobody else can notice.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod cli_common;
#[path = "servers/small_disk.rs"]
mod small_disk;

use std::fs;

use cli_common::{Bench, expect};
use hearth_backup::model::id::RepositoryId;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

const WATCH: [&str; 4] = ["hub", "watch", "--config", "hub.json"];

/// A hub that has a report of job `state` of host `q`, and tells a command.
struct Watched {
    bench: Bench,
}

impl Watched {
    fn new(change: impl FnOnce(&mut Value)) -> Self {
        let bench = Bench::new();
        let mut config = json!({
            "host": "ursula",
            "hub": {
                "dataDir": bench.path("data"),
                // The disk of whoever runs the tests may be full.
                "watch": { "tell": ["silent", "failing", "warnings", "suspicious", "integrity", "upkeep", "mirror"] },
                "notify": { "command": ["sh", "-c", format!("(echo \"$HEARTH_EVENT: $HEARTH_TITLE\"; cat) >> {}", bench.path("heard").display())] },
            },
        });
        change(&mut config);
        bench.write("hub.json", config.to_string().as_bytes());
        // As `hub serve` makes it.
        fs::create_dir_all(bench.path("data/repositories")).unwrap();
        Self { bench }
    }

    /// A run of an hour ago, after which another was due in so many minutes.
    fn reports(&self, number: u8, next: i64, change: impl FnOnce(&mut Value)) {
        let ago = |minutes: i64| (Timestamp::now() - SignedDuration::from_mins(minutes)).to_string();
        let id = format!("{number:032x}");
        let mut report = json!({
            "version": 1, "id": id, "program": "1", "host": "q", "kind": "backup", "job": "state", "started": ago(61), "ended": ago(60),
            "outcome": "success", "next": ago(60 - next), "next_by": "timer",
            "repositories": [{ "name": "hub", "outcome": "success", "bytes": 7, "files": 2 }],
        });
        change(&mut report);
        let slot = format!("{}-{}", report["kind"].as_str().unwrap(), report["job"].as_str().unwrap());
        let kept = json!({ "received": ago(60 - i64::from(number)), "host": "q", "repository": "q", "report": report });
        self.bench.write(&format!("data/reports/q/{slot}/20260101T0000{number:02}.000Z-{id}.json"), kept.to_string().as_bytes());
    }

    /// Looks; what people heard.
    fn looks(&self) -> String {
        self.ends(0)
    }

    fn ends(&self, code: i32) -> String {
        let _ = fs::remove_file(self.bench.path("heard"));
        self.bench.ends(&WATCH, code);
        fs::read_to_string(self.bench.path("heard")).unwrap_or_default()
    }
}

#[test]
fn the_silence_of_a_host_is_told_once_and_so_is_its_end() {
    let hub = Watched::new(|_| {});
    hub.reports(1, 50, |_| {});
    assert_eq!(hub.looks(), "", "10 minutes late: there is a grace of at least 15, and a run takes its time");
    let hub = Watched::new(|_| {});
    hub.reports(1, 20, |_| {});
    let heard = hub.looks();
    assert!(heard.starts_with("failure: ursula: job state of q: no run was reported since "), "{heard}");
    assert!(heard.contains("the last success was 1 hour ago"), "{heard}");
    assert_eq!(hub.looks(), "", "once");
    hub.reports(2, 24 * 60, |_| {});
    let heard = hub.looks();
    assert!(heard.starts_with("recovery: ursula: over: job state of q: no run was reported"), "{heard}");
    assert_eq!(hub.looks(), "");
}

#[test]
fn what_a_host_reports_of_itself_is_told_too_unless_only_silence_is_asked_for() {
    let failing = |report: &mut Value| {
        (report["outcome"], report["error"]) = (json!("killed"), json!("it ended without a word"));
        report["repositories"][0]["outcome"] = json!("killed");
    };
    let shrunk = |report: &mut Value| {
        report["job"] = json!("photos");
        report["repositories"][0]["anomalies"] = json!([{ "kind": "shrunk", "text": "the source shrank from 2 GiB to 3 MiB" }]);
    };
    let damaged =
        |report: &mut Value| (report["job"], report["counts"]) = (json!("apps"), json!({ "sqlite_copies": 4, "integrity_failures": 1 }));
    let drill = |report: &mut Value| {
        failing(report);
        (report["kind"], report["job"]) = (json!("drill"), json!("monthly"));
    };
    let hub = Watched::new(|_| {});
    hub.reports(1, 24 * 60, failing);
    hub.reports(2, 24 * 60, shrunk);
    hub.reports(3, 24 * 60, damaged);
    hub.reports(4, 24 * 60, drill);
    let heard = hub.looks();
    assert!(heard.starts_with("failure: ursula: 4 problems\n"), "{heard}");
    for line in [
        "job state of q: the last run ended with killed: it ended without a word; it never succeeded",
        "job photos of q: the newest snapshot in hub: the source shrank from 2 GiB to 3 MiB",
        "job apps of q: 1 of its SQLite databases are damaged",
        "drill monthly of q: the last run ended with killed",
    ] {
        assert!(heard.contains(line), "{line} in {heard}");
    }
    let quiet = Watched::new(|config| config["hub"]["watch"] = json!({ "tell": ["silent"] }));
    quiet.reports(1, 24 * 60, failing);
    quiet.reports(2, 24 * 60, shrunk);
    assert_eq!(quiet.looks(), "");
}

#[test]
fn whoever_could_not_be_told_is_told_at_the_next_look() {
    let hub = Watched::new(|config| config["hub"]["notify"]["timeout"] = json!("1s"));
    hub.reports(1, 20, |_| {});
    fs::create_dir(hub.bench.path("heard")).unwrap();
    let failed = hub.bench.run(&WATCH);
    let (_, error) = expect(failed, 1, "a receiver that fails");
    assert!(error.contains("could not be told"), "{error}");
    fs::remove_dir(hub.bench.path("heard")).unwrap();
    assert!(hub.looks().starts_with("failure: "));
    assert_eq!(hub.looks(), "");
}

#[test]
fn services_that_watch_over_runs_are_not_told_of_news() {
    // A check that is said to have failed would say so until the hub's next maintenance.
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    nowhere.set_nonblocking(true).unwrap();
    let url = format!("http://{}/ping/00000000-0000-0000-0000-000000000000", nowhere.local_addr().unwrap());
    let hub = Watched::new(|config| config["hub"]["notify"]["healthchecks"] = json!({ "url": url }));
    hub.reports(1, 20, |_| {});
    assert!(hub.looks().starts_with("failure: "));
    assert!(nowhere.accept().is_err(), "nobody came");
}

#[test]
fn a_look_without_telling_changes_nothing_and_a_damaged_memory_is_said() {
    let hub = Watched::new(|_| {});
    hub.reports(1, 20, |_| {});
    let look = hub.bench.json(&[&WATCH[..], &["--dry-run"]].concat());
    assert_eq!((&look["began"][0]["cause"], &look["began"][0]["severity"]), (&json!("silent"), &json!("error")));
    assert!(hub.looks().starts_with("failure: "), "nobody was told before");
    hub.bench.write("data/own/watch.json", b"{");
    let error = hub.bench.fails(&WATCH, 1);
    assert!(error.contains("data/own/watch.json cannot be used") && error.contains("remove it"), "{error}");
}

#[test]
fn maintenance_of_a_hub_ends_in_a_report_of_its_own() {
    let hub = Watched::new(|_| {});
    hub.bench.ok(&["hub", "maintain", "--config", "hub.json"]);
    let folder = hub.bench.path("data/own/reports/maintain-hub%2Fall");
    let names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let report: Value = serde_json::from_slice(&fs::read(&names[0]).unwrap()).unwrap();
    assert_eq!((names.len(), &report["outcome"], &report["host"]), (1, &json!("success"), &json!("ursula")));
}

#[test]
fn the_report_of_a_maintenance_that_was_killed_is_closed_at_once() {
    let hub = Watched::new(|_| {});
    let folder = "data/own/reports/maintain-hub%2Fall";
    let report = json!({
        "version": 1, "id": "ab".repeat(16), "program": "1", "host": "ursula", "kind": "maintain", "job": "hub/all",
        "started": "2026-11-22T00:00:00Z", "outcome": "running", "invocation": "cd".repeat(16),
    });
    let name = format!("{folder}/20261122T000000.000Z-{}.json", "ab".repeat(16));
    hub.bench.write(&name, report.to_string().as_bytes());
    let mut settle = hub.bench.command(&["hub", "maintain", "--config", "hub.json", "--settle"]);
    settle.env("SERVICE_RESULT", "oom-kill").env("EXIT_STATUS", "KILL").env("INVOCATION_ID", "cd".repeat(16));
    expect(settle.output().unwrap(), 0, "settle");
    let closed: Value = serde_json::from_slice(&fs::read(hub.bench.path(&name)).unwrap()).unwrap();
    assert_eq!(closed["outcome"], "killed");
    assert!(closed["error"].as_str().unwrap().contains("no memory left"), "{closed}");
    assert!(hub.looks().contains("the last run ended with killed"), "and people are told");
}

#[test]
fn a_job_that_fails_again_and_again_is_told_once_also_while_it_runs() {
    let hub = Watched::new(|_| {});
    let failing = |report: &mut Value| (report["outcome"], report["repositories"][0]["outcome"]) = (json!("failure"), json!("failure"));
    hub.reports(1, 24 * 60, failing);
    assert!(hub.looks().starts_with("failure: "));
    hub.reports(2, 24 * 60, |report| {
        report["outcome"] = json!("running");
        report.as_object_mut().unwrap().remove("ended");
    });
    assert_eq!(hub.looks(), "", "it is not over because it was started again");
    hub.reports(3, 24 * 60, failing);
    assert_eq!(hub.looks(), "");
}

#[test]
fn a_repository_that_cannot_be_read_any_more_is_told_and_nothing_of_it_is_over() {
    let hub = Watched::new(|_| {});
    let bench = &hub.bench;
    bench.ok(&["hub", "token", "add", "nas", "--role", "writer", "--data", "data", "--output", "nas.token"]);
    bench.ok(&["init", "--repo", bench.path("data/repositories/nas").to_str().unwrap(), "--writer-key", "w", "--restore-key", "r"]);
    assert_eq!(hub.looks(), "");
    let statements = bench.path("data/repositories/nas/repo");
    fs::remove_dir_all(&statements).unwrap();
    fs::write(&statements, b"no directory").unwrap();
    let heard = hub.looks();
    assert!(heard.contains("repository nas") && heard.contains("cannot be read"), "{heard}");
    assert_eq!(hub.looks(), "", "once");
}

#[test]
fn a_drill_of_the_hubs_copy_says_nothing_of_a_mirror_and_one_of_a_mirror_nothing_of_the_hub() {
    let hub = Watched::new(|config| {
        config["hub"]["watch"] = json!({ "tell": ["untried"], "drillWithin": "35d" });
        config["hub"]["mirrors"] =
            json!({ "cloud": { "url": config["hub"]["dataDir"].as_str().unwrap().replace("/data", "/cloud/{repository}") } });
    });
    let bench = &hub.bench;
    bench.write("source/file", b"content");
    let repository = bench.path("data/repositories/q").to_str().unwrap().to_owned();
    bench.ok(&["hub", "token", "add", "q", "--role", "writer", "--data", "data", "--output", "q.token"]);
    let made = bench.json(&["init", "--repo", &repository, "--writer-key", "w", "--restore-key", "r"]);
    bench.ok(&["backup", "--repo", &repository, "--key", "w", "--job", "state", "source"]);
    bench.ok(&["hub", "maintain", "--config", "hub.json"]);
    assert_eq!(hub.looks(), "", "there was no time yet to try anything");
    let id = RepositoryId::from_bech32(made["repository"].as_str().unwrap()).unwrap();
    let drill = |number: u8, days: i64, figures: Value| {
        hub.reports(number, 24 * 60, |report| {
            (report["kind"], report["job"]) = (json!("drill"), json!(format!("weekly-{number}")));
            (report["repositories"][0]["id"], report["drill"]) = (json!(id), figures);
            let ago = |hours: i64| json!((Timestamp::now() - SignedDuration::from_hours(24 * days + hours)).to_string());
            (report["started"], report["ended"]) = (ago(2), ago(1));
        });
    };
    drill(1, 40, json!({}));
    let heard = hub.looks();
    assert!(heard.contains(": repository q: a restore of it was last tried 40 days ago, and shall be within 5w"), "{heard}");
    assert!(!heard.contains("cloud"), "{heard}");
    drill(2, 50, json!({ "mirror": "cloud" }));
    let heard = hub.looks();
    assert!(
        heard.contains(": mirror cloud of repository q: a restore of it was last tried 50 days ago, and shall be within 5w"),
        "{heard}"
    );
    drill(3, 0, json!({ "mirror": "cloud" }));
    let heard = hub.looks();
    assert!(heard.contains("over: mirror cloud of repository q: ") && !heard.contains("over: repository q: "), "{heard}");
    drill(4, 0, json!({}));
    assert!(hub.looks().contains("over: repository q: "));
    let look = bench.json(&["hub", "watch", "--config", "hub.json", "--dry-run"]);
    assert_eq!(look["began"], json!([]));
}

#[test]
fn who_looks_without_being_able_to_tell_anybody_takes_nothing_from_others() {
    let hub = Watched::new(|_| {});
    hub.reports(1, 20, |_| {});
    let (_, error) = hub.bench.ends(&["hub", "watch", "--data", "data"], 0);
    assert!(error.contains("nobody is told"), "{error}");
    assert!(hub.looks().starts_with("failure: "), "the timer's look still tells");
}

#[test]
fn a_disk_that_is_not_mounted_is_no_hub_on_which_all_is_well() {
    let hub = Watched::new(|_| {});
    hub.bench.ok(&["hub", "token", "add", "nas", "--role", "writer", "--data", "data", "--output", "nas.token"]);
    assert_eq!(hub.looks(), "");
    fs::rename(hub.bench.path("data/repositories/nas"), hub.bench.path("elsewhere")).unwrap();
    let heard = hub.looks();
    assert!(heard.starts_with("failure: ursula: repository nas: it cannot be read: its directory is gone"), "{heard}");
    fs::rename(hub.bench.path("elsewhere"), hub.bench.path("data/repositories/nas")).unwrap();
    assert!(hub.looks().starts_with("recovery: "));
    fs::rename(hub.bench.path("data"), hub.bench.path("unmounted")).unwrap();
    for command in [&["hub", "watch"], &["hub", "maintain"]] {
        let error = hub.bench.fails(&[&command[..], &["--config", "hub.json"]].concat(), 1);
        assert!(error.contains("is its disk mounted?") && !hub.bench.path("data").exists(), "{error}");
    }
}

#[test]
fn a_repository_of_the_configuration_that_is_gone_is_not_made_anew() {
    let hash = "hbh_b97b3ea0_c33daba3ad3bbbb0a424890ed3c49635f4d838c47cee312e5ee9d538c4dda4d0";
    let hub = Watched::new(|config| config["hub"]["hosts"] = json!({ "q": { "tokenHash": hash } }));
    hub.reports(1, 24 * 60, |_| {});
    assert!(hub.looks().contains("repository q: it cannot be read: its directory is gone"));
    let new = Watched::new(|config| config["hub"]["hosts"] = json!({ "q": { "tokenHash": hash } }));
    assert_eq!(new.looks(), "", "nothing was ever there");
    assert!(new.bench.path("data/repositories/q").is_dir());
}

#[test]
fn that_nobody_watches_is_told_once_and_so_is_that_somebody_does_again() {
    let hub = Watched::new(|config| config["hub"]["notify"]["timeout"] = json!("1s"));
    hub.reports(1, 20, |_| {});
    hub.looks();
    let memory = hub.bench.path("data/own/watch.json");
    let good = fs::read(&memory).unwrap();
    fs::write(&memory, b"{").unwrap();
    let _ = fs::remove_file(hub.bench.path("heard"));
    fs::create_dir(hub.bench.path("heard")).unwrap();
    hub.bench.fails(&WATCH, 1);
    fs::remove_dir(hub.bench.path("heard")).unwrap();
    let heard = hub.ends(1);
    assert!(heard.starts_with("failure: ursula: the hub is not watched\n") && heard.contains("watch.json cannot be used"), "{heard}");
    assert_eq!(hub.ends(1), "", "once a day");
    fs::write(&memory, good).unwrap();
    assert!(hub.looks().starts_with("recovery: ursula: the hub is watched again\n"));
    assert_eq!(hub.looks(), "");
}

#[test]
fn what_one_host_makes_up_crowds_out_nobody_else() {
    let hub = Watched::new(|_| {});
    for number in 1..60 {
        hub.reports(number, 20, |report| report["job"] = json!(format!("made-up-{number}")));
    }
    let folder = hub.bench.path("data/reports");
    fs::rename(folder.join("q"), folder.join("a-evil")).unwrap();
    hub.reports(60, 20, |_| {});
    let heard = hub.looks();
    assert!(heard.contains("job state of q: no run was reported"), "{heard}");
    assert!(heard.contains("a-evil: and 39 more problems"), "{heard}");
    assert_eq!(hub.looks(), "", "as many as are told of at once");
}

#[test]
fn what_is_too_much_for_one_message_is_told_by_the_next_look() {
    let hub = Watched::new(|_| {});
    for number in 1..=35 {
        hub.reports(number, 20, |_| {});
        fs::rename(hub.bench.path("data/reports/q"), hub.bench.path(format!("data/reports/h{number}"))).unwrap();
    }
    let count = |heard: &str| heard.lines().filter(|line| line.contains(": no run was reported")).count();
    let heard = hub.looks();
    assert!(count(&heard) == 30 && heard.contains("and 5 more, of which the next look tells"), "{heard}");
    assert_eq!(count(&hub.looks()), 5);
    assert_eq!(hub.looks(), "");
}

#[test]
fn people_are_told_once_also_when_the_disk_is_full() {
    let hub = Watched::new(|_| {});
    let Some(_small) = small_disk::Small::mount(hub.bench.path("data"), "1m") else { return };
    fs::create_dir(hub.bench.path("data/repositories")).unwrap();
    hub.reports(1, 20, |_| {});
    assert!(hub.looks().starts_with("failure: "));
    hub.reports(2, 20, |report| report["job"] = json!("other"));
    let mut junk = fs::File::create(hub.bench.path("data/junk")).unwrap();
    while std::io::Write::write_all(&mut junk, &[0; 1024]).is_ok() {}
    assert!(hub.looks().contains("job other of q"));
    assert_eq!(hub.looks(), "");
}

#[test]
fn two_at_once_tell_only_once() {
    let hub = Watched::new(|_| {});
    let released = hub.bench.path("released");
    let wait = format!("echo told >> {}; until test -e {}; do sleep 0.05; done", hub.bench.path("heard").display(), released.display());
    let mut config: Value = serde_json::from_str(&fs::read_to_string(hub.bench.path("hub.json")).unwrap()).unwrap();
    config["hub"]["notify"]["command"] = json!(["sh", "-c", wait]);
    hub.bench.write("hub.json", config.to_string().as_bytes());
    hub.reports(1, 20, |_| {});
    let mut first = hub.bench.command(&WATCH).spawn().unwrap();
    while !hub.bench.path("heard").exists() {
        std::thread::yield_now();
    }
    let mut second = hub.bench.command(&WATCH).spawn().unwrap();
    let lock = fs::canonicalize(hub.bench.path("data/own/watch.lock")).unwrap();
    let waits = |process: &std::process::Child| {
        let files = fs::read_dir(format!("/proc/{}/fd", process.id())).into_iter().flatten().flatten();
        files.filter_map(|file| fs::read_link(file.path()).ok()).any(|file| file == lock)
    };
    while !waits(&second) {
        assert!(second.try_wait().unwrap().is_none(), "it has ended");
        std::thread::yield_now();
    }
    hub.bench.write("released", b"");
    assert!(first.wait().unwrap().success() && second.wait().unwrap().success());
    assert_eq!(fs::read_to_string(hub.bench.path("heard")).unwrap(), "told\n");
}

#[test]
fn what_nobody_heard_is_not_forgotten_because_an_end_was_heard() {
    let hub = Watched::new(|config| {
        config["hub"]["notify"]["timeout"] = json!("1s");
        let heard = config["hub"]["notify"]["command"][2].as_str().unwrap().to_owned();
        config["hub"]["notify"]["command"][2] = json!(format!("test $HEARTH_EVENT != failure || exit 1; {heard}"));
        config["hub"]["notify"]["on"] = json!(["recovery", "failure"]);
    });
    hub.bench.write(
        "data/own/watch.json",
        json!({ "concerns": { "silent r backup x": {
        "since": "2026-01-01T00:00:00Z", "name": "silent r backup x", "cause": "silent", "severity": "error", "text": "job x of r: silent"
    } } })
        .to_string()
        .as_bytes(),
    );
    hub.reports(1, 20, |_| {});
    assert!(hub.ends(1).starts_with("recovery: "), "the end is heard, the beginning is not");
    let look = hub.bench.json(&[&WATCH[..], &["--dry-run"]].concat());
    assert_eq!((look["began"].as_array().unwrap().len(), look["ended"].as_array().unwrap().len()), (1, 0), "{look}");
}
