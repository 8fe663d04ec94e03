//! `key inspect`: what a key is for, without printing secrets.

use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::render::text;
use crate::content::keys::{WriterKey, looks_like_identity, read_key_file};

/// Say what a key file is for, without printing secrets
#[derive(Debug, Args)]
pub struct Inspect {
    /// The key file
    file: PathBuf,
}

#[derive(Serialize)]
struct Report<'a> {
    file: &'a Path,
    /// `writer` or `restore`.
    kind: &'static str,
    form: &'static str,
    repository: Option<String>,
    public_key: Option<String>,
    writer: Option<String>,
    name: Option<String>,
    statement: Option<u64>,
}

impl Inspect {
    /// Runs the command.
    ///
    /// # Errors
    /// If the file is no key.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let text = read_key_file(&self.file)?;
        let report = if text.trim_start().starts_with('{') { self.writer()? } else { self.restore(&text)? };
        context.document(&report)?;
        context.say(&render(&report))?;
        Ok(Exit::Done)
    }

    fn writer(&self) -> anyhow::Result<Report<'_>> {
        let key = WriterKey::read(&self.file)?;
        Ok(Report {
            file: &self.file,
            kind: "writer",
            form: "hearth-backup writer key",
            repository: Some(key.repository.to_bech32()),
            public_key: Some(key.identity.to_public().to_string()),
            writer: Some(key.writer.to_string()),
            name: Some(key.name),
            statement: Some(key.seen.0),
        })
    }

    /// Looks at the text only: nothing is decrypted and nobody is asked for a passphrase.
    fn restore(&self, text: &str) -> anyhow::Result<Report<'_>> {
        let encrypted = text.starts_with("-----BEGIN AGE ENCRYPTED FILE") || text.starts_with("age-encryption.org/");
        let form = match text {
            _ if encrypted => "age identities, encrypted with a passphrase",
            text if text.starts_with("-----BEGIN") => "SSH private key",
            text if text.contains("AGE-PLUGIN-") => "age plugin identity",
            text if text.contains("AGE-SECRET-KEY-") => "age identity",
            text if looks_like_identity(text) => "age identity",
            _ => bail!("{} is neither a writer key nor an age identity or SSH key", self.file.display()),
        };
        let line = |prefix: &str| text.lines().find_map(|line| line.strip_prefix(prefix)).map(|value| value.trim().to_owned());
        Ok(Report {
            file: &self.file,
            kind: "restore",
            form,
            repository: line("# repository: "),
            public_key: line("# public key: "),
            writer: None,
            name: None,
            statement: None,
        })
    }
}

fn render(report: &Report<'_>) -> String {
    let purpose = match report.kind {
        "writer" => "adds backups and lists its own labels; cannot read content, delete, or speak for another writer",
        _ => "reads every backup of the repositories that name it, and administers them; keep it off the hosts",
    };
    let mut rows = vec![("Key", format!("{} ({})", report.kind, report.form)), ("For", purpose.to_owned())];
    let optional = [
        ("Repository", report.repository.clone().or_else(|| Some("not said in the file".into()))),
        ("Name", report.name.clone()),
        ("Writer id", report.writer.clone()),
        ("Public key", report.public_key.clone()),
        ("Made at", report.statement.map(|number| format!("statement {number}"))),
    ];
    rows.extend(optional.into_iter().filter_map(|(name, value)| value.map(|value| (name, value))));
    text::fields(&rows)
}
