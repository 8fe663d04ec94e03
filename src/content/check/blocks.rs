//! Opens every block of every pack, and compares its chunks with what the index objects say of it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::{DataReport, Problem};
use crate::content::ContentError;
use crate::content::dedup::Prefix;
use crate::content::seal::BlockOpener;
use crate::content::secret::ChunkKeys;
use crate::content::vault::Vault;
use crate::model::event::{Event, Monitor};
use crate::model::id::{BlockId, IndexId};
use crate::sealed::locations::{Location, Locations, PackListing, read_block_on};
use crate::sealed::pack::NONCE;
use crate::sealed::{SealedError, index, marks};
use crate::store::{Folder, Forward};

/// What index objects say of each block: a hash over its chunk prefixes and lengths, as the lists themselves would not
/// fit into memory.
type Claims = HashMap<BlockId, [u8; 32]>;

fn digest<'a>(chunks: impl Iterator<Item = (&'a Prefix, u32)>) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for (prefix, length) in chunks {
        hasher.update(&prefix.0).update(&length.to_le_bytes());
    }
    *hasher.finalize().as_bytes()
}

fn claims(vault: &Vault, report: &mut DataReport) -> Result<(Claims, Vec<index::BlockList>), ContentError> {
    let mut claims = Claims::new();
    let mut lists = Vec::new();
    for info in vault.repository().store().list(Folder::Index)? {
        let Ok(id) = info.name.leaf().parse::<IndexId>() else { continue };
        match vault.index(&id) {
            Ok((list, chunks)) => {
                for ((_, _, _, entry), chunks) in list.blocks().zip(&chunks) {
                    claims.insert(entry.id, digest(chunks.iter().map(|(prefix, length)| (prefix, *length))));
                }
                lists.push(list);
            }
            Err(ContentError::Sealed(SealedError::Store(error))) if !error.is_not_found() => return Err(error.into()),
            Err(error) => report.problems.push(problem(info.name.to_string(), error.to_string())),
        }
    }
    Ok((claims, lists))
}

fn problem(subject: String, what: String) -> Problem {
    Problem { subject, what, snapshots: BTreeSet::new() }
}

/// Opens all blocks on several threads; returns those that are not what they should be.
pub(super) fn open_all(vault: &Vault, report: &mut DataReport, monitor: &dyn Monitor) -> Result<HashSet<BlockId>, ContentError> {
    let store = vault.repository().store();
    let (claims, mut lists) = claims(vault, report)?;
    let (maps, _) = marks::read_maps(store)?;
    lists.extend(maps.into_iter().map(|(_, list)| list));
    let listing = PackListing::load(store)?;
    let (locations, damage) = Locations::collect(store, &listing, lists.iter(), true)?;
    report.problems.extend(damage.into_iter().map(|error| problem("packs/".into(), error.to_string())));
    // What prune wrote begins with a nonce, which is listed like a block but is none.
    let blocks = locations.iter().filter(|(_, place)| place.length as usize != NONCE);
    let mut places: Vec<(BlockId, Location)> = blocks.map(|(id, place)| (*id, *place)).collect();
    places.sort_by_key(|(_, place)| (place.pack, place.offset));
    monitor.event(Event::Expect { files: 0, bytes: places.iter().map(|(_, place)| u64::from(place.length)).sum() });
    let at_once = store.packing().at_once;
    let stretches: Vec<_> = places.chunk_by(|(_, first), (_, second)| at_once > 1 && first.pack == second.pack).collect();
    let next = AtomicUsize::new(0);
    let found = Mutex::new((std::mem::take(report), HashSet::new()));
    let threads = thread::available_parallelism().map_or(2, usize::from).clamp(1, 16).max(at_once);
    thread::scope(|scope| {
        let handles: Vec<_> = (0..threads)
            .map(|_| {
                let mut worker =
                    Worker { keys: vault.chunk_keys(), forward: Forward::new(store), opener: vault.opener()?, buffer: Vec::new() };
                let (stretches, claims, next, found) = (&stretches, &claims, &next, &found);
                Ok(scope.spawn(move || {
                    while let Some(places) = stretches.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let mut near = 0;
                        for (rank, (id, place)) in places.iter().enumerate() {
                            if monitor.cancelled() {
                                return;
                            }
                            if rank == near {
                                near += worker.expect(places.get(rank..).unwrap_or_default());
                            }
                            let result = worker.check(id, place, claims.get(id));
                            monitor.event(Event::Progress { files: 0, bytes: u64::from(place.length) });
                            let mut found = found.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                            note(&mut found, id, place, result);
                        }
                    }
                }))
            })
            .collect::<Result<_, ContentError>>()?;
        for handle in handles {
            handle.join().map_err(|_| ContentError::Other("a worker thread panicked; please report this".into()))?;
        }
        Ok::<_, ContentError>(())
    })?;
    let (filled, bad) = found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    *report = filled;
    if monitor.cancelled() { Err(ContentError::Cancelled) } else { Ok(bad) }
}

fn note(found: &mut (DataReport, HashSet<BlockId>), id: &BlockId, place: &Location, result: Result<(u64, u64), String>) {
    let (report, bad) = found;
    report.blocks += 1;
    match result {
        Ok((chunks, bytes)) => {
            report.chunks += chunks;
            report.bytes += bytes;
        }
        Err(what) => {
            bad.insert(*id);
            report.problems.push(problem(format!("block {} in {}", id.short(), crate::sealed::pack::name(&place.pack)), what));
        }
    }
}

struct Worker<'a> {
    keys: ChunkKeys,
    forward: Forward<'a>,
    opener: BlockOpener,
    buffer: Vec<u8>,
}

impl Worker<'_> {
    /// Announces the first of some blocks of one pack, and those near it; returns how many these are.
    fn expect(&mut self, places: &[(BlockId, Location)]) -> usize {
        let Some((_, first)) = places.first() else { return 0 };
        let parts = places.iter().map(|(_, place)| (place.offset, u64::from(place.length)));
        self.forward.expect_near(&crate::sealed::pack::name(&first.pack), parts)
    }

    /// Opens a block and recomputes its chunk ids: their number and bytes, or what is wrong.
    fn check(&mut self, id: &BlockId, place: &Location, claim: Option<&[u8; 32]>) -> Result<(u64, u64), String> {
        read_block_on(&mut self.forward, id, place, &mut self.buffer).map_err(|error| error.to_string())?;
        let open = self.opener.open(&self.buffer).map_err(|failure| failure.to_string())?;
        let chunks: Vec<(Prefix, u32)> = (0..open.ranges.len())
            .filter_map(|rank| open.chunk(rank))
            .map(|chunk| (Prefix::of(&self.keys.id(place.class, chunk)), u32::try_from(chunk.len()).unwrap_or(u32::MAX)))
            .collect();
        let found = digest(chunks.iter().map(|(prefix, length)| (prefix, *length)));
        if claim.is_some_and(|claim| *claim != found) {
            return Err("it holds other chunks than the index object says: whoever wrote it erred or lied".into());
        }
        Ok((chunks.len() as u64, chunks.iter().map(|(_, length)| u64::from(*length)).sum()))
    }
}
