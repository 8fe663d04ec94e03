//! A regular file while it is restored.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::apply::{Inode, apply};
use super::directory::{DirId, Directory};
use super::error::TargetError;
use super::{Shared, name};
use crate::model::entry::Metadata;

/// A file that is being written, in any order and from several threads. What is not written is a hole. Dropped without
/// [`FileWriter::finish`], it vanishes, and what stood in its place before stays.
#[derive(Debug)]
pub struct FileWriter {
    shared: Arc<Shared>,
    parent: DirId,
    directory: Arc<Directory>,
    name: Box<[u8]>,
    /// Where it is written, if something stands under its name.
    temporary: Option<Vec<u8>>,
    file: File,
    size: u64,
    written_to: AtomicU64,
    finished: bool,
}

impl FileWriter {
    pub(super) fn create(shared: &Arc<Shared>, parent: DirId, name: &[u8], size: u64, metadata: &Metadata) -> Result<Self, TargetError> {
        let directory = shared.enter(parent, name)?;
        let mode = if directory.inherits { Mode::S_IRUSR | Mode::S_IWUSR } else { early_mode(metadata) };
        let mut temporary = None;
        let created = match create_new(&directory, name, mode) {
            Err(Errno::EEXIST) => create_new(&directory, temporary.insert(name::temporary()), mode),
            created => created,
        };
        let file = created.map_err(|errno| shared.system("create", parent, name, errno))?;
        let (shared, name) = (Arc::clone(shared), name.into());
        Ok(Self { shared, parent, directory, name, temporary, file, size, written_to: AtomicU64::new(0), finished: false })
    }

    /// Writes bytes of the content at their place.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), TargetError> {
        let end = offset.saturating_add(bytes.len() as u64);
        if end > self.size {
            let path = self.shared.directories.path_in(self.parent, &self.name);
            return Err(TargetError::BehindEnd { path, offset, size: self.size });
        }
        self.file.write_all_at(bytes, offset).map_err(|source| self.shared.system("write", self.parent, &self.name, source))?;
        self.written_to.fetch_max(end, Ordering::Relaxed);
        Ok(())
    }

    /// Completes the file: its length, its metadata, and its place.
    pub fn finish(mut self, metadata: &Metadata) -> Result<(), TargetError> {
        if *self.written_to.get_mut() < self.size {
            self.file.set_len(self.size).map_err(|source| self.shared.system("write", self.parent, &self.name, source))?;
        }
        let path = || self.shared.directories.path_in(self.parent, &self.name);
        apply(Inode::Open(self.file.as_fd()), metadata, self.directory.inherits, self.shared.context(&path))
            .map_err(|source| self.shared.system("set the metadata of", self.parent, &self.name, source))?;
        if let Some(temporary) = &self.temporary {
            self.shared.install(self.parent, &self.directory, temporary, &self.name)?;
        }
        self.finished = true;
        Ok(())
    }
}

impl Drop for FileWriter {
    fn drop(&mut self) {
        if !self.finished {
            let name = self.temporary.as_deref().unwrap_or(&self.name);
            let _ = unlinkat(&self.directory, name, UnlinkatFlags::NoRemoveDir);
        }
    }
}

fn create_new(directory: &Directory, name: &[u8], mode: Mode) -> Result<File, Errno> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    Ok(File::from(openat(directory, name, flags, mode)?))
}

/// The permissions to create a file with. The final ones if, whoever owns it until it is finished, they let nobody in
/// whom they would not let in then; that saves a system call for each file of most trees.
fn early_mode(metadata: &Metadata) -> Mode {
    let (group, others) = (metadata.mode >> 3 & 0o7, metadata.mode & 0o7);
    let bits = if group == others && metadata.xattrs.is_empty() { metadata.mode & 0o777 } else { 0o600 };
    Mode::from_bits_truncate(bits)
}
