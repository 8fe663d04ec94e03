//! SQLite: a consistent copy of a database that is in use, in the place of its files in the snapshot.
//!
//! ```text
//!   app.db, app.db-wal --> version: as at the last run? --> nothing to do
//!                      --> online backup (https://sqlite.org/backup.html) --> scratch copy --> integrity_check --> read as app.db
//! ```
//!
//! `-wal`, `-shm` and `-journal` belong to the live database and are left out: the copy holds what they held.

mod copy;
mod inodes;
mod query;
mod retire;
mod version;

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::source::metadata::{self, FileType, Stat};
use inodes::Inodes;

pub use copy::{Copied, CopyError, check};
pub use inodes::Turn;
pub use query::ask;
pub use retire::retire;
pub use version::Version;

/// What every database begins with (<https://sqlite.org/fileformat2.html>).
pub const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Bytes of the header.
const HEADER: usize = 100;
/// What is appended to a database's name for the files that belong to it.
const COMPANIONS: [&[u8]; 3] = [b"-wal", b"-shm", b"-journal"];

/// How thoroughly a copy is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Depth {
    /// `PRAGMA integrity_check`.
    #[default]
    Full,
    /// `PRAGMA quick_check`: does not compare indexes with their tables.
    Quick,
    /// Not at all.
    Off,
}

/// What became of a database in a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Its path.
    pub path: String,
    /// What was found.
    #[serde(flatten)]
    pub integrity: Integrity,
}

/// Whether a copy is sound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "integrity", rename_all = "camelCase")]
pub enum Integrity {
    /// It is.
    Ok,
    /// It is as it was at the last run; no copy was made.
    Unchanged,
    /// It was not looked at.
    NotChecked,
    /// It is not.
    Failed {
        /// What SQLite says of it, the first lines.
        findings: Vec<String>,
    },
    /// No copy could be made.
    NotCopied {
        /// Why.
        why: String,
    },
}

/// Which files are databases.
#[derive(Debug)]
pub struct Databases {
    /// Absolute paths of files that are databases.
    named: BTreeSet<Vec<u8>>,
    /// Whether others are found by their header.
    discover: bool,
    depth: Depth,
    checked: Mutex<Vec<Checked>>,
    inodes: Inodes,
}

impl Databases {
    /// Databases at `named` paths, and with `discover` all others.
    pub fn new(named: &[PathBuf], discover: bool, depth: Depth) -> Self {
        let named = named.iter().map(|path| path.as_os_str().as_bytes().to_vec()).collect();
        Self { named, discover, depth, checked: Mutex::default(), inodes: Inodes::default() }
    }

    /// Whether a file is to be saved as a database. An empty file is none yet.
    pub fn covers(&self, path: &[u8], file: &File) -> bool {
        (self.discover || self.named.contains(path)) && begins_like_one(file)
    }

    /// Whether a path was named as one of a database; it is only asked for if any was.
    pub fn is_named(&self, path: impl FnOnce() -> Vec<u8>) -> bool {
        !self.named.is_empty() && self.named.contains(&path())
    }

    /// Whether others than the named ones are looked for.
    pub fn discovers(&self) -> bool {
        self.discover
    }

    /// Whether a file belongs to a database beside it, whose copy holds what it holds. `path_of` gives the path of a name in `dir`.
    pub fn is_companion(&self, dir: BorrowedFd<'_>, name: &[u8], path_of: impl Fn(&[u8]) -> Vec<u8>) -> bool {
        let bases = COMPANIONS.iter().filter_map(|ending| name.strip_suffix(*ending));
        bases.into_iter().any(|base| (self.discover || self.is_named(|| path_of(base))) && self.is_database(dir, base))
    }

    fn is_database(&self, dir: BorrowedFd<'_>, name: &[u8]) -> bool {
        let Ok(stat) = metadata::stat_at(dir, name) else { return false };
        if stat.kind != FileType::File || stat.size < HEADER as u64 {
            return false;
        }
        let look = || open_beside(dir, name, b"").ok().flatten().filter(begins_like_one);
        self.inodes.is_database((stat.device, stat.inode), look)
    }

    /// Waits until nobody else copies the database of this status.
    pub fn turn(&self, stat: &Stat) -> Turn<'_> {
        self.inodes.turn((stat.device, stat.inode))
    }

    /// Remembers what became of a database.
    pub fn note(&self, path: String, integrity: Integrity) {
        self.list().push(Checked { path, integrity });
    }

    /// What became of the databases so far, by path.
    pub fn checked(&self) -> Vec<Checked> {
        let mut checked = self.list().clone();
        checked.sort_by(|a, b| a.path.cmp(&b.path));
        checked
    }

    fn list(&self) -> MutexGuard<'_, Vec<Checked>> {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn begins_like_one(file: &File) -> bool {
    let mut header = [0; HEADER];
    file.read_exact_at(&mut header, 0).is_ok() && header.starts_with(MAGIC)
}

/// The path of a name in an open directory, without symbolic links: SQLite opens by path, and shall refuse if somebody puts a link in its way.
fn path_in(dir: BorrowedFd<'_>, name: &[u8]) -> PathBuf {
    let own = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd()));
    std::fs::read_link(&own).unwrap_or(own).join(std::ffi::OsStr::from_bytes(name))
}

/// A regular file in an open directory, by a name and an ending; `None` if there is no such thing.
fn open_beside(dir: BorrowedFd<'_>, name: &[u8], ending: &[u8]) -> io::Result<Option<File>> {
    let name = [name, ending].concat();
    match metadata::stat_at(dir, &name) {
        Ok(stat) if stat.kind == FileType::File => {}
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    match metadata::open_file_at(dir, &name) {
        Ok(file) => Ok(Some(File::from(file))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
