//! Records the calls made to a store, for tests of how much input and output a command may cost.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::store::{Folder, ObjectInfo, ObjectName, Packing, Put, Requests, StagedObject, Store, StoreError};

/// What was asked of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// [`Store::put_new`].
    Put,
    /// [`Store::stage`].
    Stage,
    /// [`StagedObject::commit`].
    Commit,
    /// [`Store::get`].
    Get,
    /// [`Store::get_range`].
    GetRange,
    /// [`Store::list`].
    List,
    /// [`Store::stat`].
    Stat,
    /// [`Store::delete`], and each object of [`Store::delete_many`].
    Delete,
    /// [`Store::unknown_folders`].
    UnknownFolders,
    /// [`Store::now`].
    Now,
}

/// One call that was made, successful or not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    /// What was asked.
    pub operation: Operation,
    /// The object's path or the folder's name; empty where the call has none.
    pub path: String,
    /// Bytes that were read or handed over to be written.
    pub bytes: u64,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.operation, self.path)
    }
}

/// Records every call and passes it on. Clones share one record.
#[derive(Clone)]
pub struct CountingStore {
    inner: Arc<dyn Store>,
    calls: Calls,
}

#[derive(Clone, Default)]
struct Calls(Arc<Mutex<Vec<Call>>>);

impl Calls {
    fn lock(&self) -> MutexGuard<'_, Vec<Call>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, operation: Operation, path: impl Into<String>, bytes: usize) {
        self.lock().push(Call { operation, path: path.into(), bytes: bytes as u64 });
    }
}

impl CountingStore {
    /// Records the calls to `inner`.
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner, calls: Calls::default() }
    }

    /// The calls so far, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().clone()
    }

    /// The calls so far, in order; the record begins anew.
    pub fn take(&self) -> Vec<Call> {
        std::mem::take(&mut self.calls.lock())
    }

    /// How often this was asked so far.
    pub fn count(&self, operation: Operation) -> usize {
        self.calls.lock().iter().filter(|call| call.operation == operation).count()
    }
}

impl Store for CountingStore {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn put_new(&self, name: &ObjectName, bytes: &[u8]) -> Result<Put, StoreError> {
        self.calls.record(Operation::Put, name.path(), bytes.len());
        self.inner.put_new(name, bytes)
    }

    fn stage(&self) -> Result<Box<dyn StagedObject>, StoreError> {
        self.calls.record(Operation::Stage, "", 0);
        Ok(Box::new(CountingStage { inner: self.inner.stage()?, calls: self.calls.clone(), written: 0 }))
    }

    fn get(&self, name: &ObjectName, limit: u64) -> Result<Vec<u8>, StoreError> {
        let result = self.inner.get(name, limit);
        self.calls.record(Operation::Get, name.path(), result.as_ref().map_or(0, Vec::len));
        result
    }

    fn get_range(&self, name: &ObjectName, offset: u64, length: usize, buffer: &mut Vec<u8>) -> Result<(), StoreError> {
        let result = self.inner.get_range(name, offset, length, buffer);
        self.calls.record(Operation::GetRange, name.path(), if result.is_ok() { length } else { 0 });
        result
    }

    fn list(&self, folder: Folder) -> Result<Vec<ObjectInfo>, StoreError> {
        self.calls.record(Operation::List, folder.as_str(), 0);
        self.inner.list(folder)
    }

    fn stat(&self, name: &ObjectName) -> Result<ObjectInfo, StoreError> {
        self.calls.record(Operation::Stat, name.path(), 0);
        self.inner.stat(name)
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        self.calls.record(Operation::Delete, name.path(), 0);
        self.inner.delete(name)
    }

    fn delete_many(&self, names: &[ObjectName]) -> Vec<Result<(), StoreError>> {
        for name in names {
            self.calls.record(Operation::Delete, name.path(), 0);
        }
        self.inner.delete_many(names)
    }

    fn unknown_folders(&self) -> Result<Vec<String>, StoreError> {
        self.calls.record(Operation::UnknownFolders, "", 0);
        self.inner.unknown_folders()
    }

    fn now(&self) -> Result<SystemTime, StoreError> {
        self.calls.record(Operation::Now, "", 0);
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

struct CountingStage {
    inner: Box<dyn StagedObject>,
    calls: Calls,
    written: usize,
}

impl StagedObject for CountingStage {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.written += bytes.len();
        self.inner.write(bytes)
    }

    fn commit(self: Box<Self>, name: &ObjectName) -> Result<Put, StoreError> {
        self.calls.record(Operation::Commit, name.path(), self.written);
        self.inner.commit(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    #[test]
    fn every_call_is_recorded_with_its_object_and_its_bytes() {
        let store = CountingStore::new(Arc::new(MemoryStore::new()));
        let name = ObjectName::new(Folder::Repo, "0").unwrap();
        let mut staged = store.stage().unwrap();
        staged.write(b"ab").unwrap();
        staged.write(b"c").unwrap();
        staged.commit(&name).unwrap();
        store.get_range(&name, 0, 2, &mut Vec::new()).unwrap();
        store.list(Folder::Packs).unwrap();
        let calls: Vec<_> = store.calls().iter().map(|call| format!("{call} {}", call.bytes)).collect();
        assert_eq!(calls, ["Stage  0", "Commit repo/0 3", "GetRange repo/0 2", "List packs 0"]);
        assert_eq!(store.count(Operation::List), 1);
        assert_eq!(store.take().len(), 4);
        assert!(store.calls().is_empty());
    }
}
