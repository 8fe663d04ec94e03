//! Drills of MariaDB: a real server is saved, and a throw-away server takes its dumps.
//!
//! Needs MariaDB's server programs and bubblewrap; says SKIPPED and why where something is missing.

use std::fs;
use std::process::{Child, Command, Stdio};

use crate::cli_common::{Bench, expect};
use serde_json::{Value, json};

const DRILL: [&str; 4] = ["drill", "weekly", "--config", "config.json"];
/// Small and fast files, as nothing must last.
const SMALL: [&str; 4] =
    ["--innodb-log-file-size=4M", "--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync", "--skip-networking"];

/// The server that is saved.
struct Source {
    folder: tempfile::TempDir,
    process: Child,
}

impl Source {
    fn start() -> Option<Self> {
        if !Command::new("bwrap")
            .args(["--unshare-all", "--unshare-user", "--ro-bind", "/", "/", "true"])
            .status()
            .is_ok_and(|end| end.success())
        {
            println!("SKIPPED: no sandbox here; it needs bubblewrap and user namespaces");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let data = format!("--datadir={}", folder.path().join("data").display());
        let user = if nix::unistd::geteuid().is_root() { vec!["--user=root"] } else { vec![] };
        let mut install = Command::new("mariadb-install-db");
        install.args(["--no-defaults", &data, "--auth-root-authentication-method=normal", "--skip-test-db"]).args(&user).args(SMALL);
        match install.env("TMPDIR", folder.path()).stdin(Stdio::null()).output() {
            Ok(output) => drop(expect(output, 0, "mariadb-install-db")),
            Err(_) => {
                println!("SKIPPED: MariaDB's server programs are not installed (Debian: mariadb-server)");
                return None;
            }
        }
        let socket = format!("--socket={}", folder.path().join("socket").display());
        let program = if std::path::Path::new("/usr/sbin/mariadbd").exists() { "/usr/sbin/mariadbd" } else { "mariadbd" };
        let mut server = Command::new(program);
        server.env("TMPDIR", folder.path()).args(["--no-defaults", &data, &socket]).args(&user).args(SMALL);
        let process = server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut source = Self { folder, process };
        while !source.client(&["--execute=select 1"]).output().unwrap().status.success() {
            assert!(source.process.try_wait().unwrap().is_none(), "the server does not start");
            std::thread::yield_now();
        }
        Some(source)
    }

    fn client(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("mariadb");
        command.arg("--no-defaults").arg("--socket").arg(self.folder.path().join("socket")).args(["--user=root", "--batch"]);
        command.args(arguments).stdin(Stdio::null());
        command
    }

    fn sql(&self, statements: &str) {
        expect(self.client(&["--execute", statements]).output().unwrap(), 0, statements);
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn configure(bench: &Bench, jobs: &Value, read_from: &Value, mariadb: &Value) {
    let config = json!({
        "readFrom": read_from,
        "repositories": { "main": { "url": bench.path("repo"), "writerKey": bench.path("hearth-writer.key") } },
        "jobs": { "databases": jobs },
        "drills": { "weekly": {
            "repository": "main", "key": bench.path("hearth-restore.key"), "scratch": bench.path("scratch"), "amount": "databases", "mariadb": mariadb,
        } },
    });
    bench.write("config.json", config.to_string().as_bytes());
    bench.ok(&["run", "databases", "--config", "config.json"]);
}

fn drill(bench: &Bench, code: i32) -> Vec<(String, String)> {
    let document = bench.json_ends(&DRILL, code);
    assert!(fs::read_dir(bench.path("scratch")).unwrap().next().is_none(), "something is left");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let tests = document["tests"].as_array().unwrap().iter();
    let tests = tests.filter(|test| test["name"] != "newest snapshots");
    tests.map(|test| (format!("{}: {}", text(&test["name"]), text(&test["outcome"])), text(&test["text"]))).collect()
}

#[test]
fn dumps_are_loaded_counted_and_asked() {
    let Some(source) = Source::start() else { return };
    source.sql("create database app; create table app.users (name text); insert into app.users values ('a'), ('b'); create user app@localhost identified by 'x'; grant all on app.* to app@localhost");
    source.sql("create database empty");
    let bench = Bench::with_repository();
    let job = json!({ "mariadb": { "socket": source.folder.path().join("socket"), "username": "root" }, "repositories": ["main"] });
    let assertions =
        json!({ "app": ["SELECT count(*) > 1 FROM users", "select count(*) from mysql.user where user = 'app'", "select 0", "select x"] });
    configure(&bench, &job, &json!({}), &json!({ "assertions": assertions }));
    let tests = drill(&bench, 1);
    let names: Vec<&str> = tests.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "mariadb app: passed",
            "mariadb app: rows: passed",
            "mariadb app: assertion 1: passed",
            "mariadb app: assertion 2: passed",
            "mariadb app: assertion 3: failed",
            "mariadb app: assertion 4: failed",
            "mariadb empty: passed",
            "mariadb empty: rows: passed",
        ],
        "{tests:#?}"
    );
    assert_eq!(tests[1].1, "1 table holds the 2 rows that were counted");
}

#[test]
fn broken_and_hostile_dumps_fail_and_do_no_harm() {
    let Some(source) = Source::start() else { return };
    drop(source);
    let bench = Bench::with_repository();
    let escaped = bench.path("source/escaped");
    let job = json!({ "paths": ["/@mariadb"], "repositories": ["main"] });
    let dump = "create table users (name text);\ninsert into users values ('a'),('b');\n";
    let hostile = format!("\\! touch {0} /etc/hearth-was-here\nsystem touch {0}\n{dump}", escaped.display());
    for (dump, rows, code, name) in [
        (dump, 2, 0, "mariadb app: rows: passed"),
        (dump, 3, 1, "mariadb app: rows: failed"),
        (&dump[..dump.len() / 2], 2, 1, "mariadb app: "),
        ("\0\u{1}garbage;", 2, 1, "mariadb app: failed"),
        (hostile.as_str(), 2, 0, "mariadb app: "),
    ] {
        bench.write("dumps/app.sql", dump.as_bytes());
        bench.write("dumps/app.sql.rows.json", json!({ "tables": [{ "table": "users", "rows": rows }] }).to_string().as_bytes());
        configure(&bench, &job, &json!({ "/@mariadb": bench.path("dumps") }), &json!({}));
        let output = bench.run(&[&DRILL[..], &["--json"]].concat());
        if !dump.contains('!') {
            assert_eq!(output.status.code(), Some(code), "{dump}: {output:?}");
        }
        assert!(String::from_utf8_lossy(&output.stdout).contains(name.split(": ").next().unwrap()), "{name}");
        assert!(!escaped.exists() && !std::path::Path::new("/etc/hearth-was-here").exists());
    }
    configure(&bench, &job, &json!({ "/@mariadb": bench.path("dumps") }), &json!({ "settings": { "no-such-setting": "1" } }));
    let tests = drill(&bench, 1);
    assert!(tests[0].0 == "mariadb: failed" && tests[0].1.contains("no-such-setting"), "{tests:?}");
}

#[test]
fn a_view_that_looks_into_another_database_is_no_reason_to_fail() {
    let Some(source) = Source::start() else { return };
    source.sql("create database one; create table one.users (n int); insert into one.users values (1), (2)");
    source.sql("create database app; create table app.own (n int); insert into app.own values (3); create view app.seen as select n from one.users");
    let bench = Bench::with_repository();
    let socket = source.folder.path().join("socket");
    let job = json!({ "mariadb": { "databases": ["app", "one"], "socket": socket, "username": "root" }, "repositories": ["main"] });
    let asks = json!({ "databases": ["app", "one"], "assertions": { "app": ["select count(*) = 2 from seen"] } });
    configure(&bench, &job, &json!({}), &asks);
    let document = bench.json_ends(&DRILL, 0);
    let tests: Vec<String> = document["tests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|test| format!("{}: {}", test["name"], test["outcome"]).replace('"', ""))
        .collect();
    for expected in ["mariadb app: passed", "mariadb app: rows: passed", "mariadb app: assertion 1: passed", "mariadb one: passed"] {
        assert!(tests.iter().any(|test| test == expected), "{tests:#?}");
    }
}
