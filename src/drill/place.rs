//! The directory that a drill restores into: fresh, locked, and gone in the end, whatever happened.
//!
//! ```text
//!   SCRATCH/hearth-drill-NAME-xxxxxx   0700, locked by the drill that made it, with a mark in it
//!     .hearth-drill                    the mark: nothing without it is ever removed
//!     tree/                            `/` of the snapshot
//!     postgresql/, mariadb/            throw-away servers
//! ```
//!
//! What nobody locks any more was left by a drill that was killed, and is removed by the next one, or by `settle`. A tmpfs is mounted where
//! only this process and its children see it, so that its memory is free again as soon as they have ended.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::statvfs::statvfs;
use nix::unistd::geteuid;

use super::DrillError;
use super::survivors;
use crate::model::event::{Event, Monitor, Silent};

/// What the names of these directories begin with.
const PREFIX: &str = "hearth-drill-";
/// The file that says that a drill made the directory.
const MARK: &str = ".hearth-drill";
/// How long something that is just ending may keep writing to what is removed.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is tried again.
const PAUSE: Duration = Duration::from_millis(50);
/// Bytes that a drill leaves free on a disk, on which others write too, whatever runs in it...
const FREE: u64 = 256 << 20;
/// ...or this part of a small one.
const FREE_PART: u64 = 20;

/// A fresh directory; removed with all that is in it when dropped.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    /// The directory, locked.
    _lock: Flock<File>,
    mounted: bool,
    removed: bool,
}

impl Place {
    /// A new one for a drill, in `parent`, which is made if need be; on a tmpfs of at most so many bytes if they are given. What killed runs of the
    /// drill left there goes before.
    pub(super) fn make(parent: &Path, drill: &str, tmpfs: Option<u64>) -> Result<Self, DrillError> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(|error| DrillError::place("make", parent, error))?;
        let turn = turn(parent)?;
        remove_leftovers(parent, drill)?;
        let made = tempfile::Builder::new().prefix(&prefix(drill)).permissions(fs::Permissions::from_mode(0o700)).tempdir_in(parent);
        let made = made.map_err(|error| DrillError::place("make a directory in", parent, error))?;
        let lock = lock(made.path()).map_err(|error| DrillError::place("lock", made.path(), error))?;
        let mark = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(made.path().join(MARK));
        mark.map_err(|error| DrillError::place("write to", made.path(), error))?;
        drop(turn);
        let mut place = Self { path: made.keep(), _lock: lock, mounted: false, removed: false };
        if let Some(size) = tmpfs {
            mount_tmpfs(&place.path, size)?;
            place.mounted = true;
        }
        Ok(place)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A new directory in it.
    pub(super) fn folder(&self, name: &str) -> Result<PathBuf, DrillError> {
        let path = self.path.join(name);
        fs::DirBuilder::new().mode(0o700).create(&path).map_err(|error| DrillError::place("make", &path, error))?;
        Ok(path)
    }

    /// # Errors
    /// If less than so many bytes can be written. A tmpfs may be filled; of a disk a part is left to others.
    pub(super) fn has_room(&self, needed: u64) -> Result<(), DrillError> {
        let status = statvfs(&self.path).map_err(|error| DrillError::place("look at", &self.path, error))?;
        let bytes = |blocks: u64| blocks.saturating_mul(status.fragment_size());
        let left = if self.mounted { 0 } else { FREE.min(bytes(status.blocks()) / FREE_PART) };
        let (free, needed) = (bytes(status.blocks_available()), needed.saturating_add(left));
        if free < needed { Err(DrillError::NoRoom { place: self.path.display().to_string(), free, needed }) } else { Ok(()) }
    }

    /// Removes a directory in it before the end.
    pub(super) fn clear_folder(&self, folder: &Path) -> Result<(), DrillError> {
        remove_tree(folder).map_err(|error| DrillError::place("remove", folder, error))
    }

    /// Removes it; what stays is a warning, and for the next run.
    pub(super) fn remove(mut self, monitor: &dyn Monitor) {
        self.clear(monitor);
    }

    fn clear(&mut self, monitor: &dyn Monitor) {
        if std::mem::replace(&mut self.removed, true) {
            return;
        }
        if std::mem::take(&mut self.mounted) {
            // Lazily: a server that was just killed may still have something open in it.
            let _ = umount2(&self.path, MntFlags::MNT_DETACH);
        }
        if let Err(error) = remove_tree(&self.path) {
            let message = format!("cannot be removed now ({error}); the next run of the drill tries again");
            monitor.event(Event::warning(self.path.display().to_string(), message));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.clear(&Silent);
    }
}

/// Removes what killed runs of a drill left in `parent`, and says what it was; how many directories.
pub(super) fn wipe(parent: &Path, drill: &str, monitor: &dyn Monitor) -> Result<usize, DrillError> {
    if !parent.is_dir() {
        return Ok(0);
    }
    let _turn = turn(parent)?;
    let removed = remove_leftovers(parent, drill)?;
    for path in &removed {
        monitor.event(Event::info(path.display().to_string(), "was left by a drill that was ended, and is removed"));
    }
    Ok(removed.len())
}

fn prefix(drill: &str) -> String {
    format!("{PREFIX}{drill}-")
}

/// Nobody else makes or removes such directories meanwhile.
fn turn(parent: &Path) -> Result<Flock<File>, DrillError> {
    let failed = |error: io::Error| DrillError::place("lock", parent, error);
    Flock::lock(File::open(parent).map_err(failed)?, FlockArg::LockExclusive).map_err(|(_, error)| failed(error.into()))
}

fn lock(path: &Path) -> io::Result<Flock<File>> {
    let folder = fs::OpenOptions::new().read(true).custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_DIRECTORY).open(path)?;
    Flock::lock(folder, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| error.into())
}

/// Removes what nobody locks; where it was.
fn remove_leftovers(parent: &Path, drill: &str) -> Result<Vec<PathBuf>, DrillError> {
    let failed = |error| DrillError::place("look into", parent, error);
    let mut removed = Vec::new();
    for entry in fs::read_dir(parent).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix(drill)));
        let mine = path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == geteuid().as_raw());
        if !ours || !mine {
            continue;
        }
        // One that is locked is at work.
        let Ok(_unused) = lock(&path) else { continue };
        let marked = path.join(MARK).symlink_metadata().is_ok_and(|mark| mark.is_file());
        if marked {
            survivors::end(&path);
        }
        // One that was killed before it could write its mark had not written anything else either.
        let gone = if marked { remove_tree(&path) } else { fs::remove_dir(&path) };
        match gone {
            Ok(()) => removed.push(path),
            Err(error) if !marked && error.kind() == ErrorKind::DirectoryNotEmpty => {}
            Err(error) => return Err(DrillError::place("remove what a killed drill left in", &path, error)),
        }
    }
    Ok(removed)
}

/// Mounts a tmpfs where only we see it.
fn mount_tmpfs(path: &Path, size: u64) -> Result<(), DrillError> {
    let private = || {
        unshare(CloneFlags::CLONE_NEWNS)?;
        // What others mount later is still seen, but nothing of ours is by them.
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_SLAVE, None::<&str>)?;
        let options = format!("size={size},mode=0700");
        mount(Some("hearth-drill"), path, Some("tmpfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some(options.as_str()))
    };
    private().map_err(|error| {
        DrillError::Place(format!(
            "cannot mount a tmpfs on {}: {error}; that needs root. Leave `tmpfs` out, and let `scratch` name a directory on one",
            path.display()
        ))
    })
}

/// Removes a directory with all that is in it, also what its owner may not write to, and also while something that is ending still writes.
fn remove_tree(path: &Path) -> io::Result<()> {
    let begun = Instant::now();
    loop {
        let removed = match fs::remove_dir_all(path) {
            Err(error) if error.kind() == ErrorKind::NotFound && !path.exists() => Ok(()),
            removed => removed,
        };
        let Err(error) = removed else { return Ok(()) };
        match error.kind() {
            ErrorKind::PermissionDenied if !geteuid().is_root() => open_up(path)?,
            ErrorKind::DirectoryNotEmpty | ErrorKind::ResourceBusy | ErrorKind::NotFound => {}
            _ => return Err(error),
        }
        if begun.elapsed() >= PATIENCE {
            return Err(error);
        }
        std::thread::sleep(PAUSE);
    }
}

/// Makes all directories ones that their owner may change.
fn open_up(path: &Path) -> io::Result<()> {
    let mut pending = vec![path.to_owned()];
    while let Some(folder) = pending.pop() {
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                pending.push(entry.path());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::{Collect, Severity};

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_place_is_private_and_gone_in_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let parent = folder.path().join("new");
        let place = Place::make(&parent, "weekly", None).unwrap();
        let tree = place.folder("tree").unwrap();
        fs::create_dir(tree.join("closed")).unwrap();
        fs::write(tree.join("closed/file"), "x").unwrap();
        fs::set_permissions(tree.join("closed"), fs::Permissions::from_mode(0o0)).unwrap();
        assert_eq!(place.path().metadata().unwrap().permissions().mode() & 0o777, 0o700);
        place.remove(&Silent);
        assert_eq!(names(&parent), [""; 0]);
    }

    #[test]
    fn what_a_killed_drill_left_goes_and_nothing_else_does() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str, file: Option<&str>| {
            fs::create_dir(folder.path().join(name)).unwrap();
            file.iter().for_each(|file| fs::write(folder.path().join(name).join(file), "x").unwrap());
        };
        make("hearth-drill-weekly-left", Some(MARK));
        make("hearth-drill-weekly-early", None);
        make("hearth-drill-weekly-mine", Some("my file"));
        make("hearth-drill-daily-left", Some(MARK));
        make("other", Some(MARK));
        std::os::unix::fs::symlink(folder.path().join("other"), folder.path().join("hearth-drill-weekly-link")).unwrap();
        let used = Place::make(folder.path(), "weekly", None).unwrap();
        let heard = Collect::default();
        assert_eq!(wipe(folder.path(), "weekly", &heard).unwrap(), 0, "the first was removed by the new one, that one is at work");
        let used_name = used.path().file_name().unwrap().to_str().unwrap().to_owned();
        let mut expected = ["hearth-drill-daily-left", "hearth-drill-weekly-link", "hearth-drill-weekly-mine", "other", &used_name];
        expected.sort_unstable();
        assert_eq!(names(folder.path()), expected);
        assert!(folder.path().join("other").join(MARK).exists());
        assert_eq!(wipe(folder.path(), "daily", &heard).unwrap(), 1);
        assert_eq!(heard.findings(Severity::Info).len(), 1);
        assert_eq!(wipe(&folder.path().join("nowhere"), "daily", &heard).unwrap(), 0);
    }

    #[test]
    fn a_place_that_is_too_small_says_what_is_free_and_what_is_needed() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::make(folder.path(), "weekly", None).unwrap();
        place.has_room(1).unwrap();
        let error = place.has_room(u64::MAX).unwrap_err().to_string();
        assert!(error.contains("free") && error.contains("larger `scratch` or `tmpfs`"), "{error}");
    }

    #[test]
    fn a_tmpfs_has_a_size_and_only_the_drill_sees_it() {
        if !geteuid().is_root() {
            println!("SKIPPED: only root can mount");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        // Its own thread, whose view of mounts changes.
        std::thread::scope(|scope| {
            let drill = scope.spawn(|| {
                let place = Place::make(folder.path(), "weekly", Some(1 << 20)).unwrap();
                fs::write(place.path().join("file"), vec![1; 500_000]).unwrap();
                let full = fs::write(place.path().join("more"), vec![1; 2_000_000]).unwrap_err();
                assert_eq!(full.kind(), ErrorKind::StorageFull);
                assert!(matches!(place.has_room(2 << 20), Err(DrillError::NoRoom { .. })));
                place
            });
            let place = drill.join().unwrap();
            assert_eq!(names(place.path()), [MARK], "from outside there is only the directory");
            drop(place);
        });
        assert_eq!(names(folder.path()), [""; 0]);
    }
}
