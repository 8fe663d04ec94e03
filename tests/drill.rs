//! Drills: the real program restores, tests, and cleans up after itself. Here files; databases, the smoke command and whole hosts beside it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod cli_common;
#[path = "drill/full_host.rs"]
mod full_host;
#[path = "drill/mariadb.rs"]
mod mariadb;
#[path = "drill/postgresql.rs"]
mod postgresql;
#[path = "servers/small_disk.rs"]
mod small_disk;
#[path = "drill/smoke.rs"]
mod smoke;
#[path = "drill/sqlite.rs"]
mod sqlite;

use std::fs;
use std::path::PathBuf;

use cli_common::Bench;
use serde_json::{Value, json};

const DRILL: [&str; 4] = ["drill", "weekly", "--config", "config.json"];

/// A bench with a snapshot of the source, and a drill `weekly` of it but for what `change` says.
fn drilled(change: &Value) -> Bench {
    let bench = Bench::with_repository();
    bench.ok(&["backup", "--key", "hearth-writer.key", "--job", "state", "--host", "here", &bench.source()]);
    configure(&bench, change);
    bench
}

fn configure(bench: &Bench, change: &Value) {
    let mut drill = json!({ "repository": "main", "key": bench.path("hearth-restore.key"), "scratch": bench.path("scratch") });
    drill.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    let config = json!({
        "host": "here",
        "repositories": { "main": { "url": bench.path("repo") } },
        "drills": { "weekly": drill },
    });
    bench.write("config.json", config.to_string().as_bytes());
}

/// The outcome of a test, and what it says.
fn test<'a>(document: &'a Value, name: &str) -> (&'a str, &'a str) {
    let tests = document["tests"].as_array().unwrap();
    let test = tests.iter().find(|test| test["name"] == name).unwrap_or_else(|| panic!("no test `{name}`: {document:#}"));
    (test["outcome"].as_str().unwrap(), test["text"].as_str().unwrap())
}

/// All reports of the drill, oldest first.
fn reports(bench: &Bench) -> Vec<Value> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(bench.path("state/reports/drill-weekly")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| serde_json::from_slice(&fs::read(path).unwrap()).unwrap()).collect()
}

/// Nothing is left of a drill.
fn assert_clean(bench: &Bench) {
    let left: Vec<PathBuf> = fs::read_dir(bench.path("scratch")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_snapshot_is_restored_read_back_reported_and_wiped() {
    let bench = drilled(&json!({}));
    let document = bench.json(&DRILL);
    assert_eq!(test(&document, "restore").0, "passed");
    assert!(test(&document, "read back").1.starts_with("all 4 files have the content"), "{document:#}");
    assert_eq!((&document["files"], &document["bytes"]), (&json!(4), &json!(200_016)));
    assert_eq!(document["recovery_bytes"], 200_016);
    assert!(document["bytes_per_second"].as_u64().unwrap() > 0 && document["recovery_seconds"].as_u64().is_some());
    assert_eq!(document["snapshot"].as_str().unwrap(), bench.snapshots()[0]);
    assert_clean(&bench);
    let (text, _) = bench.ends(&DRILL, 0);
    assert!(text.contains("Drill weekly passed") && text.contains("ok      read back"), "{text}");
    let reports = reports(&bench);
    let report = &reports[0];
    assert_eq!((&report["kind"], &report["job"], &report["outcome"]), (&json!("drill"), &json!("weekly"), &json!("success")));
    assert_eq!(report["repositories"][0]["name"], "main");
    assert_eq!((&report["repositories"][0]["outcome"], &report["repositories"][0]["files"]), (&json!("success"), &json!(4)));
    assert_eq!(report["drill"]["tests"].as_array().unwrap().len(), document["tests"].as_array().unwrap().len());
    assert_eq!(report["drill"]["tests_failed"], 0);
}

#[test]
fn what_the_live_source_has_not_changed_since_is_compared_with_it() {
    let bench = drilled(&json!({}));
    let document = bench.json(&DRILL);
    let (outcome, text) = test(&document, "compare with source");
    assert_eq!((outcome, text), ("passed", "4 files compared with the live ones, 0 not comparable"));
    bench.write("source/a.txt", b"other");
    fs::remove_file(bench.path("source/b.conf")).unwrap();
    let document = bench.json(&DRILL);
    assert_eq!(test(&document, "compare with source").1, "2 files compared with the live ones, 2 not comparable");
    fs::remove_dir_all(bench.path("source")).unwrap();
    let document = bench.json(&DRILL);
    assert_eq!(test(&document, "compare with source").0, "inconclusive");
    configure(&bench, &json!({ "compareWithSource": 0 }));
    assert!(!bench.ok(&DRILL).contains("compare with source"));
}

#[test]
fn a_snapshot_of_another_host_is_not_compared_with_this_one() {
    let bench = Bench::with_repository();
    bench.ok(&["backup", "--key", "hearth-writer.key", "--host", "elsewhere", &bench.source()]);
    configure(&bench, &json!({}));
    let (text, _) = bench.ends(&DRILL, 0);
    assert!(!text.contains("compare with source"), "{text}");
}

#[test]
fn a_damaged_repository_fails_the_drill() {
    let bench = drilled(&json!({}));
    let packs = bench.path("repo/packs");
    let mut broken = 0;
    for pack in fs::read_dir(packs).unwrap().flat_map(|shard| fs::read_dir(shard.unwrap().path()).unwrap()) {
        let path = pack.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0xff;
        open_for_writing(&path);
        fs::write(&path, bytes).unwrap();
        broken += 1;
    }
    assert!(broken > 0);
    let document = bench.json_ends(&DRILL, 1);
    assert!(document["error"].as_str().unwrap().starts_with("restore: /: part of its listing is lost: "), "{document:#}");
    assert_clean(&bench);
    let report = &reports(&bench)[0];
    assert!(!report["error"].as_str().unwrap().contains("hearth-drill-"), "paths are those of the snapshot: {report:#}");
    assert_eq!((&report["outcome"], &report["repositories"][0]["outcome"]), (&json!("failure"), &json!("failure")));
    assert!(report["error"].as_str().is_some());
}

fn open_for_writing(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn a_drill_that_cannot_be_done_is_a_failure_with_a_report() {
    let bench = drilled(&json!({ "host": "web7" }));
    let error = bench.fails(&DRILL, 1);
    assert!(error.contains("no complete snapshot of host `web7`") && error.contains("here state"), "{error}");
    assert_eq!(reports(&bench)[0]["outcome"], "failure");
    configure(&bench, &json!({ "key": bench.path("no such key") }));
    let error = bench.fails(&DRILL, 1);
    assert!(error.contains("no such key"), "{error}");
    configure(&bench, &json!({ "key": bench.path("hearth-writer.key") }));
    bench.fails(&DRILL, 1);
    bench.ok(&["init", "--repo", "other", "--writer-key", "other-writer.key", "--restore-key", "other-restore.key"]);
    configure(&bench, &json!({ "key": bench.path("other-restore.key") }));
    bench.fails(&DRILL, 1);
    assert_eq!(reports(&bench).iter().filter(|report| report["outcome"] == "failure").count(), 4);
    let config = fs::read_to_string(bench.path("config.json")).unwrap();
    let wrong = bench.json(&["snapshots", "--repo", "repo", "--trust-new-repository"])["repository"].as_str().unwrap().to_owned();
    bench.write("config.json", config.replace("/repo\"", &format!("/repo#{wrong}\"")).as_bytes());
    assert!(bench.fails(&DRILL, 1).contains("one of them is the wrong one"), "the key is for another repository");
    bench.fails(&["drill", "wekly", "--config", "config.json"], 1);
}

#[test]
fn the_oldest_a_random_or_the_newest_snapshot_is_taken() {
    let bench = drilled(&json!({ "snapshot": "oldest" }));
    bench.write("source/new.txt", b"later");
    bench.ok(&["backup", "--key", "hearth-writer.key", "--job", "state", "--host", "here", &bench.source()]);
    let (oldest, newest) = (bench.snapshots()[0].clone(), bench.snapshots()[1].clone());
    assert_eq!(bench.json(&DRILL)["snapshot"], json!(oldest));
    configure(&bench, &json!({}));
    let document = bench.json(&DRILL);
    assert_eq!((&document["snapshot"], &document["files"]), (&json!(newest), &json!(5)));
    assert_eq!(document["recovery_bytes"], 200_021, "of a host and job only the newest is needed");
    configure(&bench, &json!({ "snapshot": "random" }));
    let taken = bench.json(&DRILL)["snapshot"].clone();
    assert!([json!(oldest), json!(newest)].contains(&taken));
}

#[test]
fn a_part_is_restored_files_at_random_or_named_paths() {
    let bench = drilled(&json!({ "amount": { "paths": ["a.txt"] } }));
    let document = bench.json(&DRILL);
    assert_eq!((&document["files"], document.get("recovery_seconds")), (&json!(1), None), "a few bytes tell nothing of everything");
    let (outcome, text) = test(&document, "recovery time");
    assert!(outcome == "inconclusive" && text.contains("too little was restored to tell"), "{text}");
    configure(&bench, &json!({ "amount": { "files": 2 } }));
    let document = bench.json(&DRILL);
    assert_eq!(document["files"], 2);
    assert!(test(&document, "read back").1.starts_with("all 2 files"));
    configure(&bench, &json!({ "amount": { "files": 50 } }));
    assert_eq!(bench.json(&DRILL)["files"], 4);
    configure(&bench, &json!({ "amount": { "paths": ["*.txt"] } }));
    assert_eq!(bench.json(&DRILL)["files"], 2);
    configure(&bench, &json!({ "amount": { "paths": ["*.txt", "/gone"] } }));
    let document = bench.json_ends(&DRILL, 1);
    assert!(test(&document, "restore").1.contains("nothing in the snapshot matches `/gone`"), "{document:#}");
    assert_eq!(document["error"], "restore: nothing in the snapshot matches `/gone`");
    assert_clean(&bench);
}

#[test]
fn a_place_that_is_too_small_is_noticed_before_anything_is_restored() {
    if !nix::unistd::geteuid().is_root() {
        println!("SKIPPED: only root can mount");
        return;
    }
    let bench = drilled(&json!({ "tmpfs": "100k" }));
    let error = bench.fails(&DRILL, 1);
    assert!(error.contains("has 100.0 KiB free, and ") && error.contains("are needed; give the drill a larger"), "{error}");
    assert_clean(&bench);
    configure(&bench, &json!({ "tmpfs": "2MiB" }));
    bench.ok(&DRILL);
    assert_clean(&bench);
    let fill = json!({ "command": ["sh", "-ec", "head -c 5000000 /dev/zero > big"], "sandbox": false });
    configure(&bench, &json!({ "tmpfs": "2MiB", "smoke": fill }));
    let document = bench.json_ends(&DRILL, 1);
    assert!(test(&document, "smoke").1.contains("No space left"), "{document:#}");
    assert_clean(&bench);
}

#[test]
fn what_fills_the_disk_ends_the_drill() {
    let fill = json!({ "command": ["sh", "-c", "cat /dev/zero > junk; exec sleep 1000"], "sandbox": false });
    let bench = drilled(&json!({ "smoke": fill }));
    let Some(_small) = small_disk::Small::mount(bench.path("scratch"), "8m") else { return };
    let error = bench.fails(&DRILL, 1);
    assert!(error.contains("free, and ") && error.contains("are needed"), "{error}");
    assert_clean(&bench);
    let report = &reports(&bench)[0];
    assert_eq!((&report["outcome"], &report["drill"]["tests"][4]["name"]), (&json!("failure"), &json!("smoke")), "{report:#}");
}

#[test]
fn snapshots_that_are_withheld_or_put_back_are_noticed() {
    let bench = drilled(&json!({}));
    assert_eq!(test(&bench.json(&DRILL), "newest snapshots").0, "passed");
    let old = bench.path("old");
    let copy = |from: &std::path::Path, to: &std::path::Path| {
        assert!(std::process::Command::new("cp").args(["-a", "--"]).args([from, to]).status().unwrap().success());
    };
    copy(&bench.path("repo"), &old);
    bench.ok(&["backup", "--key", "hearth-writer.key", "--job", "state", "--host", "here", &bench.source()]);
    assert_eq!(test(&bench.json(&DRILL), "newest snapshots").0, "passed");
    fs::remove_dir_all(bench.path("repo")).unwrap();
    fs::rename(&old, bench.path("repo")).unwrap();
    let document = bench.json_ends(&DRILL, 1);
    let (outcome, text) = test(&document, "newest snapshots");
    assert!(outcome == "failed" && text.contains("was there, and now the newest is"), "{text}");
    assert_eq!(test(&document, "read back").0, "passed", "the rest is tried all the same");
    fs::remove_file(bench.path("state/drills/weekly/seen.json")).unwrap();
    bench.ok(&DRILL);
}

#[test]
fn two_runs_of_a_drill_do_not_meet() {
    let bench = drilled(&json!({ "smoke": { "command": ["sleep", "1000"], "sandbox": false } }));
    let mut first = bench.command(&DRILL).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let lock = bench.path("state/drills/weekly/lock");
    while !fs::read_to_string(&lock).is_ok_and(|text| text.starts_with("process ")) {
        assert!(first.try_wait().unwrap().is_none(), "it has ended");
        std::thread::yield_now();
    }
    let error = bench.fails(&DRILL, 1);
    assert!(error.contains("drill `weekly` is being run by process"), "{error}");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(first.id().cast_signed()), nix::sys::signal::Signal::SIGTERM).unwrap();
    let first = first.wait_with_output().unwrap();
    let said = String::from_utf8(first.stderr).unwrap();
    assert_eq!(first.status.code(), Some(143), "{said}");
    assert!(said.contains("stopped on request") && !said.contains("stored"), "a drill stores nothing: {said}");
    assert_clean(&bench);
    assert!(reports(&bench).iter().any(|report| report["outcome"] == "stopped"));
}

#[test]
fn what_a_killed_drill_left_is_removed_by_settle_or_by_the_next_one() {
    let smoke =
        json!({ "smoke": { "command": ["sh", "-c", "touch ../sleeps; exec setpriv --pdeathsig KILL sleep 1000"], "sandbox": false } });
    let bench = drilled(&smoke);
    let settle = ["settle", "--kind", "drill", "weekly", "--config", "config.json"];
    for again in [&settle[..], &DRILL[..]] {
        configure(&bench, &smoke);
        let mut drill = bench.command(&DRILL).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
        let sleeps =
            || fs::read_dir(bench.path("scratch")).into_iter().flatten().any(|entry| entry.unwrap().path().join("sleeps").exists());
        while !sleeps() {
            assert!(drill.try_wait().unwrap().is_none(), "it has ended");
            std::thread::yield_now();
        }
        bench.ok(&settle);
        assert!(sleeps(), "one that is at work is let be");
        drill.kill().unwrap();
        drill.wait().unwrap();
        assert!(sleeps());
        configure(&bench, &json!({}));
        bench.ok(again);
        assert_clean(&bench);
    }
}

#[test]
fn a_drill_that_takes_too_long_is_ended() {
    let bench = drilled(&json!({ "timeLimit": "1s", "smoke": { "command": ["sleep", "1000"], "sandbox": false } }));
    let error = bench.fails(&DRILL, 1);
    assert!(error.contains("took longer than its `timeLimit` of 1s"), "{error}");
    assert_clean(&bench);
    assert_eq!(reports(&bench)[0]["outcome"], "failure");
}

#[test]
fn any_entry_of_the_repositories_can_be_tried_also_a_mirror() {
    let bench = drilled(&json!({}));
    let config = json!({
        "host": "here",
        "repositories": { "main": { "url": bench.path("repo") }, "cloud": { "url": bench.path("cloud") } },
        "mirrors": { "cloud": { "from": "main", "to": "cloud" } },
        "drills": { "weekly": { "repository": "cloud", "mirror": "friend", "key": bench.path("hearth-restore.key"), "scratch": bench.path("scratch") } },
    });
    bench.write("config.json", config.to_string().as_bytes());
    bench.ok(&["mirror", "cloud", "--config", "config.json"]);
    fs::rename(bench.path("repo"), bench.path("gone")).unwrap();
    let document = bench.json(&DRILL);
    assert_eq!((&document["repository"], &document["files"]), (&json!("cloud"), &json!(4)));
    assert_eq!(reports(&bench)[0]["repositories"][0]["name"], "cloud");
    assert_eq!(reports(&bench)[0]["drill"]["mirror"], "friend", "the hub's name of it");
    let status = bench.json(&["status", "--config", "config.json"]);
    let known = |rank: usize| ["name", "last_drill", "recovery_seconds"].map(|key| !status["repositories"][rank][key].is_null());
    assert_eq!((&status["repositories"][0]["name"], known(0)), (&json!("cloud"), [true, true, true]), "{status:#}");
    assert_eq!(
        (&status["repositories"][1]["name"], known(1)),
        (&json!("main"), [true, false, false]),
        "it has the same id and was not tried"
    );
}
