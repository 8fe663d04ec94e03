//! A store that takes everything and keeps nothing: what a dry run writes to.

use std::time::SystemTime;

use crate::store::{Folder, ObjectInfo, ObjectName, Put, StagedObject, Store, StoreError, StoreErrorKind};

/// Accepts puts, holds nothing.
#[derive(Debug)]
pub struct DiscardStore {
    location: String,
}

impl DiscardStore {
    /// A store that stands for `location` in messages.
    pub fn new(location: String) -> Self {
        Self { location }
    }

    fn absent<T>(name: &ObjectName) -> Result<T, StoreError> {
        Err(StoreError::new(StoreErrorKind::NotFound, "read", name))
    }
}

struct Discarded;

impl StagedObject for Discarded {
    fn write(&mut self, _: &[u8]) -> Result<(), StoreError> {
        Ok(())
    }

    fn commit(self: Box<Self>, _: &ObjectName) -> Result<Put, StoreError> {
        Ok(Put::Created)
    }
}

impl Store for DiscardStore {
    fn location(&self) -> String {
        self.location.clone()
    }

    fn put_new(&self, _: &ObjectName, _: &[u8]) -> Result<Put, StoreError> {
        Ok(Put::Created)
    }

    fn stage(&self) -> Result<Box<dyn StagedObject>, StoreError> {
        Ok(Box::new(Discarded))
    }

    fn get(&self, name: &ObjectName, _: u64) -> Result<Vec<u8>, StoreError> {
        Self::absent(name)
    }

    fn get_range(&self, name: &ObjectName, _: u64, _: usize, _: &mut Vec<u8>) -> Result<(), StoreError> {
        Self::absent(name)
    }

    fn list(&self, _: Folder) -> Result<Vec<ObjectInfo>, StoreError> {
        Ok(Vec::new())
    }

    fn stat(&self, name: &ObjectName) -> Result<ObjectInfo, StoreError> {
        Self::absent(name)
    }

    fn delete(&self, _: &ObjectName) -> Result<(), StoreError> {
        Ok(())
    }

    fn unknown_folders(&self) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }

    fn now(&self) -> Result<SystemTime, StoreError> {
        Ok(SystemTime::now())
    }
}
