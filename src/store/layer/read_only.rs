//! A store that is only read.

use std::io::Read;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::store::{Folder, ObjectInfo, ObjectName, Packing, Put, Requests, StagedObject, Store, StoreError, StoreErrorKind};

/// Passes reads on and refuses whatever would change the store, the clock's probe included.
#[derive(Clone)]
pub struct ReadOnlyStore {
    inner: Arc<dyn Store>,
}

impl ReadOnlyStore {
    /// Protects `inner`.
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner }
    }

    fn refuse<T>(&self, action: &'static str, object: impl std::fmt::Display) -> Result<T, StoreError> {
        let reason = std::io::Error::new(std::io::ErrorKind::PermissionDenied, "it was opened for reading only");
        Err(StoreError { source: Some(reason), ..StoreError::new(StoreErrorKind::Refused, action, object) })
    }
}

impl Store for ReadOnlyStore {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn put_new(&self, name: &ObjectName, _: &[u8]) -> Result<Put, StoreError> {
        self.refuse("store", name)
    }

    fn stage(&self) -> Result<Box<dyn StagedObject>, StoreError> {
        self.refuse("store a new object in", self.location())
    }

    fn get(&self, name: &ObjectName, limit: u64) -> Result<Vec<u8>, StoreError> {
        self.inner.get(name, limit)
    }

    fn get_range(&self, name: &ObjectName, offset: u64, length: usize, buffer: &mut Vec<u8>) -> Result<(), StoreError> {
        self.inner.get_range(name, offset, length, buffer)
    }

    fn stream<'a>(&'a self, name: &ObjectName, range: Range<u64>) -> Option<Box<dyn Read + Send + 'a>> {
        self.inner.stream(name, range)
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
        self.refuse("delete", name)
    }

    fn unknown_folders(&self) -> Result<Vec<String>, StoreError> {
        self.inner.unknown_folders()
    }

    fn now(&self) -> Result<SystemTime, StoreError> {
        self.refuse("read the clock of", self.location())
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
    use crate::store::MemoryStore;

    #[test]
    fn a_read_only_store_reads_and_refuses_every_change() {
        let inner = MemoryStore::new();
        let name = ObjectName::new(Folder::Repo, "0").unwrap();
        inner.put_new(&name, b"x").unwrap();
        let store = ReadOnlyStore::new(Arc::new(inner));
        assert_eq!(store.get(&name, 1).unwrap(), b"x");
        assert_eq!(store.list(Folder::Repo).unwrap().len(), 1);
        assert_eq!(store.put_new(&name, b"y").unwrap_err().kind, StoreErrorKind::Refused);
        assert_eq!(store.stage().err().map(|error| error.kind), Some(StoreErrorKind::Refused));
        assert_eq!(store.now().unwrap_err().kind, StoreErrorKind::Refused);
        let error = store.delete(&name).unwrap_err();
        assert!(error.to_string().contains("repo/0") && error.to_string().contains("reading only"), "{error}");
    }
}
