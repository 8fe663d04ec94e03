//! Making room for a restored database: what the old one's log holds must never be applied to the new one.

use std::io;
use std::path::Path;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::COMPANIONS;

/// Takes the log and the journal of a database away, provided that nobody has it open. The database itself stays; one that SQLite cannot read is
/// left alone but for them.
///
/// # Errors
/// If another process has it open, or a file cannot be removed.
pub fn retire(path: &Path) -> io::Result<()> {
    let alone = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .and_then(|database| database.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT;"));
    if let Err(rusqlite::Error::SqliteFailure(error, _)) = &alone
        && matches!(error.code, ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    {
        return Err(io::Error::other("a program has it open; stop it, or name its unit with --service"));
    }
    for ending in COMPANIONS {
        let mut name = path.as_os_str().to_owned();
        name.push(String::from_utf8_lossy(ending).as_ref());
        match std::fs::remove_file(&name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
