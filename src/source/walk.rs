//! The filesystem walk: from path arguments to entries in path order.
//!
//! ```text
//!   /a/b, /a/c/d   -->   Enter a, Enter b, Entry .., Leave, Enter c, Enter d, .., Leave, Leave, Leave
//! ```
//!
//! Directories are opened relative to their parents and never through a symbolic link, so paths may be longer than
//! `PATH_MAX` and nothing that moves meanwhile can lead the walk astray. Entries of a directory come sorted by raw
//! name, sub-directories at their place among them. A directory that stands still elsewhere is read there ([`View`]); all
//! that is said of it names the place where it is shown.

mod names;
mod spine;

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::database::sqlite::Databases;
use super::exclude::Excludes;
use super::metadata::{self, FileType, Stat};
use super::stream::VirtualFile;
use super::view::{self, View, Views, names_of};
use crate::model::entry::Xattr;
use crate::model::event::Event;
use names::{Kind, Names};
use spine::Spine;

/// A directory that the walk has opened.
#[derive(Debug)]
pub struct OpenDir {
    fd: OwnedFd,
    path: Vec<u8>,
}

impl OpenDir {
    /// Its absolute path, for messages.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// Where it is read, if that is not its path.
    pub fn read_at(&self) -> Option<PathBuf> {
        let read = std::fs::read_link(format!("/proc/self/fd/{}", self.fd.as_raw_fd())).ok()?;
        Some(read).filter(|read| read.as_os_str().as_bytes() != self.path)
    }

    /// The absolute path of an entry in it, for messages.
    pub fn path_of(&self, name: &[u8]) -> Vec<u8> {
        join(&self.path, name)
    }
}

impl AsFd for OpenDir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(parent.len() + 1 + name.len());
    path.extend_from_slice(if parent == b"/" { b"" } else { parent });
    path.push(b'/');
    path.extend_from_slice(name);
    path
}

/// What the walk meets, in order.
#[derive(Debug)]
pub enum Item {
    /// A directory begins.
    Enter {
        /// Its name.
        name: Vec<u8>,
        /// Its status.
        stat: Stat,
        /// Its extended attributes.
        xattrs: Vec<Xattr>,
    },
    /// The directory entered last ends.
    Leave,
    /// Anything but a directory.
    Entry {
        /// Where it lies.
        dir: Arc<OpenDir>,
        /// Its name.
        name: Vec<u8>,
        /// Whether the listing of its directory called it a regular file.
        file: bool,
    },
    /// A directory begins that is only in the snapshot, to hold streams.
    EnterVirtual {
        /// Its name.
        name: Vec<u8>,
    },
    /// A stream, in the directory entered last.
    Stream(Arc<VirtualFile>),
    /// From here on entries belong to another path argument; blocks do not cross this line.
    NextSource,
    /// Something the user should know.
    Note(Event),
}

/// What to walk, and what to leave out.
#[derive(Debug, Clone, Default)]
pub struct WalkOptions {
    /// Patterns, markers, sizes.
    pub excludes: Excludes,
    /// Do not descend into other filesystems than each argument's.
    pub one_file_system: bool,
    /// Directories (device, inode) whose content is left out: the repository and the state of the backup itself.
    pub skip: HashSet<(u64, u64)>,
    /// Streams, at their places among the paths.
    pub streams: Vec<VirtualFile>,
    /// Databases, whose logs are left out as their copies hold what those hold.
    pub databases: Option<Arc<Databases>>,
    /// Directories that are read from elsewhere. A detached one is walked if it is an argument.
    pub views: Vec<View>,
}

/// Makes an argument absolute without resolving its last component, which may be a symbolic link to be saved itself;
/// a trailing `/` or `/.` resolves it.
///
/// # Errors
/// If the parent does not exist.
pub fn absolute(path: &Path) -> io::Result<PathBuf> {
    let bytes = path.as_os_str().as_bytes();
    let resolve = bytes.ends_with(b"/") || bytes.ends_with(b"/.") || !matches!(path.components().next_back(), Some(Component::Normal(_)));
    if resolve {
        return path.canonicalize();
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or(OsStr::new(""));
    Ok(parent.canonicalize()?.join(name))
}

enum Children {
    Listed {
        names: Names,
        position: usize,
    },
    Spine(std::collections::btree_map::IntoIter<Vec<u8>, Spine>),
    /// The root directory, with what is on no disk.
    Beside {
        names: Names,
        position: usize,
        others: BTreeMap<Vec<u8>, Spine>,
    },
}

struct Frame {
    dir: Arc<OpenDir>,
    children: Children,
    /// Device of the path argument; `None` on the way to one.
    device: Option<u64>,
}

impl Frame {
    /// The same directory with more in it.
    fn beside(self, others: BTreeMap<Vec<u8>, Spine>) -> Self {
        let children = match self.children {
            Children::Listed { names, position } if !others.is_empty() => Children::Beside { names, position, others },
            children => children,
        };
        Self { children, ..self }
    }
}

/// The walk, as an iterator over [`Item`]s.
pub struct Walk {
    options: WalkOptions,
    views: Views,
    stack: Vec<Frame>,
    pending: std::collections::VecDeque<Item>,
    /// The directory whose files, named as arguments, are the current source.
    files_of: Option<Arc<OpenDir>>,
}

impl Walk {
    /// A walk over absolute `paths`; one within another is walked once.
    ///
    /// # Errors
    /// If the root directory cannot be opened.
    pub fn new(paths: &[PathBuf], options: WalkOptions) -> io::Result<Self> {
        let mut spine = Spine::default();
        let detached = |path: &PathBuf| options.views.iter().find(|view| view.kind == view::Kind::Detached && view.at == *path);
        for path in paths.iter().filter(|path| detached(path).is_none()) {
            spine.add(&names_of(path));
        }
        for view in paths.iter().filter_map(detached) {
            spine.place(&names_of(&view.at)).view = Some(Arc::new(view.clone()));
        }
        for stream in &options.streams {
            spine.place(&stream.path).stream = Some(Arc::new(stream.clone()));
        }
        let views = Views::new(&options.views);
        let root = Arc::new(OpenDir { fd: metadata::open_dir(views.root())?, path: b"/".to_vec() });
        let mut walk = Self { options, views, stack: Vec::new(), pending: std::collections::VecDeque::new(), files_of: None };
        let frame = if spine.chosen {
            let listed = walk.list(&root, None);
            // What is on no disk has its place among what is.
            listed.map(|frame| frame.beside(spine.children))
        } else {
            Some(Frame { dir: root, children: Children::Spine(spine.children.into_iter()), device: None })
        };
        walk.stack.extend(frame);
        Ok(walk)
    }

    /// Lists a directory; what cannot be listed is noted and has no children.
    fn list(&mut self, dir: &Arc<OpenDir>, device: Option<u64>) -> Option<Frame> {
        let mut names = match Names::read(dir.as_fd()) {
            Ok(names) => names,
            Err(error) => {
                self.note_unreadable(dir.path(), &error);
                return None;
            }
        };
        let marked = self.options.excludes.marker_in(dir.as_fd(), names.iter());
        let marked = match marked {
            Ok(marker) => marker.map(|marker| Names::only(marker.name())),
            Err(error) => {
                self.pending.push_back(Item::Note(Event::warning(display(dir.path()), error.to_string())));
                None
            }
        };
        let names = marked.unwrap_or_else(|| {
            names.add(self.views.names_in(dir.path()));
            names
        });
        let device = device.or_else(|| metadata::stat_fd(dir.as_fd()).ok().map(|stat| stat.device));
        Some(Frame { dir: Arc::clone(dir), children: Children::Listed { names, position: 0 }, device })
    }

    /// What was listed and is gone when it is opened was deleted meanwhile, which is no fault.
    fn note_unreadable(&mut self, path: &[u8], error: &io::Error) {
        if error.kind() != io::ErrorKind::NotFound {
            self.note_missing(path, error);
        }
    }

    fn note_missing(&mut self, path: &[u8], error: &io::Error) {
        let message = format!("cannot be read ({error}); it is not in this snapshot");
        self.pending.push_back(Item::Note(Event::warning(display(path), message)));
    }

    /// What a view shows does not go away meanwhile.
    fn note_missing_view(&mut self, path: &[u8], from: &Path, error: &io::Error) {
        self.note_missing(path, &io::Error::new(error.kind(), format!("{error}, at {}", from.display())));
    }

    /// What an entry is where it is read.
    fn kind_of(&self, parent: &OpenDir, name: &[u8]) -> io::Result<Kind> {
        let directory = match self.views.of(parent.path(), name) {
            Some(view) if view.kind == view::Kind::Hollow => true,
            Some(view) => view.from.symlink_metadata()?.is_dir(),
            None => metadata::stat_at(parent.as_fd(), name)?.kind == FileType::Directory,
        };
        Ok(if directory { Kind::Directory } else { Kind::Other })
    }

    /// Handles one listed name.
    fn visit(&mut self, parent: &Arc<OpenDir>, name: &[u8], kind: Kind, device: Option<u64>) {
        let path = || parent.path_of(name);
        let view = self.views.of(parent.path(), name).map(|view| view.from.clone());
        let kind = if kind == Kind::Unknown || view.is_some() { self.kind_of(parent, name) } else { Ok(kind) };
        let kind = match (kind, view) {
            (Ok(kind), _) => kind,
            (Err(error), None) => return self.note_unreadable(&path(), &error),
            (Err(error), Some(from)) => return self.note_missing_view(&path(), &from, &error),
        };
        let full = if self.options.excludes.needs_path() { path() } else { Vec::new() };
        if self.options.excludes.matches(&full, name, kind == Kind::Directory) {
            return;
        }
        if kind != Kind::Directory {
            if self.is_log(parent, name) {
                return;
            }
            return self.entry(parent, name, kind == Kind::File);
        }
        self.enter(parent, name, device, None);
    }

    /// Whether a file belongs to a database beside it, of which a copy is saved.
    fn is_log(&self, parent: &OpenDir, name: &[u8]) -> bool {
        let databases = self.options.databases.as_ref();
        databases.is_some_and(|databases| databases.is_companion(parent.as_fd(), name, |base| parent.path_of(base)))
    }

    /// Hands on what is no directory.
    fn entry(&mut self, parent: &Arc<OpenDir>, name: &[u8], file: bool) {
        let dir = match self.views.of(parent.path(), name).and_then(|view| view.from.parent()).map(|from| (from, metadata::open_dir(from)))
        {
            None => Arc::clone(parent),
            Some((_, Ok(fd))) => Arc::new(OpenDir { fd, path: parent.path().to_vec() }),
            Some((from, Err(error))) => {
                let from = from.to_owned();
                return self.note_missing_view(&parent.path_of(name), &from, &error);
            }
        };
        self.pending.push_back(Item::Entry { dir, name: name.to_vec(), file });
    }

    /// Enters a directory: announces it and, unless it is left out, puts its children on the stack.
    fn enter(&mut self, parent: &Arc<OpenDir>, name: &[u8], device: Option<u64>, spine: Option<Spine>) {
        let path = parent.path_of(name);
        let view = self.views.of(parent.path(), name).cloned();
        let opened = match view.as_ref().map(|view| (view, metadata::open_dir(&view.from))) {
            None => metadata::open_dir_at(parent.as_fd(), name),
            Some((view, _)) if view.kind == view::Kind::Hollow => return self.enter_hollow(name, path, spine),
            Some((view, Err(error))) => return self.note_missing_view(&path, &view.from, &error),
            Some((_, opened)) => opened,
        };
        // What is shown as a part of this filesystem is the beginning of another.
        let device = device.filter(|_| view.is_none_or(|view| view.kind != view::Kind::Joined));
        let status = match &opened {
            Ok(fd) => metadata::stat_fd(fd.as_fd()),
            Err(_) => metadata::stat_at(parent.as_fd(), name),
        };
        let stat = match status {
            Ok(stat) => stat,
            Err(error) if spine.is_some() => return self.note_missing(&path, &error),
            Err(error) => return self.note_unreadable(&path, &error),
        };
        if stat.kind != FileType::Directory {
            return self.entry(parent, name, false);
        }
        let xattrs = match &opened {
            Ok(fd) => metadata::xattrs_fd(fd.as_fd()),
            Err(_) => metadata::xattrs_at(parent.as_fd(), name),
        };
        let xattrs = self.noted(xattrs, &path);
        let foreign = self.options.one_file_system && device.is_some_and(|device| device != stat.device);
        let skipped = spine.is_none() && self.options.skip.contains(&(stat.device, stat.inode));
        self.pending.push_back(Item::Enter { name: name.to_vec(), stat, xattrs });
        let frame = match opened {
            Err(error) => {
                self.note_unreadable(&path, &error);
                None
            }
            Ok(_) if foreign || skipped => None,
            Ok(fd) => {
                let dir = Arc::new(OpenDir { fd, path });
                match spine {
                    Some(spine) => Some(Frame { dir, children: Children::Spine(spine.children.into_iter()), device: None }),
                    None => self.list(&dir, device),
                }
            }
        };
        match frame {
            Some(frame) => self.stack.push(frame),
            None => self.pending.push_back(Item::Leave),
        }
    }

    /// Extended attributes; those that cannot be read are noted.
    fn noted(&mut self, xattrs: io::Result<Vec<Xattr>>, path: &[u8]) -> Vec<Xattr> {
        xattrs.unwrap_or_else(|error| {
            self.pending.push_back(Item::Note(Event::warning(display(path), format!("its extended attributes cannot be read ({error})"))));
            Vec::new()
        })
    }

    /// Handles one component of the way to the arguments.
    fn visit_spine(&mut self, parent: &Arc<OpenDir>, name: &[u8], spine: Spine) {
        if spine.is_virtual() {
            return self.visit_virtual(parent, name, spine);
        }
        if !spine.chosen {
            return self.enter(parent, name, None, Some(spine));
        }
        match self.kind_of(parent, name) {
            Ok(Kind::Directory) => {
                self.files_of = None;
                self.pending.push_back(Item::NextSource);
                self.enter(parent, name, None, None);
            }
            Ok(_) if self.is_log(parent, name) => {}
            Ok(_) => {
                // Files of one directory, as a shell's `*` names them, are one source: a block each would waste space.
                if self.files_of.as_ref().is_none_or(|dir| !Arc::ptr_eq(dir, parent)) {
                    self.files_of = Some(Arc::clone(parent));
                    self.pending.push_back(Item::NextSource);
                }
                self.entry(parent, name, false);
            }
            Err(error) => self.note_missing(&parent.path_of(name), &error),
        }
    }
}

impl Walk {
    /// Handles a component that is on no disk.
    fn visit_virtual(&mut self, parent: &Arc<OpenDir>, name: &[u8], spine: Spine) {
        self.files_of = None;
        self.pending.push_back(Item::NextSource);
        if let Some(stream) = spine.stream {
            return self.pending.push_back(Item::Stream(stream));
        }
        if let Some(view) = spine.view {
            return self.enter_detached(name, &view);
        }
        self.pending.push_back(Item::EnterVirtual { name: name.to_vec() });
        let children = Children::Spine(spine.children.into_iter());
        self.stack.push(Frame { dir: Arc::clone(parent), children, device: None });
    }

    /// Enters a directory that is nowhere, for what lies within it.
    fn enter_hollow(&mut self, name: &[u8], path: Vec<u8>, spine: Option<Spine>) {
        let Ok(fd) = metadata::open_nothing() else { return };
        let children = spine.map_or_else(
            || {
                let mut names = Names::default();
                names.add(self.views.names_in(&path));
                Children::Listed { names, position: 0 }
            },
            |spine| Children::Spine(spine.children.into_iter()),
        );
        self.pending.push_back(Item::EnterVirtual { name: name.to_vec() });
        self.stack.push(Frame { dir: Arc::new(OpenDir { fd, path }), children, device: None });
    }

    /// Enters a view that is on no disk.
    fn enter_detached(&mut self, name: &[u8], view: &View) {
        let path = view.at.as_os_str().as_bytes().to_vec();
        let opened = metadata::open_dir(&view.from).and_then(|fd| metadata::stat_fd(fd.as_fd()).map(|stat| (fd, stat)));
        let (fd, stat) = match opened {
            Ok(opened) => opened,
            Err(error) => return self.note_missing(&path, &error),
        };
        let xattrs = self.noted(metadata::xattrs_fd(fd.as_fd()), &path);
        self.pending.push_back(Item::Enter { name: name.to_vec(), stat, xattrs });
        match self.list(&Arc::new(OpenDir { fd, path }), None) {
            Some(frame) => self.stack.push(frame),
            None => self.pending.push_back(Item::Leave),
        }
    }
}

/// A path for people; bytes that are not UTF-8 are replaced.
pub fn display(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

impl Iterator for Walk {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        loop {
            if let Some(item) = self.pending.pop_front() {
                return Some(item);
            }
            let depth = self.stack.len();
            let frame = self.stack.last_mut()?;
            let (dir, device) = (Arc::clone(&frame.dir), frame.device);
            match &mut frame.children {
                Children::Listed { names, position } => {
                    let next = names.get(*position).map(|(name, kind)| (name.to_vec(), kind));
                    *position += 1;
                    match next {
                        Some((name, kind)) => self.visit(&dir, &name, kind, device),
                        None => self.leave(depth),
                    }
                }
                Children::Beside { names, position, others } => {
                    let listed = names.get(*position).map(|(name, kind)| (name.to_vec(), kind));
                    let other = others.first_entry().filter(|other| listed.as_ref().is_none_or(|(name, _)| other.key() <= name));
                    match (other, listed) {
                        (Some(other), listed) => {
                            let (name, spine) = other.remove_entry();
                            // Of two that have one name only one can be saved.
                            *position += usize::from(listed.is_some_and(|(listed, _)| listed == name));
                            self.visit_spine(&dir, &name, spine);
                        }
                        (None, Some((name, kind))) => {
                            *position += 1;
                            self.visit(&dir, &name, kind, device);
                        }
                        (None, None) => self.leave(depth),
                    }
                }
                Children::Spine(children) => match children.next() {
                    Some((name, spine)) => self.visit_spine(&dir, &name, spine),
                    None => self.leave(depth),
                },
            }
        }
    }
}

impl Walk {
    fn leave(&mut self, depth: usize) {
        self.stack.pop();
        if depth > 1 {
            self.pending.push_back(Item::Leave);
        }
    }
}

#[cfg(test)]
mod tests;
