//! A real `sshd` on loopback, with a client's configuration for it.

#![allow(dead_code, reason = "each suite uses a part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use crate::cli_common::{Bench, expect};

/// A server with its keys, and a client's configuration for it as the host `friend`.
pub struct Server {
    pub bench: Bench,
    pub port: u16,
    sshd: Option<Child>,
}

impl Server {
    /// None where there is no `sshd`, or we are not root, for whom it can change users.
    pub fn new() -> Option<Self> {
        Self::with("", "")
    }

    /// The same, with these lines at the begin and the end of the server's configuration; the first that says something counts.
    pub fn with(first: &str, last: &str) -> Option<Self> {
        let root = nix::unistd::geteuid().is_root();
        if !Path::new("/usr/sbin/sshd").exists() || !root {
            println!("SKIPPED: no sshd, or not root");
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
            "{first}ListenAddress 127.0.0.1\nPort {port}\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\nPidFile none\n\
             PermitRootLogin yes\nPasswordAuthentication no\nSubsystem sftp internal-sftp\n{last}",
            at("host_key"),
            at("authorized_keys")
        );
        bench.write("sshd_config", server.as_bytes());
        let mut server = Self { bench, port, sshd: None };
        server.configure_client(port, &server.as_root());
        server.start();
        Some(server)
    }

    pub fn start(&mut self) {
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

    pub fn stop(&mut self) {
        if let Some(mut sshd) = self.sshd.take() {
            let _ = sshd.kill();
            let _ = sshd.wait();
        }
    }

    pub fn location(&self) -> String {
        format!("sftp://friend{}", self.bench.path("far/q").display())
    }

    /// The program with these arguments, and the repository at the host `friend`.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.bench.command(arguments);
        command.env("HEARTH_REPO", self.location()).env("HEARTH_SSH", format!("ssh -F {}", self.bench.path("ssh_config").display()));
        command.env_remove("SSH_AUTH_SOCK");
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Writes the client's configuration: the host `friend` at a port, and other words about it.
    pub fn configure_client(&self, port: u16, words: &str) {
        let known = self.bench.path("known_hosts");
        let host_key = fs::read_to_string(self.bench.path("host_key.pub")).unwrap();
        fs::write(&known, format!("[127.0.0.1]:{port} {host_key}")).unwrap();
        let config = format!(
            "Host friend\n HostName 127.0.0.1\n Port {port}\n{words}Host *\n UserKnownHostsFile {}\n GlobalKnownHostsFile /dev/null\n",
            known.display()
        );
        self.bench.write("ssh_config", config.as_bytes());
    }

    /// The words by which the client is root, by its key.
    pub fn as_root(&self) -> String {
        format!(" User root\n IdentityFile {}\n IdentitiesOnly yes\n", self.bench.path("client_key").display())
    }

    /// The processes that serve connections: the children of the server.
    pub fn sessions(&self) -> Vec<u32> {
        let Some(sshd) = &self.sshd else { return Vec::new() };
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", sshd.id())).unwrap();
        children.split_whitespace().map(|id| id.parse().unwrap()).collect()
    }

    pub fn ok(&self, arguments: &[&str]) -> String {
        expect(self.run(arguments), 0, arguments).0
    }

    pub fn init(&self) {
        self.ok(&["init", "--writer-key", "w.key", "--restore-key", "r.key"]);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}
