use std::ffi::OsStr;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rusqlite::Connection;

use super::*;

struct Bench {
    folder: tempfile::TempDir,
    scratch: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), scratch: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A database with a hundred accounts that hold a thousand in all.
    fn database(&self, name: &str, journal: &str) -> Connection {
        let database = Connection::open(self.path(name)).unwrap();
        let set = format!("PRAGMA journal_mode = {journal}; PRAGMA synchronous = OFF;");
        let fill = "CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER);
                    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) INSERT INTO account SELECT i, 10 FROM n;";
        database.execute_batch(&format!("{set}{fill}")).unwrap();
        database
    }

    fn dir(&self) -> File {
        File::open(self.folder.path()).unwrap()
    }

    fn copy(&self, name: &str) -> Result<Copied, CopyError> {
        let (dir, file) = (self.dir(), File::open(self.path(name)).unwrap());
        all().copy(dir.as_fd(), name.as_bytes(), &file, self.scratch.path(), &|| true)
    }

    fn version(&self, name: &str) -> Version {
        Version::of(self.dir().as_fd(), name.as_bytes(), &File::open(self.path(name)).unwrap()).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn all() -> Databases {
    Databases::new(&[], true, Depth::Full)
}

fn ask(copied: &mut Copied, place: &Path, query: &str) -> i64 {
    let file = place.join("asked.db");
    std::io::copy(&mut copied.file, &mut File::create(&file).unwrap()).unwrap();
    Connection::open(file).unwrap().query_row(query, [], |row| row.get(0)).unwrap()
}

#[test]
fn what_only_the_log_holds_is_in_the_copy() {
    let bench = Bench::new();
    let open = bench.database("app.db", "WAL");
    open.execute_batch("UPDATE account SET balance = 20").unwrap();
    let mut copied = bench.copy("app.db").unwrap();
    assert_eq!(copied.integrity, Integrity::Ok);
    assert_eq!(ask(&mut copied, bench.scratch.path(), "SELECT sum(balance) FROM account"), 2000);
}

#[test]
fn a_database_that_nobody_has_open_is_copied_without_a_trace() {
    for journal in ["WAL", "DELETE"] {
        let bench = Bench::new();
        bench.database("odd %?#name.db", journal).close().unwrap();
        let mut copied = bench.copy("odd %?#name.db").unwrap();
        assert_eq!(ask(&mut copied, bench.scratch.path(), "SELECT count(*) FROM account"), 100);
        assert_eq!(bench.names(), ["odd %?#name.db"]);
    }
}

#[test]
fn what_a_killed_program_left_in_a_log_or_a_journal_is_taken_into_account() {
    for (journal, expected) in [("WAL", 2000), ("DELETE", 1000)] {
        let live = Bench::new();
        let open = live.database("app.db", journal);
        open.execute_batch("PRAGMA cache_size = 1; PRAGMA cache_spill = 1; BEGIN; UPDATE account SET balance = 20;").unwrap();
        if journal == "WAL" {
            open.execute_batch("COMMIT").unwrap();
        }
        // As a kill leaves them: the files of a database that is open.
        let bench = Bench::new();
        for name in live.names().iter().filter(|name| !name.ends_with("-shm")) {
            std::fs::copy(live.path(name), bench.path(name)).unwrap();
        }
        assert_eq!(bench.names().len(), 2);
        let mut copied = bench.copy("app.db").unwrap();
        assert_eq!(ask(&mut copied, bench.scratch.path(), "SELECT sum(balance) FROM account"), expected, "{journal}");
    }
}

#[test]
fn a_frozen_database_is_copied_with_its_log_without_writing_beside_it() {
    let live = Bench::new();
    let open = live.database("app.db", "WAL");
    open.execute_batch("UPDATE account SET balance = 20").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("copy.db");
    copy::copy_frozen(live.dir().as_fd(), b"app.db", live.scratch.path(), &target, &|| true).unwrap();
    let sum: i64 = Connection::open(target).unwrap().query_row("SELECT sum(balance) FROM account", [], |row| row.get(0)).unwrap();
    assert_eq!(sum, 2000);
}

#[test]
fn the_version_changes_with_every_transaction_and_not_without() {
    for journal in ["WAL", "DELETE"] {
        let bench = Bench::new();
        let open = bench.database("app.db", journal);
        let first = bench.version("app.db");
        bench.copy("app.db").unwrap();
        let sum: i64 = open.query_row("SELECT sum(balance) FROM account", [], |row| row.get(0)).unwrap();
        assert_eq!((sum, bench.version("app.db")), (1000, first), "a copy and a look change nothing");
        open.execute_batch("UPDATE account SET balance = 11 WHERE id = 1").unwrap();
        assert_ne!(bench.version("app.db"), first, "{journal}");
    }
}

#[test]
fn a_damaged_database_is_told_and_copied_as_it_is() {
    let bench = Bench::new();
    let open = bench.database("app.db", "DELETE");
    open.execute_batch("CREATE INDEX balances ON account (balance, id); PRAGMA writable_schema = ON;").unwrap();
    let page: u32 = open.query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'balances'", [], |row| row.get(0)).unwrap();
    let size: u32 = open.query_row("PRAGMA page_size", [], |row| row.get(0)).unwrap();
    open.close().unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(bench.path("app.db")).unwrap();
    file.write_all_at(&[0; 64], u64::from(page * size - 64)).unwrap();
    let copied = bench.copy("app.db").unwrap();
    assert!(matches!(&copied.integrity, Integrity::Failed { findings } if !findings.is_empty()), "{:?}", copied.integrity);
}

#[test]
fn what_only_begins_like_a_database_cannot_be_copied() {
    let bench = Bench::new();
    std::fs::write(bench.path("app.db"), [MAGIC.as_slice(), &[0xff; 4000]].concat()).unwrap();
    assert!(bench.copy("app.db").unwrap_err().to_string().contains("SQLite"));
}

#[test]
fn a_copy_that_nobody_wants_is_not_made() {
    let bench = Bench::new();
    bench.database("app.db", "DELETE").close().unwrap();
    let (dir, file) = (bench.dir(), File::open(bench.path("app.db")).unwrap());
    let error = all().copy(dir.as_fd(), b"app.db", &file, bench.scratch.path(), &|| false).unwrap_err();
    assert!(matches!(error, CopyError::Unwanted));
    assert_eq!(std::fs::read_dir(bench.scratch.path()).unwrap().count(), 0);
}

#[test]
fn files_that_belong_to_a_database_are_known_and_others_with_such_names_are_not() {
    let bench = Bench::new();
    let _open = bench.database("app.db", "WAL");
    std::fs::write(bench.path("app.db-journal"), b"").unwrap();
    for name in ["notes-wal", "notes", "lost-wal"] {
        std::fs::write(bench.path(name), b"a text").unwrap();
    }
    // As an encrypted database has it: a log that can be told, beside a file that cannot.
    std::fs::copy(bench.path("app.db-wal"), bench.path("notes-wal")).unwrap();
    let path = |name: &[u8]| bench.folder.path().join(OsStr::from_bytes(name)).into_os_string().into_encoded_bytes();
    let belongs = |databases: &Databases, name: &str| databases.is_companion(bench.dir().as_fd(), name.as_bytes(), path);
    let named = Databases::new(&[bench.path("app.db")], false, Depth::Full);
    for databases in [&all(), &named] {
        for name in ["app.db-wal", "app.db-shm", "app.db-journal"] {
            assert!(belongs(databases, name), "{name}");
        }
        for name in ["app.db", "notes-wal", "lost-wal"] {
            assert!(!belongs(databases, name), "{name}");
        }
    }
    let covers = |databases: &Databases, name: &str| databases.covers(&path(name.as_bytes()), &File::open(bench.path(name)).unwrap());
    assert!(covers(&all(), "app.db") && !covers(&all(), "notes") && covers(&named, "app.db"));
    bench.database("other.db", "DELETE");
    assert!(!covers(&named, "other.db") && covers(&all(), "other.db"));
}
