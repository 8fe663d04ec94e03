//! Making room for a restored database: what the old one's log holds must never be applied to the new one.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::COMPANIONS;

/// Takes the log and the journal of a database away, provided that nobody has it open. The database itself stays; one that SQLite cannot read is
/// left alone but for them.
///
/// # Errors
/// If another process has it open, or a file cannot be removed.
pub fn retire(path: &Path) -> io::Result<()> {
    refuse_user(path)?;
    let alone = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NOFOLLOW)
        .and_then(|database| database.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT;"));
    if let Err(rusqlite::Error::SqliteFailure(error, _)) = &alone
        && matches!(error.code, ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    {
        return Err(io::Error::other("a program has it open; stop it, or name its unit with --service"));
    }
    // Somebody may have come meanwhile.
    refuse_user(path)?;
    for name in companions(path) {
        match fs::remove_file(&name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// The files that belong to a database.
fn companions(path: &Path) -> impl Iterator<Item = PathBuf> {
    COMPANIONS.iter().map(|ending| {
        let mut name = path.as_os_str().to_owned();
        name.push(std::ffi::OsStr::from_bytes(ending));
        name.into()
    })
}

/// A database without a log is locked only while it is read or written, so that locks do not tell whether a program has it open. The list of
/// each process's open files does, as far as it is ours to read: for root all are.
fn refuse_user(path: &Path) -> io::Result<()> {
    let inode = |path: &Path| fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()));
    let ours: Vec<_> = std::iter::once(path.to_owned()).chain(companions(path)).filter_map(|path| inode(&path)).collect();
    let processes = fs::read_dir("/proc")?.flatten();
    let pids = processes.filter_map(|process| process.file_name().to_str()?.parse::<u32>().ok()).filter(|pid| *pid != std::process::id());
    for pid in pids {
        // What has ended, or is not ours to look at, is passed over.
        let Ok(mut open) = fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        if open.any(|file| file.is_ok_and(|file| inode(&file.path()).is_some_and(|inode| ours.contains(&inode)))) {
            let program = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            let why = format!("a program has it open, `{}` (process {pid}); stop it, or name its unit with --service", program.trim_end());
            return Err(io::Error::other(why));
        }
    }
    Ok(())
}
