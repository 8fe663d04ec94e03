//! A new repository.
//!
//! Statement 0 names neither content key nor recipients, because `keys/` objects carry the repository id, which is the hash of
//! statement 0. Statement 1 names them. They are stored in reverse: keys/ objects, `repo/1`, the key files, and last `repo/0`,
//! with which the repository exists. A crash before leaves no repository, and `init` starts afresh over what it left.

use std::sync::Arc;

use age::x25519;
use zeroize::Zeroizing;

use super::{KeyRecipient, now, sign, store_keys, writers};
use crate::content::ContentError;
use crate::content::keys::{ContentKeys, SigningKey, WriterKey, restore_key_text};
use crate::content::secret::ChunkSecret;
use crate::model::id::RepositoryId;
use crate::sealed::SealedError;
use crate::sealed::repository::{Repository, Trust};
use crate::sealed::statement::{self, Chunking, ContentRecipient, FORMAT, Features, Statement, UnknownFields};
use crate::store::{Put, Store};

/// What to decide when a repository is made.
#[derive(Debug, Clone, Default)]
pub struct InitOptions {
    /// How content is cut, for ever.
    pub chunking: Chunking,
    /// Label of the first writer, such as the host's name.
    pub writer: String,
}

/// A repository that is made up but not stored yet.
pub struct NewRepository {
    statement: Vec<u8>,
    id: RepositoryId,
    second: Statement,
    keys: ContentKeys,
    writer: WriterKey,
    restore: Option<x25519::Identity>,
    recipients: Vec<KeyRecipient>,
}

impl NewRepository {
    /// Draws all keys. Without recipients a restore key is drawn too.
    ///
    /// # Errors
    /// If the options are out of bounds, or the system has no random bytes to give.
    pub fn generate(options: &InitOptions, mut recipients: Vec<KeyRecipient>) -> Result<Self, ContentError> {
        options
            .chunking
            .validate()
            .map_err(|why| ContentError::Other(format!("{why}; the mean must be a power of two from 1 KiB to 2 MiB")))?;
        writers::check_name(&options.writer)?;
        let root = SigningKey::generate()?;
        let index_identity = x25519::Identity::generate();
        let content = x25519::Identity::generate();
        let first = Statement {
            format: FORMAT,
            number: 0,
            previous: None,
            made: now(),
            features: Features::default(),
            chunking: options.chunking,
            root_key: root.verify_key(),
            index_recipient: index_identity.to_public().to_string(),
            writers: Vec::new(),
            content: Vec::new(),
            keys: Vec::new(),
            unknown: UnknownFields::new(),
        };
        let (bytes, hash) = sign(&first, &root, &RepositoryId::from_bytes([0; 32]))?;
        let id = RepositoryId::from_bytes(*hash.as_bytes());
        let restore = recipients.is_empty().then(x25519::Identity::generate);
        if let Some(identity) = &restore {
            recipients.push(KeyRecipient::parse(&identity.to_public().to_string(), age::NoCallbacks)?);
        }
        let keys = ContentKeys { repository: id, identities: vec![content], root, chunk_secret: ChunkSecret::generate()?, index_identity };
        let content_recipient = keys.content_recipient()?;
        let writer = writers::new_key(&keys, content_recipient.clone(), &options.writer, (0, hash))?;
        let mut second = Statement { number: 1, previous: Some(hash), ..first };
        second.content.push(ContentRecipient { generation: 0, recipient: content_recipient.to_string(), unknown: UnknownFields::new() });
        second.writers.push(writers::entry(&writer));
        Ok(Self { statement: bytes, id, second, keys, writer, restore, recipients })
    }

    /// Its id.
    pub fn id(&self) -> RepositoryId {
        self.id
    }

    /// The restore key file's text, unless others were named as recipients.
    pub fn restore_key_text(&self) -> Option<Zeroizing<String>> {
        self.restore.as_ref().map(|identity| restore_key_text(identity, &self.id))
    }

    /// Stores the repository. `keep` is given the first writer's key once all is stored but the object that makes the repository
    /// exist: it writes the key files. Returns the repository and the key.
    ///
    /// # Errors
    /// If the store holds a repository, or it or `keep` fails; then there is no repository.
    pub fn publish(
        mut self,
        store: Arc<dyn Store>,
        keep: &mut dyn FnMut(&WriterKey) -> Result<(), ContentError>,
    ) -> Result<(Repository, WriterKey), ContentError> {
        refuse_existing(store.as_ref())?;
        for recipient in &self.recipients {
            self.second.keys.push(store_keys(store.as_ref(), &self.keys, recipient)?);
        }
        let (bytes, hash) = sign(&self.second, &self.keys.root, &self.id)?;
        // Without `repo/0` there is no repository, so a `repo/1` is what a crashed `init` left.
        let second = statement::name(1);
        store.delete(&second)?;
        store.put_new(&second, &bytes)?;
        self.writer.seen = (1, hash);
        keep(&self.writer)?;
        if store.put_new(&statement::name(0), &self.statement)? == Put::Exists {
            return Err(exists(store.as_ref()));
        }
        let trust = Trust { expected: Some(self.id), seen: Some((1, hash)) };
        let repository = Repository::open(store, &trust).map_err(|error| match error {
            SealedError::Forged { .. } | SealedError::RolledBack { .. } => ContentError::Other(format!(
                "two `init` ran here at the same moment and spoiled each other's work; remove the directory and run one ({error})"
            )),
            error => error.into(),
        })?;
        Ok((repository, self.writer))
    }
}

fn exists(store: &dyn Store) -> ContentError {
    let location = store.location();
    ContentError::Other(format!(
        "{location} holds a repository already; it was left as it is. Add a host to it with `hearth-backup key add-writer`, \
         or choose another directory"
    ))
}

fn refuse_existing(store: &dyn Store) -> Result<(), ContentError> {
    match Repository::claimed_id(store)? {
        Some(_) => Err(exists(store)),
        None => Ok(()),
    }
}
