//! A hub behind `ssh`: the command that `authorized_keys` forces decides what a key may do. Says SKIPPED without root or `sshd`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod cli_common;
#[path = "hub/raw.rs"]
mod raw;
#[path = "sftp/server.rs"]
mod server;
#[path = "stand_ins/systemd.rs"]
mod systemd;

use std::fs;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use cli_common::{expect, tree};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use server::Server;
use systemd::Systemd;

/// The friend's hub: `admin` and `nas` are hosts in the client's configuration, each with a key of its own.
struct Friend(Server);

impl Friend {
    fn new() -> Option<Self> {
        let server = Server::new()?;
        let at = |name: &str| server.bench.path(name).display().to_string();
        let line = |role: &str, key: &str| {
            let forced = format!("{} hub stdio --data {} --repository nas --role {role}", env!("CARGO_BIN_EXE_hearth-backup"), at("hub"));
            let key = fs::read_to_string(server.bench.path(key)).unwrap();
            format!("restrict,command=\"{forced}\" {key}")
        };
        let lines = line("maintainer", "client_key.pub") + &line("writer", "stranger_key.pub");
        fs::write(server.bench.path("authorized_keys"), lines).unwrap();
        let host = |name: &str, key: &str| {
            format!("Host {name}\n HostName 127.0.0.1\n Port {}\n User root\n IdentityFile {}\n IdentitiesOnly yes\n", server.port, at(key))
        };
        let rest = format!("Host *\n UserKnownHostsFile {}\n GlobalKnownHostsFile /dev/null\n", at("known_hosts"));
        fs::write(server.bench.path("ssh_config"), host("admin", "client_key") + &host("nas", "stranger_key") + &rest).unwrap();
        Some(Self(server))
    }

    fn run(&self, host: &str, arguments: &[&str]) -> Output {
        self.0.command(arguments).env("HEARTH_REPO", format!("ssh://{host}/nas")).output().unwrap()
    }

    fn ok(&self, host: &str, arguments: &[&str]) -> String {
        expect(self.run(host, arguments), 0, arguments).0
    }
}

#[test]
fn a_key_may_do_what_its_forced_command_says_and_nothing_else() {
    let Some(friend) = Friend::new() else { return };
    let source = friend.0.bench.source();
    friend.ok("admin", &["init", "--writer-key", "w.key", "--restore-key", "r.key"]);
    friend.0.bench.write("source/large", &vec![3; 5_000_000]);
    friend.ok("nas", &["backup", "--key", "w.key", &source]);
    friend.ok("nas", &["backup", "--key", "w.key", &source]);
    let (_, error) = expect(friend.run("nas", &["restore", "latest", "--key", "r.key", "--target", "no"]), 1, "a writer reads");
    assert!(error.contains("take one for a reader"), "{error}");
    let (_, error) = expect(friend.run("nas", &["pin", "latest", "--key", "r.key"]), 1, "a writer pins");
    assert!(error.contains("a writer may not create objects in pins/"), "{error}");
    friend.ok("admin", &["restore", "latest", "--key", "r.key", "--target", "out"]);
    assert_eq!(tree(Path::new(&source)), tree(&friend.0.bench.path("out").join(&source[1..])));
    friend.ok("admin", &["check", "--read-data", "--key", "r.key"]);
    // What the client asks ssh to run makes no difference.
    let elsewhere = friend.0.command(&["snapshots"]).env("HEARTH_REPO", "ssh://nas/other").output().unwrap();
    let (_, error) = expect(elsewhere, 1, "another repository");
    assert!(error.contains("ssh lets you into another repository"), "{error}");
}

#[test]
fn a_host_behind_ssh_is_asked_for_runs_as_well() {
    let Some(friend) = Friend::new() else { return };
    let Some(systemd) = Systemd::start() else { return };
    let bench = &friend.0.bench;
    let job = json!({ "paths": [bench.source()], "repositories": ["main"] });
    let main = json!({ "url": "ssh://nas/nas", "writerKey": bench.path("w.key") });
    let config = json!({ "repositories": { "main": main }, "jobs": { "state": job }, "reportTo": { "url": "ssh://nas/nas" } });
    bench.write("config.json", config.to_string().as_bytes());
    systemd.unit("hearth-backup-state.service", &["true"]);
    let config = bench.path("config.json");
    let mut agent = friend.0.command(&["agent", "--config", config.to_str().unwrap()]);
    let mut agent = agent.env("DBUS_SYSTEM_BUS_ADDRESS", systemd.address()).spawn().unwrap();
    let is_connected = || bench.path("hub/orders/nas/agent").exists();
    raw::until(Duration::from_secs(120), is_connected);
    let trigger = |host: &str| friend.0.run(&["backup-trigger", "--hub", &format!("ssh://{host}/nas"), "nas", "state", "--wait"]);
    let (out, _) = expect(trigger("admin"), 0, "a run behind ssh");
    assert!(out.contains("nas state: done"), "{out}");
    assert_eq!(systemd.starts("hearth-backup-state.service"), 1);
    let (_, error) = expect(trigger("nas"), 1, "a host asks itself");
    assert!(error.contains("a writer may not ask hosts for runs"), "{error}");
    kill(Pid::from_raw(i32::try_from(agent.id()).unwrap()), Signal::SIGTERM).unwrap();
    assert_eq!(agent.wait().unwrap().code(), Some(0));
    raw::until(Duration::from_secs(120), || !is_connected());
}

#[test]
fn what_ssh_says_is_told() {
    let Some(mut friend) = Friend::new() else { return };
    friend.ok("admin", &["init", "--writer-key", "w.key", "--restore-key", "r.key"]);
    fs::write(friend.0.bench.path("known_hosts"), "").unwrap();
    let (_, error) = expect(friend.run("nas", &["snapshots"]), 1, "an unknown host");
    assert!(error.contains("host key is known for") && error.contains("to make the host known, run"), "{error}");
    friend.0.configure_client(friend.0.port, "");
    fs::write(friend.0.bench.path("authorized_keys"), "").unwrap();
    let (_, error) = expect(friend.run("friend", &["snapshots"]), 1, "a key that is not let in");
    assert!(error.contains("Permission denied"), "{error}");
    friend.0.stop();
    let (_, error) = expect(friend.run("friend", &["snapshots"]), 1, "nobody there");
    assert!(error.contains("Connection refused"), "{error}");
}

#[test]
fn an_ssh_that_ends_in_the_middle_is_started_again() {
    let Some(friend) = Friend::new() else { return };
    friend.ok("admin", &["init", "--writer-key", "w.key", "--restore-key", "r.key"]);
    // A program in the place of ssh that lives for the first 200,000 bytes only, but for its third life.
    let ssh = friend.0.bench.path("ssh");
    let count = friend.0.bench.path("lives");
    let config = friend.0.bench.path("ssh_config");
    let script = format!(
        "#!/bin/bash\ncase \" $* \" in *' -G '*) exec ssh -F {c} \"$@\";; esac\necho x >> {n}\n\
         if [ \"$(wc -l < {n})\" -lt 3 ]; then python3 -c '{pass}' | ssh -F {c} \"$@\"; else exec ssh -F {c} \"$@\"; fi\n",
        // Hands on what comes at once, which `head` does not.
        pass = "import os\nleft = 200000\nwhile left > 0:\n  got = os.read(0, left)\n  if not got: break\n  os.write(1, got)\n  left -= len(got)",
        c = config.display(),
        n = count.display()
    );
    fs::write(&ssh, script).unwrap();
    assert!(std::process::Command::new("chmod").arg("+x").arg(&ssh).status().unwrap().success());
    let mut noise = vec![0; 3_000_000];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    friend.0.bench.write("source/large", &noise);
    let source = friend.0.bench.source();
    let mut backup = friend.0.command(&["backup", "--key", "w.key", &source]);
    let run = backup.env("HEARTH_REPO", "ssh://nas/nas").env("HEARTH_SSH", ssh.display().to_string()).output().unwrap();
    expect(run, 0, "a backup over a line that breaks twice");
    assert!(fs::read_to_string(&count).unwrap().lines().count() >= 3, "it never broke");
    friend.ok("admin", &["check", "--read-data", "--key", "r.key"]);
}
