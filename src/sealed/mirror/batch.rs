//! Some snapshots on their way: what they need, then they themselves, then the check that lets them count.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::Outcome;
use super::origin::Origin;
use super::target::Target;
use super::transfer::{Homeless, transfer};
use crate::model::event::{Event, Monitor};
use crate::model::id::{IndexId, RefsId, SnapshotId};
use crate::sealed::gc::announce::Guard;
use crate::sealed::marks::{self, Received};
use crate::sealed::refs::{self, Refs};
use crate::sealed::run_id::RunId;
use crate::sealed::snapshots::{self, Snapshot};
use crate::sealed::{SealedError, index, lag, limits, needs};
use crate::store::{Folder, ObjectName, Store};

/// How often what a prune of the mirror took away is brought again before a snapshot is left to the next run.
const ROUNDS: usize = 4;

/// A snapshot on its way.
struct Traveller<'a> {
    snapshot: &'a Snapshot,
    bytes: Vec<u8>,
    refs_bytes: Vec<u8>,
    refs: Refs,
}

/// Snapshots that are made visible and checked together.
pub(super) struct Batch<'a> {
    travellers: Vec<Traveller<'a>>,
}

fn read(origin: &mut Origin<'_>, snapshot: &Snapshot) -> Result<(Vec<u8>, Vec<u8>, Refs), SealedError> {
    let bytes = snapshots::read_bytes(origin.store, Folder::Snapshots, &snapshot.id)?;
    let id = snapshot.envelope.refs;
    let name = refs::name(&id);
    let refs_bytes = origin.store.get(&name, limits::REFS)?;
    if RefsId::of(&refs_bytes) != id {
        return Err(SealedError::damaged(name, "its bytes do not match its name"));
    }
    let refs = Refs::parse(&refs_bytes).map_err(|why| SealedError::malformed(name, why))?;
    origin.learn(&refs)?;
    Ok((bytes, refs_bytes, refs))
}

impl<'a> Batch<'a> {
    /// Reads what snapshots need. One that cannot be read, or was forgotten meanwhile, stays behind.
    pub(super) fn read(
        origin: &mut Origin<'_>,
        list: &'a [Snapshot],
        monitor: &dyn Monitor,
        outcome: &mut Outcome,
    ) -> Result<Self, SealedError> {
        let mut travellers = Vec::new();
        for snapshot in list {
            match read(origin, snapshot) {
                Ok((bytes, refs_bytes, refs)) => travellers.push(Traveller { snapshot, bytes, refs_bytes, refs }),
                Err(error) if error.is_not_found() || error.is_unreadable() => {
                    left_behind(origin.store, &snapshot.id, &error.to_string(), monitor, outcome)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Self { travellers })
    }

    /// Adds the blocks that are to be copied.
    pub(super) fn look(&self, origin: &Origin<'_>, target: Option<&mut Target<'_>>, wanted: &mut Homeless) -> Result<(), SealedError> {
        let Some(target) = target else { return self.seek(origin, &mut Target::new(origin.store), wanted) };
        target.refresh()?;
        self.seek(origin, target, wanted)
    }

    fn seek(&self, origin: &Origin<'_>, target: &mut Target<'_>, homeless: &mut Homeless) -> Result<(), SealedError> {
        self.travellers.iter().try_for_each(|traveller| target.seek_homeless(origin, &traveller.refs, homeless))
    }

    fn homeless(&self, origin: &Origin<'_>, target: &mut Target<'_>) -> Result<Homeless, SealedError> {
        let mut homeless = Homeless::new();
        self.seek(origin, target, &mut homeless)?;
        Ok(homeless)
    }

    /// Brings the snapshots with all they need.
    pub(super) fn bring(
        mut self,
        origin: &mut Origin<'_>,
        target: &mut Target<'_>,
        guard: &Guard<'_>,
        run: &mut RunId,
        monitor: &dyn Monitor,
        outcome: &mut Outcome,
    ) -> Result<(), SealedError> {
        monitor.event(Event::Phase("copy"));
        target.refresh()?;
        let homeless = self.homeless(origin, target)?;
        transfer(origin, target, &homeless, run, monitor, outcome)?;
        if outcome.cancelled {
            return Ok(());
        }
        self.leave_broken(origin, target, monitor, outcome)?;
        self.put_lists(origin, target.store, monitor, outcome)?;
        for traveller in &self.travellers {
            target.store.put_new(&snapshots::name(Folder::Snapshots, &traveller.snapshot.id), &traveller.bytes)?;
        }
        monitor.event(Event::Phase("check"));
        for _ in 0..ROUNDS {
            lag::wait_out(target.store)?;
            target.refresh()?;
            let homeless = self.homeless(origin, target)?;
            let contested = self.contested(target);
            let settled = contested.is_empty() || !guard.has_company()?;
            let put_again = self.put_lists(origin, target.store, monitor, outcome)?;
            if homeless.is_empty() && put_again == 0 {
                return self.commit(target.store, if settled { BTreeSet::new() } else { contested }, monitor, outcome);
            }
            transfer(origin, target, &homeless, run, monitor, outcome)?;
            if outcome.cancelled {
                return Ok(());
            }
        }
        for traveller in &self.travellers {
            let why = "prunes of the mirror take away what it needs as fast as it comes; the next run tries again";
            left_behind(origin.store, &traveller.snapshot.id, why, monitor, outcome)?;
        }
        Ok(())
    }

    /// Leaves snapshots behind of which the source does not have everything whole.
    fn leave_broken(
        &mut self,
        origin: &mut Origin<'_>,
        target: &mut Target<'_>,
        monitor: &dyn Monitor,
        outcome: &mut Outcome,
    ) -> Result<(), SealedError> {
        let mut whole = Vec::new();
        for traveller in std::mem::take(&mut self.travellers) {
            let mut missing = Homeless::new();
            target.seek_homeless(origin, &traveller.refs, &mut missing)?;
            if missing.is_empty() {
                whole.push(traveller);
            } else {
                let why = format!("{} of its blocks are missing or damaged at the source", missing.len());
                left_behind(origin.store, &traveller.snapshot.id, &why, monitor, outcome)?;
            }
        }
        self.travellers = whole;
        Ok(())
    }

    /// Stores the index objects and then the refs that are not there; how many.
    fn put_lists(
        &mut self,
        origin: &Origin<'_>,
        store: &dyn Store,
        monitor: &dyn Monitor,
        outcome: &mut Outcome,
    ) -> Result<u64, SealedError> {
        let mut put = 0;
        let there = names(store, Folder::Index)?;
        let indexes: BTreeSet<IndexId> = self.travellers.iter().flat_map(|traveller| traveller.refs.indexes.keys().copied()).collect();
        let mut lost = BTreeMap::new();
        for id in indexes.into_iter().filter(|id| !there.contains(&index::name(id))) {
            // Read again: only lists are held in memory, and their objects are larger.
            match needs::readable(index::read(origin.store, &id))? {
                Some(bytes) => {
                    store.put_new(&index::name(&id), &bytes)?;
                    put += 1;
                }
                None => {
                    lost.insert(id, index::name(&id));
                }
            }
        }
        let there = names(store, Folder::Refs)?;
        let mut stay = Vec::new();
        for traveller in std::mem::take(&mut self.travellers) {
            if let Some(name) = traveller.refs.indexes.keys().find_map(|id| lost.get(id)) {
                left_behind(origin.store, &traveller.snapshot.id, &format!("{name} has vanished at the source"), monitor, outcome)?;
                continue;
            }
            let name = refs::name(&traveller.snapshot.envelope.refs);
            if !there.contains(&name) {
                store.put_new(&name, &traveller.refs_bytes)?;
                put += 1;
            }
            stay.push(traveller);
        }
        self.travellers = stay;
        outcome.lists += put;
        Ok(put)
    }

    /// Snapshots of which the mirror has condemned a list when none of its own needed that.
    fn contested(&self, target: &Target<'_>) -> BTreeSet<SnapshotId> {
        let condemned = &target.condemned;
        let contested = |traveller: &&Traveller<'_>| {
            condemned.refs.contains(&traveller.snapshot.envelope.refs)
                || traveller.refs.indexes.keys().any(|id| condemned.indexes.contains(id))
        };
        self.travellers.iter().filter(contested).map(|traveller| traveller.snapshot.id).collect()
    }

    /// Lets the snapshots count, but for those that wait.
    fn commit(
        &self,
        store: &dyn Store,
        waiting: BTreeSet<SnapshotId>,
        monitor: &dyn Monitor,
        outcome: &mut Outcome,
    ) -> Result<(), SealedError> {
        let now = store.now()?;
        for Traveller { snapshot, .. } in &self.travellers {
            let id = snapshot.id;
            if waiting.contains(&id) {
                let message =
                    "it is here whole, but a prune of the mirror is at work that may delete one of its lists; the next run lets it count";
                monitor.event(Event::warning(snapshots::name(Folder::Snapshots, &id).to_string(), message));
                outcome.waiting.push(id);
                continue;
            }
            // A time that has not come yet is not believed: retention counts by it.
            let received = Received {
                received: jiff::Timestamp::try_from(snapshot.received.min(now)).unwrap_or(jiff::Timestamp::MIN),
                door: "mirror".to_owned(),
                mirrored: true,
            };
            let record = marks::encode_received(&received).map_err(|why| SealedError::malformed("a received record", why))?;
            store.put_new(&snapshots::name(Folder::Received, &id), &record)?;
            if snapshot.pinned {
                store.put_new(&snapshots::name(Folder::Pins, &id), &marks::encode_pin(&id))?;
            }
            store.put_new(&snapshots::name(Folder::Commits, &id), &marks::encode_commit(&id))?;
            outcome.snapshots.push(id);
        }
        Ok(())
    }
}

fn names(store: &dyn Store, folder: Folder) -> Result<HashSet<ObjectName>, SealedError> {
    Ok(store.list(folder)?.into_iter().map(|info| info.name).collect())
}

/// A snapshot that does not come along. If the source has forgotten it meanwhile, that is no failure.
fn left_behind(source: &dyn Store, id: &SnapshotId, why: &str, monitor: &dyn Monitor, outcome: &mut Outcome) -> Result<(), SealedError> {
    let name = snapshots::name(Folder::Snapshots, id).to_string();
    if needs::is_there(source, id)? {
        monitor.event(Event::error(name, format!("it is not copied: {why}")));
        outcome.failed.push((*id, why.to_owned()));
    } else {
        monitor.event(Event::info(name, "it was forgotten at the source meanwhile"));
    }
    Ok(())
}
