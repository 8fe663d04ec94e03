//! `key writers`, `key add-writer`, `key close-writer`: who can back up.

use std::path::PathBuf;
use std::time::SystemTime;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::open_admin;
use crate::cli::args;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::render::table::{Align, Table};
use crate::cli::render::text;
use crate::content::admin::Closing;
use crate::content::keys::write_key_file;
use crate::model::id::SnapshotId;
use crate::sealed::statement::Writer;

/// List who can back up; needs no key
#[derive(Debug, Args)]
pub struct Writers {}

/// Let another host back up; needs a restore key
#[derive(Debug, Args)]
pub struct AddWriter {
    /// Its name, such as the host's
    #[arg(value_name = "NAME")]
    name: String,

    /// Where to write its key, to be carried to that host
    #[arg(long, value_name = "FILE")]
    writer_key: PathBuf,
}

/// Stop accepting a writer; needs a restore key
///
/// Its complete snapshots of now stay; whatever comes later under its key is not counted. If the host was broken into at a known
/// time, --since takes back what the store received from then on; prune then frees it, and it cannot be accepted again.
#[derive(Debug, Args)]
pub struct CloseWriter {
    /// Its id, the start of it, or its name
    #[arg(value_name = "ID")]
    writer: String,

    /// Nor count what the store received at or after this time: `2026-11-20 14:00`, or 36h for so long ago
    #[arg(long, value_name = "TIME", value_parser = args::moment)]
    since: Option<Timestamp>,
}

#[derive(Serialize)]
struct List {
    repository: String,
    statement: u64,
    writers: Vec<Record>,
}

#[derive(Serialize)]
struct Record {
    id: String,
    name: String,
    recipient: String,
    closed: bool,
    accepted_snapshots: Option<usize>,
}

impl Record {
    fn new(writer: &Writer) -> Self {
        Self {
            id: writer.id.to_string(),
            name: writer.name.clone(),
            recipient: writer.recipient.clone(),
            closed: writer.closed.is_some(),
            accepted_snapshots: writer.closed.as_ref().map(Vec::len),
        }
    }
}

impl Writers {
    /// Runs the command.
    ///
    /// # Errors
    /// If the repository cannot be read.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let key = context.key()?;
        let repository = context.repository(key.as_ref())?;
        let statement = repository.statement();
        let mut table = Table::new(&[("ID", Align::Left), ("NAME", Align::Left), ("STATE", Align::Left)]);
        for writer in &statement.writers {
            let state =
                writer.closed.as_ref().map(|accepted| format!("closed, {} accepted", text::count(accepted.len() as u64, "snapshot")));
            table.row([writer.id.short(), text::path(writer.name.as_bytes()), state.unwrap_or_else(|| "open".into())]);
        }
        context.say(&table.render())?;
        context.document(&List {
            repository: repository.id().to_bech32(),
            statement: statement.number,
            writers: statement.writers.iter().map(Record::new).collect(),
        })?;
        Ok(Exit::Done)
    }
}

#[derive(Serialize)]
struct Added {
    repository: String,
    writer: String,
    name: String,
    writer_key: PathBuf,
}

impl AddWriter {
    /// Runs the command.
    ///
    /// # Errors
    /// If the key does not fit, the name is taken, or the key file cannot be written.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let mut admin = open_admin(context)?;
        let mut made = None;
        let added = admin.add_writer(&self.name, &mut |key| {
            write_key_file(&self.writer_key, &key.to_text()?)?;
            made = Some(key.writer);
            Ok(())
        });
        let key = added.inspect_err(|_| {
            // Only a key that the repository certainly does not know is a key to nothing.
            let known = context.repository(None).map(|repository| made.is_some_and(|id| repository.statement().writer(&id).is_some()));
            if let (Some(_), Ok(false)) = (made, known) {
                let _ = std::fs::remove_file(&self.writer_key);
            }
        })?;
        context.summary(&format!("Writer {} ({}): {}\n", key.name, key.writer.short(), self.writer_key.display()))?;
        context.document(&Added {
            repository: key.repository.to_bech32(),
            writer: key.writer.to_string(),
            name: key.name,
            writer_key: self.writer_key,
        })?;
        Ok(Exit::Done)
    }
}

#[derive(Serialize)]
struct Closed {
    writer: String,
    since: Option<Timestamp>,
    accepted: Vec<String>,
    refused: Vec<String>,
}

impl CloseWriter {
    /// Runs the command.
    ///
    /// # Errors
    /// If the key does not fit, or there is no such open writer.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let mut admin = open_admin(context)?;
        let writer = admin.find_writer(&self.writer)?.clone();
        let Closing { accepted, refused } = admin.close_writer(&writer.id, self.since.map(SystemTime::from))?;
        let since = self.since.map_or_else(String::new, |since| {
            format!("; {} received since {} no longer count", text::count(refused.len() as u64, "snapshot"), text::moment(since))
        });
        context.summary(&format!(
            "Closed {} ({}){since}; {} still count, nothing later does\n",
            text::path(writer.name.as_bytes()),
            writer.id.short(),
            text::count(accepted.len() as u64, "snapshot")
        ))?;
        let ids = |list: &[SnapshotId]| list.iter().map(ToString::to_string).collect();
        context.document(&Closed { writer: writer.id.to_string(), since: self.since, accepted: ids(&accepted), refused: ids(&refused) })?;
        Ok(Exit::Done)
    }
}
