//! A question to a database that nobody else has open, and whoever asks may lose interest.

use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};

use super::copy::{CopyError, GUARD};

/// Rows of an answer that are read.
const ROWS: usize = 1000;
/// How often it is looked whether somebody still wants the answer.
const LOOK: Duration = Duration::from_millis(100);

/// What a query gives: a line for each row, its values with a `|` between them; `NULL` for nothing, and for what is no text how long it is.
/// The database is not changed. At most 1000 rows are read.
///
/// # Errors
/// If it cannot be opened, does not understand the query, or `unwanted` says that nobody wants the answer any more.
pub fn ask(path: &Path, query: &str, unwanted: &(dyn Fn() -> bool + Sync)) -> Result<Vec<String>, CopyError> {
    let database = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NOFOLLOW)?;
    database.execute_batch(GUARD)?;
    database.execute_batch("PRAGMA query_only = ON;")?;
    Ok(while_wanted(&database, unwanted, || lines(&database, query))??)
}

/// Works with a database until `unwanted` says that nobody wants the result any more.
pub(super) fn while_wanted<R>(
    database: &Connection,
    unwanted: &(dyn Fn() -> bool + Sync),
    work: impl FnOnce() -> R,
) -> Result<R, CopyError> {
    let interrupt = database.get_interrupt_handle();
    let (done, ended) = channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                if unwanted() {
                    interrupt.interrupt();
                }
            }
        });
        let result = work();
        drop(done);
        if unwanted() { Err(CopyError::Unwanted) } else { Ok(result) }
    })
}

fn lines(database: &Connection, query: &str) -> Result<Vec<String>, rusqlite::Error> {
    let mut statement = database.prepare(query)?;
    let columns = statement.column_count();
    let mut rows = statement.query([])?;
    let mut lines = Vec::new();
    while let Some(row) = rows.next()? {
        let values = (0..columns).map(|column| Ok(shown(row.get_ref(column)?))).collect::<Result<Vec<_>, rusqlite::Error>>()?;
        lines.push(values.join("|"));
        if lines.len() >= ROWS {
            break;
        }
    }
    Ok(lines)
}

fn shown(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".into(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
        ValueRef::Blob(bytes) => format!("{} bytes", bytes.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Depth, check};
    use super::*;

    fn database(folder: &Path) -> std::path::PathBuf {
        let path = folder.join("app.db");
        let database = Connection::open(&path).unwrap();
        database.execute_batch("create table t (a, b); insert into t values (1, 'x'), (2.5, null), (3, x'0102');").unwrap();
        path
    }

    #[test]
    fn an_answer_has_a_line_for_each_row() {
        let folder = tempfile::tempdir().unwrap();
        let path = database(folder.path());
        assert_eq!(ask(&path, "select * from t", &|| false).unwrap(), ["1|x", "2.5|NULL", "3|2 bytes"]);
        assert_eq!(ask(&path, "select count(*) > 2 from t", &|| false).unwrap(), ["1"]);
    }

    #[test]
    fn a_question_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = database(folder.path());
        assert!(ask(&path, "delete from t", &|| false).unwrap_err().to_string().contains("readonly"));
        assert!(ask(&path, "select * from missing", &|| false).unwrap_err().to_string().contains("no such table"));
        assert!(ask(&folder.path().join("new.db"), "select 1", &|| false).is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_query_without_end_is_given_up_when_nobody_wants_it() {
        let folder = tempfile::tempdir().unwrap();
        let endless = "with recursive n(x) as (select 1 union all select x + 1 from n) select count(*) from n";
        let path = database(folder.path());
        assert!(matches!(ask(&path, endless, &|| true), Err(CopyError::Unwanted)));
        assert!(matches!(check(&path, Depth::Full, &|| true), Err(CopyError::Unwanted)));
    }
}
