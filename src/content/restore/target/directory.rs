//! The directories of a target: numbered when they are made, opened when they are used.
//!
//! Only so many are open at a time. A closed one is opened again from the nearest open ancestor, one name at a time and
//! never through a symbolic link, and must then be the same inode as before. So neither the depth of a tree nor a link
//! that someone swaps in leads anywhere else.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::sys::stat::{FchmodatFlags, Mode, fchmod, fchmodat};

use super::error::TargetError;
use crate::source::metadata::{Attributes, FileType, Stat, open_dir_at, stat_at, stat_fd};

/// What the owner needs in order to fill a directory.
const OWNER_ALL: u32 = 0o700;

/// A directory of a [`super::Target`], valid for that target only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DirId(u32);

impl DirId {
    /// The target itself.
    pub const ROOT: DirId = DirId(0);
}

/// An open directory.
#[derive(Debug)]
pub(super) struct Directory {
    fd: OwnedFd,
    /// Made by this restore, so that nothing stands in it that we have not put there.
    pub(super) fresh: bool,
    /// A default access control list may rub off on what is created here.
    pub(super) inherits: bool,
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A directory just opened for the first time.
pub(super) struct Opened {
    fd: OwnedFd,
    stat: Stat,
    narrow: Option<u32>,
}

/// Opens the directory `name` and gives its owner, us, the right to fill it.
pub(super) fn open_to_fill(parent: impl AsFd, name: &[u8]) -> io::Result<Opened> {
    let mut narrow = None;
    let fd = match open_dir_at(&parent, name) {
        Err(error) if error.raw_os_error() == Some(Errno::EACCES as i32) => {
            narrow = Some(widen_unopened(parent.as_fd(), name)?);
            open_dir_at(&parent, name)?
        }
        opened => opened?,
    };
    Opened::new(fd, narrow)
}

/// Makes a directory accessible that its owner may not even open. Returns its former mode.
fn widen_unopened(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<u32> {
    let stat = stat_at(parent, name)?;
    if stat.kind != FileType::Directory {
        return Err(Errno::ENOTDIR.into());
    }
    let mode = Mode::from_bits_truncate(stat.mode | OWNER_ALL);
    fchmodat(parent, name, mode, FchmodatFlags::NoFollowSymlink)?;
    Ok(stat.mode)
}

impl Opened {
    fn new(fd: OwnedFd, mut narrow: Option<u32>) -> io::Result<Self> {
        let stat = stat_fd(&fd)?;
        let lacking = stat.mode & OWNER_ALL != OWNER_ALL;
        // Who may not change the mode may still be allowed to write; if not, writing says so.
        if lacking && fchmod(&fd, Mode::from_bits_truncate(stat.mode | OWNER_ALL)).is_ok() {
            narrow = narrow.or(Some(stat.mode));
        }
        Ok(Self { fd, stat, narrow })
    }

    fn has_default_acl(&self) -> bool {
        use xattr::FileExt;
        matches!(Attributes(self.fd.as_fd()).get_xattr("system.posix_acl_default"), Ok(Some(_)))
    }
}

impl AsFd for Opened {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// What is remembered of every directory.
#[derive(Debug)]
struct Node {
    parent: DirId,
    name: Box<[u8]>,
    device: u64,
    inode: u64,
    fresh: bool,
    inherits: bool,
    /// The mode to put back if the restore ends without giving this directory another one.
    narrow: Option<u32>,
}

/// All directories of a target.
#[derive(Debug)]
pub(super) struct Directories {
    path: PathBuf,
    root: Arc<Directory>,
    table: Mutex<Table>,
}

#[derive(Debug)]
struct Table {
    nodes: Vec<Node>,
    open: HashMap<DirId, (u64, Arc<Directory>)>,
    capacity: usize,
    clock: u64,
}

impl Directories {
    /// Starts with the target at `path`, and keeps at most `capacity` directories below it open.
    pub(super) fn new(path: &Path, root: OwnedFd, fresh: bool, capacity: usize) -> io::Result<Self> {
        let opened = Opened::new(root, None)?;
        let inherits = opened.has_default_acl();
        let node = node(DirId::ROOT, b"", &opened, fresh, inherits);
        let root = Arc::new(Directory { fd: opened.fd, fresh, inherits });
        let table = Table { nodes: vec![node], open: HashMap::new(), capacity: capacity.max(1), clock: 0 };
        Ok(Self { path: path.to_owned(), root, table: Mutex::new(table) })
    }

    /// Numbers a directory that was just made (`fresh`) or found in `parent`.
    pub(super) fn add(&self, parent: DirId, name: &[u8], opened: Opened, fresh: bool) -> DirId {
        let found_acl = !fresh && opened.has_default_acl();
        let mut table = self.table();
        let inherits = found_acl || fresh && table.nodes[parent.index()].inherits;
        let node = node(parent, name, &opened, fresh, inherits);
        let id = DirId(u32::try_from(table.nodes.len()).unwrap_or(u32::MAX));
        table.nodes.push(node);
        table.remember(id, Arc::new(Directory { fd: opened.fd, fresh, inherits }));
        id
    }

    /// The open directory; opens it again if it was closed.
    pub(super) fn get(&self, id: DirId) -> Result<Arc<Directory>, TargetError> {
        let (mut directory, missing) = self.nearest_open(id);
        for id in missing.into_iter().rev() {
            directory = self.reopen(&directory, id)?;
        }
        Ok(directory)
    }

    /// The nearest open ancestor of `id`, itself included, and what is closed between them, deepest first.
    fn nearest_open(&self, id: DirId) -> (Arc<Directory>, Vec<DirId>) {
        let mut table = self.table();
        let mut missing = Vec::new();
        let mut at = id;
        while at != DirId::ROOT {
            if let Some(open) = table.recall(at) {
                return (open, missing);
            }
            missing.push(at);
            at = table.nodes[at.index()].parent;
        }
        (Arc::clone(&self.root), missing)
    }

    fn reopen(&self, parent: &Directory, id: DirId) -> Result<Arc<Directory>, TargetError> {
        let (name, expected, fresh, inherits) = {
            let table = self.table();
            let node = &table.nodes[id.index()];
            (node.name.clone(), (node.device, node.inode), node.fresh, node.inherits)
        };
        let fd = open_dir_at(parent, &name).map_err(|source| self.reopen_error(id, source))?;
        let stat = stat_fd(&fd).map_err(|source| self.reopen_error(id, source))?;
        if (stat.device, stat.inode) != expected {
            return Err(TargetError::Replaced { path: self.path_of(id) });
        }
        let directory = Arc::new(Directory { fd, fresh, inherits });
        self.table().remember(id, Arc::clone(&directory));
        Ok(directory)
    }

    fn reopen_error(&self, id: DirId, source: io::Error) -> TargetError {
        let path = self.path_of(id);
        match source.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => TargetError::Replaced { path },
            _ => TargetError::System { action: "open", path, source },
        }
    }

    /// The directory has its final metadata: nothing more is to be done to it or in it.
    pub(super) fn settle(&self, id: DirId) {
        let mut table = self.table();
        table.nodes[id.index()].narrow = None;
        table.open.remove(&id);
    }

    /// The path of a directory, for people.
    pub(super) fn path_of(&self, id: DirId) -> String {
        let table = self.table();
        let mut names = Vec::new();
        let mut at = id;
        while at != DirId::ROOT {
            let node = &table.nodes[at.index()];
            names.push(&node.name);
            at = node.parent;
        }
        let mut path = self.path.to_string_lossy().into_owned();
        for name in names.into_iter().rev() {
            path.push('/');
            path.push_str(&String::from_utf8_lossy(name));
        }
        path
    }

    /// The path of an entry of a directory, for people.
    pub(super) fn path_in(&self, parent: DirId, name: &[u8]) -> String {
        format!("{}/{}", self.path_of(parent), String::from_utf8_lossy(name))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn count_open(&self) -> usize {
        self.table().open.len()
    }
}

/// A restore that ends early leaves no directory of the user's wider than it was.
impl Drop for Directories {
    fn drop(&mut self) {
        let narrow: Vec<_> = {
            let table = self.table();
            table.nodes.iter().enumerate().rev().filter_map(|(n, node)| Some((u32::try_from(n).ok()?, node.narrow?))).collect()
        };
        for (number, mode) in narrow {
            if let Ok(directory) = self.get(DirId(number)) {
                let _ = fchmod(&directory.fd, Mode::from_bits_truncate(mode));
            }
        }
    }
}

impl DirId {
    fn index(self) -> usize {
        self.0 as usize
    }
}

fn node(parent: DirId, name: &[u8], opened: &Opened, fresh: bool, inherits: bool) -> Node {
    let Stat { device, inode, .. } = opened.stat;
    Node { parent, name: name.into(), device, inode, fresh, inherits, narrow: opened.narrow.filter(|_| !fresh) }
}

impl Table {
    fn recall(&mut self, id: DirId) -> Option<Arc<Directory>> {
        self.clock += 1;
        let (used, directory) = self.open.get_mut(&id)?;
        *used = self.clock;
        Some(Arc::clone(directory))
    }

    fn remember(&mut self, id: DirId, directory: Arc<Directory>) {
        if self.open.len() >= self.capacity {
            let oldest = self.open.iter().min_by_key(|(_, (used, _))| *used).map(|(id, _)| *id);
            oldest.and_then(|id| self.open.remove(&id));
        }
        self.clock += 1;
        self.open.insert(id, (self.clock, directory));
    }
}
