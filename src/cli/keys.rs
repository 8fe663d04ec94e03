//! Keys as given on the command line.

use std::path::Path;

use crate::content::keys::{RestoreKey, WriterKey, read_key_file};
use crate::model::id::{RepositoryId, StatementId};

use super::prompt::Prompt;

/// A key of either kind.
pub enum Key {
    /// Adds backups.
    Writer(Box<WriterKey>),
    /// Reads them.
    Restore(RestoreKey),
}

impl Key {
    /// Reads a key file, or asks for a passphrase if the path is the word `passphrase`.
    ///
    /// # Errors
    /// If it cannot be read or is no key.
    pub fn read(path: &Path, prompt: &Prompt) -> anyhow::Result<Self> {
        if path == Path::new("passphrase") {
            return Ok(Key::Restore(RestoreKey::passphrase(prompt.passphrase("Passphrase")?)));
        }
        let text = read_key_file(path)?;
        if text.trim_start().starts_with('{') {
            return Ok(Key::Writer(Box::new(WriterKey::read(path)?)));
        }
        Ok(Key::Restore(RestoreKey::read(path, prompt.clone())?))
    }

    /// The repository that the key names.
    pub fn repository(&self) -> Option<RepositoryId> {
        match self {
            Key::Writer(key) => Some(key.repository),
            Key::Restore(key) => key.repository,
        }
    }

    /// The newest statement when the key was made.
    pub fn seen(&self) -> Option<(u64, StatementId)> {
        match self {
            Key::Writer(key) => Some(key.seen),
            Key::Restore(_) => None,
        }
    }
}
