//! A real MariaDB server, dumped by a job while it is written to, and brought back.
//!
//! Needs MariaDB's server programs; says SKIPPED and why where they are missing. MySQL's own server is not in Debian: what `mysql` in a
//! configuration does is tested against MariaDB as a stand-in, with the tools that MariaDB brings under MySQL's names.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod cli_common;
#[path = "servers/mariadb.rs"]
mod servers;

use std::fs;
use std::process::{Command, Stdio};

use cli_common::{Bench, expect};
use serde_json::{Value, json};
use servers::Server;

fn configure(bench: &Bench, server: &Server, change: impl FnOnce(&mut Value)) {
    let options = json!({ "socket": server.socket(), "username": "root" });
    let mut job = json!({ "paths": [bench.source()], "mariadb": options, "repositories": ["main"] });
    change(&mut job);
    let config = json!({
        "repositories": { "main": { "url": bench.path("repo"), "writerKey": bench.path("hearth-writer.key") } },
        "jobs": { "databases": job },
    });
    bench.write("config.json", config.to_string().as_bytes());
}

const RUN: [&str; 4] = ["run", "databases", "--config", "config.json"];

/// The arguments of `restore-db` for this server.
fn back(server: &Server, arguments: &[&str]) -> Vec<String> {
    let socket = server.socket();
    let base = ["restore-db", "latest", "--key", "hearth-restore.key", "--socket", &socket, "--username", "root"];
    base.iter().chain(arguments).map(|argument| (*argument).to_owned()).collect()
}

fn ends(bench: &Bench, arguments: &[String], code: i32) -> (String, String) {
    bench.ends(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), code)
}

/// A file of the newest snapshot.
fn fetch(bench: &Bench, path: &str) -> String {
    bench.ok(&["dump", "latest", path, "--key", "hearth-restore.key"])
}

const ACCOUNTS: &str = "create table accounts (id int primary key, balance bigint not null) engine = InnoDB; \
    create table moves (id int auto_increment primary key, amount int not null) engine = InnoDB; \
    insert into accounts select seq, 0 from seq_1_to_20000; ";

#[test]
fn databases_that_are_written_to_come_back_as_they_were_at_one_moment() {
    let Some(server) = Server::start() else { return };
    let bench = Bench::with_repository();
    server.ask("", "create database bank; create database `odd/name it``s`");
    server.ask("odd/name it`s", "create table t (a int); insert into t values (1), (2)");
    // Each step takes from one account, gives to another and writes it down, in one transaction.
    let churn = format!(
        "{ACCOUNTS}\ndelimiter //\ncreate procedure churn() begin declare n int default 0; loop set n = n + 1; start transaction; \
         update accounts set balance = balance - n where id = 1 + n * 7 % 20000; \
         update accounts set balance = balance + n where id = 20000 - n * 11 % 20000; insert into moves (amount) values (n); commit; end loop; end//\n"
    );
    let file = bench.path("churn.sql");
    fs::write(&file, churn).unwrap();
    server.ask("bank", &format!("source {}", file.display()));
    configure(&bench, &server, |_| {});
    let mut load = server.client(&["--database=bank", "--execute=call churn()"]).stderr(Stdio::null()).spawn().unwrap();
    while server.ask("bank", "select count(*) > 10 from moves") == "0" {
        assert!(load.try_wait().unwrap().is_none(), "nothing is written");
    }
    let report = bench.json(&RUN);
    load.kill().unwrap();
    load.wait().unwrap();
    assert_eq!(report["warnings"], 0, "{report}");

    ends(&bench, &back(&server, &["bank", "--to", "again"]), 0);
    assert_eq!(server.ask("again", "select sum(balance), count(*) from accounts"), "0\t20000", "the balances do not add up");
    assert_ne!(server.ask("again", "select count(*) from moves"), "0");
    ends(&bench, &back(&server, &["odd/name it`s", "--replace"]), 0);
    assert_eq!(server.ask("odd/name it`s", "select sum(a) from t"), "3");
    assert_eq!(server.databases(), "again bank odd/name it`s", "no trial is left");
    let version = fetch(&bench, "/@mariadb/version");
    assert!(version.contains("MariaDB") && version.contains("mariadb-dump"), "{version}");
}

#[test]
fn whatever_a_database_contains_comes_back() {
    let Some(server) = Server::start() else { return };
    let bench = Bench::with_repository();
    let contents = r#"create database shop character set latin1 collate latin1_german1_ci; use shop;
create table goods (id int primary key, name text character set utf8mb4, raw varbinary(20), twice int generated always as (id * 2) stored) engine=InnoDB;
insert into goods (id, name, raw) values (1, 'tea', 0x00ff270a), (2, 'mi''l\\k\n),(🫖', null), (3, null, ''), (4, 'INSERT INTO `log` VALUES (1)', '(');
create table log (what text) engine=InnoDB;
create table `odd``name (x` (a int) engine=InnoDB;
insert into `odd``name (x` values (1), (2);
create table child (id int primary key, of int, foreign key (of) references goods (id)) engine=InnoDB;
insert into child values (1, 4);
create view cheap as select id, name from goods;
create sequence numbers start with 5;
delimiter //
create trigger told after insert on goods for each row begin
insert into log values ('inserted');
end//
create procedure fill() begin
INSERT INTO `log` VALUES ('by hand');
end//
create event often on schedule every 1 second do begin
insert into log values ('event');
end//
delimiter ;
create role keeper; grant select on shop.* to keeper;
create user app@'%' identified by 'secret'; grant keeper to app@'%'; grant select on shop.goods to app@'%';
create database other; create table other.t (a int); grant select on other.t to app@'%'; set default role keeper for app@'%';
"#;
    let file = bench.path("contents.sql");
    fs::write(&file, contents).unwrap();
    server.ask("", "set global event_scheduler = off");
    server.ask("", &format!("source {}", file.display()));
    configure(&bench, &server, |_| {});
    bench.ends(&RUN, 0);
    let table = |table: &str, rows: u64| json!({ "table": table, "rows": rows });
    let expected = [table("child", 1), table("goods", 4), table("log", 0), table("odd`name (x", 2)];
    let counts: Value = serde_json::from_str(&fetch(&bench, "/@mariadb/shop.sql.rows.json")).unwrap();
    assert_eq!(counts, json!({ "tables": expected }));

    let content = "select id, name, hex(raw), twice from goods order by id";
    let before = server.ask("shop", content);
    server.ask("", "drop database shop; drop database other; drop user app@'%'; drop role keeper; set global event_scheduler = on");
    let (_, said) = ends(&bench, &back(&server, &["shop"]), 3);
    assert!(said.contains("GRANT SELECT ON `other`.`t` TO `app`@`%`: failed") && !said.contains("PASSWORD"), "{said}");
    assert_eq!(server.ask("shop", content), before);
    assert_eq!(server.ask("shop", "select name from cheap where id = 1"), "tea");
    let made = server.ask("", "select default_collation_name from information_schema.schemata where schema_name = 'shop'");
    assert_eq!(made, "latin1_german1_ci");
    server.ask("shop", "insert into goods (id) values (9); call fill()");
    assert_eq!(server.ask("shop", "select count(*) from log where what = 'inserted'"), "1", "the trigger works");
    assert_eq!(server.ask("shop", "select count(*) from log where what = 'by hand'"), "1", "the procedure works");
    assert_eq!(server.ask("shop", "select next value for numbers"), "5");
    while server.ask("shop", "select count(*) from log where what = 'event'") == "0" {}
    assert_eq!(server.ask("", "show tables from shop like 'hearth%'"), "");
    let grants = server.ask("", "show grants for app@'%'; show grants for keeper");
    assert!(
        grants.contains("`keeper` TO `app`") && grants.contains("`shop`.`goods`") && grants.contains("ON `shop`.* TO `keeper`"),
        "{grants}"
    );
    let output = Command::new("mariadb")
        .args(["--no-defaults", "--socket", &server.socket(), "--user=app", "--password=secret", "-e", "select name from shop.cheap"])
        .output();
    expect(output.unwrap(), 0, "the user's password and default role came back");

    server.ask("", "set password for app@'%' = password('newer')");
    ends(&bench, &back(&server, &["shop", "--replace"]), 0);
    let output = Command::new("mariadb")
        .args(["--no-defaults", "--socket", &server.socket(), "--user=app", "--password=newer", "-e", "select 1"])
        .output();
    expect(output.unwrap(), 0, "users that are there stay as they are");
}

#[test]
fn the_next_dump_of_a_database_adds_little() {
    let Some(server) = Server::start() else { return };
    let bench = Bench::with_repository();
    server.ask("", "create database noise");
    server.ask("noise", "create table t (id int primary key, a char(128), b int) engine=InnoDB");
    server.ask("noise", "insert into t select seq, sha2(seq, 512), 0 from seq_1_to_100000");
    configure(&bench, &server, |_| {});
    let new = |report: &Value| report["repositories"][0]["statistics"]["bytes_new"].as_u64().unwrap();
    let first = new(&bench.json(&RUN));
    let same = new(&bench.json(&RUN));
    server.ask("noise", "update t set b = 7 where id between 1000 and 2000");
    let second = new(&bench.json(&RUN));
    assert!(first > 10_000_000, "{first}");
    assert!(same < 100_000, "an unchanged database is unchanged: {same}");
    assert!(second < first / 5, "{second} bytes after {first}");
}

#[test]
fn a_server_that_cannot_be_reached_costs_only_its_databases() {
    let bench = Bench::with_repository();
    let Some(mut server) = Server::start() else { return };
    server.process.kill().unwrap();
    server.process.wait().unwrap();
    configure(&bench, &server, |_| {});
    let (_, error) = bench.ends(&RUN, 3);
    assert!(error.contains("mariadb: ") && error.contains("none of its databases"), "{error}");
    assert_eq!(fetch(&bench, &format!("{}/a.txt", bench.source())), "first");
}

#[test]
fn a_dump_that_fails_or_breaks_off_is_not_in_the_snapshot_and_the_others_are() {
    let Some(server) = Server::start() else { return };
    let bench = Bench::with_repository();
    server.ask("", "create database good; create database broken");
    server.ask("good", "create table t (a int); insert into t values (1)");
    server.ask("broken", "create table t (a int); insert into t values (1)");
    // A tool that ends well and has not written all.
    let passage = server.passage("case \"$*\" in *-dump*broken) \"$@\" | head -n 40;; *) exec \"$@\";; esac");
    configure(&bench, &server, |job| {
        job["mariadb"]["databases"] = json!(["good", "absent", "broken"]);
        job["mariadb"]["through"] = json!([passage]);
    });
    let (_, error) = bench.ends(&RUN, 3);
    assert!(error.contains("/@mariadb/absent.sql") && error.contains("Unknown database"), "{error}");
    assert!(error.contains("/@mariadb/broken.sql") && error.contains("the dump breaks off"), "{error}");
    let list = bench.ok(&["ls", "latest", "/@mariadb", "--key", "hearth-restore.key"]);
    assert!(
        list.contains("good.sql") && list.contains("good.sql.rows.json") && !list.contains("absent") && !list.contains("broken"),
        "{list}"
    );
}

#[test]
fn a_database_is_replaced_only_when_told_so_and_when_the_dump_has_proved_itself() {
    let Some(server) = Server::start() else { return };
    let bench = Bench::with_repository();
    server.ask("", "create database shop");
    server.ask("shop", "create table goods (name text); insert into goods values ('tea'), ('milk')");
    configure(&bench, &server, |_| {});
    bench.ends(&RUN, 0);
    server.ask("shop", "insert into goods values ('later')");
    let (_, error) = ends(&bench, &back(&server, &["shop"]), 1);
    assert!(error.contains("`shop` holds 1 tables") && error.contains("--replace"), "{error}");

    // A restore that loses a row, through a program of the test's; its queries have arguments, the dump comes to a client without.
    let lossy = "case \"$*\" in *--execute*|*--version) exec \"$@\";; *) sed \"s/^('tea'),$//\" | \"$@\";; esac";
    let passage = server.passage(lossy);
    let (_, error) = ends(&bench, &back(&server, &["shop", "--replace", "--through", &passage]), 1);
    assert!(error.contains("goods has 1 rows instead of 2") && error.contains("nothing was replaced"), "{error}");
    assert_eq!(server.ask("shop", "select count(*) from goods"), "3", "nothing was touched");
    assert_eq!(server.databases(), "shop");

    ends(&bench, &back(&server, &["shop", "--replace"]), 0);
    assert_eq!(server.ask("shop", "select group_concat(name order by name) from goods"), "milk,tea");
    ends(&bench, &back(&server, &["shop", "--replace", "--no-trial"]), 0);
    assert_eq!(server.ask("shop", "select group_concat(name order by name) from goods"), "milk,tea");
    let (_, error) = ends(&bench, &back(&server, &["shop", "--to", "new", "--through", &passage]), 1);
    assert!(error.contains("goods has 1 rows instead of 2"), "{error}");
    assert_eq!(server.databases(), "shop", "what was not complete is gone");
    ends(&bench, &back(&server, &["shop", "--to", "new", "--no-verify-rows", "--through", &passage]), 0);
    assert_eq!(server.ask("new", "select name from goods"), "milk");
    let (_, error) = ends(&bench, &back(&server, &["absent"]), 1);
    assert!(error.contains("no dump of `absent`"), "{error}");
}

#[test]
fn what_a_killed_restore_left_is_dropped_unless_it_is_the_only_copy() {
    let Some(server) = Server::start() else { return };
    let bench = Bench::with_repository();
    server.ask("", "create database shop");
    server.ask("shop", "create table goods (name text); insert into goods values ('tea')");
    configure(&bench, &server, |_| {});
    bench.ends(&RUN, 0);
    let leave = |name: &str, state: &str| {
        server.ask("", &format!("create or replace database {name}"));
        server.ask(
            name,
            &format!("create table hearth_backup_restoring (state text); insert into hearth_backup_restoring values ('{state}')"),
        );
    };
    leave("shop_restoring", "not complete");
    ends(&bench, &back(&server, &["shop", "--replace"]), 0);
    leave("shop_restoring", "complete");
    ends(&bench, &back(&server, &["shop", "--replace"]), 0);
    assert_eq!(server.databases(), "shop");

    server.ask("", "create database shop_restoring; create table shop_restoring.mine (a int)");
    let (_, error) = ends(&bench, &back(&server, &["shop", "--replace"]), 1);
    assert!(error.contains("`shop_restoring` is in the way"), "{error}");

    leave("shop_restoring", "complete");
    leave("shop", "not complete");
    let (_, error) = ends(&bench, &back(&server, &["shop", "--replace"]), 1);
    assert!(error.contains("`shop_restoring` is complete") && error.contains("drop database `shop_restoring`"), "{error}");
    server.ask("", "drop database shop_restoring");
    ends(&bench, &back(&server, &["shop"]), 0);
    assert_eq!(server.ask("shop", "select name from goods"), "tea");
}

#[test]
fn tables_outside_of_transactions_are_told_by_name() {
    let Some(server) = Server::start() else { return };
    let bench = Bench::with_repository();
    server.ask("", "create database old; create table old.notes (a int) engine=MyISAM; insert into old.notes values (1)");
    server.ask("", "create table old.more (a int) engine=Aria; create table old.safe (a int) engine=InnoDB");
    configure(&bench, &server, |_| {});
    let (_, error) = bench.ends(&RUN, 3);
    assert!(error.contains("mariadb database old: its tables more (Aria), notes (MyISAM) take no part in transactions"), "{error}");
    ends(&bench, &back(&server, &["old", "--to", "again"]), 0);
    assert_eq!(server.ask("again", "select a from notes"), "1");
}

#[test]
fn a_password_comes_from_a_file_and_is_not_among_the_arguments_of_any_program() {
    let Some(server) = Server::start() else { return };
    let bench = Bench::with_repository();
    server.ask("", "create user backup@localhost identified by 's3cret'; grant all on *.* to backup@localhost; create database shop");
    bench.write("password", b"s3cret\n");
    configure(&bench, &server, |job| {
        job["mariadb"]["username"] = json!("backup");
        job["mariadb"]["passwordFile"] = json!(bench.path("password"));
        job["mariadb"]["exclude"] = json!(["nothing"]);
    });
    bench.ends(&RUN, 0);
    assert!(fetch(&bench, "/@mariadb/shop.sql").contains("-- Dump completed"));
    bench.write("password", b"wrong");
    let (_, error) = bench.ends(&RUN, 3);
    assert!(error.contains("Access denied") && !error.contains("wrong"), "{error}");
}

#[test]
fn mysql_is_a_server_of_its_own_kind_and_a_name_in_both_must_be_told_apart() {
    let Some(server) = Server::start() else { return };
    println!("STAND-IN: MariaDB in the place of MySQL");
    let bench = Bench::with_repository();
    server.ask("", "create database shop; create table shop.goods (name text) engine=InnoDB; insert into shop.goods values ('tea')");
    server.ask("", "create user app@'%' identified by 'it''s'; grant select on shop.* to app@'%'");
    // As MySQL's own tool, this one does not know the option for users.
    let passage = server.passage("case \"$*\" in *--system=users*) exit 2;; esac\nexec \"$@\"");
    configure(&bench, &server, |job| {
        job["mysql"] = job["mariadb"].clone();
        job["mysql"]["through"] = json!([passage]);
    });
    bench.ends(&RUN, 0);
    let users = fetch(&bench, "/@mysql/users.sql");
    assert!(users.contains("CREATE USER `app`@`%`") && users.contains("GRANT SELECT ON `shop`.* TO `app`@`%`;"), "{users}");
    let (_, error) = ends(&bench, &back(&server, &["shop", "--replace"]), 2);
    assert!(error.contains("mariadb and mysql") && error.contains("--kind"), "{error}");
    server.ask("", "drop user app@'%'; delete from shop.goods");
    ends(&bench, &back(&server, &["shop", "--replace", "--kind", "mysql"]), 0);
    assert_eq!(server.ask("shop", "select name from goods"), "tea");
    let output = Command::new("mariadb")
        .args(["--no-defaults", "--socket", &server.socket(), "--user=app", "--password=it's", "-e", "select * from shop.goods"])
        .output();
    expect(output.unwrap(), 0, "the user came back");
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
            if io.lines().find_map(|line| line.strip_prefix("wchar: ")?.parse::<u64>().ok()) >= Some(bytes) {
                return nix::unistd::Pid::from_raw(pid);
            }
        }
    }
}

#[test]
fn a_dump_that_is_killed_while_it_writes_is_not_in_the_snapshot() {
    let Some(server) = Server::start() else { return };
    let bench = Bench::with_repository();
    server.ask("", "create database noise; create table noise.t (id int primary key, a char(128)) engine=InnoDB");
    server.ask("noise", "insert into t select seq, sha2(seq, 512) from seq_1_to_500000");
    configure(&bench, &server, |_| {});
    let run = bench.command(&RUN).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let dump = child_that_wrote(run.id(), "mariadb-dump", 2 << 20);
    nix::sys::signal::kill(dump, nix::sys::signal::Signal::SIGKILL).unwrap();
    let (_, error) = expect(run.wait_with_output().unwrap(), 3, "the run");
    assert!(error.contains("/@mariadb/noise.sql") && error.contains("signal: 9"), "{error}");
    assert!(!bench.ok(&["ls", "latest", "/@mariadb", "--key", "hearth-restore.key"]).contains("noise"));
    bench.ends(&RUN, 0);
    ends(&bench, &back(&server, &["noise", "--to", "again"]), 0);
    assert_eq!(server.ask("again", "select count(*) from t"), "500000");
}
