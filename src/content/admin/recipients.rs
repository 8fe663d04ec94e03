//! Who can restore: one `keys/` object per recipient; and a new content key for all of them.

use age::x25519;

use super::{Admin, KeyRecipient, store_keys};
use crate::content::ContentError;
use crate::content::keys::{ContentKeys, SigningKey};
use crate::sealed::statement::{ContentRecipient, KeysEntry, UnknownFields};

impl Admin {
    /// Lets another recipient restore everything, past and future.
    ///
    /// # Errors
    /// If it is a recipient already, cannot be sealed to, or the store fails.
    pub fn add_recipient(&mut self, recipient: &KeyRecipient) -> Result<KeysEntry, ContentError> {
        let known = &self.repository.statement().keys;
        if !recipient.is_passphrase() && known.iter().any(|entry| entry.recipient == recipient.label()) {
            return Err(ContentError::Other(format!("`{}` is a recipient already", recipient.label())));
        }
        let entry = store_keys(self.repository.store(), &self.keys, recipient)?;
        self.publish(&mut |statement| {
            statement.keys.push(entry.clone());
            Ok(())
        })?;
        Ok(entry)
    }

    /// The recipient spelled `text`, or whose `keys/` object's id starts with it.
    ///
    /// # Errors
    /// If there is none, or more than one; names the candidates.
    pub fn find_recipient(&self, text: &str) -> Result<&KeysEntry, ContentError> {
        let keys = &self.repository.statement().keys;
        let text = text.trim();
        let fits = |entry: &&KeysEntry| entry.recipient == text || (text.len() >= 4 && entry.id.to_string().starts_with(text));
        let found: Vec<&KeysEntry> = keys.iter().filter(fits).collect();
        match found.as_slice() {
            [entry] => Ok(entry),
            [] => Err(ContentError::Other(format!("`{text}` is no recipient; there are: {}", list(keys)))),
            _ => Err(ContentError::Other(format!("`{text}` may be any of these, give the id: {}", list(found)))),
        }
    }

    /// Takes a recipient off the list. It can still open what it could read before; rotate the key to shut it out of what follows.
    ///
    /// # Errors
    /// If it is the last one, or the store fails.
    pub fn remove_recipient(&mut self, entry: &KeysEntry) -> Result<(), ContentError> {
        let id = entry.id;
        self.publish(&mut |statement| {
            statement.keys.retain(|entry| entry.id != id);
            match statement.keys.is_empty() {
                true => Err(ContentError::Other(
                    "this is the only recipient: without it nobody could restore. Add another with `key add-recipient` first".into(),
                )),
                false => Ok(()),
            }
        })?;
        self.discard(&id);
        Ok(())
    }

    /// Makes a new generation of the content key, and a new root key, for all recipients. Writers learn of it at their next run.
    /// `recipient` turns each entry's text into a recipient; a passphrase has to be asked for again.
    ///
    /// # Errors
    /// If a recipient cannot be sealed to, or the store fails; then nothing has changed.
    pub fn rotate(&mut self, recipient: &mut dyn FnMut(&KeysEntry) -> Result<KeyRecipient, ContentError>) -> Result<u32, ContentError> {
        let old = self.repository.statement().keys.clone();
        let recipients = old.iter().map(recipient).collect::<Result<Vec<_>, _>>()?;
        let generation = self.repository.statement().content.iter().map(|entry| entry.generation + 1).max().unwrap_or(0);
        let mut identities = vec![x25519::Identity::generate()];
        identities.extend(self.keys.identities.iter().cloned());
        let keys = ContentKeys {
            repository: self.keys.repository,
            identities,
            root: SigningKey::generate()?,
            chunk_secret: self.keys.chunk_secret.clone(),
            index_identity: self.keys.index_identity.clone(),
        };
        let content = ContentRecipient { generation, recipient: keys.content_recipient()?.to_string(), unknown: UnknownFields::new() };
        let store = self.repository.shared_store();
        let entries = recipients.iter().map(|recipient| store_keys(store.as_ref(), &keys, recipient)).collect::<Result<Vec<_>, _>>()?;
        let root = keys.root.verify_key();
        self.publish(&mut |statement| {
            if statement.keys != old {
                return Err(ContentError::Other(
                    "another administrator changed the recipients at the same moment; run the command again".into(),
                ));
            }
            statement.root_key = root;
            statement.content.push(content.clone());
            statement.keys.clone_from(&entries);
            Ok(())
        })?;
        self.keys = keys;
        old.iter().for_each(|entry| self.discard(&entry.id));
        Ok(generation)
    }
}

fn list<'a>(entries: impl IntoIterator<Item = &'a KeysEntry>) -> String {
    let names: Vec<_> = entries.into_iter().map(|entry| format!("{} ({})", entry.recipient, entry.id.short())).collect();
    names.join(", ")
}
