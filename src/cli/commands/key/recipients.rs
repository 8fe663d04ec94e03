//! `key recipients`, `key add-recipient`, `key remove-recipient`: who can restore.

use clap::Args;
use serde::Serialize;

use super::open_admin;
use crate::cli::commands::init::read_recipients;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::render::table::{Align, Table};
use crate::sealed::repository::Repository;
use crate::sealed::statement::KeysEntry;
use crate::store::{Folder, ObjectName};

/// List who can restore; needs no key
#[derive(Debug, Args)]
pub struct Recipients {}

/// Let somebody else restore everything too, past and future; needs a restore key
#[derive(Debug, Args)]
pub struct AddRecipient {
    /// age1..., ssh-ed25519 ..., ssh-rsa ..., a plugin's recipient, a file with one of these on each line, or `passphrase`
    #[arg(value_name = "RECIPIENT", required = true)]
    recipients: Vec<String>,
}

/// Take somebody off the list; needs a restore key
///
/// What the recipient could read before it still can, as it may have kept the content key. `key rotate` shuts it out of what
/// is backed up from then on.
#[derive(Debug, Args)]
pub struct RemoveRecipient {
    /// The recipient as `key recipients` shows it, or the start of its id
    #[arg(value_name = "RECIPIENT")]
    recipient: String,
}

#[derive(Serialize)]
struct List {
    repository: String,
    statement: u64,
    generation: u32,
    recipients: Vec<Record>,
}

#[derive(Serialize)]
struct Record {
    id: String,
    recipient: String,
    /// Whether the object that the recipient opens is in the store.
    present: bool,
}

impl Recipients {
    /// Runs the command.
    ///
    /// # Errors
    /// If the repository cannot be read.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let key = context.key()?;
        let repository = context.repository(key.as_ref())?;
        let complete = report(context, &repository)?;
        Ok(if complete { Exit::Done } else { Exit::Warnings })
    }
}

/// Lists the recipients; tells whether the objects of all are there.
fn report(context: &Context, repository: &Repository) -> anyhow::Result<bool> {
    let statement = repository.statement();
    let records: Vec<Record> = statement.keys.iter().map(|entry| record(repository, entry)).collect();
    let mut table = Table::new(&[("ID", Align::Left), ("CAN RESTORE", Align::Left), ("STATE", Align::Left)]);
    for (entry, record) in statement.keys.iter().zip(&records) {
        let state = if record.present { "" } else { "missing from the store" };
        table.row([entry.id.short(), entry.recipient.clone(), state.to_owned()]);
    }
    context.say(&table.render())?;
    let complete = records.iter().all(|record| record.present);
    if !complete {
        tracing::warn!("keys/ objects are missing; the next backup of a host that kept copies puts them back, or copy them from a mirror");
    }
    context.document(&List {
        repository: repository.id().to_bech32(),
        statement: statement.number,
        generation: statement.content.iter().map(|entry| entry.generation).max().unwrap_or(0),
        recipients: records,
    })?;
    Ok(complete)
}

fn record(repository: &Repository, entry: &KeysEntry) -> Record {
    let present = repository.store().stat(&ObjectName::of_id(Folder::Keys, entry.id.as_bytes())).is_ok();
    Record { id: entry.id.to_string(), recipient: entry.recipient.clone(), present }
}

impl AddRecipient {
    /// Runs the command.
    ///
    /// # Errors
    /// If the key does not fit, or a recipient cannot be sealed to.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let mut admin = open_admin(context)?;
        for recipient in read_recipients(&self.recipients, &context.prompt())? {
            admin.add_recipient(&recipient)?;
        }
        report(context, admin.repository())?;
        Ok(Exit::Done)
    }
}

impl RemoveRecipient {
    /// Runs the command.
    ///
    /// # Errors
    /// If the key does not fit, there is no such recipient, or it is the last.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let mut admin = open_admin(context)?;
        let entry = admin.find_recipient(&self.recipient)?.clone();
        admin.remove_recipient(&entry)?;
        tracing::info!("what `{}` could read it may still read; `key rotate` shuts it out of later backups", entry.recipient);
        report(context, admin.repository())?;
        Ok(Exit::Done)
    }
}
