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

use std::fmt;

pub use mariadb::MariadbRestore;
pub use postgresql::PostgresqlRestore;
pub use sqlite::SqliteRestore;

use super::JobError;
use crate::content::browse::OpenSnapshot;
use crate::source::database::mariadb::{self as maria, Flavour};
use crate::source::database::postgresql as pg;

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

impl fmt::Display for DatabaseKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DatabaseKind::Postgresql => "postgresql",
            DatabaseKind::Mariadb => "mariadb",
            DatabaseKind::Mysql => "mysql",
        })
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
