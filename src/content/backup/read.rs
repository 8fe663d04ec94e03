//! Reading: from a name in an open directory to chunks with their ids. Runs on several threads; each file is read once for all
//! destinations that need it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Seek as _};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use super::catalogue::{Fingerprint, Known};
use super::cut::{Cuts, Cutter, Ranks};
use super::part::{Inode, Part, Sink};
use super::read_database::FoundDatabase;
use crate::content::buffers::Buffers;
use crate::model::entry::{Entry, Kind};
use crate::model::event::Event;
use crate::model::pace::Pace;
use crate::source::database::sqlite::Databases;
use crate::source::metadata::{self, FileType, Owners, Stat};
use crate::source::walk::{Item, OpenDir, display};

/// What the destinations' catalogues know of an entry, by rank.
pub type AllKnown = smallvec::SmallVec<[Option<Box<Known>>; 1]>;

/// An item of the walk with what the catalogues know of it.
pub struct Task {
    /// What the walk met.
    pub item: Item,
    /// What each destination's catalogue knows of an entry; empty if none does.
    pub known: AllKnown,
}

/// What all readers share.
#[derive(Clone)]
pub struct ReadOptions {
    /// Regular files larger than this many bytes are left out.
    pub larger_than: Option<u64>,
    /// Whether the inode number counts when looking for changes.
    pub trust_inodes: bool,
    /// Which files are SQLite databases.
    pub databases: Option<Arc<Databases>>,
    /// A private directory for copies of them.
    pub scratch: PathBuf,
    /// How fast to read.
    pub pace: Option<Arc<Pace>>,
}

/// Reads entries; one per thread.
#[derive(Clone)]
pub struct FileReader {
    pub(super) options: ReadOptions,
    pub(super) cutters: Arc<[Cutter]>,
    pub(super) owners: Arc<Owners>,
    pub(super) buffers: Buffers,
}

pub(super) fn several_names(stat: &Stat) -> Option<Inode> {
    (stat.links > 1).then_some(Inode { device: stat.device, inode: stat.inode })
}

impl FileReader {
    /// A reader for destinations that cut as `cutters` say.
    pub fn new(options: ReadOptions, cutters: Vec<Cutter>) -> Self {
        Self { options, cutters: cutters.into(), owners: Arc::new(Owners::default()), buffers: Buffers::default() }
    }

    /// The pool that its buffers come from.
    pub fn buffers(&self) -> Buffers {
        self.buffers.clone()
    }

    /// A reader for one of the destinations, which gets rank 0.
    pub fn only(&self, destination: usize) -> Self {
        Self { cutters: self.cutters.get(destination).cloned().into_iter().collect(), ..self.clone() }
    }

    /// The content of the next file, for these destinations.
    pub(super) fn cuts(&self, destinations: &Ranks) -> Cuts<'_> {
        Cuts::new(&self.cutters, &self.buffers, self.options.pace.as_deref(), destinations)
    }

    /// Those that take more.
    pub(super) fn wanting(&self, sink: &dyn Sink) -> Ranks {
        (0..self.cutters.len()).filter(|rank| sink.wants(*rank)).collect()
    }

    fn give_all(&self, part: Part, sink: &mut dyn Sink) {
        give(part, &self.wanting(sink), sink);
    }

    /// Handles one task.
    pub fn run(&mut self, task: Task, sink: &mut dyn Sink) {
        match task.item {
            Item::Enter { name, stat, xattrs } => {
                let metadata = metadata::metadata(&stat, xattrs, &self.owners, None);
                self.give_all(Part::Enter { name, metadata }, sink);
            }
            Item::EnterVirtual { name } => self.give_all(Part::EnterVirtual { name }, sink),
            Item::Stream(file) => self.read_stream(&file, sink),
            Item::Leave => self.give_all(Part::Leave, sink),
            Item::NextSource => self.give_all(Part::NextSource, sink),
            Item::Note(event) => self.give_all(Part::Note(event), sink),
            Item::Entry { dir, name, file } => self.look(&dir, name, file, task.known, sink),
        }
    }

    /// Reads an entry for those destinations whose catalogue does not know it as it is.
    fn look(&mut self, dir: &Arc<OpenDir>, name: Vec<u8>, file: bool, mut known: AllKnown, sink: &mut dyn Sink) {
        let mut wanting = self.wanting(sink);
        if wanting.is_empty() {
            return;
        }
        if file && known.iter().all(Option::is_none) {
            // What is to be read anyway is not looked at twice.
            let result = self.read_file(dir, &name, &mut known, &mut wanting, sink);
            return settle(dir, &name, result, &wanting, sink);
        }
        let stat = match metadata::stat_at(dir.as_fd(), &name) {
            Err(error) => return give(Part::Note(unreadable(dir, &name, &error)), &wanting, sink),
            Ok(stat) if self.left_out(&stat) => return,
            Ok(stat) => stat,
        };
        let mut changed = Ranks::new();
        let named = self.options.databases.as_ref().is_some_and(|databases| databases.is_named(|| dir.path_of(&name)));
        for rank in wanting {
            match known.get_mut(rank).and_then(|known| known.take_if(|known| !named && self.is_unchanged(known, &stat))) {
                Some(known) => sink.give(rank, Part::Unchanged { dir: Arc::clone(dir), name: name.clone(), known, stat }),
                None => changed.push(rank),
            }
        }
        if !changed.is_empty() {
            self.read(dir, name, stat, &mut known, changed, sink);
        }
    }

    fn left_out(&self, stat: &Stat) -> bool {
        stat.kind == FileType::File && self.options.larger_than.is_some_and(|limit| stat.size > limit)
    }

    fn is_unchanged(&self, known: &Known, stat: &Stat) -> bool {
        let mut now = Fingerprint::of(stat);
        // That of a database tells more than a status does.
        if !known.fingerprint.is_database() && !self.options.trust_inodes {
            now.inode = known.fingerprint.inode;
        }
        known.fingerprint == now
    }

    /// Reads an entry whatever the catalogues say.
    pub fn read(
        &mut self,
        dir: &Arc<OpenDir>,
        name: Vec<u8>,
        stat: Stat,
        known: &mut AllKnown,
        mut destinations: Ranks,
        sink: &mut dyn Sink,
    ) {
        let destinations = &mut destinations;
        let result = match stat.kind {
            FileType::File => self.read_file(dir, &name, known, destinations, sink),
            FileType::Directory => {
                let event = Event::info(display(&dir.path_of(&name)), "became a directory meanwhile; the next run takes it");
                return give(Part::Note(event), destinations, sink);
            }
            _ => self.read_node(dir, &name, &stat).map(|part| give(part, destinations, sink)),
        };
        settle(dir, &name, result, destinations, sink);
    }

    fn read_node(&self, dir: &OpenDir, name: &[u8], stat: &Stat) -> io::Result<Part> {
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

    fn read_file(
        &self,
        dir: &Arc<OpenDir>,
        name: &[u8],
        known: &mut AllKnown,
        destinations: &mut Ranks,
        sink: &mut dyn Sink,
    ) -> io::Result<()> {
        let mut file = File::from(metadata::open_file_at(dir.as_fd(), name)?);
        let mut lasting = true;
        if let Some(databases) = self.options.databases.as_ref().filter(|databases| databases.covers(&dir.path_of(name), &file)) {
            if self.left_out(&metadata::stat_fd(file.as_fd())?) {
                return Ok(());
            }
            let found = FoundDatabase { databases, dir, name, file: &file };
            self.read_database(&found, known, destinations, sink)?;
            if destinations.is_empty() {
                return Ok(());
            }
            // What went wrong is told again by the next run.
            lasting = false;
        }
        let mut attempts = 0;
        loop {
            let stat = metadata::stat_fd(file.as_fd())?;
            if stat.kind != FileType::File {
                return Err(io::Error::other("its type changed while it was read"));
            }
            if self.left_out(&stat) {
                return Ok(());
            }
            let xattrs = metadata::xattrs_fd(file.as_fd())?;
            let mut cuts = self.cuts(destinations);
            read_content(&mut file, &stat, &mut cuts, sink)?;
            if cuts.unwanted() {
                return Ok(());
            }
            attempts += 1;
            let changed = Fingerprint::of(&metadata::stat_fd(file.as_fd())?) != Fingerprint::of(&stat);
            if changed && attempts < 2 {
                file.rewind()?;
                cuts.restart(sink);
                continue;
            }
            if changed {
                let message = "changed while it was read, twice; the snapshot has it as it was read, parts may be of different times";
                give(Part::Note(Event::info(display(&dir.path_of(name)), message)), destinations, sink);
            }
            let metadata = metadata::metadata(&stat, xattrs, &self.owners, None);
            // A changed file must not look unchanged to the next run.
            let fingerprint = (lasting && !changed).then(|| Fingerprint::of(&stat));
            let inode = several_names(&stat);
            for (rank, content) in cuts.finish() {
                sink.give(rank, Part::File { name: name.to_vec(), metadata: metadata.clone(), fingerprint, inode, content });
            }
            return Ok(());
        }
    }
}

/// Reads up to the size at the start.
fn read_content(file: &mut File, stat: &Stat, cuts: &mut Cuts<'_>, sink: &mut dyn Sink) -> io::Result<()> {
    let mut position = 0;
    let sparse = stat.may_have_holes();
    while position < stat.size {
        let range = if sparse { metadata::next_data(file.as_fd(), position, stat.size) } else { Some(position..stat.size) };
        let Some(range) = range else {
            cuts.hole(stat.size - position);
            break;
        };
        if range.start > position {
            cuts.hole(range.start - position);
        }
        if sparse {
            file.seek(io::SeekFrom::Start(range.start))?;
        }
        let length = range.end - range.start;
        let read = cuts.stream(&mut io::Read::take(&mut *file, length), length, sink)?;
        if read < length || cuts.unwanted() {
            break;
        }
        position = range.end;
    }
    Ok(())
}

/// Gives a part to several destinations.
pub(super) fn give(part: Part, destinations: &Ranks, sink: &mut dyn Sink) {
    let Some((last, others)) = destinations.split_last() else { return };
    others.iter().for_each(|rank| sink.give(*rank, part.clone()));
    sink.give(*last, part);
}

/// Notes what could not be read.
fn settle(dir: &OpenDir, name: &[u8], result: io::Result<()>, destinations: &Ranks, sink: &mut dyn Sink) {
    if let Err(error) = result {
        give(Part::Restart, destinations, sink);
        give(Part::Note(unreadable(dir, name, &error)), destinations, sink);
    }
}

fn unreadable(dir: &OpenDir, name: &[u8], error: &io::Error) -> Event {
    let path = display(&dir.path_of(name));
    if error.kind() == io::ErrorKind::NotFound {
        return Event::info(path, "vanished before it was read");
    }
    let at =
        dir.read_at().map_or_else(String::new, |at| format!(", at {}", display(at.join(OsStr::from_bytes(name)).as_os_str().as_bytes())));
    Event::warning(path, format!("cannot be read ({error}{at}); it is not in this snapshot"))
}
