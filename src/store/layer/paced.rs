//! A store to which no more than so many bytes a second are written.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::model::pace::Pace;
use crate::store::{Folder, ObjectInfo, ObjectName, Packing, Put, Requests, StagedObject, Store, StoreError};

/// Passes everything on, writes at a pace.
#[derive(Clone)]
pub struct PacedStore {
    inner: Arc<dyn Store>,
    pace: Arc<Pace>,
}

impl PacedStore {
    /// Writes to `inner` at `pace`, which others may share.
    pub fn new(inner: Arc<dyn Store>, pace: Arc<Pace>) -> Self {
        Self { inner, pace }
    }
}

struct Paced {
    inner: Box<dyn StagedObject>,
    pace: Arc<Pace>,
}

impl StagedObject for Paced {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.pace.wait(bytes.len() as u64, &|| true);
        self.inner.write(bytes)
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
        self.pace.wait(bytes.len() as u64, &|| true);
        self.inner.put_new(name, bytes)
    }

    fn stage(&self) -> Result<Box<dyn StagedObject>, StoreError> {
        Ok(Box::new(Paced { inner: self.inner.stage()?, pace: Arc::clone(&self.pace) }))
    }

    fn get(&self, name: &ObjectName, limit: u64) -> Result<Vec<u8>, StoreError> {
        self.inner.get(name, limit)
    }

    fn get_range(&self, name: &ObjectName, offset: u64, length: usize, buffer: &mut Vec<u8>) -> Result<(), StoreError> {
        self.inner.get_range(name, offset, length, buffer)
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

    fn requests(&self) -> Option<Requests> {
        self.inner.requests()
    }
}
