//! Inodes of databases: what was seen of them, and whose turn it is. A process loses all its locks on a file when it closes any descriptor of
//! it (fcntl(2), `F_SETLK`), so while one thread copies a database, none may open and close it, by whatever name.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Device and inode number.
pub type Inode = (u64, u64);

/// The inodes that a run has met.
#[derive(Debug, Default)]
pub(super) struct Inodes {
    /// Whether there is a database; then its file stays open until the run has ended.
    seen: Mutex<HashMap<Inode, Option<File>>>,
    copied: Mutex<HashSet<Inode>>,
    free: Condvar,
}

impl Inodes {
    /// Whether there is a database in an inode; `look` opens it, once, and says so.
    pub(super) fn is_database(&self, inode: Inode, look: impl FnOnce() -> Option<File>) -> bool {
        lock(&self.seen).entry(inode).or_insert_with(look).is_some()
    }

    /// Waits until nobody else copies what is in an inode.
    pub(super) fn turn(&self, inode: Inode) -> Turn<'_> {
        let mut copied = lock(&self.copied);
        while !copied.insert(inode) {
            copied = self.free.wait(copied).unwrap_or_else(PoisonError::into_inner);
        }
        Turn { inodes: self, inode }
    }
}

/// The right to copy what is in an inode, until it is dropped.
#[derive(Debug)]
pub struct Turn<'a> {
    inodes: &'a Inodes,
    inode: Inode,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        lock(&self.inodes.copied).remove(&self.inode);
        self.inodes.free.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
