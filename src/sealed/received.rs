//! When snapshots were received: what retention counts by, whatever becomes of the objects themselves.

use std::collections::HashSet;

use jiff::Timestamp;

use crate::model::id::SnapshotId;
use crate::sealed::marks::{self, Received};
use crate::sealed::repository::Repository;
use crate::sealed::{SealedError, snapshots};
use crate::store::{Folder, Store};

/// Writes down when a snapshot that is there was received, before it is stored anew: retention would take it for a new one.
///
/// # Errors
/// If it is not there, or the store fails.
pub fn keep_time(store: &dyn Store, id: &SnapshotId, door: &str) -> Result<(), SealedError> {
    let stored = store.stat(&snapshots::name(Folder::Snapshots, id))?.stored;
    write(store, id, Timestamp::try_from(stored).unwrap_or(Timestamp::MIN), door)
}

/// Writes down of all snapshots that are there when they were received, by the store's time. What was written before stays.
///
/// # Errors
/// If the store fails.
pub fn write_down(repository: &Repository, door: &str) -> Result<(), SealedError> {
    repository.may_keep()?;
    let store = repository.store();
    let known: HashSet<String> = store.list(Folder::Received)?.into_iter().map(|info| info.name.leaf().to_owned()).collect();
    for info in store.list(Folder::Snapshots)?.into_iter().filter(|info| !known.contains(info.name.leaf())) {
        if let Ok(id) = info.name.leaf().parse::<SnapshotId>() {
            write(store, &id, Timestamp::try_from(info.stored).unwrap_or(Timestamp::MIN), door)?;
        }
    }
    Ok(())
}

/// Writes down when a snapshot was received. What was written before stays.
///
/// # Errors
/// If the store fails.
pub fn write(store: &dyn Store, id: &SnapshotId, received: Timestamp, door: &str) -> Result<(), SealedError> {
    let record = Received { received, door: door.to_owned(), mirrored: false };
    let bytes = marks::encode_received(&record).map_err(|why| SealedError::malformed("a received record", why))?;
    store.put_new(&snapshots::name(Folder::Received, id), &bytes)?;
    Ok(())
}
