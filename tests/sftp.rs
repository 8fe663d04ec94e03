//! Repositories on another machine, over a real `sshd` on loopback.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod cli_common;
#[path = "sftp/server.rs"]
mod server;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use cli_common::{Bench, expect, tree};
use hearth_backup::store::line::Line;
use hearth_backup::store::ssh::SshOptions;
use hearth_backup::store::{Folder, ObjectName, SftpStore, Store as _, StoreErrorKind};
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
    assert!(!error.contains("by hand"), "a host with another key is not to be made known: {error}");
    server.bench.write("known_hosts", b"");
    let (_, error) = expect(server.run(&["check"]), 1, "check");
    assert!(error.contains("Host key verification failed"), "{error}");
    let config = server.bench.path("ssh_config");
    assert!(error.contains(&format!("`ssh -F {} friend` once, by hand", config.display())), "{error}");
    let location = format!("sftp://root@127.0.0.1:{}/q", server.port);
    let (_, error) = expect(server.run(&["check", "--repo", &location]), 1, "check");
    assert!(error.contains(&format!(" -p {} root@127.0.0.1` once, by hand", server.port)), "{error}");
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
    let (_, error) = expect(server.run(&["check", "--identity", "no_key"]), 2, "check");
    assert!(error.contains("the private key no_key cannot be used"), "{error}");
}

#[test]
fn no_repository_and_no_mirror_is_made_within_a_repository() {
    let Some(server) = Server::new() else { return };
    server.init();
    let far = server.bench.path("far/q");
    symlink(&far, server.bench.path("far/link")).unwrap();
    let init = |location: &str, code| {
        let init = ["init", "--repo", location, "--writer-key", "w2.key", "--restore-key", "r2.key"];
        expect(server.run(&init), code, location).1
    };
    for below in ["far/q/below", "far/q/index/far/below", "far/link/below"] {
        let location = format!("sftp://friend{}", server.bench.path(below).display());
        let mirror = ["mirror", "--from", &server.location(), "--to", &location];
        for error in [init(&location, 1), expect(server.run(&mirror), 1, below).1] {
            let outer = format!("it lies in the repository at {}; a repository needs a place of its own", far.display());
            assert!(error.contains(&outer), "{error}");
        }
        assert!(!server.bench.path(below).exists());
    }
    init(&format!("{}-beside", server.location()), 0);
}

#[test]
fn a_server_that_cannot_be_reached_or_holds_something_else_is_told() {
    let Some(mut server) = Server::new() else { return };
    let (_, error) = expect(server.run(&["check"]), 1, "check");
    assert!(error.contains("there is no repository") && error.contains("hearth-backup init") && error.contains("sftp://friend"), "{error}");
    server.bench.write("far/q/somebody-elses", b"x");
    let (_, error) = expect(server.run(&["init", "--writer-key", "w.key", "--restore-key", "r.key"]), 1, "init");
    assert!(error.contains("somebody-elses") && error.contains("choose a new or an empty directory"), "{error}");
    server.stop();
    let (_, error) = expect(server.run(&["check"]), 1, "check");
    assert!(error.contains("Connection refused"), "{error}");
}

const SERVER: &str = "/usr/lib/openssh/sftp-server";

/// A store of `folder` behind a program that stands for `ssh`: a line of shell, with little patience.
fn behind(script: &str, folder: &Path) -> Result<SftpStore, hearth_backup::store::StoreError> {
    let program = ["sh", "-c", script, "--"].map(str::to_owned).to_vec();
    let options = SshOptions { program, patience: Duration::from_secs(1), ..SshOptions::default() };
    SftpStore::create(format!("nowhere{}", folder.display()).parse().unwrap(), options, Line::default())
}

/// A server whose answers get lost after so many bytes.
fn falling_silent(bytes: usize) -> String {
    format!("{SERVER} | {{ dd bs=1 count={bytes} status=none; cat >/dev/null; }}")
}

#[test]
fn a_server_that_hangs_is_given_up_with_an_error() {
    let bench = Bench::new();
    let error = behind("cat >/dev/null", &bench.path("far")).unwrap_err().to_string();
    assert!(error.contains("no answer within 1 seconds"), "{error}");

    let name = ObjectName::new(Folder::Index, "abc").unwrap();
    let patient =
        SshOptions { program: ["sh", "-c", &format!("exec {SERVER}"), "--"].map(str::to_owned).to_vec(), ..SshOptions::default() };
    let address = format!("nowhere{}", bench.path("far").display());
    let whole = SftpStore::create(address.parse().unwrap(), patient, Line::default()).unwrap();
    whole.put_new(&name, &vec![7; 200_000]).unwrap();

    let hanging = behind(&falling_silent(20_000), &bench.path("far")).unwrap();
    let error = hanging.get(&name, 1 << 20).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Temporary);
    let text = error.to_string();
    assert!(text.contains("the server does not answer") && text.contains("said nothing for 1 seconds"), "{text}");
}

#[test]
fn what_a_server_does_not_answer_is_asked_once_more_by_a_new_connection() {
    let bench = Bench::new();
    // The first that connects; `ssh -G` is only a question.
    let first = bench.path("first").display().to_string();
    let script = format!(
        "case \"$*\" in *' -G '*) exit;; esac; if mkdir {first} 2>/dev/null; then {}; else exec {SERVER}; fi",
        falling_silent(20_000)
    );
    let store = behind(&script, &bench.path("far")).unwrap();
    let name = ObjectName::new(Folder::Index, "abc").unwrap();
    let bytes = vec![7; 200_000];
    fs::create_dir_all(bench.path("far/index")).unwrap();
    fs::write(bench.path("far/index/abc"), &bytes).unwrap();
    assert_eq!(store.get(&name, 1 << 20).unwrap(), bytes);
}
