//! Every run ends in a report, whatever becomes of it; and what hosts show of them: the status, and metrics.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod cli_common;
#[path = "servers/small_disk.rs"]
mod small_disk;

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::{Child, Stdio};

use cli_common::{Bench, expect};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use serde_json::{Value, json};
use small_disk::Small;

const RUN: [&str; 4] = ["run", "state", "--config", "config.json"];

/// A bench with a job `state`, which `change` completes.
fn bench(change: impl FnOnce(&mut Value)) -> Bench {
    let bench = Bench::with_repository();
    let mut config = json!({
        "host": "rex",
        "repositories": { "main": { "url": bench.path("repo"), "writerKey": bench.path("hearth-writer.key"), "copy": { "media": "hdd" } } },
        "jobs": { "state": { "paths": [bench.source()], "repositories": ["main"], "every": "24h" } },
    });
    change(&mut config);
    bench.write("config.json", config.to_string().as_bytes());
    bench
}

/// All reports of one name, the newest first.
fn reports(bench: &Bench, slot: &str) -> Vec<Value> {
    let folder = bench.path("state/reports").join(slot);
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| path.extension().is_some_and(|extension| extension == "json") && !path.ends_with("refused.json"));
    names.sort();
    names.iter().rev().map(|path| serde_json::from_slice(&fs::read(path).unwrap()).unwrap()).collect()
}

/// A run that hangs in a hook until the fifo of the same name is written to; it has come that far.
struct Hanging {
    run: Child,
    gate: std::path::PathBuf,
}

impl Hanging {
    fn start(bench: &Bench) -> Self {
        let (here, gate) = (bench.path("here"), bench.path("gate"));
        let _ = (mkfifo(&here, Mode::S_IRWXU), mkfifo(&gate, Mode::S_IRWXU));
        let run = bench.command(&RUN).env("INVOCATION_ID", "0123456789abcdef0123456789abcdef").stderr(Stdio::null()).spawn().unwrap();
        let mut word = String::new();
        File::open(&here).unwrap().read_to_string(&mut word).unwrap();
        Self { run, gate }
    }

    fn end(mut self, signal: Signal) -> Option<i32> {
        kill(Pid::from_raw(i32::try_from(self.run.id()).unwrap()), signal).unwrap();
        let status = self.run.wait().unwrap();
        // The hook, if it is still there, may go.
        let _ = fs::OpenOptions::new().read(true).write(true).open(&self.gate).map(drop);
        status.code()
    }
}

fn hanging(bench: &Bench) -> Value {
    let script = format!("echo here > {}; exec cat {}", bench.path("here").display(), bench.path("gate").display());
    json!([{ "command": ["sh", "-c", script] }])
}

fn bench_that_hangs() -> Bench {
    let bench = bench(|_| {});
    let mut config: Value = serde_json::from_slice(&fs::read(bench.path("config.json")).unwrap()).unwrap();
    config["jobs"]["state"]["hooks"]["before"] = hanging(&bench);
    bench.write("config.json", config.to_string().as_bytes());
    bench
}

/// Lets the job of a bench hang no longer.
fn unhang(bench: &Bench) {
    let mut config: Value = serde_json::from_slice(&fs::read(bench.path("config.json")).unwrap()).unwrap();
    config["jobs"]["state"]["hooks"] = json!({});
    bench.write("config.json", config.to_string().as_bytes());
}

#[test]
fn a_report_has_the_phases_of_its_run_and_systemds_name_for_it() {
    let bench = bench(|_| {});
    expect(bench.command(&RUN).env("INVOCATION_ID", "ab".repeat(16)).output().unwrap(), 0, "run");
    let report = &reports(&bench, "backup-state")[0];
    assert_eq!((&report["outcome"], &report["invocation"]), (&json!("success"), &json!("ab".repeat(16))));
    let phases: Vec<&str> = report["phases"].as_array().unwrap().iter().map(|phase| phase["name"].as_str().unwrap()).collect();
    let of_all = ["open", "discover", "scan", "commit", "release"];
    assert!(of_all.iter().all(|name| phases.contains(name)), "{phases:?}");
    assert!(report["repositories"][0]["disk"]["size"].as_u64().unwrap() > 0);
    assert!(report["repositories"][0]["id"].is_string());
}

#[test]
fn a_run_that_is_asked_to_stop_says_so_and_one_that_is_killed_is_closed_by_who_comes_next() {
    let bench = bench_that_hangs();
    assert_eq!(Hanging::start(&bench).end(Signal::SIGTERM), Some(143));
    assert_eq!(
        (&reports(&bench, "backup-state")[0]["outcome"], &reports(&bench, "backup-state")[0]["exit_status"]),
        (&json!("stopped"), &json!(143))
    );
    assert_eq!(Hanging::start(&bench).end(Signal::SIGKILL), None);
    let report = reports(&bench, "backup-state").remove(0);
    assert_eq!((&report["outcome"], &report["ended"]), (&json!("running"), &Value::Null));
    let status = bench.json_ends(&["status", "--config", "config.json"], 1);
    assert_eq!((&status["jobs"][0]["state"], &status["jobs"][0]["last_run"]["outcome"]), (&json!("failing"), &json!("killed")));
    unhang(&bench);
    bench.ok(&RUN);
    let all = reports(&bench, "backup-state");
    let outcomes: Vec<_> = all.iter().map(|report| report["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["success", "killed", "stopped"]);
    assert!(all[1]["error"].as_str().unwrap().contains("without a word") && all[1]["ended"].is_string(), "{}", all[1]);
    assert!(fs::read_dir(bench.path("state/reports/backup-state")).unwrap().all(|entry| !entry.unwrap().path().ends_with(".lock")));
}

#[test]
fn systemd_closes_the_report_of_a_killed_run_at_once_and_says_why() {
    let bench = bench_that_hangs();
    let mut config: Value = serde_json::from_slice(&fs::read(bench.path("config.json")).unwrap()).unwrap();
    config["monitoring"] = json!({ "textfile": bench.path("hearth.prom") });
    bench.write("config.json", config.to_string().as_bytes());
    let settle = |result: &str, status: &str| {
        let mut command = bench.command(&["settle", "state", "--config", "config.json"]);
        command.env("SERVICE_RESULT", result).env("EXIT_STATUS", status).env("INVOCATION_ID", "0123456789abcdef0123456789abcdef");
        expect(command.output().unwrap(), 0, "settle")
    };
    for (result, status, why) in [
        ("signal", "KILL", "it was ended by KILL"),
        ("oom-kill", "KILL", "there was no memory left"),
        ("timeout", "KILL", "it took longer than its unit may"),
    ] {
        Hanging::start(&bench).end(Signal::SIGKILL);
        settle(result, status);
        let report = reports(&bench, "backup-state").remove(0);
        assert_eq!(report["outcome"], "killed");
        assert!(report["error"].as_str().unwrap().contains(why), "{report}");
        let metrics = fs::read_to_string(bench.path("hearth.prom")).unwrap();
        assert!(metrics.contains("hearth_backup_last_run_success{host=\"rex\",job=\"state\"} 0"), "{metrics}");
        fs::remove_file(bench.path("hearth.prom")).unwrap();
    }
    // It had time to say that it was stopped, but could not know why.
    Hanging::start(&bench).end(Signal::SIGTERM);
    settle("timeout", "143");
    let report = reports(&bench, "backup-state").remove(0);
    assert_eq!(report["outcome"], "stopped");
    assert!(report["error"].as_str().unwrap().contains("longer than its unit may"), "{report}");
    let before = reports(&bench, "backup-state");
    settle("success", "0");
    assert_eq!(reports(&bench, "backup-state"), before, "nothing is left to be closed");
}

#[test]
fn a_run_that_is_alive_is_not_closed_by_others() {
    let bench = bench_that_hangs();
    let run = Hanging::start(&bench);
    bench.ok(&["settle", "state", "--config", "config.json"]);
    bench.ok(&["settle", "main", "--kind", "prune", "--config", "config.json"]);
    assert_eq!(reports(&bench, "backup-state")[0]["outcome"], "running");
    let status = bench.json_ends(&["status", "--config", "config.json"], 0);
    assert_eq!(status["jobs"][0]["state"], "running");
    run.end(Signal::SIGTERM);
}

#[test]
fn a_run_that_fills_the_disk_of_its_repository_fails_with_a_report_metrics_and_a_message() {
    let bench = bench(|_| {});
    let Some(small) = Small::mount(bench.path("small"), "512k") else { return };
    let place = small.0.join("repo");
    bench.ok(&["init", "--repo", place.to_str().unwrap(), "--writer-key", "small.key", "--restore-key", "small-restore.key"]);
    let mut noise = vec![0; 3_000_000];
    noise.iter_mut().fold(1_u64, |state, byte| {
        *byte = (state >> 56) as u8;
        state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407)
    });
    bench.write("source/noise", &noise);
    let mut config: Value = serde_json::from_slice(&fs::read(bench.path("config.json")).unwrap()).unwrap();
    config["repositories"]["main"] = json!({ "url": place, "writerKey": bench.path("small.key") });
    config["monitoring"] = json!({ "textfile": bench.path("hearth.prom") });
    config["notify"] = json!({ "command": ["sh", "-c", format!("cat > {}", bench.path("heard").display())] });
    bench.write("config.json", config.to_string().as_bytes());
    bench.ends(&[&RUN[..], &["--notify"]].concat(), 1);
    let report = reports(&bench, "backup-state").remove(0);
    assert_eq!((&report["outcome"], &report["repositories"][0]["outcome"]), (&json!("failure"), &json!("failure")));
    assert!(report["error"].as_str().unwrap().contains("No space left"), "{report}");
    assert!(
        fs::read_to_string(bench.path("hearth.prom")).unwrap().contains("hearth_backup_last_run_success{host=\"rex\",job=\"state\"} 0")
    );
    assert!(fs::read_to_string(bench.path("heard")).unwrap().contains("No space left"));
}

#[test]
fn a_run_that_ends_on_a_full_state_disk_is_not_taken_for_a_killed_one() {
    let bench = bench(|_| {});
    let Some(small) = Small::mount(bench.path("state"), "2m") else { return };
    let fill = format!("cat /dev/zero > {}/junk; true", small.0.display());
    let mut config: Value = serde_json::from_slice(&fs::read(bench.path("config.json")).unwrap()).unwrap();
    config["jobs"]["state"]["hooks"]["afterSuccess"] = json!([{ "command": ["sh", "-c", fill] }]);
    bench.write("config.json", config.to_string().as_bytes());
    let invocation = "cd".repeat(16);
    expect(bench.command(&RUN).env("INVOCATION_ID", &invocation).output().unwrap(), 0, "run");
    let report = reports(&bench, "backup-state").remove(0);
    assert_eq!(
        (&report["outcome"], &report["repositories"][0]["outcome"]),
        (&json!("success"), &json!("success")),
        "there was room for it"
    );
    let mut settle = bench.command(&["settle", "state", "--config", "config.json"]);
    settle.env("SERVICE_RESULT", "success").env("EXIT_STATUS", "0").env("INVOCATION_ID", &invocation);
    expect(settle.output().unwrap(), 0, "settle");
    assert_eq!(bench.json_ends(&["status", "--config", "config.json"], 0)["jobs"][0]["state"], "ok");
}

#[test]
fn of_a_run_that_ended_well_and_could_not_say_so_systemds_word_is_taken() {
    let bench = bench_that_hangs();
    for (result, status, outcome) in [("success", "0", "warnings"), ("exit-code", "1", "failure"), ("success", "143", "stopped")] {
        Hanging::start(&bench).end(Signal::SIGKILL);
        let mut settle = bench.command(&["settle", "state", "--config", "config.json"]);
        settle.env("SERVICE_RESULT", result).env("EXIT_STATUS", status).env("INVOCATION_ID", "0123456789abcdef0123456789abcdef");
        expect(settle.output().unwrap(), 0, "settle");
        let report = reports(&bench, "backup-state").remove(0);
        let there = if outcome == "warnings" { "stopped" } else { outcome };
        assert_eq!(
            (&report["outcome"], &report["repositories"][0]["outcome"]),
            (&json!(outcome), &json!(there)),
            "nobody knows what it did"
        );
        assert!(report["error"].as_str().unwrap().contains("its last report could not be written"), "{report}");
    }
}

#[test]
fn a_run_that_finds_another_one_under_way_changes_nothing_of_how_that_fares() {
    let bench = bench_that_hangs();
    let mut config: Value = serde_json::from_slice(&fs::read(bench.path("config.json")).unwrap()).unwrap();
    config["monitoring"] = json!({ "textfile": bench.path("hearth.prom") });
    config["notify"] = json!({ "on": ["success", "failure", "recovery"], "command": ["sh", "-c", format!("echo $HEARTH_TITLE >> {}", bench.path("heard").display())] });
    bench.write("config.json", config.to_string().as_bytes());
    let (here, gate) = (bench.path("here"), bench.path("gate"));
    let _ = (mkfifo(&here, Mode::S_IRWXU), mkfifo(&gate, Mode::S_IRWXU));
    let mut first = bench.command(&[&RUN[..], &["--notify"]].concat()).stderr(Stdio::null()).spawn().unwrap();
    File::open(&here).unwrap().read_to_string(&mut String::new()).unwrap();
    let error = bench.fails(&RUN, 1);
    assert!(error.contains("is being run by process"), "{error}");
    let state = |code| bench.json_ends(&["status", "--config", "config.json"], code)["jobs"][0].clone();
    assert_eq!((&state(0)["state"], &state(0)["failures"]), (&json!("running"), &json!(0)));
    fs::write(&gate, b"on").unwrap();
    assert!(first.wait().unwrap().success());
    assert_eq!((&state(0)["state"], &state(0)["failures"]), (&json!("ok"), &json!(0)));
    assert!(
        fs::read_to_string(bench.path("hearth.prom")).unwrap().contains("hearth_backup_last_run_success{host=\"rex\",job=\"state\"} 1")
    );
    assert_eq!(fs::read_to_string(bench.path("heard")).unwrap(), "rex: backup state succeeded\n");
    assert_eq!(reports(&bench, "backup-state").len(), 1);
    let refused: Value = serde_json::from_slice(&fs::read(bench.path("state/reports/backup-state/refused.json")).unwrap()).unwrap();
    assert!(refused["error"].as_str().unwrap().contains("is being run by"), "{refused}");
}

#[test]
fn of_a_run_that_was_killed_people_are_told_by_whoever_comes_next() {
    let bench = bench_that_hangs();
    let mut config: Value = serde_json::from_slice(&fs::read(bench.path("config.json")).unwrap()).unwrap();
    config["notify"] =
        json!({ "command": ["sh", "-c", format!("echo $HEARTH_RESULT: $HEARTH_TITLE >> {}", bench.path("heard").display())] });
    bench.write("config.json", config.to_string().as_bytes());
    let heard = || fs::read_to_string(bench.path("heard")).unwrap_or_default();
    Hanging::start(&bench).end(Signal::SIGKILL);
    bench.ok(&["settle", "state", "--notify", "--config", "config.json"]);
    assert_eq!(heard(), "killed: rex: backup state failed\n");
    Hanging::start(&bench).end(Signal::SIGKILL);
    unhang(&bench);
    bench.ok(&[&RUN[..], &["--notify"]].concat());
    let line = "killed: rex: backup state failed\n";
    assert_eq!(heard(), format!("{line}{line}success: rex: backup state works again\n"), "and then what became of the next one");
    bench.ok(&["settle", "state", "--notify", "--config", "config.json"]);
    assert_eq!(heard().lines().count(), 3, "nobody hears twice");
}

#[test]
fn damage_that_a_check_finds_is_a_failure_wherever_somebody_looks() {
    let bench = bench(|_| {});
    let mut config: Value = serde_json::from_slice(&fs::read(bench.path("config.json")).unwrap()).unwrap();
    config["repositories"]["main"]["check"] = json!({ "readPacks": 100 });
    config["monitoring"] = json!({ "textfile": bench.path("hearth.prom") });
    config["notify"] =
        json!({ "command": ["sh", "-c", format!("(echo $HEARTH_EVENT: $HEARTH_TITLE; cat) > {}", bench.path("heard").display())] });
    bench.write("config.json", config.to_string().as_bytes());
    bench.ok(&RUN);
    let packs = fs::read_dir(bench.path("repo/packs")).unwrap().flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap());
    let pack = packs.map(|pack| pack.unwrap().path()).next().unwrap();
    let mut bytes = fs::read(&pack).unwrap();
    let middle = bytes.len() / 3;
    bytes[middle] ^= 1;
    fs::set_permissions(&pack, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&pack, bytes).unwrap();
    bench.ends(&["maintain", "main", "--only", "check", "--notify", "--config", "config.json"], 3);
    let status = bench.json_ends(&["status", "--config", "config.json"], 1);
    let check = status["jobs"].as_array().unwrap().iter().find(|job| job["kind"] == "check").unwrap().clone();
    assert_eq!((&check["state"], &check["failures"]), (&json!("failing"), &json!(1)), "{check:#}");
    let warnings: Vec<&str> = status["warnings"].as_array().unwrap().iter().map(|warning| warning["text"].as_str().unwrap()).collect();
    assert!(warnings.iter().any(|text| text.starts_with("check: the last run found damage: 1 thing is damaged")), "{warnings:?}");
    let metrics = fs::read_to_string(bench.path("hearth.prom")).unwrap();
    assert!(metrics.contains("hearth_backup_task_last_run_success{host=\"rex\",kind=\"check\",name=\"main\"} 0"), "{metrics}");
    let heard = fs::read_to_string(bench.path("heard")).unwrap();
    assert!(
        heard.starts_with("failure: rex: keeping house in main found damage\n") && heard.contains("Why: 1 thing is damaged"),
        "{heard}"
    );
}

#[test]
fn a_state_that_cannot_be_written_costs_the_report_and_not_the_backup() {
    let bench = bench(|_| {});
    fs::create_dir_all(bench.path("state")).unwrap();
    // Nothing can be written where a file is in the way.
    bench.write("state/reports", b"");
    let (_, error) = bench.ends(&RUN, 0);
    assert!(error.contains("the report of this run is not kept"), "{error}");
    assert_eq!(bench.snapshots().len(), 1);
}

#[test]
fn each_kind_of_run_ends_in_a_report() {
    let bench = bench(|config| {
        config["repositories"]["copy"] = json!({ "url": "/nowhere" });
        config["mirrors"] = json!({ "copy": { "from": "main", "to": "copy" } });
    });
    let mut config: Value = serde_json::from_slice(&fs::read(bench.path("config.json")).unwrap()).unwrap();
    config["repositories"]["copy"]["url"] = json!(bench.path("copy"));
    config["jobs"]["state"]["retention"] = json!({ "daily": 7 });
    bench.write("config.json", config.to_string().as_bytes());
    bench.ok(&RUN);
    bench.ok(&["mirror", "copy", "--config", "config.json"]);
    bench.ok(&["maintain", "main", "--config", "config.json"]);
    for step in ["forget", "prune", "check"] {
        bench.ok(&["maintain", "main", "--only", step, "--config", "config.json"]);
    }
    for slot in ["backup-state", "mirror-copy", "maintain-main", "forget-main", "prune-main", "check-main"] {
        let all = reports(&bench, slot);
        assert_eq!((all.len(), &all[0]["outcome"]), (1, &json!("success")), "{slot}");
    }
}

#[test]
fn the_status_of_a_host_shows_what_ran_and_what_never_did() {
    let bench = bench(|config| {
        config["jobs"]["photos"] = json!({ "paths": ["/x"], "repositories": ["main"] });
        config["monitoring"] = json!({ "uncovered": ["/var/lib/grafana"], "drillWithin": "30d" });
    });
    bench.ok(&RUN);
    let (text, _) = bench.ends(&["status", "--config", "config.json"], 1);
    for expected in [
        "photos  never",
        "state   ok",
        "2 on 2 media",
        "Not covered by any job: /var/lib/grafana",
        "rex/photos: it never ran",
        "repository main: a restore of it was last tried never",
    ] {
        assert!(text.contains(expected), "{expected} in:\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "colours are for terminals");
    let status = bench.json_ends(&["status", "--config", "config.json"], 1);
    assert_eq!((&status["healthy"], &status["repositories"][0]["name"]), (&json!(false), &json!("main")));
    assert!(status["repositories"][0]["disk"]["free"].as_u64().unwrap() > 0);
}

#[test]
fn metrics_are_written_for_node_exporter_after_every_run() {
    let bench = bench(|_| {});
    let file = bench.path("textfile/hearth.prom");
    fs::create_dir(bench.path("textfile")).unwrap();
    let mut config: Value = serde_json::from_slice(&fs::read(bench.path("config.json")).unwrap()).unwrap();
    config["monitoring"] = json!({ "textfile": file });
    bench.write("config.json", config.to_string().as_bytes());
    bench.ok(&RUN);
    let text = fs::read_to_string(&file).unwrap();
    for line in [
        "hearth_backup_info{host=\"rex\",version=",
        "hearth_backup_last_success_timestamp_seconds{host=\"rex\",job=\"state\",repository=\"main\"} ",
        "hearth_backup_overdue_timestamp_seconds{host=\"rex\",job=\"state\"} ",
        "hearth_backup_anomalies{host=\"rex\",job=\"state\",repository=\"main\",kind=\"shrunk\"} 0",
        "hearth_backup_repository_disk_free_bytes{host=\"rex\",repository=\"main\"} ",
        "hearth_backup_copies{host=\"rex\",job=\"state\"} 2",
    ] {
        assert!(text.lines().any(|found| found.starts_with(line)), "{line} in:\n{text}");
    }
    assert!(!text.contains("clock_skew"), "one clock has none");
    let metadata = fs::metadata(&file).unwrap();
    assert_eq!((metadata.permissions().mode() & 0o777, metadata.uid()), (0o644, nix::unistd::geteuid().as_raw()), "node_exporter reads it");
    assert_eq!(fs::read_dir(bench.path("textfile")).unwrap().count(), 1, "nothing else lies there");
    fs::remove_dir_all(bench.path("textfile")).unwrap();
    let (_, error) = bench.ends(&RUN, 0);
    assert!(error.contains("the metrics in") && error.contains("are not brought up to date"), "{error}");
}

#[test]
fn a_pushgateway_that_is_not_there_fails_no_backup() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (address, why) in [(silent.local_addr().unwrap(), "timeout"), (free, "refused")] {
        let bench =
            bench(|config| config["monitoring"] = json!({ "pushgateway": { "url": format!("http://{address}"), "timeout": "1s" } }));
        let (_, error) = bench.ends(&RUN, 0);
        assert!(error.contains(&format!("the Pushgateway http://{address} is not told of this run")) && error.contains(why), "{error}");
        assert_eq!(reports(&bench, "backup-state")[0]["outcome"], "success");
    }
}

#[test]
fn what_is_wrong_with_monitoring_is_said_by_its_key() {
    for (monitoring, expected) in [
        (json!({ "textfile": "x.prom" }), "monitoring.textfile: must be the absolute path"),
        (json!({ "textfile": "/x.txt" }), "monitoring.textfile: must be the absolute path"),
        (json!({ "pushgateway": { "url": "ftp://x" } }), "monitoring.pushgateway.url: must begin with"),
        (json!({ "pushgateway": { "url": "http://a:b@x" } }), "must not hold a user or password"),
        (json!({ "pushgateway": { "url": "http://x", "timeout": "0" } }), "monitoring.pushgateway.timeout: must be"),
    ] {
        let bench = bench(|config| config["monitoring"] = monitoring.clone());
        let error = bench.fails(&["config", "check", "--config", "config.json"], 1);
        assert!(error.contains(expected), "{monitoring}: {error}");
    }
}
