//! Bytes on their way: packs whole, several at once, or single blocks out of packs of which little is needed.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::Outcome;
use super::origin::Origin;
use super::target::Target;
use crate::model::event::{Event, Monitor};
use crate::model::id::{BlockId, PackId};
use crate::sealed::index::BlockList;
use crate::sealed::locations::{Location, Locations};
use crate::sealed::pack::{self, Class};
use crate::sealed::relocate::Relocator;
use crate::sealed::run_id::RunId;
use crate::sealed::{SealedError, limits, needs};
use crate::store::{Forward, ObjectInfo, Store, StoreError, StoreErrorKind};

/// Packs are copied in pieces of so many bytes, one for each thread.
const PIECE: usize = 4 << 20;
/// Packs in flight.
const THREADS: usize = 4;

/// A block that the mirror lacks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// Sealed length in bytes.
    pub(super) length: u32,
    /// Where it still lies in the mirror, in a pack that will be deleted.
    pub(super) here: Option<Location>,
}

/// Blocks that no pack of the mirror holds that stays.
pub(super) type Homeless = HashMap<BlockId, Wanted>;

/// How a pack fared.
pub(in crate::sealed) enum Carried {
    /// It is there, whole.
    Done,
    /// It was deleted at the source meanwhile.
    Gone,
    /// The source's bytes are not what its name says, or cannot be read.
    Damaged(String),
}

/// Copies blocks that the mirror lacks, as far as the source has them whole. Afterwards the target knows what it has got.
pub(super) fn transfer(
    origin: &mut Origin<'_>,
    target: &mut Target<'_>,
    homeless: &Homeless,
    run: &mut RunId,
    monitor: &dyn Monitor,
    outcome: &mut Outcome,
) -> Result<(), SealedError> {
    if homeless.is_empty() {
        return Ok(());
    }
    let places = origin.locate(homeless)?;
    let whole = worthwhile(origin, target, homeless, &places);
    monitor.event(Event::Expect { files: whole.len() as u64, bytes: whole.iter().map(|info| info.size).sum() });
    copy_packs(origin.store, target, &whole, monitor, outcome)?;
    if monitor.cancelled() {
        outcome.cancelled = true;
        return Ok(());
    }
    name_packs(origin, target, &whole)?;
    let arrived: HashSet<PackId> =
        whole.iter().filter_map(|info| info.name.leaf().parse().ok()).filter(|pack| !target.takes(pack)).collect();
    let mut left: Vec<(BlockId, Wanted)> = homeless.iter().map(|(block, wanted)| (*block, *wanted)).collect();
    left.retain(|(block, _)| !places.of(block).any(|place| arrived.contains(&place.pack)));
    let mut pick = Pick { from: origin.store, relocator: Relocator::new(target.store, run), made: Vec::new(), damage: Vec::new() };
    pick.copy_all(&mut left, &places, monitor, outcome)?;
    if !left.is_empty() && !outcome.cancelled {
        // A prune of the source may have moved them meanwhile.
        pick.copy_all(&mut left, &origin.relocate()?, monitor, outcome)?;
    }
    let lost: HashSet<BlockId> = left.into_iter().map(|(block, _)| block).collect();
    pick.damage.retain(|(block, _)| lost.contains(block));
    for (_, error) in pick.damage.iter().take(10) {
        monitor.event(Event::error(origin.store.location(), error.to_string()));
    }
    pick.made.iter().try_for_each(|stored| target.has_made(stored))
}

/// Packs of which at least half is needed, and that the mirror may have under their id. The others would bring more than they save: blocks
/// are taken out of them.
fn worthwhile(origin: &Origin<'_>, target: &Target<'_>, homeless: &Homeless, places: &Locations) -> Vec<ObjectInfo> {
    let mut needed: HashMap<PackId, u64> = HashMap::new();
    for (block, wanted) in homeless.iter().filter(|(_, wanted)| wanted.here.is_none()) {
        if let Some(place) = places.of(block).next() {
            *needed.entry(place.pack).or_default() += u64::from(wanted.length);
        }
    }
    let info = |(pack, needed): (PackId, u64)| {
        let info = origin.listing.packs.get(&pack).filter(|info| info.size <= limits::PACK && needed * 2 >= info.size)?;
        target.takes(&pack).then(|| info.clone())
    };
    let mut whole: Vec<ObjectInfo> = needed.into_iter().filter_map(info).collect();
    whole.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    whole
}

/// Copies packs, several at once. One that is damaged or gone is none of the target's afterwards.
fn copy_packs(
    from: &dyn Store,
    target: &mut Target<'_>,
    packs: &[ObjectInfo],
    monitor: &dyn Monitor,
    outcome: &mut Outcome,
) -> Result<(), SealedError> {
    let to = target.store;
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    let ended = std::thread::scope(|scope| {
        let work = || -> Result<(), SealedError> {
            let mut buffer = Vec::new();
            while !monitor.cancelled()
                && let Some(info) = packs.get(next.fetch_add(1, Ordering::Relaxed))
            {
                let carried = copy_pack(from, to, info, false, &mut buffer)?;
                monitor.event(Event::Progress { files: 1, bytes: info.size });
                done.lock().unwrap_or_else(PoisonError::into_inner).push((info, carried));
            }
            Ok(())
        };
        let threads = THREADS.min(target.store.packing().at_once.max(2));
        let workers: Vec<_> = (0..threads.min(packs.len())).map(|_| scope.spawn(work)).collect();
        let ends = workers.into_iter().map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        ends.fold(Ok(()), Result::and)
    });
    ended?;
    for (info, carried) in done.into_inner().unwrap_or_else(PoisonError::into_inner) {
        match carried {
            Carried::Done => {
                if let Ok(pack) = info.name.leaf().parse() {
                    target.has(pack)?;
                }
                outcome.packs += 1;
                outcome.bytes += info.size;
            }
            Carried::Gone => {}
            Carried::Damaged(why) => {
                let message = format!("{why}. It is not copied as it is; what is whole in it is");
                monitor.event(Event::error(info.name.to_string(), message));
            }
        }
    }
    Ok(())
}

/// Streams one pack; it becomes visible only if its bytes are what its name says. With `replace` what has its name goes before.
pub(in crate::sealed) fn copy_pack(
    from: &dyn Store,
    to: &dyn Store,
    info: &ObjectInfo,
    replace: bool,
    buffer: &mut Vec<u8>,
) -> Result<Carried, SealedError> {
    let mut staged = to.stage()?;
    let mut hasher = blake3::Hasher::new();
    let mut offset = 0;
    let mut forward = Forward::new(from);
    forward.expect(&info.name, 0..info.size);
    while offset < info.size {
        let length = usize::try_from(info.size - offset).unwrap_or(PIECE).min(PIECE);
        match forward.get_range(&info.name, offset, length, buffer) {
            Ok(()) => {}
            Err(error) if error.is_not_found() => return Ok(Carried::Gone),
            Err(error) if concerns_object(&error) => return Ok(Carried::Damaged(error.to_string())),
            Err(error) => return Err(error.into()),
        }
        hasher.update(buffer);
        staged.write(buffer)?;
        offset += length as u64;
    }
    if hasher.finalize().to_hex().as_str() != info.name.leaf() {
        return Ok(Carried::Damaged("its bytes do not match its name".to_owned()));
    }
    if replace {
        to.delete(&info.name)?;
    }
    staged.commit(&info.name)?;
    Ok(Carried::Done)
}

/// Whether a failed read tells of one object, such as a bad sector, and not of a store that cannot be reached.
pub(super) fn concerns_object(error: &StoreError) -> bool {
    matches!(error.kind, StoreErrorKind::Truncated | StoreErrorKind::TooLarge | StoreErrorKind::Other)
}

/// Writes maps of packs that have come and that are not where index objects say: a prune of the source made them.
fn name_packs(origin: &Origin<'_>, target: &mut Target<'_>, packs: &[ObjectInfo]) -> Result<(), SealedError> {
    let mut list = BlockList::default();
    for info in packs {
        let Ok(id) = info.name.leaf().parse::<PackId>() else { continue };
        if origin.lists(&id) || target.takes(&id) {
            continue;
        }
        let info = target.has(id)?;
        let contents = pack::read_contents(target.store, &info)?;
        target.has_contents(id, info, &contents);
        if list.len() + contents.blocks.len() > limits::INDEX_BLOCKS {
            target.put_map(&std::mem::take(&mut list))?;
        }
        list.packs.push((id, contents));
    }
    target.put_map(&list)
}

/// Copies single blocks into new packs of the mirror.
struct Pick<'a, 'b> {
    from: &'a dyn Store,
    relocator: Relocator<'b>,
    made: Vec<pack::StoredPack>,
    damage: Vec<(BlockId, SealedError)>,
}

impl Pick<'_, '_> {
    /// Copies those of `blocks` that are whole somewhere; the others stay in the list.
    fn copy_all(
        &mut self,
        blocks: &mut Vec<(BlockId, Wanted)>,
        places: &Locations,
        monitor: &dyn Monitor,
        outcome: &mut Outcome,
    ) -> Result<(), SealedError> {
        // In the order in which they lie, so that reading goes forward.
        blocks.sort_by_key(|(block, wanted)| wanted.here.or(places.of(block).next().copied()).map(|place| (place.pack, place.offset)));
        let mut left = Vec::new();
        for (block, wanted) in std::mem::take(blocks) {
            if monitor.cancelled() {
                outcome.cancelled = true;
                break;
            }
            if !self.copy(&block, &wanted, places, outcome)? {
                left.push((block, wanted));
            }
        }
        *blocks = left;
        self.finish(Class::Data)?;
        self.finish(Class::Tree)
    }

    fn copy(&mut self, block: &BlockId, wanted: &Wanted, places: &Locations, outcome: &mut Outcome) -> Result<bool, SealedError> {
        if let Some(here) = &wanted.here
            && needs::readable(self.relocator.copy(block, here))?.is_some()
        {
            return self.copied(here, outcome);
        }
        for place in places.of(block) {
            match self.relocator.copy_from(self.from, block, place) {
                Ok(()) => return self.copied(place, outcome),
                Err(error) if error.is_not_found() => {}
                Err(error @ SealedError::Damaged { .. }) => self.damage.push((*block, error)),
                Err(SealedError::Store(error)) if concerns_object(&error) => self.damage.push((*block, error.into())),
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    fn copied(&mut self, place: &Location, outcome: &mut Outcome) -> Result<bool, SealedError> {
        outcome.bytes_picked += u64::from(place.length);
        if self.relocator.is_full(place.class) {
            self.finish(place.class)?;
        }
        Ok(true)
    }

    fn finish(&mut self, class: Class) -> Result<(), SealedError> {
        self.made.extend(self.relocator.finish(class)?);
        Ok(())
    }
}
