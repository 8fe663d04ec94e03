//! Repositories without keys, for tests: random blocks, index objects with a made-up sealed part, signed snapshots.

use std::sync::Arc;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};

use crate::model::id::{BlockId, CheckpointId, GroupId, IndexId, RefsId, RepositoryId, SnapshotId, StatementId, WriterId};
use crate::sealed::envelope::{self, Envelope, Sizes};
use crate::sealed::index::{self, BlockList};
use crate::sealed::pack::{Class, PackWriter, StoredPack};
use crate::sealed::refs::{self, Bitmap, Refs};
use crate::sealed::repository::{Repository, Trust};
use crate::sealed::signature::{Subject, VerifyKey};
use crate::sealed::statement::{self, Chunking, Features, Statement, UnknownFields};
use crate::sealed::{SealedError, marks, snapshots};
use crate::store::{Folder, ObjectName, Store};

/// Random numbers from a seed (SplitMix64).
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub fn one_in(&mut self, chance: usize) -> bool {
        self.below(chance) == 0
    }

    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        blake3::Hasher::new().update(&self.next().to_le_bytes()).finalize_xof().fill(&mut bytes);
        bytes
    }
}

fn key(number: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[number; 32]).unwrap()
}

fn verify_key(number: u8) -> VerifyKey {
    VerifyKey::from_bytes(key(number).public_key().as_ref().try_into().unwrap())
}

fn sign(number: u8, subject: Subject, scope: &RepositoryId, text: &[u8]) -> [u8; 64] {
    key(number).sign(&subject.message(scope, text)).as_ref().try_into().unwrap()
}

const ROOT: u8 = 255;

pub fn writer_id(number: u8) -> WriterId {
    WriterId::from_bytes([number; 32])
}

fn writer(number: u8, closed: Option<Vec<SnapshotId>>) -> statement::Writer {
    let (id, name) = (writer_id(number), format!("writer {number}"));
    statement::Writer { id, name, verify_key: verify_key(number), recipient: String::new(), closed, unknown: UnknownFields::new() }
}

fn put_statement(store: &dyn Store, statement: &Statement, id: &RepositoryId) -> StatementId {
    let text = statement.text().unwrap();
    let scope = statement::signing_scope(statement.number, id);
    let bytes = statement::encode(&text, &sign(ROOT, Subject::Statement, &scope, &text));
    store.put_new(&statement::name(statement.number), &bytes).unwrap();
    StatementId::of(&bytes)
}

/// Makes a repository whose writers are numbered from 0.
pub fn create(store: &dyn Store, writers: u8) -> RepositoryId {
    let statement = Statement {
        format: 1,
        number: 0,
        previous: None,
        made: "2026-01-01T00:00:00Z".into(),
        features: Features::default(),
        chunking: Chunking::default(),
        root_key: verify_key(ROOT),
        index_recipient: String::new(),
        writers: (0..writers).map(|number| writer(number, None)).collect(),
        content: Vec::new(),
        keys: Vec::new(),
        unknown: UnknownFields::new(),
    };
    RepositoryId::from_bytes(*put_statement(store, &statement, &RepositoryId::from_bytes([0; 32])).as_bytes())
}

/// Adds a statement that changes something.
pub fn amend(store: Arc<dyn Store>, change: impl FnOnce(&mut Statement)) -> Repository {
    let repository = open(Arc::clone(&store));
    let mut statement = repository.statement().clone();
    statement.number += 1;
    statement.previous = Some(repository.seen().1);
    change(&mut statement);
    put_statement(store.as_ref(), &statement, &repository.id());
    open(store)
}

/// Closes a writer; only the given snapshots still count.
pub fn close_writer(store: Arc<dyn Store>, number: u8, accepted: Vec<SnapshotId>) -> Repository {
    amend(store, |statement| {
        let closed = statement.writers.iter_mut().find(|writer| writer.id == writer_id(number)).unwrap();
        closed.closed = Some(accepted);
    })
}

pub fn open(store: Arc<dyn Store>) -> Repository {
    Repository::open(store, &Trust::default()).unwrap()
}

pub fn put_pack(store: &dyn Store, class: Class, blocks: &[Vec<u8>]) -> Result<StoredPack, SealedError> {
    let mut writer = PackWriter::new(store, class)?;
    for block in blocks {
        writer.block(BlockId::of(block), block)?;
    }
    writer.finish()
}

/// Stores an index object; `sealed` stands for the part that needs a key.
pub fn put_index(store: &dyn Store, packs: &[StoredPack], sealed: &[u8]) -> Result<(IndexId, BlockList), SealedError> {
    let list = BlockList { packs: packs.iter().map(|pack| (pack.id, pack.contents.clone())).collect() };
    let bytes = index::encode(&list, sealed);
    let id = IndexId::of(&bytes);
    store.put_new(&index::name(&id), &bytes)?;
    Ok((id, list))
}

pub fn put_refs(store: &dyn Store, refs: &Refs, nonce: &[u8]) -> Result<RefsId, SealedError> {
    let bytes = refs.encode_anew(nonce).unwrap();
    let id = RefsId::of(&bytes);
    store.put_new(&refs::name(&id), &bytes)?;
    Ok(id)
}

fn envelope(number: u8, sequence: u64, refs: RefsId, payload: Option<&[u8]>) -> Envelope {
    let group = GroupId::from_bytes([number; 32]);
    let time = jiff::Timestamp::UNIX_EPOCH;
    let payload = payload.map(|payload| blake3::hash(payload).to_hex().to_string());
    let sizes = Sizes::default();
    Envelope { writer: writer_id(number), sequence, parent: None, started: time, finished: time, group, refs, sizes, payload }
}

pub fn put_snapshot(repository: &Repository, number: u8, sequence: u64, refs: RefsId) -> Result<SnapshotId, SealedError> {
    let text = serde_json::to_vec(&envelope(number, sequence, refs, Some(b"payload"))).unwrap();
    let bytes = envelope::encode(Subject::Snapshot, &text, &sign(number, Subject::Snapshot, &repository.id(), &text), b"payload");
    let id = SnapshotId::of(&bytes);
    repository.store().put_new(&snapshots::name(Folder::Snapshots, &id), &bytes)?;
    Ok(id)
}

pub fn put_checkpoint(repository: &Repository, number: u8, sequence: u64, refs: RefsId) -> CheckpointId {
    let text = serde_json::to_vec(&envelope(number, sequence, refs, None)).unwrap();
    let bytes = envelope::encode(Subject::Checkpoint, &text, &sign(number, Subject::Checkpoint, &repository.id(), &text), &[]);
    let id = CheckpointId::of(&bytes);
    repository.store().put_new(&ObjectName::of_id(Folder::Checkpoints, id.as_bytes()), &bytes).unwrap();
    id
}

pub fn put_commit(store: &dyn Store, id: &SnapshotId) -> Result<(), SealedError> {
    store.put_new(&snapshots::name(Folder::Commits, id), &marks::encode_commit(id))?;
    Ok(())
}

/// Refs to some positions of one index object.
pub fn refs_to(index: IndexId, blocks: usize, positions: impl IntoIterator<Item = usize>) -> Refs {
    let mut bitmap = Bitmap::new(blocks);
    positions.into_iter().for_each(|position| bitmap.insert(position));
    Refs { indexes: [(index, bitmap)].into() }
}
