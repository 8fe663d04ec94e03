//! A repository made for tests, without key files.

use std::sync::Arc;

use age::x25519::Identity;

use crate::content::keys::{ContentKeys, RestoreKey, SigningKey, WriterKey};
use crate::content::seal;
use crate::content::secret::ChunkSecret;
use crate::content::vault::Vault;
use crate::model::id::{KeysId, RepositoryId, StatementId, WriterId};
use crate::sealed::repository::{Repository, Trust};
use crate::sealed::signature::Subject;
use crate::sealed::statement::{self, Chunking, ContentRecipient, Features, KeysEntry, Statement, UnknownFields, Writer};
use crate::store::{Folder, ObjectName, Store};

/// A repository with one writer and its restore key.
pub struct Fixture {
    pub store: Arc<dyn Store>,
    pub key: WriterKey,
    pub restore: Identity,
}

fn put_statement(store: &dyn Store, statement: &Statement, root: &SigningKey, id: &RepositoryId) -> StatementId {
    let text = statement.text().unwrap();
    let scope = statement::signing_scope(statement.number, id);
    let bytes = statement::encode(&text, &root.sign(Subject::Statement, &scope, &text));
    store.put_new(&statement::name(statement.number), &bytes).unwrap();
    StatementId::of(&bytes)
}

impl Fixture {
    pub fn new(store: Arc<dyn Store>) -> Self {
        let root = SigningKey::generate().unwrap();
        let (content, index, own, restore) = (Identity::generate(), Identity::generate(), Identity::generate(), Identity::generate());
        let (signing, chunk_secret) = (SigningKey::generate().unwrap(), ChunkSecret::generate().unwrap());
        let writer = WriterId::from_bytes([1; 32]);
        let mut statement = Statement {
            format: 1,
            number: 0,
            previous: None,
            made: "2026-01-01T00:00:00Z".into(),
            features: Features::default(),
            chunking: Chunking::default(),
            root_key: root.verify_key(),
            index_recipient: index.to_public().to_string(),
            writers: vec![Writer {
                id: writer,
                name: "test".into(),
                verify_key: signing.verify_key(),
                recipient: own.to_public().to_string(),
                closed: None,
                unknown: UnknownFields::new(),
            }],
            content: vec![ContentRecipient { generation: 0, recipient: content.to_public().to_string(), unknown: UnknownFields::new() }],
            keys: Vec::new(),
            unknown: UnknownFields::new(),
        };
        let first = put_statement(store.as_ref(), &statement, &root, &RepositoryId::from_bytes([0; 32]));
        let repository = RepositoryId::from_bytes(*first.as_bytes());
        let content_recipient = content.to_public();
        let keys =
            ContentKeys { repository, identities: vec![content], root, chunk_secret: chunk_secret.clone(), index_identity: index.clone() };
        let sealed = seal::seal(keys.to_text().as_bytes(), &[&restore.to_public()]).unwrap();
        let keys_id = KeysId::of(&sealed);
        store.put_new(&ObjectName::of_id(Folder::Keys, keys_id.as_bytes()), &sealed).unwrap();
        statement.number = 1;
        statement.previous = Some(first);
        statement.keys = vec![KeysEntry { id: keys_id, recipient: restore.to_public().to_string(), unknown: UnknownFields::new() }];
        let newest = put_statement(store.as_ref(), &statement, &keys.root, &repository);
        let key = WriterKey {
            repository,
            name: "test".into(),
            writer,
            signing,
            chunk_secret,
            index_identity: index,
            identity: own,
            content_recipient,
            seen: (1, newest),
        };
        Self { store, key, restore }
    }

    pub fn repository(&self) -> Repository {
        Repository::open(Arc::clone(&self.store), &Trust { expected: Some(self.key.repository), seen: Some(self.key.seen) }).unwrap()
    }

    pub fn vault(&self) -> Vault {
        let key = RestoreKey { identities: vec![Box::new(self.restore.clone())], repository: None, origin: "test".into() };
        Vault::open(self.repository(), &key).unwrap()
    }
}
