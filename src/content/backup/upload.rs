//! Uploading: blocks are compressed and sealed on several threads, packed by one, and published by another, so that
//! waiting for the disk or the network holds nobody up.
//!
//! ```text
//!   PlainBlock --> seal (threads) --> pack (one open pack per class) --> store (threads) --> publish (index objects, checkpoints)
//! ```

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use age::x25519;
use crossbeam_channel::{Receiver, Sender, bounded};

use super::chunk_store::{BLOCK_SIZE, PlainBlock};
use super::late;
use crate::content::ContentError;
use crate::content::buffers::Buffers;
use crate::content::chunk_list;
use crate::content::dedup::{BlockOrdinal, Prefix};
use crate::content::seal::{self, BlockSealer};
use crate::model::id::{BlockId, IndexId};
use crate::sealed::index::{self, BlockList};
use crate::sealed::limits;
use crate::sealed::pack::{Class, PackWriter, StoredPack};
use crate::store::Store;

/// How much may be stored and how long it may take before a checkpoint.
const CHECKPOINT_BYTES: u64 = 10 << 30;
const CHECKPOINT_TIME: Duration = Duration::from_secs(3600);

/// To whom things are sealed.
#[derive(Clone)]
pub struct Recipients {
    /// The content key.
    pub content: x25519::Recipient,
    /// Those who hold the index identity.
    pub index: x25519::Recipient,
}

/// How to upload.
#[derive(Clone)]
pub struct UploadOptions {
    /// To whom things are sealed.
    pub recipients: Recipients,
    /// zstd level.
    pub level: i32,
    /// Sealing threads.
    pub threads: usize,
    /// Where large buffers come from and go to.
    pub buffers: Buffers,
    /// Where index objects wait that cannot be stored.
    pub late: PathBuf,
}

struct SealedBlock {
    id: BlockId,
    bytes: Vec<u8>,
    class: Class,
    ordinal: BlockOrdinal,
    chunks: Vec<(Prefix, u32)>,
}

/// What the index object says of the blocks in a pack, in their order.
#[derive(Default)]
struct PackChunks {
    ordinals: Vec<BlockOrdinal>,
    chunks: Vec<Vec<(Prefix, u32)>>,
}

/// An index object that was written.
pub struct StoredIndex {
    /// Its id.
    pub id: IndexId,
    /// Its block list.
    pub list: BlockList,
    /// By position, the ordinals of its blocks.
    pub ordinals: Vec<BlockOrdinal>,
}

/// Called when new index objects should be named by a checkpoint.
pub type OnCheckpoint<'a> = dyn Fn(&[StoredIndex]) -> Result<(), ContentError> + Send + Sync + 'a;

/// A running upload.
pub struct Upload<'scope> {
    blocks: Sender<PlainBlock>,
    sealers: Vec<ScopedJoinHandle<'scope, Result<(), ContentError>>>,
    packer: ScopedJoinHandle<'scope, Result<(), ContentError>>,
    storers: Vec<ScopedJoinHandle<'scope, Result<(), ContentError>>>,
    publisher: ScopedJoinHandle<'scope, (Vec<StoredIndex>, Result<(), ContentError>)>,
    stored: Arc<AtomicU64>,
}

/// What an upload leaves.
pub struct Uploaded {
    /// The index objects written, in order.
    pub indexes: Vec<StoredIndex>,
    /// Bytes of packs and index objects.
    pub bytes: u64,
    /// Why not everything was stored.
    pub failure: Option<ContentError>,
}

impl<'scope> Upload<'scope> {
    /// Starts the threads.
    ///
    /// # Errors
    /// If there is no memory for the compressors.
    pub fn start<'env>(
        scope: &'scope Scope<'scope, 'env>,
        store: &'env dyn Store,
        options: &UploadOptions,
        on_checkpoint: &'env OnCheckpoint<'env>,
    ) -> Result<Self, ContentError> {
        let (blocks, to_seal) = bounded::<PlainBlock>(1);
        let (sealed, to_pack) = bounded::<SealedBlock>(2);
        let (packs, to_store) = bounded::<(PackWriter, PackChunks)>(1);
        let (complete, to_publish) = bounded::<(StoredPack, PackChunks)>(1);
        let packing = store.packing();
        let stored = Arc::new(AtomicU64::new(0));
        let mut sealers = Vec::new();
        for _ in 0..options.threads {
            let sealer = BlockSealer::new(options.recipients.content.clone(), options.level)?;
            let (to_seal, sealed, buffers) = (to_seal.clone(), sealed.clone(), options.buffers.clone());
            sealers.push(scope.spawn(move || seal_blocks(sealer, &to_seal, &sealed, &buffers)));
        }
        let packer = Packer { store, size: packing.size, open: [None, None], packs, buffers: options.buffers.clone() };
        let packer = scope.spawn(move || packer.run(&to_pack));
        let failed = Arc::new(AtomicBool::new(false));
        let storers = (0..packing.at_once.max(1)).map(|_| {
            let (to_store, complete, failed) = (to_store.clone(), complete.clone(), Arc::clone(&failed));
            scope.spawn(move || store_packs(&to_store, &complete, &failed))
        });
        let storers = storers.collect();
        let publisher = Publisher {
            store,
            failed,
            recipients: options.recipients.clone(),
            late: options.late.clone(),
            on_checkpoint,
            pending: PendingIndex::default(),
            written: Vec::new(),
            stored: Arc::clone(&stored),
            since_checkpoint: 0,
            last_checkpoint: Instant::now(),
        };
        let publisher = scope.spawn(move || publisher.run(&to_publish));
        Ok(Self { blocks, sealers, packer, storers, publisher, stored })
    }

    /// Where blocks go in.
    pub fn blocks(&self) -> Sender<PlainBlock> {
        self.blocks.clone()
    }

    /// Waits until everything is stored, or as much as could be. All senders must have been dropped.
    pub fn finish(self) -> Uploaded {
        drop(self.blocks);
        let mut results: Vec<Result<(), ContentError>> = self.sealers.into_iter().map(join).collect();
        results.push(join(self.packer));
        results.extend(self.storers.into_iter().map(join));
        let (indexes, published) = self.publisher.join().unwrap_or_else(|_| (Vec::new(), Err(panicked())));
        results.push(published);
        // A stage that finds the next one gone says only that; the reason is in the stage that went.
        let failure = results.into_iter().rev().find_map(Result::err);
        Uploaded { indexes, bytes: self.stored.load(Ordering::Relaxed), failure }
    }
}

fn join<T>(handle: ScopedJoinHandle<'_, Result<T, ContentError>>) -> Result<T, ContentError> {
    handle.join().unwrap_or_else(|_| Err(panicked()))
}

fn panicked() -> ContentError {
    ContentError::Other("a worker thread panicked; please report this".into())
}

fn gone<T>(_: T) -> ContentError {
    ContentError::Other("the upload stopped".into())
}

fn seal_blocks(
    mut sealer: BlockSealer,
    blocks: &Receiver<PlainBlock>,
    sealed: &Sender<SealedBlock>,
    buffers: &Buffers,
) -> Result<(), ContentError> {
    for block in blocks {
        let plain = block.builder.finish();
        let mut bytes = buffers.take(BLOCK_SIZE);
        sealer.seal(plain.bytes(), &mut bytes)?;
        buffers.give(plain.into_buffer());
        let id = BlockId::of(&bytes);
        let block = SealedBlock { id, bytes, class: block.class, ordinal: block.ordinal, chunks: block.chunks };
        sealed.send(block).map_err(gone)?;
    }
    Ok(())
}

/// Appends sealed blocks to the open pack of their class.
struct Packer<'env> {
    store: &'env dyn Store,
    /// Where a pack ends, in bytes.
    size: u64,
    open: [Option<(PackWriter, PackChunks)>; 2],
    packs: Sender<(PackWriter, PackChunks)>,
    buffers: Buffers,
}

impl Packer<'_> {
    fn run(mut self, blocks: &Receiver<SealedBlock>) -> Result<(), ContentError> {
        for block in blocks {
            self.add(block)?;
        }
        for pack in self.open.into_iter().flatten() {
            self.packs.send(pack).map_err(gone)?;
        }
        Ok(())
    }

    fn add(&mut self, block: SealedBlock) -> Result<(), ContentError> {
        let slot = match block.class {
            Class::Data => &mut self.open[0],
            Class::Tree => &mut self.open[1],
        };
        let (writer, chunks) = match slot {
            Some(pack) => pack,
            None => slot.insert((PackWriter::new(self.store, block.class)?, PackChunks::default())),
        };
        writer.block(block.id, &block.bytes)?;
        self.buffers.give(block.bytes);
        chunks.ordinals.push(block.ordinal);
        chunks.chunks.push(block.chunks);
        if (writer.size() >= self.size || writer.len() >= limits::INDEX_BLOCKS)
            && let Some(pack) = slot.take()
        {
            self.packs.send(pack).map_err(gone)?;
        }
        Ok(())
    }
}

/// An index object under construction.
#[derive(Default)]
struct PendingIndex {
    list: BlockList,
    ordinals: Vec<BlockOrdinal>,
    chunks: Vec<u8>,
}

impl PendingIndex {
    fn add(&mut self, pack: StoredPack, chunks: PackChunks) {
        self.list.packs.push((pack.id, pack.contents));
        self.ordinals.extend(chunks.ordinals);
        for block in chunks.chunks {
            chunk_list::append(&mut self.chunks, &block);
        }
    }
}

/// Makes packs visible. When one fails, the others finish what they are at.
fn store_packs(
    packs: &Receiver<(PackWriter, PackChunks)>,
    complete: &Sender<(StoredPack, PackChunks)>,
    failed: &AtomicBool,
) -> Result<(), ContentError> {
    for (writer, chunks) in packs {
        if failed.load(Ordering::Relaxed) {
            return Ok(());
        }
        let pack = writer.finish().inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
        complete.send((pack, chunks)).map_err(gone)?;
    }
    Ok(())
}

/// Writes index objects and checkpoints.
struct Publisher<'env> {
    store: &'env dyn Store,
    /// Tells the others to stop.
    failed: Arc<AtomicBool>,
    recipients: Recipients,
    late: PathBuf,
    on_checkpoint: &'env OnCheckpoint<'env>,
    pending: PendingIndex,
    written: Vec<StoredIndex>,
    stored: Arc<AtomicU64>,
    since_checkpoint: u64,
    last_checkpoint: Instant,
}

impl Publisher<'_> {
    /// The index objects written, and why they do not list all packs.
    fn run(mut self, packs: &Receiver<(StoredPack, PackChunks)>) -> (Vec<StoredIndex>, Result<(), ContentError>) {
        let mut result = Ok(());
        for (pack, chunks) in packs {
            if self.pending.ordinals.len() + chunks.ordinals.len() > limits::INDEX_BLOCKS {
                result = result.and(self.write_index());
            }
            self.stored.fetch_add(pack.size, Ordering::Relaxed);
            self.since_checkpoint += pack.size;
            self.pending.add(pack, chunks);
            if self.since_checkpoint >= CHECKPOINT_BYTES || self.last_checkpoint.elapsed() >= CHECKPOINT_TIME {
                result = result.and(self.write_index()).and_then(|()| (self.on_checkpoint)(&self.written));
                self.since_checkpoint = 0;
                self.last_checkpoint = Instant::now();
            }
            if result.is_err() {
                // Packs on their way still arrive here.
                self.failed.store(true, Ordering::Relaxed);
            }
        }
        result = result.and(self.write_index());
        (self.written, result)
    }

    fn write_index(&mut self) -> Result<(), ContentError> {
        if self.pending.list.is_empty() {
            return Ok(());
        }
        let pending = std::mem::take(&mut self.pending);
        let sealed = seal::seal_compressed(&pending.chunks, &[&self.recipients.content, &self.recipients.index])?;
        let bytes = index::encode(&pending.list, &sealed);
        let id = IndexId::of(&bytes);
        if let Err(error) = self.store.put_new(&index::name(&id), &bytes) {
            if let Err(why) = late::keep(&self.late, &id, &bytes) {
                tracing::warn!("what was stored will be stored again: {why}");
            }
            return Err(error.into());
        }
        self.stored.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.written.push(StoredIndex { id, list: pending.list, ordinals: pending.ordinals });
        Ok(())
    }
}
