//! SQLite: a consistent copy of a database that is in use, in the place of its files in the snapshot.
//!
//! ```text
//!   app.db, app.db-wal --> version: as at the last run? --> nothing to do
//!                      --> online backup (https://sqlite.org/backup.html) --> scratch copy --> integrity_check --> read as app.db
//! ```
//!
//! `-wal`, `-shm` and `-journal` belong to the live database and are left out: the copy holds what they held.

mod copy;
mod retire;
mod version;

use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

pub use copy::{Copied, CopyError, check};
pub use retire::retire;
pub use version::Version;

/// What every database begins with (<https://sqlite.org/fileformat2.html>).
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
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
    held: Mutex<Vec<File>>,
}

impl Databases {
    /// Databases at `named` paths, and with `discover` all others.
    pub fn new(named: &[PathBuf], discover: bool, depth: Depth) -> Self {
        let named = named.iter().map(|path| path.as_os_str().as_bytes().to_vec()).collect();
        Self { named, discover, depth, checked: Mutex::default(), held: Mutex::default() }
    }

    /// Whether a file is to be saved as a database. An empty file is none yet.
    pub fn covers(&self, path: &[u8], file: &File) -> bool {
        (self.discover || self.named.contains(path)) && begins_like_one(file)
    }

    /// Whether a path was named as one of a database.
    pub fn is_named(&self, path: &[u8]) -> bool {
        self.named.contains(path)
    }

    /// Whether a file belongs to a database beside it, whose copy holds what it holds.
    pub fn is_companion(&self, dir: BorrowedFd<'_>, path: &[u8], name: &[u8]) -> bool {
        COMPANIONS.iter().any(|ending| {
            let (Some(base), Some(base_path)) = (name.strip_suffix(*ending), path.strip_suffix(*ending)) else { return false };
            if self.named.contains(base_path) {
                return true;
            }
            self.discover && (open_beside(dir, name, b"").is_some_and(|file| begins_like_companion(&file)) || self.is_database(dir, base))
        })
    }

    /// Whether there is a database of that name. Its file stays open for as long as the run: to close it would take away the locks of a
    /// copy that is being made (fcntl(2), `F_SETLK`).
    fn is_database(&self, dir: BorrowedFd<'_>, name: &[u8]) -> bool {
        let Some(file) = open_beside(dir, name, b"") else { return false };
        let found = begins_like_one(&file);
        self.held.lock().unwrap_or_else(PoisonError::into_inner).push(file);
        found
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
    let mut magic = [0; MAGIC.len()];
    file.read_exact_at(&mut magic, 0).is_ok() && &magic == MAGIC
}

/// Whether a file begins as a log, the index of a log, or a journal does.
fn begins_like_companion(file: &File) -> bool {
    let mut start = [0; 8];
    let read = file.read_at(&mut start, 0).unwrap_or(0);
    let known: [&[u8]; 5] = [
        &[0x37, 0x7f, 0x06, 0x82],
        &[0x37, 0x7f, 0x06, 0x83],
        &[0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7],
        &[0x18, 0xe2, 0x2d, 0x00],
        &[0x00, 0x2d, 0xe2, 0x18],
    ];
    known.iter().any(|magic| start.get(..read).unwrap_or_default().starts_with(magic))
}

/// The path of a name in an open directory, without symbolic links: SQLite opens by path, and shall refuse if somebody puts a link in its way.
fn path_in(dir: BorrowedFd<'_>, name: &[u8]) -> PathBuf {
    let own = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd()));
    std::fs::read_link(&own).unwrap_or(own).join(std::ffi::OsStr::from_bytes(name))
}

/// A regular file in an open directory, by a name and an ending.
fn open_beside(dir: BorrowedFd<'_>, name: &[u8], ending: &[u8]) -> Option<File> {
    let file = crate::source::metadata::open_file_at(dir, &[name, ending].concat()).ok().map(File::from)?;
    file.metadata().ok().filter(std::fs::Metadata::is_file).map(|_| file)
}

#[cfg(test)]
mod tests;
