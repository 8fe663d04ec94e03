//! From a dump in a snapshot back to a database.
//!
//! ```text
//!   kinds: which servers' dumps are called so --> one file for each kind of server
//!                                                 each: dump --> beside the old database --> rows compared --> in its place
//! ```
//!
//! So a dump that is lost in part, or does not restore, leaves the server as it was.

mod compare;
mod dumps;
mod mariadb;
mod postgresql;
mod sqlite;

use std::collections::BTreeMap;
use std::fmt;

pub use mariadb::MariadbRestore;
pub use postgresql::PostgresqlRestore;
pub use sqlite::SqliteRestore;

use super::JobError;
use crate::content::browse::OpenSnapshot;
use crate::model::entry::Kind;
use crate::source::database::database_name;
use crate::source::database::mariadb::{self as maria, Flavour};
use crate::source::database::postgresql as pg;
use crate::source::database::rows::TableRows;

/// A kind of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseKind {
    /// PostgreSQL.
    Postgresql,
    /// MariaDB.
    Mariadb,
    /// MySQL.
    Mysql,
}

impl DatabaseKind {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Postgresql, Self::Mariadb, Self::Mysql];

    /// The directory of its dumps in a snapshot.
    fn directory(self) -> &'static str {
        match self {
            DatabaseKind::Postgresql => pg::DIRECTORY,
            DatabaseKind::Mariadb => Flavour::Mariadb.directory(),
            DatabaseKind::Mysql => Flavour::Mysql.directory(),
        }
    }

    /// What the names of its dumps end with.
    fn endings(self) -> &'static [&'static str] {
        match self {
            DatabaseKind::Postgresql => &[pg::ENDING, pg::FOLDER_ENDING],
            DatabaseKind::Mariadb | DatabaseKind::Mysql => &[maria::ENDING],
        }
    }

    /// The kinds of which the snapshot has a dump of that name.
    ///
    /// # Errors
    /// If there is none, or the snapshot cannot be read.
    pub fn of(snapshot: &OpenSnapshot<'_>, database: &str) -> Result<Vec<Self>, JobError> {
        let mut found = Vec::new();
        for kind in Self::ALL {
            if dumps::Dumps::new(snapshot, kind).find(database)?.is_some() {
                found.push(kind);
            }
        }
        match found.is_empty() {
            true => Err(JobError::NoDump { database: database.to_owned(), path: dumps::places(&Self::ALL, database) }),
            false => Ok(found),
        }
    }
}

impl DatabaseKind {
    /// The databases of this kind of which the snapshot has a dump, by name.
    ///
    /// # Errors
    /// If the snapshot cannot be read.
    pub fn dumped(self, snapshot: &OpenSnapshot<'_>) -> Result<Vec<DumpedDatabase>, JobError> {
        let folder = format!("/{}/", self.directory());
        let mut found: BTreeMap<String, u64> = BTreeMap::new();
        snapshot.list(folder.as_bytes(), &mut |path, entry| {
            if let Some(database) = self.database_at(path) {
                let size = if let Kind::File { size, .. } = entry.kind { size } else { 0 };
                *found.entry(database).or_default() += size;
            }
            Ok(())
        })?;
        Ok(found.into_iter().map(|(name, bytes)| DumpedDatabase { name, bytes }).collect())
    }

    /// The database of whose dump a path in a snapshot is, or is a part.
    pub fn database_at(self, path: &[u8]) -> Option<String> {
        let rest = path.strip_prefix(b"/")?.strip_prefix(self.directory().as_bytes())?.strip_prefix(b"/")?;
        let name = rest.split(|byte| *byte == b'/').next()?;
        // The users of a server end as the dumps of MariaDB do.
        if name == maria::USERS.as_bytes() {
            return None;
        }
        self.endings().iter().find_map(|ending| database_name(name, ending))
    }
}

impl fmt::Display for DatabaseKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DatabaseKind::Postgresql => "postgresql",
            DatabaseKind::Mariadb => "mariadb",
            DatabaseKind::Mysql => "mysql",
        })
    }
}

/// A database of which a snapshot has a dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DumpedDatabase {
    /// Its name.
    pub name: String,
    /// Bytes of its dump.
    pub bytes: u64,
}

/// What became of the rows of a restored database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowCheck {
    /// Each of so many tables holds as many as were recorded.
    Equal {
        /// Tables.
        tables: usize,
        /// Rows of all of them.
        rows: u64,
    },
    /// They were not compared; the reason.
    Unknown(String),
}

impl RowCheck {
    fn of(recorded: &Result<Vec<TableRows>, String>) -> Self {
        match recorded {
            Ok(tables) => RowCheck::Equal { tables: tables.len(), rows: tables.iter().map(|table| table.rows).sum() },
            Err(why) => RowCheck::Unknown(why.clone()),
        }
    }
}

/// What to bring back, and where to.
#[derive(Debug, Clone)]
pub struct DatabaseRestore {
    /// The database as it was called when it was saved.
    pub database: String,
    /// The database to make.
    pub target: String,
    /// Whether a database of that name that holds something may be replaced.
    pub replace: bool,
    /// Whether roles or users that the server misses are made first.
    pub globals: bool,
    /// Whether each table's rows are compared with those that were recorded.
    pub verify_rows: bool,
}
