//! What `backup` takes, leaves out and reports.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod cli_common;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cli_common::{Bench, expect};
use serde_json::Value;

fn listing(bench: &Bench) -> String {
    bench.ok(&["ls", "latest", &bench.source(), "-R", "--key", "hearth-restore.key"])
}

#[test]
fn a_vanished_argument_is_a_warning_and_nothing_at_all_a_failure() {
    let bench = Bench::with_repository();
    let report = bench.json_ends(&["backup", "--key", "hearth-writer.key", "nowhere", "also/nowhere", &bench.source()], 3);
    assert_eq!(report["statistics"]["files"], 4);
    assert_eq!(report["warnings"], 2);
    let error = bench.fails(&["backup", "--key", "hearth-writer.key", "nowhere"], 1);
    assert!(error.contains("none of the paths"), "{error}");
    assert_eq!(bench.snapshots().len(), 1);
}

#[test]
fn unreadable_files_are_named_and_the_rest_is_saved() {
    let bench = Bench::with_repository();
    if !nix::unistd::geteuid().is_root() {
        fs::set_permissions(bench.path("source/a.txt"), fs::Permissions::from_mode(0o000)).unwrap();
        let (_, error) = bench.ends(&["backup", "--key", "hearth-writer.key", &bench.source()], 3);
        assert!(error.contains("a.txt"), "{error}");
        return;
    }
    // Root reads everything, so somebody else runs the program, if that can be arranged.
    fs::set_permissions(bench.path(""), fs::Permissions::from_mode(0o777)).unwrap();
    let program = bench.path("program");
    fs::copy(env!("CARGO_BIN_EXE_hearth-backup"), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(bench.path("source/a.txt"), fs::Permissions::from_mode(0o000)).unwrap();
    let nobody = |arguments: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program).args(arguments).current_dir(bench.path(""));
        command.env("HEARTH_REPO", bench.path("theirs")).env("HEARTH_CACHE", bench.path("their-state")).output()
    };
    let Ok(made) = nobody(&["init", "--writer-key", "w", "--restore-key", "r"]) else { return };
    expect(made, 0, "init as nobody");
    let (_, error) = expect(nobody(&["backup", "--key", "w", &bench.source()]).unwrap(), 3, "backup as nobody");
    assert!(error.contains("a.txt") && error.contains("cannot be read"), "{error}");
    let (list, _) = expect(nobody(&["ls", "latest", "--key", "r"]).unwrap(), 0, "ls as nobody");
    assert!(list.contains("b.conf") && !list.contains("a.txt"), "{list}");
}

#[test]
fn rules_leave_out_what_they_say() {
    let bench = Bench::with_repository();
    bench.write("rules", b"# comment\n*.conf\n");
    bench.write("source/cache/CACHEDIR.TAG", b"Signature: 8a477f597d28d172789f06886806bc55\n");
    bench.write("source/cache/junk", b"x");
    bench.write("source/marked/.nobackup", b"");
    bench.write("source/marked/junk", b"x");
    let source = bench.source();
    let absolute = format!("{source}/sub/c.txt");
    bench.backup(&[
        "--exclude",
        &absolute,
        "--exclude-from",
        "rules",
        "--exclude-caches",
        "--exclude-if-present",
        ".nobackup",
        "--exclude-larger-than",
        "100k",
    ]);
    let list = listing(&bench);
    assert!(list.contains("/a.txt") && list.contains("/sub/"), "{list}");
    for left_out in ["c.txt", "b.conf", "junk", "d.log"] {
        assert!(!list.contains(left_out), "{left_out}: {list}");
    }
    let error = bench.fails(&["backup", "--key", "hearth-writer.key", "--exclude", "[a", &source], 1);
    assert!(error.contains("`[a`"), "{error}");
}

#[test]
fn the_repository_and_the_state_are_never_in_a_backup() {
    let bench = Bench::with_repository();
    bench.ok(&["backup", "--key", "hearth-writer.key", bench.path("").to_str().unwrap()]);
    let list = bench.ok(&["ls", "latest", "--key", "hearth-restore.key"]);
    assert!(list.contains("/source/a.txt"), "{list}");
    assert!(!list.contains("/repo/repo/0") && !list.contains("journal.json"), "{list}");
}

#[test]
fn a_link_as_argument_is_saved_as_a_link_and_pointed_out() {
    let bench = Bench::with_repository();
    symlink(bench.path("source"), bench.path("link")).unwrap();
    let (_, error) = bench.ends(&["backup", "--key", "hearth-writer.key", "link"], 0);
    assert!(error.contains("symbolic link"), "{error}");
    let (_, error) = bench.ends(&["backup", "--key", "hearth-writer.key", "link/"], 0);
    assert!(!error.contains("symbolic link"), "{error}");
    assert!(listing(&bench).contains("a.txt"));
}

#[test]
fn standard_input_becomes_one_file() {
    let bench = Bench::with_repository();
    let dump = vec![b'x'; 500_000];
    back_up_stream(&bench, &dump, &["--job", "db"]);
    let output = bench.run(&["dump", "latest", "db.sql", "--job", "db", "--key", "hearth-restore.key"]);
    assert!(output.stdout == dump);
    bench.fails(&["backup", "--key", "hearth-writer.key", "--stdin"], 2);
    bench.fails(&["backup", "--key", "hearth-writer.key", "--stdin", "--stdin-name", "x", "source"], 2);
    let error = bench.fails(&["backup", "--key", "hearth-writer.key", "--stdin", "--stdin-name", "a/b"], 1);
    assert!(error.contains("name of one file"), "{error}");
}

#[test]
fn a_stream_is_skipped_if_it_is_what_the_last_one_was() {
    let bench = Bench::with_repository();
    let back_up = |content: &[u8]| back_up_stream(&bench, content, &["--skip-if-unchanged", "--job", "db"])["unchanged"].as_bool().unwrap();
    let dump = vec![b'x'; 500_000];
    assert!(!back_up(&dump));
    assert!(back_up(&dump));
    assert!(!back_up(&dump[1..]));
    assert!(!back_up(b""));
    assert!(back_up(b""));
    assert_eq!(bench.snapshots().len(), 3);
}

/// Backs up a stream as `db.sql`.
fn back_up_stream(bench: &Bench, content: &[u8], arguments: &[&str]) -> Value {
    let always = ["backup", "--key", "hearth-writer.key", "--json", "--stdin", "--stdin-name", "db.sql"];
    let mut command = bench.command(&[&always, arguments].concat());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(content).unwrap();
    serde_json::from_str(&expect(child.wait_with_output().unwrap(), 0, arguments).0).unwrap()
}

#[test]
fn a_signal_ends_a_stream_without_a_snapshot() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let bench = Bench::with_repository();
        let mut child = bench
            .command(&["backup", "--key", "hearth-writer.key", "--stdin", "--stdin-name", "db.sql"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(&vec![b'x'; 3_000_000]).unwrap();
        // The program reads, so it catches signals by now.
        Command::new("kill").args([format!("-{signal}"), child.id().to_string()]).status().unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while child.try_wait().unwrap().is_none() && Instant::now() < deadline {
            // A broken pipe means that it has ended.
            let _ = input.write_all(b"more");
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(input);
        expect(child.wait_with_output().unwrap(), code, signal);
        assert_eq!(bench.snapshots(), Vec::<String>::new());
        assert!(bench.backup(&[])["snapshot"].is_string(), "the next run works");
    }
}

#[test]
fn output_for_machines_stays_on_standard_output_alone() {
    let bench = Bench::with_repository();
    let (out, error) = bench.ends(&["backup", "--key", "hearth-writer.key", "--json", "nowhere", &bench.source()], 3);
    assert_eq!(out.lines().count(), 1);
    assert!(error.contains("warning nowhere"), "{error}");
    let mut command = bench.command(&["backup", "--key", "hearth-writer.key", "nowhere", &bench.source()]);
    let (_, error) = expect(command.env("JOURNAL_STREAM", "8:1").output().unwrap(), 3, "journal");
    assert!(error.starts_with("<4>nowhere"), "{error}");
    let (out, _) = bench.ends(&["backup", "--quiet", "--key", "hearth-writer.key", &bench.source()], 0);
    assert_eq!(out, "");
}
