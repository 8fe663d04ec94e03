//! The first depth: all lists are readable and every needed block lies in a pack that is there, of the right size.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::report::{Counts, Problem, Report};
use crate::model::event::Severity;
use crate::model::id::{BlockId, IndexId, KeysId, PackId, RefsId, SnapshotId};
use crate::sealed::index::{self, BlockList};
use crate::sealed::locations::PackListing;
use crate::sealed::marks::{self, Condemned};
use crate::sealed::needs::{self, Needs};
use crate::sealed::pack::{self, Contents};
use crate::sealed::refs;
use crate::sealed::repository::Repository;
use crate::sealed::snapshots::{self, Signer, Snapshot, Snapshots};
use crate::sealed::{SealedError, lag, limits};
use crate::store::{Folder, ObjectName, Store};

/// What the second depth and the report need of the first.
#[derive(Default)]
pub(super) struct Found {
    /// Snapshots that count, with their refs.
    pub(super) counted: Vec<(SnapshotId, RefsId)>,
    /// Packs that are there.
    pub(super) listing: PackListing,
    /// Per pack the index object or map that lists it, and a short hash of what it lists.
    pub(super) listed: HashMap<PackId, (ObjectName, u64)>,
    needs: Needs,
    /// Needed blocks that are not where their index object says, and where that would be.
    homeless: BTreeMap<BlockId, PackId>,
    /// Sizes that packs should have by their lists, where they have another.
    sizes: HashMap<PackId, u64>,
}

/// A short hash of what a list says of a pack.
pub(super) fn digest(contents: &Contents) -> u64 {
    let mut bytes = Vec::new();
    contents.encode(&mut bytes);
    blake3::hash(&bytes).as_bytes().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Checks the structure.
pub(super) fn check(repository: &Repository, report: &mut Report) -> Result<Found, SealedError> {
    let store = repository.store();
    let mut found = Found::default();
    check_keys(repository, report)?;
    for folder in store.unknown_folders()? {
        report.counts.unknown_folders += 1;
        let what = "this version does not know the folder; a newer one may, so it is left alone";
        report.problems.push(Problem::new(Severity::Info, folder, what));
    }
    let condemned = read_condemned(store, report)?;
    report.counts.condemned = (condemned.packs.len() + condemned.indexes.len() + condemned.refs.len()) as u64;
    check_snapshots(repository, &mut found, report)?;
    found.listing = PackListing::list(store, condemned.packs.iter().copied().collect())?;
    found.read_indexes(store, &condemned, report)?;
    found.seek_homeless(store, report)?;
    found.report_missing(report);
    found.count(store, &condemned, &mut report.counts)?;
    Ok(found)
}

/// The `keys/` objects that the statement names must be there as it names them, or somebody cannot restore.
fn check_keys(repository: &Repository, report: &mut Report) -> Result<(), SealedError> {
    let store = repository.store();
    for entry in &repository.statement().keys {
        let name = ObjectName::of_id(Folder::Keys, entry.id.as_bytes());
        let what = match store.get(&name, limits::PAYLOAD) {
            Ok(bytes) if KeysId::of(&bytes) == entry.id => continue,
            Ok(_) => "its bytes do not match its name",
            Err(error) if error.is_not_found() => "it is missing",
            Err(error) => return Err(error.into()),
        };
        let what = format!("{what}: {} cannot restore from here; the next backup of any host puts its copy back", entry.recipient);
        report.problems.push(Problem::new(Severity::Error, name, what));
    }
    Ok(())
}

fn read_condemned(store: &dyn Store, report: &mut Report) -> Result<Condemned, SealedError> {
    match marks::all_condemned(store) {
        Err(error) if error.is_unreadable() => {
            let what = format!("{error}. Until it is brought back, neither prune nor any backup can go on");
            report.problems.push(Problem::new(Severity::Error, "condemned/", what));
            Ok(Condemned::default())
        }
        other => other,
    }
}

fn check_snapshots(repository: &Repository, found: &mut Found, report: &mut Report) -> Result<(), SealedError> {
    let snapshots = Snapshots::load(repository, Folder::Snapshots)?;
    for (name, error) in &snapshots.unreadable {
        let what = match error {
            SealedError::Damaged { why, .. } => format!("{why}; bring it back from a mirror, or give it up with `forget --broken`"),
            newer => newer.to_string(),
        };
        report.problems.push(Problem::new(Severity::Error, name, what));
    }
    let mut newest = BTreeMap::new();
    for Snapshot { envelope, .. } in snapshots.list.iter().filter(|snapshot| snapshot.signer == Signer::Known) {
        let sequence = newest.entry(envelope.writer).or_insert(envelope.sequence);
        *sequence = envelope.sequence.max(*sequence);
    }
    for snapshot in &snapshots.list {
        let last = newest.get(&snapshot.envelope.writer) == Some(&snapshot.envelope.sequence);
        check_snapshot(repository.store(), snapshot, last, found, report)?;
    }
    for id in snapshots::lost(repository.store())? {
        let what = "it was committed and is missing, but was not forgotten: somebody deleted it; `repair --from MIRROR` brings it back, and a \
                    prune may delete what only it needs";
        report.problems.push(Problem::new(Severity::Error, snapshots::name(Folder::Snapshots, &id), what).of_snapshot(id));
    }
    report.counts.forgotten = repository.store().list(Folder::Forgotten)?.len() as u64;
    Ok(())
}

/// `last` says whether the writer made no later one.
fn check_snapshot(store: &dyn Store, snapshot: &Snapshot, last: bool, found: &mut Found, report: &mut Report) -> Result<(), SealedError> {
    let name = snapshots::name(Folder::Snapshots, &snapshot.id);
    let (severity, what) = match snapshot.signer {
        Signer::Unknown => (Severity::Warning, "no known writer signed it; it does not count, and after 30 days its blocks may go"),
        Signer::Closed => (Severity::Info, "its writer is closed and it is not among the accepted ones; it does not count"),
        // A backup that runs now, or was killed, looks like this.
        Signer::Known if !snapshot.committed && last => {
            (Severity::Info, "its writer has not verified it yet: a backup runs now, or was interrupted and the next replaces it")
        }
        Signer::Known if !snapshot.committed => {
            (Severity::Warning, "its writer has not verified it but made others since, so its commit was lost; it does not count")
        }
        Signer::Known => return check_counted(store, snapshot, found, report),
    };
    match snapshot.signer {
        Signer::Known => report.counts.uncommitted += 1,
        Signer::Unknown => report.counts.foreign += 1,
        Signer::Closed => report.counts.closed += 1,
    }
    report.problems.push(Problem::new(severity, name, what).of_snapshot(snapshot.id));
    Ok(())
}

fn check_counted(store: &dyn Store, snapshot: &Snapshot, found: &mut Found, report: &mut Report) -> Result<(), SealedError> {
    report.counts.snapshots += 1;
    found.counted.push((snapshot.id, snapshot.envelope.refs));
    match refs::read(store, &snapshot.envelope.refs) {
        Ok(refs) => found.needs.add(snapshot.envelope.refs, refs),
        Err(error) if error.is_not_found() || error.is_unreadable() => {
            if needs::is_there(store, &snapshot.id)? {
                report.problems.push(Problem::new(Severity::Error, refs::name(&snapshot.envelope.refs), error).of_snapshot(snapshot.id));
            }
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

fn found_home(homeless: &mut BTreeMap<BlockId, PackId>, block: &BlockId) {
    homeless.remove(block);
}

impl Found {
    fn read_indexes(&mut self, store: &dyn Store, condemned: &Condemned, report: &mut Report) -> Result<(), SealedError> {
        let listed = store.list(Folder::Index)?.into_iter().filter_map(|info| info.name.leaf().parse().ok());
        let ids: BTreeSet<IndexId> = listed.chain(self.needs.index_ids()).collect();
        for id in ids {
            match index::read_list(store, &id) {
                Ok(list) => self.take_index(store, &id, &list, report)?,
                Err(error) if error.is_not_found() || error.is_unreadable() => {
                    if self.needs.names(&id) {
                        self.index_lost(store, &id, &error.to_string(), None, report)?;
                    } else if !error.is_not_found() && !condemned.indexes.contains(&id) {
                        report.problems.push(Problem::new(Severity::Warning, index::name(&id), format!("{error}; no snapshot needs it")));
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn take_index(&mut self, store: &dyn Store, id: &IndexId, list: &BlockList, report: &mut Report) -> Result<(), SealedError> {
        let blocks = list.len();
        if self.needs.disagree(id, blocks) {
            let what = format!("it lists {blocks} blocks, but refs were made for another number");
            self.index_lost(store, id, &what, Some(blocks), report)?;
        }
        let bitmap = self.needs.in_index(id, blocks);
        let mut position = 0;
        for (pack, contents) in &list.packs {
            let whole = self.listing.is_whole(pack, contents);
            for block in &contents.blocks {
                if bitmap.is_some_and(|bitmap| bitmap.contains(position)) {
                    report.counts.blocks += 1;
                    report.counts.bytes += u64::from(block.length);
                    if !whole {
                        self.homeless.insert(block.id, *pack);
                    }
                }
                position += 1;
            }
            if whole {
                self.listed.insert(*pack, (index::name(id), digest(contents)));
            } else if self.listing.packs.contains_key(pack) {
                self.sizes.insert(*pack, contents.pack_size());
            }
        }
        Ok(())
    }

    fn index_lost(
        &self,
        store: &dyn Store,
        id: &IndexId,
        what: &str,
        blocks: Option<usize>,
        report: &mut Report,
    ) -> Result<(), SealedError> {
        let mut problem = Problem::new(Severity::Error, index::name(id), what);
        for (snapshot, refs) in &self.counted {
            let Some(refs) = needs::understood(refs::read(store, refs))? else { continue };
            if refs.indexes.get(id).is_some_and(|bitmap| blocks.is_none_or(|blocks| bitmap.len() != blocks))
                && needs::is_there(store, snapshot)?
            {
                problem.snapshots.push(*snapshot);
            }
        }
        if problem.snapshots.is_empty() {
            return Ok(());
        }
        problem.what.push_str("; bring it back from a mirror, or rebuild it with `check --repair-index` and a restore key");
        report.problems.push(problem);
        Ok(())
    }

    /// Looks for blocks that prune has moved: in maps, in packs that no list names, and once more if a prune is at it.
    fn seek_homeless(&mut self, store: &dyn Store, report: &mut Report) -> Result<(), SealedError> {
        let (maps, damaged) = marks::read_maps(store)?;
        for name in damaged {
            report.problems.push(Problem::new(Severity::Warning, name, "it is damaged; it is a hint only, so nothing is lost"));
        }
        self.take_maps(maps.into_iter().map(|(id, list)| (ObjectName::of_id(Folder::Maps, id.as_bytes()), list)));
        if self.homeless.is_empty() {
            return Ok(());
        }
        self.take_footers(store)?;
        if self.homeless.is_empty() {
            return Ok(());
        }
        lag::wait_out(store)?;
        let now = PackListing::list(store, self.listing.condemned.clone())?;
        self.listing.packs.extend(now.packs);
        self.take_footers(store)
    }

    fn take_maps(&mut self, maps: impl Iterator<Item = (ObjectName, BlockList)>) {
        for (name, list) in maps {
            for (pack, contents) in list.packs.iter().filter(|(pack, contents)| self.listing.is_whole(pack, contents)) {
                contents.blocks.iter().for_each(|block| found_home(&mut self.homeless, &block.id));
                self.listed.entry(*pack).or_insert_with(|| (name.clone(), digest(contents)));
            }
        }
    }

    fn take_footers(&mut self, store: &dyn Store) -> Result<(), SealedError> {
        for (_, info) in self.listing.packs.iter().filter(|(pack, _)| !self.listed.contains_key(*pack)) {
            if let Some(contents) = needs::understood(pack::read_contents(store, info))? {
                contents.blocks.iter().for_each(|block| found_home(&mut self.homeless, &block.id));
            }
        }
        Ok(())
    }

    fn report_missing(&mut self, report: &mut Report) {
        let mut by_pack: BTreeMap<PackId, Vec<BlockId>> = BTreeMap::new();
        for (block, pack) in std::mem::take(&mut self.homeless) {
            by_pack.entry(pack).or_default().push(block);
        }
        for (pack, blocks) in by_pack {
            let state = match (self.listing.packs.get(&pack), self.sizes.get(&pack)) {
                (Some(info), Some(size)) => format!("it has {} bytes instead of {size}", info.size),
                _ => "it is missing".to_owned(),
            };
            let what = format!(
                "{state}, and {} needed blocks are nowhere else; the next backup stores again what the source still has",
                blocks.len()
            );
            report.problems.push(Problem { blocks, ..Problem::new(Severity::Error, pack::name(&pack), what) });
        }
    }

    fn count(&self, store: &dyn Store, condemned: &Condemned, counts: &mut Counts) -> Result<(), SealedError> {
        counts.packs = self.listing.packs.len() as u64;
        counts.pack_bytes = self.listing.packs.values().map(|info| info.size).sum();
        let orphan = |pack: &&PackId| !self.listed.contains_key(*pack) && !condemned.packs.contains(*pack);
        counts.orphans = self.listing.packs.keys().filter(orphan).count() as u64;
        let unneeded = |folder, needed: &dyn Fn(&str) -> bool| -> Result<u64, SealedError> {
            Ok(store.list(folder)?.iter().filter(|info| !needed(info.name.leaf())).count() as u64)
        };
        let indexes: HashSet<String> = self.needs.index_ids().iter().chain(&condemned.indexes).map(ToString::to_string).collect();
        let refs: HashSet<String> = self.needs.refs.iter().chain(&condemned.refs).map(ToString::to_string).collect();
        counts.unneeded_lists =
            unneeded(Folder::Index, &|leaf| indexes.contains(leaf))? + unneeded(Folder::Refs, &|leaf| refs.contains(leaf))?;
        Ok(())
    }
}
