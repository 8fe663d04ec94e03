//! A store that is written to and read from no faster than its line allows.
//!
//! For stores of this machine. Those on servers keep the pace at the socket, where bytes really leave.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::store::line::{Line, Paces};
use crate::store::{Folder, ObjectInfo, ObjectName, Packing, Put, Requests, StagedObject, Store, StoreError, StoreErrorKind};

/// Most bytes that are moved at once.
const MOST: usize = 1 << 20;

/// Passes everything on, at a pace.
#[derive(Clone)]
pub struct PacedStore {
    inner: Arc<dyn Store>,
    line: Line,
}

impl PacedStore {
    /// Reads and writes `inner` at the paces of `line`, which others may share.
    pub fn new(inner: Arc<dyn Store>, line: Line) -> Self {
        Self { inner, line }
    }
}

struct Paced {
    inner: Box<dyn StagedObject>,
    up: Paces,
}

impl StagedObject for Paced {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        for stretch in bytes.chunks(self.up.stretch(MOST)) {
            self.up.wait(stretch.len());
            self.inner.write(stretch)?;
        }
        Ok(())
    }

    fn commit(self: Box<Self>, name: &ObjectName) -> Result<Put, StoreError> {
        self.inner.commit(name)
    }
}

impl Store for PacedStore {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn put_new(&self, name: &ObjectName, bytes: &[u8]) -> Result<Put, StoreError> {
        let stretch = self.line.up.stretch(MOST);
        if bytes.len() <= stretch {
            self.line.up.wait(bytes.len());
            return self.inner.put_new(name, bytes);
        }
        let mut staged = self.stage()?;
        staged.write(bytes)?;
        staged.commit(name)
    }

    fn stage(&self) -> Result<Box<dyn StagedObject>, StoreError> {
        Ok(Box::new(Paced { inner: self.inner.stage()?, up: self.line.up.clone() }))
    }

    fn get(&self, name: &ObjectName, limit: u64) -> Result<Vec<u8>, StoreError> {
        if self.line.down.is_empty() {
            return self.inner.get(name, limit);
        }
        let size = self.inner.stat(name)?.size;
        if size > limit {
            return Err(StoreError::new(StoreErrorKind::TooLarge, "read", name));
        }
        let mut bytes = Vec::new();
        self.get_range(name, 0, usize::try_from(size).unwrap_or(usize::MAX), &mut bytes)?;
        Ok(bytes)
    }

    fn get_range(&self, name: &ObjectName, offset: u64, length: usize, buffer: &mut Vec<u8>) -> Result<(), StoreError> {
        let most = self.line.down.stretch(MOST);
        if self.line.down.is_empty() || length <= most {
            self.line.down.wait(length);
            return self.inner.get_range(name, offset, length, buffer);
        }
        buffer.clear();
        let mut stretch = Vec::new();
        while buffer.len() < length {
            let wanted = most.min(length - buffer.len());
            self.line.down.wait(wanted);
            let at = offset.checked_add(buffer.len() as u64).ok_or_else(|| StoreError::new(StoreErrorKind::Truncated, "read", name))?;
            self.inner.get_range(name, at, wanted, &mut stretch)?;
            buffer.extend_from_slice(&stretch);
        }
        Ok(())
    }

    fn list(&self, folder: Folder) -> Result<Vec<ObjectInfo>, StoreError> {
        self.inner.list(folder)
    }

    fn list_folders(&self, folders: &[Folder]) -> Result<Vec<ObjectInfo>, StoreError> {
        self.inner.list_folders(folders)
    }

    fn stat(&self, name: &ObjectName) -> Result<ObjectInfo, StoreError> {
        self.inner.stat(name)
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        self.inner.delete(name)
    }

    fn delete_many(&self, names: &[ObjectName]) -> Vec<Result<(), StoreError>> {
        self.inner.delete_many(names)
    }

    fn unknown_folders(&self) -> Result<Vec<String>, StoreError> {
        self.inner.unknown_folders()
    }

    fn now(&self) -> Result<SystemTime, StoreError> {
        self.inner.now()
    }

    fn listing_lag(&self) -> Duration {
        self.inner.listing_lag()
    }

    fn packing(&self) -> Packing {
        self.inner.packing()
    }

    fn may_read_packs(&self) -> Result<(), StoreError> {
        self.inner.may_read_packs()
    }

    fn requests(&self) -> Option<Requests> {
        self.inner.requests()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::pace::Pace;
    use crate::store::MemoryStore;
    use crate::store::layer::{CountingStore, Operation};

    /// A store whose stretches are of 100,000 bytes, and a record of what reaches the one below.
    fn paced() -> (PacedStore, CountingStore) {
        let below = CountingStore::new(Arc::new(MemoryStore::new()));
        let pace = || Paces::new([Arc::new(Pace::new(1_000_000))]);
        (PacedStore::new(Arc::new(below.clone()), Line { up: pace(), down: pace() }), below)
    }

    #[test]
    fn what_is_large_is_moved_in_stretches_and_arrives_whole() {
        let (store, below) = paced();
        let name = ObjectName::new(Folder::Index, "abc").unwrap();
        let bytes: Vec<u8> = (0..250_000_u32).map(|number| (number >> 3) as u8).collect();
        assert_eq!(store.put_new(&name, &bytes).unwrap(), Put::Created);
        assert_eq!(store.put_new(&name, &bytes).unwrap(), Put::Exists);
        below.take();
        assert_eq!(store.get(&name, 250_000).unwrap(), bytes);
        let mut part = Vec::new();
        store.get_range(&name, 1000, 120_000, &mut part).unwrap();
        assert_eq!(part, bytes[1000..121_000]);
        let moved: Vec<u64> = below.take().iter().filter(|call| call.operation == Operation::GetRange).map(|call| call.bytes).collect();
        assert_eq!(moved, [100_000, 100_000, 50_000, 100_000, 20_000]);
        assert_eq!(store.get(&name, 249_999).unwrap_err().kind, StoreErrorKind::TooLarge);
        assert_eq!(store.get_range(&name, 0, 250_001, &mut part).unwrap_err().kind, StoreErrorKind::Truncated);
        assert_eq!(store.get_range(&name, u64::MAX - 5, 200_000, &mut part).unwrap_err().kind, StoreErrorKind::Truncated);
    }
}
