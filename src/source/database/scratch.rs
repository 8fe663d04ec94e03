//! A directory for dumps that cannot be streamed, for as long as it is needed.
//!
//! Whoever uses one keeps a lock on it, and so do the programs that it started. What nobody locks any more was left by a run that was killed,
//! and is removed when the next directory is made.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::fcntl::{Flock, FlockArg};
use nix::unistd::{User, geteuid};
use tempfile::TempDir;

/// What the names of these directories begin with.
const PREFIX: &str = "hearth-scratch-";

/// A directory that is removed in the end.
#[derive(Debug)]
pub struct Scratch {
    place: TempDir,
    /// The directory, locked.
    folder: Flock<File>,
    owner: Option<User>,
}

impl Scratch {
    /// A new one in `parent`, which is made if need be, for a program that runs as `user` of the system.
    ///
    /// # Errors
    /// If it cannot be made or locked, or there is no such user.
    pub fn new(parent: &Path, user: Option<&str>) -> io::Result<Self> {
        let owner = match user {
            Some(name) => {
                Some(User::from_name(name)?.ok_or_else(|| io::Error::other(format!("there is no user `{name}` on this system")))?)
            }
            None => None,
        };
        let owner = owner.filter(|user| user.uid != geteuid());
        fs::create_dir_all(parent)?;
        // Nobody else makes or removes one until this one is locked.
        let turn = Flock::lock(File::open(parent)?, FlockArg::LockExclusive).map_err(|(_, error)| error)?;
        remove_leftovers(parent)?;
        let place = tempfile::Builder::new().prefix(PREFIX).permissions(fs::Permissions::from_mode(0o700)).tempdir_in(parent)?;
        let folder = Flock::lock(File::open(place.path())?, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| error)?;
        drop(turn);
        let scratch = Self { place, folder, owner };
        scratch.give(&scratch.folder)?;
        Ok(scratch)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.place.path()
    }

    /// The directory itself, for a program that may not follow its path: the directories above may be closed to it.
    ///
    /// # Errors
    /// If there are too many open files.
    pub fn handle(&self) -> io::Result<Arc<File>> {
        Ok(Arc::new(self.folder.try_clone()?))
    }

    /// Gives a file to the user as whom the program runs.
    ///
    /// # Errors
    /// If we may not.
    pub fn give(&self, file: &File) -> io::Result<()> {
        match &self.owner {
            Some(user) => fchown(file, Some(user.uid.as_raw()), Some(user.gid.as_raw())),
            None => Ok(()),
        }
    }
}

/// Removes directories that nobody uses any more.
fn remove_leftovers(parent: &Path) -> io::Result<()> {
    let ours = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX));
    let left = fs::read_dir(parent)?.flatten().map(|entry| entry.path()).filter(ours);
    for path in left.filter(|path| path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir())) {
        if let Ok(_unused) = Flock::lock(File::open(&path)?, FlockArg::LockExclusiveNonblock) {
            fs::remove_dir_all(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<PathBuf> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn a_scratch_directory_is_removed_with_what_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let scratch = Scratch::new(&folder.path().join("new"), None).unwrap();
        fs::write(scratch.path().join("file"), "x").unwrap();
        assert_eq!(scratch.path().metadata().unwrap().permissions().mode() & 0o777, 0o700);
        drop(scratch);
        assert!(names(&folder.path().join("new")).is_empty());
    }

    #[test]
    fn what_a_killed_run_left_is_removed_and_what_is_used_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let left = folder.path().join("hearth-scratch-abc");
        fs::create_dir(&left).unwrap();
        fs::write(left.join("file"), "x").unwrap();
        fs::create_dir(folder.path().join("other")).unwrap();
        let used = Scratch::new(folder.path(), None).unwrap();
        let second = Scratch::new(folder.path(), None).unwrap();
        let mut expected = vec![folder.path().join("other"), used.path().to_owned(), second.path().to_owned()];
        let mut found = names(folder.path());
        expected.sort();
        found.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_program_holds_the_lock_for_as_long_as_it_has_the_handle() {
        let folder = tempfile::tempdir().unwrap();
        let mut scratch = Scratch::new(folder.path(), None).unwrap();
        let handle = scratch.handle().unwrap();
        // As if we were killed: nothing is removed.
        scratch.place.disable_cleanup(true);
        let path = scratch.path().to_owned();
        std::mem::forget(scratch);
        drop(Scratch::new(folder.path(), None).unwrap());
        assert!(path.exists(), "the program still writes there");
        handle.unlock().unwrap();
        drop(Scratch::new(folder.path(), None).unwrap());
        assert!(!path.exists());
    }

    #[test]
    fn a_user_that_is_not_there_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let error = Scratch::new(folder.path(), Some("no-such-user")).unwrap_err().to_string();
        assert!(error.contains("no user `no-such-user`"), "{error}");
    }
}
