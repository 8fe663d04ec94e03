//! The program on a machine of its own: a scratch directory with a repository and keys.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A scratch directory in which commands run; it goes away at the end.
pub struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    /// One with a copy of a golden repository and its keys.
    pub fn new(golden: &Path) -> Self {
        let machine = Self::empty();
        copy(golden, machine.folder.path());
        machine
    }

    pub fn empty() -> Self {
        Self { folder: tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The name of the only file in a folder.
    pub fn only_file(&self, folder: &str) -> String {
        let mut entries = fs::read_dir(self.path(folder)).unwrap();
        let name = entries.next().unwrap().unwrap().file_name().into_string().unwrap();
        assert!(entries.next().is_none(), "{folder} holds more than {name}");
        name
    }

    /// Runs a command on `./repository` and expects that it succeeds.
    pub fn run(&self, arguments: &[&str]) {
        let output = Command::new(env!("CARGO_BIN_EXE_hearth-backup"))
            .args(arguments)
            .args(["--repo", "repository", "--state", "state", "--trust-new-repository", "--no-progress"])
            .env_remove("HEARTH_REPO")
            .env_remove("HEARTH_KEY")
            .env_remove("HEARTH_CACHE")
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "hearth-backup {}: {}\n{said}", arguments.join(" "), output.status);
    }
}

/// Copies a file, or a directory without the empty ones in it, as git keeps it.
pub fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        for entry in fs::read_dir(from).unwrap() {
            let name = entry.unwrap().file_name();
            copy(&from.join(&name), &to.join(&name));
        }
    } else {
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(to, fs::read(from).unwrap()).unwrap();
    }
}
