//! Repositories on another machine, over a real `sshd` on loopback.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod cli_common;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use cli_common::{Bench, expect, tree};

/// A server with its keys, and a client's configuration for it as the host `friend`.
struct Server {
    bench: Bench,
    port: u16,
    sshd: Option<Child>,
}

impl Server {
    /// None where there is no `sshd`, or we are not root, for whom it can change users.
    fn new() -> Option<Self> {
        let root = nix::unistd::geteuid().is_root();
        if !Path::new("/usr/sbin/sshd").exists() || !root {
            return None;
        }
        let bench = Bench::new();
        for key in ["host_key", "client_key", "stranger_key"] {
            let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(bench.path(key)).status().unwrap();
            assert!(made.success());
        }
        // Somebody else may take it before the server does; the server then says so, and the test fails.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        fs::copy(bench.path("client_key.pub"), bench.path("authorized_keys")).unwrap();
        let at = |name: &str| bench.path(name).display().to_string();
        let server = format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\nPidFile none\n\
             PermitRootLogin yes\nPasswordAuthentication no\nSubsystem sftp internal-sftp\n",
            at("host_key"),
            at("authorized_keys")
        );
        bench.write("sshd_config", server.as_bytes());
        let host_key = fs::read_to_string(bench.path("host_key.pub")).unwrap();
        bench.write("known_hosts", format!("[127.0.0.1]:{port} {host_key}").as_bytes());
        let client = format!(
            "Host friend\n HostName 127.0.0.1\n Port {port}\n User root\n IdentityFile {}\n IdentitiesOnly yes\nHost *\n UserKnownHostsFile {}\n GlobalKnownHostsFile /dev/null\n",
            at("client_key"),
            at("known_hosts")
        );
        bench.write("ssh_config", client.as_bytes());
        let mut server = Self { bench, port, sshd: None };
        server.start();
        Some(server)
    }

    fn start(&mut self) {
        fs::create_dir_all("/run/sshd").unwrap();
        let mut sshd = Command::new("/usr/sbin/sshd");
        let mut sshd = sshd.args(["-D", "-e", "-f"]).arg(self.bench.path("sshd_config")).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(sshd.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("Server listening") {
            line.clear();
            assert!(said.read_line(&mut line).unwrap() > 0, "sshd ended");
        }
        // It would end if nobody listened to it.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        self.sshd = Some(sshd);
    }

    fn stop(&mut self) {
        if let Some(mut sshd) = self.sshd.take() {
            let _ = sshd.kill();
            let _ = sshd.wait();
        }
    }

    fn location(&self) -> String {
        format!("sftp://friend{}", self.bench.path("far/q").display())
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.bench.command(arguments);
        command.env("HEARTH_REPO", self.location()).env("HEARTH_SSH", format!("ssh -F {}", self.bench.path("ssh_config").display()));
        command.output().unwrap()
    }

    fn ok(&self, arguments: &[&str]) -> String {
        expect(self.run(arguments), 0, arguments).0
    }

    fn init(&self) {
        self.ok(&["init", "--writer-key", "w.key", "--restore-key", "r.key"]);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

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
