//! Removes trees: one entry of one open directory at a time, so that no link leads anywhere else.
//!
//! A directory is kept open for each level, up to a limit. A tree that goes deeper is moved up, to the directory where
//! the removal began, and removed from there: so neither depth nor the number of open files matters.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, renameat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::directory::{Directory, open_to_fill};
use super::error::TargetError;
use super::name;
use crate::source::metadata::{stat_at, stat_fd};

/// Levels that are held open.
const DEEPEST: usize = 64;

/// What a removal did.
#[derive(Debug, Default)]
pub struct Removal {
    /// Entries removed, directories included.
    pub removed: u64,
    /// Entries that are still there, and why.
    pub failed: Vec<TargetError>,
}

/// Removes all entries of `directory` that are not to be kept. `path` is its path, for people.
pub(super) fn remove_extra(directory: &Directory, path: String, keep: impl Fn(&[u8]) -> bool) -> Removal {
    run(directory, path, |directory| names(directory, keep))
}

/// Removes the entry `name` of `directory` with everything below it.
pub(super) fn remove_tree(directory: &Directory, path: String, name: &[u8]) -> Removal {
    run(directory, path, |_| Ok(vec![name.to_vec()]))
}

fn run(directory: &Directory, path: String, list: impl FnOnce(BorrowedFd<'_>) -> io::Result<Vec<Vec<u8>>>) -> Removal {
    let mut removal = Removal::default();
    let top = directory.as_fd();
    match list(top).and_then(|names| Ok((names, stat_fd(top)?.device))) {
        Err(source) => removal.failed.push(TargetError::System { action: "list", path, source }),
        Ok((names, device)) => {
            let mut remover = Remover { top, device, deep: Vec::new(), removal: &mut removal };
            names.iter().for_each(|name| remover.entry(top, &path, name, 0));
            while let Some(name) = remover.deep.pop() {
                remover.directory(top, &path, &name, 0);
            }
        }
    }
    removal
}

/// The names in a directory that are not to be kept.
fn names(directory: BorrowedFd<'_>, keep: impl Fn(&[u8]) -> bool) -> io::Result<Vec<Vec<u8>>> {
    let mut listing = Dir::openat(directory, ".", OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    let mut names = Vec::new();
    for entry in listing.iter() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") && !keep(name) {
            names.push(name.to_vec());
        }
    }
    Ok(names)
}

struct Remover<'a> {
    top: BorrowedFd<'a>,
    device: u64,
    /// Directories moved to the top, still to be removed.
    deep: Vec<Vec<u8>>,
    removal: &'a mut Removal,
}

impl Remover<'_> {
    fn entry(&mut self, parent: BorrowedFd<'_>, path: &str, name: &[u8], depth: usize) {
        match unlinkat(parent, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) => self.removal.removed += 1,
            Err(Errno::ENOENT) => {}
            Err(Errno::EISDIR) => self.directory(parent, path, name, depth),
            Err(errno) => self.failed(path, name, errno.into()),
        }
    }

    fn directory(&mut self, parent: BorrowedFd<'_>, path: &str, name: &[u8], depth: usize) {
        if depth >= DEEPEST {
            return self.move_up(parent, path, name);
        }
        let failures = self.removal.failed.len();
        if let Err(error) = self.empty(parent, path, name, depth) {
            return self.removal.failed.push(error);
        }
        match unlinkat(parent, name, UnlinkatFlags::RemoveDir) {
            Ok(()) => self.removal.removed += 1,
            // What is left in it was reported by name.
            Err(Errno::ENOTEMPTY | Errno::EEXIST) if self.removal.failed.len() > failures => {}
            Err(errno) => self.failed(path, name, errno.into()),
        }
    }

    fn empty(&mut self, parent: BorrowedFd<'_>, path: &str, name: &[u8], depth: usize) -> Result<(), TargetError> {
        let failed = |source| system(path, name, source);
        if stat_at(parent, name).map_err(failed)?.device != self.device {
            return Err(TargetError::MountPoint { path: join(path, name) });
        }
        let directory = open_to_fill(parent, name).map_err(failed)?;
        let inner = names(directory.as_fd(), |_| false).map_err(failed)?;
        let path = join(path, name);
        inner.iter().for_each(|name| self.entry(directory.as_fd(), &path, name, depth + 1));
        Ok(())
    }

    /// To move a directory elsewhere takes the right to write to it, too.
    fn move_up(&mut self, parent: BorrowedFd<'_>, path: &str, name: &[u8]) {
        let temporary = name::temporary();
        let moved = open_to_fill(parent, name).and_then(|_| Ok(renameat(parent, name, self.top, temporary.as_slice())?));
        match moved {
            Ok(()) => self.deep.push(temporary),
            Err(source) => self.failed(path, name, source),
        }
    }

    fn failed(&mut self, path: &str, name: &[u8], source: io::Error) {
        self.removal.failed.push(system(path, name, source));
    }
}

fn system(path: &str, name: &[u8], source: io::Error) -> TargetError {
    TargetError::System { action: "delete", path: join(path, name), source }
}

fn join(path: &str, name: &[u8]) -> String {
    format!("{path}/{}", String::from_utf8_lossy(name))
}
