//! The second depth: every byte of packs against the packs' and blocks' ids.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::report::{Problem, Report};
use super::share::Share;
use super::structure::{Found, digest};
use crate::model::event::{Event, Monitor, Severity};
use crate::model::id::{BlockId, PackId};
use crate::sealed::pack::{self, Contents};
use crate::sealed::{SealedError, index, needs};
use crate::store::{Folder, Forward, ObjectInfo, ObjectName, Store, StoreErrorKind};

/// Packs are read in pieces of so many bytes.
const PIECE: usize = 4 << 20;
const THREADS: usize = 2;

/// What reading one pack showed.
#[derive(Default)]
struct Reading {
    /// Bytes read.
    bytes: u64,
    /// The pack as a whole is not what its name says.
    damage: Option<String>,
    /// Blocks whose bytes have changed, or cannot be read.
    blocks: Vec<BlockId>,
    /// The pack's own list is unreadable.
    no_footer: bool,
    /// It was deleted meanwhile.
    gone: bool,
}

/// Reads a share of the packs.
pub(super) fn check(
    store: &dyn Store,
    found: &Found,
    share: &Share,
    report: &mut Report,
    monitor: &dyn Monitor,
) -> Result<(), SealedError> {
    let packs: Vec<(&PackId, &ObjectInfo)> = found.listing.packs.iter().collect();
    let mut packs = share.of(packs, store.now()?);
    packs.sort_unstable_by_key(|(id, _)| **id);
    monitor.event(Event::Expect { files: packs.len() as u64, bytes: packs.iter().map(|(_, info)| info.size).sum() });
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    let first_error = std::thread::scope(|scope| {
        let work = || -> Result<(), SealedError> {
            while let Some((id, info)) = packs.get(next.fetch_add(1, Ordering::Relaxed)) {
                if monitor.cancelled() {
                    return Ok(());
                }
                let reading = read(store, found, id, info)?;
                monitor.event(Event::Progress { files: 1, bytes: reading.bytes });
                results.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((**id, reading));
            }
            Ok(())
        };
        let workers: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        let ends = workers.into_iter().map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        ends.fold(Ok(()), Result::and)
    });
    first_error?;
    report.cancelled = monitor.cancelled();
    let mut results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    results.sort_unstable_by_key(|(id, _)| *id);
    seek_contents(store, found, &mut results)?;
    results.into_iter().for_each(|(id, reading)| judge(&id, reading, report));
    Ok(())
}

fn read(store: &dyn Store, found: &Found, id: &PackId, info: &ObjectInfo) -> Result<Reading, SealedError> {
    let contents = match pack::read_contents(store, info) {
        Ok(contents) => contents,
        Err(error) if error.is_not_found() => return Ok(Reading { gone: true, ..Reading::default() }),
        Err(error) if is_damage(&error) => {
            return Ok(Reading { damage: Some(error.to_string()), no_footer: true, ..Reading::default() });
        }
        Err(error) => return Err(error),
    };
    let mut reading = read_blocks(store, id, info, &contents)?;
    if reading.damage.is_none()
        && let Some((list, expected)) = found.listed.get(id)
        && *expected != digest(&contents)
    {
        reading.damage =
            Some(format!("it is whole, but {list} lists other blocks of it than it holds; rebuild that with `check --repair-index`"));
    }
    Ok(reading)
}

/// Whether an error tells of an object, and not of a store that cannot be reached.
fn is_damage(error: &SealedError) -> bool {
    match error {
        SealedError::Damaged { .. } | SealedError::TooNew { .. } => true,
        SealedError::Store(error) => matches!(error.kind, StoreErrorKind::Truncated | StoreErrorKind::TooLarge),
        _ => false,
    }
}

/// Streams a pack through the hashes of the whole and of its blocks.
fn read_blocks(store: &dyn Store, id: &PackId, info: &ObjectInfo, contents: &Contents) -> Result<Reading, SealedError> {
    let mut reading = Reading::default();
    let mut whole = blake3::Hasher::new();
    let mut blocks = Blocks::new(contents);
    let mut buffer = Vec::new();
    let mut forward = Forward::new(store);
    forward.expect(&info.name, 0..info.size);
    while reading.bytes < info.size {
        let length = usize::try_from(info.size - reading.bytes).unwrap_or(PIECE).min(PIECE);
        match forward.get_range(&info.name, reading.bytes, length, &mut buffer) {
            Ok(()) => {}
            Err(error) if error.is_not_found() => return Ok(Reading { gone: true, ..reading }),
            Err(error) if error.kind == StoreErrorKind::Truncated => {
                reading.damage = Some("it is shorter than it was a moment ago".to_owned());
                reading.blocks = blocks.bad;
                return Ok(reading);
            }
            Err(error) => return Err(error.into()),
        }
        whole.update(&buffer);
        blocks.update(&buffer);
        reading.bytes += buffer.len() as u64;
    }
    reading.blocks = blocks.bad;
    if whole.finalize().as_bytes() != id.as_bytes() {
        reading.damage = Some("its bytes do not match its name".to_owned());
    }
    Ok(reading)
}

/// Hashes blocks as the bytes of their pack go by.
struct Blocks<'a> {
    rest: std::slice::Iter<'a, pack::BlockEntry>,
    current: Option<(&'a pack::BlockEntry, usize)>,
    hasher: blake3::Hasher,
    skip: usize,
    bad: Vec<BlockId>,
}

impl<'a> Blocks<'a> {
    fn new(contents: &'a Contents) -> Self {
        let mut rest = contents.blocks.iter();
        let current = rest.next().map(|block| (block, block.length as usize));
        Self { rest, current, hasher: blake3::Hasher::new(), skip: pack::MAGIC.len(), bad: Vec::new() }
    }

    fn update(&mut self, bytes: &[u8]) {
        let (_, mut bytes) = bytes.split_at(self.skip.min(bytes.len()));
        self.skip = 0;
        while let Some((block, left)) = self.current {
            let (part, after) = bytes.split_at(left.min(bytes.len()));
            self.hasher.update(part);
            bytes = after;
            if part.len() < left {
                self.current = Some((block, left - part.len()));
                return;
            }
            if self.hasher.finalize().as_bytes() != block.id.as_bytes() {
                self.bad.push(block.id);
            }
            self.hasher.reset();
            self.current = self.rest.next().map(|block| (block, block.length as usize));
        }
    }
}

/// Packs whose own list is damaged: what index objects say of them tells which blocks are still good.
fn seek_contents(store: &dyn Store, found: &Found, results: &mut [(PackId, Reading)]) -> Result<(), SealedError> {
    let mut wanted: HashMap<PackId, &mut Reading> =
        results.iter_mut().filter(|(_, reading)| reading.no_footer).map(|(id, reading)| (*id, reading)).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    for info in store.list(Folder::Index)? {
        let Ok(id) = info.name.leaf().parse() else { continue };
        let Some(list) = needs::understood(index::read_list(store, &id))? else { continue };
        for (pack, contents) in &list.packs {
            let Some(reading) = wanted.get_mut(pack) else { continue };
            if let Some(info) = found.listing.packs.get(pack).filter(|info| info.size == contents.pack_size()) {
                let read = read_blocks(store, pack, info, contents)?;
                (reading.bytes, reading.blocks) = (read.bytes, read.blocks);
            }
        }
    }
    Ok(())
}

fn judge(id: &PackId, reading: Reading, report: &mut Report) {
    if reading.gone {
        return;
    }
    report.counts.packs_read += 1;
    report.counts.bytes_read += reading.bytes;
    let name: ObjectName = pack::name(id);
    match (reading.damage, reading.blocks.len()) {
        (None, 0) => {}
        (Some(damage), 0) => report.problems.push(Problem::new(Severity::Warning, name, format!("{damage}; its blocks are all intact"))),
        (damage, count) => {
            let damage = damage.map_or_else(String::new, |damage| format!("{damage}; "));
            let what = format!("{damage}{count} of its blocks have changed. The rest can be restored; a mirror has the same pack");
            report.problems.push(Problem { blocks: reading.blocks, ..Problem::new(Severity::Error, name, what) });
        }
    }
}
