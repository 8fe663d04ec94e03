//! The way of a user with a repository in a bucket: all commands, few requests, and what they say when the server refuses.
#![allow(clippy::unwrap_used, reason = "tests")]

mod bucket;
mod cli_common;
#[path = "bucket/cloud.rs"]
mod cloud;

use bucket::proxy::Proxy;
use bucket::{KEY, Server, location};
use cli_common::expect;
use cloud::{Cloud, noise};
use hearth_backup::store::{Folder, ObjectName, Store as _, StoreErrorKind};
use serde_json::Value;

#[test]
fn from_init_to_restore_in_a_bucket() {
    let server = Server::start();
    let cloud = Cloud::with_repository(&server);
    cloud.backup();
    cloud.bench.write("source/new", &[1; 300_000]);
    let second = cloud.backup();
    assert_eq!(second["statistics"]["files_read"], 1);
    cloud.ends(&["check", "--read-data", "--key", "hearth-restore.key"], 0);
    cloud.restores_the_source("out");
    let snapshots = cloud.json(&["snapshots"]);
    assert_eq!(snapshots["snapshots"].as_array().unwrap().len(), 2);

    cloud.ends(&["forget", snapshots["snapshots"][0]["id"].as_str().unwrap()], 0);
    cloud.ends(&["prune", "--grace", "0"], 0);
    cloud.ends(&["check", "--read-data", "--key", "hearth-restore.key"], 0);
    cloud.restores_the_source("out2");
    let strangers: Vec<_> = std::fs::read_dir(server.files()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(strangers, ["hosts"], "everything lies below the prefix");
}

#[test]
fn a_backup_of_what_did_not_change_makes_few_requests() {
    let server = Server::start();
    let cloud = Cloud::with_repository(&server);
    for _ in 0..3 {
        cloud.backup();
    }
    cloud.bench.undisturbed(|| {
        let requests = &cloud.backup()["requests"];
        // Both statements, and what is there; refs and snapshot; whether all of it is still there; the commit.
        let counts = ["put", "get", "head", "list", "delete"].map(|kind| requests[kind].as_u64().unwrap());
        counts == [3, 2, 0, 3, 0]
    });
}

#[test]
fn requests_are_told_by_kind() {
    let server = Server::start();
    let cloud = Cloud::with_repository(&server);
    cloud.backup();
    cloud.bench.undisturbed(|| {
        let requests = &cloud.backup()["requests"];
        // Refs, snapshot and commit.
        (&requests["put"], &requests["delete"]) == (&3.into(), &0.into())
    });
    let (_, log) = cloud.ends(&["backup", "-v", "--key", "hearth-writer.key", &cloud.bench.source()], 0);
    assert!(log.contains(&format!("requests to http://{}: ", server.address())), "{log}");
}

#[test]
fn a_job_finds_the_keys_of_its_bucket_in_the_configuration() {
    let server = Server::start();
    let cloud = Cloud::with_repository(&server);
    let (key, keys) = (cloud.bench.path("hearth-writer.key"), cloud.bench.path("keys"));
    let main = serde_json::json!({ "url": cloud.location, "writerKey": key, "credentials": keys, "connections": 2 });
    let job = serde_json::json!({ "paths": [cloud.bench.source()], "repositories": ["main"], "retention": { "last": 1 } });
    let config = serde_json::json!({ "repositories": { "main": main }, "jobs": { "state": job } });
    cloud.bench.write("config.json", config.to_string().as_bytes());
    let ends = |arguments: &[&str], code| {
        let output = cloud.command(arguments).env_remove("HEARTH_CREDENTIALS_FILE").output().unwrap();
        expect(output, code, arguments)
    };
    let (report, _) = ends(&["run", "state", "--config", "config.json", "--json"], 0);
    let report: Value = serde_json::from_str(&report).unwrap();
    assert!(report["repositories"][0]["requests"]["put"].as_u64() > Some(0), "{report}");
    ends(&["maintain", "main", "--config", "config.json"], 0);
    let (_, error) = ends(&["snapshots"], 1);
    assert!(error.contains("no credentials were found"), "{error}");
    cloud.bench.write("keys", b"nonsense");
    let (_, error) = ends(&["run", "state", "--config", "config.json"], 1);
    assert!(error.contains("holds no credentials: line 1"), "{error}");
}

#[test]
fn a_bad_network_changes_nothing_but_the_time() {
    let server = Server::start();
    let proxy = Proxy::before(server.address(), 20);
    let cloud = Cloud::at(location(proxy.address(), "hosts/bench"));
    cloud.bench.write("source/large", &noise(1, 3_000_000));
    cloud.ends(&["init"], 0);
    for round in 0..4 {
        cloud.bench.write(&format!("source/{round}"), &[round; 5000]);
        cloud.backup();
    }
    cloud.ends(&["check", "--read-data", "--key", "hearth-restore.key"], 0);
    cloud.restores_the_source("out");
    let (requests, broken) = proxy.counts();
    assert!(requests > 100 && broken * 40 > requests, "{broken} of {requests} requests were broken");
}

#[test]
fn a_server_without_conditions_replaces_nothing() {
    let server = Server::without_conditions();
    let cloud = Cloud::with_repository(&server);
    cloud.backup();
    cloud.restores_the_source("out");
    let error = cloud.fails(&["init", "--writer-key", "w", "--restore-key", "r"]);
    assert!(error.contains("holds a repository already"), "{error}");
}

#[test]
fn errors_say_what_the_server_answered_and_what_to_do() {
    let server = Server::start();
    let cloud = Cloud::with_repository(&server);
    let origin = format!("http://{}", server.address());
    let backup = ["backup", "--key", "hearth-writer.key", &cloud.bench.source()];

    server.set_read_only(true);
    let error = cloud.fails(&backup);
    for part in [
        "cannot store ",
        &cloud.location,
        "access key id and the secret",
        "docs/stores.md",
        &format!("{origin} answered 403 AccessDenied: Access Denied."),
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    server.set_read_only(false);
    cloud.backup();
    cloud.restores_the_source("out");

    let keys = std::fs::read_to_string(cloud.bench.path("keys")).unwrap();
    cloud.bench.write("keys", keys.replace(KEY.0, "AKIDOTHER").as_bytes());
    let error = cloud.fails(&backup);
    assert!(error.contains("the server does not know this access key"), "{error}");
    cloud.bench.write("keys", keys.replace(KEY.1, "wrong").as_bytes());
    let error = cloud.fails(&backup);
    assert!(error.contains("the secret is not that of the access key id") && !error.contains("wrong\n"), "{error}");
    cloud.bench.write("keys", keys.as_bytes());

    let missing = cloud.location.replace("backups", "nobodys");
    let error = cloud.fails(&["init", "--repo", &missing, "--writer-key", "w", "--restore-key", "r"]);
    assert!(error.contains("there is no such bucket") && error.contains("NoSuchBucket"), "{error}");
    let empty = cloud.location.replace("hosts/bench", "elsewhere");
    let error = cloud.fails(&["snapshots", "--repo", &empty]);
    assert!(error.contains(&format!("holds no repository; create one with `hearth-backup init --repo '{empty}'`")), "{error}");

    // Nor is one made within another, or by HTTPS where the server speaks HTTP.
    let init = |place: &str| cloud.fails(&["init", "--repo", place, "--writer-key", "w", "--restore-key", "r"]);
    let error = init(&cloud.location.replace("hosts/bench", "hosts/bench/deep/below"));
    assert!(error.contains("must not lie within another one") && error.contains(&cloud.location), "{error}");
    let error = init(&cloud.location.replace("http://", "").replace("hosts/bench", "elsewhere"));
    assert!(error.contains("write `http://` before the endpoint's host"), "{error}");

    let nobody = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let error = cloud.fails(&["snapshots", "--repo", &location(nobody, "x")]);
    assert!(error.contains("the server does not answer") && error.contains("Connection refused"), "{error}");
}

#[test]
fn a_full_bucket_is_an_error_and_the_next_run_continues() {
    let server = Server::with_room(i64::MAX);
    let cloud = Cloud::with_repository(&server);
    cloud.bench.write("source/large", &noise(1, 300_000));
    server.set_room(100_000);
    let error = cloud.fails(&["backup", "--key", "hearth-writer.key", &cloud.bench.source()]);
    assert!(error.contains("raise the quota") && error.contains("403 QuotaExceeded: Bucket size quota is reached."), "{error}");
    server.set_room(i64::MAX);
    cloud.backup();
    cloud.ends(&["check", "--read-data", "--key", "hearth-restore.key"], 0);
    cloud.restores_the_source("out");
}

#[test]
fn many_objects_are_deleted_by_few_requests() {
    let server = Server::start();
    let store = server.store("many");
    let names: Vec<_> = (0..2500).map(|number| ObjectName::new(Folder::Maps, format!("a{number}")).unwrap()).collect();
    let files = server.files().join("many");
    std::fs::create_dir_all(files.join("maps")).unwrap();
    names.iter().for_each(|name| std::fs::write(files.join(name.path()), b"x").unwrap());
    assert_eq!(store.list(Folder::Maps).unwrap().len(), 2500);
    assert!(store.delete_many(&names).iter().all(Result::is_ok));
    assert!(store.list(Folder::Maps).unwrap().is_empty());
    assert_eq!(store.requests().unwrap().delete, 3);
    assert!(store.delete_many(&names[..2]).iter().all(Result::is_ok), "what is not there is a success");
}

#[test]
fn what_a_bucket_refuses_to_delete_is_told_object_by_object() {
    let server = Server::start();
    let store = server.store("kept");
    let names: Vec<_> = ["a", "b", "kept1", "c", "kept2"].map(|leaf| ObjectName::new(Folder::Maps, leaf).unwrap()).to_vec();
    for name in &names {
        store.put_new(name, b"x").unwrap();
    }
    server.keep("maps/kept");
    let told: Vec<_> = store.delete_many(&names).into_iter().map(|result| result.map_err(|error| error.kind)).collect();
    let refused = Err(StoreErrorKind::Refused);
    assert_eq!(told, [Ok(()), Ok(()), refused, Ok(()), refused]);
    assert_eq!(store.list(Folder::Maps).unwrap().len(), 2);
    server.set_locked(true);
    let before = store.requests().unwrap().delete;
    assert!(store.delete_many(&names[..1]).iter().all(|result| result.as_ref().is_err_and(|error| error.kind == StoreErrorKind::Refused)));
    assert_eq!(store.requests().unwrap().delete, before + 1, "what is refused is not tried again");
}

#[test]
fn a_bucket_that_deletes_nothing_is_pruned_with_warnings() {
    let server = Server::start();
    let cloud = Cloud::with_repository(&server);
    cloud.backup();
    cloud.bench.write("source/sub/d.log", &noise(1, 100_000));
    cloud.backup();
    let first = cloud.json(&["snapshots"])["snapshots"][0]["id"].as_str().unwrap().to_owned();
    cloud.ends(&["forget", &first], 0);
    let packs = || server.store("hosts/bench").list(Folder::Packs).unwrap().len();
    let before = packs();
    server.keep("/packs/");
    let (_, error) = cloud.ends(&["prune", "--grace", "0"], 3);
    assert!(error.contains("packs/") && error.contains("the next run tries again"), "{error}");
    assert!(packs() >= before);
    cloud.ends(&["check", "--read-data", "--key", "hearth-restore.key"], 0);
    cloud.restores_the_source("out");
}

#[test]
fn every_upload_tells_a_checksum_that_buckets_with_object_lock_demand() {
    for (parameter, header) in [("", "x-amz-checksum-crc32c"), ("&checksum=md5", "content-md5")] {
        let server = Server::start();
        let cloud = Cloud::at(format!("{}{parameter}", server.location("hosts/bench")));
        cloud.ends(&["init"], 0);
        let requests = cloud.backup()["requests"]["put"].as_u64().unwrap();
        let told = server.checksums();
        assert!(told.len() as u64 > requests && told.iter().all(|name| name == header), "{told:?}");
    }
}

#[test]
fn requests_are_estimated_near_to_what_commands_make() {
    let server = Server::start();
    let cloud = Cloud::with_repository(&server);
    let mut last = Value::Null;
    for round in 0..4 {
        cloud.bench.write("source/new", &[round; 3000]);
        last = cloud.backup()["requests"].clone();
    }
    let read = |requests: &Value| ["get", "head", "list"].iter().map(|kind| requests[kind].as_u64().unwrap()).sum::<u64>();
    let told = |command: &str| {
        let (_, log) = cloud.ends(&[command, "-v"], 0);
        let (_, counts) = log.split_once("requests to ").unwrap();
        let kinds = counts.lines().next().unwrap().split(", ").filter(|kind| !kind.contains("put") && !kind.contains("delete"));
        kinds.map(|kind| kind.split(' ').next().unwrap().parse::<u64>().unwrap()).sum::<u64>()
    };
    let estimate = cloud.json(&["stats", "--cost", "--as", "aws"]);
    let backups = estimate["backups_a_month"].as_u64().unwrap();
    assert_eq!(backups, 120, "four in one day");
    let made = backups * read(&last) + told("check") + told("prune");
    let estimated = read(&estimate["requests_a_month"]);
    assert!(estimated * 4 > made * 3 && estimated * 3 < made * 4, "{estimated} estimated, {made} made");
}

#[test]
fn a_drill_tries_a_restore_from_a_bucket() {
    let server = Server::start();
    let cloud = Cloud::with_repository(&server);
    cloud.backup();
    let bench = &cloud.bench;
    let config = serde_json::json!({
        "repositories": { "cloud": { "url": cloud.location, "credentials": bench.path("keys") } },
        "drills": { "weekly": { "repository": "cloud", "key": bench.path("hearth-restore.key"), "scratch": bench.path("scratch") } },
    });
    bench.write("config.json", config.to_string().as_bytes());
    let mut drill = cloud.command(&["drill", "weekly", "--config", "config.json"]);
    let (text, _) = expect(drill.env_remove("HEARTH_REPO").env_remove("HEARTH_CREDENTIALS_FILE").output().unwrap(), 0, "drill");
    assert!(text.contains("Drill weekly passed") && text.contains("ok      read back"), "{text}");
    assert_eq!(std::fs::read_dir(bench.path("scratch")).unwrap().count(), 0);
}
