//! Repair: damaged and missing objects are taken from a mirror, without any key.
//!
//! ```text
//!   check --> object that is damaged or missing --> the mirror's bytes, if they are what its name says --> in its place
//!     ^                                                                                                         |
//!     +------ until nothing more is healed: what a list leads to is only seen once the list is whole <----------+
//! ```
//!
//! Stores replace nothing, so a damaged object is deleted and then stored anew. The new bytes are read, checked and, of packs, staged
//! before; if the run is killed between the two, the object is missing until the next repair. A pack that the mirror has not got any more
//! under its id is not rebuilt: the blocks that are needed and lost go into a new one, with a nonce and a map, as prune moves blocks.

use std::collections::{HashSet, VecDeque};

use jiff::Timestamp;

use crate::model::event::{Event, Monitor, Severity, Silent};
use crate::model::id::{BlockId, PackId, SnapshotId};
use crate::sealed::gc::announce;
use crate::sealed::locations::{Locations, PackListing};

use crate::sealed::mirror::transfer::{Carried, copy_pack};
use crate::sealed::pack::Class;
use crate::sealed::relocate::Relocator;
use crate::sealed::repository::Repository;
use crate::sealed::run_id::RunId;
use crate::sealed::verify::{self, Problem, verify};
use crate::sealed::{SealedError, index, limits, marks, needs, received, snapshots};
use crate::store::{Folder, ObjectName, Store};

/// How to repair.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Also read so many percent of the packs to find damage, as a check does.
    pub read_packs: Option<u8>,
    /// Change nothing.
    pub dry_run: bool,
}

/// What became of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// The mirror's bytes are in its place; in a dry run they would be.
    Healed,
    /// Its lost blocks, so many, are in a new pack now; in a dry run they would be.
    Moved(u64),
    /// It is as it was, and why.
    Left(String),
}

/// An object that was damaged or missing.
#[derive(Debug, Clone)]
pub struct Mended {
    /// Its path.
    pub object: String,
    /// What was wrong with it.
    pub problem: String,
    /// What became of it.
    pub fate: Fate,
}

/// What a repair found and did.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Every damaged or missing object.
    pub objects: Vec<Mended>,
    /// It was asked to stop early.
    pub cancelled: bool,
}

impl Report {
    /// Whether nothing is left that a mirror could not heal.
    pub fn is_clean(&self) -> bool {
        !self.objects.iter().any(|mended| matches!(mended.fate, Fate::Left(_)))
    }
}

/// Heals `repository` from `mirror`.
///
/// # Errors
/// If they are different repositories or the same place, or a store fails. What was healed until then stays so.
pub fn repair(repository: &Repository, mirror: &Repository, options: &Options, monitor: &dyn Monitor) -> Result<Report, SealedError> {
    repository.may_keep()?;
    if repository.id() != mirror.id() {
        let (found, expected) = (mirror.id().to_bech32(), repository.id().to_bech32());
        return Err(SealedError::OtherRepository { location: mirror.store().location(), found, expected });
    }
    let mut run = RunId::random()?;
    // Prunes wait meanwhile; what is healed and not yet named is young anyway.
    let guard = if options.dry_run { None } else { Some(announce::stand_by(repository.store(), &run)?) };
    if guard.as_ref().is_some_and(|guard| mirror.store().stat(guard.name()).is_ok()) {
        return Err(SealedError::SamePlace { location: mirror.store().location() });
    }
    let mut repair = Repair {
        store: repository.store(),
        mirror: mirror.store(),
        options,
        run: &mut run,
        places: None,
        tried: HashSet::new(),
        report: Report::default(),
    };
    monitor.event(Event::Phase("repair"));
    repair.lost_snapshots(monitor)?;
    while !monitor.cancelled() && repair.round(&verify(repository, &verify::Options::default(), &Silent)?.problems, monitor)? {}
    if let Some(share) = options.read_packs.filter(|share| *share > 0 && !monitor.cancelled()) {
        let found = verify(repository, &verify::Options { read_packs: Some(verify::Share::Percent(share)) }, monitor)?;
        repair.round(&found.problems, monitor)?;
    }
    repair.report.cancelled = monitor.cancelled();
    Ok(repair.report)
}

/// A repair at work.
struct Repair<'a> {
    store: &'a dyn Store,
    mirror: &'a dyn Store,
    options: &'a Options,
    run: &'a mut RunId,
    /// Where the mirror has blocks; read when first asked for.
    places: Option<Locations>,
    tried: HashSet<ObjectName>,
    report: Report,
}

/// The object that a problem is about; none if it is a folder.
fn object_of(problem: &Problem) -> Option<ObjectName> {
    let mut parts = problem.object.split('/');
    let folder = parts.next()?;
    let folder = Folder::ALL.into_iter().find(|known| known.as_str() == folder)?;
    ObjectName::new(folder, parts.next_back()?)
}

impl Repair<'_> {
    /// Snapshots of which only the commit is left: forgetting deletes that last.
    fn lost_snapshots(&mut self, monitor: &dyn Monitor) -> Result<(), SealedError> {
        let lost = snapshots::lost(self.store)?;
        for id in lost {
            self.mend(snapshots::name(Folder::Snapshots, &id), "it is missing, but was not forgotten", &[], monitor)?;
        }
        Ok(())
    }

    /// Mends what a check found; whether anything was healed, so that another look may find more.
    fn round(&mut self, problems: &[Problem], monitor: &dyn Monitor) -> Result<bool, SealedError> {
        let mut found: VecDeque<(ObjectName, &Problem)> = VecDeque::new();
        for problem in problems.iter().filter(|problem| problem.severity > Severity::Info) {
            match object_of(problem) {
                Some(name) if is_healable(name.folder()) && !concerns_trust(problem) => found.push_back((name, problem)),
                _ => {}
            }
        }
        let mut healed = false;
        for (name, problem) in found {
            if monitor.cancelled() {
                break;
            }
            if !self.tried.contains(&name) {
                healed |= self.mend(name, &problem.what, &problem.blocks, monitor)?;
            }
        }
        Ok(healed && !self.options.dry_run)
    }

    fn mend(&mut self, name: ObjectName, problem: &str, blocks: &[BlockId], monitor: &dyn Monitor) -> Result<bool, SealedError> {
        let fate = match name.folder() {
            Folder::Packs => self.mend_pack(&name, blocks)?,
            _ => self.mend_small(&name)?,
        };
        let verb = if self.options.dry_run { "would be" } else { "was" };
        let object = name.to_string();
        monitor.event(match &fate {
            Fate::Healed => Event::info(object.clone(), format!("{verb} healed from the mirror ({problem})")),
            Fate::Moved(count) => {
                Event::info(object.clone(), format!("{count} lost blocks of it: a new pack {verb} made of them ({problem})"))
            }
            Fate::Left(why) => Event::error(object.clone(), format!("{problem}. It cannot be healed: {why}")),
        });
        let healed = !matches!(fate, Fate::Left(_));
        self.report.objects.push(Mended { object, problem: problem.to_owned(), fate });
        self.tried.insert(name);
        Ok(healed)
    }

    /// Objects that are read whole.
    fn mend_small(&self, name: &ObjectName) -> Result<Fate, SealedError> {
        let limit = match name.folder() {
            Folder::Index => limits::INDEX,
            Folder::Refs => limits::REFS,
            _ => limits::PAYLOAD + limits::ENVELOPE as u64,
        };
        let bytes = match self.mirror.get(name, limit) {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() => return Ok(Fate::Left("the mirror does not have it".to_owned())),
            Err(error) => return Ok(Fate::Left(format!("the mirror's cannot be read ({error})"))),
        };
        if blake3::hash(&bytes).to_hex().as_str() != name.leaf() {
            return Ok(Fate::Left("the mirror's is damaged too".to_owned()));
        }
        if !self.options.dry_run {
            if name.folder() == Folder::Snapshots {
                self.keep_time(name)?;
            }
            self.store.delete(name)?;
            self.store.put_new(name, &bytes)?;
        }
        Ok(Fate::Healed)
    }

    /// Writes down when a snapshot was received before it is stored anew: retention would take it for a new one.
    fn keep_time(&self, name: &ObjectName) -> Result<(), SealedError> {
        let Ok(id) = name.leaf().parse::<SnapshotId>() else { return Ok(()) };
        let time = match (self.store.stat(name), marks::read_received(self.mirror, &id)?) {
            (Ok(here), _) => Timestamp::try_from(here.stored).unwrap_or(Timestamp::MIN),
            (_, Some(record)) => record.received,
            (_, None) => Timestamp::try_from(self.mirror.stat(name)?.stored).unwrap_or(Timestamp::MIN),
        };
        received::write(self.store, &id, time, "repair")
    }

    /// A pack as it is, or else what is needed of it.
    fn mend_pack(&mut self, name: &ObjectName, blocks: &[BlockId]) -> Result<Fate, SealedError> {
        if let Ok(id) = name.leaf().parse::<PackId>()
            && let Some(fate) = self.replace_pack(&id, name)?
        {
            return Ok(fate);
        }
        if blocks.is_empty() {
            return Ok(Fate::Left("the mirror does not have it whole; its blocks are all intact, and prune renews it".to_owned()));
        }
        self.move_blocks(blocks)
    }

    fn replace_pack(&self, id: &PackId, name: &ObjectName) -> Result<Option<Fate>, SealedError> {
        let info = match self.mirror.stat(name) {
            Ok(info) if info.size <= limits::PACK => info,
            Ok(_) => return Ok(None),
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // One that was condemned and is gone must not come back (I16); one that is still there is needed whole by the sweep.
        if self.store.stat(name).is_err() && marks::packs_said_condemned(self.store)?.contains(id) {
            return Ok(None);
        }
        if self.options.dry_run {
            return Ok(Some(Fate::Healed));
        }
        match copy_pack(self.mirror, self.store, &info, true, &mut Vec::new())? {
            Carried::Done => Ok(Some(Fate::Healed)),
            Carried::Gone | Carried::Damaged(_) => Ok(None),
        }
    }

    /// Copies lost blocks from wherever the mirror has them.
    fn move_blocks(&mut self, blocks: &[BlockId]) -> Result<Fate, SealedError> {
        if self.places.is_none() {
            self.places = Some(locate(self.mirror)?);
        }
        let Some(places) = &self.places else { return Ok(Fate::Left("the mirror cannot be read".to_owned())) };
        let absent = blocks.iter().filter(|block| !places.contains(block)).count();
        if self.options.dry_run {
            return Ok(judge(blocks.len() as u64 - absent as u64, absent as u64));
        }
        let mut relocator = Relocator::new(self.store, self.run);
        let mut copied = 0;
        for block in blocks {
            for place in places.of(block) {
                if needs::readable(relocator.copy_from(self.mirror, block, place))?.is_some() {
                    copied += 1;
                    if relocator.is_full(place.class) {
                        relocator.finish(place.class)?;
                    }
                    break;
                }
            }
        }
        relocator.finish(Class::Data)?;
        relocator.finish(Class::Tree)?;
        Ok(judge(copied, blocks.len() as u64 - copied))
    }
}

fn judge(copied: u64, missing: u64) -> Fate {
    match missing {
        0 => Fate::Moved(copied),
        _ => Fate::Left(format!("of the blocks that it has lost the mirror has {copied}, which are in a new pack, and lacks {missing}")),
    }
}

fn is_healable(folder: Folder) -> bool {
    matches!(folder, Folder::Keys | Folder::Packs | Folder::Index | Folder::Refs | Folder::Snapshots)
}

/// Whether a snapshot is whole but does not count: nothing that other bytes would change.
fn concerns_trust(problem: &Problem) -> bool {
    problem.object.starts_with(Folder::Snapshots.as_str()) && !problem.snapshots.is_empty()
}

/// Where a store has blocks, by all its lists and, of packs that none names, footers.
fn locate(store: &dyn Store) -> Result<Locations, SealedError> {
    let mut lists: Vec<_> = marks::read_maps(store)?.0.into_iter().map(|(_, list)| list).collect();
    for info in store.list(Folder::Index)? {
        if let Ok(id) = info.name.leaf().parse() {
            lists.extend(needs::understood(index::read_list(store, &id))?);
        }
    }
    let listing = PackListing::for_reading(store)?;
    Ok(Locations::collect(store, &listing, lists.iter(), true)?.0)
}

#[cfg(test)]
mod tests;
