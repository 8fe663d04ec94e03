//! `init`: makes a repository and its keys.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;

use crate::cli::args;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, UsageError};
use crate::cli::prompt::Prompt;
use crate::cli::render::text;
use crate::content::admin::{InitOptions, KeyRecipient, NewRepository};
use crate::content::keys::write_key_file;
use crate::model::id::RepositoryId;
use crate::model::shell::quoted;
use crate::sealed::repository::Repository;
use crate::sealed::statement::Chunking;
use crate::store::{Store, open};

/// Make a repository and the keys to it
#[derive(Debug, Args)]
pub struct Init {
    /// Where to write the first writer key, for the host that backs up
    #[arg(long, value_name = "FILE", default_value = "hearth-writer.key")]
    writer_key: PathBuf,

    /// Where to write the restore key, to be kept off the hosts [default: hearth-restore.key]
    #[arg(long, value_name = "FILE", conflicts_with = "recipients")]
    restore_key: Option<PathBuf>,

    /// Who can restore, instead of a new restore key: age1..., ssh-ed25519 ..., ssh-rsa ..., a plugin's recipient, a file with
    /// one of these on each line, or `passphrase`
    #[arg(long = "recipient", value_name = "AGE")]
    recipients: Vec<String>,

    /// Name of the first writer [default: this host's name]
    #[arg(long, value_name = "NAME")]
    writer_name: Option<String>,

    /// Mean size of chunks, a power of two; larger ones suit repositories above 10 TB
    #[arg(long, value_name = "SIZE", default_value = "64KiB", value_parser = args::size)]
    chunk_size: u64,
}

#[derive(Serialize)]
struct Made<'a> {
    repository: String,
    location: String,
    writer: String,
    writer_key: &'a Path,
    restore_key: Option<&'a Path>,
    recipients: Vec<&'a str>,
}

impl Init {
    /// Runs the command.
    ///
    /// # Errors
    /// If there is a repository, a key file of that name, or anything cannot be written.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let recipients = read_recipients(&self.recipients, &context.prompt())?;
        let restore_key = recipients.is_empty().then(|| self.restore_key.clone().unwrap_or_else(|| "hearth-restore.key".into()));
        let directory = context.directory()?.map(std::path::absolute).transpose()?;
        for file in restore_key.iter().chain([&self.writer_key]) {
            check_key_path(file, directory.as_deref())?;
        }
        anyhow::ensure!(restore_key.as_ref() != Some(&self.writer_key), "the two key files have the same name; give each its own");
        let options = InitOptions {
            chunking: chunking(self.chunk_size)?,
            writer: self.writer_name.clone().map_or_else(super::backup::host_name, Ok)?,
        };
        let new = NewRepository::generate(&options, recipients)?;
        let restore_text = new.restore_key_text();
        let (id, store) = (new.id(), open::create(context.location()?, &context.access()?)?.store);
        let mut written: Vec<&Path> = Vec::new();
        let published = new.publish(Arc::clone(&store), &mut |writer| {
            if let (Some(file), Some(text)) = (&restore_key, &restore_text) {
                write_key_file(file, text)?;
                written.push(file);
            }
            write_key_file(&self.writer_key, &writer.to_text()?)?;
            written.push(&self.writer_key);
            Ok(())
        });
        let (repository, writer) = published.inspect_err(|_| {
            if is_absent(store.as_ref(), id) {
                written.iter().for_each(|file| drop(std::fs::remove_file(file)));
            }
        })?;
        context.known()?.remember(&repository.store().location(), repository.id());
        context.document(&Made {
            repository: repository.id().to_bech32(),
            location: repository.store().location(),
            writer: writer.writer.to_string(),
            writer_key: &self.writer_key,
            restore_key: restore_key.as_deref(),
            recipients: repository.statement().keys.iter().map(|entry| entry.recipient.as_str()).collect(),
        })?;
        context.summary(&summary(&repository, &self.writer_key, restore_key.as_deref()))?;
        Ok(Exit::Done)
    }
}

/// Whether the repository is certainly not there, so that keys to it are keys to nothing.
fn is_absent(store: &dyn Store, id: RepositoryId) -> bool {
    match Repository::claimed_id(store) {
        Ok(found) => found != Some(id),
        Err(_) => false,
    }
}

fn summary(repository: &Repository, writer: &Path, restore: Option<&Path>) -> String {
    let location = repository.store().location();
    let mut rows = vec![
        ("Repository", repository.id().to_bech32()),
        ("Location", location.clone()),
        ("Writer key", format!("{}  adds backups; stays on this host", writer.display())),
    ];
    match restore {
        Some(file) => rows.push(("Restore key", format!("{}  reads everything; move it off this host, keep two copies", file.display()))),
        None => {
            let recipients = repository.statement().keys.iter().map(|entry| ("Can restore", entry.recipient.clone()));
            rows.extend(recipients);
        }
    }
    let (place, key) = (quoted(&location), writer.display().to_string());
    format!("{}\nNext: hearth-backup backup --repo {place} --key {} PATH...\n", text::fields(&rows), quoted(&key))
}

/// Key files are refused before anything is written: over existing files, and inside the repository.
fn check_key_path(file: &Path, repository: Option<&Path>) -> anyhow::Result<()> {
    if file.symlink_metadata().is_ok() {
        anyhow::bail!("{} exists already; keys are never overwritten, choose another name", file.display());
    }
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let parent = parent.canonicalize().with_context(|| format!("the directory of {} cannot be used", file.display()))?;
    let inside = |repository: &Path| parent.starts_with(repository) || repository.canonicalize().is_ok_and(|it| parent.starts_with(it));
    if repository.is_some_and(inside) {
        return Err(UsageError::new(format!(
            "{} would lie in the repository, where whoever keeps the backups can take it; write it elsewhere",
            file.display()
        )));
    }
    Ok(())
}

fn chunking(mean: u64) -> anyhow::Result<Chunking> {
    let wrong = || UsageError::new("--chunk-size must be a power of two from 1KiB to 2MiB");
    let avg = u32::try_from(mean).ok().filter(|avg| avg.is_power_of_two() && (1 << 10..=2 << 20).contains(avg)).ok_or_else(wrong)?;
    Ok(Chunking { min: avg / 4, avg, max: avg * 4 })
}

/// Reads recipients as users give them; a file stands for the lines in it.
///
/// # Errors
/// If one is not a recipient.
pub fn read_recipients(texts: &[String], prompt: &Prompt) -> anyhow::Result<Vec<KeyRecipient>> {
    let mut recipients = Vec::new();
    for text in texts {
        let text = text.trim();
        if text == "passphrase" {
            recipients.push(KeyRecipient::passphrase(prompt.new_passphrase("Passphrase that will restore")?));
        } else if !text.starts_with("age1") && !text.starts_with("ssh-") && Path::new(text).is_file() {
            let lines = std::fs::read_to_string(text).with_context(|| format!("cannot read the recipients in {text}"))?;
            let lines = lines.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
            for line in lines {
                recipients.push(KeyRecipient::parse(line, prompt.clone()).with_context(|| format!("in {text}"))?);
            }
        } else {
            recipients.push(KeyRecipient::parse(text, prompt.clone())?);
        }
    }
    anyhow::ensure!(texts.is_empty() || !recipients.is_empty(), "the files given as recipients hold none");
    Ok(recipients)
}
