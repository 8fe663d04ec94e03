//! An object under construction: a local file until its name is known.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::{Condvar, Mutex, PoisonError};

use opendal::Buffer;
use tempfile::SpooledTempFile;

use super::ObjectStore;
use crate::store::{ObjectName, Put, StagedObject, StoreError};

/// What is kept in memory before a file is made.
const IN_MEMORY: usize = 1 << 20;
/// Where large temporary files belong: `/tmp` is often memory.
const FOLDER: &str = "/var/tmp";

/// Bytes of bodies in memory while they are sent, at most; one larger than this goes alone.
pub(super) const BODIES: u64 = 96 << 20;

/// How much memory the bodies on their way have.
#[derive(Default)]
pub(super) struct Bodies {
    taken: Mutex<u64>,
    freed: Condvar,
}

/// Memory for a body, given back when dropped.
struct Share<'a> {
    bodies: &'a Bodies,
    size: u64,
}

impl Bodies {
    /// Waits until there is room for a body of so many bytes.
    fn take(&self, size: u64) -> Share<'_> {
        let size = size.min(BODIES);
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = self.freed.wait_while(taken, |taken| *taken + size > BODIES).unwrap_or_else(PoisonError::into_inner);
        *taken += size;
        Share { bodies: self, size }
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        *self.bodies.taken.lock().unwrap_or_else(PoisonError::into_inner) -= self.size;
        self.bodies.freed.notify_all();
    }
}

/// What will be an object. Whoever finds the file finds sealed bytes, and no name leads to it.
pub(super) struct Staged {
    store: ObjectStore,
    spool: SpooledTempFile,
}

impl Staged {
    /// An empty one.
    pub(super) fn new(store: ObjectStore) -> Self {
        let spool = match Path::new(FOLDER).is_dir() {
            true => SpooledTempFile::new_in(IN_MEMORY, FOLDER),
            false => SpooledTempFile::new(IN_MEMORY),
        };
        Self { store, spool }
    }

    fn size(&mut self) -> std::io::Result<u64> {
        self.spool.stream_position()
    }

    fn read_back(&mut self, size: u64) -> std::io::Result<Vec<u8>> {
        self.spool.seek(SeekFrom::Start(0))?;
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        self.spool.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

impl StagedObject for Staged {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.spool.write_all(bytes).map_err(|error| StoreError::io("write a temporary file in", FOLDER, error))
    }

    fn commit(mut self: Box<Self>, name: &ObjectName) -> Result<Put, StoreError> {
        let failed = |error| StoreError::io("read a temporary file in", FOLDER, error);
        let store = self.store.clone();
        let size = self.size().map_err(failed)?;
        let _share = store.0.bodies.take(size);
        let bytes = self.read_back(size).map_err(failed)?;
        drop(self);
        store.put(name, Buffer::from(bytes))
    }
}
