//! Assembling: one thread takes what was read, in path order, finds out what is new, and builds blocks and trees.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use crossbeam_channel::Sender;

use super::catalogue::{self, Fingerprint, Known};
use super::chunk_store::{ChunkStore, PlainBlock};
use super::cut::Ranks;
use super::part::{Content, Inode, Part, Piece, Sink};
use super::read::{AllKnown, FileReader};
use super::shelf::{Shelf, Shelved};
use crate::content::ContentError;
use crate::content::dedup::{ChunkIndex, Prefix};
use crate::content::payload::Statistics;
use crate::content::secret::ChunkKeys;
use crate::content::tree::{self, ListBuilder, PageBuilder};
use crate::model::entry::{Element, Entry, Kind, LinkId, Metadata, Timestamp};
use crate::model::event::{Event, Monitor, Severity};
use crate::sealed::pack::Class;
use crate::source::archive::{Member, MemberKind};
use crate::source::metadata::Stat;
use crate::source::walk::OpenDir;

/// Bytes of extended attributes that an entry may have; ext4 allows 4 KiB, XFS 64 KiB each, tmpfs any number.
const ATTRIBUTES: usize = 512 << 10;

/// Stands for the device of files that come out of the first archive; the others count down from it.
const ARCHIVES: u64 = u64::MAX;

/// A directory whose entries are coming in.
struct OpenDirectory {
    name: Vec<u8>,
    metadata: Metadata,
    pages: PageBuilder,
    /// The name that came last.
    last: Vec<u8>,
    /// Whether it is a path argument or lies in one; others only lead to one.
    whole: bool,
}

/// The content of the file at hand.
#[derive(Default)]
struct OpenFile {
    list: ListBuilder,
    size: u64,
    chunks: Vec<(Prefix, u32)>,
}

/// Takes parts and builds the snapshot.
pub struct Assembler<'a> {
    store: ChunkStore<'a>,
    catalogue: catalogue::Writer,
    /// Reads again what the catalogue calls unchanged but the repository lost.
    rereader: FileReader,
    directories: Vec<OpenDirectory>,
    root: PageBuilder,
    /// The name that came last in the root directory.
    last: Vec<u8>,
    file: OpenFile,
    shelf: Shelf,
    filesystems: HashMap<u64, u32>,
    statistics: Statistics,
    monitor: &'a dyn Monitor,
    /// Whether the next entry is a path argument.
    argument: bool,
    /// How many archives came before.
    archives: u64,
    identity: blake3::Hasher,
}

/// Takes what is read once more, for this assembler alone.
struct Again<'a, 'b> {
    assembler: &'a mut Assembler<'b>,
    result: Result<(), ContentError>,
}

impl Sink for Again<'_, '_> {
    fn give(&mut self, _: usize, part: Part) {
        if self.result.is_ok() {
            self.result = self.assembler.take(part);
        }
    }

    fn wants(&self, _: usize) -> bool {
        self.result.is_ok() && !self.assembler.monitor.cancelled()
    }
}

/// An entry as trees hold it.
fn json_of(entry: &Entry) -> Vec<u8> {
    let mut json = Vec::new();
    tree::write_entry(entry, &mut json);
    json
}

fn catalogue_error(error: io::Error) -> ContentError {
    ContentError::File { action: "write", path: "the catalogue in the state directory".into(), source: error }
}

/// What the assembler leaves.
pub struct Assembled {
    /// Pages of the root directory.
    pub root: Vec<Element>,
    /// Equal if and only if the path arguments are: the times of the directories that lead to them do not count, as those
    /// change with whatever else lies there; nor does the time of a stream, which is that of the run.
    pub identity: [u8; 32],
    /// What was counted.
    pub statistics: Statistics,
    /// The new catalogue, complete but not yet in place.
    pub catalogue: catalogue::Writer,
}

impl<'a> Assembler<'a> {
    /// An assembler that sends full blocks to `sealers`.
    pub fn new(
        index: &'a mut ChunkIndex,
        keys: ChunkKeys,
        sealers: Sender<PlainBlock>,
        catalogue: catalogue::Writer,
        rereader: FileReader,
        monitor: &'a dyn Monitor,
    ) -> Self {
        let store = ChunkStore::new(index, keys, sealers, rereader.buffers());
        Self {
            store,
            catalogue,
            rereader,
            directories: Vec::new(),
            root: PageBuilder::default(),
            last: Vec::new(),
            file: OpenFile::default(),
            shelf: Shelf::default(),
            filesystems: HashMap::new(),
            statistics: Statistics::default(),
            monitor,
            argument: false,
            archives: 0,
            identity: blake3::Hasher::new(),
        }
    }

    /// Takes the next part.
    ///
    /// # Errors
    /// If the run cannot go on.
    pub fn take(&mut self, part: Part) -> Result<(), ContentError> {
        match part {
            Part::Enter { name, metadata } => self.enter(name, metadata),
            Part::EnterVirtual { name } => self.enter_virtual(name),
            Part::Leave => self.leave(),
            Part::NextSource => {
                self.argument = true;
                self.store.flush()
            }
            Part::Note(event) => {
                self.note(event);
                Ok(())
            }
            Part::Unchanged { dir, name, known, stat } => self.unchanged(&dir, name, *known, stat),
            Part::Content(content) => self.content(content),
            Part::Restart => {
                self.file = OpenFile::default();
                self.shelf = Shelf::default();
                Ok(())
            }
            Part::Member { member, content } => self.member(member, content),
            Part::Archive { name, path } => self.archive(name, &path),
            Part::File { name, metadata, fingerprint, inode, content } => self.file(name, metadata, fingerprint, inode, content),
            Part::Stream { name, metadata, content } => self.stream(name, metadata, content),
            Part::Failed { path, why } => Err(ContentError::File { action: "read", path, source: io::Error::other(why) }),
            Part::Node { entry, fingerprint, inode } => self.node(entry, fingerprint, inode),
        }
    }

    fn note(&mut self, event: Event) {
        if matches!(&event, Event::Finding { severity, .. } if *severity >= Severity::Warning) {
            self.statistics.warnings += 1;
        }
        self.monitor.event(event);
    }

    /// The path of an entry of the current directory, for messages.
    fn path_of(&self, name: &[u8]) -> String {
        let names = self.directories.iter().map(|directory| directory.name.as_slice()).chain([name]).filter(|name| !name.is_empty());
        crate::source::walk::display(&names.flat_map(|name| [b"/", name].concat()).collect::<Vec<u8>>())
    }

    /// The directory that is being saved, for people who watch.
    pub fn current(&self) -> String {
        self.path_of(b"")
    }

    /// An entry must fit into a tree chunk with room to spare; attributes are the only part that can be larger.
    fn bound(&mut self, name: &[u8], metadata: &mut Metadata) {
        let size: usize = metadata.xattrs.iter().map(|xattr| xattr.name.len() + xattr.value.len()).sum();
        if size > ATTRIBUTES {
            metadata.xattrs.clear();
            let path = self.path_of(name);
            let message = format!(
                "has {size} bytes of extended attributes; more than {ATTRIBUTES} are not kept, so none of them is in this snapshot"
            );
            self.note(Event::warning(path, message));
        }
    }

    fn enter(&mut self, name: Vec<u8>, mut metadata: Metadata) -> Result<(), ContentError> {
        self.bound(&name, &mut metadata);
        self.catalogue.enter(&name).map_err(catalogue_error)?;
        self.open(name, metadata);
        Ok(())
    }

    /// A directory that only holds streams is no argument: each stream is one.
    fn enter_virtual(&mut self, name: Vec<u8>) -> Result<(), ContentError> {
        self.argument = false;
        self.enter(name, Metadata { mode: 0o700, ..Metadata::default() })
    }

    fn open(&mut self, name: Vec<u8>, metadata: Metadata) {
        let whole = self.is_inside() | std::mem::take(&mut self.argument);
        self.directories.push(OpenDirectory { name, metadata, pages: PageBuilder::default(), last: Vec::new(), whole });
    }

    fn leave(&mut self) -> Result<(), ContentError> {
        self.catalogue.leave().map_err(catalogue_error)?;
        self.close()
    }

    fn close(&mut self) -> Result<(), ContentError> {
        let Some(directory) = self.directories.pop() else { return Ok(()) };
        let pages = directory.pages.finish(&mut self.store)?;
        let mut entry = Entry { name: directory.name, metadata: directory.metadata, kind: Kind::Directory { pages } };
        self.statistics.directories += 1;
        let json = json_of(&entry);
        if directory.whole {
            self.identify(&json);
        } else {
            // What it holds has been identified, entry by entry.
            entry.metadata.mtime = Timestamp::default();
            entry.kind = Kind::Directory { pages: Vec::new() };
            self.identify(&json_of(&entry));
        }
        self.push(&entry.name, &json)
    }

    fn is_inside(&self) -> bool {
        self.directories.last().is_some_and(|directory| directory.whole)
    }

    /// Adds to the identity, unless a directory above will stand for this.
    fn identify(&mut self, json: &[u8]) {
        if !self.is_inside() {
            self.identity.update(&(json.len() as u64).to_le_bytes()).update(json);
        }
    }

    /// Adds anything but a directory.
    fn add(&mut self, name: &[u8], json: &[u8]) -> Result<(), ContentError> {
        self.argument = false;
        self.identify(json);
        self.push(name, json)
    }

    fn push(&mut self, name: &[u8], json: &[u8]) -> Result<(), ContentError> {
        let (pages, last) =
            self.directories.last_mut().map_or((&mut self.root, &mut self.last), |directory| (&mut directory.pages, &mut directory.last));
        if !last.is_empty() && name <= last.as_slice() {
            // Nobody could read a page in which a name stands twice, or behind its place.
            let path = self.path_of(name);
            self.note(Event::error(path, "was met a second time in its directory; the snapshot has it as it was met first"));
            return Ok(());
        }
        last.clear();
        last.extend_from_slice(name);
        // Sharing the key would borrow the store twice; it is 96 bytes.
        let keys = self.store.keys.clone();
        pages.push(name, json, &keys, &mut self.store)
    }

    fn link(&mut self, inode: Inode) -> LinkId {
        let next = u32::try_from(self.filesystems.len()).unwrap_or(u32::MAX);
        LinkId { filesystem: *self.filesystems.entry(inode.device).or_insert(next), inode: inode.inode }
    }

    fn unchanged(&mut self, dir: &Arc<OpenDir>, name: Vec<u8>, known: Known, stat: Stat) -> Result<(), ContentError> {
        let inode = (stat.links > 1).then_some(Inode { device: stat.device, inode: stat.inode });
        let same_link = inode.is_none_or(|inode| {
            let link = self.link(inode);
            let text = format!("\"link\":[{},{}]", link.filesystem, link.inode);
            known.entry.windows(text.len()).any(|window| window == text.as_bytes())
        });
        if !same_link || !self.store.index.use_all(&known.chunks) {
            return self.read_again(dir, name, stat);
        }
        self.count(&stat);
        self.catalogue.entry(&name, &known).map_err(catalogue_error)?;
        self.add(&name, &known.entry)
    }

    fn count(&mut self, stat: &Stat) {
        if stat.kind == crate::source::metadata::FileType::File {
            self.statistics.files += 1;
            self.statistics.bytes += stat.size;
        } else {
            self.statistics.others += 1;
        }
    }

    /// The repository misses a chunk of a file that did not change, or it stands in a block that is to be rewritten.
    fn read_again(&mut self, dir: &Arc<OpenDir>, name: Vec<u8>, stat: Stat) -> Result<(), ContentError> {
        let mut rereader = self.rereader.clone();
        let changed = self.statistics.files_read;
        let mut again = Again { assembler: self, result: Ok(()) };
        rereader.read(dir, name, stat, &mut AllKnown::new(), Ranks::from_elem(0, 1), &mut again);
        let result = again.result;
        self.statistics.files_read = changed;
        result
    }

    fn content(&mut self, content: Content) -> Result<(), ContentError> {
        for piece in &content.pieces {
            match piece {
                Piece::Hole(length) => {
                    self.file.size += length;
                    self.file.list.push(Element::Hole { length: *length }, &mut self.store)?;
                }
                Piece::Chunk { id, start, length } => {
                    let bytes = content.buffer.get(*start..start + length).unwrap_or_default();
                    self.store.put(Class::Data, id, bytes)?;
                    let length = u32::try_from(*length).unwrap_or(u32::MAX);
                    self.file.size += u64::from(length);
                    self.file.chunks.push((Prefix::of(id), length));
                    self.file.list.push(Element::Chunk { id: *id, length }, &mut self.store)?;
                }
            }
        }
        self.statistics.bytes_read += content.filled as u64;
        self.monitor.event(Event::Progress { files: 0, bytes: content.filled as u64 });
        self.store.buffers.give(content.buffer);
        Ok(())
    }

    fn file(
        &mut self,
        name: Vec<u8>,
        mut metadata: Metadata,
        fingerprint: Option<Fingerprint>,
        inode: Option<Inode>,
        content: Content,
    ) -> Result<(), ContentError> {
        let (kind, chunks) = self.end_content(content)?;
        self.bound(&name, &mut metadata);
        metadata.link = inode.map(|inode| self.link(inode));
        self.remember(Entry { name, metadata, kind }, fingerprint, chunks)
    }

    fn stream(&mut self, name: Vec<u8>, metadata: Metadata, content: Content) -> Result<(), ContentError> {
        let (kind, _) = self.end_content(content)?;
        self.argument = false;
        let mut entry = Entry { name, metadata, kind };
        let json = json_of(&entry);
        entry.metadata.mtime = Timestamp::default();
        self.identify(&json_of(&entry));
        self.push(&entry.name, &json)
    }

    /// Takes the last of a file's content; returns all of it, and its chunks.
    fn end_content(&mut self, last: Content) -> Result<(Kind, Vec<(Prefix, u32)>), ContentError> {
        if self.file.size == 0 {
            self.store.nodes.clear();
        }
        self.content(last)?;
        let file = std::mem::take(&mut self.file);
        let elements = file.list.finish(&mut self.store)?;
        self.statistics.files += 1;
        self.statistics.files_read += 1;
        self.statistics.bytes += file.size;
        let mut chunks = file.chunks;
        chunks.append(&mut self.store.nodes);
        Ok((Kind::File { size: file.size, content: elements }, chunks))
    }

    fn member(&mut self, member: Member, content: Content) -> Result<(), ContentError> {
        let Member { path, mut metadata, kind } = member;
        self.bound(path.last().map_or(b"", Vec::as_slice), &mut metadata);
        let kind = match kind {
            MemberKind::Directory => Kind::Directory { pages: Vec::new() },
            MemberKind::Node(kind) => {
                self.statistics.others += 1;
                kind
            }
            MemberKind::File => self.end_content(content)?.0,
            MemberKind::Link(target) => {
                let inode = self.shelf.next_inode();
                let link = self.link(Inode { device: ARCHIVES - self.archives, inode });
                if !self.shelf.link(&target, path.clone(), link) {
                    let names = [path, vec![b"->".to_vec()], target].concat().join(&b'/');
                    self.note(Event::warning(
                        String::from_utf8_lossy(&names),
                        "is a link to what the archive has not; it is not in this snapshot",
                    ));
                }
                return Ok(());
            }
        };
        self.shelf.put(path, metadata, kind);
        Ok(())
    }

    /// The members of an archive, which came in any order, become a directory.
    fn archive(&mut self, name: Vec<u8>, path: &str) -> Result<(), ContentError> {
        let mut shelf = std::mem::take(&mut self.shelf);
        self.archives += 1;
        let depth = self.directories.len();
        self.argument = true;
        self.open(name, shelf.root());
        for step in shelf.steps() {
            match step {
                Shelved::Enter(name, metadata) => self.open(name, metadata),
                Shelved::Leave => self.close()?,
                Shelved::Entry(entry) => {
                    let json = json_of(&entry);
                    self.add(&entry.name, &json)?;
                }
                Shelved::Lost(lost) => {
                    let message = "lies below a member that is no directory; it is not in this snapshot";
                    self.note(Event::warning(format!("{path}/{}", String::from_utf8_lossy(&lost)), message));
                }
            }
        }
        while self.directories.len() > depth {
            self.close()?;
        }
        Ok(())
    }

    fn node(&mut self, mut entry: Entry, fingerprint: Fingerprint, inode: Option<Inode>) -> Result<(), ContentError> {
        let name = entry.name.clone();
        self.bound(&name, &mut entry.metadata);
        entry.metadata.link = inode.map(|inode| self.link(inode));
        self.statistics.others += 1;
        self.remember(entry, Some(fingerprint), Vec::new())
    }

    /// Adds an entry to its directory and to the catalogue.
    fn remember(&mut self, entry: Entry, fingerprint: Option<Fingerprint>, chunks: Vec<(Prefix, u32)>) -> Result<(), ContentError> {
        let json = json_of(&entry);
        self.add(&entry.name, &json)?;
        if let Some(fingerprint) = fingerprint {
            let known = Known { fingerprint, entry: json, chunks };
            self.catalogue.entry(&entry.name, &known).map_err(catalogue_error)?;
        }
        Ok(())
    }

    /// Ends what is open, flushes the last blocks and returns the result.
    ///
    /// # Errors
    /// If the run cannot go on.
    pub fn finish(mut self) -> Result<Assembled, ContentError> {
        while !self.directories.is_empty() {
            self.leave()?;
        }
        let root = self.root.finish(&mut self.store)?;
        self.store.flush()?;
        self.statistics.bytes_new = self.store.bytes_new;
        let identity = *self.identity.finalize().as_bytes();
        Ok(Assembled { root, identity, statistics: self.statistics, catalogue: self.catalogue })
    }

    /// Gives up but lets what is complete be stored, so that the next run need not.
    ///
    /// # Errors
    /// If the pipeline has ended.
    pub fn abandon(mut self) -> Result<(), ContentError> {
        self.store.flush()
    }
}
