//! Where what came out of a repository is run: without network, with the system's programs to read, and nothing but the drill's own directory to write to.
//!
//! bubblewrap (<https://github.com/containers/bubblewrap>) makes it from namespaces; why that and not we is told in `docs/decisions.md`.
//!
//! ```text
//!   /usr /bin /lib* /nix /run/current-system, names      as they are, read-only
//!   of users and libraries in /etc
//!   /drill                                               the directory that may be written to
//!   /tmp /run /dev /proc                                 its own
//!   everything else: /etc, /home, /root, /var, sockets   not there: as root even nobody may read files of root
//! ```
//!
//! It ends with whoever started it, and all processes in it end with it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::geteuid;

use crate::job::run_timed;
use crate::source::command::Program;

/// What the writable directory is called inside.
pub(super) const INSIDE: &str = "/drill";
/// What every program may read. What is not there is left out.
const READABLE: [&str; 18] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix",
    "/run/current-system",
    "/etc/passwd",
    "/etc/group",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/alternatives",
    "/etc/localtime",
];
/// What a command may do as root with files of others, and no more: it reads a tree that belongs to many users.
const RIGHTS: [&str; 7] = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETUID", "CAP_SETGID"];
/// The user that servers run as where we are root.
const NOBODY: &str = "65534";
/// How long an empty sandbox may take.
const TRIAL: Duration = Duration::from_secs(60);

/// As whom programs run in a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rights {
    /// As nobody: in a user namespace of its own, without any right. What it writes belongs to us.
    Nobody,
    /// As we are; as root with the right to read and write files of all users.
    Files,
}

/// A sandbox.
#[derive(Debug, Clone)]
pub(super) struct Sandbox {
    /// As whom programs run.
    pub rights: Rights,
    /// The directory that is [`INSIDE`], and may be written to.
    pub writable: PathBuf,
    /// Further directories and files that may be read.
    pub readable: Vec<PathBuf>,
    /// Files that may not be read.
    pub secrets: Vec<PathBuf>,
    /// Where programs are looked for.
    pub path: String,
    /// Variables, besides `PATH`, `HOME` and `LANG`.
    pub environment: Vec<(String, String)>,
}

impl Sandbox {
    /// The words before a program and its arguments.
    ///
    /// # Errors
    /// If bubblewrap is not installed, or a path is not text.
    pub(super) fn words(&self) -> Result<Vec<String>, String> {
        let program = find("bwrap", &self.path).ok_or(
            "there is no sandbox: it needs bubblewrap, and `bwrap` is not installed; install the package bubblewrap, \
             or, for a smoke command, say `sandbox = false`",
        )?;
        let mut words: Vec<String> = vec![text(&program)?];
        let mut add = |more: &[&str]| words.extend(more.iter().map(|word| (*word).to_owned()));
        add(&["--die-with-parent", "--new-session", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]);
        match (self.rights, geteuid().is_root()) {
            (Rights::Nobody, true) => add(&["--unshare-user", "--uid", NOBODY, "--gid", NOBODY]),
            (_, false) => add(&["--unshare-user"]),
            (Rights::Files, true) => {
                add(&["--cap-drop", "ALL"]);
                RIGHTS.iter().for_each(|right| add(&["--cap-add", right]));
            }
        }
        add(&["--clearenv", "--setenv", "PATH", &self.path, "--setenv", "HOME", "/tmp", "--setenv", "LANG", "C.UTF-8"]);
        self.environment.iter().for_each(|(name, value)| add(&["--setenv", name, value]));
        add(&["--tmpfs", "/tmp", "--tmpfs", "/run", "--tmpfs", "/var/tmp"]);
        READABLE.iter().for_each(|path| add(&["--ro-bind-try", path, path]));
        // What is shown already is not bound once more: a link there, as programs of NixOS are, would have to be made anew.
        for path in self.readable.iter().filter(|path| !READABLE.iter().any(|shown| path.starts_with(shown))) {
            let path = text(path)?;
            add(&["--ro-bind", &path, &path]);
        }
        // A file that is not shown need not be hidden.
        for secret in self.secrets.iter().filter(|secret| self.shows(secret)) {
            add(&["--ro-bind", "/dev/null", &text(&secret.canonicalize().map_err(|error| error.to_string())?)?]);
        }
        let writable = text(&self.writable)?;
        add(&["--proc", "/proc", "--dev", "/dev", "--bind", &writable, INSIDE]);
        // Last, as places for the others are made in it.
        add(&["--remount-ro", "/", "--chdir", INSIDE, "--"]);
        Ok(words)
    }

    fn shows(&self, file: &Path) -> bool {
        // A link is seen where it leads.
        let Ok(file) = file.canonicalize() else { return false };
        let shown = READABLE.iter().map(Path::new).chain(self.readable.iter().map(PathBuf::as_path));
        file.is_file() && shown.into_iter().any(|folder| file.starts_with(folder))
    }

    /// Whether there can be one here.
    ///
    /// # Errors
    /// If not, and why.
    pub(super) fn try_out(&self) -> Result<(), String> {
        let command = [self.words()?, vec!["true".to_owned()]].concat();
        let tried = run_timed(Program::new(command), "bwrap", TRIAL, &|| false);
        tried.result.map_err(|error| {
            format!(
                "there is no sandbox: {error}. It needs root or user namespaces (sysctl user.max_user_namespaces, and a unit without \
                 RestrictNamespaces=)"
            )
        })
    }
}

/// A program that one of the directories of `path` has.
pub(super) fn find(name: &str, path: &str) -> Option<PathBuf> {
    path.split(':').filter(|folder| !folder.is_empty()).map(|folder| Path::new(folder).join(name)).find(|program| program.is_file())
}

fn text(path: &Path) -> Result<String, String> {
    path.to_str().map(str::to_owned).ok_or_else(|| format!("{} is not text, which a sandbox needs", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sandbox(folder: &Path) -> Sandbox {
        Sandbox {
            rights: Rights::Files,
            writable: folder.to_owned(),
            readable: Vec::new(),
            secrets: Vec::new(),
            path: "/usr/bin:/bin".into(),
            environment: vec![("HEARTH_TREE".into(), INSIDE.into())],
        }
    }

    #[test]
    fn without_bubblewrap_it_is_said_what_to_install() {
        let sandbox = Sandbox { path: "/nowhere:".into(), ..sandbox(Path::new("/tmp")) };
        assert!(sandbox.words().unwrap_err().contains("install the package bubblewrap"));
    }

    #[test]
    fn what_is_shown_already_is_not_bound_once_more() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("bwrap"), "").unwrap();
        let readable = vec!["/nix/store/a/bin/check".into(), "/srv/expected".into()];
        let sandbox = Sandbox { readable, path: folder.path().to_str().unwrap().to_owned(), ..sandbox(folder.path()) };
        let words = sandbox.words().unwrap();
        assert!(words.contains(&"/srv/expected".to_owned()) && !words.contains(&"/nix/store/a/bin/check".to_owned()), "{words:?}");
    }

    #[test]
    fn only_secrets_that_would_be_seen_are_hidden() {
        let sandbox =
            Sandbox { secrets: vec!["/usr/bin/env".into(), "/etc/hostname".into(), "/usr/no such".into()], ..sandbox(Path::new("/tmp")) };
        let shown: Vec<bool> = sandbox.secrets.iter().map(|secret| sandbox.shows(secret)).collect();
        assert_eq!(shown, [Path::new("/usr/bin/env").is_file(), false, false]);
    }

    #[test]
    fn a_program_is_found_where_the_path_says() {
        assert_eq!(find("sh", "/nowhere::/bin"), Some("/bin/sh".into()));
        assert_eq!(find("no such program", "/bin"), None);
    }
}
