//! The metadata of one directory entry, always read relative to an open directory.
//!
//! Nothing here takes a path: paths may be longer than the kernel accepts (`PATH_MAX`), and may change under the walk.
//! Nothing here follows a symbolic link.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::hash::Hash;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat, readlinkat};
use nix::libc::{S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK};
use nix::sys::stat::{FileStat, Mode, fstat, fstatat, major, minor};
use nix::unistd::{Gid, Group, Uid, User, Whence, lseek64};
use xattr::FileExt;

use crate::model::entry::{Device, LinkId, Metadata, Timestamp, Xattr};

#[cfg(test)]
mod tests;

/// What a directory entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileType {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A Unix socket.
    Socket,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
}

impl FileType {
    /// The type in the upper bits of a `st_mode`; an error for a type that Linux does not document.
    fn from_mode(mode: u32) -> io::Result<Self> {
        match mode & S_IFMT {
            S_IFREG => Ok(Self::File),
            S_IFDIR => Ok(Self::Directory),
            S_IFLNK => Ok(Self::Symlink),
            S_IFIFO => Ok(Self::Fifo),
            S_IFSOCK => Ok(Self::Socket),
            S_IFCHR => Ok(Self::CharDevice),
            S_IFBLK => Ok(Self::BlockDevice),
            other => Err(io::Error::new(io::ErrorKind::InvalidData, format!("unknown file type {other:#o}"))),
        }
    }
}

/// What the kernel says of an inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub kind: FileType,
    /// Permission bits with setuid, setgid and sticky (`07777`), without the type.
    pub mode: u32,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Length in bytes; of a symbolic link, that of its target.
    pub size: u64,
    /// Last change of the content.
    pub mtime: Timestamp,
    /// Last change of content or metadata; cannot be set by programs.
    pub ctime: Timestamp,
    /// Inode number.
    pub inode: u64,
    /// Filesystem on which the inode lies.
    pub device: u64,
    /// Number of names that the inode has.
    pub links: u64,
    /// What a device node stands for; meaningless for other types.
    pub rdev: Device,
    /// Allocated space in units of 512 bytes.
    pub blocks: u64,
}

impl Stat {
    /// Whether less is allocated than the length asks for, so that looking for holes is worth the system calls.
    pub fn may_have_holes(&self) -> bool {
        self.kind == FileType::File && self.blocks.saturating_mul(512) < self.size
    }

    /// Whether both are the same inode.
    pub fn same_inode(&self, other: &Stat) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }

    fn from_kernel(raw: &FileStat) -> io::Result<Self> {
        Ok(Self {
            kind: FileType::from_mode(raw.st_mode)?,
            mode: raw.st_mode & 0o7777,
            uid: raw.st_uid,
            gid: raw.st_gid,
            size: u64::try_from(raw.st_size).unwrap_or(0),
            mtime: timestamp(raw.st_mtime, raw.st_mtime_nsec),
            ctime: timestamp(raw.st_ctime, raw.st_ctime_nsec),
            inode: raw.st_ino,
            device: raw.st_dev,
            #[allow(clippy::useless_conversion, reason = "32 bits wide on some architectures")]
            links: raw.st_nlink.into(),
            rdev: Device { major: major(raw.st_rdev), minor: minor(raw.st_rdev) },
            blocks: u64::try_from(raw.st_blocks).unwrap_or(0),
        })
    }
}

fn timestamp(seconds: i64, nanoseconds: i64) -> Timestamp {
    Timestamp { seconds, nanoseconds: u32::try_from(nanoseconds).unwrap_or(0) }
}

/// Looks at the entry `name` of `dir`, a symbolic link itself and not its target.
pub fn stat_at(dir: impl AsFd, name: &[u8]) -> io::Result<Stat> {
    Stat::from_kernel(&fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)?)
}

/// Looks at an open file or directory.
pub fn stat_fd(fd: impl AsFd) -> io::Result<Stat> {
    Stat::from_kernel(&fstat(fd)?)
}

/// The raw target of the symbolic link `name` in `dir`.
pub fn read_link_at(dir: impl AsFd, name: &[u8]) -> io::Result<Vec<u8>> {
    Ok(readlinkat(dir, name)?.into_vec())
}

/// Opens `name` in `dir` for reading, refusing a symbolic link. Where the kernel allows it, reading leaves no access
/// time. Never blocks on a FIFO that took the file's place: check the type with [`stat_fd`].
pub fn open_file_at(dir: impl AsFd, name: &[u8]) -> io::Result<OwnedFd> {
    open_quietly(dir.as_fd(), name, OFlag::O_NONBLOCK)
}

/// Opens the directory `name` in `dir` for listing, refusing a symbolic link.
pub fn open_dir_at(dir: impl AsFd, name: &[u8]) -> io::Result<OwnedFd> {
    open_quietly(dir.as_fd(), name, OFlag::O_DIRECTORY)
}

/// Opens a directory by its absolute path for listing, refusing a symbolic link in the place of the last name.
pub fn open_dir(path: &Path) -> io::Result<OwnedFd> {
    open_quietly(AT_FDCWD, path.as_os_str().as_bytes(), OFlag::O_DIRECTORY)
}

/// A descriptor that stands for a directory which is nowhere: nothing is found in it.
pub fn open_nothing() -> io::Result<OwnedFd> {
    Ok(openat(AT_FDCWD, c"/dev/null", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?)
}

/// `O_NOATIME` is for owners and root only; others read without it.
fn open_quietly(dir: BorrowedFd<'_>, name: &[u8], extra: OFlag) -> io::Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | extra;
    match openat(dir, name, flags | OFlag::O_NOATIME, Mode::empty()) {
        Err(Errno::EPERM) => Ok(openat(dir, name, flags, Mode::empty())?),
        opened => Ok(opened?),
    }
}

/// Lends a descriptor to the `xattr` crate, which knows only `File`.
pub(crate) struct Attributes<'fd>(pub(crate) BorrowedFd<'fd>);

impl AsRawFd for Attributes<'_> {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl FileExt for Attributes<'_> {}

/// Extended attributes of an open file or directory, sorted by name. None where the filesystem has none.
pub fn xattrs_fd(fd: impl AsFd) -> io::Result<Vec<Xattr>> {
    let file = Attributes(fd.as_fd());
    collect_xattrs(file.list_xattr(), |name| file.get_xattr(name))
}

/// Extended attributes of the entry `name` of `dir` that cannot be opened: a symbolic link itself, a FIFO, a socket, a
/// device. Needs `/proc`, because Linux before 6.13 has no call that takes a directory and a name.
pub fn xattrs_at(dir: impl AsFd, name: &[u8]) -> io::Result<Vec<Xattr>> {
    let path = proc_path(dir.as_fd(), name);
    collect_xattrs(xattr::list(&path), |attribute| xattr::get(&path, attribute))
}

/// A path that leads through the open directory itself, whatever its real path has become or how long it is.
pub(crate) fn proc_path(dir: BorrowedFd<'_>, name: &[u8]) -> PathBuf {
    let mut path = format!("/proc/self/fd/{}/", dir.as_raw_fd()).into_bytes();
    path.extend_from_slice(name);
    PathBuf::from(OsStr::from_bytes(&path))
}

fn collect_xattrs(names: io::Result<xattr::XAttrs>, get: impl Fn(&OsStr) -> io::Result<Option<Vec<u8>>>) -> io::Result<Vec<Xattr>> {
    let names = match names {
        Err(error) if is_unsupported(&error) => return Ok(Vec::new()),
        names => names?,
    };
    let mut found = Vec::new();
    for name in names {
        // An attribute without a value was removed after it was listed.
        if let Some(value) = get(&name)? {
            found.push(Xattr { name: name.into_vec(), value });
        }
    }
    found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn is_unsupported(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::EOPNOTSUPP as i32)
}

/// The next run of data at or after `offset` in a file of `size` bytes; `None` if only a hole is left. A filesystem that
/// knows no holes is all data. Moves the file's position: read with `read_at`.
pub fn next_data(fd: impl AsFd, offset: u64, size: u64) -> Option<Range<u64>> {
    if offset >= size {
        return None;
    }
    let start = match seek(&fd, offset, Whence::SeekData) {
        Ok(start) => start.max(offset),
        Err(Errno::ENXIO) => return None,
        Err(_) => return Some(offset..size),
    };
    let end = seek(&fd, start, Whence::SeekHole).unwrap_or(size).min(size);
    (start < end).then_some(start..end)
}

fn seek(fd: impl AsFd, offset: u64, whence: Whence) -> Result<u64, Errno> {
    let offset = i64::try_from(offset).map_err(|_| Errno::EOVERFLOW)?;
    u64::try_from(lseek64(fd, offset, whence)?).map_err(|_| Errno::EOVERFLOW)
}

/// The metadata that a tree stores of an inode.
pub fn metadata(stat: &Stat, xattrs: Vec<Xattr>, owners: &Owners, link: Option<LinkId>) -> Metadata {
    Metadata {
        mode: stat.mode,
        uid: stat.uid,
        gid: stat.gid,
        user: owners.user(stat.uid),
        group: owners.group(stat.gid),
        mtime: stat.mtime,
        xattrs,
        link,
    }
}

/// Names of users and groups on this host, each looked up once. Shared between threads.
#[derive(Debug, Default)]
pub struct Owners {
    users: Cache<u32, Option<String>>,
    groups: Cache<u32, Option<String>>,
    uids: Cache<String, Option<u32>>,
    gids: Cache<String, Option<u32>>,
}

impl Owners {
    /// Name of the user `uid`. `None` if it has none, or if the host's user database cannot be asked: a backup does
    /// not fail because a directory server is down, the number is stored in any case.
    pub fn user(&self, uid: u32) -> Option<String> {
        self.users.get(&uid, |&uid| User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name))
    }

    /// Name of the group `gid`, like [`Owners::user`].
    pub fn group(&self, gid: u32) -> Option<String> {
        self.groups.get(&gid, |&gid| Group::from_gid(Gid::from_raw(gid)).ok().flatten().map(|group| group.name))
    }

    /// Number that the user `name` has on this host.
    pub fn uid(&self, name: &str) -> Option<u32> {
        self.uids.get(name, |name| User::from_name(name).ok().flatten().map(|user| user.uid.as_raw()))
    }

    /// Number that the group `name` has on this host.
    pub fn gid(&self, name: &str) -> Option<u32> {
        self.gids.get(name, |name| Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw()))
    }
}

/// Remembers what a lookup gave.
#[derive(Debug)]
struct Cache<K, V>(RwLock<HashMap<K, V>>);

impl<K, V> Default for Cache<K, V> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<K: Eq + Hash, V: Clone> Cache<K, V> {
    fn get<Q>(&self, key: &Q, look_up: impl FnOnce(&Q) -> V) -> V
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        if let Some(known) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(key) {
            return known.clone();
        }
        let value = look_up(key);
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned(), value.clone());
        value
    }
}
