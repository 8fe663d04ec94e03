//! The only code that writes into a restore target.
//!
//! ```text
//!   engine ── make_dir ──> DirId ── create_file ──> FileWriter ── write_at*, finish
//!                            │ ──── make_node, hard_link, apply_metadata, remove_extra
//!                            └───── finish_dir, deepest first, when all is in it
//! ```
//!
//! What it promises, whatever the snapshot says and whoever meddles with the target meanwhile:
//! - Nothing is written or removed outside of the target: every call names one entry of one open directory, and no
//!   symbolic link is followed, neither one found nor one swapped in.
//! - What stands in the way is replaced only by something complete: files are written under another name first.
//! - Directories made here are closed to others until they get their final metadata.
//! - Setuid and setgid bits are never given to an owner who is not the original one.

use std::fs::DirBuilder;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, renameat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::model::entry::{Entry, Metadata};
use crate::source::metadata::{FileType, Owners, stat_at};

mod apply;
mod directory;
mod error;
mod file;
mod name;
mod node;
mod notes;
mod remove;
#[cfg(test)]
mod tests;

pub use directory::DirId;
pub use error::TargetError;
pub use file::FileWriter;
pub use notes::{Incomplete, Lost};
pub use remove::Removal;

use apply::{Context, Inode, apply};
use directory::{Directories, Directory, open_to_fill};
use notes::Notes;

/// How to restore.
#[derive(Debug, Clone)]
pub struct Options {
    /// Owners by number, as they were. Otherwise by name where this host knows the name, and by number where not: for
    /// a restore to another host, on which the same services run under other numbers. Numbers are the default, as names
    /// of the system that runs the restore, such as a rescue disk, are not those of the restored system.
    pub numeric_owner: bool,
    /// Remove directories with content where the snapshot has something else. Without it that is an error.
    pub replace_directories: bool,
    /// How many directories may be open at a time, besides those with unfinished files in them.
    pub open_directories: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { numeric_owner: true, replace_directories: false, open_directories: 128 }
    }
}

/// A directory into which a snapshot is restored. Shared between threads.
#[derive(Debug)]
pub struct Target {
    shared: Arc<Shared>,
}

/// What the target and its file writers have in common.
#[derive(Debug)]
struct Shared {
    directories: Directories,
    owners: Owners,
    notes: Notes,
    options: Options,
}

impl Target {
    /// Opens the target at `path`, which is made, closed to others, if it is not there. This one path may lead through
    /// symbolic links: it is the caller's, not the snapshot's.
    pub fn open(path: &Path, options: Options) -> Result<Self, TargetError> {
        let failed = |source| TargetError::System { action: "open the restore target", path: path.display().to_string(), source };
        let fresh = !path.exists();
        if fresh {
            DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        }
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let root = open(path, flags, Mode::empty()).map_err(|errno| failed(errno.into()))?;
        let directories = Directories::new(path, root, fresh, options.open_directories).map_err(failed)?;
        Ok(Self { shared: Arc::new(Shared { directories, owners: Owners::default(), notes: Notes::default(), options }) })
    }

    /// Makes the directory `name`, open to nobody but us, or uses the one that is there. Anything else of that name is
    /// removed; of a symbolic link, the link. Call it once for each directory.
    pub fn make_dir(&self, parent: DirId, name: &[u8]) -> Result<DirId, TargetError> {
        let directory = self.shared.enter(parent, name)?;
        let failed = |source| self.shared.system("make the directory", parent, name, source);
        let fresh = make_or_find(&directory, name).map_err(failed)?;
        let opened = open_to_fill(&directory, name).map_err(failed)?;
        Ok(self.shared.directories.add(parent, name, opened, fresh))
    }

    /// Whether the directory was made by this restore, so that nothing is in it that this restore did not put there.
    pub fn is_fresh(&self, id: DirId) -> bool {
        self.shared.directories.get(id).is_ok_and(|directory| directory.fresh)
    }

    /// Starts a file of `size` bytes. What stands there stays until [`FileWriter::finish`] succeeds. `metadata` is what
    /// the file will get in the end.
    pub fn create_file(&self, parent: DirId, name: &[u8], size: u64, metadata: &Metadata) -> Result<FileWriter, TargetError> {
        FileWriter::create(&self.shared, parent, name, size, metadata)
    }

    /// Makes a symbolic link, FIFO, socket or device node, with its metadata. Leaves an equal one in place.
    pub fn make_node(&self, parent: DirId, entry: &Entry) -> Result<(), TargetError> {
        self.shared.make_node(parent, entry)
    }

    /// Gives what `from` names, complete, a further name.
    pub fn hard_link(&self, from: (DirId, &[u8]), to: (DirId, &[u8])) -> Result<(), TargetError> {
        self.shared.hard_link(from, to)
    }

    /// Whether the entry stands there already, by kind, size and modification time, or by a link's target or a device's
    /// numbers. Its other metadata may differ: see [`Target::apply_metadata`]. Never true of directories, nor of a file
    /// with other names than the snapshot knows: those names may be anyone's.
    pub fn unchanged(&self, parent: DirId, entry: &Entry) -> bool {
        self.shared.unchanged(parent, entry)
    }

    /// Gives something that stands there already the metadata of its entry. Writes only what differs.
    pub fn apply_metadata(&self, parent: DirId, name: &[u8], metadata: &Metadata) -> Result<(), TargetError> {
        let directory = self.shared.enter(parent, name)?;
        self.shared.apply_named(parent, &directory, name, name, metadata, true)
    }

    /// Gives a directory its final metadata. Comes after everything in it, subdirectories included, is finished; the
    /// directory must not be used afterwards.
    pub fn finish_dir(&self, id: DirId, metadata: &Metadata) -> Result<(), TargetError> {
        let directory = self.shared.directories.get(id)?;
        let path = || self.shared.directories.path_of(id);
        apply(Inode::Open(directory.as_fd()), metadata, true, self.shared.context(&path)).map_err(|source| TargetError::System {
            action: "set the metadata of",
            path: path(),
            source,
        })?;
        self.shared.directories.settle(id);
        Ok(())
    }

    /// Removes what is in the directory and not wanted there, with everything below it. Goes on after errors, follows
    /// no symbolic link, and enters no other filesystem.
    pub fn remove_extra(&self, id: DirId, keep: impl Fn(&[u8]) -> bool) -> Result<Removal, TargetError> {
        let directory = self.shared.directories.get(id)?;
        Ok(remove::remove_extra(&directory, self.shared.directories.path_of(id), keep))
    }

    /// Metadata that could not be restored so far, once for each kind and reason.
    pub fn incomplete(&self) -> Vec<Incomplete> {
        self.shared.notes.list()
    }

    /// The path of an entry, for people.
    pub fn path_of(&self, parent: DirId, name: &[u8]) -> String {
        self.shared.directories.path_in(parent, name)
    }
}

/// Whether the directory was made; `false` if there was one.
fn make_or_find(parent: &Directory, name: &[u8]) -> io::Result<bool> {
    match mkdirat(parent, name, Mode::S_IRWXU) {
        Err(Errno::EEXIST) if stat_at(parent, name)?.kind == FileType::Directory => Ok(false),
        Err(Errno::EEXIST) => {
            unlinkat(parent, name, UnlinkatFlags::NoRemoveDir)?;
            mkdirat(parent, name, Mode::S_IRWXU)?;
            Ok(true)
        }
        made => Ok(made.map(|()| true)?),
    }
}

impl Shared {
    /// The directory in which `name` is to be used, if it is a name that stays there.
    fn enter(&self, parent: DirId, name: &[u8]) -> Result<Arc<Directory>, TargetError> {
        if !name::is_safe(name) {
            return Err(TargetError::UnsafeName { parent: self.directories.path_of(parent), name: name.escape_ascii().to_string() });
        }
        self.directories.get(parent)
    }

    fn system(&self, action: &'static str, parent: DirId, name: &[u8], source: impl Into<io::Error>) -> TargetError {
        TargetError::System { action, path: self.directories.path_in(parent, name), source: source.into() }
    }

    fn context<'a>(&'a self, path: &'a dyn Fn() -> String) -> Context<'a> {
        Context { owners: &self.owners, notes: &self.notes, numeric_owner: self.options.numeric_owner, path }
    }

    /// Gives the entry that for now stands under the name `at` the metadata of `name`.
    fn apply_named(
        &self,
        parent: DirId,
        directory: &Directory,
        at: &[u8],
        name: &[u8],
        metadata: &Metadata,
        exact: bool,
    ) -> Result<(), TargetError> {
        let path = || self.directories.path_in(parent, name);
        apply(Inode::Named(directory.as_fd(), at), metadata, exact, self.context(&path))
            .map_err(|source| self.system("set the metadata of", parent, name, source))
    }

    /// Makes something under a temporary name and moves it to where something else may stand.
    fn replace(
        &self,
        parent: DirId,
        directory: &Directory,
        name: &[u8],
        make: impl FnOnce(&[u8]) -> Result<(), TargetError>,
    ) -> Result<(), TargetError> {
        let temporary = name::temporary();
        let done = make(&temporary).and_then(|()| self.install(parent, directory, &temporary, name));
        if done.is_err() {
            // Removing is a courtesy; the error to report is the one that led here.
            let _ = unlinkat(directory, temporary.as_slice(), UnlinkatFlags::NoRemoveDir);
        }
        done
    }

    /// Moves what is complete to its name, over what stands there.
    fn install(&self, parent: DirId, directory: &Directory, temporary: &[u8], name: &[u8]) -> Result<(), TargetError> {
        let moved = match renameat(directory, temporary, directory, name) {
            Err(Errno::EISDIR | Errno::EEXIST | Errno::ENOTEMPTY) => {
                self.clear_directory(parent, directory, name)?;
                renameat(directory, temporary, directory, name)
            }
            moved => moved,
        };
        moved.map_err(|errno| self.system("put in place", parent, name, errno))
    }

    /// Removes the directory that stands where something else belongs.
    fn clear_directory(&self, parent: DirId, directory: &Directory, name: &[u8]) -> Result<(), TargetError> {
        let path = || self.directories.path_in(parent, name);
        match unlinkat(directory, name, UnlinkatFlags::RemoveDir) {
            Err(Errno::ENOTEMPTY | Errno::EEXIST) if self.options.replace_directories => {
                let removal = remove::remove_tree(directory, self.directories.path_of(parent), name);
                removal.failed.into_iter().next().map_or(Ok(()), Err)
            }
            Err(Errno::ENOTEMPTY | Errno::EEXIST) => Err(TargetError::DirectoryInTheWay { path: path() }),
            removed => removed.map_err(|errno| self.system("remove", parent, name, errno)),
        }
    }
}
