//! A store in a directory: local disks, USB disks, NFS and other network mounts.
//!
//! ```text
//!   <repository>/repo/0   packs/ab/abcd...   index/...      objects, one file each, mode 0600
//!                tmp/<pid>-<n>-<random>                     files being written; never listed, swept a day later
//! ```
//!
//! The repository's top directory is held open and every path below it is walked one name at a time without following
//! symbolic links. So nobody who can write into the repository can lead us out of it, and a disk that goes away in
//! the middle of a run cannot be mistaken for an empty one.
//!
//! What root makes in it belongs to whoever the top directory belongs to, so that root can look after the repository of an account
//! that comes by SFTP without locking it out.

mod direct;
mod folders;
mod listing;
mod staged;

use std::fs::{DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};

use self::folders::Folders;
use self::staged::{Expected, StagedFile};
use super::{Folder, ObjectInfo, ObjectName, Put, StagedObject, Store, StoreError, StoreErrorKind};

/// A store in a directory.
#[derive(Debug)]
pub struct DirectoryStore {
    path: PathBuf,
    folders: Arc<Folders>,
}

impl DirectoryStore {
    /// Opens the repository at `path` and clears away what crashed runs left in `tmp/` more than a day ago.
    ///
    /// # Errors
    /// [`StoreErrorKind::NotFound`] if there is no repository.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = absolute(path.as_ref());
        let absent = |error: io::Error| explain_absence(&path, error);
        let folders = Folders::open(&path).map_err(absent)?;
        folders.get([Folder::Repo.as_str()]).map_err(absent)?;
        staged::sweep(&folders);
        Ok(Self { path, folders: Arc::new(folders) })
    }

    /// Makes an empty repository at `path`, or opens one that a crashed `create` left.
    ///
    /// # Errors
    /// [`StoreErrorKind::Refused`] if the directory holds something else, so that a mistyped path does no harm.
    pub fn create(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = absolute(path.as_ref());
        let failed = |error| StoreError::io("create a repository at", path.display(), error);
        if let Some(outer) = repository_above(&path) {
            let why = format!("it lies in the repository at {}", outer.display());
            return Err(refused(&path, why, "a repository needs a place of its own; choose one that is not within another repository"));
        }
        let missing = path.ancestors().take_while(|ancestor| !ancestor.exists()).count();
        DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(failed)?;
        let folders = Folders::open(&path).map_err(failed)?;
        if let Some(stranger) = folders.stranger().map_err(failed)? {
            return Err(refused(&path, format!("it holds `{stranger}`"), "the directory is not empty; choose a new or an empty one"));
        }
        folders.make([folders::TEMPORARY]).map_err(failed)?;
        folders.make([Folder::Repo.as_str()]).map_err(failed)?;
        sync_parents(&path, missing.max(1)).map_err(failed)?;
        Ok(Self { path, folders: Arc::new(folders) })
    }

    /// The repository's top directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Clears away what crashed runs left in `tmp/` more than a day ago, as far as that works.
    pub fn sweep(&self) {
        staged::sweep(&self.folders);
    }

    fn staged(&self, expected: Expected) -> Result<Box<dyn StagedObject>, StoreError> {
        match StagedFile::new(Arc::clone(&self.folders), self.location(), expected) {
            Ok(staged) => Ok(Box::new(staged)),
            Err(error) => Err(StoreError::io("store a new object in", self.location(), error)),
        }
    }

    /// Opens an object anew for every read. Measured, that costs 8 µs where reading a block of 2 MiB takes 250 µs from memory and
    /// 1500 µs from a disk: not worth a cache of open files, which would keep the space of deleted packs taken.
    fn open_object(&self, name: &ObjectName) -> Result<(File, u64), StoreError> {
        let open = || {
            let folder = self.folders.of(name)?;
            let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
            let file = File::from(openat(&folder, name.leaf(), flags, Mode::empty()).map_err(folders::explain)?);
            let metadata = file.metadata()?;
            if !metadata.is_file() {
                return Err(io::Error::other("it is not a regular file; move it out of the repository"));
            }
            Ok((file, metadata.len()))
        };
        open().map_err(|error| StoreError::io("read", name, error))
    }
}

impl Store for DirectoryStore {
    fn location(&self) -> String {
        self.path.display().to_string()
    }

    fn put_new(&self, name: &ObjectName, bytes: &[u8]) -> Result<Put, StoreError> {
        if self.stat(name).is_ok() {
            // Whoever wrote it may not have reached the last step yet, and we promise that it is durable.
            self.folders.of(name).and_then(|folder| folders::sync(&folder)).map_err(|error| StoreError::io("store", name, error))?;
            return Ok(Put::Exists);
        }
        let mut staged = self.staged(Expected::Small)?;
        staged.write(bytes)?;
        staged.commit(name)
    }

    fn stage(&self) -> Result<Box<dyn StagedObject>, StoreError> {
        self.staged(Expected::Large)
    }

    fn get(&self, name: &ObjectName, limit: u64) -> Result<Vec<u8>, StoreError> {
        let (file, size) = self.open_object(name)?;
        let failed = |error| StoreError::io("read", name, error);
        let too_large = || StoreError::new(StoreErrorKind::TooLarge, "read", name);
        if size > limit {
            return Err(too_large());
        }
        let capacity = usize::try_from(size).map_err(|_| too_large())?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(capacity).map_err(|_| failed(io::ErrorKind::OutOfMemory.into()))?;
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > limit {
            return Err(too_large());
        }
        Ok(bytes)
    }

    fn get_range(&self, name: &ObjectName, offset: u64, length: usize, buffer: &mut Vec<u8>) -> Result<(), StoreError> {
        let (file, size) = self.open_object(name)?;
        if offset.checked_add(length as u64).is_none_or(|end| end > size) {
            buffer.clear();
            return Err(StoreError::new(StoreErrorKind::Truncated, "read", name));
        }
        // Not cleared first: a buffer that is used again need not be filled with zeros again.
        buffer.resize(length, 0);
        file.read_exact_at(buffer, offset).map_err(|error| {
            buffer.clear();
            StoreError::io("read", name, error)
        })
    }

    fn list(&self, folder: Folder) -> Result<Vec<ObjectInfo>, StoreError> {
        listing::list(&self.folders, folder).map_err(|error| StoreError::io("list", folder, error))
    }

    fn stat(&self, name: &ObjectName) -> Result<ObjectInfo, StoreError> {
        let failed = |error| StoreError::io("look up", name, error);
        let folder = self.folders.of(name).map_err(failed)?;
        let stat = nix::sys::stat::fstatat(&folder, name.leaf(), AtFlags::AT_SYMLINK_NOFOLLOW).map_err(|error| failed(error.into()))?;
        listing::info(name.clone(), &stat)
            .ok_or_else(|| failed(io::Error::other("it is not a regular file; move it out of the repository")))
    }

    /// Not synced: a power cut may bring the object back, whole, and then it can be deleted again.
    fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        let remove = |folder| Ok(unlinkat(&folder, name.leaf(), UnlinkatFlags::NoRemoveDir)?);
        match self.folders.of(name).and_then(remove) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::io("delete", name, error)),
            _ => Ok(()),
        }
    }

    fn unknown_folders(&self) -> Result<Vec<String>, StoreError> {
        self.folders.unknown().map_err(|error| StoreError::io("list", self.location(), error))
    }

    fn now(&self) -> Result<SystemTime, StoreError> {
        staged::probe(&self.folders).map_err(|error| StoreError::io("read the clock of", self.location(), error))
    }
}

/// The path without `.` and independent of the working directory; as it was, if there is no working directory.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Why no repository is made in a directory.
fn refused(path: &Path, why: String, advice: &'static str) -> StoreError {
    let source = io::Error::new(io::ErrorKind::PermissionDenied, why);
    StoreError::io("create a repository at", path.display(), source).advising(advice)
}

/// The repository that a directory, which need not exist yet, lies in. What is written there would be strange to the one, and
/// whoever deletes the one deletes both.
fn repository_above(path: &Path) -> Option<PathBuf> {
    // Links are followed as far as there is something.
    let there = path.ancestors().skip(1).find_map(|above| above.canonicalize().ok())?;
    there.ancestors().find(|above| above.join("repo/0").is_file()).map(Path::to_owned)
}

/// Makes the names of the `levels` lowest directories of a path durable, as far as we may open their parents.
fn sync_parents(path: &Path, levels: usize) -> io::Result<()> {
    for parent in path.ancestors().skip(1).take(levels) {
        match File::open(parent) {
            Ok(folder) => folders::sync(&folder)?,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Says what to do if there is no repository.
fn explain_absence(path: &Path, error: io::Error) -> StoreError {
    let error = match error.kind() {
        io::ErrorKind::NotFound => io::Error::new(
            io::ErrorKind::NotFound,
            "check the path and that its disk is mounted; `hearth-backup init` makes a new repository",
        ),
        _ => error,
    };
    StoreError::io("open the repository", path.display(), error)
}
