//! A store of which a host keeps copies of small objects.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Read};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::model::id::hex;
use crate::store::{Folder, ObjectInfo, ObjectName, Packing, Put, Requests, StagedObject, Store, StoreError};

/// Folders of small objects that every run reads and that are named by the hash of their bytes, so that a copy can prove itself.
const KEPT: [Folder; 5] = [Folder::Snapshots, Folder::Forgotten, Folder::Checkpoints, Folder::Condemned, Folder::Refs];

/// Keeps copies of what it reads and writes in a directory, and reads those instead of the store. It is a cache: a copy that
/// is missing or damaged is read from the store, and one that cannot be written is not kept. Those of objects that are gone go with
/// the next listing. Nothing for whoever checks what the store has.
pub struct KeptStore {
    inner: Arc<dyn Store>,
    copies: PathBuf,
}

impl KeptStore {
    /// Keeps copies of small objects of `inner` in the directory `copies`.
    pub fn new(inner: Arc<dyn Store>, copies: PathBuf) -> Self {
        Self { inner, copies }
    }

    /// Drops copies of what a listing of a folder does not show.
    fn drop_others(&self, folder: Folder, listed: &[ObjectInfo]) {
        let Ok(copies) = fs::read_dir(self.copies.join(folder.as_str())) else { return };
        let there: HashSet<&str> = listed.iter().filter(|info| info.name.folder() == folder).map(|info| info.name.leaf()).collect();
        for copy in copies.flatten() {
            if !copy.file_name().to_str().is_some_and(|leaf| there.contains(leaf)) {
                let _ = fs::remove_file(copy.path());
            }
        }
    }

    fn path_of(&self, name: &ObjectName) -> PathBuf {
        self.copies.join(name.path())
    }

    fn copy_of(&self, name: &ObjectName, limit: u64) -> Option<Vec<u8>> {
        let bytes = is_kept(name).then(|| fs::read(self.path_of(name)).ok())??;
        (is_named(&bytes, name) && bytes.len() as u64 <= limit).then_some(bytes)
    }

    /// A copy that is cut short by a crash does not prove itself, so nothing needs to be synced.
    fn keep(&self, name: &ObjectName, bytes: &[u8]) {
        if !is_kept(name) || !is_named(bytes, name) {
            return;
        }
        let copy = self.path_of(name);
        let write = || match fs::write(&copy, bytes) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(self.copies.join(name.folder().as_str())).and_then(|()| fs::write(&copy, bytes))
            }
            result => result,
        };
        if let Err(error) = write() {
            tracing::debug!("{}: no copy of {name} is kept: {error}", copy.display());
        }
    }
}

fn is_kept(name: &ObjectName) -> bool {
    KEPT.contains(&name.folder())
}

fn is_named(bytes: &[u8], name: &ObjectName) -> bool {
    hex(blake3::hash(bytes).as_bytes()) == name.leaf()
}

impl Store for KeptStore {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn put_new(&self, name: &ObjectName, bytes: &[u8]) -> Result<Put, StoreError> {
        let put = self.inner.put_new(name, bytes)?;
        self.keep(name, bytes);
        Ok(put)
    }

    fn stage(&self) -> Result<Box<dyn StagedObject>, StoreError> {
        self.inner.stage()
    }

    fn get(&self, name: &ObjectName, limit: u64) -> Result<Vec<u8>, StoreError> {
        if let Some(bytes) = self.copy_of(name, limit) {
            return Ok(bytes);
        }
        let bytes = self.inner.get(name, limit)?;
        self.keep(name, &bytes);
        Ok(bytes)
    }

    fn get_range(&self, name: &ObjectName, offset: u64, length: usize, buffer: &mut Vec<u8>) -> Result<(), StoreError> {
        self.inner.get_range(name, offset, length, buffer)
    }

    fn stream<'a>(&'a self, name: &ObjectName, range: Range<u64>) -> Option<Box<dyn Read + Send + 'a>> {
        self.inner.stream(name, range)
    }

    fn list(&self, folder: Folder) -> Result<Vec<ObjectInfo>, StoreError> {
        self.list_folders(&[folder])
    }

    fn list_folders(&self, folders: &[Folder]) -> Result<Vec<ObjectInfo>, StoreError> {
        let listed = self.inner.list_folders(folders)?;
        for folder in folders.iter().filter(|folder| KEPT.contains(folder)) {
            self.drop_others(*folder, &listed);
        }
        Ok(listed)
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
    use crate::store::layer::{CountingStore, Operation};
    use crate::store::{MemoryStore, StoreErrorKind};

    fn name_of(folder: Folder, bytes: &[u8]) -> ObjectName {
        ObjectName::of_id(folder, blake3::hash(bytes).as_bytes())
    }

    #[test]
    fn an_object_is_fetched_once_and_again_when_its_copy_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let counting = CountingStore::new(Arc::new(MemoryStore::new()));
        let kept = KeptStore::new(Arc::new(counting.clone()), folder.path().join("copies"));
        let (written, found) = (name_of(Folder::Snapshots, b"written"), name_of(Folder::Refs, b"found"));
        kept.put_new(&written, b"written").unwrap();
        counting.put_new(&found, b"found").unwrap();
        for _ in 0..2 {
            assert_eq!(kept.get(&written, 100).unwrap(), b"written");
            assert_eq!(kept.get(&found, 100).unwrap(), b"found");
        }
        assert_eq!(counting.count(Operation::Get), 1);
        fs::write(folder.path().join("copies").join(found.path()), b"fou").unwrap();
        assert_eq!(kept.get(&found, 100).unwrap(), b"found");
        assert_eq!(counting.count(Operation::Get), 2);
        assert_eq!(kept.get(&found, 2).unwrap_err().kind, StoreErrorKind::TooLarge);
    }

    #[test]
    fn what_its_name_does_not_prove_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let memory = Arc::new(MemoryStore::new());
        let kept = KeptStore::new(Arc::clone(&memory) as Arc<dyn Store>, folder.path().to_owned());
        let (statement, forged) = (ObjectName::new(Folder::Repo, "0").unwrap(), name_of(Folder::Snapshots, b"true"));
        for name in [&statement, &forged] {
            memory.put_new(name, b"forged").unwrap();
            assert_eq!(kept.get(name, 100).unwrap(), b"forged");
            memory.delete(name).unwrap();
            assert!(kept.get(name, 100).unwrap_err().is_not_found());
        }
    }

    #[test]
    fn copies_of_what_is_gone_are_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let kept = KeptStore::new(Arc::new(MemoryStore::new()), folder.path().to_owned());
        for bytes in [b"a", b"b"] {
            kept.put_new(&name_of(Folder::Snapshots, bytes), bytes).unwrap();
        }
        kept.delete(&name_of(Folder::Snapshots, b"a")).unwrap();
        kept.list_folders(&[Folder::Repo, Folder::Snapshots]).unwrap();
        let left: Vec<_> = fs::read_dir(folder.path().join("snapshots")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, [name_of(Folder::Snapshots, b"b").leaf()]);
    }
}
