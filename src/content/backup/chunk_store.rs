//! Chunks that are new go into blocks under construction; full ones are sent to be sealed.

use crossbeam_channel::Sender;

use crate::content::ContentError;
use crate::content::block::BlockBuilder;
use crate::content::buffers::Buffers;
use crate::content::dedup::{BlockOrdinal, ChunkIndex, Prefix};
use crate::content::secret::ChunkKeys;
use crate::content::tree::TreeSink;
use crate::model::id::ChunkId;
use crate::sealed::limits;
use crate::sealed::pack::Class;

/// Plaintext bytes after which a block is full; measured in `docs/decisions.md`.
pub const BLOCK_SIZE: usize = 2 << 20;

/// A block to be sealed.
pub struct PlainBlock {
    /// Its number in the chunk index.
    pub ordinal: BlockOrdinal,
    /// Data or trees.
    pub class: Class,
    /// Its chunks.
    pub builder: BlockBuilder,
    /// What the index object will say of it.
    pub chunks: Vec<(Prefix, u32)>,
}

/// Blocks under construction, and the index that knows what is stored.
pub(super) struct ChunkStore<'a> {
    /// What is stored.
    pub(super) index: &'a mut ChunkIndex,
    /// How chunks are named.
    pub(super) keys: ChunkKeys,
    data: Option<PlainBlock>,
    tree: Option<PlainBlock>,
    sealers: Sender<PlainBlock>,
    /// Tree chunks stored since the last look: list nodes of the file at hand.
    pub(super) nodes: Vec<(Prefix, u32)>,
    /// Bytes of chunks that were new.
    pub(super) bytes_new: u64,
    /// Where blocks get their memory.
    pub(super) buffers: Buffers,
}

fn pipeline_ended() -> ContentError {
    ContentError::Other("the pipeline ended early".into())
}

impl<'a> ChunkStore<'a> {
    /// Nothing is under construction yet.
    pub(super) fn new(index: &'a mut ChunkIndex, keys: ChunkKeys, sealers: Sender<PlainBlock>, buffers: Buffers) -> Self {
        Self { index, keys, data: None, tree: None, sealers, nodes: Vec::new(), bytes_new: 0, buffers }
    }

    /// Stores a chunk, unless it is stored already or about to be.
    pub(super) fn put(&mut self, class: Class, id: &ChunkId, bytes: &[u8]) -> Result<(), ContentError> {
        if bytes.len() > limits::CHUNK {
            return Err(ContentError::Other(format!(
                "a chunk of {} bytes is over the limit of the format; please report this",
                bytes.len()
            )));
        }
        let prefix = Prefix::of(id);
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        if self.index.use_chunk(&prefix, length).is_some() {
            return Ok(());
        }
        let slot = match class {
            Class::Data => &mut self.data,
            Class::Tree => &mut self.tree,
        };
        let block = slot.get_or_insert_with(|| PlainBlock {
            ordinal: self.index.new_block(),
            class,
            builder: BlockBuilder::in_buffer(self.buffers.take(BLOCK_SIZE + (256 << 10))),
            chunks: Vec::new(),
        });
        block.builder.push(bytes);
        block.chunks.push((prefix, length));
        // What only moves out of a sparse block is not new.
        if !self.index.is_avoided(&prefix, length) {
            self.bytes_new += bytes.len() as u64;
        }
        self.index.insert(id, length, block.ordinal)?;
        if block.builder.size() >= BLOCK_SIZE {
            let block = slot.take();
            return block.map_or(Ok(()), |block| self.sealers.send(block).map_err(|_| pipeline_ended()));
        }
        Ok(())
    }

    /// Ends the blocks under construction: at the border between sources, and at the end.
    pub(super) fn flush(&mut self) -> Result<(), ContentError> {
        for block in [self.data.take(), self.tree.take()].into_iter().flatten() {
            self.sealers.send(block).map_err(|_| pipeline_ended())?;
        }
        Ok(())
    }
}

impl TreeSink for ChunkStore<'_> {
    type Error = ContentError;

    fn store_tree(&mut self, plaintext: &[u8]) -> Result<ChunkId, ContentError> {
        let id = self.keys.id(Class::Tree, plaintext);
        self.put(Class::Tree, &id, plaintext)?;
        self.nodes.push((Prefix::of(&id), u32::try_from(plaintext.len()).unwrap_or(u32::MAX)));
        Ok(id)
    }
}
