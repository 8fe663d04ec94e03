//! All snapshots and checkpoints of a repository, verified, with what is known of each without a key.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::SystemTime;

use jiff::Timestamp;

use crate::model::id::{CheckpointId, SnapshotId};
use crate::sealed::codec::FormatError;
use crate::sealed::envelope::{self, Envelope, SignedEnvelope};
use crate::sealed::repository::Repository;
use crate::sealed::signature::Subject;
use crate::sealed::{SealedError, limits, marks};
use crate::store::layer::ListedStore;
use crate::store::{Folder, ObjectInfo, ObjectName, Store};

/// Whom a signature says it is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signer {
    /// A writer named by the newest statement.
    Known,
    /// Nobody known: made up, or a writer whose statement has not arrived.
    Unknown,
    /// A closed writer, and the snapshot is not among those that still count.
    Closed,
}

/// A snapshot without its payload's meaning.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Its id.
    pub id: SnapshotId,
    /// Its signed clear part.
    pub envelope: Envelope,
    /// Who signed it.
    pub signer: Signer,
    /// Whether its writer has verified it.
    pub committed: bool,
    /// Whether it is kept whatever the policy says.
    pub pinned: bool,
    /// When the keeper received it: the `received/` record, else the store's time.
    pub received: SystemTime,
    /// The store's time of the object, to compare with the store's clock.
    pub stored: SystemTime,
}

impl Snapshot {
    /// When the keeper received it; a time out of bounds is the earliest there is.
    pub fn received_at(&self) -> Timestamp {
        Timestamp::try_from(self.received).unwrap_or(Timestamp::MIN)
    }

    /// Whether readers and retention count it.
    pub fn counts(&self) -> bool {
        self.committed && self.signer == Signer::Known
    }
}

/// A checkpoint of an unfinished run.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// Its id.
    pub id: CheckpointId,
    /// Its signed clear part.
    pub envelope: Envelope,
    /// Who signed it.
    pub signer: Signer,
    /// The store's time of the object.
    pub stored: SystemTime,
}

/// The snapshots found, and the objects that are none.
#[derive(Debug, Default)]
pub struct Snapshots {
    /// Readable ones, oldest first by received time.
    pub list: Vec<Snapshot>,
    /// Objects in `snapshots/` that are damaged or from a newer program, with the reason.
    pub unreadable: Vec<(ObjectName, SealedError)>,
}

/// The name of a snapshot in one of the folders that hold something under its id.
pub fn name(folder: Folder, id: &SnapshotId) -> ObjectName {
    ObjectName::of_id(folder, id.as_bytes())
}

fn signer(repository: &Repository, signed: &SignedEnvelope, id: Option<&SnapshotId>) -> Signer {
    let Some(writer) = repository.statement().writer(&signed.envelope.writer) else { return Signer::Unknown };
    if !signed.signed_by(&writer.verify_key, &repository.id()) {
        return Signer::Unknown;
    }
    match &writer.closed {
        Some(accepted) if id.is_none_or(|id| !accepted.contains(id)) => Signer::Closed,
        _ => Signer::Known,
    }
}

fn ids_in(store: &dyn Store, folder: Folder) -> Result<HashSet<String>, SealedError> {
    Ok(store.list(folder)?.into_iter().map(|info| info.name.leaf().to_owned()).collect())
}

fn received_times(store: &dyn Store) -> Result<HashMap<String, SystemTime>, SealedError> {
    let mut times = HashMap::new();
    for info in store.list(Folder::Received)? {
        if let Ok(bytes) = store.get(&info.name, limits::PAYLOAD)
            && let Ok(record) = marks::parse_received(&bytes)
        {
            times.insert(info.name.leaf().to_owned(), record.received.into());
        }
    }
    Ok(times)
}

/// The bytes of a snapshot object, checked against its id.
///
/// # Errors
/// If it is missing or damaged.
pub fn read_bytes(store: &dyn Store, folder: Folder, id: &SnapshotId) -> Result<Vec<u8>, SealedError> {
    let name = name(folder, id);
    let bytes = store.get(&name, limits::PAYLOAD + limits::ENVELOPE as u64)?;
    if SnapshotId::of(&bytes) != *id {
        return Err(SealedError::damaged(name, "its bytes do not match its name"));
    }
    Ok(bytes)
}

impl Snapshots {
    /// Reads all snapshots (or, with [`Folder::Forgotten`], all forgotten ones).
    ///
    /// # Errors
    /// If the store fails; unreadable objects are listed, not errors.
    pub fn load(repository: &Repository, folder: Folder) -> Result<Self, SealedError> {
        let folders = [Folder::Commits, Folder::Pins, Folder::Received, folder];
        let store = Arc::new(ListedStore::list(repository.shared_store(), &folders)?);
        let received = received_times(store.as_ref())?;
        let mut found = Self::load_without_records(&repository.through(store), folder)?;
        for snapshot in &mut found.list {
            snapshot.received = received.get(&snapshot.id.to_string()).copied().unwrap_or(snapshot.stored);
        }
        found.list.sort_by_key(|snapshot| (snapshot.received, snapshot.envelope.sequence));
        Ok(found)
    }

    /// The same for a writer, to whom it does not matter when a keeper received what: all received times are the store's.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_without_records(repository: &Repository, folder: Folder) -> Result<Self, SealedError> {
        let store = repository.store();
        // Commits are listed before snapshots: a commit is only ever written after its snapshot.
        let committed = ids_in(store, Folder::Commits)?;
        let pinned = ids_in(store, Folder::Pins)?;
        let mut found = Self::default();
        let infos = store.list(folder)?;
        if infos.len() > limits::SNAPSHOTS {
            return Err(SealedError::damaged(format!("{folder}/"), "it holds more snapshots than the format allows"));
        }
        for info in infos {
            match read_one(repository, folder, &info) {
                Ok(None) => {}
                Ok(Some(mut snapshot)) => {
                    let leaf = info.name.leaf();
                    snapshot.committed = committed.contains(leaf);
                    snapshot.pinned = pinned.contains(leaf);
                    found.list.push(snapshot);
                }
                Err(error) if error.is_unreadable() => found.unreadable.push((info.name, error)),
                Err(error) => return Err(error),
            }
        }
        found.list.sort_by_key(|snapshot| (snapshot.received, snapshot.envelope.sequence));
        Ok(found)
    }
}

fn read_one(repository: &Repository, folder: Folder, info: &ObjectInfo) -> Result<Option<Snapshot>, SealedError> {
    let Ok(id) = info.name.leaf().parse::<SnapshotId>() else {
        return Err(SealedError::damaged(&info.name, "its name is not an id"));
    };
    let bytes = match read_bytes(repository.store(), folder, &id) {
        Ok(bytes) => bytes,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(SealedError::Store(error)) if error.kind == crate::store::StoreErrorKind::TooLarge => {
            return Err(SealedError::damaged(&info.name, "it is larger than a snapshot may be"));
        }
        Err(error) => return Err(error),
    };
    let (signed, _) = envelope::parse(Subject::Snapshot, &bytes).map_err(|why| SealedError::malformed(&info.name, why))?;
    Ok(Some(Snapshot {
        id,
        signer: signer(repository, &signed, Some(&id)),
        envelope: signed.envelope,
        committed: false,
        pinned: false,
        received: info.stored,
        stored: info.stored,
    }))
}

/// Reads all checkpoints; damaged ones are left out, as nothing can rest on them.
///
/// # Errors
/// If the store fails, or a newer program wrote one: a run that this one does not understand may rest on it.
pub fn read_checkpoints(repository: &Repository) -> Result<Vec<Checkpoint>, SealedError> {
    let store = repository.store();
    let mut found = Vec::new();
    for info in store.list(Folder::Checkpoints)? {
        let bytes = match store.get(&info.name, limits::ENVELOPE as u64 + 64) {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() => continue,
            Err(error) if error.kind == crate::store::StoreErrorKind::TooLarge => continue,
            Err(error) => return Err(error.into()),
        };
        let id = CheckpointId::of(&bytes);
        if id.to_string() != info.name.leaf() {
            continue;
        }
        match envelope::parse(Subject::Checkpoint, &bytes) {
            Ok((signed, _)) => {
                found.push(Checkpoint { id, signer: signer(repository, &signed, None), envelope: signed.envelope, stored: info.stored });
            }
            Err(FormatError::Wrong(_)) => {}
            Err(newer) => return Err(SealedError::malformed(&info.name, newer)),
        }
    }
    Ok(found)
}

/// Snapshots of which only the commit is left, in the order of their ids: forgetting deletes that last, so somebody else deleted them.
///
/// # Errors
/// If the store fails.
pub fn lost(store: &dyn Store) -> Result<Vec<SnapshotId>, SealedError> {
    let names = |folder| -> Result<HashSet<String>, SealedError> {
        Ok(store.list(folder)?.into_iter().map(|info| info.name.leaf().to_owned()).collect())
    };
    let committed = names(Folder::Commits)?;
    // In this order: a forget that runs now makes its copy before it deletes.
    let there: HashSet<String> = names(Folder::Snapshots)?.into_iter().chain(names(Folder::Forgotten)?).collect();
    let lost = committed.into_iter().filter(|leaf| !there.contains(leaf)).filter_map(|leaf| leaf.parse().ok());
    let mut found = Vec::new();
    for id in lost {
        // A listing may lag behind; what is asked for by its name does not.
        match store.stat(&name(Folder::Snapshots, &id)) {
            Ok(_) => {}
            Err(error) if error.is_not_found() => found.push(id),
            Err(error) => return Err(error.into()),
        }
    }
    found.sort_unstable();
    Ok(found)
}
