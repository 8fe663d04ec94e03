//! The directories of a repository: opened without following symbolic links, made on demand and durably.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fstatat, mkdirat};

use crate::store::owner::Owner;

use crate::store::{Folder, ObjectName};

/// Where files are written before they are published.
pub(super) const TEMPORARY: &str = "tmp";

/// What file systems and desktops put into the top directory of a disk.
const LOST_AND_FOUND: &str = "lost+found";

/// The repository's top directory and what is known about the directories in it.
#[derive(Debug)]
pub(super) struct Folders {
    top: OwnedFd,
    owner: Owner,
    /// Directories whose own names are known to be on the disk.
    durable: Mutex<BTreeSet<String>>,
}

impl Folders {
    /// Opens the top directory; only here symbolic links are followed, as they are the user's own.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let top = nix::fcntl::open(path, flags, Mode::empty())?;
        let owner = Owner::of(&top)?;
        Ok(Self { top, owner, durable: Mutex::default() })
    }

    /// Whose the repository is.
    pub(super) fn owner(&self) -> Owner {
        self.owner
    }

    /// Opens the directory that an object lies in.
    pub(super) fn of(&self, name: &ObjectName) -> io::Result<OwnedFd> {
        self.get(steps(name))
    }

    /// Opens the directory that an object shall lie in, and makes it where it is missing.
    pub(super) fn make_for(&self, name: &ObjectName) -> io::Result<OwnedFd> {
        self.make(steps(name))
    }

    /// Opens the directory reached by these names.
    pub(super) fn get<'a>(&self, steps: impl IntoIterator<Item = &'a str>) -> io::Result<OwnedFd> {
        steps.into_iter().try_fold(self.top.try_clone()?, |parent, name| child(&parent, name))
    }

    /// Opens the directory reached by these names, makes what is missing, and syncs each parent once, also for directories
    /// that exist: whoever made them may not have got so far.
    pub(super) fn make<'a>(&self, steps: impl IntoIterator<Item = &'a str>) -> io::Result<OwnedFd> {
        let mut path = String::new();
        steps.into_iter().try_fold(self.top.try_clone()?, |parent, name| {
            path.push('/');
            path.push_str(name);
            let folder = child_or_new(&parent, name, self.owner)?;
            if !self.durable().contains(&path) {
                sync(&parent)?;
                self.durable().insert(path.clone());
            }
            Ok(folder)
        })
    }

    /// Directories that this version does not know and that are not the file system's own.
    pub(super) fn unknown(&self) -> io::Result<Vec<String>> {
        let folders = entries(self.top.try_clone()?)?.into_iter().filter(|(name, kind)| is_stranger(name) && self.is_folder(name, *kind));
        Ok(folders.map(|(name, _)| name).collect())
    }

    /// Something in the top directory that is neither ours nor the file system's own.
    pub(super) fn stranger(&self) -> io::Result<Option<String>> {
        Ok(entries(self.top.try_clone()?)?.into_iter().map(|(name, _)| name).find(|name| is_stranger(name)))
    }

    fn is_folder(&self, name: &str, kind: Option<Type>) -> bool {
        match kind {
            Some(kind) => kind == Type::Directory,
            // Some file systems do not tell.
            None => fstatat(&self.top, name, AtFlags::AT_SYMLINK_NOFOLLOW).is_ok_and(|stat| is_kind(stat.st_mode, SFlag::S_IFDIR)),
        }
    }

    fn durable(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Names of the directories from the top to an object.
fn steps(name: &ObjectName) -> impl Iterator<Item = &str> {
    let shard = (name.folder() == Folder::Packs).then(|| name.leaf().get(..2)).flatten();
    [Some(name.folder().as_str()), shard].into_iter().flatten()
}

fn is_stranger(name: &str) -> bool {
    let ours = name == TEMPORARY || Folder::ALL.iter().any(|folder| folder.as_str() == name);
    !ours && name != LOST_AND_FOUND && !name.starts_with('.')
}

/// Whether a mode is that of this kind of file.
pub(super) fn is_kind(mode: nix::libc::mode_t, kind: SFlag) -> bool {
    mode & SFlag::S_IFMT.bits() == kind.bits()
}

/// Opens a directory in `parent`.
pub(super) fn child(parent: &impl AsFd, name: &str) -> io::Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(parent, name, flags, Mode::empty()).map_err(explain)
}

fn child_or_new(parent: &impl AsFd, name: &str, owner: Owner) -> io::Result<OwnedFd> {
    match child(parent, name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        done => return done,
    }
    match mkdirat(parent, name, Mode::S_IRWXU) {
        Ok(()) => {
            let folder = child(parent, name)?;
            owner.receives(&folder);
            Ok(folder)
        }
        Err(Errno::EEXIST) => child(parent, name),
        Err(error) => Err(error.into()),
    }
}

/// All names in a directory, with the kinds that the file system tells. Names that are not UTF-8 are shown as well as
/// can be: none of ours is like that.
pub(super) fn entries(folder: OwnedFd) -> io::Result<Vec<(String, Option<Type>)>> {
    let mut dir = Dir::from_fd(folder)?;
    let mut found = Vec::new();
    for entry in dir.iter() {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy();
        if name != "." && name != ".." {
            found.push((name.into_owned(), entry.file_type()));
        }
    }
    Ok(found)
}

/// Makes the names in a directory durable. File systems that cannot do that for directories say so, and do it with the files.
pub(super) fn sync(folder: &impl AsFd) -> io::Result<()> {
    match nix::unistd::fsync(folder) {
        Ok(()) | Err(Errno::EINVAL | Errno::EOPNOTSUPP) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Turns what the system says of a symbolic link in the way into words.
pub(super) fn explain(error: Errno) -> io::Error {
    match error {
        Errno::ELOOP => io::Error::other("it is a symbolic link, which is not followed inside a repository"),
        Errno::ENOTDIR => io::Error::other("something that is not a directory lies in the way; symbolic links are not followed"),
        other => other.into(),
    }
}
