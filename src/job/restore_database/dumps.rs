//! Reading the dumps of a snapshot and what lies beside them.

use std::io::Write;

use serde::de::DeserializeOwned;

use super::{DatabaseKind, DatabaseRestore};
use crate::content::ContentError;
use crate::content::browse::OpenSnapshot;
use crate::job::JobError;
use crate::model::entry::Entry;
use crate::model::event::{Event, Monitor};
use crate::source::database::file_name;
use crate::source::database::rows::{self, RowCounts, TableRows};

/// Largest of the small files beside the dumps, in bytes.
const SMALL: u64 = 64 << 20;

/// The dumps of one kind of server in a snapshot.
pub(super) struct Dumps<'a> {
    snapshot: &'a OpenSnapshot<'a>,
    kind: DatabaseKind,
}

/// A database's dump.
pub(super) struct Dump {
    pub name: Vec<u8>,
    pub path: Vec<u8>,
    pub entry: Entry,
}

impl<'a> Dumps<'a> {
    pub fn new(snapshot: &'a OpenSnapshot<'a>, kind: DatabaseKind) -> Self {
        Self { snapshot, kind }
    }

    pub fn snapshot(&self) -> &'a OpenSnapshot<'a> {
        self.snapshot
    }

    /// The dump of a database, in the first form that is there.
    pub fn find(&self, database: &str) -> Result<Option<Dump>, JobError> {
        for ending in self.kind.endings() {
            let name = file_name(database, ending);
            if let Some(entry) = self.entry(&name)? {
                return Ok(Some(Dump { path: self.path(&name), name, entry }));
            }
        }
        Ok(None)
    }

    /// The dump of a database.
    pub fn get(&self, database: &str) -> Result<Dump, JobError> {
        self.find(database)?.ok_or_else(|| JobError::NoDump { database: database.to_owned(), path: places(&[self.kind], database) })
    }

    fn path(&self, name: &[u8]) -> Vec<u8> {
        [b"/", self.kind.directory().as_bytes(), b"/", name].concat()
    }

    fn entry(&self, name: &[u8]) -> Result<Option<Entry>, JobError> {
        Ok(self.snapshot.find(&self.path(name))?)
    }

    /// A small file beside the dumps.
    pub fn text(&self, name: &[u8]) -> Result<Option<String>, JobError> {
        let Some(entry) = self.entry(name)? else { return Ok(None) };
        let mut bytes = Bounded(Vec::new());
        self.snapshot.dump(&entry, &mut bytes)?;
        let text = String::from_utf8(bytes.0).map_err(|_| self.damaged(name, "it is not text"))?;
        Ok(Some(text))
    }

    /// A small file that is JSON.
    pub fn json<T: DeserializeOwned>(&self, name: &[u8]) -> Result<Option<T>, JobError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        Ok(Some(serde_json::from_str(&text).map_err(|error| self.damaged(name, error))?))
    }

    fn damaged(&self, name: &[u8], why: impl ToString) -> JobError {
        ContentError::damaged(String::from_utf8_lossy(&self.path(name)).into_owned(), why.to_string()).into()
    }

    /// The rows of each table that shall be found again; or why they are not compared.
    pub fn recorded(
        &self,
        dump: &Dump,
        wanted: &DatabaseRestore,
        monitor: &dyn Monitor,
    ) -> Result<Result<Vec<TableRows>, String>, JobError> {
        if !wanted.verify_rows {
            return Ok(Err("nobody asked for it".into()));
        }
        let tell = |why: &str| {
            monitor.event(Event::info(&*wanted.database, format!("the rows of its tables cannot be compared: {why}")));
            Ok(Err(why.to_owned()))
        };
        match self.json(&[&dump.name, rows::ENDING.as_bytes()].concat())? {
            Some(RowCounts::Tables(tables)) => Ok(Ok(tables)),
            Some(RowCounts::Unknown(why)) => tell(&why),
            None => tell("the snapshot has no counts of them"),
        }
    }
}

/// Where dumps of a database would lie, for messages.
pub(super) fn places(kinds: &[DatabaseKind], database: &str) -> String {
    let names = kinds.iter().filter_map(|kind| {
        let name = file_name(database, kind.endings().first()?);
        Some(format!("/{}/{}", kind.directory(), String::from_utf8_lossy(&name)))
    });
    names.collect::<Vec<_>>().join(", ")
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
