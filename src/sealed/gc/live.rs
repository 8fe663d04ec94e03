//! The blocks that must stay, in a compact sorted form: 33 bytes a block, 10 MB for 10 million chunks.

use crate::model::id::BlockId;
use crate::sealed::pack::{Class, Contents};

/// A root needs it.
pub(super) const ROOT: u8 = 1;
/// It lies in a pack that is there.
pub(super) const PRESENT: u8 = 2;
/// This run has copied it into a new data pack.
const COPIED_DATA: u8 = 4;
/// This run has copied it into a new tree pack.
const COPIED_TREE: u8 = 8;
/// It lies in a pack that is there and not condemned.
pub(super) const HOME: u8 = 16;

/// The mark of a block that was copied into a new pack of this class.
pub(super) fn copied(class: Class) -> u8 {
    match class {
        Class::Data => COPIED_DATA,
        Class::Tree => COPIED_TREE,
    }
}

#[derive(Debug, Clone, Copy)]
struct Live {
    id: BlockId,
    marks: u8,
}

/// The blocks that roots, or forgotten snapshots that can be brought back, need.
#[derive(Debug, Clone, Default)]
pub(super) struct LiveBlocks {
    blocks: Vec<Live>,
}

impl LiveBlocks {
    /// Adds a block; [`LiveBlocks::sort`] must follow before anything is asked.
    pub(super) fn push(&mut self, id: BlockId, marks: u8) {
        self.blocks.push(Live { id, marks });
    }

    /// Makes the set ready to be asked.
    pub(super) fn sort(&mut self) {
        self.blocks.sort_unstable_by_key(|block| block.id);
        self.blocks.dedup_by(|later, kept| {
            let same = later.id == kept.id;
            if same {
                kept.marks |= later.marks;
            }
            same
        });
        self.blocks.shrink_to_fit();
    }

    fn find(&self, id: &BlockId) -> Option<usize> {
        self.blocks.binary_search_by_key(id, |block| block.id).ok()
    }

    /// The marks of a block, if it must stay.
    pub(super) fn marks(&self, id: &BlockId) -> Option<u8> {
        self.blocks.get(self.find(id)?).map(|block| block.marks)
    }

    /// Adds marks to a block, if it must stay.
    pub(super) fn mark(&mut self, id: &BlockId, marks: u8) {
        if let Some(position) = self.find(id)
            && let Some(block) = self.blocks.get_mut(position)
        {
            block.marks |= marks;
        }
    }

    /// Marks the blocks of a pack that is there, and says how many of their bytes roots need.
    pub(super) fn meet(&mut self, contents: &Contents, condemned: bool) -> u64 {
        let marks = if condemned { PRESENT } else { PRESENT | HOME };
        let mut needed = 0;
        for block in &contents.blocks {
            if let Some(position) = self.find(&block.id)
                && let Some(live) = self.blocks.get_mut(position)
            {
                live.marks |= marks;
                needed += if live.marks & ROOT == 0 { 0 } else { u64::from(block.length) };
            }
        }
        needed
    }

    /// Blocks that roots need and no pack holds.
    pub(super) fn missing(&self) -> impl Iterator<Item = BlockId> + '_ {
        self.blocks.iter().filter(|block| block.marks & (ROOT | PRESENT) == ROOT).map(|block| block.id)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.blocks.len()
    }
}
