//! Forgetting snapshots, bringing them back, and pinning them.
//!
//! ```text
//!   forget:    put forgotten/<id>     -> delete snapshots/<id>  -> delete commits/<id>
//!   unforget:  delete commits/<id>    -> put snapshots/<id>     -> copy blocks out of condemned packs
//!              -> check like a writer -> put commits/<id>       -> delete forgotten/<id>
//! ```
//!
//! The deletion of `snapshots/<id>` is the one moment in which a snapshot stops to count; a commit without a snapshot is
//! seen by nobody. Whatever the moment of a crash, the snapshot object or its copy is there, and the call can be
//! repeated.

use crate::model::id::{RefsId, SnapshotId};
use crate::sealed::codec::FormatError;
use crate::sealed::pack::Class;
use crate::sealed::presence::{self, Absent};
use crate::sealed::refs::{self, Refs};
use crate::sealed::relocate::Relocator;
use crate::sealed::repository::Repository;
use crate::sealed::run_id::RunId;
use crate::sealed::signature::Subject;
use crate::sealed::{SealedError, envelope, index, lag, limits, marks, needs, received, snapshots};
use crate::store::{Folder, ObjectName, Put, Store};

const LIMIT: u64 = limits::PAYLOAD + limits::ENVELOPE as u64;

fn there(store: &dyn Store, name: &ObjectName) -> Result<bool, SealedError> {
    match store.stat(name) {
        Ok(_) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Forgets a snapshot: it no longer counts, its blocks may go, and for a grace period it can be brought back.
///
/// # Errors
/// If it is not there, is pinned or cannot be read, or the store fails; it then still counts, or is forgotten.
pub fn forget(repository: &Repository, id: &SnapshotId) -> Result<(), SealedError> {
    repository.may_keep()?;
    let store = repository.store();
    let name = snapshots::name(Folder::Snapshots, id);
    refuse_pinned(store, id)?;
    let bytes = match snapshots::read_bytes(store, Folder::Snapshots, id) {
        Err(error) if error.is_not_found() => return finish_forget(store, id, &name),
        other => other?,
    };
    match received::keep_time(store, id, "forget") {
        // Another forget was faster.
        Err(error) if error.is_not_found() => return finish_forget(store, id, &name),
        kept => kept?,
    }
    set_aside(store, id, &bytes)?;
    remove(store, id)
}

/// An earlier forget may have been cut short after the snapshot was deleted.
fn finish_forget(store: &dyn Store, id: &SnapshotId, name: &ObjectName) -> Result<(), SealedError> {
    if there(store, &snapshots::name(Folder::Forgotten, id))? {
        return Ok(store.delete(&snapshots::name(Folder::Commits, id))?);
    }
    Err(SealedError::NoSnapshot { object: name.to_string() })
}

fn refuse_pinned(store: &dyn Store, id: &SnapshotId) -> Result<(), SealedError> {
    if there(store, &snapshots::name(Folder::Pins, id))? {
        return Err(SealedError::Pinned { object: snapshots::name(Folder::Snapshots, id).to_string() });
    }
    Ok(())
}

/// Keeps a copy. One that is left of an earlier attempt is renewed, so that its time to be brought back begins now.
fn set_aside(store: &dyn Store, id: &SnapshotId, bytes: &[u8]) -> Result<(), SealedError> {
    let copy = snapshots::name(Folder::Forgotten, id);
    if store.put_new(&copy, bytes)? == Put::Exists {
        store.delete(&copy)?;
        store.put_new(&copy, bytes)?;
    }
    Ok(())
}

fn remove(store: &dyn Store, id: &SnapshotId) -> Result<(), SealedError> {
    store.delete(&snapshots::name(Folder::Snapshots, id))?;
    Ok(store.delete(&snapshots::name(Folder::Commits, id))?)
}

/// Gives up a snapshot that cannot be read, or whose refs or index objects cannot, so that prune can go on. What bytes
/// it has are kept aside as long as those of a forgotten one.
///
/// # Errors
/// If it is not there, is pinned, or is not broken; what needs a newer program is not broken.
pub fn forget_broken(repository: &Repository, id: &SnapshotId) -> Result<(), SealedError> {
    repository.may_keep()?;
    let store = repository.store();
    let name = snapshots::name(Folder::Snapshots, id);
    refuse_pinned(store, id)?;
    if !there(store, &name)? {
        return finish_forget(store, id, &name);
    }
    if is_readable(store, id)? {
        return Err(SealedError::NotBroken { object: name.to_string() });
    }
    match store.get(&name, LIMIT) {
        Ok(bytes) => set_aside(store, id, &bytes)?,
        // What is larger than any snapshot may be is none.
        Err(error) if error.kind == crate::store::StoreErrorKind::TooLarge => {}
        Err(error) => return Err(error.into()),
    }
    remove(store, id)?;
    // A mirror shall bring it again.
    if marks::read_received(store, id)?.is_some_and(|record| record.mirrored) {
        store.delete(&snapshots::name(Folder::Received, id))?;
    }
    Ok(())
}

fn is_readable(store: &dyn Store, id: &SnapshotId) -> Result<bool, SealedError> {
    let Ok(bytes) = snapshots::read_bytes(store, Folder::Snapshots, id) else { return Ok(false) };
    let signed = match envelope::parse(Subject::Snapshot, &bytes) {
        Ok((signed, _)) => signed,
        Err(FormatError::Wrong(_)) => return Ok(false),
        Err(newer) => return Err(SealedError::malformed(snapshots::name(Folder::Snapshots, id), newer)),
    };
    let Some(refs) = needs::readable(refs::read(store, &signed.envelope.refs))? else { return Ok(false) };
    for index in refs.indexes.keys() {
        match needs::readable(index::read_list(store, index))? {
            Some(list) if needs::fits(&refs, index, &list) => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}

/// Brings a forgotten snapshot back, as long as all its blocks are there.
///
/// # Errors
/// [`SealedError::Unrecoverable`] if something it needs is gone or its lists are condemned: it stays forgotten.
pub fn unforget(repository: &Repository, id: &SnapshotId) -> Result<(), SealedError> {
    unforget_as(&mut RunId::random()?, repository, id)
}

pub(crate) fn unforget_as(run: &mut RunId, repository: &Repository, id: &SnapshotId) -> Result<(), SealedError> {
    repository.may_keep()?;
    let store = repository.store();
    let copy = snapshots::name(Folder::Forgotten, id);
    let bytes = match snapshots::read_bytes(store, Folder::Forgotten, id) {
        Err(error) if error.is_not_found() => return Err(SealedError::NoSnapshot { object: copy.to_string() }),
        other => other?,
    };
    let (signed, _) = envelope::parse(Subject::Snapshot, &bytes).map_err(|why| SealedError::malformed(&copy, why))?;
    let name = snapshots::name(Folder::Snapshots, id);
    if there(store, &name)? && there(store, &snapshots::name(Folder::Commits, id))? {
        // A forget that was cut short before it took effect.
        return Ok(store.delete(&copy)?);
    }
    // A forget that was cut short may have left its commit, which must not vouch for what is not checked yet.
    store.delete(&snapshots::name(Folder::Commits, id))?;
    store.put_new(&name, &bytes)?;
    match make_whole(store, run, &signed.envelope.refs) {
        Ok(None) => {
            store.put_new(&snapshots::name(Folder::Commits, id), &marks::encode_commit(id))?;
            Ok(store.delete(&copy)?)
        }
        Ok(Some(why)) => {
            store.put_new(&copy, &bytes)?;
            remove(store, id)?;
            Err(SealedError::Unrecoverable { object: copy.to_string(), why })
        }
        Err(error) => Err(error),
    }
}

/// Sees that all a visible snapshot needs is there for good, copying blocks out of condemned packs; else says what is
/// not.
fn make_whole(store: &dyn Store, run: &mut RunId, id: &RefsId) -> Result<Option<String>, SealedError> {
    let Some(refs) = needs::readable(refs::read(store, id))? else { return Ok(Some(format!("{} is gone", refs::name(id)))) };
    let absent = presence::absent(store, id, &refs)?;
    if absent.is_empty() {
        return Ok(None);
    }
    if let Some(list) = absent.lists.first() {
        return Ok(Some(format!("prune has already condemned {list}")));
    }
    rescue(store, run, &absent)?;
    lag::wait_out(store)?;
    still_absent(store, id, &refs)
}

fn still_absent(store: &dyn Store, id: &RefsId, refs: &Refs) -> Result<Option<String>, SealedError> {
    let absent = presence::absent(store, id, refs)?;
    if let Some(list) = absent.lists.first() {
        return Ok(Some(format!("prune has already condemned {list}")));
    }
    Ok((!absent.blocks.is_empty()).then(|| format!("{} of its blocks are gone or damaged", absent.blocks.len())))
}

/// Copies blocks out of condemned packs, as far as they can be read.
fn rescue(store: &dyn Store, run: &mut RunId, absent: &Absent) -> Result<(), SealedError> {
    let mut relocator = Relocator::new(store, run);
    let mut places = absent.condemned.clone();
    places.sort_by_key(|(_, place)| (place.pack, place.offset));
    for (block, place) in &places {
        needs::readable(relocator.copy(block, place))?;
        if relocator.is_full(place.class) {
            relocator.finish(place.class)?;
        }
    }
    relocator.finish(Class::Data)?;
    relocator.finish(Class::Tree)?;
    Ok(())
}

/// Pins a snapshot: retention and forget leave it alone.
///
/// # Errors
/// If it is not there or the store fails.
pub fn pin(repository: &Repository, id: &SnapshotId) -> Result<(), SealedError> {
    repository.may_keep()?;
    let store = repository.store();
    let name = snapshots::name(Folder::Snapshots, id);
    if !there(store, &name)? {
        return Err(SealedError::NoSnapshot { object: name.to_string() });
    }
    store.put_new(&snapshots::name(Folder::Pins, id), &marks::encode_pin(id))?;
    Ok(())
}

/// Takes a pin away; a snapshot without one is a success.
///
/// # Errors
/// If the store fails.
pub fn unpin(repository: &Repository, id: &SnapshotId) -> Result<(), SealedError> {
    repository.may_keep()?;
    Ok(repository.store().delete(&snapshots::name(Folder::Pins, id))?)
}
