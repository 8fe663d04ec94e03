//! A real PostgreSQL server, dumped by a job while it is written to, and brought back.
//!
//! Needs PostgreSQL's server programs and root or the right to run them; says SKIPPED and why where that is missing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod cli_common;
#[path = "servers/postgresql.rs"]
mod server;
#[path = "servers/small_disk.rs"]
mod small_disk;

use std::fs;
use std::path::Path;
use std::process::Stdio;

use cli_common::{Bench, expect};
use serde_json::{Value, json};
use server::Cluster;
use small_disk::Small;

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
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// The recorded row counts of a database in the newest snapshot.
fn recorded(bench: &Bench, dump: &str) -> Value {
    let path = format!("/@postgresql/{dump}.rows.json");
    serde_json::from_str(&bench.ok(&["dump", "latest", &path, "--key", "hearth-restore.key"])).unwrap()
}

/// A program through which the tools run as the user postgres; `$tool` is the tool's name.
fn passage(cluster: &Cluster, script: &str) -> String {
    let place = cluster.folder.path().join("passage");
    fs::write(&place, format!("#!/bin/sh\ntool=$1\n{script}\n")).unwrap();
    open_to_all(&place);
    place.to_str().unwrap().to_owned()
}

const AS_POSTGRES: &str = "runuser -u postgres -- \"$@\"";

fn databases(cluster: &Cluster) -> String {
    cluster.ask("postgres", "select string_agg(datname, ' ' order by datname) from pg_database where not datistemplate")
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
fn a_database_without_tables_may_hold_something_all_the_same() {
    let Some(cluster) = Cluster::start() else { return };
    let bench = Bench::with_repository();
    cluster.ok("createdb", &["shop"]);
    configure(&bench, &cluster, |_| {});
    bench.ends(&RUN, 0);
    let made = [
        "create function answer() returns int language sql as 'select 42'",
        "create type colour as enum ('red')",
        "create domain age as int check (value > 0)",
        "create type pair as (a int, b int)",
        "select lo_create(0)",
    ];
    for statement in made {
        cluster.ok("createdb", &["other"]);
        cluster.ask("other", statement);
        let error = bench.fails(&back(&cluster, &["shop", "--to", "other"]), 1);
        assert!(error.contains("`other` holds 1 ") && error.contains("--replace"), "{statement}: {error}");
        cluster.ok("dropdb", &["other"]);
    }
    cluster.ok("createdb", &["other"]);
    cluster.ask("other", "create schema empty");
    bench.ok(&back(&cluster, &["shop", "--to", "other"]));
}

#[test]
fn what_the_server_refuses_of_roles_and_tablespaces_is_told() {
    let Some(cluster) = Cluster::start() else { return };
    let bench = Bench::with_repository();
    let place = cluster.folder.path().join("fast");
    let owner = nix::unistd::User::from_name("postgres").unwrap().unwrap();
    fs::create_dir(&place).unwrap();
    nix::unistd::chown(&place, Some(owner.uid), Some(owner.gid)).unwrap();
    cluster.ask("postgres", &format!("create tablespace fast location '{}'", place.display()));
    cluster.ok("createdb", &["shop"]);
    cluster.ask("shop", "create table goods (name text); insert into goods values ('tea')");
    configure(&bench, &cluster, |_| {});
    bench.ends(&RUN, 0);
    let output = bench.run(&back(&cluster, &["shop", "--replace"]));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!said.contains("tablespace"), "what is there is not made again: {said}");

    cluster.ask("postgres", "drop tablespace fast");
    fs::remove_dir_all(&place).unwrap();
    let output = bench.run(&back(&cluster, &["shop", "--replace"]));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("not all roles and tablespaces") && said.contains(place.to_str().unwrap()), "{said}");
    assert_eq!(cluster.ask("shop", "select name from goods"), "tea");
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

#[test]
fn the_rows_of_each_table_are_recorded_and_compared_before_the_old_database_goes() {
    let Some(cluster) = Cluster::start() else { return };
    let bench = Bench::with_repository();
    cluster.ok("createdb", &["shop"]);
    cluster.ask("shop", "create table goods (name text); insert into goods select 'tea' || n from generate_series(1, 1000) n");
    cluster.ask("shop", "insert into goods values (E'two\\nlines'), (''), (null), (E'\\\\.')");
    cluster.ask(
        "shop",
        "create schema \"odd one\"; create table \"odd one\".\"a\"\"b|\" (); insert into \"odd one\".\"a\"\"b|\" default values",
    );
    cluster.ask("shop", "create table parent (n int); create table child () inherits (parent); insert into child values (1), (2)");
    cluster
        .ask("shop", "create table parts (n int) partition by range (n); create table few partition of parts for values from (0) to (10)");
    cluster.ask("shop", "insert into parts select 3 from generate_series(1, 7); select lo_from_bytea(0, 'a large\nobject')");
    configure(&bench, &cluster, |_| {});
    bench.ends(&RUN, 0);
    let table = |schema: &str, table: &str, rows: u64| json!({ "schema": schema, "table": table, "rows": rows });
    let expected = [
        table("odd one", "a\"b|", 1),
        table("public", "child", 2),
        table("public", "few", 7),
        table("public", "goods", 1004),
        table("public", "parent", 0),
    ];
    assert_eq!(recorded(&bench, "shop.dump"), json!({ "tables": expected }));
    assert_eq!(recorded(&bench, "postgres.dump"), json!({ "tables": [] }));

    bench.ok(&back(&cluster, &["shop", "--to", "again"]));
    assert_eq!(cluster.ask("again", "select count(*) from goods"), "1004");
    assert_eq!(
        cluster.ask("postgres", "select coalesce(shobj_description(oid, 'pg_database'), 'none') from pg_database where datname = 'again'"),
        "none"
    );

    // A restore that loses a row, through a program of the test's.
    let lossy = format!(
        "{AS_POSTGRES} || exit\n[ $tool != pg_restore ] || runuser -u postgres -- psql -qh '{}' -d again.restoring -c 'delete from goods where name is null'",
        cluster.socket()
    );
    let passage = passage(&cluster, &lossy);
    let arguments = ["shop", "--to", "again", "--replace", "--through", &passage];
    let error = bench.fails(&back(&cluster, &arguments), 1);
    assert!(error.contains("public.goods has 1003 rows instead of 1004") && error.contains("nothing was replaced"), "{error}");
    assert_eq!(cluster.ask("again", "select count(*) from goods"), "1004");
    assert_eq!(databases(&cluster), "again postgres shop");
    bench.ok(&back(&cluster, &[arguments.as_slice(), &["--no-verify-rows"]].concat()));
    assert_eq!(cluster.ask("again", "select count(*) from goods"), "1003");
}

#[test]
fn without_recorded_rows_a_database_comes_back_all_the_same() {
    let Some(cluster) = Cluster::start() else { return };
    let bench = Bench::with_repository();
    cluster.ok("createdb", &["shop"]);
    cluster.ask("shop", "create table goods (name text); insert into goods values ('tea')");
    configure(&bench, &cluster, |server| server["rowCounts"] = json!(false));
    bench.ends(&RUN, 0);
    bench.fails(&["dump", "latest", "/@postgresql/shop.dump.rows.json", "--key", "hearth-restore.key"], 1);
    let (_, said) = bench.ends(&back(&cluster, &["shop", "--to", "again"]), 0);
    assert!(said.contains("cannot be compared"), "{said}");
    assert_eq!(cluster.ask("again", "select name from goods"), "tea");
}

#[test]
fn what_a_killed_restore_left_is_dropped_unless_it_is_the_only_copy() {
    let Some(cluster) = Cluster::start() else { return };
    let bench = Bench::with_repository();
    cluster.ok("createdb", &["shop"]);
    cluster.ask("shop", "create table goods (name text); insert into goods values ('tea')");
    configure(&bench, &cluster, |_| {});
    bench.ends(&RUN, 0);
    let leave = |mark: &str| {
        cluster.ok("createdb", &["shop.restoring"]);
        cluster.ask("postgres", &format!("comment on database \"shop.restoring\" is '{mark}'"));
    };
    leave("hearth-backup restore-db: not complete");
    bench.ok(&back(&cluster, &["shop", "--replace"]));
    leave("hearth-backup restore-db: complete, about to be renamed");
    bench.ok(&back(&cluster, &["shop", "--replace"]));
    assert_eq!(databases(&cluster), "postgres shop");

    leave("mine");
    let error = bench.fails(&back(&cluster, &["shop", "--replace"]), 1);
    assert!(error.contains("`shop.restoring` is in the way"), "{error}");
    cluster.ok("dropdb", &["shop.restoring"]);

    leave("hearth-backup restore-db: complete, about to be renamed");
    cluster.ok("dropdb", &["shop"]);
    let error = bench.fails(&back(&cluster, &["shop"]), 1);
    assert!(error.contains("alter database \"shop.restoring\" rename to \"shop\""), "{error}");
    assert_eq!(databases(&cluster), "postgres shop.restoring");
    cluster.ok("dropdb", &["shop.restoring"]);
    bench.ok(&back(&cluster, &["shop"]));
    assert_eq!(databases(&cluster), "postgres shop");
}

#[test]
fn a_database_in_use_is_replaced_also_on_old_servers() {
    let Some(cluster) = Cluster::start() else { return };
    let bench = Bench::with_repository();
    cluster.ok("createdb", &["shop"]);
    cluster.ask("shop", "create table goods (name text); insert into goods values ('tea')");
    configure(&bench, &cluster, |_| {});
    bench.ends(&RUN, 0);
    // A stand-in for an old server: it says that it is one, and refuses what one would refuse.
    let old =
        format!("case \"$*\" in *server_version_num*) echo 120022;; *force*) echo syntax error >&2; exit 1;; *) {AS_POSTGRES};; esac");
    let passage = passage(&cluster, &old);
    for arguments in [vec!["shop", "--replace"], vec!["shop", "--replace", "--through", &passage]] {
        let mut user = cluster.command("psql", &["-d", "shop", "-c", "select pg_sleep(1000)"]).stderr(Stdio::null()).spawn().unwrap();
        while cluster.ask("postgres", "select count(*) from pg_stat_activity where query = 'select pg_sleep(1000)'") != "1" {}
        bench.ok(&back(&cluster, &arguments));
        user.wait().unwrap();
        assert_eq!(cluster.ask("shop", "select name from goods"), "tea");
    }
    assert_eq!(databases(&cluster), "postgres shop");
}

#[test]
fn a_large_database_is_dumped_as_a_directory_by_several_connections() {
    let Some(cluster) = Cluster::start() else { return };
    let bench = Bench::with_repository();
    cluster.ok("createdb", &["bank"]);
    cluster.ok("pgbench", &["--initialize", "--quiet", "--scale", "1", "bank"]);
    cluster.ask("bank", "select lo_from_bytea(4711, 'a large object')");
    cluster.ok("createdb", &["small"]);
    configure(&bench, &cluster, |server| {
        server["databases"] = json!(["absent", "bank", "small"]);
        server["format"] = json!("directory");
        server["parallel"] = json!(2);
        server["directoryFrom"] = json!("12MiB");
        server["scratch"] = json!(bench.path("scratch"));
    });
    let left = bench.path("scratch/hearth-scratch-left");
    fs::create_dir_all(&left).unwrap();
    let (_, error) = bench.ends(&RUN, 3);
    assert!(error.contains("database absent: its dump failed") && error.contains("does not exist"), "{error}");
    assert_eq!(fs::read_dir(bench.path("scratch")).unwrap().count(), 0, "nothing is left, of this run or an earlier one");
    let list = bench.ok(&["ls", "latest", "/@postgresql", "--key", "hearth-restore.key"]);
    assert!(
        list.contains("bank.dir") && list.contains("bank.dir.rows.json") && list.contains("small.dump") && !list.contains("absent"),
        "{list}"
    );
    let counts = recorded(&bench, "bank.dir");
    let rows = |table: &str| counts["tables"].as_array().unwrap().iter().find(|counted| counted["table"] == table).unwrap()["rows"].clone();
    assert_eq!((rows("pgbench_accounts"), rows("pgbench_tellers"), rows("pgbench_history")), (json!(100_000), json!(10), json!(0)));

    bench.ok(&back(&cluster, &["bank", "--to", "again", "--jobs", "2"]));
    assert_eq!(cluster.ask("again", "select count(*) from pgbench_accounts"), "100000");
    assert_eq!(cluster.ask("again", "select convert_from(lo_get(4711), 'utf8')"), "a large object");
    assert_eq!(fs::read_dir(bench.path("state/scratch")).unwrap().count(), 0);
}

#[test]
fn a_server_behind_another_program_is_saved_and_brought_back_through_it() {
    let Some(cluster) = Cluster::start() else { return };
    let bench = Bench::with_repository();
    cluster.ok("createdb", &["shop"]);
    cluster.ask("shop", "create table goods (name text); insert into goods values ('tea')");
    let passage = passage(&cluster, &format!("echo $tool >>{}/used\n{AS_POSTGRES}", cluster.socket()));
    configure(&bench, &cluster, |server| server["through"] = json!([passage]));
    bench.ends(&RUN, 0);
    bench.ok(&back(&cluster, &["shop", "--replace", "--through", &passage]));
    assert_eq!(cluster.ask("shop", "select name from goods"), "tea");
    let used = fs::read_to_string(cluster.folder.path().join("used")).unwrap();
    for tool in ["psql", "pg_dump", "pg_dumpall", "pg_restore"] {
        assert!(used.lines().any(|line| line == tool), "{tool} did not run through it: {used}");
    }
}

/// Our child of that name, once it has written so many bytes.
fn child_that_wrote(parent: u32, name: &str, bytes: u64) -> nix::unistd::Pid {
    loop {
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|pid| pid.parse::<i32>().ok()) else { continue };
            let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
            if !stat.contains(&format!("({name}) ")) || stat.rsplit(") ").next().unwrap().split(' ').nth(1) != Some(&parent.to_string()) {
                continue;
            }
            let io = fs::read_to_string(entry.path().join("io")).unwrap_or_default();
            let written = io.lines().find_map(|line| line.strip_prefix("wchar: ")?.parse::<u64>().ok());
            if written >= Some(bytes) {
                return nix::unistd::Pid::from_raw(pid);
            }
        }
    }
}

#[test]
fn a_dump_that_is_killed_while_it_writes_is_not_in_the_snapshot() {
    let Some(cluster) = Cluster::start() else { return };
    let bench = Bench::with_repository();
    cluster.ok("createdb", &["bank"]);
    cluster.ok("pgbench", &["--initialize", "--quiet", "--scale", "20", "bank"]);
    configure(&bench, &cluster, |_| {});
    let run = bench.command(&RUN).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let dump = child_that_wrote(run.id(), "pg_dump", 2 << 20);
    nix::sys::signal::kill(dump, nix::sys::signal::Signal::SIGKILL).unwrap();
    let (_, error) = expect(run.wait_with_output().unwrap(), 3, "the run");
    assert!(error.contains("/@postgresql/bank.dump") && error.contains("signal: 9"), "{error}");
    let list = bench.ok(&["ls", "latest", "/@postgresql", "--key", "hearth-restore.key"]);
    assert!(!list.contains("bank") && list.contains("postgres.dump"), "{list}");
    bench.ends(&RUN, 0);
    bench.ok(&back(&cluster, &["bank", "--to", "again"]));
    assert_eq!(cluster.ask("again", "select count(*) from pgbench_accounts"), "2000000");
}

#[test]
fn a_disk_that_fills_up_during_a_dump_leaves_no_snapshot_and_the_next_run_works() {
    let Some(cluster) = Cluster::start() else { return };
    let bench = Bench::new();
    let Some(disk) = Small::mount(bench.path("repo"), "4m") else { return };
    bench.ok(&["init"]);
    cluster.ok("createdb", &["noise"]);
    cluster.ask("noise", "create table noise (data bytea)");
    cluster.ask("noise", "insert into noise select sha512(n::text::bytea) || sha512((-n)::text::bytea) from generate_series(1, 200000) n");
    configure(&bench, &cluster, |_| {});
    let (_, error) = bench.ends(&RUN, 1);
    assert!(error.contains("No space left") || error.contains("full"), "{error}");
    assert!(bench.snapshots().is_empty());
    disk.grow("500m");
    bench.ends(&RUN, 0);
    bench.ok(&back(&cluster, &["noise", "--to", "again"]));
    assert_eq!(cluster.ask("again", "select count(*) from noise"), "200000");
}

#[test]
fn the_database_from_which_others_are_made_comes_back_too() {
    let Some(cluster) = Cluster::start() else { return };
    let bench = Bench::with_repository();
    cluster.ask("postgres", "create table notes as select 'kept' as text");
    configure(&bench, &cluster, |_| {});
    bench.json(&RUN);
    cluster.ask("postgres", "update notes set text = 'lost'");
    bench.ok(&back(&cluster, &["postgres", "--replace"]));
    assert_eq!(cluster.ask("postgres", "select text from notes"), "kept");
    cluster.ask("template1", "drop database postgres");
    bench.ok(&back(&cluster, &["postgres"]));
    assert_eq!(cluster.ask("postgres", "select text from notes"), "kept");
    assert_eq!(databases(&cluster), "postgres");
}
