//! A store whose folders were listed once.

use std::collections::HashMap;
use std::io::Read;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::store::{Folder, ObjectInfo, ObjectName, Packing, Put, Requests, StagedObject, Store, StoreError};

/// Answers listings of some folders, and questions about objects in them, from one listing of them all, so that asking often
/// costs as much as asking once. What changes later does not show: whoever must know lists anew.
pub struct ListedStore {
    inner: Arc<dyn Store>,
    folders: HashMap<Folder, Vec<ObjectInfo>>,
}

impl ListedStore {
    /// Lists some folders of `inner`, in the order of their names.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn list(inner: Arc<dyn Store>, folders: &[Folder]) -> Result<Self, StoreError> {
        let mut listed: HashMap<Folder, Vec<ObjectInfo>> = folders.iter().map(|folder| (*folder, Vec::new())).collect();
        for info in inner.list_folders(folders)? {
            listed.entry(info.name.folder()).or_default().push(info);
        }
        Ok(Self { inner, folders: listed })
    }
}

impl Store for ListedStore {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn put_new(&self, name: &ObjectName, bytes: &[u8]) -> Result<Put, StoreError> {
        self.inner.put_new(name, bytes)
    }

    fn stage(&self) -> Result<Box<dyn StagedObject>, StoreError> {
        self.inner.stage()
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
        match self.folders.get(&folder) {
            Some(listed) => Ok(listed.clone()),
            None => self.inner.list(folder),
        }
    }

    /// What was not listed may have come since: the store is asked. It is asked for everything if its listings lag, as they then may
    /// show what is gone.
    fn stat(&self, name: &ObjectName) -> Result<ObjectInfo, StoreError> {
        let listed = self.folders.get(&name.folder()).filter(|_| self.listing_lag().is_zero());
        match listed.and_then(|listed| listed.iter().find(|info| info.name == *name)) {
            Some(info) => Ok(info.clone()),
            None => self.inner.stat(name),
        }
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
    use crate::store::MemoryStore;
    use crate::store::layer::{CountingStore, Operation};

    #[test]
    fn folders_are_listed_once_and_what_comes_later_is_asked_for() {
        let (old, new) = (ObjectName::new(Folder::Keys, "old").unwrap(), ObjectName::new(Folder::Keys, "new").unwrap());
        let counting = CountingStore::new(Arc::new(MemoryStore::new()));
        counting.put_new(&old, b"1").unwrap();
        let listed = ListedStore::list(Arc::new(counting.clone()), &[Folder::Snapshots, Folder::Keys]).unwrap();
        let asked: Vec<_> = counting.take().iter().filter(|call| call.operation == Operation::List).map(|call| call.path.clone()).collect();
        assert_eq!(asked, ["keys", "snapshots"], "in the order of their names");

        listed.put_new(&new, b"22").unwrap();
        counting.take();
        let names: Vec<_> = listed.list(Folder::Keys).unwrap().into_iter().map(|info| info.name).collect();
        assert_eq!(names, std::slice::from_ref(&old));
        assert!(listed.list(Folder::Snapshots).unwrap().is_empty());
        assert_eq!(listed.stat(&old).unwrap().size, 1);
        assert_eq!(counting.take(), []);
        assert_eq!(listed.stat(&new).unwrap().size, 2);
        assert_eq!(listed.list(Folder::Index).unwrap(), []);
        assert_eq!(counting.take().len(), 2);
    }
}
