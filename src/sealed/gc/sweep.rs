//! Sweep: deletes what was condemned a grace period ago, after copying the blocks that are needed.
//!
//! A live block of a condemned pack is always copied: a second copy elsewhere may be damaged, claimed by a forged list,
//! or condemned in this very moment. Only copies that this run made and confirmed count.

use std::collections::BTreeSet;

use super::live::{HOME, LiveBlocks, copied};
use super::plan::is_due;
use super::roots::Roots;
use super::survey::{PackUse, Survey};
use super::{Options, Outcome, PATIENCE, age};
use crate::model::event::{Event, Monitor, Silent};
use crate::model::human;
use crate::model::id::{BlockId, PackId, SnapshotId};
use crate::sealed::locations::Location;
use crate::sealed::marks::{self, Condemned, Sentence};
use crate::sealed::pack::{self, Class, Contents};
use crate::sealed::relocate::Relocator;
use crate::sealed::removal::remove_all;
use crate::sealed::repository::Repository;
use crate::sealed::run_id::RunId;
use crate::sealed::{SealedError, snapshots};
use crate::store::{Folder, ObjectName, Store};

/// Useless packs that are deleted together: what buckets delete by one request.
const TOGETHER: usize = 1000;

/// Carries out what is due.
pub(super) fn sweep(
    repository: &Repository,
    mut survey: Survey,
    options: &Options,
    run: &mut RunId,
    monitor: &dyn Monitor,
    outcome: &mut Outcome,
) -> Result<(), SealedError> {
    monitor.event(Event::Phase("sweep"));
    let store = repository.store();
    outcome.snapshots_expired += expire(store, &survey.roots.expired, monitor)?;
    // What goes in this run is told for another one: somebody may have listed it before, and not know yet why it is missing.
    let spent = spent(store, survey.sentences.iter().filter(|sentence| age(survey.now, sentence.stored) >= PATIENCE))?;
    let live = std::mem::take(&mut survey.live);
    let due: Vec<&Sentence> = survey.sentences.iter().filter(|sentence| is_due(&survey, options, sentence)).collect();
    due.iter().for_each(|sentence| report_unexpected(sentence, &survey, monitor));
    let doomed = doomed_packs(&survey, &due);
    monitor.event(Event::Expect { files: doomed.len() as u64, bytes: doomed.iter().map(|(_, entry)| entry.size).sum() });
    let relocator = Relocator::new(store, run);
    Sweeper { store, live, relocator, waiting: Default::default(), useless: Vec::new(), monitor, outcome }.packs(&doomed)?;
    // Only now: copies are written before what they were copied from is deleted.
    outcome.bytes_freed = outcome.bytes_deleted.saturating_sub(outcome.bytes_written);
    if outcome.cancelled {
        return Ok(());
    }
    if due.iter().any(|sentence| names_lists(&sentence.condemned)) {
        // A mirror brings snapshots whose lists may have been condemned when nobody needed them, and looks for prunes at work before
        // it vouches for them. So the roots are read once more, now that this run is announced.
        let roots = Roots::find(repository, survey.now, options.grace, &Silent)?;
        for sentence in &due {
            outcome.objects_deleted += delete_lists(store, &sentence.condemned, &roots, monitor)?;
        }
    }
    outcome.objects_deleted += count(&remove_all(store, &spent, monitor)?);
    Ok(())
}

/// The packs to delete that are there, the emptiest first: on a full disk they make the room that copies need.
fn doomed_packs<'a>(survey: &'a Survey, due: &[&Sentence]) -> Vec<(PackId, &'a PackUse)> {
    let ids: BTreeSet<&PackId> = due.iter().flat_map(|sentence| &sentence.condemned.packs).collect();
    let mut doomed: Vec<_> = ids.into_iter().filter_map(|id| survey.packs.get(id).map(|entry| (*id, entry))).collect();
    doomed.sort_by_key(|(id, entry)| (entry.known.map_or(0, |known| known.needed), *id));
    doomed
}

/// Deletes condemned packs, each once the copies of its live blocks are confirmed.
struct Sweeper<'a> {
    store: &'a dyn Store,
    live: LiveBlocks,
    relocator: Relocator<'a>,
    /// Per class the packs whose live blocks are all copied, but perhaps into a pack that is not finished.
    waiting: [Vec<(PackId, u64)>; 2],
    /// Packs without a live block.
    useless: Vec<(PackId, u64)>,
    monitor: &'a dyn Monitor,
    outcome: &'a mut Outcome,
}

impl Sweeper<'_> {
    fn packs(mut self, doomed: &[(PackId, &PackUse)]) -> Result<(), SealedError> {
        for (id, entry) in doomed {
            if self.monitor.cancelled() {
                self.outcome.cancelled = true;
                break;
            }
            self.pack(id, entry)?;
        }
        self.bury()?;
        self.flush(Class::Data)?;
        self.flush(Class::Tree)
    }

    fn pack(&mut self, id: &PackId, entry: &PackUse) -> Result<(), SealedError> {
        let contents = match pack::read_contents(self.store, &entry.info(id)) {
            Ok(contents) => contents,
            Err(error) if error.is_not_found() => return Ok(()),
            Err(error) if error.is_unreadable() => {
                self.monitor.event(Event::warning(pack::name(id).to_string(), format!("{error}. It was condemned, but is kept")));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let wanted = self.wanted(id, &contents);
        if wanted.is_empty() && !contents.blocks.iter().any(|block| self.live.marks(&block.id).is_some()) {
            self.useless.push((*id, entry.size));
            return if self.useless.len() < TOGETHER { Ok(()) } else { self.bury() };
        }
        self.bury()?;
        if self.copy_all(id, &wanted)? {
            self.waiting[usize::from(contents.class.code())].push((*id, entry.size));
        }
        if self.relocator.is_full(contents.class) { self.flush(contents.class) } else { Ok(()) }
    }

    /// The live blocks of a pack that this run has not copied yet. Those that lie nowhere else come first: if one is
    /// damaged the pack is kept, and the others need no copy.
    fn wanted(&self, id: &PackId, contents: &Contents) -> Vec<(BlockId, Location)> {
        let done = copied(contents.class);
        let mut wanted = Vec::new();
        for (offset, block) in contents.offsets() {
            if let Some(marks) = self.live.marks(&block.id)
                && marks & done == 0
            {
                let location = Location { pack: *id, class: contents.class, offset, length: block.length };
                wanted.push((marks & HOME != 0, block.id, location));
            }
        }
        wanted.sort_by_key(|(elsewhere, _, location)| (*elsewhere, location.offset));
        wanted.into_iter().map(|(_, block, location)| (block, location)).collect()
    }

    /// Copies blocks; `false` if the pack must be kept.
    fn copy_all(&mut self, id: &PackId, wanted: &[(BlockId, Location)]) -> Result<bool, SealedError> {
        for (block, location) in wanted {
            match self.relocator.copy(block, location) {
                Ok(()) => {
                    self.live.mark(block, copied(location.class) | HOME);
                    self.outcome.bytes_copied += u64::from(location.length);
                }
                Err(error) if error.is_not_found() => return Ok(false),
                Err(error @ SealedError::Damaged { .. }) => {
                    let message = format!("{error}. It was condemned, but is kept, as the block is needed");
                    self.monitor.event(Event::error(pack::name(id).to_string(), message));
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
            if self.relocator.is_full(location.class) {
                self.flush(location.class)?;
            }
        }
        Ok(true)
    }

    /// Finishes the open pack of a class, then deletes the packs whose blocks are safe by that.
    fn flush(&mut self, class: Class) -> Result<(), SealedError> {
        if let Some(stored) = self.relocator.finish(class)? {
            self.outcome.bytes_written += stored.size;
        }
        let safe = std::mem::take(&mut self.waiting[usize::from(class.code())]);
        self.delete(&safe)
    }

    /// Deletes what is useless, before more is written: on a full disk that makes the room.
    fn bury(&mut self) -> Result<(), SealedError> {
        let useless = std::mem::take(&mut self.useless);
        self.delete(&useless)
    }

    fn delete(&mut self, packs: &[(PackId, u64)]) -> Result<(), SealedError> {
        let names: Vec<_> = packs.iter().map(|(id, _)| pack::name(id)).collect();
        let gone = remove_all(self.store, &names, self.monitor)?;
        for ((_, size), gone) in packs.iter().zip(gone) {
            if gone {
                self.outcome.packs_deleted += 1;
                self.outcome.bytes_deleted += size;
            } else {
                self.outcome.packs_refused += 1;
            }
            self.monitor.event(Event::Progress { files: 1, bytes: *size });
        }
        Ok(())
    }
}

/// The sum of what a condemned object takes from the living, against what its author expected.
fn report_unexpected(sentence: &Sentence, survey: &Survey, monitor: &dyn Monitor) {
    let needed = |entry: &PackUse| entry.known.map_or(0, |known| known.needed);
    let all: u64 = survey.packs.values().map(needed).sum();
    let here: u64 = sentence.condemned.packs.iter().filter_map(|id| survey.packs.get(id)).map(needed).sum();
    if here > sentence.condemned.needed.saturating_add(all / 100) {
        let message = format!(
            "it names packs with {} that snapshots need, of {} in all; its author expected {}. They are copied before anything is deleted; \
             find out who wrote it",
            human::size(here),
            human::size(all),
            human::size(sentence.condemned.needed)
        );
        monitor.event(Event::warning(ObjectName::of_id(Folder::Condemned, sentence.id.as_bytes()).to_string(), message));
    }
}

/// Ends the time in which forgets can be undone; how many did end.
fn expire(store: &dyn Store, ids: &[SnapshotId], monitor: &dyn Monitor) -> Result<u64, SealedError> {
    let mut records = Vec::new();
    for id in ids {
        match store.stat(&snapshots::name(Folder::Snapshots, id)) {
            // Brought back, or a forget that was cut short: its records still count.
            Ok(_) => {}
            Err(error) if error.is_not_found() => {
                records.extend([Folder::Commits, Folder::Pins].map(|folder| snapshots::name(folder, id)));
                // A mirror remembers by this record what was forgotten here, and removes it itself.
                if !marks::read_received(store, id)?.is_some_and(|record| record.mirrored) {
                    records.push(snapshots::name(Folder::Received, id));
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    let gone = remove_all(store, &records, monitor)?;
    // By its copy a snapshot is found again whose records are still there.
    let left: BTreeSet<&str> = records.iter().zip(gone).filter(|(_, gone)| !gone).map(|(name, _)| name.leaf()).collect();
    let copies = ids.iter().map(|id| snapshots::name(Folder::Forgotten, id)).filter(|copy| !left.contains(copy.leaf()));
    let gone = remove_all(store, &copies.collect::<Vec<_>>(), monitor)?;
    Ok(count(&gone))
}

/// How many are gone.
fn count(gone: &[bool]) -> u64 {
    gone.iter().filter(|gone| **gone).count() as u64
}

fn names_lists(condemned: &Condemned) -> bool {
    let Condemned { packs: _, indexes, refs, checkpoints, maps, needed: _ } = condemned;
    !indexes.is_empty() || !refs.is_empty() || !checkpoints.is_empty() || !maps.is_empty()
}

/// Deletes condemned lists that nothing needs after all. Condemned twice or gone already is no matter.
fn delete_lists(store: &dyn Store, condemned: &Condemned, roots: &Roots, monitor: &dyn Monitor) -> Result<u64, SealedError> {
    let indexes = condemned.indexes.iter().map(|id| (Folder::Index, id.as_bytes(), roots.needs.names(id) || roots.undoable.names(id)));
    let refs = condemned.refs.iter().map(|id| {
        let needed = roots.needs.refs.contains(id) || roots.undoable.refs.contains(id);
        (Folder::Refs, id.as_bytes(), needed)
    });
    let checkpoints = condemned.checkpoints.iter().map(|id| (Folder::Checkpoints, id.as_bytes(), roots.checkpoints.contains(id)));
    let maps = condemned.maps.iter().map(|id| (Folder::Maps, id.as_bytes(), false));
    let mut useless = Vec::new();
    for (folder, id, needed) in indexes.chain(refs).chain(checkpoints).chain(maps) {
        let name = ObjectName::of_id(folder, id);
        if needed {
            monitor.event(Event::info(name.to_string(), "it was condemned, but is needed, so it stays"));
            continue;
        }
        match store.stat(&name) {
            Ok(_) => useless.push(name),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(count(&remove_all(store, &useless, monitor)?))
}

/// Deletes old condemned objects of which nothing is left to delete.
fn spent<'a>(store: &dyn Store, old: impl Iterator<Item = &'a Sentence>) -> Result<Vec<ObjectName>, SealedError> {
    let mut spent = Vec::new();
    for sentence in old {
        let named = &sentence.condemned;
        let packs = named.packs.iter().map(pack::name);
        let indexes = named.indexes.iter().map(|id| ObjectName::of_id(Folder::Index, id.as_bytes()));
        let refs = named.refs.iter().map(|id| ObjectName::of_id(Folder::Refs, id.as_bytes()));
        let checkpoints = named.checkpoints.iter().map(|id| ObjectName::of_id(Folder::Checkpoints, id.as_bytes()));
        let maps = named.maps.iter().map(|id| ObjectName::of_id(Folder::Maps, id.as_bytes()));
        if all_gone(store, packs.chain(indexes).chain(refs).chain(checkpoints).chain(maps))? {
            spent.push(ObjectName::of_id(Folder::Condemned, sentence.id.as_bytes()));
        }
    }
    Ok(spent)
}

fn all_gone(store: &dyn Store, mut names: impl Iterator<Item = ObjectName>) -> Result<bool, SealedError> {
    names.try_fold(true, |gone, name| match store.stat(&name) {
        _ if !gone => Ok(false),
        Ok(_) => Ok(false),
        Err(error) if error.is_not_found() => Ok(true),
        Err(error) => Err(error.into()),
    })
}
