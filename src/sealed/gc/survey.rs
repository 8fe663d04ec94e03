//! The survey: everything prune reads before it decides, in the order that keeps it safe.
//!
//! What is condemned is read first; then the listing lag is waited out; only then the roots are read. A snapshot whose
//! writer has not seen a condemnation is therefore visible to the sweep that carries it out.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::{Duration, SystemTime};

use super::live::{HOME, LiveBlocks, PRESENT, ROOT};
use super::roots::Roots;
use super::{Options, age};
use crate::model::event::{Event, Monitor, Silent};
use crate::model::id::{CheckpointId, IndexId, MapId, PackId, RefsId};
use crate::sealed::codec::{FormatError, check_magic};
use crate::sealed::envelope::CHECKPOINT_MAGIC;
use crate::sealed::index::{self, BlockList};
use crate::sealed::marks::{self, Condemned, Sentence};
use crate::sealed::needs;
use crate::sealed::pack::{self, Class, Contents};
use crate::sealed::repository::Repository;
use crate::sealed::{SealedError, lag, limits, refs};
use crate::store::{Folder, ObjectInfo, Store};

/// How often packs are listed again when needed blocks are in none.
const LOOK_AGAIN: usize = 3;

/// A pack that is there.
#[derive(Debug, Clone)]
pub(super) struct PackUse {
    /// Size in bytes.
    pub(super) size: u64,
    /// The store's time of it.
    pub(super) stored: SystemTime,
    /// Whether it was condemned.
    pub(super) condemned: bool,
    /// What is in it; `None` if neither a list nor its own footer says.
    pub(super) known: Option<Known>,
}

/// What is in a pack. Sizes in sealed bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    /// Data or trees.
    pub(super) class: Class,
    /// All blocks.
    pub(super) content: u64,
    /// Blocks that roots need.
    pub(super) needed: u64,
}

/// An object with its time, and whether something needs it.
#[derive(Debug, Clone)]
pub(super) struct Listed<T> {
    /// The object.
    pub(super) id: T,
    /// The store's time of it.
    pub(super) stored: SystemTime,
    /// Whether a root, or a forgotten snapshot that can be brought back, needs it.
    pub(super) needed: bool,
}

/// A map that is there.
#[derive(Debug, Clone)]
pub(super) struct MapUse {
    /// The map.
    pub(super) id: MapId,
    /// Blocks it lists in packs that are there and stay, a count.
    pub(super) blocks: usize,
}

/// The state of the repository as prune sees it.
#[derive(Debug, Clone)]
pub(super) struct Survey {
    /// The store's time when it began.
    pub(super) now: SystemTime,
    /// Condemned objects that were read before the roots.
    pub(super) sentences: Vec<Sentence>,
    /// All that is condemned, also since then.
    pub(super) condemned: Condemned,
    /// What keeps blocks alive.
    pub(super) roots: Roots,
    /// The blocks that must stay.
    pub(super) live: LiveBlocks,
    /// Packs that are there.
    pub(super) packs: BTreeMap<PackId, PackUse>,
    /// Index objects that are there and not condemned.
    pub(super) indexes: Vec<Listed<IndexId>>,
    /// Refs objects that are there and not condemned.
    pub(super) refs: Vec<Listed<RefsId>>,
    /// Checkpoints that are there and not condemned.
    pub(super) checkpoints: Vec<Listed<CheckpointId>>,
    /// Maps that are there and not condemned.
    pub(super) maps: Vec<MapUse>,
}

impl Survey {
    /// Reads the repository. `own` is a condemned object that this run has just written and a lagging list may not show.
    pub(super) fn take(
        repository: &Repository,
        options: &Options,
        own: Option<Sentence>,
        monitor: &dyn Monitor,
    ) -> Result<Self, SealedError> {
        let store = repository.store();
        monitor.event(Event::Phase("survey"));
        let now = store.now()?;
        let mut sentences = marks::read_condemned(store)?;
        if let Some(own) = own
            && sentences.iter().all(|sentence| sentence.id != own.id)
        {
            sentences.push(own);
        }
        lag::wait_out(store)?;
        let roots = Roots::find(repository, now, options.grace, monitor)?;
        let mut condemned = marks::all_condemned(store)?;
        sentences.iter().for_each(|sentence| condemned.extend(sentence.condemned.clone()));
        let mut survey = Self {
            now,
            sentences,
            condemned,
            roots,
            live: LiveBlocks::default(),
            packs: BTreeMap::new(),
            indexes: Vec::new(),
            refs: Vec::new(),
            checkpoints: Vec::new(),
            maps: Vec::new(),
        };
        survey.read(store, monitor)?;
        Ok(survey)
    }

    fn read(&mut self, store: &dyn Store, monitor: &dyn Monitor) -> Result<(), SealedError> {
        self.list_packs(store)?;
        self.list_small(store)?;
        self.read_indexes(store, monitor)?;
        self.live.sort();
        self.read_maps(store)?;
        self.read_footers(store, monitor)?;
        for _ in 0..LOOK_AGAIN {
            if self.live.missing().next().is_none() {
                return Ok(());
            }
            // Another prune may be moving blocks from pack to pack.
            lag::wait_out(store)?;
            self.list_packs(store)?;
            self.read_footers(store, &Silent)?;
        }
        self.report_missing(store, monitor)
    }

    fn list_packs(&mut self, store: &dyn Store) -> Result<(), SealedError> {
        for info in store.list(Folder::Packs)? {
            if let Ok(id) = info.name.leaf().parse() {
                let condemned = self.condemned.packs.contains(&id);
                self.packs.entry(id).or_insert(PackUse { size: info.size, stored: info.stored, condemned, known: None });
            }
        }
        Ok(())
    }

    fn list_small(&mut self, store: &dyn Store) -> Result<(), SealedError> {
        let (roots, condemned) = (&self.roots, &self.condemned);
        self.indexes =
            listed(store, Folder::Index, index::MAGIC, &condemned.indexes, |id| roots.needs.names(id) || roots.undoable.names(id))?;
        self.refs = listed(store, Folder::Refs, refs::MAGIC, &condemned.refs, |id| {
            roots.needs.refs.contains(id) || roots.undoable.refs.contains(id)
        })?;
        self.checkpoints =
            listed(store, Folder::Checkpoints, CHECKPOINT_MAGIC, &condemned.checkpoints, |id| roots.checkpoints.contains(id))?;
        Ok(())
    }

    fn read_indexes(&mut self, store: &dyn Store, monitor: &dyn Monitor) -> Result<(), SealedError> {
        let named = self.roots.needs.index_ids().into_iter().chain(self.roots.undoable.index_ids());
        let ids: BTreeSet<IndexId> = self.indexes.iter().map(|index| index.id).chain(named).collect();
        for id in ids {
            match index::read_list(store, &id) {
                Ok(list) => self.take_index(store, &id, &list, monitor)?,
                Err(error) if error.is_not_found() || matches!(error, SealedError::Damaged { .. }) => {
                    let why = || copy_of(&error, &id);
                    self.roots.index_unreadable(store, &id, why, None, monitor)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn take_index(&mut self, store: &dyn Store, id: &IndexId, list: &BlockList, monitor: &dyn Monitor) -> Result<(), SealedError> {
        let blocks = list.len();
        if self.roots.needs.disagree(id, blocks) {
            let why = || SealedError::damaged(index::name(id), format!("it lists {blocks} blocks, but refs were made for another number"));
            self.roots.index_unreadable(store, id, why, Some(blocks), monitor)?;
        }
        let needed = self.roots.needs.in_index(id, blocks);
        let undoable = self.roots.undoable.in_index(id, blocks);
        let mut position = 0;
        for (pack, contents) in &list.packs {
            let entry = self.packs.get_mut(pack).filter(|entry| entry.size == contents.pack_size());
            let place = entry.as_ref().map_or(0, |entry| if entry.condemned { PRESENT } else { PRESENT | HOME });
            let mut bytes = 0;
            for block in &contents.blocks {
                let root = needed.is_some_and(|bitmap| bitmap.contains(position));
                if root || undoable.is_some_and(|bitmap| bitmap.contains(position)) {
                    self.live.push(block.id, place | if root { ROOT } else { 0 });
                }
                bytes += if root { u64::from(block.length) } else { 0 };
                position += 1;
            }
            if let Some(entry) = entry {
                entry.learn(contents, bytes);
            }
        }
        Ok(())
    }

    fn read_maps(&mut self, store: &dyn Store) -> Result<(), SealedError> {
        for (id, list) in marks::read_maps(store)?.0 {
            let mut blocks = 0;
            for (pack, contents) in &list.packs {
                let Some(entry) = self.packs.get_mut(pack).filter(|entry| entry.size == contents.pack_size()) else { continue };
                let bytes = self.live.meet(contents, entry.condemned);
                entry.learn(contents, bytes);
                blocks += if entry.condemned { 0 } else { contents.blocks.len() };
            }
            if !self.condemned.maps.contains(&id) {
                self.maps.push(MapUse { id, blocks });
            }
        }
        Ok(())
    }

    fn read_footers(&mut self, store: &dyn Store, monitor: &dyn Monitor) -> Result<(), SealedError> {
        for (id, entry) in self.packs.iter_mut().filter(|(_, entry)| entry.known.is_none()) {
            match pack::read_contents(store, &entry.info(id)) {
                Ok(contents) => {
                    let bytes = self.live.meet(&contents, entry.condemned);
                    entry.learn(&contents, bytes);
                }
                Err(error) if error.is_not_found() => {}
                Err(error) if error.is_unreadable() => {
                    monitor.event(Event::warning(pack::name(id).to_string(), format!("{error}. Prune leaves it alone")));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn report_missing(&self, store: &dyn Store, monitor: &dyn Monitor) -> Result<(), SealedError> {
        let missing: HashSet<_> = self.live.missing().collect();
        if missing.is_empty() {
            return Ok(());
        }
        let snapshots = self.roots.counted.iter().map(|(id, refs)| (*id, refs));
        let concerned = needs::concerned(store, snapshots, &missing)?;
        let lost = concerned.len();
        if lost > 0 {
            let mut snapshots: Vec<_> = concerned.into_values().flatten().collect();
            snapshots.sort_unstable();
            snapshots.dedup();
            let message = format!("{lost} blocks are in no pack that {} need. `hearth-backup check` tells more", needs::names(&snapshots));
            monitor.event(Event::error("packs/", message));
        }
        if missing.len() > lost {
            let message = format!(
                "{} blocks of unfinished or just forgotten snapshots are in no pack; nothing that counts needs them",
                missing.len() - lost
            );
            monitor.event(Event::info("packs/", message));
        }
        Ok(())
    }

    /// How old an object is.
    pub(super) fn age(&self, stored: SystemTime) -> Duration {
        age(self.now, stored)
    }
}

impl PackUse {
    /// The pack as a listing shows it.
    pub(super) fn info(&self, id: &PackId) -> ObjectInfo {
        ObjectInfo { name: pack::name(id), size: self.size, stored: self.stored }
    }

    /// Takes what one list says. Where lists differ, the one that finds more needed counts; the sweep reads the footer.
    fn learn(&mut self, contents: &Contents, needed: u64) {
        let blocks = contents.blocks.iter().filter(|block| !block.is_nonce());
        let content = blocks.map(|block| u64::from(block.length)).sum();
        if self.known.is_none_or(|known| known.needed <= needed) {
            self.known = Some(Known { class: contents.class, content, needed });
        }
    }
}

/// What of a folder is not condemned yet. What nobody needs and a newer program wrote is left out: only that one can tell.
fn listed<T: std::str::FromStr + Ord>(
    store: &dyn Store,
    folder: Folder,
    magic: &[u8; 8],
    condemned: &BTreeSet<T>,
    needed: impl Fn(&T) -> bool,
) -> Result<Vec<Listed<T>>, SealedError> {
    let mut found = Vec::new();
    for info in store.list(folder)? {
        let Some(id) = info.name.leaf().parse().ok().filter(|id| !condemned.contains(id)) else { continue };
        let needed = needed(&id);
        if needed || !is_newer(store, &info, magic)? {
            found.push(Listed { id, stored: info.stored, needed });
        }
    }
    Ok(found)
}

/// Whether an object begins as those of a newer program do.
fn is_newer(store: &dyn Store, info: &ObjectInfo, magic: &[u8; 8]) -> Result<bool, SealedError> {
    let mut found = Vec::new();
    let length = magic.len().min(usize::try_from(info.size).unwrap_or(usize::MAX));
    match store.get_range(&info.name, 0, length, &mut found) {
        Ok(()) => Ok(matches!(check_magic(&found, magic), Err(FormatError::TooNew(_)))),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// An error like this one, as it concerns several roots.
fn copy_of(error: &SealedError, id: &IndexId) -> SealedError {
    match error {
        SealedError::Damaged { object, why } => SealedError::damaged(object, why),
        _ => crate::store::StoreError::new(crate::store::StoreErrorKind::NotFound, "read", index::name(id)).into(),
    }
}

/// Bounds a condemned object far below [`limits::LIST`]: an id takes 67 bytes in it.
pub(super) const MOST_CONDEMNED: usize = limits::LIST as usize / 200;
