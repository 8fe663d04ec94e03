//! What readers hand to assemblers, in path order.

use std::sync::Arc;

use super::catalogue::{Fingerprint, Known};
use crate::model::entry::{Entry, Metadata};
use crate::model::event::Event;
use crate::model::id::ChunkId;
use crate::source::metadata::Stat;
use crate::source::tar::Member;
use crate::source::walk::OpenDir;

/// A piece of a file's content.
#[derive(Debug, Clone, Copy)]
pub enum Piece {
    /// A chunk at this place of the buffer.
    Chunk {
        /// Its id.
        id: ChunkId,
        /// Where it begins in the buffer.
        start: usize,
        /// Its length in bytes.
        length: usize,
    },
    /// Zeros that take no space.
    Hole(u64),
}

/// Content that was read.
#[derive(Debug, Clone, Default)]
pub struct Content {
    /// The bytes of the chunks, and then any.
    pub buffer: Vec<u8>,
    /// Bytes of the chunks, a count.
    pub filled: usize,
    /// The content in order.
    pub pieces: Vec<Piece>,
}

/// Device and inode of an entry with several names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Inode {
    /// Device number.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
}

/// One step on the way through the sources.
#[derive(Clone)]
pub enum Part {
    /// A directory begins.
    Enter {
        /// Its name.
        name: Vec<u8>,
        /// Its metadata.
        metadata: Metadata,
    },
    /// A directory begins that is on no disk and only holds streams.
    EnterVirtual {
        /// Its name.
        name: Vec<u8>,
    },
    /// The directory entered last ends.
    Leave,
    /// Another path argument begins.
    NextSource,
    /// Something the user should know.
    Note(Event),
    /// A file or node that is as it was.
    Unchanged {
        /// Where it lies, in case a chunk of it is needed again.
        dir: Arc<OpenDir>,
        /// Its name.
        name: Vec<u8>,
        /// What the catalogue knows.
        known: Box<Known>,
        /// Its status now.
        stat: Stat,
    },
    /// More content of the file that ends with the next [`Part::File`] or [`Part::Stream`].
    Content(Content),
    /// The file changed, or the stream failed: its content so far does not count.
    Restart,
    /// A file ends.
    File {
        /// Its name.
        name: Vec<u8>,
        /// Its metadata.
        metadata: Metadata,
        /// As it was before it was read; absent if it changed meanwhile.
        fingerprint: Option<Fingerprint>,
        /// If it has several names.
        inode: Option<Inode>,
        /// The last of its content.
        content: Content,
    },
    /// A stream ends, to be kept as a file. It is new each time, and so is the time in its metadata.
    Stream {
        /// The file's name.
        name: Vec<u8>,
        /// Its metadata.
        metadata: Metadata,
        /// The last of its content.
        content: Content,
    },
    /// A member of an archive, which is kept until the archive ends.
    Member {
        /// What the archive says of it.
        member: Member,
        /// The last of its content, if it is a file.
        content: Content,
    },
    /// An archive ends well: its members become a directory.
    Archive {
        /// The directory's name.
        name: Vec<u8>,
        /// Its path, for messages.
        path: String,
    },
    /// A stream without which there shall be no snapshot has failed.
    Failed {
        /// Its path in the snapshot.
        path: String,
        /// Why.
        why: String,
    },
    /// A link or node.
    Node {
        /// All of it but the link id.
        entry: Entry,
        /// As it was.
        fingerprint: Fingerprint,
        /// If it has several names.
        inode: Option<Inode>,
    },
}

impl Part {
    /// About how many bytes it holds in memory.
    pub fn weight(&self) -> usize {
        match self {
            Part::Content(content) | Part::File { content, .. } | Part::Stream { content, .. } | Part::Member { content, .. } => {
                content.buffer.capacity() + 512
            }
            Part::Unchanged { known, .. } => known.entry.len() + 24 * known.chunks.len() + 512,
            _ => 512,
        }
    }
}

/// Takes what was read, for each destination by its rank.
pub trait Sink {
    /// Takes a part; one that nobody wants any more is dropped.
    fn give(&mut self, destination: usize, part: Part);

    /// Whether a destination takes more.
    fn wants(&self, destination: usize) -> bool;
}
