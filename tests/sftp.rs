//! Repositories on another machine, over a real `sshd` on loopback.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod cli_common;
#[path = "sftp/server.rs"]
mod server;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use cli_common::{expect, tree};
use server::Server;

#[test]
fn every_command_works_on_a_server_that_gives_only_files() {
    let Some(server) = Server::new() else { return };
    server.init();
    server.bench.write("source/sub/file", b"precious");
    let source = server.bench.path("source").display().to_string();
    server.ok(&["backup", "--key", "w.key", &source]);
    server.bench.write("source/sub/other", b"later");
    server.ok(&["backup", "--key", "w.key", &source]);
    assert!(server.ok(&["snapshots", "--key", "r.key"]).contains("2 snapshots"));
    server.ok(&["check", "--read-packs"]);
    server.ok(&["check", "--read-data", "--key", "r.key"]);
    server.ok(&["forget", "--keep-last", "1", "--max-forget", "100"]);
    server.ok(&["prune", "--grace", "0"]);
    server.ok(&["restore", "latest", "--key", "r.key", "--target", "back"]);
    let back = server.bench.path("back").join(source.strip_prefix('/').unwrap());
    assert_eq!(tree(&back), tree(Path::new(&source)));
    // The owner of the server can look after it, without the network.
    let far = server.bench.path("far/q");
    let mut there = Command::new(env!("CARGO_BIN_EXE_hearth-backup"));
    there.args(["check", "--read-packs", "--trust-new-repository", "--repo"]).arg(&far);
    let there = there.env("HEARTH_CACHE", server.bench.path("other-state")).output().unwrap();
    expect(there, 0, "check by the server's owner");
    assert_eq!(fs::metadata(far.join("repo/0")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(far.join("tmp")).unwrap().count(), 0);
}

#[test]
fn a_server_that_is_not_the_known_one_is_refused() {
    let Some(server) = Server::new() else { return };
    server.init();
    let stranger = fs::read_to_string(server.bench.path("stranger_key.pub")).unwrap();
    server.bench.write("known_hosts", format!("[127.0.0.1]:{} {stranger}", server.port).as_bytes());
    let (_, error) = expect(server.run(&["check"]), 1, "check");
    assert!(error.contains("Host key verification failed"), "{error}");
    server.bench.write("known_hosts", b"");
    let (_, error) = expect(server.run(&["check"]), 1, "check");
    assert!(error.contains("Host key verification failed"), "{error}");
}

#[test]
fn a_key_can_be_named_and_one_that_does_not_fit_is_told() {
    let Some(server) = Server::new() else { return };
    server.init();
    let config = fs::read_to_string(server.bench.path("ssh_config")).unwrap();
    let without: String = config.lines().filter(|line| !line.contains("IdentityFile")).map(|line| format!("{line}\n")).collect();
    server.bench.write("ssh_config", without.as_bytes());
    server.ok(&["check", "--identity", "client_key"]);
    let (_, error) = expect(server.run(&["check", "--identity", "stranger_key"]), 1, "check");
    assert!(error.contains("Permission denied"), "{error}");
}

#[test]
fn a_server_that_cannot_be_reached_or_holds_something_else_is_told() {
    let Some(mut server) = Server::new() else { return };
    let (_, error) = expect(server.run(&["check"]), 1, "check");
    assert!(error.contains("it is not there") && error.contains("sftp://friend"), "{error}");
    server.bench.write("far/q/somebody-elses", b"x");
    let (_, error) = expect(server.run(&["init", "--writer-key", "w.key", "--restore-key", "r.key"]), 1, "init");
    assert!(error.contains("somebody-elses"), "{error}");
    server.stop();
    let (_, error) = expect(server.run(&["check"]), 1, "check");
    assert!(error.contains("Connection refused"), "{error}");
}
