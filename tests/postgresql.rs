//! A real PostgreSQL server, dumped by a job while it is written to, and brought back.
//!
//! Needs PostgreSQL's server programs and root or the right to run them; says SKIPPED and why where that is missing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod cli_common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use cli_common::{Bench, expect};
use serde_json::{Value, json};

/// A server of its own with a socket in its own directory.
struct Cluster {
    folder: tempfile::TempDir,
    programs: PathBuf,
}

impl Cluster {
    /// Starts one; `None` if that is not possible here.
    fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            println!("SKIPPED: PostgreSQL's server programs are not installed (Debian: postgresql)");
            return None;
        };
        if !nix::unistd::geteuid().is_root() || nix::unistd::User::from_name("postgres").unwrap().is_none() {
            println!("SKIPPED: only root can become the user postgres");
            return None;
        }
        let cluster = Self { folder: tempfile::tempdir().unwrap(), programs };
        let postgres = nix::unistd::User::from_name("postgres").unwrap().unwrap();
        nix::unistd::chown(cluster.folder.path(), Some(postgres.uid), Some(postgres.gid)).unwrap();
        cluster.ok("initdb", &["--pgdata", &cluster.data(), "--auth-local=peer", "--auth-host=reject", "--no-sync"]);
        let options = format!("-c listen_addresses='' -c unix_socket_directories={} -c fsync=off", cluster.socket());
        let log = cluster.folder.path().join("log");
        cluster.ok("pg_ctl", &["--pgdata", &cluster.data(), "--options", &options, "--log", log.to_str().unwrap(), "--wait", "start"]);
        Some(cluster)
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
        command.current_dir("/").env("PGHOST", self.socket()).stdin(Stdio::null());
        command
    }

    fn ok(&self, program: &str, arguments: &[&str]) -> String {
        // The server would keep a pipe open for as long as it runs.
        let output = match program {
            "pg_ctl" => self.command(program, arguments).stdout(Stdio::null()).stderr(Stdio::null()).output(),
            _ => self.command(program, arguments).output(),
        };
        expect(output.unwrap(), 0, (program, arguments)).0
    }

    fn ask(&self, database: &str, query: &str) -> String {
        self.ok("psql", &["-XAt", "-d", database, "-c", query]).trim().to_owned()
    }

    fn load(&self, database: &str, seconds: &str) -> Child {
        let mut command = self.command("pgbench", &["--time", seconds, "--client", "2", database]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.command("pg_ctl", &["--pgdata", &self.data(), "--mode", "immediate", "stop"]).output();
    }
}

/// The newest installed server's programs.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten().map(|version| version.path().join("bin"));
    versions.filter(|bin| bin.join("initdb").exists() && bin.join("pgbench").exists()).max()
}

fn configure(bench: &Bench, cluster: &Cluster, change: impl FnOnce(&mut Value)) {
    let mut server = json!({ "databases": "all", "host": cluster.socket() });
    change(&mut server);
    let config = json!({
        "repositories": { "main": { "url": bench.path("repo"), "writerKey": bench.path("hearth-writer.key") } },
        "jobs": { "databases": { "paths": [bench.source()], "postgresql": server, "repositories": ["main"] } },
    });
    bench.write("config.json", config.to_string().as_bytes());
}

const RUN: [&str; 4] = ["run", "databases", "--config", "config.json"];

/// The arguments of `restore-db` for this server.
fn back<'a>(cluster: &'a Cluster, arguments: &[&'a str]) -> Vec<&'a str> {
    let socket = cluster.folder.path().to_str().unwrap();
    [&["restore-db", "latest", "--key", "hearth-restore.key", "--server", socket], arguments].concat()
}

/// Writes a file of the newest snapshot to a place that everyone can read.
fn fetch(bench: &Bench, cluster: &Cluster, path: &str) -> String {
    let output = bench.run(&["dump", "latest", path, "--key", "hearth-restore.key"]);
    let place = cluster.folder.path().join("fetched");
    fs::write(&place, &output.stdout).unwrap();
    expect(output, 0, path);
    open_to_all(&place);
    place.to_str().unwrap().to_owned()
}

fn open_to_all(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
}

#[test]
fn databases_that_are_written_to_come_back_as_they_were_at_one_moment() {
    let Some(cluster) = Cluster::start() else { return };
    let bench = Bench::with_repository();
    cluster.ok("createdb", &["bank"]);
    cluster.ok("createdb", &["odd/name it's"]);
    cluster.ok("pgbench", &["--initialize", "--quiet", "--scale", "2", "bank"]);
    configure(&bench, &cluster, |_| {});
    let mut load = cluster.load("bank", "20");
    let report = bench.json(&RUN);
    load.kill().unwrap();
    load.wait().unwrap();
    assert_eq!(report["warnings"], 0, "{report}");

    bench.ok(&back(&cluster, &["bank", "--to", "again"]));
    let sums = "select (select sum(abalance) from pgbench_accounts), (select sum(bbalance) from pgbench_branches), \
                (select sum(tbalance) from pgbench_tellers), (select coalesce(sum(delta), 0) from pgbench_history)";
    let found = cluster.ask("again", sums);
    let sums: Vec<&str> = found.split('|').collect();
    assert!(sums.iter().all(|sum| *sum == sums[0]), "the balances do not add up: {found}");
    assert_eq!(cluster.ask("again", "select count(*) from pgbench_accounts"), "200000");

    let dump = fetch(&bench, &cluster, "/@postgresql/odd%2Fname it's.dump");
    cluster.ok("pg_restore", &["--list", &dump]);
    let globals = fs::read_to_string(fetch(&bench, &cluster, "/@postgresql/globals.sql")).unwrap();
    assert!(globals.contains("CREATE ROLE postgres"), "{globals}");
    let version = fs::read_to_string(fetch(&bench, &cluster, "/@postgresql/version")).unwrap();
    assert!(version.contains("PostgreSQL") && version.contains("pg_dump"), "{version}");
}

#[test]
fn the_next_dump_of_a_database_adds_little() {
    let Some(cluster) = Cluster::start() else { return };
    let bench = Bench::with_repository();
    cluster.ok("createdb", &["bank"]);
    cluster.ok("pgbench", &["--initialize", "--quiet", "--scale", "5", "bank"]);
    configure(&bench, &cluster, |server| server["databases"] = json!(["bank"]));
    let first = bench.json(&RUN);
    cluster.ask("bank", "update pgbench_accounts set abalance = 7 where aid between 1000 and 2000");
    let second = bench.json(&RUN);
    let new = |report: &Value| report["repositories"][0]["statistics"]["bytes_new"].as_u64().unwrap();
    assert!(new(&first) > 40_000_000, "{first}");
    assert!(new(&second) < new(&first) / 20, "{} bytes after {}", new(&second), new(&first));
}

#[test]
fn a_server_that_cannot_be_reached_costs_only_its_databases() {
    let Some(cluster) = Cluster::start() else { return };
    let bench = Bench::with_repository();
    cluster.ok("pg_ctl", &["--pgdata", &cluster.data(), "--mode", "immediate", "--wait", "stop"]);
    configure(&bench, &cluster, |_| {});
    let (_, error) = bench.ends(&RUN, 3);
    assert!(error.contains("postgresql: ") && error.contains("none of its databases"), "{error}");
    assert_eq!(bench.ok(&["dump", "latest", &format!("{}/a.txt", bench.source()), "--key", "hearth-restore.key"]), "first");
}

#[test]
fn a_database_that_cannot_be_dumped_is_not_in_the_snapshot_and_the_others_are() {
    let Some(cluster) = Cluster::start() else { return };
    let bench = Bench::with_repository();
    cluster.ok("createdb", &["good"]);
    configure(&bench, &cluster, |server| server["databases"] = json!(["good", "absent"]));
    let (_, error) = bench.ends(&RUN, 3);
    assert!(error.contains("/@postgresql/absent.dump") && error.contains("does not exist"), "{error}");
    let dump = fetch(&bench, &cluster, "/@postgresql/good.dump");
    cluster.ok("pg_restore", &["--list", &dump]);
    bench.fails(&["dump", "latest", "/@postgresql/absent.dump", "--key", "hearth-restore.key"], 1);
}

#[test]
fn a_database_comes_back_with_its_owner_and_roles_and_replaces_another_only_when_told_so() {
    let Some(cluster) = Cluster::start() else { return };
    let bench = Bench::with_repository();
    cluster.ask("postgres", "create role app login password 'secret'");
    cluster.ok("createdb", &["--owner=app", "shop"]);
    cluster.ask("shop", "create table goods (name text); insert into goods values ('tea'), ('milk'); alter table goods owner to app");
    configure(&bench, &cluster, |_| {});
    bench.ends(&RUN, 0);

    cluster.ask("shop", "insert into goods values ('later')");
    let error = bench.fails(&back(&cluster, &["shop"]), 1);
    assert!(error.contains("`shop` holds 1 tables") && error.contains("--replace"), "{error}");
    assert_eq!(cluster.ask("shop", "select count(*) from goods"), "3", "nothing was touched");

    cluster.ok("dropdb", &["shop"]);
    cluster.ask("postgres", "drop role app");
    bench.ok(&back(&cluster, &["shop"]));
    assert_eq!(cluster.ask("shop", "select string_agg(name, ' ' order by name) from goods"), "milk tea");
    assert_eq!(cluster.ask("shop", "select tableowner from pg_tables where tablename = 'goods'"), "app");
    assert_eq!(cluster.ask("postgres", "select pg_get_userbyid(datdba) from pg_database where datname = 'shop'"), "app");

    cluster.ask("shop", "delete from goods");
    cluster.ask("postgres", "alter role app connection limit 5");
    bench.ok(&back(&cluster, &["shop", "--replace"]));
    assert_eq!(cluster.ask("shop", "select count(*) from goods"), "2");
    assert_eq!(cluster.ask("postgres", "select rolconnlimit from pg_roles where rolname = 'app'"), "5", "roles that are there stay");
    let error = bench.fails(&back(&cluster, &["absent"]), 1);
    assert!(error.contains("no dump of `absent`"), "{error}");
}

#[test]
fn a_dump_that_does_not_restore_leaves_the_server_as_it_was() {
    let Some(cluster) = Cluster::start() else { return };
    let bench = Bench::with_repository();
    cluster.ok("createdb", &["shop"]);
    cluster.ask("shop", "create table goods (name text); insert into goods values ('tea')");
    configure(&bench, &cluster, |_| {});
    bench.ends(&RUN, 0);
    let packs: Vec<_> =
        fs::read_dir(bench.path("repo/packs")).unwrap().flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap()).collect();
    let largest = packs.into_iter().map(Result::unwrap).max_by_key(|pack| pack.metadata().unwrap().len()).unwrap();
    let mut bytes = fs::read(largest.path()).unwrap();
    for position in (100..bytes.len() - 300).step_by(500) {
        bytes[position] ^= 1;
    }
    fs::write(largest.path(), bytes).unwrap();
    bench.fails(&back(&cluster, &["shop", "--replace"]), 1);
    assert_eq!(cluster.ask("shop", "select name from goods"), "tea");
    assert_eq!(cluster.ask("postgres", "select count(*) from pg_database where datname like '%restoring%'"), "0");
}
