//! A MariaDB or MySQL database from its dump.
//!
//! ```text
//!   users that are missing --> [trial: NAME_restoring <-- dump, rows compared, marked as complete]
//!                              --> NAME made anew <-- dump, rows compared, then its events, the users' rights --> the trial goes
//! ```
//!
//! These servers cannot rename a database, and tables with triggers cannot move to another one, so the dump is loaded twice where it
//! replaces something: the old database goes only when the dump has proved that it loads (`docs/decisions.md`). Events come last, as the
//! server runs them as soon as they are there; a trial never has any.
//!
//! A database that is being restored holds a table with a mark, so that what a killed restore left is known.

use std::collections::{BTreeMap, BTreeSet};

use super::compare::Counts;
use super::dumps::{Dump, Dumps};
use super::{DatabaseKind, DatabaseRestore, RowCheck};
use crate::content::ContentError;
use crate::content::browse::OpenSnapshot;
use crate::job::JobError;
use crate::model::event::{Event, Monitor};
use crate::source::database::mariadb::events::WithoutEvents;
use crate::source::database::mariadb::{DESCRIPTIONS, Description, Missing, Server, USERS, identifier, literal, missing_users};
use crate::source::database::rows::TableRows;

/// The table of the mark, and what it says of a database that is being restored and of one that is complete.
const MARK: &str = "hearth_backup_restoring";
const RESTORING: &str = "not complete";
const COMPLETE: &str = "complete";

/// Brings a MariaDB or MySQL database back.
#[derive(Debug, Clone)]
pub struct MariadbRestore {
    /// What, and where to.
    pub wanted: DatabaseRestore,
    /// Which of the two.
    pub kind: DatabaseKind,
    /// The server.
    pub server: Server,
    /// Whether the dump is loaded into a database beside the old one before that is dropped.
    pub trial: bool,
}

/// What has the target's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Nothing,
    Empty,
    /// A database with something in it.
    Full,
    /// What a killed restore loaded.
    Part,
}

impl MariadbRestore {
    /// Does it.
    ///
    /// # Errors
    /// If the snapshot has no such dump, the target holds something, or the server refuses; then its databases are as before, unless the
    /// error says otherwise.
    pub fn run(&self, snapshot: &OpenSnapshot<'_>, monitor: &dyn Monitor) -> Result<RowCheck, JobError> {
        let dumps = Dumps::new(snapshot, self.kind);
        let dump = dumps.get(&self.wanted.database)?;
        let recorded = dumps.recorded(&dump, &self.wanted, monitor)?;
        let check = RowCheck::of(&recorded);
        let recorded = recorded.unwrap_or_default();
        let descriptions: Vec<Description> = dumps.json(DESCRIPTIONS.as_bytes())?.unwrap_or_default();
        let like = descriptions.into_iter().find(|description| description.name == self.wanted.database);
        let load = |database: &str| self.load(&dumps, &dump, database, like.as_ref(), &recorded);

        let target = &self.wanted.target;
        let beside = format!("{target}_restoring");
        let found = self.check_target()?;
        self.clear(&beside, found, monitor)?;
        let users = if self.wanted.globals { self.missing_users(&dumps)? } else { Missing::default() };
        self.make_users(&users.accounts)?;
        let trial = self.trial && found == Found::Full;
        if trial {
            if let Err(error) = load(&beside) {
                self.drop_database(&beside)?;
                return Err(error);
            }
            self.sql(Some(&beside), &format!("update {MARK} set state = {}", literal(COMPLETE)))?;
        }
        let made = self.drop_database(target).and_then(|()| load(target)).and_then(|events| self.finish(target, &events));
        match made {
            Ok(()) => {
                self.give_rights(&users.rights, monitor);
                if trial {
                    self.drop_database(&beside)?;
                }
                Ok(check)
            }
            Err(error) if trial => Err(JobError::AfterTrial { names: (target.clone(), beside), error: Box::new(error) }),
            Err(error) => {
                self.drop_database(target)?;
                if found == Found::Empty {
                    self.create(target, like.as_ref())?;
                }
                Err(error)
            }
        }
    }

    fn ask(&self, database: Option<&str>, statements: &str) -> Result<Vec<String>, JobError> {
        self.server.ask(database, statements).map_err(JobError::Server)
    }

    fn sql(&self, database: Option<&str>, statement: &str) -> Result<(), JobError> {
        self.ask(database, statement).map(drop)
    }

    /// Names of tables, of which `condition` holds.
    fn tables(&self, database: &str, condition: &str) -> Result<BTreeSet<String>, JobError> {
        let query =
            format!("select hex(table_name) from information_schema.tables where table_schema = {} and {condition}", literal(database));
        Ok(self.server.names(&query).map_err(JobError::Server)?.into_iter().flatten().collect())
    }

    fn exists(&self, database: &str) -> Result<bool, JobError> {
        let query = format!("select 1 from information_schema.schemata where schema_name = {}", literal(database));
        Ok(!self.ask(None, &query)?.is_empty())
    }

    fn look(&self, database: &str) -> Result<(Found, usize), JobError> {
        if !self.exists(database)? {
            return Ok((Found::Nothing, 0));
        }
        let tables = self.tables(database, "true")?;
        let schema = literal(database);
        let others = self.ask(
            None,
            &format!(
                "select (select count(*) from information_schema.routines where routine_schema = {schema}) \
                 + (select count(*) from information_schema.events where event_schema = {schema})"
            ),
        )?;
        let others = others.first().and_then(|count| count.parse().ok()).unwrap_or(0);
        let found = match tables.len() + others {
            0 => Found::Empty,
            _ if tables.contains(MARK) => Found::Part,
            _ => Found::Full,
        };
        Ok((found, tables.len() + others))
    }

    /// What has the target's name, provided that it may be replaced.
    fn check_target(&self) -> Result<Found, JobError> {
        match self.look(&self.wanted.target)? {
            (Found::Full, tables) if !self.wanted.replace => {
                Err(JobError::NotEmpty { database: self.wanted.target.clone(), tables: tables.to_string() })
            }
            (found, _) => Ok(found),
        }
    }

    /// Makes room for the trial: drops what an earlier restore left, unless it may be the only copy or is not ours.
    fn clear(&self, beside: &str, target: Found, monitor: &dyn Monitor) -> Result<(), JobError> {
        match self.look(beside)?.0 {
            Found::Nothing => return Ok(()),
            Found::Full => return Err(JobError::NotOurs { database: beside.to_owned() }),
            Found::Empty | Found::Part => {}
        }
        let marked = self.look(beside)?.0 == Found::Part;
        let complete = marked && self.ask(Some(beside), &format!("select state from {MARK}"))?.iter().any(|state| state == COMPLETE);
        if complete && matches!(target, Found::Nothing | Found::Part) {
            return Err(JobError::TrialLeft { names: (beside.to_owned(), self.wanted.target.clone()) });
        }
        monitor.event(Event::info(beside, "was left by a restore that was ended; it is dropped"));
        self.drop_database(beside)
    }

    fn drop_database(&self, name: &str) -> Result<(), JobError> {
        self.sql(None, &format!("drop database if exists {}", identifier(name)))
    }

    /// Makes an empty database as the saved one was.
    fn create(&self, name: &str, like: Option<&Description>) -> Result<(), JobError> {
        let like = like.map_or(String::new(), |like| {
            format!(" character set {} collate {}", identifier(&like.characters), identifier(&like.collation))
        });
        self.sql(None, &format!("create database {}{like}", identifier(name)))
    }

    fn missing_users(&self, dumps: &Dumps<'_>) -> Result<Missing, JobError> {
        let Some(users) = dumps.text(USERS.as_bytes())? else { return Ok(Missing::default()) };
        Ok(missing_users(&users, &self.server.accounts().map_err(JobError::Server)?))
    }

    /// Runs a statement that is not for everyone to see.
    fn feed(&self, statement: &str) -> Result<(), std::io::Error> {
        self.server.reader(None)?.feed(|input| input.write_all(statement.as_bytes())).map(drop)
    }

    fn make_users(&self, statements: &[String]) -> Result<(), JobError> {
        if statements.is_empty() { Ok(()) } else { self.feed(&format!("{};\n", statements.join(";\n"))).map_err(JobError::Server) }
    }

    /// Gives users their rights. One that concerns a table which is not there, as it belongs to another database, is told.
    fn give_rights(&self, statements: &[String], monitor: &dyn Monitor) {
        for statement in statements {
            if let Err(error) = self.feed(&format!("{statement};\n")) {
                let shown = statement.split(" IDENTIFIED ").next().unwrap_or(statement);
                let error = error.to_string();
                let why = error.find("ERROR ").and_then(|place| error.get(place..)).unwrap_or("the client failed");
                monitor.event(Event::warning(shown, format!("failed ({why}); repeat it when what it names is there")));
            }
        }
    }

    /// Makes a database from the dump, marked as not complete, and compares its rows; returns the statements of its events.
    fn load(
        &self,
        dumps: &Dumps<'_>,
        dump: &Dump,
        database: &str,
        like: Option<&Description>,
        recorded: &[TableRows],
    ) -> Result<Vec<u8>, JobError> {
        self.create(database, like)?;
        let mark = format!("create table {MARK} (state varchar(20)); insert into {MARK} values ({})", literal(RESTORING));
        self.sql(Some(database), &mark)?;
        let mut events = Vec::new();
        let reader = self.server.reader(Some(database)).map_err(JobError::Server)?;
        reader.feed(|input| {
            let mut filter = WithoutEvents::new(input);
            dumps.snapshot().dump(&dump.entry, &mut filter)?;
            events = filter.finish().map_err(|error| ContentError::Other(error.to_string()))?;
            Ok::<(), JobError>(())
        })?;
        self.compare(database, recorded)?;
        Ok(events)
    }

    /// Gives a database that is complete its events, and takes its mark away.
    fn finish(&self, database: &str, events: &[u8]) -> Result<(), JobError> {
        if !events.is_empty() {
            let reader = self.server.reader(Some(database)).map_err(JobError::Server)?;
            reader.feed(|input| input.write_all(events)).map_err(JobError::Server)?;
        }
        self.sql(Some(database), &format!("drop table {MARK}"))
    }

    /// Compares the rows of the tables with those that were recorded.
    fn compare(&self, database: &str, recorded: &[TableRows]) -> Result<(), JobError> {
        let there = self.tables(database, "table_type <> 'VIEW'")?;
        let known = recorded.iter().enumerate().filter(|(_, table)| there.contains(&table.table));
        let counts: Vec<String> =
            known.map(|(place, table)| format!("select {place}, count(*) from {}", identifier(&table.table))).collect();
        let counts = Counts { found: BTreeMap::new(), queries: counts, separator: '\t' };
        counts.compare(&self.wanted.database, recorded, |query| self.ask(Some(database), query))
    }
}
