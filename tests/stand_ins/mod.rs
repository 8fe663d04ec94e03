//! Stand-ins for programs that cannot work on every machine: they answer in the format of the real ones, keep their state in
//! files, and write down what they were asked.

#![allow(dead_code, reason = "each suite uses a part")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// A directory of programs, their state, and what they were asked.
pub struct StandIns {
    dir: tempfile::TempDir,
}

impl StandIns {
    /// Stand-ins called `names`, all played by `script` of this directory.
    pub fn new(script: &str, names: &[&str]) -> Self {
        let made = Self { dir: tempfile::tempdir().unwrap() };
        fs::create_dir(made.path("bin")).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stand_ins").join(script);
        names.iter().for_each(|name| symlink(&script, made.path("bin").join(name)).unwrap());
        println!("played by a stand-in: {}", names.join(", "));
        made
    }

    /// A path of their state.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.dir.path().join(relative)
    }

    /// Their state.
    pub fn state(&self) -> Value {
        serde_json::from_slice(&fs::read(self.path("state.json")).unwrap()).unwrap()
    }

    /// Gives them another state.
    pub fn set(&self, state: &Value) {
        fs::write(self.path("state.json"), state.to_string()).unwrap();
    }

    /// What they were asked, a line each, and forgets it.
    pub fn asked(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("asked")).unwrap_or_default();
        let _ = fs::remove_file(self.path("asked"));
        text.lines().map(str::to_owned).collect()
    }

    /// Lets a command find them before all others.
    pub fn on<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap());
        command.env("PATH", path).env("STAND_IN", self.dir.path())
    }
}

/// Waits until a process that was started says where it is, by a file that ends with a line; what the file says.
pub fn wait_for(note: &Path, run: &mut Child) -> String {
    let begun = Instant::now();
    loop {
        if let Some(text) = fs::read_to_string(note).ok().filter(|text| text.ends_with('\n')) {
            return text.trim().to_owned();
        }
        assert!(begun.elapsed() < Duration::from_secs(60) && run.try_wait().unwrap().is_none(), "it never came to {}", note.display());
        std::thread::yield_now();
    }
}

/// A command stream that writes its process number to `note`, and then lasts.
pub fn lasting(note: &Path) -> Value {
    serde_json::json!({ "command": ["sh", "-c", format!("echo $$ > {}; exec sleep 1000", note.display())] })
}

/// Starts a run, and waits until its lasting command runs. The run, and the command's process.
pub fn started(command: &mut Command, note: &Path) -> (Child, Pid) {
    let mut run = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let pid = Pid::from_raw(wait_for(note, &mut run).parse().unwrap());
    fs::remove_file(note).unwrap();
    (run, pid)
}

/// Kills a run so that it cannot clean up, and the command that it waited for.
pub fn kill_hard(mut run: Child, command: Pid) {
    run.kill().unwrap();
    run.wait().unwrap();
    kill(command, Signal::SIGKILL).unwrap();
}
