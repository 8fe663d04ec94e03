//! Administration: what only the root key may do, each by one new signed statement.
//!
//! ```text
//!   init ---------------------> statements 0 and 1, keys/ objects, key files
//!   restore key --keys/<id>--> Admin --add, remove, rotate, close--> statement n+1 (exclusive), keys/ objects
//! ```
//!
//! `keys/` objects are stored before the statement that names them, and the obsolete ones are removed after it: a crash in
//! between leaves objects that nothing names and nobody believes.

mod init;
mod recipient;
mod recipients;
mod writers;

use crate::content::ContentError;
use crate::content::keys::{ContentKeys, RestoreKey, SigningKey};
use crate::content::{seal, vault};
use crate::model::id::{KeysId, RepositoryId, StatementId};
use crate::sealed::limits;
use crate::sealed::repository::{Repository, Trust};
use crate::sealed::signature::Subject;
use crate::sealed::statement::{self, KeysEntry, Statement, UnknownFields};
use crate::store::{Folder, ObjectName, Put, Store};

pub use init::{InitOptions, NewRepository};
pub use recipient::KeyRecipient;
pub use writers::{Closing, check_name};

/// How often a statement is made anew because another administrator was quicker.
const ATTEMPTS: usize = 5;

/// A repository with its root key.
pub struct Admin {
    repository: Repository,
    keys: ContentKeys,
}

impl Admin {
    /// Opens the `keys/` object that `key` fits.
    ///
    /// # Errors
    /// If none opens, or what opens does not belong to this repository; or the repository needs a newer program.
    pub fn open(repository: Repository, key: &RestoreKey) -> Result<Self, ContentError> {
        repository.may_write()?;
        let keys = vault::unlock(&repository, key)?;
        Ok(Self { repository, keys })
    }

    /// The repository with the newest statement.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Signs and stores the next statement. `change` is asked again if another administrator was quicker.
    fn publish(&mut self, change: &mut dyn FnMut(&mut Statement) -> Result<(), ContentError>) -> Result<(), ContentError> {
        let content = self.repository.statement().content.clone();
        for _ in 0..ATTEMPTS {
            let mut next = self.repository.statement().clone();
            next.number += 1;
            next.previous = Some(self.repository.seen().1);
            next.made = now();
            change(&mut next)?;
            let (bytes, _) = sign(&next, &self.keys.root, &self.repository.id())?;
            let put = self.repository.store().put_new(&statement::name(next.number), &bytes)?;
            let trust = Trust { expected: Some(self.repository.id()), seen: Some(self.repository.seen()) };
            self.repository = Repository::open(self.repository.shared_store(), &trust)?;
            if put == Put::Created {
                return Ok(());
            }
            let known = self.repository.statement();
            if known.content != content || known.root_key != self.keys.root.verify_key() {
                return Err(ContentError::Other(
                    "another administrator rotated the keys at the same moment; nothing was changed here, run the command again".into(),
                ));
            }
        }
        Err(ContentError::Other("other administrators change the repository at the same time; try again when they are done".into()))
    }

    /// Removes a `keys/` object that no statement names any more. One that stays is believed by nobody, so that a store that
    /// refuses is no failure.
    fn discard(&self, id: &KeysId) {
        let _ = self.repository.store().delete(&keys_name(id));
    }
}

fn keys_name(id: &KeysId) -> ObjectName {
    ObjectName::of_id(Folder::Keys, id.as_bytes())
}

fn now() -> String {
    jiff::Timestamp::now().round(jiff::Unit::Second).unwrap_or_else(|_| jiff::Timestamp::now()).to_string()
}

/// The object of a statement, and its hash.
fn sign(statement: &Statement, root: &SigningKey, repository: &RepositoryId) -> Result<(Vec<u8>, StatementId), ContentError> {
    let text = statement.text().map_err(|why| ContentError::Other(why.to_string()))?;
    let scope = statement::signing_scope(statement.number, repository);
    let bytes = statement::encode(&text, &root.sign(Subject::Statement, &scope, &text));
    let id = StatementId::of(&bytes);
    Ok((bytes, id))
}

/// Seals the content keys to one recipient and stores the object.
fn store_keys(store: &dyn Store, keys: &ContentKeys, recipient: &KeyRecipient) -> Result<KeysEntry, ContentError> {
    let sealed = recipient.seal(keys.to_text().as_bytes())?;
    if sealed.len() as u64 > limits::PAYLOAD {
        return Err(ContentError::Other("the key object would be larger than 1 MiB; too many generations of the content key".into()));
    }
    let id = KeysId::of(&sealed);
    store.put_new(&keys_name(&id), &sealed)?;
    Ok(KeysEntry { id, recipient: recipient.label().to_owned(), unknown: UnknownFields::new() })
}

/// Seals bytes to one recipient.
fn seal_to(plain: &[u8], recipient: &dyn age::Recipient) -> Result<Vec<u8>, ContentError> {
    seal::seal(plain, &[recipient])
}

#[cfg(test)]
mod tests;
