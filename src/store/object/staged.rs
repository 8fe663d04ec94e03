//! An object under construction: a local file until its name is known.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use opendal::Buffer;
use tempfile::SpooledTempFile;

use super::ObjectStore;
use crate::store::{ObjectName, Put, StagedObject, StoreError};

/// What is kept in memory before a file is made.
const IN_MEMORY: usize = 1 << 20;
/// Where large temporary files belong: `/tmp` is often memory.
const FOLDER: &str = "/var/tmp";

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

    fn read_back(&mut self) -> std::io::Result<Vec<u8>> {
        let size = self.spool.stream_position()?;
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
        let bytes = self.read_back().map_err(|error| StoreError::io("read a temporary file in", FOLDER, error))?;
        let Self { store, spool } = *self;
        drop(spool);
        store.put(name, Buffer::from(bytes))
    }
}
