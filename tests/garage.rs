//! Repositories in Garage, set up by nothing but the commands of `docs/stores.md`. Says SKIPPED where it is not installed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod bucket;
mod cli_common;
#[path = "bucket/cloud.rs"]
mod cloud;
#[path = "garage/node.rs"]
mod node;

use std::path::Path;
use std::process::{Child, Stdio};

use cli_common::expect;
use cloud::{Cloud, noise};
use node::{Node, program, recipe};
use serde_json::Value;

#[test]
fn a_repository_in_garage_from_the_first_command_to_a_mirror_and_back() {
    let Some(program) = program() else { return };
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret").display().to_string();
    let node = Node::start(&program, dir.path(), &secret, &[]);
    let [_, _, set_up, _, _] = recipe();
    node.sh(&set_up);

    let cloud = Cloud::elsewhere(node.location(), &node.credentials());
    cloud.ends(&["init"], 0);
    cloud.bench.write("source/large", &noise(1, 5_000_000));
    cloud.backup();
    cloud.bench.write("source/large", &noise(2, 3_000_000));
    cloud.bench.write("source/new", b"new");
    let second = cloud.backup();
    assert_eq!(second["statistics"]["files_read"], 2, "{second}");
    cloud.is_sound();
    let snapshots = cloud.json(&["snapshots"]);
    assert_eq!(snapshots["snapshots"].as_array().unwrap().len(), 2);

    cloud.ends(&["forget", snapshots["snapshots"][0]["id"].as_str().unwrap()], 0);
    cloud.ends(&["prune", "--grace", "0"], 0);
    cloud.is_sound();
    cloud.restores_the_source("out");

    // To a directory, and from there into another corner of the bucket.
    cloud.ends(&["mirror", "--to", "copy"], 0);
    let other = cloud.location.replace("/hosts", "/again");
    cloud.ends(&["mirror", "--repo", "copy", "--to", &other], 0);
    cloud.ends(&["check", "--read-data", "--key", "hearth-restore.key", "--repo", &other], 0);
    cloud.ends(&["restore", "latest", "--repo", &other, "--key", "hearth-restore.key", "--target", "out2", "--verify"], 0);
    cloud.holds_the_source("out2", "source");

    // Credentials that are wrong are told, and rights that the key does not have.
    let right = std::fs::read_to_string(node.credentials()).unwrap();
    let refused = |wrong: &str| {
        cloud.bench.write("wrong", wrong.as_bytes());
        let output = cloud.command(&["snapshots"]).env("HEARTH_CREDENTIALS_FILE", cloud.bench.path("wrong")).output().unwrap();
        expect(output, 1, wrong).1
    };
    let error = refused(&right.replace("AWS_ACCESS_KEY_ID=GK", "AWS_ACCESS_KEY_ID=GK00"));
    assert!(error.contains("the server does not know this access key id"), "{error}");
    let other = format!("AWS_SECRET_ACCESS_KEY={}", "0".repeat(64));
    let error = refused(&right.lines().map(|line| if line.contains("SECRET") { &other } else { line }).collect::<Vec<_>>().join("\n"));
    assert!(error.contains("the secret is not that of the access key id"), "{error}");
    node.says(&["bucket", "deny", "backups", "--key", "hearth", "--write"]);
    cloud.bench.write("source/newer", b"newer");
    let error = cloud.backup_fails();
    assert!(error.contains("the credentials do not permit this") && error.contains("403 AccessDenied"), "{error}");
    node.says(&["bucket", "allow", "backups", "--key", "hearth", "--write"]);
    node.says(&["bucket", "set-quotas", "backups", "--max-size", "1KB"]);
    let error = cloud.backup_fails();
    assert!(error.contains("raise the quota"), "{error}");
}

/// Three servers on which everything is kept three times, with a bucket and a key.
fn cluster(program: &Path, dir: &Path) -> [Node; 3] {
    let secret = dir.join("secret").display().to_string();
    // Nothing is to survive a power cut here.
    let changes = [("replication_factor = 1", "replication_factor = 3"), ("_fsync = true", "_fsync = false")];
    let mut nodes = ["a", "b", "c"].map(|name| Node::start(program, &dir.join(name), &secret, &changes));
    let [.., set_up, _, join] = recipe();
    let [connect, assign, apply] = join.lines().collect::<Vec<_>>().try_into().unwrap();
    let [first, others @ ..] = &nodes;
    for other in others {
        first.sh(&connect.replace("$ID_OF_ANOTHER", &other.id()));
    }
    for (node, zone) in nodes.iter().zip(["attic", "cellar", "friend"]) {
        first.sh(&assign.replace("$ID", node.id().split('@').next().unwrap()).replace("attic", zone));
    }
    first.sh(apply);
    for node in &mut nodes {
        node.until("all servers know each other", |node| node.says(&["status"]).matches("127.0.0.1").count() == 3);
    }
    let bucket: Vec<_> = set_up.lines().filter(|line| !line.starts_with("garage layout")).collect();
    nodes[0].sh(&bucket.join("\n"));
    nodes
}

/// Files below a directory in which a server makes and removes some.
fn files(dir: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.iter().map(|path| if path.is_dir() { files(path) } else { 1 }).sum()
}

#[test]
fn a_server_of_three_dies_while_three_hosts_back_up_and_no_backup_fails() {
    let Some(program) = program() else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut nodes = cluster(&program, dir.path());
    let clouds = nodes.each_ref().map(|node| Cloud::elsewhere(node.location(), &nodes[0].credentials()));
    let [first, ..] = &clouds;
    first.ends(&["init"], 0);
    let hosts = ["anna", "bert", "carl"];
    for (host, cloud) in hosts.iter().zip(&clouds) {
        let key = cloud.bench.path("writer.key");
        first.ends(&["key", "add-writer", host, "--writer-key", key.to_str().unwrap(), "--key", "hearth-restore.key"], 0);
    }
    let start = |(seed, cloud): (u64, &Cloud)| -> Child {
        cloud.bench.write("source/large", &noise(seed, 20_000_000));
        let backup = ["backup", "--trust-new-repository", "--key", "writer.key", "--json", &cloud.bench.source()];
        cloud.command(&backup).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let mut running: Vec<Child> = (1..).zip(&clouds).map(start).collect();

    let dying = dir.path().join("c/data");
    nodes[2].until("there is some data", |_| files(&dying) > 5);
    nodes[2].kill();
    assert!(running[2].try_wait().unwrap().is_none(), "its client was done already");
    nodes[2].resume();
    let ended = running.into_iter().zip(hosts).map(|(child, host)| expect(child.wait_with_output().unwrap(), 0, host).0);
    let made: Vec<Value> = ended.map(|report| serde_json::from_str(&report).unwrap()).collect();

    first.is_sound();
    let key = first.bench.path("hearth-restore.key");
    for (cloud, made) in clouds.iter().zip(made) {
        let snapshot = made["snapshot"].as_str().unwrap();
        cloud.ends(&["restore", snapshot, "--key", key.to_str().unwrap(), "--target", "out", "--verify"], 0);
        cloud.holds_the_source("out", "source");
    }
}
