//! Entries that are neither files nor directories, further names of what is restored, and what stands there already.

use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{Mode, SFlag, makedev, mknodat};
use nix::unistd::{linkat, symlinkat};

use super::directory::{DirId, Directory};
use super::{Shared, TargetError};
use crate::model::entry::{Device, Entry, Kind};
use crate::source::metadata::{FileType, read_link_at, stat_at};

impl Shared {
    pub(super) fn make_node(&self, parent: DirId, entry: &Entry) -> Result<(), TargetError> {
        let name = entry.name.as_slice();
        let directory = self.enter(parent, name)?;
        let make_at = |at: &[u8], exact: bool| {
            create(&directory, at, &entry.kind).map_err(|errno| self.system("create", parent, name, errno))?;
            self.apply_named(parent, &directory, at, name, &entry.metadata, exact)
        };
        match create(&directory, name, &entry.kind) {
            Ok(()) => self.apply_named(parent, &directory, name, name, &entry.metadata, directory.inherits),
            Err(Errno::EEXIST) if stands_there(&directory, entry) => {
                self.apply_named(parent, &directory, name, name, &entry.metadata, true)
            }
            Err(Errno::EEXIST) => self.replace(parent, &directory, name, |temporary| make_at(temporary, directory.inherits)),
            Err(errno) => Err(self.system("create", parent, name, errno)),
        }
    }

    pub(super) fn hard_link(&self, from: (DirId, &[u8]), to: (DirId, &[u8])) -> Result<(), TargetError> {
        let source = self.enter(from.0, from.1)?;
        let directory = self.enter(to.0, to.1)?;
        let link = |at: &[u8]| linkat(&source, from.1, &directory, at, AtFlags::empty());
        let failed = |errno: Errno| self.system("link", to.0, to.1, errno);
        match link(to.1) {
            // Renaming one name of an inode over another does nothing, and would leave both.
            Err(Errno::EEXIST) if same_inode((&source, from.1), (&directory, to.1)) => Ok(()),
            Err(Errno::EEXIST) => self.replace(to.0, &directory, to.1, |temporary| link(temporary).map_err(failed)),
            linked => linked.map_err(failed),
        }
    }

    pub(super) fn unchanged(&self, parent: DirId, entry: &Entry) -> bool {
        let directory = match self.enter(parent, &entry.name) {
            Ok(directory) if !directory.fresh => directory,
            _ => return false,
        };
        stands_there(&directory, entry)
    }
}

fn create(directory: &Directory, name: &[u8], kind: &Kind) -> Result<(), Errno> {
    let node = |kind, device: Device| mknodat(directory, name, kind, Mode::S_IRUSR | Mode::S_IWUSR, makedev(device.major, device.minor));
    let none = Device { major: 0, minor: 0 };
    match kind {
        Kind::Symlink { target } => symlinkat(target.as_slice(), directory, name),
        Kind::Fifo => node(SFlag::S_IFIFO, none),
        Kind::Socket => node(SFlag::S_IFSOCK, none),
        Kind::CharDevice(device) => node(SFlag::S_IFCHR, *device),
        Kind::BlockDevice(device) => node(SFlag::S_IFBLK, *device),
        Kind::File { .. } | Kind::Directory { .. } => Err(Errno::EINVAL),
    }
}

/// Whether the entry is there and is, but for metadata, what it shall be.
fn stands_there(directory: &Directory, entry: &Entry) -> bool {
    let Ok(stat) = stat_at(directory, &entry.name) else { return false };
    let shared = stat.links > 1 && entry.metadata.link.is_none();
    if shared || stat.kind != type_of(&entry.kind) {
        return false;
    }
    match &entry.kind {
        Kind::File { size, .. } => stat.size == *size && stat.mtime == entry.metadata.mtime,
        Kind::Symlink { target } => read_link_at(directory, &entry.name).is_ok_and(|found| found == *target),
        Kind::CharDevice(device) | Kind::BlockDevice(device) => stat.rdev == *device,
        Kind::Fifo | Kind::Socket => true,
        Kind::Directory { .. } => false,
    }
}

fn type_of(kind: &Kind) -> FileType {
    match kind {
        Kind::File { .. } => FileType::File,
        Kind::Directory { .. } => FileType::Directory,
        Kind::Symlink { .. } => FileType::Symlink,
        Kind::Fifo => FileType::Fifo,
        Kind::Socket => FileType::Socket,
        Kind::CharDevice(_) => FileType::CharDevice,
        Kind::BlockDevice(_) => FileType::BlockDevice,
    }
}

fn same_inode(one: (impl AsFd, &[u8]), other: (impl AsFd, &[u8])) -> bool {
    match (stat_at(one.0, one.1), stat_at(other.0, other.1)) {
        (Ok(one), Ok(other)) => one.same_inode(&other),
        _ => false,
    }
}
