//! Reports of runs: what a host keeps and tells its hub, and what a hub makes of what hosts tell.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod cli_common;
#[path = "hub/cluster.rs"]
mod cluster;
mod hub;
#[path = "hub/raw.rs"]
mod raw;
mod stand_ins;

use std::fs;
use std::path::Path;

use cli_common::expect;
use cluster::Cluster;
use hearth_backup::hub::Role;
use hub::Server;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use raw::ask;
use serde_json::{Value, json};
use stand_ins::{StandIns, lasting, started};

const RUN: [&str; 4] = ["run", "state", "--config", "config.json"];

/// Gives the host a configuration with a job `state` that goes to the hub.
fn configure(cluster: &Cluster, change: impl FnOnce(&mut Value)) {
    let bench = &cluster.bench;
    let mut config = json!({
        "host": "q",
        "repositories": { "offsite": {
            "url": format!("{}/nas", cluster.server.base), "writerKey": bench.path("w.key"), "token": bench.path("writer.token"),
            "copy": { "media": "hdd", "offsite": true }
        } },
        "jobs": { "state": { "paths": [bench.source()], "repositories": ["offsite"], "every": "24h" } }
    });
    change(&mut config);
    bench.write("config.json", config.to_string().as_bytes());
}

/// The reports in a directory, in the order of their names.
fn files(folder: &Path) -> Vec<Value> {
    let entries = fs::read_dir(folder).map(|entries| entries.map(|entry| entry.unwrap().path()).collect::<Vec<_>>());
    let mut paths = entries.unwrap_or_default();
    paths.sort();
    paths.iter().map(|path| serde_json::from_slice(&fs::read(path).unwrap()).unwrap()).collect()
}

/// What the host has kept, and what its hub has; the reports of a job.
fn both(cluster: &Cluster, slot: &str) -> (Vec<Value>, Vec<Value>) {
    let here = files(&cluster.bench.path(format!("state/reports/{slot}")));
    let there = files(&cluster.server.folder.path().join(format!("reports/nas/{slot}")));
    (here, there)
}

/// The only report of a job, which is the same on both sides.
fn only(cluster: &Cluster, slot: &str) -> Value {
    let (mut here, there) = both(cluster, slot);
    assert_eq!((here.len(), there.len()), (1, 1), "{here:?} {there:?}");
    assert_eq!((&there[0]["report"], &there[0]["host"], &there[0]["repository"]), (&here[0], &json!("nas"), &json!("nas")));
    here.remove(0)
}

fn headers(token: &str, body: &str) -> String {
    format!("Authorization: Bearer {token}\r\nContent-Length: {}\r\n", body.len())
}

/// Posts a report.
fn post(server: &Server, token: &str, report: &Value) -> (u16, Value) {
    let body = report.to_string();
    ask(&server.base, "POST /v1/nas/reports", &headers(token, &body), &body)
}

fn crafted() -> Value {
    json!({
        "version": 1, "id": "0123456789abcdef0123456789abcdef", "program": "0.1.0", "host": "q", "kind": "backup", "job": "state",
        "started": "2026-11-20T02:00:00Z", "ended": "2026-11-20T02:05:00Z", "outcome": "success",
        "repositories": [{ "name": "hub", "outcome": "success", "bytes": 7, "files": 2 }]
    })
}

#[test]
fn a_run_that_succeeds_ends_in_a_report_here_and_at_the_hub() {
    let cluster = Cluster::new();
    configure(&cluster, |_| {});
    let done: Value = serde_json::from_str(&cluster.bench.ok(&[&RUN[..], &["--json"]].concat())).unwrap();
    let report = only(&cluster, "backup-state");
    assert_eq!((&report["outcome"], &report["exit_status"], &report["host"]), (&json!("success"), &json!(0), &json!("q")));
    let there = &report["repositories"][0];
    assert_eq!((&there["name"], &there["snapshot"]), (&json!("offsite"), &done["repositories"][0]["snapshot"]));
    assert_eq!((&there["files"], &there["bytes"]), (&json!(4), &json!(200_016)));
    assert_eq!(there["copy"], json!({ "media": "hdd", "offsite": true }));
    assert!(there["bytes_stored"].as_u64().unwrap() > 0 && there["id"].as_str().unwrap().len() == 64);
    let time = |name: &str| report[name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert_eq!((time("next"), &report["next_by"]), (time("started") + jiff::SignedDuration::from_hours(24), &json!("every")));
    assert!(time("ended") >= time("started"));
    cluster.bench.ok(&[&RUN[..], &["--dry-run"]].concat());
    only(&cluster, "backup-state");
}

#[test]
fn a_run_with_warnings_and_one_that_fails_say_so_and_why() {
    let cluster = Cluster::new();
    configure(&cluster, |config| {
        config["jobs"]["state"]["commands"] = json!({ "bad": { "command": ["sh", "-c", "echo lost >&2; exit 1"] } })
    });
    cluster.bench.ends(&RUN, 3);
    let report = only(&cluster, "backup-state");
    assert_eq!((&report["outcome"], &report["exit_status"], &report["warning_count"]), (&json!("warnings"), &json!(3), &json!(1)));
    let [warning, line] = ["warnings", "log"].map(|name| report[name].as_array().unwrap().last().unwrap().as_str().unwrap());
    assert!(warning.starts_with("/@commands/bad") && warning.contains("lost") && line.contains(" error /@commands/bad"), "{report}");
    configure(&cluster, |config| {
        config["jobs"]["state"]["paths"] = json!(["/nowhere/at/all"]);
    });
    cluster.bench.ends(&RUN, 1);
    let (here, there) = both(&cluster, "backup-state");
    assert_eq!((here.len(), there.len()), (2, 2));
    let failed = &there[1]["report"];
    assert_eq!((&failed["outcome"], &failed["repositories"][0]["outcome"]), (&json!("failure"), &json!("failure")));
    assert!(failed["error"].as_str().unwrap().contains("nothing to save"), "{failed}");
}

#[test]
fn a_run_that_is_stopped_says_so() {
    let cluster = Cluster::new();
    let note = cluster.bench.path("note");
    configure(&cluster, |config| config["jobs"]["state"]["commands"] = json!({ "long": lasting(&note) }));
    let mut command = cluster.bench.command(&RUN);
    let (mut run, _) = started(&mut command, &note);
    kill(Pid::from_raw(run.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(143));
    let report = only(&cluster, "backup-state");
    assert_eq!((&report["outcome"], &report["exit_status"]), (&json!("stopped"), &json!(143)));
    assert_eq!(report["repositories"][0]["outcome"], "stopped");
}

#[test]
fn a_report_that_cannot_be_sent_changes_nothing_but_the_log() {
    let cluster = Cluster::new();
    cluster.bench.write("wrong.token", b"hbt_00000000_AAAA");
    let wrong = json!({ "url": format!("{}/nas", cluster.server.base), "token": cluster.bench.path("wrong.token") });
    configure(&cluster, |config| config["reportTo"] = wrong);
    let (_, error) = cluster.bench.ends(&RUN, 0);
    assert!(error.contains("does not have the report of this run") && error.contains("does not know this token"), "{error}");
    let nobody = json!({ "url": "http://127.0.0.1:1/nas", "token": cluster.bench.path("writer.token") });
    configure(&cluster, |config| config["reportTo"] = nobody);
    let (_, error) = cluster.bench.ends(&RUN, 0);
    assert!(error.contains("http://127.0.0.1:1/nas does not have the report of this run"), "{error}");
    let (here, there) = both(&cluster, "backup-state");
    assert_eq!((here.len(), there.len()), (2, 0));
}

#[test]
fn a_job_without_a_span_is_due_when_its_timer_says_so_also_while_the_timers_service_runs() {
    let cluster = Cluster::new();
    configure(&cluster, |config| {
        config["jobs"]["state"].as_object_mut().unwrap().remove("every");
    });
    let systemd = StandIns::new("systemctl.py", &["systemctl"]);
    let runs = |timer: Value| {
        systemd.set(&json!({ "units": {}, "timers": { "hearth-backup-state.timer": timer } }));
        expect(systemd.on(&mut cluster.bench.command(&RUN)).output().unwrap(), 0, "a run");
        let (_, there) = both(&cluster, "backup-state");
        there.last().unwrap()["report"].clone()
    };
    assert_eq!(runs(json!({}))["next"], Value::Null);
    let waiting = runs(json!({ "NextElapseUSecRealtime": "@4000000000", "TimersCalendar": "" }));
    assert_eq!((&waiting["next"], &waiting["next_by"]), (&json!("2096-10-02T07:06:40Z"), &json!("timer")));
    let calendar = "{ OnCalendar=2097-01-01 02:00:00 UTC ; next_elapse=@1 }";
    let running = runs(json!({ "NextElapseUSecRealtime": "", "TimersCalendar": calendar }));
    match std::process::Command::new("systemd-analyze").arg("--version").output() {
        Ok(_) => assert_eq!((&running["next"], &running["next_by"]), (&json!("2097-01-01T02:00:00Z"), &json!("timer"))),
        Err(error) => println!("not tested: systemd-analyze is not there ({error})"),
    }
}

#[test]
fn keeping_house_and_mirroring_end_in_a_report_to_whom_the_configuration_names() {
    let cluster = Cluster::new();
    cluster.bench.ok(&["init", "--repo", "local", "--writer-key", "l.key", "--restore-key", "lr.key"]);
    configure(&cluster, |config| {
        config["reportTo"] = json!({ "url": format!("{}/nas", cluster.server.base), "token": cluster.bench.path("writer.token") });
        config["repositories"]["local"] = json!({ "url": cluster.bench.path("local"), "writerKey": cluster.bench.path("l.key") });
        config["repositories"]["usb"] = json!({ "url": cluster.bench.path("usb"), "copy": { "media": "usb" } });
        config["jobs"]["state"]["repositories"] = json!(["local"]);
        config["jobs"]["state"]["retention"] = json!({ "last": 1 });
        config["mirrors"] = json!({ "stick": { "from": "local", "to": "usb" } });
    });
    cluster.bench.ok(&RUN);
    cluster.bench.ok(&RUN);
    cluster.bench.ok(&["maintain", "local", "--config", "config.json"]);
    let report = only(&cluster, "maintain-local");
    assert_eq!((&report["outcome"], &report["counts"]["problems"]), (&json!("success"), &json!(0)));
    cluster.bench.ok(&["maintain", "local", "--only", "check", "--config", "config.json"]);
    assert_eq!(only(&cluster, "check-local")["kind"], "check");
    cluster.bench.ok(&["mirror", "stick", "--config", "config.json"]);
    let report = only(&cluster, "mirror-stick");
    let (mirror, local) = (&report["repositories"][0], &both(&cluster, "backup-state").0[0]["repositories"][0]);
    assert_eq!((&mirror["name"], &mirror["copy"]["media"], &mirror["id"]), (&json!("usb"), &json!("usb"), &local["id"]));
    assert!(report["counts"]["snapshots_copied"].as_u64().unwrap() >= 1, "{report}");
    fs::rename(cluster.bench.path("local"), cluster.bench.path("unplugged")).unwrap();
    cluster.bench.ends(&["mirror", "stick", "--config", "config.json"], 1);
    assert_eq!(both(&cluster, "mirror-stick").1[1]["report"]["outcome"], "failure");
}

#[test]
fn whose_report_it_is_the_token_says_and_not_the_report() {
    let server = Server::start();
    let token = server.token("nas", Role::Writer, "nas");
    let mut report = crafted();
    report["host"] = json!("somebody-else");
    report["job"] = json!("../../../etc/passwd");
    assert_eq!(post(&server, &token, &report).0, 200);
    let folders: Vec<_> = fs::read_dir(server.folder.path().join("reports")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(folders, ["nas"]);
    assert!(server.folder.path().join("reports/nas/backup-..%2F..%2F..%2Fetc%2Fpasswd").is_dir());
    let (status, listed) = ask(&server.base, "GET /v1/nas/reports?job=..%2F..%2F..%2Fetc%2Fpasswd", &headers(&token, ""), "");
    assert_eq!((status, &listed["reports"][0]["host"]), (200, &json!("nas")));
}

#[test]
fn what_is_no_report_is_refused_and_who_may_bring_one_is_a_host_or_its_administrator() {
    let server = Server::start();
    let writer = server.token("nas", Role::Writer, "nas");
    let many = |count: usize, length: usize| json!(vec!["x".repeat(length); count]);
    let changes: [(u16, Box<dyn Fn(&mut Value)>); 8] = [
        (413, Box::new(|report| report["log"] = json!("x".repeat(300_000)))),
        (400, Box::new(move |report| report["warnings"] = many(65, 1))),
        (400, Box::new(move |report| report["log"] = many(1, 2000))),
        (400, Box::new(|report| report["started"] = json!(7))),
        (400, Box::new(|report| report["kind"] = json!("revenge"))),
        (400, Box::new(|report| report["job"] = json!("a\u{0}b"))),
        (400, Box::new(|report| report["repositories"] = json!({ "a": 1 }))),
        (400, Box::new(|report| *report = json!([]))),
    ];
    for (status, change) in changes {
        let mut report = crafted();
        change(&mut report);
        let answer = post(&server, &writer, &report);
        assert_eq!(answer.0, status, "{answer:?}");
        assert!(answer.1["message"].is_string());
    }
    for role in [Role::Reader, Role::Viewer] {
        let token = if role == Role::Viewer { server.viewer() } else { server.token("drills", role, "nas") };
        let (status, _) = post(&server, &token, &crafted());
        assert!(matches!(status, 403 | 404), "{role}: {status}");
    }
    assert!(!server.folder.path().join("reports").exists());
    assert_eq!(post(&server, &server.token("admin", Role::Maintainer, "nas"), &crafted()).0, 200);
    assert!(server.folder.path().join("reports/admin").is_dir());
}

#[test]
fn a_host_reads_its_own_reports_and_an_administrator_those_of_the_repository() {
    let server = Server::start();
    let [one, other] = ["one", "other"].map(|name| server.token(name, Role::Writer, "nas"));
    let admin = server.token("admin", Role::Maintainer, "nas");
    for (number, token) in [&one, &other, &one].into_iter().enumerate() {
        let mut report = crafted();
        report["id"] = json!(format!("{number:032x}"));
        assert_eq!(post(&server, token, &report).0, 200);
    }
    let read = |token: &str, query: &str| ask(&server.base, &format!("GET /v1/nas/reports{query}"), &headers(token, ""), "");
    let count = |token: &str, query: &str| read(token, query).1["reports"].as_array().unwrap().len();
    assert_eq!([count(&one, ""), count(&other, ""), count(&admin, "")], [2, 1, 3]);
    assert_eq!([count(&admin, "?limit=1"), count(&admin, "?job=none"), count(&admin, "?job=state&limit=2")], [1, 0, 2]);
    let newest = read(&one, "?limit=1").1["reports"][0]["report"]["id"].clone();
    assert_eq!(newest, format!("{:032x}", 2));
    assert_eq!(read(&one, "?limit=many").0, 400);
    let elsewhere = server.token("web", Role::Writer, "web");
    assert_eq!(read(&elsewhere, "").0, 404);
}
