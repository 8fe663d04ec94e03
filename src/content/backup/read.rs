//! Reading: from a name in an open directory to chunks with their ids. Runs on several threads.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::fd::AsFd as _;
use std::sync::Arc;

use super::catalogue::{Fingerprint, Known};
use crate::content::buffers::Buffers;
use crate::content::chunker::Chunker;
use crate::content::secret::ChunkKeys;
use crate::model::entry::{Entry, Kind, Metadata};
use crate::model::event::Event;
use crate::model::id::ChunkId;
use crate::sealed::pack::Class;
use crate::source::metadata::{self, FileType, Owners, Stat};
use crate::source::walk::{Item, OpenDir, display};

/// Bytes that are read at once from a large file.
const STRETCH: usize = 1 << 20;

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
#[derive(Debug, Default)]
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

/// What readers hand to the assembler, in path order.
pub enum Part {
    /// A directory begins.
    Enter {
        /// Its name.
        name: Vec<u8>,
        /// Its metadata.
        metadata: Metadata,
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
    /// The file changed: its content so far does not count.
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
            Part::Content(content) | Part::File { content, .. } | Part::Stream { content, .. } => content.buffer.capacity() + 512,
            Part::Unchanged { known, .. } => known.entry.len() + 24 * known.chunks.len() + 512,
            _ => 512,
        }
    }
}

/// Takes parts; false means that nobody wants more.
pub type Emit<'a> = &'a mut dyn FnMut(Part) -> bool;

/// An item of the walk with what the catalogue knows of it.
pub struct Task {
    /// What the walk met.
    pub item: Item,
    /// What the catalogue knows of an entry.
    pub known: Option<Box<Known>>,
}

/// What all readers share.
#[derive(Clone)]
pub struct ReadOptions {
    /// Cuts content.
    pub chunker: Chunker,
    /// Names chunks.
    pub keys: ChunkKeys,
    /// Regular files larger than this many bytes are left out.
    pub larger_than: Option<u64>,
    /// Whether the inode number counts when looking for changes.
    pub trust_inodes: bool,
}

/// Reads entries; one per thread.
#[derive(Clone)]
pub struct FileReader {
    options: ReadOptions,
    owners: Arc<Owners>,
    buffers: Buffers,
}

fn several_names(stat: &Stat) -> Option<Inode> {
    (stat.links > 1).then_some(Inode { device: stat.device, inode: stat.inode })
}

impl FileReader {
    /// A reader.
    pub fn new(options: ReadOptions) -> Self {
        Self { options, owners: Arc::new(Owners::default()), buffers: Buffers::default() }
    }

    /// The pool that its buffers come from.
    pub fn buffers(&self) -> Buffers {
        self.buffers.clone()
    }

    /// What names chunks.
    pub fn keys(&self) -> ChunkKeys {
        self.options.keys.clone()
    }

    /// Handles one task; false if nobody wants more.
    pub fn run(&mut self, task: Task, emit: Emit<'_>) -> bool {
        match task.item {
            Item::Enter { name, stat, xattrs } => {
                let metadata = metadata::metadata(&stat, xattrs, &self.owners, None);
                emit(Part::Enter { name, metadata })
            }
            Item::Leave => emit(Part::Leave),
            Item::NextSource => emit(Part::NextSource),
            Item::Note(event) => emit(Part::Note(event)),
            // What is to be read anyway is not looked at twice.
            Item::Entry { dir, name, file: true } if task.known.is_none() => {
                let result = self.read_file(&dir, &name, emit);
                settle(&dir, &name, result, emit)
            }
            Item::Entry { dir, name, .. } => match metadata::stat_at(dir.as_fd(), &name) {
                Err(error) => emit(Part::Note(unreadable(&dir, &name, &error))),
                Ok(stat) if self.left_out(&stat) => true,
                Ok(stat) => match task.known {
                    Some(known) if self.is_unchanged(&known, &stat) => emit(Part::Unchanged { dir, name, known, stat }),
                    _ => self.read(&dir, name, stat, emit),
                },
            },
        }
    }

    fn left_out(&self, stat: &Stat) -> bool {
        stat.kind == FileType::File && self.options.larger_than.is_some_and(|limit| stat.size > limit)
    }

    fn is_unchanged(&self, known: &Known, stat: &Stat) -> bool {
        let mut now = Fingerprint::of(stat);
        if !self.options.trust_inodes {
            now.inode = known.fingerprint.inode;
        }
        known.fingerprint == now
    }

    /// Reads an entry whatever the catalogue says; false if nobody wants more.
    pub fn read(&mut self, dir: &Arc<OpenDir>, name: Vec<u8>, stat: Stat, emit: Emit<'_>) -> bool {
        let result = match stat.kind {
            FileType::File => self.read_file(dir, &name, emit),
            FileType::Directory => {
                return emit(Part::Note(Event::info(display(&dir.path_of(&name)), "became a directory meanwhile; the next run takes it")));
            }
            _ => self.read_node(dir, &name, &stat).map(&mut *emit),
        };
        settle(dir, &name, result, emit)
    }

    fn read_node(&mut self, dir: &OpenDir, name: &[u8], stat: &Stat) -> io::Result<Part> {
        let kind = match stat.kind {
            FileType::Symlink => Kind::Symlink { target: metadata::read_link_at(dir.as_fd(), name)? },
            FileType::Fifo => Kind::Fifo,
            FileType::Socket => Kind::Socket,
            FileType::CharDevice => Kind::CharDevice(stat.rdev),
            FileType::BlockDevice => Kind::BlockDevice(stat.rdev),
            FileType::File | FileType::Directory => return Err(io::Error::other("its type changed while it was read")),
        };
        let xattrs = metadata::xattrs_at(dir.as_fd(), name)?;
        let metadata = metadata::metadata(stat, xattrs, &self.owners, None);
        let entry = Entry { name: name.to_vec(), metadata, kind };
        Ok(Part::Node { entry, fingerprint: Fingerprint::of(stat), inode: several_names(stat) })
    }

    fn read_file(&mut self, dir: &OpenDir, name: &[u8], emit: Emit<'_>) -> io::Result<bool> {
        let mut file = File::from(metadata::open_file_at(dir.as_fd(), name)?);
        let mut attempts = 0;
        loop {
            let stat = metadata::stat_fd(file.as_fd())?;
            if stat.kind != FileType::File {
                return Err(io::Error::other("its type changed while it was read"));
            }
            if self.left_out(&stat) {
                return Ok(true);
            }
            let xattrs = metadata::xattrs_fd(file.as_fd())?;
            let mut wanted = true;
            let content = self.read_content(&mut file, &stat, &mut |part| {
                wanted = emit(part);
                wanted
            })?;
            if !wanted {
                return Ok(false);
            }
            attempts += 1;
            let changed = Fingerprint::of(&metadata::stat_fd(file.as_fd())?) != Fingerprint::of(&stat);
            if changed && attempts < 2 {
                file.rewind()?;
                if !emit(Part::Restart) {
                    return Ok(false);
                }
                continue;
            }
            if changed {
                let message = "changed while it was read, twice; the snapshot has it as it was read, parts may be of different times";
                if !emit(Part::Note(Event::info(display(&dir.path_of(name)), message))) {
                    return Ok(false);
                }
            }
            let metadata = metadata::metadata(&stat, xattrs, &self.owners, None);
            // A changed file must not look unchanged to the next run.
            let fingerprint = (!changed).then(|| Fingerprint::of(&stat));
            return Ok(emit(Part::File { name: name.to_vec(), metadata, fingerprint, inode: several_names(&stat), content }));
        }
    }

    /// Reads up to the size at the start; emits all but the last stretch, which is returned.
    fn read_content(&self, file: &mut File, stat: &Stat, emit: Emit<'_>) -> io::Result<Content> {
        let mut content = Content::default();
        let mut position = 0;
        let sparse = stat.may_have_holes();
        while position < stat.size {
            let range = if sparse { metadata::next_data(file.as_fd(), position, stat.size) } else { Some(position..stat.size) };
            let Some(range) = range else {
                content.pieces.push(Piece::Hole(stat.size - position));
                break;
            };
            if range.start > position {
                content.pieces.push(Piece::Hole(range.start - position));
            }
            if sparse {
                file.seek(io::SeekFrom::Start(range.start))?;
            }
            let length = range.end - range.start;
            let (read, wanted) = self.chunk_stream(&mut file.take(length), length, &mut content, emit)?;
            if read < length || !wanted {
                break;
            }
            position = range.end;
        }
        Ok(content)
    }

    /// Reads a stream of unknown length to its end, as a file.
    ///
    /// # Errors
    /// If reading fails.
    pub fn read_stream(&self, input: &mut dyn io::Read, name: &[u8], metadata: Metadata, emit: Emit<'_>) -> io::Result<bool> {
        let mut content = Content::default();
        let (_, wanted) = self.chunk_stream(input, u64::MAX, &mut content, emit)?;
        Ok(wanted && emit(Part::Stream { name: name.to_vec(), metadata, content }))
    }

    /// Cuts a stream into chunks that it appends to `content`, which it emits whenever a stretch is full.
    fn chunk_stream(&self, input: &mut dyn io::Read, expected: u64, content: &mut Content, emit: Emit<'_>) -> io::Result<(u64, bool)> {
        let max = self.options.chunker.max();
        let mut total = 0;
        let mut pending = content.filled;
        loop {
            let rest = usize::try_from(expected.saturating_sub(total)).unwrap_or(usize::MAX);
            let want = rest.min(STRETCH);
            if content.buffer.is_empty() {
                content.buffer = self.buffers.take_filled(if want < STRETCH { want } else { STRETCH + max });
            }
            let end = content.filled + want;
            if content.buffer.len() < end {
                content.buffer.resize(end, 0);
            }
            let read = fill(input, content.buffer.get_mut(content.filled..end).unwrap_or_default())?;
            content.filled += read;
            total += read as u64;
            let ended = read < want || total >= expected;
            while let Some(bytes) =
                content.buffer.get(pending..content.filled).filter(|bytes| !bytes.is_empty() && (ended || bytes.len() >= max))
            {
                let length = self.options.chunker.cut(bytes);
                let id = self.options.keys.id(Class::Data, bytes.get(..length).unwrap_or_default());
                content.pieces.push(Piece::Chunk { id, start: pending, length });
                pending += length;
            }
            if ended {
                return Ok((total, true));
            }
            let carried = content.buffer.get(pending..content.filled).unwrap_or_default();
            let mut next = Content { buffer: self.buffers.take_filled(STRETCH + max), filled: carried.len(), pieces: Vec::new() };
            if let Some(place) = next.buffer.get_mut(..carried.len()) {
                place.copy_from_slice(carried);
            }
            content.filled = pending;
            pending = 0;
            if !emit(Part::Content(std::mem::replace(content, next))) {
                return Ok((total, false));
            }
        }
    }
}

/// Reads until `place` is full; fewer bytes only at the end of the stream.
fn fill(input: &mut dyn io::Read, place: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while read < place.len() {
        match input.read(place.get_mut(read..).unwrap_or_default()) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

/// What became of an entry: whether more is wanted. One that could not be read is noted.
fn settle(dir: &OpenDir, name: &[u8], result: io::Result<bool>, emit: Emit<'_>) -> bool {
    result.unwrap_or_else(|error| emit(Part::Restart) && emit(Part::Note(unreadable(dir, name, &error))))
}

fn unreadable(dir: &OpenDir, name: &[u8], error: &io::Error) -> Event {
    let path = display(&dir.path_of(name));
    if error.kind() == io::ErrorKind::NotFound {
        return Event::info(path, "vanished before it was read");
    }
    Event::warning(path, format!("cannot be read ({error}); it is not in this snapshot"))
}
