//! The way through a snapshot's trees: which entries are wanted, and the directories on the way to them, made when the
//! first entry in them is.

use std::collections::HashSet;

use super::target::{DirId, Target, TargetError};
use crate::model::entry::{Entry, Metadata};
use crate::source::exclude::{Selection, Verdict};

/// A directory of the snapshot that the walk is in.
struct Open {
    name: Vec<u8>,
    metadata: Metadata,
    verdict: Verdict,
    id: Option<DirId>,
    /// Whether all of it was backed up; directories on the way to a path argument hold only what leads there.
    whole: bool,
    /// Names in the snapshot, where what is not among them is to be removed.
    names: Option<HashSet<Vec<u8>>>,
}

/// A directory that is to get its metadata when all content is written.
pub struct Finished {
    /// The directory.
    pub id: DirId,
    /// Its metadata; absent if it is only on the way to something wanted and was there before.
    pub metadata: Option<Metadata>,
    /// What to keep in it, if the rest is to be removed.
    pub keep: Option<HashSet<Vec<u8>>>,
}

/// Where the walk is.
pub struct Position<'a> {
    selection: &'a Selection,
    delete: bool,
    /// Absolute paths that were backed up.
    sources: Vec<Vec<u8>>,
    stack: Vec<Open>,
    /// Left directories, deepest first.
    pub finished: Vec<Finished>,
}

impl<'a> Position<'a> {
    /// At the root of a snapshot of `sources`. With `delete`, what the snapshot does not have is removed in and below these, never
    /// beside them.
    pub fn new(selection: &'a Selection, delete: bool, sources: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Self { selection, delete, sources: sources.into_iter().collect(), stack: Vec::new(), finished: Vec::new() }
    }

    fn verdict(&self) -> Verdict {
        self.stack.last().map_or_else(|| self.selection.start(), |open| open.verdict)
    }

    /// Whether an entry of the current directory is wanted.
    pub fn judge(&mut self, path: &[u8], entry: &Entry, is_dir: bool) -> Verdict {
        if let Some(names) = self.stack.last_mut().and_then(|open| open.names.as_mut()) {
            names.insert(entry.name.clone());
        }
        self.selection.judge(self.verdict(), path, &entry.name, is_dir)
    }

    /// Enters a directory.
    pub fn enter(&mut self, entry: Entry, verdict: Verdict) {
        let whole = self.stack.last().is_some_and(|open| open.whole) || self.is_source(&entry.name);
        let names = (self.delete && whole && verdict == Verdict::Yes).then(HashSet::new);
        self.stack.push(Open { name: entry.name, metadata: entry.metadata, verdict, id: None, whole, names });
    }

    /// Whether the directory of this name in the current one is a path argument; `/` makes all of them so.
    fn is_source(&self, name: &[u8]) -> bool {
        let here = self.stack.iter().map(|open| open.name.as_slice()).chain([name]);
        let path: Vec<u8> = here.flat_map(|name| std::iter::once(&b'/').chain(name)).copied().collect();
        self.sources.iter().any(|source| *source == path || source == b"/")
    }

    /// The names that stay in the current directory, if all others are to be removed. Complete when it is left.
    pub fn keep(&self) -> Option<&HashSet<Vec<u8>>> {
        self.stack.last().and_then(|open| open.names.as_ref())
    }

    /// A page of the current directory is lost: nothing in it may be removed.
    pub fn keep_all(&mut self) {
        if let Some(open) = self.stack.last_mut() {
            open.names = None;
        }
    }

    /// Leaves the current directory. A wanted one is made even if it is empty.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn leave(&mut self, target: Option<&Target>) -> Result<(), TargetError> {
        let wanted = self.stack.last().is_some_and(|open| open.verdict == Verdict::Yes);
        let made = match target {
            Some(target) if wanted => self.directory(target).map(Some),
            _ => Ok(None),
        };
        if let Some(open) = self.stack.pop()
            && let (Some(id), Some(target)) = (open.id, target)
        {
            let metadata = (wanted || target.is_fresh(id)).then_some(open.metadata);
            self.finished.push(Finished { id, metadata, keep: open.names });
        }
        made.map(drop)
    }

    /// The current directory in the target; made, with those above it, if it is not there.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn directory(&mut self, target: &Target) -> Result<DirId, TargetError> {
        let mut parent = DirId::ROOT;
        for open in &mut self.stack {
            parent = match open.id {
                Some(id) => id,
                None => *open.id.insert(target.make_dir(parent, &open.name)?),
            };
        }
        Ok(parent)
    }
}
