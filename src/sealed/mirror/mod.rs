//! Mirror: a copy of a repository in another store, brought up to date without any key.
//!
//! ```text
//!   identity   keys/, then repo/                      the mirror has the same id; an older or another chain is refused
//!   choice     snapshots of the source that count, less those that are here or were forgotten here
//!   batch      packs -> index -> refs -> snapshots -> check like a writer -> received, pins, commits
//! ```
//!
//! The mirror is a whole repository with a life of its own: what is condemned, moved, forgotten and announced there is its own
//! affair, and `condemned/`, `maps/`, `forgotten/`, `checkpoints/` and `prunes/` of the source are not copied. Towards the mirror
//! this is a *writer* whose blocks come from another store, and it keeps to the writer's discipline:
//!
//! - **The source** is only read. All bytes are checked against their ids, and blocks that a prune there moves meanwhile are looked
//!   for once more. So nothing that happens to the source can harm the mirror; at worst a snapshot has to wait for the next run.
//! - **Packs.** A block counts as here if a listed, uncondemned pack of the mirror holds it. A snapshot becomes visible once all its
//!   blocks, lists and refs are here; *then* what is condemned and which packs are there is listed again, what is gone is brought
//!   again, and only after that the commit is written. A mark that started after the snapshot was visible sees it; one that
//!   started before has either written its condemned object by the time of the check, or sweeps later and copies what is needed.
//! - **A condemned pack is never brought back under its id** (I16): a sweep may delete it at any time. The blocks that are needed are
//!   copied into new packs with a nonce (I19) and a map. A condemned object outlives what it names by 30 days (I22), so a prune that
//!   slept longer than that is the only one that could still delete a pack that came back after it was gone.
//! - **Lists cannot get new ids**, because a signed snapshot names its refs and these their index objects. Both are content
//!   addresses that the mirror's prune may have condemned while no snapshot there needed them. A sweep deletes condemned lists only
//!   after it announced itself and then read the roots, so it is enough to make the snapshot visible, then to see that no other
//!   prune is at work, and then that the list is there: every later sweep sees the snapshot and leaves the list alone. While a
//!   prune is at work such a snapshot stays uncommitted, and the next run commits it.
//! - **Grace.** What a run has brought and no snapshot names yet is young, and the run is announced in `prunes/`, to which prunes
//!   yield; so it is not cleared away under a run that takes days. That only saves work.
//! - **Forgetting.** A `received/` record marked as mirrored outlives its snapshot in the mirror. Where there is one without a
//!   snapshot the mirror has forgotten it, and it does not come back. The record goes when the source has forgotten it too.
//!
//! Whenever a run ends, what is visible and committed is whole, and the next run goes on from there.

mod batch;
mod choice;
mod identity;
mod origin;
mod target;
#[cfg(test)]
mod tests;
pub(in crate::sealed) mod transfer;

use std::sync::Arc;

pub use choice::Choice;
pub use identity::Followed;

use self::batch::Batch;
use self::origin::Origin;
use self::target::Target;
use crate::model::event::{Event, Monitor};
use crate::model::id::SnapshotId;
use crate::sealed::gc::announce;
use crate::sealed::repository::Repository;
use crate::sealed::run_id::RunId;
use crate::sealed::snapshots::Snapshot;
use crate::sealed::{SealedError, marks};
use crate::store::{Folder, ObjectInfo, Store};

/// Snapshots that are made visible and checked together: a check lists all packs.
const BATCH: usize = 16;

/// What a run has brought. Sizes in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Snapshots that are committed in the mirror now and were not before.
    pub snapshots: Vec<SnapshotId>,
    /// Snapshots that could not be brought whole, and why; each was told as an event.
    pub failed: Vec<(SnapshotId, String)>,
    /// Snapshots that are here whole, but wait for a prune of the mirror to end before they count.
    pub waiting: Vec<SnapshotId>,
    /// Packs copied as they are.
    pub packs: u64,
    /// Size of them.
    pub bytes: u64,
    /// Size of blocks that were copied out of packs, because most of the pack is not needed or the mirror has condemned it.
    pub bytes_picked: u64,
    /// Index and refs objects copied.
    pub lists: u64,
    /// It was asked to stop early; what it did is complete.
    pub cancelled: bool,
}

/// What a run would bring.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Blocks, a count.
    pub blocks: u64,
    /// Sealed bytes of them.
    pub bytes: u64,
}

/// The mirror of `source` in a store as it is; none if the store holds no repository yet.
///
/// # Errors
/// If the store holds another repository, or a newer state of this one than the source shows.
pub fn open(source: &Repository, store: &Arc<dyn Store>) -> Result<Option<Repository>, SealedError> {
    identity::open(source, store)
}

/// Brings statements and keys up to date; makes the repository if the store is empty.
///
/// # Errors
/// As [`open`], or if a store fails or the source is damaged there.
pub fn follow(source: &Repository, store: &Arc<dyn Store>, monitor: &dyn Monitor) -> Result<Followed, SealedError> {
    identity::follow(source, store, monitor)
}

/// Looks which snapshots are to be brought. Changes nothing.
///
/// # Errors
/// If a store fails.
pub fn choose(source: &Repository, mirror: Option<&Repository>, monitor: &dyn Monitor) -> Result<Choice, SealedError> {
    choice::choose(source, mirror, monitor)
}

/// Whether none of these snapshots of a repository was brought by a mirror, though there are some: it is an original.
///
/// # Errors
/// If the store fails.
pub fn is_original(repository: &Repository, snapshots: &[Snapshot]) -> Result<bool, SealedError> {
    choice::is_original(repository, snapshots)
}

/// Copies snapshots with all they need. Damage at the source is told as events, and costs the snapshots concerned only.
///
/// # Errors
/// If the mirror is the source itself or a store fails. What was done until then stays valid; the next run goes on.
pub fn copy(source: &Repository, mirror: &Repository, snapshots: &[Snapshot], monitor: &dyn Monitor) -> Result<Outcome, SealedError> {
    copy_as(RunId::random()?, source, mirror, snapshots, monitor)
}

pub(crate) fn copy_as(
    mut run: RunId,
    source: &Repository,
    mirror: &Repository,
    snapshots: &[Snapshot],
    monitor: &dyn Monitor,
) -> Result<Outcome, SealedError> {
    source.may_keep()?;
    mirror.may_keep()?;
    let mut outcome = Outcome::default();
    let guard = announce::stand_by(mirror.store(), &run)?;
    if source.store().stat(guard.name()).is_ok() {
        return Err(SealedError::SamePlace { location: mirror.store().location() });
    }
    report_unknown(source.store(), monitor)?;
    let mut origin = Origin::new(source.store())?;
    let mut target = Target::new(mirror.store());
    for part in snapshots.chunks(BATCH) {
        if monitor.cancelled() {
            outcome.cancelled = true;
            break;
        }
        Batch::read(&mut origin, part, monitor, &mut outcome)?.bring(&mut origin, &mut target, &guard, &mut run, monitor, &mut outcome)?;
    }
    copy_pins(source.store(), mirror.store())?;
    choice::drop_records(source, mirror, monitor)?;
    Ok(outcome)
}

/// What is pinned at the source is pinned in the mirror, if it is there; unpinned it is by hand.
fn copy_pins(source: &dyn Store, mirror: &dyn Store) -> Result<(), SealedError> {
    let pinned = mirror.list(Folder::Pins)?;
    let visible = mirror.list(Folder::Snapshots)?;
    let has = |list: &[ObjectInfo], leaf: &str| list.iter().any(|info| info.name.leaf() == leaf);
    for info in source.list(Folder::Pins)?.iter().filter(|info| !has(&pinned, info.name.leaf()) && has(&visible, info.name.leaf())) {
        if let Ok(id) = info.name.leaf().parse() {
            mirror.put_new(&info.name, &marks::encode_pin(&id))?;
        }
    }
    Ok(())
}

/// What [`copy`] would bring.
///
/// # Errors
/// If a store fails.
pub fn estimate(
    source: &Repository,
    mirror: Option<&Repository>,
    snapshots: &[Snapshot],
    monitor: &dyn Monitor,
) -> Result<Estimate, SealedError> {
    let mut outcome = Outcome::default();
    let mut origin = Origin::new(source.store())?;
    let mut target = mirror.map(|mirror| Target::new(mirror.store()));
    let mut wanted = transfer::Homeless::new();
    for part in snapshots.chunks(BATCH) {
        Batch::read(&mut origin, part, monitor, &mut outcome)?.look(&origin, target.as_mut(), &mut wanted)?;
    }
    let bytes = wanted.values().map(|block| u64::from(block.length)).sum();
    Ok(Estimate { blocks: wanted.len() as u64, bytes })
}

/// Folders of a newer version: this one can only say that they are there.
fn report_unknown(store: &dyn Store, monitor: &dyn Monitor) -> Result<(), SealedError> {
    for folder in store.unknown_folders()? {
        let message = "this version does not know the folder and cannot copy it; a newer one may";
        monitor.event(Event::warning(folder, message));
    }
    Ok(())
}
