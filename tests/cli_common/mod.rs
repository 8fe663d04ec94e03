//! The real binary in a directory of its own.

#![allow(dead_code, reason = "each suite uses a part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// A directory with a source, and what the program makes in it.
pub struct Bench {
    dir: tempfile::TempDir,
}

/// Files as `path: content`, links as `path -> target`.
pub type Tree = Vec<(String, Vec<u8>)>;

impl Bench {
    /// A directory with a small source.
    pub fn new() -> Self {
        let bench = Self { dir: tempfile::tempdir().unwrap() };
        bench.write("source/a.txt", b"first");
        bench.write("source/b.conf", b"second");
        bench.write("source/sub/c.txt", b"third");
        bench.write("source/sub/d.log", &vec![7; 200_000]);
        bench
    }

    /// The same, with a repository.
    pub fn with_repository() -> Self {
        let bench = Self::new();
        bench.ok(&["init"]);
        bench
    }

    /// An absolute path in the directory.
    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join(relative)
    }

    /// The source's path as text.
    pub fn source(&self) -> String {
        self.path("source").to_str().unwrap().to_owned()
    }

    /// Writes a file.
    pub fn write(&self, relative: &str, content: &[u8]) {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// The program with these arguments; the repository is `repo`, the state is in `state`.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hearth-backup"));
        let variables = ["CREDENTIALS_DIRECTORY", "HEARTH_CONFIG", "HEARTH_KEY", "HEARTH_LOG", "HEARTH_PASSPHRASE_FILE", "JOURNAL_STREAM"];
        for name in variables {
            command.env_remove(name);
        }
        command.args(arguments).current_dir(self.dir.path()).stdin(Stdio::null());
        command.env("HEARTH_REPO", self.path("repo")).env("HEARTH_CACHE", self.path("state"));
        command
    }

    /// Runs the program.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs the program, which must succeed; returns standard output.
    pub fn ok(&self, arguments: &[&str]) -> String {
        self.ends(arguments, 0).0
    }

    /// Runs the program, which must end with this code; returns standard output and standard error.
    pub fn ends(&self, arguments: &[&str], code: i32) -> (String, String) {
        expect(self.run(arguments), code, arguments)
    }

    /// Runs the program, which must end with this code; returns standard error.
    pub fn fails(&self, arguments: &[&str], code: i32) -> String {
        self.ends(arguments, code).1
    }

    /// Runs the program with `--json`; standard output must be one document.
    pub fn json(&self, arguments: &[&str]) -> Value {
        self.json_ends(arguments, 0)
    }

    /// The same with another exit code.
    pub fn json_ends(&self, arguments: &[&str], code: i32) -> Value {
        let (out, _) = self.ends(&[arguments, &["--json"]].concat(), code);
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{arguments:?} printed no JSON document ({error}): {out}"))
    }

    /// Writes `config.json` with the repository as `main` and a job `state` that saves the source to it, but for what `job` says.
    pub fn configure(&self, job: &Value) {
        let mut whole = serde_json::json!({ "paths": [self.source()], "repositories": ["main"] });
        whole.as_object_mut().unwrap().extend(job.as_object().unwrap().clone());
        let main = serde_json::json!({ "url": self.path("repo"), "writerKey": self.path("hearth-writer.key") });
        let config = serde_json::json!({ "repositories": { "main": main }, "jobs": { "state": whole } });
        self.write("config.json", config.to_string().as_bytes());
    }

    /// A file of the newest snapshot, as text.
    pub fn saved(&self, path: impl AsRef<Path>) -> String {
        self.ok(&["dump", "latest", path.as_ref().to_str().unwrap(), "--key", "hearth-restore.key"])
    }

    /// Backs the source up with further arguments.
    pub fn backup(&self, arguments: &[&str]) -> Value {
        self.json(&[&["backup", "--key", "hearth-writer.key", &self.source()], arguments].concat())
    }

    /// Repeats a test that others disturb by making files in the directory that all temporary directories lie in: its time is part
    /// of each snapshot.
    pub fn undisturbed(&self, test: impl Fn() -> bool) {
        assert!((0..20).any(|_| test()), "it never came true");
    }

    /// The ids of all snapshots, oldest first.
    pub fn snapshots(&self) -> Vec<String> {
        let list = self.json(&["snapshots"]);
        list["snapshots"].as_array().unwrap().iter().map(|snapshot| snapshot["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Restores a snapshot into a new directory; returns where the source's files are now.
    pub fn restore(&self, key: &str, snapshot: &str, target: &str) -> PathBuf {
        self.ok(&["restore", snapshot, "--key", key, "--target", target, "--verify"]);
        self.path(target).join(self.path("source").strip_prefix("/").unwrap())
    }
}

/// Checks an exit code; returns standard output and standard error.
pub fn expect(output: Output, code: i32, what: impl std::fmt::Debug) -> (String, String) {
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{what:?}\nstandard output:\n{out}\nstandard error:\n{error}");
    (out.into_owned(), error.into_owned())
}

/// All files and links below a directory.
pub fn tree(dir: &Path) -> Tree {
    fn walk(dir: &Path, top: &Path, tree: &mut Tree) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(top).unwrap().to_str().unwrap().to_owned();
            if path.is_symlink() {
                tree.push((name, fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()));
            } else if path.is_dir() {
                walk(&path, top, tree);
            } else {
                tree.push((name, fs::read(&path).unwrap()));
            }
        }
    }
    let mut found = Tree::new();
    walk(dir, dir, &mut found);
    found.sort();
    found
}
