//! Writing content: each block is read and opened once per batch, and all its chunks go to their files.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::target::{DirId, FileWriter, Target};
use crate::content::ContentError;
use crate::content::seal::{BlockOpener, OpenBlock};
use crate::content::secret::ChunkKeys;
use crate::content::vault::{ChunkMap, ChunkPlace, Vault};
use crate::model::entry::Metadata;
use crate::model::event::{Event, Monitor};
use crate::model::id::ChunkId;
use crate::sealed::pack::{self, Class};
use crate::store::Forward;

/// Most bytes that are written at once. Larger writes make the kernel look for larger pieces of memory, which costs
/// more than the calls that are saved (`docs/decisions.md`).
const RUN: usize = 256 << 10;

/// A file whose content is being written.
pub struct FileJob {
    /// Its directory.
    pub parent: DirId,
    /// Its name.
    pub name: Vec<u8>,
    /// Its metadata.
    pub metadata: Metadata,
    /// Its length in bytes.
    pub size: u64,
    /// Wants not yet written, and one while wants may still be added.
    pub remaining: AtomicU64,
    writer: Mutex<Option<Arc<FileWriter>>>,
    failure: Mutex<Option<String>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FileJob {
    /// A file to write.
    pub fn new(parent: DirId, name: Vec<u8>, metadata: Metadata, size: u64) -> Self {
        let remaining = AtomicU64::new(1);
        Self { parent, name, metadata, size, remaining, writer: Mutex::new(None), failure: Mutex::new(None) }
    }

    /// Notes that content is lost; the first reason counts.
    pub fn fail(&self, reason: String) {
        lock(&self.failure).get_or_insert(reason);
    }

    fn writer(&self, target: &Target) -> Result<Arc<FileWriter>, super::target::TargetError> {
        let mut slot = lock(&self.writer);
        if let Some(writer) = slot.as_ref() {
            return Ok(Arc::clone(writer));
        }
        let writer = Arc::new(target.create_file(self.parent, &self.name, self.size, &self.metadata)?);
        Ok(Arc::clone(slot.insert(writer)))
    }
}

/// A chunk that a file wants.
pub struct Want {
    /// Where the chunk should be.
    pub place: ChunkPlace,
    /// The chunk.
    pub id: ChunkId,
    /// Its length by the file's list, in bytes.
    pub length: u32,
    /// Offset in the file, in bytes.
    pub offset: u64,
    /// The file.
    pub file: Arc<FileJob>,
}

/// Wants sorted by the place of their blocks, shared by the writing threads.
pub struct Batch {
    wants: Vec<Want>,
    /// Ranges of wants of one block each.
    blocks: Vec<Range<usize>>,
    /// Ranges of blocks that a thread takes at once.
    stretches: Vec<Range<usize>>,
    next: AtomicUsize,
}

impl Batch {
    /// Sorts wants into reading order. With `by_pack` what lies in one pack is left to one thread, which can read it as one answer.
    pub fn new(mut wants: Vec<Want>, map: &ChunkMap, by_pack: bool) -> Self {
        wants.sort_by_cached_key(|want| (map.reading_order(want.place.block), want.place));
        let mut blocks = Vec::new();
        let mut start = 0;
        for group in wants.chunk_by(|first, second| first.place.block == second.place.block) {
            blocks.push(start..start + group.len());
            start += group.len();
        }
        let pack = |block: &Range<usize>| wants.get(block.start).map(|want| map.reading_order(want.place.block).0);
        let mut stretches = Vec::new();
        let mut start = 0;
        for stretch in blocks.chunk_by(|first, second| by_pack && pack(first) == pack(second)) {
            stretches.push(start..start + stretch.len());
            start += stretch.len();
        }
        Self { wants, blocks, stretches, next: AtomicUsize::new(0) }
    }

    /// The next blocks, each by its wants.
    fn take(&self) -> Option<Vec<&[Want]>> {
        let stretch = self.stretches.get(self.next.fetch_add(1, Ordering::Relaxed))?;
        self.blocks.get(stretch.clone())?.iter().map(|block| self.wants.get(block.clone())).collect()
    }
}

/// What all writing threads count.
#[derive(Default)]
pub struct Tally {
    /// Files completed.
    pub files: AtomicU64,
    /// Bytes written.
    pub bytes: AtomicU64,
    /// Files that could not be restored whole: path and reason.
    pub lost: Mutex<Vec<(String, String)>>,
    /// An error after which going on makes no sense, such as a full disk.
    pub fatal: Mutex<Option<ContentError>>,
}

impl Tally {
    /// Notes a path that was not restored.
    pub fn lose(&self, monitor: &dyn Monitor, path: String, reason: String) {
        monitor.event(Event::error(path.as_str(), reason.as_str()));
        lock(&self.lost).push((path, reason));
    }

    /// Whether the run must end.
    pub fn is_fatal(&self) -> bool {
        lock(&self.fatal).is_some()
    }
}

/// Writes batches; one per thread.
pub struct BatchWriter<'a> {
    vault: &'a Vault,
    map: &'a ChunkMap,
    target: &'a Target,
    tally: &'a Tally,
    monitor: &'a dyn Monitor,
    keys: ChunkKeys,
    forward: Forward<'a>,
    opener: BlockOpener,
    buffer: Vec<u8>,
}

impl<'a> BatchWriter<'a> {
    /// A writer.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn new(
        vault: &'a Vault,
        map: &'a ChunkMap,
        target: &'a Target,
        tally: &'a Tally,
        monitor: &'a dyn Monitor,
    ) -> Result<Self, ContentError> {
        let (keys, forward, opener) = (vault.chunk_keys(), Forward::new(vault.repository().store()), vault.opener()?);
        Ok(Self { vault, map, target, tally, monitor, keys, forward, opener, buffer: Vec::new() })
    }

    /// Writes blocks of a batch until none is left.
    pub fn run(&mut self, batch: &Batch) {
        while let Some(blocks) = batch.take() {
            let mut near = 0;
            for (rank, wants) in blocks.iter().enumerate() {
                if self.tally.is_fatal() || self.monitor.cancelled() {
                    return;
                }
                if rank == near {
                    near += self.expect(blocks.get(rank..).unwrap_or_default());
                }
                self.block(wants);
            }
        }
    }

    /// Announces the first of some blocks of one pack, and those near it; returns how many these are.
    fn expect(&mut self, blocks: &[&[Want]]) -> usize {
        let mut places = blocks.iter().map_while(|wants| self.map.place(wants.first()?.place.block)).peekable();
        let Some(first) = places.peek().copied() else { return 1 };
        let parts = places.map(|place| (place.offset, u64::from(place.length)));
        self.forward.expect_near(&pack::name(&first.pack), parts)
    }

    fn block(&mut self, wants: &[Want]) {
        let Some(first) = wants.first() else { return };
        let open = self.map.open_block(self.vault, first.place.block, &mut self.forward, &mut self.opener, &mut self.buffer);
        let mut checked = None;
        let mut wants = wants.iter().peekable();
        while let Some(want) = wants.next() {
            let found = open.as_ref().ok().and_then(|open| Some((open, chunk(open, want, &self.keys, &mut checked)?)));
            let Some((open, mut run)) = found else {
                self.elsewhere(want, open.as_ref().err());
                self.settle(&want.file);
                continue;
            };
            // What lies together in the block and in the file is written at once.
            let mut settling = vec![&want.file];
            while let Some(next) = wants.peek().filter(|next| follows(want, &run, next))
                && let Some(bytes) =
                    chunk(open, next, &self.keys, &mut checked).filter(|bytes| bytes.start == run.end && bytes.end - run.start <= RUN)
            {
                run.end = bytes.end;
                settling.push(&next.file);
                wants.next();
            }
            self.write(want, open.plain.get(run).unwrap_or_default());
            settling.into_iter().for_each(|file| self.settle(file));
        }
        if let Ok(open) = open {
            self.opener.recycle(open);
        }
    }

    /// Looks for a chunk in the other blocks that claim to hold it.
    fn elsewhere(&mut self, want: &Want, error: Option<&ContentError>) {
        let places: Vec<ChunkPlace> = self.map.find(&want.id).filter(|place| *place != want.place).collect();
        for place in places {
            if let Ok(open) = self.map.open_block(self.vault, place.block, &mut self.forward, &mut self.opener, &mut self.buffer)
                && let Some(bytes) = open
                    .chunk(place.rank as usize)
                    .filter(|bytes| bytes.len() == want.length as usize && self.keys.id(Class::Data, bytes) == want.id)
            {
                return self.write(want, bytes);
            }
        }
        let reason = error.map_or_else(|| format!("chunk {} is not where the index says", want.id.short()), ToString::to_string);
        want.file.fail(reason);
    }

    fn write(&self, want: &Want, bytes: &[u8]) {
        let written = want.file.writer(self.target).and_then(|writer| writer.write_at(want.offset, bytes));
        match written {
            Ok(()) => {
                self.tally.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                self.monitor.event(Event::Progress { files: 0, bytes: bytes.len() as u64 });
            }
            Err(error) => {
                if error.is_full() {
                    lock(&self.tally.fatal).get_or_insert(ContentError::Other(error.to_string()));
                }
                want.file.fail(error.to_string());
            }
        }
    }

    fn settle(&self, file: &FileJob) {
        settle(file, self.target, self.tally, self.monitor);
    }
}

/// One want less; after the last the file gets its metadata and its place.
pub fn settle(file: &FileJob, target: &Target, tally: &Tally, monitor: &dyn Monitor) {
    if file.remaining.fetch_sub(1, Ordering::AcqRel) != 1 {
        return;
    }
    let path = || target.path_of(file.parent, &file.name);
    if let Some(reason) = lock(&file.failure).take() {
        lock(&file.writer).take();
        return tally.lose(monitor, path(), reason);
    }
    // A file without content, or of holes only, has no writer yet.
    let done = file.writer(target).and_then(|writer| {
        lock(&file.writer).take();
        match Arc::into_inner(writer) {
            Some(writer) => writer.finish(&file.metadata),
            None => Ok(()),
        }
    });
    match done {
        Ok(()) => {
            tally.files.fetch_add(1, Ordering::Relaxed);
            monitor.event(Event::Progress { files: 1, bytes: 0 });
        }
        Err(error) => {
            if error.is_full() {
                lock(&tally.fatal).get_or_insert(ContentError::Other(error.to_string()));
            }
            tally.lose(monitor, path(), error.to_string());
        }
    }
}

/// Where the wanted chunk lies in an open block, if it does. Equal chunks follow each other and are checked once.
fn chunk(open: &OpenBlock, want: &Want, keys: &ChunkKeys, checked: &mut Option<ChunkId>) -> Option<Range<usize>> {
    let range = open.ranges.get(want.place.rank as usize).filter(|range| range.len() == want.length as usize)?;
    if *checked != Some(want.id) {
        if keys.id(Class::Data, open.plain.get(range.clone())?) != want.id {
            return None;
        }
        *checked = Some(want.id);
    }
    Some(range.clone())
}

/// Whether a want is for the place in the same file that comes after a run of bytes.
fn follows(first: &Want, run: &Range<usize>, next: &Want) -> bool {
    Arc::ptr_eq(&first.file, &next.file) && first.offset + run.len() as u64 == next.offset
}
