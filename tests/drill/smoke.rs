//! The smoke command of a drill, in its sandbox: what it may do, and what it may not.
//!
//! Needs bubblewrap and the right to make namespaces; says SKIPPED and why where that is missing.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use crate::cli_common::Bench;
use serde_json::{Value, json};

const DRILL: [&str; 4] = ["drill", "weekly", "--config", "config.json"];

/// Whether there can be a sandbox here.
fn sandbox() -> bool {
    let tried = Command::new("bwrap").args(["--unshare-all", "--ro-bind", "/", "/", "true"]).status();
    if !tried.as_ref().is_ok_and(std::process::ExitStatus::success) {
        println!("SKIPPED: no sandbox here ({tried:?}); it needs bubblewrap and namespaces");
        return false;
    }
    true
}

fn bench() -> Bench {
    let bench = Bench::with_repository();
    bench.ok(&["backup", "--key", "hearth-writer.key", &bench.source()]);
    bench
}

/// Drills with this smoke command; the exit code and what the test said.
fn smoke(bench: &Bench, smoke: &Value) -> (i32, String) {
    let drill = json!({
        "repository": "main", "key": bench.path("hearth-restore.key"), "scratch": bench.path("scratch"), "smoke": smoke,
    });
    let config = json!({ "repositories": { "main": { "url": bench.path("repo") } }, "drills": { "weekly": drill } });
    bench.write("config.json", config.to_string().as_bytes());
    let output = bench.run(&[&DRILL[..], &["--json"]].concat());
    let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let tests = document["tests"].as_array().unwrap();
    let test = tests.iter().find(|test| test["name"] == "smoke").unwrap_or_else(|| panic!("{document:#}"));
    assert!(fs::read_dir(bench.path("scratch")).unwrap().next().is_none(), "something is left");
    assert_eq!(test["outcome"] == "passed", output.status.code() == Some(0), "{document:#}");
    (output.status.code().unwrap(), test["text"].as_str().unwrap().to_owned())
}

fn script(bench: &Bench, script: &str) -> (i32, String) {
    smoke(bench, &json!({ "command": ["sh", "-ec", script] }))
}

#[test]
fn a_command_sees_the_restored_tree_and_may_change_it() {
    if !sandbox() {
        return;
    }
    let bench = bench();
    let source = bench.source();
    let (code, text) = script(
        &bench,
        &format!("test \"$(cat .{source}/a.txt)\" = first; test \"$PWD\" = \"$HEARTH_TREE\"; touch new; rm -r .{source}; echo fine"),
    );
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("succeeded in") && text.ends_with(": fine"), "{text}");
    let (code, text) = script(&bench, "echo half; echo the app does not start >&2; exit 3");
    assert_eq!(code, 1);
    assert!(text.contains("exit status: 3") && text.contains("the app does not start") && text.contains("it wrote: half"), "{text}");
    assert!(text.contains("`sh`") && !text.contains("bwrap"), "{text}");
}

#[test]
fn a_command_that_hangs_is_ended_with_all_that_it_started() {
    if !sandbox() {
        return;
    }
    let bench = bench();
    // A lock that lasts as long as the processes that hold it, also those in a session of their own.
    let (code, text) =
        smoke(&bench, &json!({ "command": ["sh", "-c", "trap '' TERM; exec 9<.; setsid sleep 1001 & sleep 1002"], "timeout": "1s" }));
    assert_eq!(code, 1);
    assert!(text.contains("took longer than 1 seconds and was ended"), "{text}");
    let running = Command::new("pgrep").args(["-x", "-f", "sleep 100[12]"]).output().unwrap();
    assert!(running.stdout.is_empty(), "{running:?}");
}

#[test]
fn a_command_reaches_nothing_outside() {
    if !sandbox() {
        return;
    }
    let bench = bench();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (code, text) = script(
        &bench,
        &format!(
            "! python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", {port}), 5)' 2>err; cat err >&2; grep -q refused err"
        ),
    );
    assert_eq!(code, 0, "there is another loopback: {text}");
    assert!(listener.accept().is_err());
    for attempt in [
        "touch /etc/hearth-was-here",
        "cat /etc/shadow",
        "ls /etc/ssh /etc/hearth-backup",
        "touch /usr/hearth-was-here",
        "mount -o remount,rw /usr",
        "mount -t tmpfs none /usr",
        "umount /usr",
        "echo 1 > /proc/sys/kernel/sysrq",
        "mknod disk b 1 0 && head -c 1 disk",
        "unshare -m true",
        "nsenter -t 1 -m true",
        "chroot .",
        "ls /root",
        "ls /home",
        "ls /var/lib",
        "test -e /run/systemd -o -e /run/dbus",
        "ls /sys/kernel",
        "kill -0 2000000 || pgrep hearth-backup",
    ] {
        let (code, text) = script(&bench, attempt);
        assert_eq!(code, 1, "`{attempt}` succeeded: {text}");
    }
    let (code, text) =
        script(&bench, &format!("test ! -e {} && test -z \"$HEARTH_REPO$HEARTH_CACHE\"", bench.path("hearth-restore.key").display()));
    assert_eq!(code, 0, "neither the key nor the environment is seen: {text}");
    assert!(!std::path::Path::new("/etc/hearth-was-here").exists());
}

#[test]
fn files_of_all_users_can_be_read_and_written() {
    if !sandbox() || !nix::unistd::geteuid().is_root() {
        println!("SKIPPED: only root has files of others");
        return;
    }
    let bench = Bench::with_repository();
    let file = bench.path("source/a.txt");
    std::os::unix::fs::chown(&file, Some(4711), Some(4711)).unwrap();
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    bench.ok(&["backup", "--key", "hearth-writer.key", &bench.source()]);
    let source = bench.source();
    let (code, text) = script(&bench, &format!("grep first .{source}/a.txt; setpriv --reuid 4711 --clear-groups cat .{source}/a.txt"));
    assert_eq!(code, 0, "their owner comes to them: {text}");
    let (code, text) =
        script(&bench, &format!("test $(stat -c %u .{source}/a.txt) = 4711; echo more >> .{source}/a.txt; cat .{source}/a.txt"));
    assert_eq!(code, 0, "{text}");
}

#[test]
fn a_command_of_the_users_own_and_named_directories_are_seen() {
    if !sandbox() {
        return;
    }
    let bench = bench();
    bench.write("check.sh", b"#!/bin/sh\nset -e\ncat \"$1\"\n! touch \"$1\"\n");
    bench.write("expected/list", b"two files\n");
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(bench.path("check.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    let command = json!([bench.path("check.sh"), bench.path("expected/list")]);
    let (code, text) = smoke(&bench, &json!({ "command": command, "readable": [bench.path("expected")] }));
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("two files"), "{text}");
    let (code, _) = smoke(&bench, &json!({ "command": command }));
    assert_eq!(code, 1, "what is not named is not seen");
}

#[test]
fn without_a_sandbox_a_command_is_any_program_and_it_must_be_asked_for() {
    let bench = bench();
    let seen = json!([
        "sh",
        "-ec",
        format!("test -e {}; test \"$PWD\" = \"$HEARTH_TREE\"; cat .{}/a.txt", bench.path("repo").display(), bench.source())
    ]);
    let (code, text) = smoke(&bench, &json!({ "command": seen, "sandbox": false }));
    assert_eq!(code, 0, "{text}");
    let drill = json!({ "repository": "main", "key": bench.path("hearth-restore.key"), "smoke": { "command": ["true"] } });
    let config = json!({ "repositories": { "main": { "url": bench.path("repo") } }, "drills": { "weekly": drill } });
    bench.write("config.json", config.to_string().as_bytes());
    let output = bench.command(&DRILL).env("PATH", "/nowhere").output().unwrap();
    let (text, _) = crate::cli_common::expect(output, 1, "no bubblewrap");
    assert!(text.contains("install the package bubblewrap") && text.contains("`sandbox = false`"), "{text}");
}
