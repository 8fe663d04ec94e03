//! A PostgreSQL database from its dump.
//!
//! ```text
//!   roles that are missing --> a new database beside the old one <-- dump
//!                                 | rows of each table compared; marked as complete
//!                                 v
//!                              in the old one's place
//! ```
//!
//! The new database carries a mark as its comment, so that what a killed restore left is known: one that is not complete is dropped by the next
//! restore, one that is complete may be the only copy and is not.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::compare::Counts;
use super::dumps::{Dump, Dumps};
use super::{DatabaseKind, DatabaseRestore, RowCheck};
use crate::content::ContentError;
use crate::content::browse::OpenSnapshot;
use crate::job::JobError;
use crate::model::entry::Kind;
use crate::model::event::{Event, Monitor};
use crate::source::database::postgresql::directory::RestoreFrom;
use crate::source::database::postgresql::{
    DESCRIPTIONS, Description, GLOBALS, Server, connection, identifier, literal, missing_globals, without_tablespaces,
};
use crate::source::database::rows::TableRows;
use crate::source::database::scratch::Scratch;

/// What the comment of a database says that is being restored, and of one that is complete.
const RESTORING: &str = "hearth-backup restore-db: not complete";
const COMPLETE: &str = "hearth-backup restore-db: complete, about to be renamed";
/// From this version on the server ends a database's connections by itself.
const FORCES: u32 = 130_000;
/// Counts what a database holds that somebody could miss. What an extension brings comes back with it; its tables are counted, as rows may have been
/// added to them. The types that belong to tables, and those of arrays, are not.
const OBJECTS: &str = "with own as (select oid from pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema'), \
     extended as (select classid, objid from pg_depend where deptype = 'e') \
     select (select count(*) from pg_class where relkind in ('r', 'p', 'm', 'v', 'S', 'f') and relnamespace in (select oid from own)) \
     + (select count(*) from pg_proc where pronamespace in (select oid from own) \
        and ('pg_proc'::regclass, oid) not in (select classid, objid from extended)) \
     + (select count(*) from pg_type t where typnamespace in (select oid from own) \
        and (typtype in ('e', 'd', 'r') or exists (select from pg_class c where c.oid = t.typrelid and c.relkind = 'c')) \
        and ('pg_type'::regclass, oid) not in (select classid, objid from extended)) \
     + (select count(*) from pg_largeobject_metadata)";
/// Lines of what the server says that are told.
const LINES: usize = 3;

/// Brings a PostgreSQL database back.
#[derive(Debug, Clone)]
pub struct PostgresqlRestore {
    /// What, and where to.
    pub wanted: DatabaseRestore,
    /// The server.
    pub server: Server,
    /// How many tables are restored at once from a dump in directory format.
    pub parallel: u16,
    /// Where such a dump is put together.
    pub scratch: PathBuf,
    /// Whether tables go to the tablespaces that they were in; else all go to the database's own.
    pub tablespaces: bool,
}

impl PostgresqlRestore {
    /// Does it.
    ///
    /// # Errors
    /// If the snapshot has no such dump, the target holds something, or the server refuses; then its databases are as before.
    pub fn run(&self, snapshot: &OpenSnapshot<'_>, monitor: &dyn Monitor) -> Result<RowCheck, JobError> {
        let dumps = Dumps::new(snapshot, DatabaseKind::Postgresql);
        let dump = dumps.get(&self.wanted.database)?;
        let recorded = dumps.recorded(&dump, &self.wanted, monitor)?;
        let target = &self.wanted.target;
        let exists = self.check_target()?;
        let fresh = format!("{target}.restoring");
        self.clear(&fresh, exists, monitor)?;
        if self.wanted.globals {
            self.make_globals(&dumps, monitor)?;
        }
        self.create(&fresh, self.description(&dumps)?.as_ref(), monitor)?;
        let restored = self.fill(&dumps, &dump, &fresh, recorded.as_deref().ok());
        if let Err(error) = restored {
            self.drop_database(&fresh)?;
            return Err(error);
        }
        if exists {
            self.drop_database(target)?;
        }
        self.sql(self.control(), &format!("alter database {} rename to {}", identifier(&fresh), identifier(target)))?;
        self.sql(self.control(), &format!("comment on database {} is null", identifier(target)))?;
        Ok(RowCheck::of(&recorded))
    }

    fn fill(&self, dumps: &Dumps<'_>, dump: &Dump, fresh: &str, recorded: Option<&[TableRows]>) -> Result<(), JobError> {
        self.mark(fresh, RESTORING)?;
        match dump.entry.kind {
            Kind::Directory { .. } => self.load_directory(dumps, dump, fresh)?,
            _ => self.load(dumps, dump, fresh)?,
        }
        if let Some(recorded) = recorded {
            self.compare(fresh, recorded)?;
        }
        self.sql(fresh, "analyze")?;
        self.mark(fresh, COMPLETE)
    }

    /// The database that one is connected to while others are made and dropped: one cannot be dropped from within.
    fn control(&self) -> &'static str {
        if self.wanted.target == "postgres" { "template1" } else { "postgres" }
    }

    fn ask(&self, database: &str, query: &str) -> Result<Vec<String>, JobError> {
        self.server.ask(&connection(database), query).map_err(JobError::Server)
    }

    fn sql(&self, database: &str, statement: &str) -> Result<(), JobError> {
        self.ask(database, statement).map(drop)
    }

    fn mark(&self, database: &str, text: &str) -> Result<(), JobError> {
        self.sql(self.control(), &format!("comment on database {} is {}", identifier(database), literal(text)))
    }

    /// Whether the target is there, provided that it may be replaced.
    fn check_target(&self) -> Result<bool, JobError> {
        let target = &self.wanted.target;
        let named = format!("select 1 from pg_database where datname = {}", literal(target));
        if self.ask(self.control(), &named)?.is_empty() {
            return Ok(false);
        }
        let found = self.ask(target, OBJECTS)?;
        match found.first().map(String::as_str) {
            Some("0") => Ok(true),
            _ if self.wanted.replace => Ok(true),
            count => Err(JobError::NotEmpty { database: target.clone(), tables: count.unwrap_or("some").to_owned() }),
        }
    }

    /// Makes room for the new database: drops what an earlier restore left, unless it may be the only copy or is not ours.
    fn clear(&self, fresh: &str, target_exists: bool, monitor: &dyn Monitor) -> Result<(), JobError> {
        let query = format!(
            "select 'mark:' || coalesce(shobj_description(oid, 'pg_database'), '') from pg_database where datname = {}",
            literal(fresh)
        );
        let found = self.ask(self.control(), &query)?;
        let Some(mark) = found.first().and_then(|line| line.strip_prefix("mark:")) else { return Ok(()) };
        let names = || (fresh.to_owned(), self.wanted.target.clone());
        match mark {
            RESTORING => {}
            COMPLETE if target_exists => {}
            COMPLETE => return Err(JobError::OnlyCopy { names: names() }),
            _ => return Err(JobError::NotOurs { database: fresh.to_owned() }),
        }
        monitor.event(Event::info(fresh, "was left by a restore that was ended; it is dropped"));
        self.drop_database(fresh)
    }

    /// Drops a database and ends the connections to it.
    fn drop_database(&self, name: &str) -> Result<(), JobError> {
        let version = self.ask(self.control(), "show server_version_num")?;
        let version: u32 = version.first().and_then(|version| version.parse().ok()).unwrap_or(FORCES);
        let (name, text) = (identifier(name), literal(name));
        if version >= FORCES {
            return self.sql(self.control(), &format!("drop database if exists {name} with (force)"));
        }
        if self.ask(self.control(), &format!("select 1 from pg_database where datname = {text}"))?.is_empty() {
            return Ok(());
        }
        let allow = |allowed: bool| self.sql(self.control(), &format!("alter database {name} with allow_connections {allowed}"));
        allow(false)?;
        let ended = format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = {text}");
        let dropped = self.sql(self.control(), &ended).and_then(|()| self.sql(self.control(), &format!("drop database {name}")));
        if dropped.is_err() {
            allow(true)?;
        }
        dropped
    }

    /// Makes the roles and tablespaces that are missing. What the server refuses is told; the dump may do without it.
    fn make_globals(&self, dumps: &Dumps<'_>, monitor: &dyn Monitor) -> Result<(), JobError> {
        let Some(globals) = dumps.text(GLOBALS.as_bytes())? else { return Ok(()) };
        let roles = self.ask(self.control(), "select rolname from pg_roles")?;
        let globals = if self.tablespaces { globals } else { without_tablespaces(&globals) };
        let missing = missing_globals(&globals, &roles, &self.ask(self.control(), "select spcname from pg_tablespace")?);
        // So that all that is said is an error.
        let input = format!("set client_min_messages = error;\n{missing}");
        let psql = self.server.program("psql", &["--no-psqlrc", "--quiet", "--file=-", self.control()]).map_err(JobError::Server)?;
        let said = psql.feed(|pipe| pipe.write_all(input.as_bytes())).map_err(JobError::Server)?;
        if !said.is_empty() {
            let more = said.lines().count().saturating_sub(LINES);
            let more = if more > 0 { format!("; and {more} lines more") } else { String::new() };
            let first = said.lines().take(LINES).collect::<Vec<_>>().join("; ");
            let message = format!("not all roles and tablespaces could be made as they were: {first}{more}");
            monitor.event(Event::warning(GLOBALS, message));
        }
        Ok(())
    }

    fn description(&self, dumps: &Dumps<'_>) -> Result<Option<Description>, JobError> {
        let all: Option<Vec<Description>> = dumps.json(DESCRIPTIONS.as_bytes())?;
        Ok(all.unwrap_or_default().into_iter().find(|description| description.name == self.wanted.database))
    }

    /// Makes a database as the saved one was; with the server's own locale if it does not have that one.
    fn create(&self, name: &str, like: Option<&Description>, monitor: &dyn Monitor) -> Result<(), JobError> {
        let plain = format!("create database {} template template0", identifier(name));
        let Some(like) = like else { return self.sql(self.control(), &plain) };
        let encoding = format!("{plain} encoding {}", literal(&like.encoding));
        let exact = format!("{encoding} lc_collate {} lc_ctype {}", literal(&like.collate), literal(&like.ctype));
        let warn = |message: String| monitor.event(Event::warning(&*self.wanted.target, message));
        if let Err(error) = self.sql(self.control(), &exact) {
            warn(format!("{error}; it gets the server's own locale instead of {}", like.collate));
            self.sql(self.control(), &encoding)?;
        }
        let owner = format!("alter database {} owner to {}", identifier(name), identifier(&like.owner));
        if let Err(error) = self.sql(self.control(), &owner) {
            warn(format!("{error}; it does not get its owner {} back", like.owner));
        }
        Ok(())
    }

    fn load(&self, dumps: &Dumps<'_>, dump: &Dump, database: &str) -> Result<(), JobError> {
        let into = format!("--dbname={}", connection(database));
        let mut arguments = vec![into.as_str(), "--exit-on-error"];
        arguments.extend(self.elsewhere());
        let restore = self.server.program("pg_restore", &arguments).map_err(JobError::Server)?;
        restore.feed(|input| dumps.snapshot().dump(&dump.entry, input).map_err(JobError::from)).map(drop)
    }

    /// What `pg_restore` is told of tablespaces.
    fn elsewhere(&self) -> Option<&'static str> {
        (!self.tablespaces).then_some("--no-tablespaces")
    }

    /// A dump in directory format is put together on disk, as several connections read it at once.
    fn load_directory(&self, dumps: &Dumps<'_>, dump: &Dump, database: &str) -> Result<(), JobError> {
        let scratch = Scratch::new(&self.scratch, self.server.user.as_deref()).map_err(|error| self.no_scratch(&self.scratch, error))?;
        let from = RestoreFrom::new(&scratch).map_err(|error| self.no_scratch(scratch.path(), error))?;
        dumps.snapshot().list(&dump.path, &mut |path, entry| {
            let Some(name) = path.strip_prefix(dump.path.as_slice()).and_then(|rest| rest.strip_prefix(b"/")) else { return Ok(()) };
            let place =
                from.place(name).map_err(|error| ContentError::file("write", Path::new(std::ffi::OsStr::from_bytes(name)), error))?;
            let failed = |error| ContentError::file("write", &place, error);
            let mut file = File::create_new(&place).map_err(failed)?;
            dumps.snapshot().dump(entry, &mut file)?;
            scratch.give(&file).map_err(failed)
        })?;
        from.restore(&self.server, database, self.parallel, self.elsewhere()).map_err(JobError::Server)
    }

    fn no_scratch(&self, place: &Path, error: std::io::Error) -> JobError {
        ContentError::file("write", place, error).into()
    }

    /// Compares the rows of the tables with those that were recorded.
    fn compare(&self, database: &str, recorded: &[TableRows]) -> Result<(), JobError> {
        let known = self.tables(database)?;
        let mut found: BTreeMap<usize, u64> = BTreeMap::new();
        let mut counts = Vec::new();
        for (place, table) in recorded.iter().enumerate() {
            let name = (table.schema.clone().unwrap_or_default(), table.table.clone());
            match known.get(&name) {
                // Of such a table the dump has only what was added to what the extension brings.
                Some(true) => drop(found.insert(place, table.rows)),
                Some(false) => counts.push(format!("select {place}, count(*) from only {}.{}", identifier(&name.0), identifier(&name.1))),
                None => {}
            }
        }
        let counts = Counts { found, queries: counts, separator: '|' };
        counts.compare(&self.wanted.database, recorded, |query| self.ask(database, query))
    }

    /// All tables by schema and name, and whether an extension made them.
    fn tables(&self, database: &str) -> Result<HashMap<(String, String), bool>, JobError> {
        let query = "select coalesce(json_agg(json_build_array(n.nspname, c.relname, exists (select from pg_depend d \
                     where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'))), '[]') \
                     from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.relkind = 'r'";
        let text = self.ask(database, query)?.join("\n");
        let tables: Vec<(String, String, bool)> =
            serde_json::from_str(&text).map_err(|error| JobError::Server(std::io::Error::other(format!("its list of tables: {error}"))))?;
        Ok(tables.into_iter().map(|(schema, name, of_extension)| ((schema, name), of_extension)).collect())
    }
}
