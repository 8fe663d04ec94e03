//! Which snapshots a mirror lacks, and which of these it has forgotten.

use std::collections::{BTreeMap, HashSet};

use crate::model::event::{Event, Monitor};
use crate::model::id::{SnapshotId, WriterId};
use crate::sealed::removal::remove_all;
use crate::sealed::repository::Repository;
use crate::sealed::snapshots::{Signer, Snapshot, Snapshots};
use crate::sealed::{SealedError, marks};
use crate::store::{Folder, Store};

/// Snapshots by what is to be done about them.
#[derive(Debug, Default)]
pub struct Choice {
    /// Those of the source that count, and that the mirror neither has nor has forgotten; oldest first.
    pub new: Vec<Snapshot>,
    /// Those that count in the mirror now.
    pub kept: Vec<Snapshot>,
    /// Those of the source that count, and that the mirror has forgotten; a count.
    pub forgotten: u64,
    /// Objects in the source's `snapshots/` that cannot be read; a count. Each was told as an event.
    pub unreadable: u64,
    /// Whether the mirror has newer snapshots of a writer than the source shows, which was told as an event: somebody may have put
    /// back an older state of it, or its newest snapshots are gone.
    pub rolled_back: bool,
}

/// Looks which snapshots are to be brought; removes records of forgotten ones that the source has forgotten too.
pub(super) fn choose(source: &Repository, mirror: Option<&Repository>, monitor: &dyn Monitor) -> Result<Choice, SealedError> {
    let there = Snapshots::load(source, Folder::Snapshots)?;
    let here = mirror.map(|mirror| Snapshots::load(mirror, Folder::Snapshots)).transpose()?.unwrap_or_default();
    let mut choice = Choice { unreadable: there.unreadable.len() as u64, ..Choice::default() };
    for (name, error) in &there.unreadable {
        monitor.event(Event::error(name.to_string(), format!("{error}. It is not copied")));
    }
    choice.rolled_back = report_rollback(source, &there, &here, monitor)?;
    let counting: HashSet<SnapshotId> = here.list.iter().filter(|snapshot| snapshot.counts()).map(|snapshot| snapshot.id).collect();
    let visible: HashSet<SnapshotId> = here.list.iter().map(|snapshot| snapshot.id).collect();
    choice.kept = here.list.into_iter().filter(Snapshot::counts).collect();
    for snapshot in there.list.into_iter().filter(|snapshot| snapshot.counts() && !counting.contains(&snapshot.id)) {
        let forgotten = match mirror {
            // It was there once, so it was forgotten.
            Some(mirror) if !visible.contains(&snapshot.id) => was_brought(mirror.store(), &snapshot.id)?,
            _ => false,
        };
        if forgotten {
            choice.forgotten += 1;
        } else {
            choice.new.push(snapshot);
        }
    }
    Ok(choice)
}

/// Whether none of these snapshots of a repository was brought by a mirror, though there are some: it is an original.
pub(super) fn is_original(repository: &Repository, snapshots: &[Snapshot]) -> Result<bool, SealedError> {
    for snapshot in snapshots {
        if was_brought(repository.store(), &snapshot.id)? {
            return Ok(false);
        }
    }
    Ok(!snapshots.is_empty())
}

/// Whether a mirror has brought a snapshot, which may be gone by now.
fn was_brought(store: &dyn Store, id: &SnapshotId) -> Result<bool, SealedError> {
    Ok(marks::read_received(store, id)?.is_some_and(|record| record.mirrored))
}

/// Removes records of snapshots that neither side has any more, so that they do not pile up.
///
/// # Errors
/// If a store fails.
pub(super) fn drop_records(source: &Repository, mirror: &Repository, monitor: &dyn Monitor) -> Result<(), SealedError> {
    let store = mirror.store();
    let names = |store: &dyn Store, folder| -> Result<HashSet<String>, SealedError> {
        Ok(store.list(folder)?.into_iter().map(|info| info.name.leaf().to_owned()).collect())
    };
    let mut known = HashSet::new();
    // A snapshot is set aside in `forgotten/` before it leaves `snapshots/`, so none is overlooked that way round.
    for folder in [Folder::Snapshots, Folder::Forgotten] {
        known.extend(names(store, folder)?);
        known.extend(names(source.store(), folder)?);
    }
    let mut useless = Vec::new();
    for info in store.list(Folder::Received)? {
        let Ok(id) = info.name.leaf().parse::<SnapshotId>() else { continue };
        if !known.contains(info.name.leaf()) && was_brought(store, &id)? {
            useless.push(info.name);
        }
    }
    remove_all(store, &useless, monitor).map(drop)
}

/// Sequences of a writer only rise, so a mirror that has a higher one than the source has seen more of it.
fn report_rollback(source: &Repository, there: &Snapshots, here: &Snapshots, monitor: &dyn Monitor) -> Result<bool, SealedError> {
    let ahead = |shown: &BTreeMap<WriterId, u64>| {
        let newer = |(writer, seen): &(WriterId, u64)| shown.get(writer).is_none_or(|shown| shown < seen);
        newest(&here.list).into_iter().filter(newer).collect::<Vec<_>>()
    };
    let mut shown = newest(&there.list);
    if ahead(&shown).is_empty() {
        return Ok(false);
    }
    // Forgetting the newest one is no rollback.
    for (writer, sequence) in newest(&Snapshots::load(source, Folder::Forgotten)?.list) {
        let known = shown.entry(writer).or_insert(sequence);
        *known = sequence.max(*known);
    }
    let ahead = ahead(&shown);
    for (writer, seen) in &ahead {
        let name = source.statement().writer(writer).map_or_else(|| writer.short(), |writer| writer.name.clone());
        let last = shown.get(writer).map_or_else(|| "none".to_owned(), |shown| format!("number {shown}"));
        let message = format!(
            "of the writer {name} it shows no newer snapshot than {last}, but the mirror has number {seen}: somebody has put back an older \
             state of it, or the newest snapshots are gone. Nothing is forgotten in the mirror before you know; `repair --from` brings \
             back what is damaged, and `mirror` the other way round what is gone"
        );
        monitor.event(Event::warning(source.store().location(), message));
    }
    Ok(!ahead.is_empty())
}

fn newest(list: &[Snapshot]) -> BTreeMap<WriterId, u64> {
    let mut newest = BTreeMap::new();
    for Snapshot { envelope, .. } in list.iter().filter(|snapshot| snapshot.signer == Signer::Known) {
        let sequence = newest.entry(envelope.writer).or_insert(envelope.sequence);
        *sequence = envelope.sequence.max(*sequence);
    }
    newest
}
