//! Garage as a person sets it up by `docs/stores.md`: the document's configuration and commands, with other ports and directories.

#![allow(dead_code, reason = "each suite uses a part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::cli_common::expect;

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server. Its directory belongs to somebody else; the process ends with this.
pub struct Node {
    program: PathBuf,
    dir: PathBuf,
    s3: SocketAddr,
    process: Option<Child>,
}

/// The program: `HEARTH_TEST_GARAGE`, or in `PATH`. Without it there is nothing to test.
pub fn program() -> Option<PathBuf> {
    let named = std::env::var_os("HEARTH_TEST_GARAGE").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = named.into_iter().chain(std::env::split_paths(&path).map(|dir| dir.join("garage"))).find(|program| program.is_file());
    if found.is_none() {
        println!("SKIPPED: garage is not installed; tests/run installs it");
    }
    found
}

/// The blocks of code of the document's chapter about Garage, in their order: the configuration, and four times commands.
pub fn recipe() -> [String; 5] {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/stores.md")).unwrap();
    let chapter = text.split("\n### ").find(|chapter| chapter.starts_with("A repository in Garage")).unwrap();
    let blocks: Vec<_> = chapter.split("```").skip(1).step_by(2).map(|block| block.split_once('\n').unwrap().1.to_owned()).collect();
    blocks.try_into().unwrap()
}

/// Two ports that nobody has now. Somebody else may take them before the server does; it then ends, and the test fails.
fn ports() -> [u16; 2] {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

impl Node {
    /// Starts a server whose files lie in `dir`. `changes` are made to the document's configuration.
    pub fn start(program: &Path, dir: &Path, secret: &str, changes: &[(&str, &str)]) -> Self {
        fs::create_dir_all(dir).unwrap();
        let [s3, rpc] = ports().map(|port| format!("127.0.0.1:{port}"));
        let [config, make_secret, ..] = recipe();
        let config = changes.iter().fold(config, |config, (from, to)| {
            assert!(config.contains(from), "the document's configuration has no `{from}`");
            config.replace(from, to)
        });
        let config = config
            .replace("/var/lib/garage", dir.to_str().unwrap())
            .replace("\"127.0.0.1:3901\"", &format!("{rpc:?}"))
            .replace("\"127.0.0.1:3900\"", &format!("{s3:?}"));
        fs::write(dir.join("garage.toml"), config.replace("/etc/garage.secret", secret)).unwrap();
        let mut node = Self { program: program.to_owned(), dir: dir.to_owned(), s3: s3.parse().unwrap(), process: None };
        if !Path::new(secret).exists() {
            node.sh(&make_secret.replace("/etc/garage.secret", secret));
        }
        node.resume();
        node
    }

    /// Starts the server, again if it was killed, and waits until it answers.
    pub fn resume(&mut self) {
        let log = fs::File::options().create(true).append(true).open(self.dir.join("log")).unwrap();
        let mut server = Command::new(&self.program);
        server.arg("server").env("GARAGE_CONFIG_FILE", self.dir.join("garage.toml")).env("RUST_LOG", "garage=info");
        self.process = Some(server.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
        self.until("the server answers", |node| TcpStream::connect(node.s3).is_ok() && node.command(&["status"]).status.success());
    }

    /// Waits until something is so.
    pub fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !is_so(self) {
            let log = || fs::read_to_string(self.dir.join("log")).unwrap_or_default();
            let ended = self.process.as_mut().is_some_and(|process| process.try_wait().unwrap().is_some());
            assert!(!ended, "the server ended:\n{}", log());
            assert!(begun.elapsed() < PATIENCE, "not in time: {what}:\n{}", log());
            std::thread::yield_now();
        }
    }

    /// Ends it at once, as a power cut does.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    fn command(&self, arguments: &[&str]) -> std::process::Output {
        let mut command = Command::new(&self.program);
        command.args(arguments).env("GARAGE_CONFIG_FILE", self.dir.join("garage.toml")).env("RUST_LOG", "off").stdin(Stdio::null());
        command.output().unwrap()
    }

    /// What a command of the server says.
    pub fn says(&self, arguments: &[&str]) -> String {
        expect(self.command(arguments), 0, arguments).0
    }

    /// The server's name for the others: its id and its address.
    pub fn id(&self) -> String {
        self.says(&["node", "id", "--quiet"]).trim().to_owned()
    }

    /// Runs commands of the document.
    pub fn sh(&self, script: &str) {
        let programs = self.dir.join("programs");
        fs::create_dir_all(&programs).unwrap();
        let garage = programs.join("garage");
        if !garage.exists() {
            std::os::unix::fs::symlink(&self.program, garage).unwrap();
        }
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
        let script = script.replace("/etc/hearth-backup", self.dir.join("hearth-backup").to_str().unwrap());
        let mut shell = Command::new("sh");
        shell.args(["-euc", &script]).env("PATH", path).env("GARAGE_CONFIG_FILE", self.dir.join("garage.toml")).env("RUST_LOG", "off");
        expect(shell.stdin(Stdio::null()).output().unwrap(), 0, script);
    }

    /// The file with the access key that the document's commands made.
    pub fn credentials(&self) -> PathBuf {
        self.dir.join("hearth-backup/garage")
    }

    /// The document's location, at this server.
    pub fn location(&self) -> String {
        let [.., client, _] = recipe();
        let location = client.split('\'').nth(1).unwrap();
        assert!(location.starts_with("s3://"), "{client}");
        format!("{location}&endpoint=http://{}", self.s3)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}
