//! Secrets that others can read: told, not refused, as there are machines on which nobody else is.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::model::shell::quoted;

/// Where systemd puts credentials of services, and sees to it itself who may read them (systemd.exec(5)).
const CREDENTIALS: &str = "/run/credentials";
/// Everybody on the machine can read what lies here, and nobody can change its mode.
const NIX_STORE: &str = "/nix/store";

/// Warns, once for each file, if others than the owner can read a file with a secret.
pub fn warn_if_exposed(path: &Path) {
    static TOLD: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    let Some(warning) = exposure(path) else { return };
    if TOLD.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned()) {
        tracing::warn!("{warning}");
    }
}

/// What is to be said of a file with a secret; nothing if only its owner can read it.
///
/// A file is also safe in a directory that only the owner can enter, whatever its own mode.
fn exposure(path: &Path) -> Option<String> {
    let file = path.canonicalize().ok()?;
    let mode = |path: &Path| path.metadata().ok().map(|metadata| metadata.permissions().mode());
    if !file.is_file() || mode(&file)? & 0o077 == 0 || file.starts_with(CREDENTIALS) {
        return None;
    }
    let shown = path.display();
    if file.starts_with(NIX_STORE) {
        return Some(format!("{shown} holds a secret, and everybody on this machine can read what lies in {NIX_STORE}; keep it elsewhere"));
    }
    let shut = |directory: &Path| mode(directory).is_some_and(|mode| mode & 0o011 == 0);
    if file.ancestors().skip(1).any(shut) {
        return None;
    }
    Some(format!("{shown} holds a secret, and others on this machine can read it; `chmod 600 {}` mends that", quoted(&shown.to_string())))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use super::*;

    /// What is said of a file of this mode in a directory of that one; below a directory that everybody may enter.
    fn said(mode: u32, directory: u32) -> Option<String> {
        let top = tempfile::tempdir().unwrap();
        fs::set_permissions(top.path(), Permissions::from_mode(0o755)).unwrap();
        let folder = top.path().join("folder");
        fs::create_dir(&folder).unwrap();
        let file = folder.join("a key");
        fs::write(&file, "secret").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(directory)).unwrap();
        exposure(&file)
    }

    #[test]
    fn a_secret_that_others_can_read_is_told_with_the_command_that_mends_it() {
        for mode in [0o644, 0o640, 0o604, 0o666] {
            let text = said(mode, 0o755).unwrap();
            assert!(text.contains("chmod 600 '/") && text.contains("a key'"), "{text}");
        }
    }

    #[test]
    fn a_secret_that_only_its_owner_can_reach_is_not_told() {
        assert_eq!(said(0o600, 0o755), None);
        assert_eq!(said(0o400, 0o755), None);
        assert_eq!(said(0o644, 0o700), None, "nobody else can enter its directory");
        assert_eq!(exposure(Path::new("/nowhere/key")), None, "what cannot be read is told by whoever reads it");
        assert_eq!(exposure(Path::new("/dev/null")), None, "no regular file");
    }
}
