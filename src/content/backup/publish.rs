//! Publishing: refs, the signed snapshot or checkpoint, and the commit.

use std::collections::BTreeMap;
use std::str::FromStr as _;
use std::sync::Mutex;

use age::x25519;

use super::state::{Journal, State};
use super::upload::StoredIndex;
use crate::content::ContentError;
use crate::content::keys::WriterKey;
use crate::content::payload::Payload;
use crate::content::secret::random;
use crate::model::id::{CheckpointId, GroupId, IndexId, RefsId, SnapshotId};
use crate::sealed::envelope::{self, Envelope, Sizes};
use crate::sealed::refs::{self, Bitmap, Refs};
use crate::sealed::repository::Repository;
use crate::sealed::signature::Subject;
use crate::sealed::{marks, snapshots};
use crate::store::{Folder, ObjectName, Store};

/// Signs and stores what makes a run visible.
pub struct Publisher<'a> {
    repository: Repository,
    key: &'a WriterKey,
    state: &'a State,
    journal: Mutex<Journal>,
    /// The group of this run.
    pub group: GroupId,
    /// When the run began.
    pub started: jiff::Timestamp,
    /// The group's previous snapshot.
    pub parent: Option<SnapshotId>,
    /// What earlier runs stored for this group that came to no snapshot: checkpoints go on naming it.
    pub unfinished: BTreeMap<IndexId, Bitmap>,
}

/// Stores refs, always as a new object: an equal one may have been condemned for good.
///
/// # Errors
/// If the store fails.
pub fn put_refs(store: &dyn Store, refs: &Refs) -> Result<RefsId, ContentError> {
    let bytes = refs.encode_anew(random::<16>()?.as_slice()).map_err(|why| ContentError::Other(why.to_string()))?;
    let id = RefsId::of(&bytes);
    store.put_new(&refs::name(&id), &bytes)?;
    Ok(id)
}

impl<'a> Publisher<'a> {
    /// A publisher for one run; `sequence` is the highest number found in the repository.
    pub fn new(repository: Repository, key: &'a WriterKey, state: &'a State, group: GroupId, sequence: u64) -> Self {
        let mut journal = state.journal();
        journal.sequence = journal.sequence.max(sequence);
        Self {
            repository,
            key,
            state,
            journal: Mutex::new(journal),
            group,
            started: jiff::Timestamp::now(),
            parent: None,
            unfinished: BTreeMap::new(),
        }
    }

    fn with_journal<T>(&self, change: impl FnOnce(&mut Journal) -> T) -> Result<T, ContentError> {
        let mut journal = self.journal.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let result = change(&mut journal);
        self.state.save_journal(&journal)?;
        Ok(result)
    }

    /// The next sequence number, never given again, not even after a crash.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub fn next_sequence(&self) -> Result<u64, ContentError> {
        let next = self.with_journal(|journal| {
            journal.sequence = journal.sequence.checked_add(1)?;
            Some(journal.sequence)
        })?;
        next.ok_or_else(|| ContentError::Other("the writer's sequence numbers are used up; add a new writer with `key add-writer`".into()))
    }

    fn envelope(&self, sequence: u64, refs: RefsId, sizes: Sizes) -> Envelope {
        Envelope {
            writer: self.key.writer,
            sequence,
            parent: self.parent,
            started: self.started,
            finished: jiff::Timestamp::now(),
            group: self.group,
            refs,
            sizes,
            payload: None,
        }
    }

    fn sign(&self, subject: Subject, envelope: &Envelope, payload: &[u8]) -> Result<Vec<u8>, ContentError> {
        let text = serde_json::to_vec(envelope).map_err(|error| ContentError::Other(error.to_string()))?;
        let signature = self.key.signing.sign(subject, &self.repository.id(), &text);
        Ok(envelope::encode(subject, &text, &signature, payload))
    }

    /// Names index objects written so far, so that an interrupted run can be continued.
    ///
    /// # Errors
    /// If the store or the journal fails.
    pub fn checkpoint(&self, indexes: &[StoredIndex]) -> Result<(), ContentError> {
        if indexes.is_empty() && self.unfinished.is_empty() {
            return Ok(());
        }
        let store = self.repository.store();
        let mut refs = Refs { indexes: self.unfinished.clone() };
        refs.indexes.extend(indexes.iter().map(|index| (index.id, Bitmap::full(index.ordinals.len()))));
        let blocks = refs.indexes.values().map(|bitmap| bitmap.count() as u64).sum();
        let refs = put_refs(store, &refs)?;
        let envelope = self.envelope(self.next_sequence()?, refs, Sizes { added: 0, blocks });
        let bytes = self.sign(Subject::Checkpoint, &envelope, &[])?;
        let id = CheckpointId::of(&bytes);
        store.put_new(&ObjectName::of_id(Folder::Checkpoints, id.as_bytes()), &bytes)?;
        Ok(())
    }

    /// Seals the payload, signs the envelope, and makes the snapshot visible. It is not yet committed.
    ///
    /// # Errors
    /// If the store or the journal fails.
    pub fn snapshot(&self, payload: &mut Payload, refs: RefsId, sizes: Sizes) -> Result<SnapshotId, ContentError> {
        let sequence = self.next_sequence()?;
        payload.sequence = sequence;
        let content = content_recipient(&self.repository)?;
        let sealed = payload.seal(&[&content, &self.key.identity.to_public()])?;
        let mut envelope = self.envelope(sequence, refs, sizes);
        envelope.payload = Some(blake3::hash(&sealed).to_hex().to_string());
        let bytes = self.sign(Subject::Snapshot, &envelope, &sealed)?;
        let id = SnapshotId::of(&bytes);
        // Noted before it is visible: after a crash the next run decides about it.
        self.with_journal(|journal| journal.undecided.push(id))?;
        self.repository.store().put_new(&snapshots::name(Folder::Snapshots, &id), &bytes)?;
        Ok(id)
    }

    /// Declares a verified snapshot whole.
    ///
    /// # Errors
    /// If the store or the journal fails.
    pub fn commit(&self, id: &SnapshotId) -> Result<(), ContentError> {
        self.repository.store().put_new(&snapshots::name(Folder::Commits, id), &marks::encode_commit(id))?;
        self.with_journal(|journal| journal.undecided.retain(|undecided| undecided != id))
    }

    /// Takes back a snapshot that was never committed.
    ///
    /// # Errors
    /// If the journal fails; a store that refuses deletes (a hub) is no error.
    pub fn withdraw(&self, id: &SnapshotId) -> Result<(), ContentError> {
        let _ = self.repository.store().delete(&snapshots::name(Folder::Snapshots, id));
        self.with_journal(|journal| journal.undecided.retain(|undecided| undecided != id))
    }

    /// Snapshots that an earlier run left undecided.
    pub fn undecided(&self) -> Vec<SnapshotId> {
        self.journal.lock().unwrap_or_else(std::sync::PoisonError::into_inner).undecided.clone()
    }
}

/// The content key's public half that new blocks are sealed to.
///
/// # Errors
/// If the statement names none that can be used.
pub fn content_recipient(repository: &Repository) -> Result<x25519::Recipient, ContentError> {
    let text = repository.statement().content_recipient().unwrap_or_default();
    x25519::Recipient::from_str(text)
        .map_err(|why| ContentError::damaged("the newest statement", format!("its content recipient is unusable ({why})")))
}

/// The recipient of index objects.
///
/// # Errors
/// If the statement names none that can be used.
pub fn index_recipient(repository: &Repository) -> Result<x25519::Recipient, ContentError> {
    let text = &repository.statement().index_recipient;
    x25519::Recipient::from_str(text)
        .map_err(|why| ContentError::damaged("the newest statement", format!("its index recipient is unusable ({why})")))
}
