//! SQLite databases in a job: saved at their own path as of one moment, whoever writes to them meanwhile.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod cli_common;

use std::fs;

use cli_common::Bench;
use rusqlite::Connection;
use serde_json::{Value, json};

const RUN: [&str; 4] = ["run", "state", "--config", "config.json"];

fn configure(bench: &Bench, change: impl FnOnce(&mut Value)) {
    let mut job = json!({ "paths": [bench.source()], "repositories": ["main"], "sqlite": { "discover": true } });
    change(&mut job);
    let config = json!({
        "repositories": { "main": { "url": bench.path("repo"), "writerKey": bench.path("hearth-writer.key") } },
        "jobs": { "state": job },
    });
    bench.write("config.json", config.to_string().as_bytes());
}

/// A database in the source with a log that holds all there is.
fn vault(bench: &Bench, name: &str) -> Connection {
    let database = Connection::open(bench.path(name)).unwrap();
    database.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE secret (name TEXT); INSERT INTO secret VALUES ('first')").unwrap();
    database
}

fn secrets(database: &Connection) -> Vec<String> {
    let mut statement = database.prepare("SELECT name FROM secret ORDER BY rowid").unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[test]
fn a_database_that_is_in_use_comes_back_whole_and_its_log_is_left_out() {
    let bench = Bench::with_repository();
    configure(&bench, |_| {});
    let open = vault(&bench, "source/vault.db");
    let report = bench.json(&RUN);
    let databases = &report["repositories"][0]["databases"];
    assert_eq!(databases[0]["path"], bench.path("source/vault.db").to_str().unwrap());
    assert_eq!(databases[0]["integrity"], "ok");
    open.execute_batch("INSERT INTO secret VALUES ('second')").unwrap();
    let restored = bench.restore("hearth-restore.key", "latest", "restored");
    let names: Vec<_> = fs::read_dir(&restored).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(names.contains(&"vault.db".into()) && !names.iter().any(|name| name.starts_with("vault.db-")), "{names:?}");
    assert_eq!(secrets(&Connection::open(restored.join("vault.db")).unwrap()), ["first"]);
    assert!(!bench.path("source/vault.db-journal").exists());
}

/// Moves money between a hundred accounts until its input ends: another process, as locks of files are per process.
const TRANSFERS: &str = r#"
import random, select, sqlite3, sys
database = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
database.execute(f"PRAGMA journal_mode = {sys.argv[2]}")
database.execute("PRAGMA synchronous = OFF")
database.execute("CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER)")
database.executemany("INSERT INTO account VALUES (?, 10)", [(i,) for i in range(100)])
# Larger than one step of a copy, so that transfers come in between.
database.execute("CREATE TABLE filler AS SELECT randomblob(40000000) AS b")
print("ready", flush=True)
count = 0
while not select.select([sys.stdin], [], [], 0)[0]:
    a, b = random.sample(range(100), 2)
    database.execute("BEGIN IMMEDIATE")
    database.execute("UPDATE account SET balance = balance - 1 WHERE id = ?", (a,))
    database.execute("UPDATE account SET balance = balance + 1 WHERE id = ?", (b,))
    database.execute("COMMIT")
    count += 1
print(count)
"#;

#[test]
fn a_database_saved_while_transfers_go_on_adds_up() {
    for journal in ["WAL", "DELETE", "TRUNCATE", "PERSIST"] {
        let bench = Bench::with_repository();
        configure(&bench, |_| {});
        adds_up(&bench, journal);
    }
}

/// A directory as it is seen elsewhere, where nobody may write, until it is dropped.
struct ReadOnlyView(std::path::PathBuf);

impl ReadOnlyView {
    /// None where only root could make one.
    fn of(source: &str, place: std::path::PathBuf) -> Option<Self> {
        fs::create_dir(&place).unwrap();
        let mount = |arguments: &[&str]| std::process::Command::new("mount").args(arguments).arg(&place).status().unwrap().success();
        if !mount(&["--bind", source]) {
            return None;
        }
        let view = Self(place.clone());
        assert!(mount(&["-o", "remount,bind,ro"]));
        Some(view)
    }
}

impl Drop for ReadOnlyView {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_database_saved_through_a_read_only_mount_while_transfers_go_on_adds_up() {
    for journal in ["WAL", "DELETE"] {
        let bench = Bench::with_repository();
        let Some(view) = ReadOnlyView::of(&bench.source(), bench.path("view")) else { return };
        configure(&bench, |job| job["paths"] = json!([view.0]));
        adds_up(&bench, journal);
    }
}

#[test]
fn the_last_transaction_of_an_idle_program_is_saved_through_a_read_only_mount_too() {
    let bench = Bench::with_repository();
    let Some(view) = ReadOnlyView::of(&bench.source(), bench.path("view")) else { return };
    configure(&bench, |job| job["paths"] = json!([view.0]));
    let path = bench.path("source/vault.db");
    let mut idle = std::process::Command::new("python3");
    let mut idle = idle
        .args(["-c", WRITES_AND_IDLES])
        .arg(&path)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(idle.stdout.take().unwrap()), &mut line).unwrap();
    assert_eq!(line, "ready\n");
    bench.json(&RUN);
    bench.ok(&["restore", "latest", "--key", "hearth-restore.key", "--target", "back"]);
    let restored = bench.path("back").join(view.0.strip_prefix("/").unwrap()).join("vault.db");
    assert_eq!(secrets(&Connection::open(restored).unwrap()), ["first", "last"]);
    drop(idle.stdin.take());
    idle.wait().unwrap();
}

/// Leaves two transactions in the log of a database, which stays open.
const WRITES_AND_IDLES: &str = r#"
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("PRAGMA journal_mode = WAL")
database.execute("CREATE TABLE secret (name TEXT)")
database.execute("INSERT INTO secret VALUES ('first')")
database.execute("INSERT INTO secret VALUES ('last')")
print("ready", flush=True)
sys.stdin.read()
"#;

/// Saves a database twice while another process moves money between its accounts.
fn adds_up(bench: &Bench, journal: &str) {
    use std::io::{BufRead as _, BufReader, Read as _};
    let path = bench.path("source/bank.db");
    let mut writer = std::process::Command::new("python3");
    writer.args(["-c", TRANSFERS, path.to_str().unwrap(), journal]);
    let mut writer = writer.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(writer.stdout.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    for round in ["one", "two"] {
        let report = bench.json(&RUN);
        assert_eq!(report["repositories"][0]["databases"][0]["integrity"], "ok", "{journal}: {report}");
        bench.ok(&["restore", "latest", "--key", "hearth-restore.key", "--target", round]);
        let copy = find(&bench.path(round), "bank.db").unwrap();
        let copy = Connection::open(copy).unwrap();
        let sum: i64 = copy.query_row("SELECT sum(balance) FROM account", [], |row| row.get(0)).unwrap();
        assert_eq!(sum, 1000, "{journal}");
    }
    drop(writer.stdin.take());
    let mut count = String::new();
    said.read_to_string(&mut count).unwrap();
    assert!(writer.wait().unwrap().success() && count.trim().parse::<u64>().unwrap() > 0);
}

/// The file of a name somewhere below a directory.
fn find(folder: &std::path::Path, name: &str) -> Option<std::path::PathBuf> {
    let mut entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.find_map(|path| if path.is_dir() { find(&path, name) } else { path.ends_with(name).then_some(path) })
}

#[test]
fn a_database_that_is_as_it_was_is_neither_copied_nor_read() {
    let bench = Bench::with_repository();
    configure(&bench, |_| {});
    let open = vault(&bench, "source/vault.db");
    bench.json(&RUN);
    let second = bench.json(&RUN);
    assert_eq!(second["repositories"][0]["databases"][0]["integrity"], "unchanged");
    assert_eq!(second["repositories"][0]["statistics"]["files_read"], 0);
    open.execute_batch("INSERT INTO secret VALUES ('second')").unwrap();
    let third = bench.json(&RUN);
    assert_eq!(third["repositories"][0]["databases"][0]["integrity"], "ok");
    let restored = bench.restore("hearth-restore.key", "latest", "restored");
    assert_eq!(secrets(&Connection::open(restored.join("vault.db")).unwrap()), ["first", "second"]);
}

#[test]
fn named_databases_are_found_by_pattern_and_need_not_lie_in_a_path_of_the_job() {
    let bench = Bench::with_repository();
    for name in ["apps/one", "apps/two"] {
        fs::create_dir_all(bench.path(name)).unwrap();
    }
    let pattern = bench.path("apps/*/data.db*");
    configure(&bench, |job| {
        job["paths"] = json!([]);
        job["sqlite"] = json!({ "databases": [pattern], "integrityCheck": "quick" });
    });
    let _open = [vault(&bench, "apps/one/data.db"), vault(&bench, "apps/two/data.db")];
    let report = bench.json(&RUN);
    assert_eq!(report["repositories"][0]["statistics"]["files"], 2, "{report}");
    assert_eq!(report["repositories"][0]["databases"].as_array().unwrap().len(), 2);
}

#[test]
fn a_damaged_database_is_an_error_that_is_told_each_time() {
    let bench = Bench::with_repository();
    configure(&bench, |_| {});
    bench.write("source/broken.db", &[b"SQLite format 3\0".as_slice(), &[0xff; 4000]].concat());
    for _ in 0..2 {
        let (_, error) = bench.ends(&RUN, 3);
        assert!(error.contains("broken.db: is a SQLite database of which no consistent copy could be made"), "{error}");
    }
    let restored = bench.restore("hearth-restore.key", "latest", "restored");
    assert_eq!(fs::read(restored.join("broken.db")).unwrap(), fs::read(bench.path("source/broken.db")).unwrap());
}

#[test]
fn a_single_backup_can_look_for_databases_too() {
    let bench = Bench::with_repository();
    let _open = vault(&bench, "source/vault.db");
    let report = bench.backup(&["--sqlite"]);
    assert_eq!(report["databases"][0]["integrity"], "ok", "{report}");
    assert!(fs::read_dir(bench.path("state")).unwrap().flatten().all(|entry| !entry.path().join("scratch").exists()));
}

/// The arguments that bring the database of the newest snapshot back.
fn back<'a>(path: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["restore-db", "latest", path, "--key", "hearth-restore.key"], more].concat()
}

#[test]
fn a_database_is_put_back_into_its_place_when_nobody_has_it_open() {
    let bench = Bench::with_repository();
    configure(&bench, |_| {});
    let open = vault(&bench, "source/vault.db");
    bench.json(&RUN);
    open.execute_batch("UPDATE secret SET name = 'lost'").unwrap();
    let path = bench.path("source/vault.db").to_str().unwrap().to_owned();
    let error = bench.fails(&back(&path, &[]), 1);
    assert!(error.contains("--replace"), "{error}");
    // The test holds it open in the place of its service.
    let error = bench.fails(&back(&path, &["--replace"]), 1);
    assert!(error.contains("a program has it open") && error.contains("--service"), "{error}");
    assert_eq!(secrets(&open), ["lost"]);
    drop(open);
    bench.ok(&back(&path, &["--replace"]));
    assert_eq!(secrets(&Connection::open(&path).unwrap()), ["first"]);
    assert_eq!(names(&bench), ["vault.db"]);
}

/// The names in the source besides those that every bench has, in order.
fn names(bench: &Bench) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(bench.source()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| !["a.txt", "b.conf", "sub"].contains(&name.as_str()));
    names.sort();
    names
}

#[test]
fn what_a_service_puts_beside_its_database_leads_nobody_elsewhere() {
    use std::os::unix::fs::MetadataExt as _;
    let bench = Bench::with_repository();
    configure(&bench, |_| {});
    drop(vault(&bench, "source/vault.db"));
    bench.json(&RUN);
    let path = bench.path("source/vault.db");
    bench.write("precious", b"of somebody else");
    let was = fs::metadata(bench.path("precious")).unwrap();
    let mut planted = Vec::new();
    for name in ["vault.db.restoring", "vault.db.restoring-journal", "vault.db.restoring-wal"] {
        std::os::unix::fs::symlink(bench.path("precious"), bench.path("source").join(name)).unwrap();
        planted.push(name);
    }
    bench.ok(&back(path.to_str().unwrap(), &["--replace"]));
    let is = fs::metadata(bench.path("precious")).unwrap();
    assert_eq!((is.mode(), is.uid(), is.ctime(), is.ctime_nsec()), (was.mode(), was.uid(), was.ctime(), was.ctime_nsec()));
    assert_eq!(fs::read(bench.path("precious")).unwrap(), b"of somebody else");
    assert_eq!(secrets(&Connection::open(&path).unwrap()), ["first"]);
    let left: Vec<_> = names(&bench).into_iter().filter(|name| name != "vault.db").collect();
    planted.sort_unstable();
    assert_eq!(left, planted, "what is there stays, and nothing of ours does");
}

#[test]
fn a_link_in_the_place_of_a_database_is_not_followed_and_one_on_the_way_to_it_is() {
    let bench = Bench::with_repository();
    configure(&bench, |_| {});
    drop(vault(&bench, "source/vault.db"));
    bench.json(&RUN);
    let path = bench.path("source/vault.db");
    let to = |target: &str| bench.run(&back(path.to_str().unwrap(), &["--replace", "--to", target]));
    fs::create_dir(bench.path("real")).unwrap();
    std::os::unix::fs::symlink(bench.path("real"), bench.path("way")).unwrap();
    fs::write(bench.path("real/other.db"), b"of somebody else").unwrap();
    std::os::unix::fs::symlink("other.db", bench.path("real/link.db")).unwrap();
    let (_, error) = cli_common::expect(to("way/link.db"), 1, "restore-db");
    assert!(error.contains("name the file itself, not a link to it"), "{error}");
    assert_eq!(fs::read(bench.path("real/other.db")).unwrap(), b"of somebody else");
    cli_common::expect(to("way/vault.db"), 0, "restore-db");
    assert_eq!(secrets(&Connection::open(bench.path("real/vault.db")).unwrap()), ["first"]);
    cli_common::expect(to("way/vault.db"), 0, "restore-db");
}

#[test]
fn what_concerns_servers_is_refused_for_a_file() {
    let bench = Bench::with_repository();
    configure(&bench, |_| {});
    drop(vault(&bench, "source/vault.db"));
    bench.json(&RUN);
    let path = bench.path("source/vault.db");
    for option in [&["--port", "5432"][..], &["--no-trial"], &["--jobs", "4"], &["--through", "docker"]] {
        let error = bench.fails(&back(path.to_str().unwrap(), option), 2);
        assert!(error.contains(&format!("{} is for databases of servers", option[0])), "{error}");
    }
}

/// Reads a database and then holds it open without a lock until its input ends.
const IDLE: &str = r#"
import sqlite3, sys
database = sqlite3.connect(sys.argv[1])
print(database.execute("SELECT count(*) FROM secret").fetchone()[0], flush=True)
sys.stdin.read()
"#;

#[test]
fn a_program_that_is_idle_with_a_database_without_log_is_found_and_named() {
    use std::io::{BufRead as _, BufReader};
    use std::process::{Command, Stdio};
    let bench = Bench::with_repository();
    configure(&bench, |_| {});
    let path = bench.path("source/vault.db");
    let plain = Connection::open(&path).unwrap();
    plain.execute_batch("PRAGMA journal_mode = DELETE; CREATE TABLE secret (name TEXT); INSERT INTO secret VALUES ('first')").unwrap();
    bench.json(&RUN);
    plain.execute_batch("UPDATE secret SET name = 'later'").unwrap();
    drop(plain);
    let mut idle = Command::new("python3");
    let mut idle = idle.args(["-c", IDLE]).arg(&path).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(idle.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "1\n");
    let was = fs::read(&path).unwrap();
    let error = bench.fails(&back(path.to_str().unwrap(), &["--replace"]), 1);
    assert!(error.contains("`python3") && error.contains("(process ") && error.contains("--service"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), was);
    assert_eq!(names(&bench), ["vault.db"]);
    drop(idle.stdin.take());
    idle.wait().unwrap();
    bench.ok(&back(path.to_str().unwrap(), &["--replace"]));
    assert_eq!(secrets(&Connection::open(&path).unwrap()), ["first"]);
}

#[test]
fn a_copy_that_does_not_get_its_place_is_removed() {
    let bench = Bench::with_repository();
    configure(&bench, |_| {});
    let open = vault(&bench, "source/vault.db");
    bench.json(&RUN);
    let before = names(&bench);
    bench.fails(&back(bench.path("source/vault.db").to_str().unwrap(), &["--replace"]), 1);
    assert_eq!(names(&bench), before);
    drop(open);
}

#[test]
fn the_log_of_a_killed_program_never_reaches_the_restored_database() {
    let bench = Bench::with_repository();
    configure(&bench, |_| {});
    let open = vault(&bench, "source/vault.db");
    bench.json(&RUN);
    open.execute_batch("INSERT INTO secret VALUES ('in the log')").unwrap();
    let path = bench.path("source/vault.db");
    let log = fs::read(bench.path("source/vault.db-wal")).unwrap();
    drop(open);
    fs::write(bench.path("source/vault.db-wal"), log).unwrap();
    bench.ok(&back(path.to_str().unwrap(), &["--replace"]));
    assert_eq!(secrets(&Connection::open(&path).unwrap()), ["first"]);
}

#[test]
fn a_database_can_be_restored_to_another_place_with_its_owner_and_mode() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let bench = Bench::with_repository();
    configure(&bench, |_| {});
    drop(vault(&bench, "source/vault.db"));
    let path = bench.path("source/vault.db");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::chown(&path, Some(12), Some(34)).unwrap();
    }
    bench.json(&RUN);
    let was = fs::metadata(&path).unwrap();
    bench.ok(&back(path.to_str().unwrap(), &["--to", "elsewhere.db"]));
    let is = fs::metadata(bench.path("elsewhere.db")).unwrap();
    assert_eq!((is.mode(), is.uid(), is.gid()), (was.mode(), was.uid(), was.gid()));
    assert_eq!(secrets(&Connection::open(bench.path("elsewhere.db")).unwrap()), ["first"]);
}

#[test]
fn services_stand_still_while_a_database_is_replaced() {
    let bench = Bench::with_repository();
    configure(&bench, |_| {});
    drop(vault(&bench, "source/vault.db"));
    bench.json(&RUN);
    let path = bench.path("source/vault.db");
    // A stand-in that writes down what it is asked for: no systemd runs where tests do.
    let log = bench.path("asked");
    let script = format!(
        "#!/bin/sh\necho \"$1 $(sqlite3 {} 'select count(*) from secret')\" >> {}\n[ \"$1\" = show ] && printf 'LoadState=loaded\\nActiveState=active\\n' || true\n",
        path.display(),
        log.display()
    );
    bench.write("bin/systemctl", script.as_bytes());
    std::process::Command::new("chmod").args(["+x", bench.path("bin/systemctl").to_str().unwrap()]).status().unwrap();
    Connection::open(&path).unwrap().execute_batch("INSERT INTO secret VALUES ('second')").unwrap();
    let search = format!("{}:{}", bench.path("bin").display(), std::env::var("PATH").unwrap());
    let arguments = back(path.to_str().unwrap(), &["--replace", "--service", "vaultwarden.service"]);
    cli_common::expect(bench.command(&arguments).env("PATH", search).output().unwrap(), 0, "restore-db");
    assert_eq!(fs::read_to_string(&log).unwrap(), "show 2\nstop 2\nstart 1\n");
}

#[test]
fn a_job_that_begins_to_look_for_databases_takes_what_their_logs_hold() {
    let bench = Bench::with_repository();
    configure(&bench, |job| {
        job.as_object_mut().unwrap().remove("sqlite");
    });
    let open = vault(&bench, "source/vault.db");
    open.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    bench.json(&RUN);
    // Only the log changes from here on.
    open.execute_batch("INSERT INTO secret VALUES ('second')").unwrap();
    for (place, sqlite) in [("one", json!({ "databases": [bench.path("source/vault.db")] })), ("two", json!({ "discover": true }))] {
        configure(&bench, |job| job["sqlite"] = sqlite);
        bench.json(&RUN);
        let restored = bench.restore("hearth-restore.key", "latest", place);
        assert_eq!(secrets(&Connection::open(restored.join("vault.db")).unwrap()), ["first", "second"], "{place}");
    }
}

#[test]
fn a_later_copy_is_restored_over_an_earlier_one_though_only_the_log_had_changed() {
    let bench = Bench::with_repository();
    configure(&bench, |_| {});
    let open = vault(&bench, "source/vault.db");
    open.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    bench.json(&RUN);
    bench.restore("hearth-restore.key", "latest", "restored");
    open.execute_batch("UPDATE secret SET name = 'later'").unwrap();
    bench.json(&RUN);
    let restored = bench.restore("hearth-restore.key", "latest", "restored");
    assert_eq!(secrets(&Connection::open(restored.join("vault.db")).unwrap()), ["later"]);
}
