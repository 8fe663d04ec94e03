//! A copy of a database at one moment, made by SQLite itself.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::statvfs::{FsFlags, fstatvfs, statvfs};
use nix::unistd::{AccessFlags, faccessat};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags, ffi};

use super::query::while_wanted;
use super::{Databases, Depth, HEADER, Integrity, Version, open_beside, path_in};
use crate::source::metadata::{self, Stat};

/// Pages that are copied at once; between two steps writers get in.
const STEP: i32 = 4096;
/// How long to wait for a database that is locked.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long to leave it alone meanwhile.
const PAUSE: Duration = Duration::from_millis(20);
/// So often a copy begins anew because of writers; then they have to wait.
const RESTARTS: u32 = 3;
/// How live databases are opened.
const READ_ONLY: OpenFlags = OpenFlags::SQLITE_OPEN_READ_ONLY.union(OpenFlags::SQLITE_OPEN_NO_MUTEX).union(OpenFlags::SQLITE_OPEN_NOFOLLOW);
/// What is set before a file is looked at that anybody may have made (<https://sqlite.org/security.html>).
pub(super) const GUARD: &str = "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0;";
/// Lines of what a check finds that are kept.
const FINDINGS: u32 = 20;

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// SQLite's reason.
    #[error("SQLite: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// It stayed locked.
    #[error("it was locked, or written to, for {} seconds", PATIENCE.as_secs())]
    Locked,
    /// A file could not be used.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: String,
        /// The system's reason.
        source: io::Error,
    },
    /// Nobody wants it any more.
    #[error("stopped on request")]
    Unwanted,
}

impl CopyError {
    /// Whether a program died in the middle of a transaction, which only somebody who may write can take back; or nobody may write here, as
    /// in a read-only snapshot of Btrfs.
    fn needs_recovery(&self) -> bool {
        let Self::Sqlite(rusqlite::Error::SqliteFailure(error, _)) = self else { return false };
        if error.code == rusqlite::ErrorCode::CannotOpen {
            return true;
        }
        [ffi::SQLITE_READONLY_ROLLBACK, ffi::SQLITE_READONLY_RECOVERY, ffi::SQLITE_READONLY_CANTINIT].contains(&error.extended_code)
    }
}

/// A copy, until it is dropped.
#[derive(Debug)]
pub struct Copied {
    /// The copy, open for reading.
    pub file: File,
    /// Whether it is sound.
    pub integrity: Integrity,
    _folder: tempfile::TempDir,
}

impl Databases {
    /// Copies the database `name` of `dir`, which is open as `file`, to a directory below `scratch`, and checks the copy.
    ///
    /// # Errors
    /// If SQLite cannot read it, it stays locked, or there is no room for the copy.
    pub fn copy(
        &self,
        dir: BorrowedFd<'_>,
        name: &[u8],
        file: &File,
        scratch: &Path,
        wanted: &dyn Fn() -> bool,
    ) -> Result<Copied, CopyError> {
        let folder = private(scratch)?;
        let target = folder.path().join("copy.db");
        make_sure_of_room(dir, name, scratch)?;
        if is_closed(dir, name) {
            copy_closed(dir, name, file, folder.path(), &target, wanted)?;
        } else if !copy_quiet(dir, name, file, &target, wanted)? {
            let begun = Instant::now();
            loop {
                match copy_live(dir, name, &target, wanted) {
                    Err(error) if error.needs_recovery() => {}
                    result => break result?,
                }
                // It looks so for a moment, too, when somebody begins to write just now: then the files change while they are copied.
                match copy_left(dir, name, file, folder.path(), &target, wanted) {
                    Err(CopyError::Locked) if begun.elapsed() < PATIENCE && wanted() => std::thread::sleep(PAUSE),
                    result => break result?,
                }
            }
        }
        let integrity = check(&target, self.depth, &|| false)?;
        let file = File::open(&target).map_err(|error| failed(&target, error))?;
        Ok(Copied { file, integrity, _folder: folder })
    }
}

/// A directory that is removed with all it holds when it is dropped.
fn private(scratch: &Path) -> Result<tempfile::TempDir, CopyError> {
    let made = std::fs::create_dir_all(scratch).and_then(|()| tempfile::Builder::new().prefix("sqlite-").tempdir_in(scratch));
    made.map_err(|error| failed(scratch, error))
}

/// In a filesystem that nobody writes to, files copied one after the other belong together. SQLite wants to write beside
/// a database that has a log, so it is given a place where it can.
pub(super) fn copy_frozen(
    dir: BorrowedFd<'_>,
    name: &[u8],
    folder: &Path,
    target: &Path,
    wanted: &dyn Fn() -> bool,
) -> Result<(), CopyError> {
    let place = folder.join("frozen.db");
    for ending in ["", "-wal", "-journal"] {
        let to = folder.join(format!("frozen.db{ending}"));
        let found = open_beside(dir, name, ending.as_bytes()).map_err(|error| failed(&to, error))?;
        let Some(mut from) = found else {
            // Of an earlier attempt.
            let _ = std::fs::remove_file(&to);
            continue;
        };
        let copied = File::create(&to).and_then(|mut file| io::copy(&mut from, &mut file));
        copied.map_err(|error| failed(&to, error))?;
    }
    online(&Connection::open_with_flags(&place, OpenFlags::SQLITE_OPEN_READ_WRITE)?, target, wanted)
}

/// Whether we may not write beside a database: in a snapshot, through a read-only mount, or as somebody who lacks the right.
fn is_closed(dir: BorrowedFd<'_>, name: &[u8]) -> bool {
    let read_only = fstatvfs(dir).is_ok_and(|status| status.flags().contains(FsFlags::ST_RDONLY));
    let lock = CString::new([name, b"-shm".as_slice()].concat()).unwrap_or_default();
    let refused = faccessat(dir, lock.as_c_str(), AccessFlags::W_OK, AtFlags::AT_EACCESS);
    read_only || refused == Err(Errno::EACCES)
}

/// Copies a database beside which we may not write. There SQLite cannot note which state it reads, and reads the latest that others have noted:
/// perhaps one transaction too few. So files that hold still are taken as they are; among those that do not, a transaction is soon
/// followed by the next.
fn copy_closed(
    dir: BorrowedFd<'_>,
    name: &[u8],
    file: &File,
    folder: &Path,
    target: &Path,
    wanted: &dyn Fn() -> bool,
) -> Result<(), CopyError> {
    let begun = Instant::now();
    loop {
        match copy_left(dir, name, file, folder, target, wanted) {
            Err(CopyError::Locked) => {}
            result => return result,
        }
        let _ = std::fs::remove_file(target);
        match copy_live(dir, name, target, wanted) {
            Err(error) if error.needs_recovery() && begun.elapsed() < PATIENCE && wanted() => std::thread::sleep(PAUSE),
            result => return result,
        }
    }
}

fn failed(path: &Path, source: io::Error) -> CopyError {
    CopyError::File { path: path.display().to_string(), source }
}

/// Whether there is a log or a journal: then somebody writes, or died while writing.
fn is_busy(dir: BorrowedFd<'_>, name: &[u8]) -> bool {
    let absent =
        |ending: &[u8]| metadata::stat_at(dir, &[name, ending].concat()).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    !absent(b"-wal") || !absent(b"-journal")
}

/// Whether a copy fits beside all that is there. A file with a large hole costs its owner nothing, and its copy would fill the disk.
fn make_sure_of_room(dir: BorrowedFd<'_>, name: &[u8], scratch: &Path) -> Result<(), CopyError> {
    let size = |ending: &[u8]| metadata::stat_at(dir, &[name, ending].concat()).map_or(0, |stat| stat.size);
    // The files as they lie, and the copy that is made of them.
    let needed = size(b"").saturating_mul(2).saturating_add(size(b"-wal").saturating_mul(2)).saturating_add(size(b"-journal"));
    let status = statvfs(scratch).map_err(|error| failed(scratch, error.into()))?;
    let room = status.blocks_available().saturating_mul(status.fragment_size());
    if needed > room {
        let why = format!("a copy may need {needed} bytes and there are {room}; give the state directory more room");
        return Err(failed(scratch, io::Error::new(io::ErrorKind::StorageFull, why)));
    }
    Ok(())
}

/// What tells whether a database was written to: its status and its change counter.
type State = (Stat, [u8; HEADER]);

fn state(file: &File) -> io::Result<State> {
    let mut header = [0; HEADER];
    file.read_exact_at(&mut header, 0)?;
    Ok((metadata::stat_fd(file.as_fd())?, header))
}

fn same(before: &State, now: &State) -> bool {
    before.1 == now.1 && (before.0.size, before.0.mtime, before.0.ctime) == (now.0.size, now.0.mtime, now.0.ctime)
}

/// Copies a database that nobody has open, without making a log and a lock file beside it as SQLite does when it opens one. False if somebody
/// came meanwhile.
fn copy_quiet(dir: BorrowedFd<'_>, name: &[u8], file: &File, target: &Path, wanted: &dyn Fn() -> bool) -> Result<bool, CopyError> {
    if is_busy(dir, name) {
        return Ok(false);
    }
    let read = |file| state(file).map_err(|error| failed(&path_in(dir, name), error));
    let before = read(file)?;
    let path = path_in(dir, name);
    let escaped: String = path.as_os_str().as_encoded_bytes().iter().map(|byte| escape(*byte)).collect();
    let flags = READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let copied = Connection::open_with_flags(format!("file:{escaped}?immutable=1"), flags)
        .map_err(CopyError::from)
        .and_then(|source| online(&source, target, wanted));
    if !same(&before, &read(file)?) || is_busy(dir, name) {
        let _ = std::fs::remove_file(target);
        return Ok(false);
    }
    copied.map(|()| true)
}

fn copy_live(dir: BorrowedFd<'_>, name: &[u8], target: &Path, wanted: &dyn Fn() -> bool) -> Result<(), CopyError> {
    online(&Connection::open_with_flags(path_in(dir, name), READ_ONLY)?, target, wanted)
}

/// Copies what a program left that died in the middle of a transaction, without taking that back in the live database: that is for the
/// program to do.
fn copy_left(
    dir: BorrowedFd<'_>,
    name: &[u8],
    file: &File,
    folder: &Path,
    target: &Path,
    wanted: &dyn Fn() -> bool,
) -> Result<(), CopyError> {
    let look = || -> io::Result<(State, Version)> { Ok((state(file)?, Version::of(dir, name, file)?)) };
    let read = || look().map_err(|error| failed(&path_in(dir, name), error));
    let mut result = Ok(());
    for _ in 0..=RESTARTS {
        let before = read()?;
        let _ = std::fs::remove_file(target);
        // A copy of two moments may not open at all.
        result = copy_frozen(dir, name, folder, target, wanted);
        let now = read()?;
        if same(&before.0, &now.0) && before.1 == now.1 {
            return result;
        }
    }
    result.and(Err(CopyError::Locked))
}

/// A byte of a path in a URI.
fn escape(byte: u8) -> String {
    match byte {
        b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    }
}

/// Copies page by page. Writers to a database with a log are not held up; others get in between two steps, and the copy begins anew.
fn online(source: &Connection, target: &Path, wanted: &dyn Fn() -> bool) -> Result<(), CopyError> {
    source.busy_timeout(PATIENCE)?;
    source.execute_batch(GUARD)?;
    let journal: String = source.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
    let hold = || source.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema;");
    let mut held = journal == "wal";
    if held {
        hold()?;
    }
    let mut copy = Connection::open(target)?;
    copy.execute_batch("PRAGMA synchronous = OFF;")?;
    let backup = Backup::new(source, &mut copy)?;
    let begun = Instant::now();
    let (mut restarts, mut copied) = (0, 0);
    loop {
        if !wanted() {
            return Err(CopyError::Unwanted);
        }
        match backup.step(STEP)? {
            StepResult::Done => return Ok(()),
            StepResult::Busy | StepResult::Locked if begun.elapsed() > PATIENCE => return Err(CopyError::Locked),
            StepResult::Busy | StepResult::Locked => std::thread::sleep(PAUSE),
            _ => {
                let progress = backup.progress();
                let now = progress.pagecount - progress.remaining;
                restarts += u32::from(now <= copied);
                copied = now;
                if restarts >= RESTARTS && !held {
                    hold()?;
                    held = true;
                }
            }
        }
    }
}

/// What SQLite says of a database that nobody else has open.
///
/// # Errors
/// If it cannot be opened, or `unwanted` says that nobody wants to know any more.
pub fn check(path: &Path, depth: Depth, unwanted: &(dyn Fn() -> bool + Sync)) -> Result<Integrity, CopyError> {
    let pragma = match depth {
        Depth::Off => return Ok(Integrity::NotChecked),
        Depth::Quick => "quick_check",
        Depth::Full => "integrity_check",
    };
    let copy = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let look = || -> Result<Vec<String>, rusqlite::Error> {
        copy.execute_batch(GUARD)?;
        let mut statement = copy.prepare(&format!("PRAGMA {pragma}({FINDINGS})"))?;
        statement.query_map([], |row| row.get(0))?.collect()
    };
    Ok(match while_wanted(&copy, unwanted, look)? {
        Ok(said) if said == ["ok"] => Integrity::Ok,
        Ok(findings) => Integrity::Failed { findings },
        Err(error) => Integrity::Failed { findings: vec![error.to_string()] },
    })
}
