//! Services that give their own snapshots, by the commands of `docs/sources.md`: real servers, saved and brought back.
//!
//! Says SKIPPED where a server is not installed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod cli_common;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cli_common::{Bench, expect};
use serde_json::{Value, json};

const RUN: [&str; 4] = ["run", "state", "--config", "config.json"];

/// A server that ends with the test.
struct Server(Child);

impl Server {
    fn start(program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    /// Waits until a client gets an answer.
    fn answers(&mut self, client: &str, arguments: &[&str], expected: &str) {
        let begun = Instant::now();
        loop {
            let output = Command::new(client).args(arguments).stdin(Stdio::null()).env("ETCDCTL_API", "3").output().unwrap();
            if String::from_utf8_lossy(&output.stdout).contains(expected) || String::from_utf8_lossy(&output.stderr).contains(expected) {
                return;
            }
            assert!(self.0.try_wait().unwrap().is_none(), "the server has ended");
            assert!(begun.elapsed() < Duration::from_secs(60), "the server does not answer: {output:?}");
            std::thread::yield_now();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn installed(program: &str) -> bool {
    let there = Command::new("which").arg(program).stdout(Stdio::null()).status().is_ok_and(|status| status.success());
    if !there {
        println!("SKIPPED: {program} is not installed");
    }
    there
}

fn client(program: &str, arguments: &[&str]) -> String {
    expect(Command::new(program).args(arguments).stdin(Stdio::null()).env("ETCDCTL_API", "3").output().unwrap(), 0, (program, arguments)).0
}

/// The command of a recipe, with what differs on this machine put in.
fn recipe(name: &str, changes: &[(&str, &str)]) -> Vec<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/sources.md")).unwrap();
    let examples: String = text.split("```toml\n").skip(1).map(|block| block.split("```").next().unwrap()).collect();
    let config = hearth_backup::config::Config::parse(&examples, hearth_backup::config::Format::Toml, "docs/sources.md").unwrap();
    let command = config.jobs.values().find_map(|job| job.commands.get(name)).unwrap().command.clone();
    let change = |word: String| changes.iter().fold(word, |word, (from, to)| word.replace(from, to));
    command.into_iter().map(change).collect()
}

fn save(bench: &Bench, name: &str, command: &[String]) -> Value {
    let mut commands = serde_json::Map::new();
    commands.insert(name.to_owned(), json!({ "command": command, "minimumSize": 16 }));
    let config = json!({
        "repositories": { "main": { "url": bench.path("repo"), "writerKey": bench.path("hearth-writer.key") } },
        "jobs": { "state": { "repositories": ["main"], "commands": commands } },
    });
    bench.write("config.json", config.to_string().as_bytes());
    bench.json(&RUN)
}

fn fetch(bench: &Bench, name: &str, to: &str) {
    bench.ok(&["dump", "latest", &format!("/@commands/{name}"), "--to", to, "--key", "hearth-restore.key"]);
}

#[test]
fn redis_gives_a_dump_from_which_another_server_starts() {
    if !installed("redis-server") {
        return;
    }
    let bench = Bench::with_repository();
    let start = |name: &str| {
        let (dir, socket) =
            (bench.path(name).to_str().unwrap().to_owned(), bench.path(format!("{name}.sock")).to_str().unwrap().to_owned());
        fs::create_dir_all(&dir).unwrap();
        let mut server = Server::start("redis-server", &["--port", "0", "--unixsocket", &socket, "--dir", &dir, "--save", ""]);
        server.answers("redis-cli", &["-s", &socket, "ping"], "PONG");
        (server, socket)
    };
    let (_first, socket) = start("first");
    client("redis-cli", &["-s", &socket, "set", "balance", "1000"]);
    let report = save(&bench, "redis.rdb", &recipe("redis.rdb", &[("/run/redis/redis.sock", &socket)]));
    assert_eq!(report["warnings"], 0, "{report}");
    client("redis-cli", &["-s", &socket, "set", "balance", "0"]);
    fs::create_dir_all(bench.path("second")).unwrap();
    fetch(&bench, "redis.rdb", "second/dump.rdb");
    let (_second, socket) = start("second");
    assert_eq!(client("redis-cli", &["-s", &socket, "get", "balance"]).trim(), "1000");
}

#[test]
fn a_redis_that_cannot_be_reached_is_an_error_and_leaves_no_file() {
    if !installed("redis-cli") {
        return;
    }
    let bench = Bench::with_repository();
    let mut commands = serde_json::Map::new();
    commands.insert("redis.rdb".into(), json!({ "command": recipe("redis.rdb", &[("/run/redis/redis.sock", "/nonexistent/redis.sock")]) }));
    let config = json!({
        "repositories": { "main": { "url": bench.path("repo"), "writerKey": bench.path("hearth-writer.key") } },
        "jobs": { "state": { "repositories": ["main"], "paths": [bench.source()], "commands": commands } },
    });
    bench.write("config.json", config.to_string().as_bytes());
    let (_, error) = bench.ends(&RUN, 3);
    assert!(error.contains("/@commands/redis.rdb: failed"), "{error}");
    bench.fails(&["dump", "latest", "/@commands/redis.rdb", "--key", "hearth-restore.key"], 1);
}

#[test]
fn etcd_gives_a_snapshot_from_which_a_cluster_is_made_again() {
    if !installed("etcd") || !installed("etcdctl") {
        return;
    }
    let bench = Bench::with_repository();
    // Two ports that nobody has now, for clients and for peers.
    let port = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let start = |name: &str| {
        let (own, peers) = (format!("http://127.0.0.1:{}", port()), format!("http://127.0.0.1:{}", port()));
        let dir = bench.path(name).to_str().unwrap().to_owned();
        let cluster = format!("default={peers}");
        let arguments = ["--data-dir", &dir, "--listen-client-urls", &own, "--advertise-client-urls", &own, "--listen-peer-urls", &peers];
        let more = ["--initial-advertise-peer-urls", &peers, "--initial-cluster", &cluster];
        let mut server = Server::start("etcd", &[&arguments[..], &more].concat());
        server.answers("etcdctl", &["--endpoints", &own, "endpoint", "health"], "is healthy");
        (server, own)
    };
    let (_first, own) = start("first");
    client("etcdctl", &["--endpoints", &own, "put", "balance", "1000"]);
    let report =
        save(&bench, "etcd.snap", &recipe("etcd.snap", &[("http://127.0.0.1:2379", &own), ("etcdctl ", "ETCDCTL_API=3 etcdctl ")]));
    assert_eq!(report["warnings"], 0, "{report}");
    client("etcdctl", &["--endpoints", &own, "put", "balance", "0"]);
    fetch(&bench, "etcd.snap", "etcd.snap");
    let (snapshot, dir) = (bench.path("etcd.snap"), bench.path("second"));
    client("etcdctl", &["snapshot", "restore", snapshot.to_str().unwrap(), "--data-dir", dir.to_str().unwrap()]);
    let (_second, own) = start("second");
    assert!(client("etcdctl", &["--endpoints", &own, "get", "balance"]).contains("1000"));
}
