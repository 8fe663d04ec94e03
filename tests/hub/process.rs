//! A hub as people run it: the real program in a process of its own, which says through `NOTIFY_SOCKET` where it listens.
#![allow(dead_code, reason = "each test needs a part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read as _;
use std::net::TcpStream;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use hearth_backup::hub::{Quota, Repositories, Role, Tokens};
use hearth_backup::store::{Folder, ObjectName};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A process that ends with the test.
pub struct Process {
    child: Child,
    notices: UnixDatagram,
    /// Where it listens, as it says itself.
    pub places: Vec<String>,
    log: PathBuf,
}

impl Process {
    /// A hub at a port of its own with what lies in `folder`, given further arguments. It answers already.
    pub fn at(folder: &Path, arguments: &[&str]) -> Self {
        Self::command(folder, Command::new(env!("CARGO_BIN_EXE_hearth-backup")), &[&["--listen", "127.0.0.1:0"], arguments].concat())
    }

    /// The same, started by a command that ends with the program's name.
    pub fn command(folder: &Path, command: Command, arguments: &[&str]) -> Self {
        let mut hub = Self::spawn(folder, command, arguments);
        hub.becomes_ready();
        hub
    }

    /// The same, which need not come to listen.
    pub fn spawn(folder: &Path, mut command: Command, arguments: &[&str]) -> Self {
        let socket = folder.join("notify");
        let _ = fs::remove_file(&socket);
        let notices = UnixDatagram::bind(&socket).unwrap();
        notices.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let log = folder.join("log");
        let file = File::options().create(true).append(true).open(&log).unwrap();
        for name in ["HEARTH_CONFIG", "HEARTH_LOG", "JOURNAL_STREAM", "LISTEN_FDS", "LISTEN_PID"] {
            command.env_remove(name);
        }
        command.env("NOTIFY_SOCKET", &socket).args(["hub", "serve", "--data"]).arg(folder.join("data")).args(arguments);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).spawn().unwrap();
        Self { child, notices, places: Vec::new(), log }
    }

    /// Waits until it says that it listens.
    pub fn becomes_ready(&mut self) {
        let notice = self.hears("READY=1");
        let places = notice.lines().find_map(|line| line.strip_prefix("STATUS=listening at ")).unwrap();
        self.places = places.split(", ").map(str::to_owned).collect();
    }

    /// Waits until it tells systemd this. Returns all that it says at once.
    pub fn hears(&self, what: &str) -> String {
        let mut buffer = [0; 4096];
        loop {
            let length = self.notices.recv(&mut buffer).unwrap_or_else(|error| panic!("no {what} ({error}):\n{}", self.log()));
            let notice = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if notice.lines().any(|line| line == what) {
                return notice;
            }
        }
    }

    /// The first place where it listens.
    pub fn base(&self) -> &str {
        &self.places[0]
    }

    /// What it has written to its log.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// Kills it, and waits for its end.
    pub fn killed(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end.
    pub fn ends(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// What `/proc` says of it, such as `VmHWM` in kB.
    pub fn status(&self, what: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(what)).unwrap();
        line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Whether it answers.
    pub fn is_well(&self) {
        assert_eq!(super::raw::ask(self.base(), "GET /health", "", "").0, 200, "{}", self.log());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A token for a repository of a hub that keeps its data in `folder`; the repository is made.
pub fn token(folder: &Path, name: &str, role: Role, repository: &str) -> String {
    let data = folder.join("data");
    Repositories::new(&data, Quota::default()).make(repository).unwrap();
    Tokens::open(&data).unwrap().add(name, role, Some(repository)).unwrap().text.to_string()
}

/// The program, without what a user's environment may say.
pub fn program(arguments: &[impl AsRef<OsStr>], folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hearth-backup"));
    for name in ["HEARTH_CONFIG", "HEARTH_KEY", "HEARTH_REPO", "HEARTH_TOKEN_FILE", "SSL_CERT_FILE", "SSL_CERT_DIR"] {
        command.env_remove(name);
    }
    command.env("HEARTH_CACHE", folder.join("state")).current_dir(folder).args(arguments).stdin(Stdio::null());
    command
}

/// The name of an object that is named by its hash.
pub fn named(folder: Folder, bytes: &[u8]) -> ObjectName {
    ObjectName::of_id(folder, blake3::hash(bytes).as_bytes())
}

/// The head of an upload into the repository `nas`.
pub fn upload(name: &ObjectName, token: &str, length: usize) -> String {
    format!("PUT /v1/nas/objects/{name} HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n")
}

/// A connection of any kind.
pub trait Line: std::io::Read + std::io::Write {}
impl Line for TcpStream {}
impl Line for UnixStream {}

/// Reads one answer whose body is JSON: its status, and its body.
pub fn answer(line: &mut dyn Line) -> (u16, serde_json::Value) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        line.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |length| length.parse().unwrap());
    let mut body = Vec::new();
    line.take(length).read_to_end(&mut body).unwrap();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}
