//! From a dump in a snapshot back to a database.
//!
//! ```text
//!   roles that are missing --> a new database beside the old one <-- dump --> only when all is well: in the old one's place
//! ```
//!
//! So a dump that is lost in part, or does not restore, leaves the server as it was.

use std::io::Write;

use super::JobError;
use crate::content::ContentError;
use crate::content::browse::OpenSnapshot;
use crate::model::entry::Entry;
use crate::model::event::{Event, Monitor};
use crate::source::database::file_name;
use crate::source::database::postgresql::{
    DESCRIPTIONS, DIRECTORY, Description, ENDING, GLOBALS, Server, connection, identifier, literal, missing_globals,
};

/// Largest of the small files beside the dumps, in bytes.
const SMALL: u64 = 64 << 20;

/// What to bring back, and where to.
#[derive(Debug, Clone)]
pub struct DatabaseRestore {
    /// The server.
    pub server: Server,
    /// The database as it was called when it was saved.
    pub database: String,
    /// The database to make.
    pub target: String,
    /// Whether a database of that name that holds something may be replaced.
    pub replace: bool,
    /// Whether roles and tablespaces that the server misses are made first.
    pub globals: bool,
}

impl DatabaseRestore {
    /// Does it.
    ///
    /// # Errors
    /// If the snapshot has no such dump, the target holds something, or the server refuses; then its databases are as before.
    pub fn run(&self, snapshot: &OpenSnapshot<'_>, monitor: &dyn Monitor) -> Result<(), JobError> {
        let dump = self.entry(snapshot, &file_name(&self.database, ENDING))?.ok_or_else(|| JobError::NoDump {
            database: self.database.clone(),
            path: format!("/{DIRECTORY}/{}", String::from_utf8_lossy(&file_name(&self.database, ENDING))),
        })?;
        let exists = self.check_target()?;
        if self.globals {
            self.make_globals(snapshot)?;
        }
        let fresh = format!("{}.restoring", self.target);
        self.sql("postgres", &format!("drop database if exists {}", identifier(&fresh)))?;
        self.create(&fresh, self.description(snapshot)?.as_ref(), monitor)?;
        let restored = self.load(snapshot, &dump, &fresh).and_then(|()| self.sql(&fresh, "analyze"));
        if let Err(error) = restored {
            self.sql("postgres", &format!("drop database if exists {}", identifier(&fresh)))?;
            return Err(error);
        }
        if exists {
            self.sql("postgres", &format!("drop database {} with (force)", identifier(&self.target)))?;
        }
        self.sql("postgres", &format!("alter database {} rename to {}", identifier(&fresh), identifier(&self.target)))
    }

    /// A file of the dumps' directory.
    fn entry(&self, snapshot: &OpenSnapshot<'_>, name: &[u8]) -> Result<Option<Entry>, JobError> {
        Ok(snapshot.find(&[b"/", DIRECTORY.as_bytes(), b"/", name].concat())?)
    }

    fn small_file(&self, snapshot: &OpenSnapshot<'_>, name: &str) -> Result<Option<String>, JobError> {
        let Some(entry) = self.entry(snapshot, name.as_bytes())? else { return Ok(None) };
        let mut bytes = Bounded(Vec::new());
        snapshot.dump(&entry, &mut bytes)?;
        let text = String::from_utf8(bytes.0).map_err(|_| ContentError::damaged(format!("/{DIRECTORY}/{name}"), "it is not text"))?;
        Ok(Some(text))
    }

    fn sql(&self, database: &str, statement: &str) -> Result<(), JobError> {
        self.server.ask(&connection(database), statement).map(drop).map_err(JobError::Server)
    }

    /// Whether the target is there, provided that it may be replaced.
    fn check_target(&self) -> Result<bool, JobError> {
        let named = format!("select 1 from pg_database where datname = {}", literal(&self.target));
        if self.server.ask("postgres", &named).map_err(JobError::Server)?.is_empty() {
            return Ok(false);
        }
        let tables = "select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace \
                      where c.relkind in ('r', 'p', 'm', 'v', 'S', 'f') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'";
        let found = self.server.ask(&connection(&self.target), tables).map_err(JobError::Server)?;
        match found.first().map(String::as_str) {
            Some("0") => Ok(true),
            _ if self.replace => Ok(true),
            count => Err(JobError::NotEmpty { database: self.target.clone(), tables: count.unwrap_or("some").to_owned() }),
        }
    }

    fn make_globals(&self, snapshot: &OpenSnapshot<'_>) -> Result<(), JobError> {
        let Some(globals) = self.small_file(snapshot, GLOBALS)? else { return Ok(()) };
        let present = self.server.ask("postgres", "select rolname from pg_roles").map_err(JobError::Server)?;
        let missing = missing_globals(&globals, &present);
        let psql = self.server.program("psql", &["--no-psqlrc", "--quiet", "--file=-", "postgres"]).map_err(JobError::Server)?;
        psql.feed(|input| input.write_all(missing.as_bytes())).map_err(JobError::Server)
    }

    fn description(&self, snapshot: &OpenSnapshot<'_>) -> Result<Option<Description>, JobError> {
        let Some(text) = self.small_file(snapshot, DESCRIPTIONS)? else { return Ok(None) };
        let all: Vec<Description> =
            serde_json::from_str(&text).map_err(|error| ContentError::damaged(format!("/{DIRECTORY}/{DESCRIPTIONS}"), error))?;
        Ok(all.into_iter().find(|description| description.name == self.database))
    }

    /// Makes a database as the saved one was; with the server's own locale if it does not have that one.
    fn create(&self, name: &str, like: Option<&Description>, monitor: &dyn Monitor) -> Result<(), JobError> {
        let plain = format!("create database {} template template0", identifier(name));
        let Some(like) = like else { return self.sql("postgres", &plain) };
        let encoding = format!("{plain} encoding {}", literal(&like.encoding));
        let exact = format!("{encoding} lc_collate {} lc_ctype {}", literal(&like.collate), literal(&like.ctype));
        if let Err(error) = self.sql("postgres", &exact) {
            monitor.event(Event::warning(&*self.target, format!("{error}; it gets the server's own locale instead of {}", like.collate)));
            self.sql("postgres", &encoding)?;
        }
        let owner = format!("alter database {} owner to {}", identifier(name), identifier(&like.owner));
        if let Err(error) = self.sql("postgres", &owner) {
            monitor.event(Event::warning(&*self.target, format!("{error}; it does not get its owner {} back", like.owner)));
        }
        Ok(())
    }

    fn load(&self, snapshot: &OpenSnapshot<'_>, dump: &Entry, database: &str) -> Result<(), JobError> {
        let into = format!("--dbname={}", connection(database));
        let restore = self.server.program("pg_restore", &[&into, "--exit-on-error"]).map_err(JobError::Server)?;
        restore.feed(|input| snapshot.dump(dump, input).map_err(JobError::from))
    }
}

/// Takes a small file and no large one.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if (self.0.len() + bytes.len()) as u64 > SMALL {
            return Err(std::io::Error::other(format!("it is larger than {SMALL} bytes")));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
