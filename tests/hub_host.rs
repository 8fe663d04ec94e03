//! A host at a hub: what it does there with the real program, and what everybody meets who asks for more.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod cli_common;
#[path = "hub/cluster.rs"]
mod cluster;
mod hub;
#[path = "hub/raw.rs"]
mod raw;

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use cli_common::{Bench, expect, tree};
use cluster::Cluster;
use hearth_backup::config::{HubHost, HubRole};
use hearth_backup::hub::{Quota, Role, Tokens};
use hearth_backup::store::{Folder, ObjectName, Put, Store as _, StoreErrorKind};
use hub::Server;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use raw::{ask, exchange};

fn hashed(folder: Folder, bytes: &[u8]) -> ObjectName {
    ObjectName::of_id(folder, blake3::hash(bytes).as_bytes())
}

#[test]
fn a_host_backs_up_and_another_machine_restores_checks_forgets_and_prunes() {
    let cluster = Cluster::new();
    cluster.backs_up();
    let second = cluster.backs_up();
    let requests: u64 = second["requests"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    assert!(requests <= 10, "an unchanged backup made {requests} requests");
    cluster.ok("reader", &["restore", "latest", "--key", "r.key", "--target", "out"]);
    assert_eq!(tree(&cluster.bench.path("source")), tree(&cluster.bench.path("out").join(&cluster.bench.source()[1..])));
    cluster.ok("reader", &["check", "--read-data", "--key", "r.key"]);
    let listed = cluster.ok("writer", &["snapshots", "--key", "w.key", "--json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let first = listed["snapshots"][0]["id"].as_str().unwrap().to_owned();
    cluster.ok("admin", &["forget", &first]);
    cluster.ok("admin", &["prune", "--grace", "0"]);
    cluster.backs_up();
    cluster.ok("reader", &["check", "--read-data", "--key", "r.key"]);
}

#[test]
fn a_backup_goes_on_although_prune_moved_its_blocks_meanwhile() {
    let cluster = Cluster::new();
    cluster.bench.write("source/large", &raw::noise(1, 3_000_000));
    let old = cluster.backs_up()["snapshot"].as_str().unwrap().to_owned();
    fs::remove_file(cluster.bench.path("source/large")).unwrap();
    cluster.backs_up();
    cluster.ok("admin", &["forget", &old]);
    cluster.ok("admin", &["prune", "--grace", "0", "--max-unused", "0"]);
    fs::remove_dir_all(cluster.bench.path("state")).unwrap();
    cluster.backs_up();
    cluster.ok("reader", &["check", "--read-data", "--key", "r.key"]);
}

#[test]
fn who_has_the_wrong_token_is_told_so_and_which_to_take() {
    let cluster = Cluster::new();
    cluster.backs_up();
    let restore = ["restore", "latest", "--key", "r.key", "--target", "out", "--trust-new-repository"];
    let (_, error) = expect(cluster.run("writer", &restore), 1, "a writer restores");
    assert!(error.contains("take one for a reader") && !error.contains("damaged"), "{error}");
    cluster.bench.write("other.token", b"hbt_00000000_AAAAAAAA");
    let (_, error) = expect(cluster.run("other", &["snapshots", "--key", "w.key"]), 1, "an unknown token");
    assert!(error.contains("the hub does not know this token") && error.contains("--token-file"), "{error}");
    let elsewhere = cluster.server.token("web", Role::Writer, "web");
    cluster.bench.write("web.token", elsewhere.as_bytes());
    let (_, error) = expect(cluster.run("web", &["snapshots", "--key", "w.key"]), 1, "a token for another repository");
    assert!(error.contains("no such repository for this token"), "{error}");
    cluster.bench.write("none.token", b"\n");
    let (_, error) = expect(cluster.run("none", &["snapshots", "--key", "w.key"]), 1, "an empty file");
    assert!(error.contains("holds no token"), "{error}");
}

#[test]
fn a_token_that_is_revoked_opens_nothing_from_then_on() {
    let server = Server::start();
    let token = server.token("nas", Role::Writer, "nas");
    let store = server.store("nas", &token);
    store.about().unwrap();
    Tokens::open(server.folder.path()).unwrap().revoke("nas").unwrap();
    assert_eq!(store.about().unwrap_err().kind, StoreErrorKind::Refused);
}

#[test]
fn hosts_of_the_configuration_come_with_the_token_that_was_made_for_them() {
    let bench = Bench::new();
    let made = bench.json(&["hub", "token", "new", "--output", bench.path("q.token").to_str().unwrap()]);
    let hash = made["hash"].as_str().unwrap();
    assert!(made["token"].is_null() && hash.starts_with("hbh_"), "{made}");
    assert_eq!(bench.ok(&["hub", "token", "hash", bench.path("q.token").to_str().unwrap()]).trim(), hash);
    let host = |hash: &str, role| HubHost { token_hash: Some(hash.to_owned()), token_hash_file: None, role, repository: None };
    let viewer = bench.json(&["hub", "token", "new"]);
    let server = Server::configured(
        |hub| {
            hub.hosts.insert("q".into(), host(hash, HubRole::Writer));
            hub.hosts.insert("grafana".into(), host(viewer["hash"].as_str().unwrap(), HubRole::Viewer));
        },
        |hub| hub,
    );
    let token = fs::read_to_string(bench.path("q.token")).unwrap();
    assert_eq!(server.store("q", token.trim()).about().unwrap().role, "writer");
    let refused = server.store("q", viewer["token"].as_str().unwrap()).about().unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::Refused, "who sees the hub has no repository: {refused}");
}

#[test]
fn a_token_is_for_the_repository_that_either_option_names() {
    let bench = Bench::new();
    let data = bench.path("hub").display().to_string();
    let made = |option: &str, name: &str| {
        let words = ["hub", "token", "add", name, "--role", "writer", option, "shared", "--data", &data];
        let mut command = bench.command(&[&words[..], &["--json"]].concat());
        let (out, _) = expect(command.env_remove("HEARTH_REPO").output().unwrap(), 0, option);
        serde_json::from_str::<serde_json::Value>(&out).unwrap()["repository"].clone()
    };
    assert_eq!([made("--repository", "a"), made("--repo", "b")], ["shared", "shared"]);
    let listed = bench.json(&["hub", "token", "list", "--data", &data]);
    assert_eq!(listed.as_array().unwrap().len(), 2);
}

#[test]
fn a_quota_that_is_nearly_used_up_is_warned_of_and_nothing_is_refused() {
    let cluster = Cluster::with(Quota { bytes: Some(2_000_000), objects: None });
    cluster.bench.write("source/large", &raw::noise(2, 1_700_000));
    let run = cluster.run("writer", &["backup", "--key", "w.key", &cluster.bench.source()]);
    let (_, error) = expect(run, 0, "within the quota");
    assert!(error.contains("of the quota of the repository `nas` is used"), "{error}");
    assert!(cluster.admin().about().unwrap().warning.is_some());
}

#[test]
fn a_quota_is_refused_before_it_is_exceeded_and_room_that_is_made_counts() {
    let cluster = Cluster::with(Quota { bytes: Some(2_000_000), objects: None });
    cluster.backs_up();
    cluster.bench.write("source/large", &raw::noise(2, 4_000_000));
    let run = cluster.run("writer", &["backup", "--key", "w.key", &cluster.bench.source()]);
    let (_, error) = expect(run, 1, "more than the quota");
    assert!(error.contains("quota at the hub is used up"), "{error}");
    let about = cluster.admin().about().unwrap();
    assert!(about.used.bytes <= 2_000_000 && about.quota.unwrap().bytes == 2_000_000, "{about:?}");
    fs::remove_file(cluster.bench.path("source/large")).unwrap();
    cluster.backs_up();
    cluster.ok("reader", &["check", "--read-data", "--key", "r.key"]);
}

#[test]
fn an_object_that_is_there_stays_as_it_is() {
    let server = Server::start();
    let store = server.store("nas", &server.token("admin", Role::Maintainer, "nas"));
    let name = ObjectName::new(Folder::Pins, "a").unwrap();
    assert_eq!(store.put_new(&name, b"first").unwrap(), Put::Created);
    assert_eq!(store.put_new(&name, b"second").unwrap(), Put::Exists);
    assert_eq!(store.get(&name, 10).unwrap(), b"first");
}

#[test]
fn bytes_that_are_not_what_their_name_says_never_become_visible() {
    let server = Server::start();
    for (role, name) in [(Role::Writer, "nas"), (Role::Maintainer, "admin")] {
        let store = server.store("nas", &server.token(name, role, "nas"));
        for folder in [Folder::Packs, Folder::Index, Folder::Refs] {
            let error = store.put_new(&hashed(folder, b"said"), b"sent").unwrap_err().to_string();
            assert!(error.contains("its bytes have the hash"), "{error}");
            assert!(store.list(folder).unwrap().is_empty());
        }
    }
}

#[test]
fn an_upload_that_breaks_off_leaves_nothing() {
    let server = Server::start();
    let token = server.token("nas", Role::Writer, "nas");
    let name = hashed(Folder::Packs, b"whole");
    let head = format!("PUT /v1/nas/objects/{name} HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer {token}\r\nContent-Length: 5\r\n\r\nwho");
    // The other half never comes; the connection is closed.
    exchange(&server.base, head.as_bytes(), true);
    let store = server.store("nas", &token);
    assert!(store.list(Folder::Packs).unwrap().is_empty());
    assert_eq!(store.put_new(&name, b"whole").unwrap(), Put::Created);
}

#[test]
fn each_malformed_request_has_its_answer() {
    let server = Server::start();
    let writer = server.token("nas", Role::Writer, "nas");
    let admin = server.token("admin", Role::Maintainer, "nas");
    let as_writer = |request: &str, headers: &str, body: &str| {
        let (status, answer) = ask(&server.base, request, &format!("Authorization: Bearer {writer}\r\n{headers}"), body);
        (status, answer["error"].as_str().unwrap_or_default().to_owned())
    };
    let some = hashed(Folder::Index, b"x");
    let put = format!("PUT /v1/nas/objects/{some}");
    let cases = [
        ("GET /v1/nas/objects/index/../repo/0", "", 400, "malformed"),
        ("GET /v1/nas/objects/index/%2e%2e", "", 400, "malformed"),
        ("GET /v1/nas/objects/packs/ab/cd", "", 400, "malformed"),
        ("GET /v1/nas/objects/tokens.json", "", 400, "malformed"),
        ("GET /v1/nas/objects//etc/passwd", "", 400, "malformed"),
        ("GET /v1/nas/objects", "", 400, "malformed"),
        ("GET /v1/nas/objects?folders=tmp", "", 400, "malformed"),
        ("GET /v1/nas/objects?folders=index,..", "", 400, "malformed"),
        ("GET /v1/nas/objects/index/abc", "", 404, "not_found"),
        ("GET /v1/other", "", 404, "no_repository"),
        ("GET /v1/..", "", 404, "no_repository"),
        ("GET /v1/nas/nothing", "", 404, "not_found"),
        ("GET /nothing", "", 404, "not_found"),
        ("GET /v2/nas", "", 404, "not_found"),
        ("PATCH /v1/nas/objects/index/abc", "", 405, "method"),
        ("POST /v1/nas", "", 405, "method"),
        ("GET /v1/nas/delete", "", 405, "method"),
        (put.as_str(), "Transfer-Encoding: chunked\r\n", 411, "length_required"),
        (put.as_str(), "Content-Length: 99999999999\r\n", 413, "too_large"),
        ("DELETE /v1/nas/objects/index/abc", "", 403, "forbidden"),
        ("PUT /v1/nas/objects/repo/0", "Content-Length: 0\r\n", 403, "forbidden"),
    ];
    for (request, headers, status, reason) in cases {
        assert_eq!(
            as_writer(request, headers, if headers.contains("chunked") { "0\r\n\r\n" } else { "" }),
            (status, reason.to_owned()),
            "{request}"
        );
    }
    let as_admin = |request: &str, body: &str| {
        let headers = format!("Authorization: Bearer {admin}\r\nContent-Length: {}\r\n", body.len());
        let (status, answer) = ask(&server.base, request, &headers, body);
        (status, answer)
    };
    assert_eq!(as_admin("POST /v1/nas/delete", "{").0, 400);
    assert_eq!(as_admin("POST /v1/nas/delete", "[1]").0, 400);
    let (status, answer) = as_admin("POST /v1/nas/delete", "[\"../tokens.json\", \"index/ab\"]");
    assert_eq!((status, answer[0]["error"]["error"].as_str(), &answer[1]["error"]), (200, Some("malformed"), &serde_json::Value::Null));
    let names = serde_json::to_string(&vec!["index/ab"; 1001]).unwrap();
    assert_eq!(as_admin("POST /v1/nas/delete", &names).0, 413);
    assert_eq!(ask(&server.base, "GET /health", "", "").0, 200);
    assert!(server.folder.path().join("tokens.json").exists());
}

#[test]
fn who_guesses_tokens_has_to_wait() {
    let server = Server::start();
    let token = server.token("nas", Role::Writer, "nas");
    let with = |token: &str| ask(&server.base, "GET /v1/nas", &format!("Authorization: Bearer {token}\r\n"), "").0;
    assert_eq!(ask(&server.base, "GET /v1/nas", "", "").0, 401);
    assert_eq!(with(&token), 200);
    for _ in 0..10 {
        assert_eq!(with("hbt_00000000_guess"), 401);
    }
    assert_eq!(with("hbt_00000000_guess"), 429);
    assert_eq!(with(&token), 429, "nothing is told apart");
}

#[test]
fn five_hundred_connections_at_once_are_all_answered() {
    // Both ends of each are in this process.
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let server = Server::start();
    let store = Arc::new(server.store("nas", &server.token("admin", Role::Maintainer, "nas")));
    let bytes = raw::noise(3, 50_000);
    store.put_new(&hashed(Folder::Refs, &bytes), &bytes).unwrap();
    let token = server.token("reader", Role::Reader, "nas");
    let request =
        format!("GET /v1/nas/objects/{} HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer {token}\r\n\r\n", hashed(Folder::Refs, &bytes));
    // All are open before the first is asked.
    let open: Vec<_> = (0..500).map(|_| raw::connect(&server.base)).collect();
    std::thread::scope(|scope| {
        for mut connection in open {
            let request = request.as_bytes();
            scope.spawn(move || {
                let answer = raw::converse(&mut connection, request, 50_000);
                assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..answer.len().min(200)]));
            });
        }
    });
}

#[test]
fn a_stop_waits_for_what_is_under_way() {
    let server = Server::start();
    let token = server.token("nas", Role::Writer, "nas");
    let bytes = raw::noise(4, 200_000);
    let name = hashed(Folder::Packs, &bytes);
    let head = format!(
        "PUT /v1/nas/objects/{name} HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n",
        bytes.len()
    );
    let mut connection = raw::connect(&server.base);
    raw::send(&mut connection, &[head.as_bytes(), &bytes[..100_000]].concat());
    // Once there is a file, the upload is under way.
    raw::until(Duration::from_secs(20), || fs::read_dir(server.path("nas").join("tmp")).is_ok_and(|found| found.count() > 0));
    let stopping = std::thread::spawn(move || drop(server));
    let answer = raw::converse(&mut connection, &bytes[100_000..], 1);
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("{\"created\":true}"), "{answer}");
    stopping.join().unwrap();
}
