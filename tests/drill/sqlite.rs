//! Drills of SQLite databases.

use std::fs;

use crate::cli_common::Bench;
use rusqlite::Connection;
use serde_json::{Value, json};

const DRILL: [&str; 4] = ["drill", "weekly", "--config", "config.json"];

/// A bench with a snapshot of three databases, of which one is damaged.
fn bench() -> Bench {
    let bench = Bench::with_repository();
    for (name, rows) in [("app.db", 3), ("other.sqlite", 0)] {
        let database = Connection::open(bench.path("source").join(name)).unwrap();
        database.execute_batch("create table users (name text); create index i on users (name);").unwrap();
        (0..rows).for_each(|row| {
            database.execute("insert into users values (?1)", [format!("user {row}")]).unwrap();
        });
    }
    let mut broken = fs::read(bench.path("source/app.db")).unwrap();
    broken[4096..4110].fill(0xff);
    bench.write("source/broken.db", &broken);
    bench.ok(&["backup", "--key", "hearth-writer.key", &bench.source()]);
    bench
}

fn drill(bench: &Bench, change: &Value, code: i32) -> Vec<(String, String, String)> {
    let mut drill = json!({ "repository": "main", "key": bench.path("hearth-restore.key"), "scratch": bench.path("scratch") });
    drill.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    let config = json!({ "repositories": { "main": { "url": bench.path("repo") } }, "drills": { "weekly": drill } });
    bench.write("config.json", config.to_string().as_bytes());
    let document = bench.json_ends(&DRILL, code);
    let text = |value: &Value| value.as_str().unwrap().replace(&bench.source(), "");
    let tests = document["tests"].as_array().unwrap().iter();
    let tests = tests.filter(|test| test["name"] != "newest snapshots");
    tests.map(|test| (text(&test["name"]), text(&test["outcome"]), text(&test["text"]))).collect()
}

fn outcomes(tests: &[(String, String, String)]) -> Vec<(&str, &str)> {
    tests.iter().map(|(name, outcome, _)| (name.as_str(), outcome.as_str())).collect()
}

#[test]
fn named_databases_are_restored_checked_and_asked() {
    let bench = bench();
    let path = |name: &str| bench.path("source").join(name).to_str().unwrap().to_owned();
    let sqlite = json!({
        "databases": [path("app.db"), path("other.sqlite")],
        "assertions": {
            path("app.db"): ["SELECT count(*) > 0 FROM users", "select 1 from nothing", "delete from users", "select 0", "select name from users"],
            path("other.sqlite"): ["select count(*) > 0 from users"],
        },
    });
    let tests = drill(&bench, &json!({ "amount": "databases", "sqlite": sqlite }), 1);
    assert_eq!(
        outcomes(&tests),
        [
            ("restore", "passed"),
            ("read back", "passed"),
            ("sqlite /app.db", "passed"),
            ("sqlite /app.db: assertion 1", "passed"),
            ("sqlite /app.db: assertion 2", "failed"),
            ("sqlite /app.db: assertion 3", "failed"),
            ("sqlite /app.db: assertion 4", "failed"),
            ("sqlite /app.db: assertion 5", "failed"),
            ("sqlite /other.sqlite", "passed"),
            ("sqlite /other.sqlite: assertion 1", "failed"),
        ]
    );
    assert!(tests[0].2.starts_with("2 files"), "nothing else is restored: {}", tests[0].2);
    assert!(tests[3].2.contains("SELECT count(*) > 0 FROM users: 1"), "{}", tests[3].2);
    let only = json!({ "databases": [path("app.db")], "assertions": { path("app.db"): ["select count(*) = 3 from users"] } });
    drill(&bench, &json!({ "amount": { "files": 1 }, "sqlite": only }), 0);
}

#[test]
fn a_damaged_database_or_none_fails_the_drill() {
    let bench = bench();
    let tests = drill(&bench, &json!({ "sqlite": { "discover": true } }), 1);
    let mut found = outcomes(&tests);
    found.retain(|(name, _)| name.starts_with("sqlite"));
    assert_eq!(found, [("sqlite /app.db", "passed"), ("sqlite /broken.db", "failed"), ("sqlite /other.sqlite", "passed")]);
    let path = |name: &str| bench.path("source").join(name);
    let tests = drill(&bench, &json!({ "amount": "databases", "sqlite": { "databases": [path("gone.db"), path("a.txt")] } }), 1);
    assert!(tests.iter().any(|(_, _, text)| text == "the snapshot has no such file"), "{tests:?}");
    assert!(tests.iter().any(|(_, _, text)| text == "is not a SQLite database"), "{tests:?}");
    let tests = drill(&bench, &json!({ "amount": "databases", "sqlite": { "databases": [path("gone.db")] } }), 1);
    assert_eq!(outcomes(&tests), [("restore", "passed"), ("read back", "passed"), ("sqlite /gone.db", "failed")], "{tests:?}");
}

#[test]
fn a_link_does_not_lead_the_check_out_of_what_was_restored() {
    let bench = Bench::with_repository();
    let database = Connection::open(bench.path("live.db")).unwrap();
    database.execute_batch("create table users (name text);").unwrap();
    std::os::unix::fs::symlink(bench.path("."), bench.path("source/link")).unwrap();
    bench.ok(&["backup", "--key", "hearth-writer.key", &bench.source()]);
    let wanted = json!({ "sqlite": { "databases": [bench.path("source/link/live.db")] } });
    let tests = drill(&bench, &wanted, 1);
    assert!(tests.iter().any(|(_, outcome, text)| outcome == "failed" && text.contains("a link on its way leads elsewhere")), "{tests:?}");
}
