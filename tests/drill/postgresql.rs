//! Drills of PostgreSQL: a real server is saved, and throw-away servers take its dumps.
//!
//! Needs PostgreSQL's server programs, bubblewrap, and root; says SKIPPED and why where something is missing.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::cli_common::{Bench, expect};
use serde_json::{Value, json};

const DRILL: [&str; 4] = ["drill", "weekly", "--config", "config.json"];

/// The server that is saved.
struct Source {
    folder: tempfile::TempDir,
    programs: PathBuf,
}

impl Source {
    fn start() -> Option<Self> {
        let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|version| version.path().join("bin"));
        let Some(programs) = versions.filter(|bin| bin.join("initdb").exists()).max() else {
            println!("SKIPPED: PostgreSQL's server programs are not installed (Debian: postgresql)");
            return None;
        };
        if !nix::unistd::geteuid().is_root() {
            println!("SKIPPED: only root can become the user postgres");
            return None;
        }
        if !Command::new("bwrap")
            .args(["--unshare-all", "--unshare-user", "--ro-bind", "/", "/", "true"])
            .status()
            .is_ok_and(|end| end.success())
        {
            println!("SKIPPED: no sandbox here; it needs bubblewrap and user namespaces");
            return None;
        }
        let source = Self { folder: tempfile::tempdir().unwrap(), programs };
        let postgres = nix::unistd::User::from_name("postgres").unwrap()?;
        nix::unistd::chown(source.folder.path(), Some(postgres.uid), Some(postgres.gid)).unwrap();
        source.ok("initdb", &["--pgdata", &source.data(), "--auth-local=peer", "--auth-host=reject", "--no-sync"]);
        let options = format!("-c listen_addresses='' -c unix_socket_directories={} -c fsync=off", source.socket());
        let log = source.folder.path().join("log");
        source.ok("pg_ctl", &["--pgdata", &source.data(), "--options", &options, "--log", log.to_str().unwrap(), "--wait", "start"]);
        Some(source)
    }

    fn data(&self) -> String {
        self.folder.path().join("data").to_str().unwrap().to_owned()
    }

    fn socket(&self) -> String {
        self.folder.path().to_str().unwrap().to_owned()
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(self.programs.join(program)).args(arguments);
        command.current_dir("/").env("PGHOST", self.socket()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn ok(&self, program: &str, arguments: &[&str]) {
        assert!(self.command(program, arguments).status().unwrap().success(), "{program} {arguments:?}");
    }

    fn sql(&self, database: &str, statements: &str) {
        self.ok("psql", &["-Xq", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", statements]);
    }

    /// Two databases, a role of their own, a tablespace.
    fn fill(&self) {
        let place = self.folder.path().join("fast");
        fs::create_dir(&place).unwrap();
        let postgres = nix::unistd::User::from_name("postgres").unwrap().unwrap();
        nix::unistd::chown(&place, Some(postgres.uid), Some(postgres.gid)).unwrap();
        self.sql("postgres", &format!("create tablespace fast location '{}'", place.display()));
        self.sql("postgres", "create role app login");
        self.sql("postgres", "create database app owner app");
        self.sql("postgres", "create database \"odd name\"");
        self.sql("app", "create table users (name text); insert into users select 'u' || n from generate_series(1, 1000) n; create table logs (t text) tablespace fast; alter table users owner to app");
        self.sql("odd name", "create table t (n int); insert into t values (1)");
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        let _ = self.command("pg_ctl", &["--pgdata", &self.data(), "--mode", "immediate", "stop"]).status();
    }
}

/// Writes a configuration with the server's job, but for what `server` says, and the drill.
fn configure(bench: &Bench, source: &Source, server: &Value, drill: &Value) {
    let mut saved = json!({ "databases": "all", "host": source.socket() });
    saved.as_object_mut().unwrap().extend(server.as_object().unwrap().clone());
    let mut wanted = json!({
        "repository": "main", "key": bench.path("hearth-restore.key"), "scratch": bench.path("scratch"), "amount": "databases",
        "postgresql": {},
    });
    wanted.as_object_mut().unwrap().extend(drill.as_object().unwrap().clone());
    let config = json!({
        "repositories": { "main": { "url": bench.path("repo"), "writerKey": bench.path("hearth-writer.key") } },
        "jobs": { "databases": { "postgresql": saved, "repositories": ["main"] } },
        "drills": { "weekly": wanted },
    });
    bench.write("config.json", config.to_string().as_bytes());
}

fn save(bench: &Bench) {
    bench.ok(&["run", "databases", "--config", "config.json"]);
}

/// Drills; the tests as `name: outcome`, with what they say.
fn drill(bench: &Bench, code: i32) -> Vec<(String, String)> {
    let document = bench.json_ends(&DRILL, code);
    let left: Vec<_> = fs::read_dir(bench.path("scratch")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(servers(bench).is_empty(), "a server is left");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let tests = document["tests"].as_array().unwrap().iter();
    let tests = tests.filter(|test| test["name"] != "newest snapshots");
    tests.map(|test| (format!("{}: {}", text(&test["name"]), text(&test["outcome"])), text(&test["text"]))).collect()
}

/// Processes of throw-away servers of this bench, by their log, which they hold open.
fn servers(bench: &Bench) -> Vec<String> {
    let scratch = bench.path("scratch").to_str().unwrap().to_owned();
    let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let holds = |process: &PathBuf| {
        fs::read_dir(process.join("fd"))
            .into_iter()
            .flatten()
            .flatten()
            .any(|fd| fs::read_link(fd.path()).is_ok_and(|target| target.to_string_lossy().starts_with(&scratch)))
    };
    processes.filter(holds).map(|process| fs::read_to_string(process.join("cmdline")).unwrap_or_default()).collect()
}

fn names(tests: &[(String, String)]) -> Vec<&str> {
    tests.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn dumps_are_loaded_counted_and_asked_in_either_format() {
    let Some(source) = Source::start() else { return };
    source.fill();
    let bench = Bench::with_repository();
    let assertions = json!({
        "app": ["SELECT count(*) > 0 FROM users", "select pg_get_userbyid(relowner) = 'app' from pg_class where relname = 'users'", "select false", "select nonsense"],
    });
    for format in ["custom", "directory"] {
        let wanted = json!({ "postgresql": { "assertions": assertions } });
        configure(&bench, &source, &json!({ "format": format, "directoryFrom": 0 }), &wanted);
        save(&bench);
        let tests = drill(&bench, 1);
        assert_eq!(
            names(&tests),
            [
                "postgresql app: passed",
                "postgresql app: rows: passed",
                "postgresql app: assertion 1: passed",
                "postgresql app: assertion 2: passed",
                "postgresql app: assertion 3: failed",
                "postgresql app: assertion 4: failed",
                "postgresql odd name: passed",
                "postgresql odd name: rows: passed",
                "postgresql postgres: passed",
                "postgresql postgres: rows: passed",
            ],
            "{tests:#?}"
        );
        assert_eq!(tests[1].1, "2 tables hold the 1000 rows that were counted");
        assert!(tests[5].1.contains("nonsense"), "{}", tests[5].1);
    }
    configure(&bench, &source, &json!({}), &json!({ "postgresql": { "databases": ["app"] } }));
    let output = bench.run(&[&DRILL[..], &["--json"]].concat());
    let report: Value = serde_json::from_str(&expect(output, 0, "drill").0).unwrap();
    assert_eq!(report["files"], 1, "a database counts as its dump");
    assert!(report["bytes"].as_u64().unwrap() > 1000 && report["recovery_seconds"].as_u64().is_some(), "{report:#}");
    configure(&bench, &source, &json!({}), &json!({ "amount": "everything", "postgresql": {} }));
    let report = bench.json(&DRILL);
    let number = |key: &str| report[key].as_u64().unwrap();
    assert_eq!(number("bytes"), number("recovery_bytes"), "what is restored as a file and loaded too counts once: {report:#}");
    assert!(number("recovery_seconds") * 1000 >= number("restore_milliseconds"), "it took at least so long: {report:#}");
}

/// What belongs to all databases: the owner of one.
const ROLE: &[u8] = b"CREATE ROLE app;\n";

/// Saves these files as the dumps of a server, whatever they are: what a broken disk, a broken tool or an attacker leaves in a repository.
fn save_as_dumps(bench: &Bench, files: &[(&str, &[u8])], drill: &Value) {
    let _ = fs::remove_dir_all(bench.path("dumps"));
    files.iter().for_each(|(name, content)| bench.write(&format!("dumps/{name}"), content));
    let mut wanted = json!({
        "repository": "main", "key": bench.path("hearth-restore.key"), "scratch": bench.path("scratch"), "amount": "databases",
        "postgresql": {},
    });
    wanted.as_object_mut().unwrap().extend(drill.as_object().unwrap().clone());
    let config = json!({
        "readFrom": { "/@postgresql": bench.path("dumps") },
        "repositories": { "main": { "url": bench.path("repo"), "writerKey": bench.path("hearth-writer.key") } },
        "jobs": { "databases": { "paths": ["/@postgresql"], "repositories": ["main"] } },
        "drills": { "weekly": wanted },
    });
    bench.write("config.json", config.to_string().as_bytes());
    save(bench);
}

#[test]
fn a_dump_that_is_lost_in_part_or_holds_other_rows_fails_the_drill() {
    let Some(source) = Source::start() else { return };
    source.fill();
    let bench = Bench::with_repository();
    let place = source.folder.path().join("app.dump");
    source.ok("pg_dump", &["--format=custom", "--compress=0", "--file", place.to_str().unwrap(), "app"]);
    let dump = fs::read(&place).unwrap();
    let rows = |users: u64| {
        let table = |name: &str, rows: u64| json!({ "schema": "public", "table": name, "rows": rows });
        json!({ "tables": [table("logs", 0), table("users", users)] }).to_string().into_bytes()
    };
    let saved = |dump: &[u8], rows: &[u8]| {
        save_as_dumps(&bench, &[("app.dump", dump), ("app.dump.rows.json", rows), ("globals.sql", ROLE)], &json!({}))
    };
    saved(&dump, &rows(1000));
    assert_eq!(names(&drill(&bench, 0)), ["postgresql app: passed", "postgresql app: rows: passed"]);
    saved(&dump, &rows(1001));
    let tests = drill(&bench, 1);
    assert_eq!(names(&tests), ["postgresql app: passed", "postgresql app: rows: failed"]);
    assert!(tests[1].1.contains("users") && tests[1].1.contains("1001") && tests[1].1.contains("1000"), "{tests:?}");
    for part in [&dump[..dump.len() / 2], &dump[..100], &vec![0; 10_000], b""] {
        saved(part, &rows(1000));
        let tests = drill(&bench, 1);
        assert_eq!(names(&tests), ["postgresql app: failed"]);
        assert!(tests[0].1.contains("pg_restore"), "{}", tests[0].1);
    }
    saved(&dump, b"no JSON");
    assert_eq!(names(&drill(&bench, 1)), ["postgresql app: failed"]);
    save_as_dumps(&bench, &[("app.dump", &dump), ("globals.sql", ROLE)], &json!({}));
    let tests = drill(&bench, 0);
    assert_eq!(names(&tests), ["postgresql app: passed", "postgresql app: rows: inconclusive"], "nobody counted");
}

#[test]
fn what_a_hostile_dump_runs_stays_in_the_sandbox() {
    let Some(source) = Source::start() else { return };
    let bench = Bench::with_repository();
    let escaped = bench.path("source/escaped");
    source.sql("postgres", "create database app");
    // A program that the server runs as soon as the rows are loaded, and one that psql runs. The first ends with a number of its own for what it
    // should not see; on the server that is saved it does nothing.
    let holds = [
        "-w /drill",
        "! -w /etc",
        "! -e /etc/shadow",
        "! -w /usr",
        "! -e /root",
        "! -e /run/systemd",
        "! -e /var/lib",
        "$(id -u) = 65534",
        "$(wc -l </proc/net/dev) -le 3",
    ];
    let checks: String = holds.iter().enumerate().map(|(rank, hold)| format!("test {hold} || exit 2{rank}; ")).collect();
    for (end, code) in [(0, 0), (7, 1)] {
        let program =
            format!("cat >/dev/null; test -d /drill || exit 0; touch {} /etc/hearth-was-here; {checks} exit {end}", escaped.display());
        source.sql(
            "app",
            &format!(
                "drop table if exists t; create or replace function evil(n int) returns int language plpgsql as $f$ begin \
                 execute $c$copy (select 1) to program '{program}'$c$; return n; end $f$; \
                 create table t (n int check (public.evil(n) > 0)); insert into t values (1)"
            ),
        );
        let place = source.folder.path().join("app.dump");
        source.ok("pg_dump", &["--format=custom", "--compress=0", "--file", place.to_str().unwrap(), "app"]);
        let globals = format!("\\! touch {} /etc/hearth-was-here\n", escaped.display());
        save_as_dumps(&bench, &[("app.dump", &fs::read(&place).unwrap()), ("globals.sql", globals.as_bytes())], &json!({}));
        let tests = drill(&bench, code);
        assert!(code == 0 || tests[0].1.contains("exit code 7"), "it did not run, or saw what it should not: {tests:?}");
        assert!(!escaped.exists() && !std::path::Path::new("/etc/hearth-was-here").exists());
    }
}

#[test]
fn what_one_dump_leaves_behind_is_not_there_for_the_next_one() {
    let Some(source) = Source::start() else { return };
    let bench = Bench::with_repository();
    let victim = bench.path("source/victim");
    fs::create_dir(&victim).unwrap();
    source.sql("postgres", "create database a");
    source.sql("postgres", "create database b");
    // What the server runs when it fills the view: it reads what it can, and puts links where the next dump could be written to.
    let places = ["/drill/dumps", "/drill/../postgresql-own/dumps", "/drill/data/base/evil"];
    let links: String = places.map(|place| format!("rm -rf {place}; ln -s {} {place}; ", victim.display())).concat();
    let program = format!(
        "cat >/dev/null; test -d /drill || exit 0; {{ cat /etc/shadow; ls /root {}; }} >/drill/seen 2>&1; {links}",
        victim.display()
    );
    source.sql(
        "a",
        &format!(
            "create function evil() returns int language plpgsql as $f$ begin \
             execute $c$copy (select 1) to program '{program} true'$c$; return 1; end $f$; \
             create materialized view v as select evil() as n"
        ),
    );
    source.sql("b", "create table t (n int); insert into t values (7)");
    fs::write(victim.join("mine"), "mine").unwrap();
    let seen = "select coalesce((pg_stat_file('/drill/seen', true)).size, 0)";
    let assertions = json!({
        "a": [format!("{seen} > 0"), "select pg_read_file('/drill/seen') !~ '(root:|mine)'", "select pg_stat_file('/drill/dumps', true) is null"],
        "b": [format!("{seen} = 0"), "select n = 7 from t"],
    });
    let wanted = json!({ "postgresql": { "databases": ["a", "b"], "assertions": assertions } });
    configure(&bench, &source, &json!({ "format": "directory", "directoryFrom": 0 }), &wanted);
    save(&bench);
    let tests = drill(&bench, 0);
    assert_eq!(tests.iter().filter(|(name, _)| name.contains("assertion")).count(), 5, "{tests:#?}");
    let there: Vec<_> = fs::read_dir(&victim).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!((there, fs::read_to_string(victim.join("mine")).unwrap()), (vec!["mine".into()], "mine".to_owned()));
}

#[test]
fn a_dump_that_hangs_is_ended_when_the_time_of_the_drill_is_over() {
    let Some(source) = Source::start() else { return };
    let bench = Bench::with_repository();
    let place = source.folder.path().join("app.dump");
    source.ok("pg_dump", &["--format=custom", "--compress=0", "--file", place.to_str().unwrap(), "postgres"]);
    let dump = fs::read(&place).unwrap();
    // Neither what the client runs nor the client itself has anything to do with the server.
    let files = [("app.dump", &dump[..]), ("globals.sql", b"\\! sleep 1000\n")];
    save_as_dumps(&bench, &files, &json!({ "timeLimit": "4s" }));
    let error = bench.fails(&DRILL, 1);
    assert!(error.contains("took longer than its `timeLimit` of 4s"), "{error}");
    assert!(servers(&bench).is_empty() && fs::read_dir(bench.path("scratch")).unwrap().next().is_none());
}

#[test]
fn a_drill_without_what_it_needs_says_so() {
    let Some(source) = Source::start() else { return };
    let bench = Bench::with_repository();
    configure(&bench, &source, &json!({}), &json!({ "postgresql": { "databases": ["gone"] } }));
    save(&bench);
    let tests = drill(&bench, 1);
    assert!(tests[0].0 == "postgresql gone: failed" && tests[0].1.contains("no dump of `gone`"), "{tests:?}");
    configure(&bench, &source, &json!({}), &json!({ "postgresql": { "programs": "/nowhere" } }));
    let tests = drill(&bench, 1);
    assert!(tests[0].1.contains("/nowhere has no `initdb`"), "{tests:?}");
    configure(&bench, &source, &json!({}), &json!({ "postgresql": { "settings": { "shared_buffers": "lots" } } }));
    let tests = drill(&bench, 1);
    assert!(tests[0].1.contains("does not start") && tests[0].1.contains("shared_buffers"), "{tests:?}");
    bench.ok(&["backup", "--key", "hearth-writer.key", &bench.source()]);
    configure(&bench, &source, &json!({}), &json!({}));
    let tests = drill(&bench, 1);
    assert_eq!(tests, [("postgresql: failed".to_owned(), "the snapshot has no dump of any database".to_owned())]);
}

#[test]
fn a_killed_drill_takes_its_server_with_it() {
    let Some(source) = Source::start() else { return };
    let bench = Bench::with_repository();
    let endless = json!({ "postgresql": { "databases": ["postgres"], "assertions": { "postgres": ["select pg_sleep(1000)"] } } });
    configure(&bench, &source, &json!({}), &endless);
    save(&bench);
    for signal in [nix::sys::signal::Signal::SIGKILL, nix::sys::signal::Signal::SIGTERM] {
        let mut drill = bench.command(&DRILL).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while servers(&bench).len() < 3 {
            assert!(drill.try_wait().unwrap().is_none(), "it ended before its server was there");
            std::thread::yield_now();
        }
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(drill.id().cast_signed()), signal).unwrap();
        drill.wait().unwrap();
        // The sandbox ends with the drill, unless that was killed in the moment in which the sandbox had begun and did not watch it yet.
        bench.ok(&["settle", "--kind", "drill", "weekly", "--config", "config.json"]);
        while !servers(&bench).is_empty() {
            std::thread::yield_now();
        }
        assert!(fs::read_dir(bench.path("scratch")).unwrap().next().is_none(), "{signal}");
    }
}
