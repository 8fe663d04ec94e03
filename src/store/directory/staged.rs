//! Files being written, and the one way in which they become objects.

use std::fs::{File, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{Mode, fstatat, futimens};
use nix::sys::time::TimeSpec;
use nix::unistd::{UnlinkatFlags, linkat, unlinkat};

use super::direct::DirectWriter;
use super::folders::{self, Folders, TEMPORARY};
use crate::store::{ObjectName, Put, StagedObject, StoreError};

/// How old a file in `tmp/` must be before it counts as left by a crash.
const STALE: Duration = Duration::from_secs(24 * 60 * 60);

/// A new object on its way.
pub(super) struct StagedFile {
    folders: Arc<Folders>,
    location: String,
    temporary: Temporary,
    direct: Option<DirectWriter>,
}

/// What is known of the size of a new object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// Kilobytes.
    Small,
    /// Megabytes.
    Large,
}

impl StagedFile {
    /// Starts one.
    pub(super) fn new(folders: Arc<Folders>, location: String, expected: Expected) -> io::Result<Self> {
        let temporary = Temporary::new(&folders)?;
        let direct = if expected == Expected::Large { DirectWriter::new(&temporary.file) } else { None };
        Ok(Self { folders, location, temporary, direct })
    }

    /// The durable write sequence, after the temporary file was written: sync it, publish it under its name without replacing
    /// anything, sync the directory. When the name is taken the directory is synced as well, because whoever took it
    /// may not have got so far.
    fn publish(&mut self, name: &ObjectName) -> io::Result<Put> {
        let folder = self.folders.make_for(name)?;
        if let Some(direct) = self.direct.take() {
            direct.finish(&self.temporary.file)?;
        }
        // So that the object is as young as its name, however long it was in the making.
        futimens(&self.temporary.file, &TimeSpec::UTIME_NOW, &TimeSpec::UTIME_NOW)?;
        self.temporary.file.sync_all()?;
        let put = publish(&self.temporary.folder, &self.temporary.name, &folder, name.leaf())?;
        self.temporary.published = put == Put::Created;
        folders::sync(&folder)?;
        Ok(put)
    }
}

impl StagedObject for StagedFile {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let written = match &mut self.direct {
            Some(direct) => direct.write(&self.temporary.file, bytes),
            None => self.temporary.file.write_all(bytes),
        };
        written.map_err(|error| StoreError::io("store a new object in", &self.location, error))
    }

    fn commit(mut self: Box<Self>, name: &ObjectName) -> Result<Put, StoreError> {
        self.publish(name).map_err(|error| StoreError::io("store", name, error))
    }
}

/// A file in `tmp/` that is removed when dropped, unless it was published.
struct Temporary {
    folder: OwnedFd,
    name: String,
    file: File,
    published: bool,
}

impl Temporary {
    fn new(folders: &Folders) -> io::Result<Self> {
        let folder = folders.make([TEMPORARY])?;
        let name = unique_name();
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = File::from(openat(&folder, name.as_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR)?);
        folders.owner().receives(&file);
        // Tells `sweep` that somebody is at work. Where locks do not work, age must do.
        let _ = file.try_lock_shared();
        Ok(Self { folder, name, file, published: false })
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.published {
            // What cannot be removed now is swept later.
            let _ = unlinkat(&self.folder, self.name.as_str(), UnlinkatFlags::NoRemoveDir);
        }
    }
}

/// A name that no other process and no other machine on the same network mount uses.
fn unique_name() -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    static RANDOM: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(SystemTime::now()));
    format!("{}-{}-{:016x}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed), *RANDOM)
}

/// The store's time: that of a file written now.
pub(super) fn probe(folders: &Folders) -> io::Result<SystemTime> {
    let mut temporary = Temporary::new(folders)?;
    temporary.file.write_all(b"?")?;
    temporary.file.metadata()?.modified()
}

/// Removes what crashed runs left in `tmp/`, as far as that works: it is in nobody's way.
pub(super) fn sweep(folders: &Folders) {
    let Ok(folder) = folders.get([TEMPORARY]) else { return };
    let Ok(found) = folder.try_clone().and_then(folders::entries) else { return };
    if found.is_empty() {
        return;
    }
    let Ok(now) = probe(folders) else { return };
    for (name, _) in found {
        if is_abandoned(&folder, &name, now) {
            tracing::debug!(name, "removing a temporary file that a crashed run left");
            let _ = unlinkat(&folder, name.as_str(), UnlinkatFlags::NoRemoveDir);
        }
    }
}

/// Whether a temporary file is old, and nobody on this machine has it open.
fn is_abandoned(folder: &OwnedFd, name: &str, now: SystemTime) -> bool {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let Ok(file) = openat(folder, name, flags, Mode::empty()).map(File::from) else { return false };
    let modified = file.metadata().ok().filter(|metadata| metadata.is_file()).and_then(|metadata| metadata.modified().ok());
    let old = modified.is_some_and(|modified| now.duration_since(modified).is_ok_and(|age| age > STALE));
    old && !matches!(file.try_lock(), Err(TryLockError::WouldBlock))
}

/// Gives the file `from` the name `to` unless that is taken, by the best way that the file system has.
fn publish(source: &OwnedFd, from: &str, target: &OwnedFd, to: &str) -> io::Result<Put> {
    let mut unsupported = Errno::ENOSYS;
    for way in [rename_without_replacing, link_and_unlink, check_and_rename] {
        match way(source, from, target, to) {
            Ok(()) => return Ok(Put::Created),
            Err(Errno::EEXIST) => return Ok(Put::Exists),
            Err(error @ (Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP | Errno::EPERM | Errno::EMLINK)) => unsupported = error,
            Err(error) => return Err(error.into()),
        }
    }
    Err(unsupported.into())
}

#[cfg(target_env = "gnu")]
fn rename_without_replacing(source: &OwnedFd, from: &str, target: &OwnedFd, to: &str) -> nix::Result<()> {
    nix::fcntl::renameat2(source, from, target, to, nix::fcntl::RenameFlags::RENAME_NOREPLACE)
}

#[cfg(not(target_env = "gnu"))]
fn rename_without_replacing(_: &OwnedFd, _: &str, _: &OwnedFd, _: &str) -> nix::Result<()> {
    Err(Errno::ENOSYS)
}

/// For NFS: a link does not replace anything either.
fn link_and_unlink(source: &OwnedFd, from: &str, target: &OwnedFd, to: &str) -> nix::Result<()> {
    linkat(source, from, target, to, AtFlags::empty())?;
    // It is visible now; the second name of the same file is swept later if it stays.
    let _ = unlinkat(source, from, UnlinkatFlags::NoRemoveDir);
    Ok(())
}

/// For file systems which can do neither, such as some in user space. Threads of this process cannot race here; another
/// process could, and then the later object stays. Nearly all names are hashes of their objects, so that it is the same one.
fn check_and_rename(source: &OwnedFd, from: &str, target: &OwnedFd, to: &str) -> nix::Result<()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    match fstatat(target, to, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(_) => Err(Errno::EEXIST),
        Err(Errno::ENOENT) => renameat(source, from, target, to),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_publish_creates_once_and_never_replaces() {
        for way in [rename_without_replacing, link_and_unlink, check_and_rename] {
            let folder = tempfile::tempdir().unwrap();
            let handle = OwnedFd::from(File::open(folder.path()).unwrap());
            let at = |name: &str| folder.path().join(name);
            std::fs::write(at("first"), "1").unwrap();
            std::fs::write(at("second"), "2").unwrap();
            assert_eq!(way(&handle, "first", &handle, "object"), Ok(()));
            assert!(!at("first").exists());
            assert_eq!(way(&handle, "second", &handle, "object"), Err(Errno::EEXIST));
            assert_eq!(std::fs::read(at("object")).unwrap(), b"1");
            assert_eq!(way(&handle, "absent", &handle, "other"), Err(Errno::ENOENT));
        }
    }
}
