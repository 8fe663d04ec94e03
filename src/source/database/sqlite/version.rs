//! Whether a database is as it was: its own status does not tell, as what was written last may stand in its log.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use super::{HEADER, open_beside};
use crate::model::entry::Timestamp;

/// A number that changes with the content of a database and of its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// The number.
    pub number: u64,
    /// When the database or its log was last written.
    pub modified: Timestamp,
}

impl Version {
    /// The version of the database `name` in `dir`, which is open as `file`: its change counter, and the status and header of its log
    /// or journal.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn of(dir: BorrowedFd<'_>, name: &[u8], file: &File) -> io::Result<Self> {
        let mut hasher = blake3::Hasher::new();
        // It holds the change counter, which grows with every transaction outside of a log.
        let mut header = [0; HEADER];
        file.read_exact_at(&mut header, 0)?;
        hasher.update(&header);
        let status = file.metadata()?;
        let mut modified = modified_at(&status);
        for ending in [b"-wal".as_slice(), b"-journal"] {
            hasher.update(ending);
            let Some(log) = open_beside(dir, name, ending)? else { continue };
            let status = log.metadata()?;
            // An empty log is none: it comes and goes with those who look.
            if status.size() == 0 {
                continue;
            }
            // Not its ctime: SQLite sets the owner of a log whenever root opens it.
            let numbers = [status.mtime(), status.mtime_nsec()];
            numbers.iter().for_each(|number| {
                hasher.update(&number.to_le_bytes());
            });
            hasher.update(&status.size().to_le_bytes());
            modified = modified.max(modified_at(&status));
            // The salt in a log's header changes when it begins anew.
            let mut start = [0; 32];
            let read = log.read_at(&mut start, 0)?;
            hasher.update(start.get(..read).unwrap_or_default());
        }
        let hash = *hasher.finalize().as_bytes().first_chunk::<8>().unwrap_or(&[0; 8]);
        Ok(Self { number: u64::from_le_bytes(hash), modified })
    }
}

fn modified_at(status: &Metadata) -> Timestamp {
    Timestamp { seconds: status.mtime(), nanoseconds: u32::try_from(status.mtime_nsec()).unwrap_or(0) }
}
