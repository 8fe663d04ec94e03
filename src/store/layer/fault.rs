//! A store that fails when and how a test wants.
//!
//! The changes that others can see, [`Store::put_new`], [`StagedObject::commit`] and [`Store::delete`], are counted from 1; what is
//! staged is not seen and does not count. A test runs its scenario once to learn how many [`FaultStore::changes`] there are, and then
//! once per change and [`Moment`] with a crash there.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::store::{Folder, ObjectInfo, ObjectName, Packing, Put, Requests, StagedObject, Store, StoreError, StoreErrorKind};

/// Whether a fault strikes before or after the change took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Nothing was changed.
    Before,
    /// It was changed, but the caller does not learn it.
    After,
}

/// How reads of an object are damaged. The object itself stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// This bit of the object is flipped, counted from its start; none if the object is shorter.
    FlipBit(u64),
    /// Only so many bytes are there.
    Truncate(u64),
    /// It is not there.
    Missing,
    /// The disk cannot read it.
    Unreadable,
}

/// Passes calls on to another store, except where a fault is set. Clones share the same faults.
#[derive(Clone)]
pub struct FaultStore {
    inner: Arc<dyn Store>,
    faults: Arc<Mutex<Faults>>,
}

#[derive(Default)]
struct Faults {
    changes: u64,
    fail: BTreeMap<u64, Moment>,
    kill: Option<(u64, Moment)>,
    killed: bool,
    room: Option<u64>,
    damage: BTreeMap<ObjectName, Damage>,
    locked: BTreeSet<Folder>,
}

impl FaultStore {
    /// Wraps `inner`, without faults.
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner, faults: Arc::default() }
    }

    /// How many visible changes were begun so far.
    pub fn changes(&self) -> u64 {
        self.faults().changes
    }

    /// Makes the `n`-th change from now, counted from 1, fail once with [`StoreErrorKind::Temporary`].
    pub fn fail_change(&self, n: u64, moment: Moment) {
        let mut faults = self.faults();
        let at = faults.changes + n;
        faults.fail.insert(at, moment);
    }

    /// Kills the caller at the `n`-th change from now, counted from 1: that call and all after it fail.
    pub fn kill_at_change(&self, n: u64, moment: Moment) {
        let mut faults = self.faults();
        faults.kill = Some((faults.changes + n, moment));
    }

    /// Whether the kill has struck.
    pub fn is_killed(&self) -> bool {
        self.faults().killed
    }

    /// Lets the disk be full after so many more bytes.
    pub fn full_after(&self, bytes: u64) {
        self.faults().room = Some(bytes);
    }

    /// Damages all reads of an object.
    pub fn damage(&self, name: ObjectName, damage: Damage) {
        self.faults().damage.insert(name, damage);
    }

    /// Refuses to delete anything in a folder, as a bucket with object lock does.
    pub fn lock(&self, folder: Folder) {
        self.faults().locked.insert(folder);
    }

    /// Takes all faults away, as a restart, a cleared disk and a repair would.
    pub fn heal(&self) {
        let mut faults = self.faults();
        *faults = Faults { changes: faults.changes, ..Faults::default() };
    }

    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn alive(&self, action: &'static str, object: &dyn std::fmt::Display) -> Result<(), StoreError> {
        if self.faults().killed { Err(killed(action, object)) } else { Ok(()) }
    }

    /// Makes one counted change, unless a fault strikes before it, and tells of it, unless one strikes after.
    fn change<T>(&self, action: &'static str, name: &ObjectName, change: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        let strike = self.faults().next(action, name)?;
        match strike {
            Some((Moment::Before, error)) => Err(error),
            Some((Moment::After, error)) => change().and(Err(error)),
            None => change(),
        }
    }

    fn take_room(&self, bytes: usize, object: &dyn std::fmt::Display) -> Result<(), StoreError> {
        let mut faults = self.faults();
        let Some(room) = faults.room else { return Ok(()) };
        let left = room.checked_sub(bytes as u64);
        faults.room = Some(left.unwrap_or(0));
        left.map(|_| ()).ok_or_else(|| StoreError::io("store", object, io::ErrorKind::StorageFull.into()))
    }

    /// The damage set for an object, or the error that it amounts to.
    fn damage_of(&self, action: &'static str, name: &ObjectName) -> Result<Option<Damage>, StoreError> {
        self.alive(action, name)?;
        match self.faults().damage.get(name).copied() {
            Some(Damage::Missing) => Err(StoreError::new(StoreErrorKind::NotFound, action, name)),
            Some(Damage::Unreadable) if action == READ => Err(StoreError::io(action, name, io::Error::other("injected read fault"))),
            damage => Ok(damage),
        }
    }

    fn damaged_info(&self, mut info: ObjectInfo) -> Option<ObjectInfo> {
        match self.faults().damage.get(&info.name) {
            Some(Damage::Missing) => return None,
            Some(Damage::Truncate(length)) => info.size = info.size.min(*length),
            _ => {}
        }
        Some(info)
    }
}

const READ: &str = "read";

impl Faults {
    /// Counts a change and says which fault strikes at it and when.
    fn next(&mut self, action: &'static str, name: &ObjectName) -> Result<Option<(Moment, StoreError)>, StoreError> {
        if self.killed {
            return Err(killed(action, name));
        }
        self.changes += 1;
        if let Some((at, moment)) = self.kill
            && at == self.changes
        {
            self.killed = true;
            return Ok(Some((moment, killed(action, name))));
        }
        Ok(self.fail.remove(&self.changes).map(|moment| (moment, failed(action, name))))
    }
}

fn killed(action: &'static str, object: impl std::fmt::Display) -> StoreError {
    StoreError::io(action, object, io::Error::other("injected crash: nothing works from here on"))
}

fn failed(action: &'static str, object: impl std::fmt::Display) -> StoreError {
    StoreError::io(action, object, io::Error::new(io::ErrorKind::TimedOut, "injected fault"))
}

/// Flips a bit of the object whose bytes from `offset` on are given.
fn flip(bytes: &mut [u8], offset: u64, bit: u64) {
    let at = (bit / 8).checked_sub(offset).and_then(|at| usize::try_from(at).ok());
    if let Some(byte) = at.and_then(|at| bytes.get_mut(at)) {
        *byte ^= 1 << (bit % 8);
    }
}

impl Store for FaultStore {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn put_new(&self, name: &ObjectName, bytes: &[u8]) -> Result<Put, StoreError> {
        self.change("store", name, || {
            self.take_room(bytes.len(), name)?;
            self.inner.put_new(name, bytes)
        })
    }

    fn stage(&self) -> Result<Box<dyn StagedObject>, StoreError> {
        self.alive("store a new object in", &self.location())?;
        Ok(Box::new(FaultStage { inner: self.inner.stage()?, store: self.clone() }))
    }

    fn get(&self, name: &ObjectName, limit: u64) -> Result<Vec<u8>, StoreError> {
        let damage = self.damage_of(READ, name)?;
        let mut bytes = self.inner.get(name, limit)?;
        match damage {
            Some(Damage::FlipBit(bit)) => flip(&mut bytes, 0, bit),
            Some(Damage::Truncate(length)) => bytes.truncate(usize::try_from(length).unwrap_or(usize::MAX)),
            _ => {}
        }
        Ok(bytes)
    }

    fn get_range(&self, name: &ObjectName, offset: u64, length: usize, buffer: &mut Vec<u8>) -> Result<(), StoreError> {
        let damage = self.damage_of(READ, name)?;
        if let Some(Damage::Truncate(end)) = damage
            && offset.saturating_add(length as u64) > end
        {
            buffer.clear();
            return Err(StoreError::new(StoreErrorKind::Truncated, READ, name));
        }
        self.inner.get_range(name, offset, length, buffer)?;
        if let Some(Damage::FlipBit(bit)) = damage {
            flip(buffer, offset, bit);
        }
        Ok(())
    }

    fn list(&self, folder: Folder) -> Result<Vec<ObjectInfo>, StoreError> {
        self.alive("list", &folder)?;
        Ok(self.inner.list(folder)?.into_iter().filter_map(|info| self.damaged_info(info)).collect())
    }

    fn stat(&self, name: &ObjectName) -> Result<ObjectInfo, StoreError> {
        self.alive("look up", name)?;
        let absent = || StoreError::new(StoreErrorKind::NotFound, "look up", name);
        self.damaged_info(self.inner.stat(name)?).ok_or_else(absent)
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        if self.faults().locked.contains(&name.folder()) {
            return Err(StoreError::io("delete", name, io::ErrorKind::PermissionDenied.into()));
        }
        self.change("delete", name, || self.inner.delete(name))
    }

    fn unknown_folders(&self) -> Result<Vec<String>, StoreError> {
        self.alive("list", &self.location())?;
        self.inner.unknown_folders()
    }

    fn now(&self) -> Result<SystemTime, StoreError> {
        self.alive("read the clock of", &self.location())?;
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

struct FaultStage {
    inner: Box<dyn StagedObject>,
    store: FaultStore,
}

impl StagedObject for FaultStage {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let location = self.store.location();
        self.store.alive("store a new object in", &location)?;
        self.store.take_room(bytes.len(), &location)?;
        self.inner.write(bytes)
    }

    fn commit(self: Box<Self>, name: &ObjectName) -> Result<Put, StoreError> {
        let Self { inner, store } = *self;
        store.change("store", name, || inner.commit(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    fn name(leaf: &str) -> ObjectName {
        ObjectName::new(Folder::Index, leaf).unwrap()
    }

    fn store() -> (MemoryStore, FaultStore) {
        let memory = MemoryStore::new();
        (memory.clone(), FaultStore::new(Arc::new(memory)))
    }

    #[test]
    fn a_failing_change_fails_once_and_has_its_effect_only_after_it() {
        let (memory, store) = store();
        store.fail_change(2, Moment::Before);
        store.fail_change(3, Moment::After);
        store.put_new(&name("a"), b"1").unwrap();
        assert_eq!(store.put_new(&name("b"), b"1").unwrap_err().kind, StoreErrorKind::Temporary);
        assert!(memory.stat(&name("b")).unwrap_err().is_not_found());
        assert_eq!(store.put_new(&name("b"), b"1").unwrap_err().kind, StoreErrorKind::Temporary);
        assert!(memory.stat(&name("b")).is_ok());
        assert_eq!(store.put_new(&name("b"), b"1").unwrap(), Put::Exists);
        assert_eq!(store.changes(), 4);
    }

    #[test]
    fn nothing_works_after_the_kill_until_it_is_healed() {
        let (memory, store) = store();
        let mut staged = store.stage().unwrap();
        store.put_new(&name("a"), b"1").unwrap();
        store.kill_at_change(1, Moment::After);
        assert!(store.delete(&name("a")).is_err());
        assert!(store.is_killed());
        assert!(memory.list(Folder::Index).unwrap().is_empty(), "killed after the effect");
        assert!(staged.write(b"x").is_err() && staged.commit(&name("c")).is_err());
        assert!(store.put_new(&name("b"), b"1").is_err() && store.stage().is_err());
        assert!(store.list(Folder::Index).is_err() && store.now().is_err() && store.get(&name("a"), 1).is_err());
        store.heal();
        assert!(store.list(Folder::Index).unwrap().is_empty());
    }

    #[test]
    fn a_full_disk_refuses_what_does_not_fit() {
        let (_, store) = store();
        store.full_after(10);
        store.put_new(&name("a"), &[0; 6]).unwrap();
        let mut staged = store.stage().unwrap();
        staged.write(&[0; 4]).unwrap();
        assert_eq!(staged.write(&[0; 1]).unwrap_err().kind, StoreErrorKind::Full);
        assert_eq!(store.put_new(&name("b"), &[0; 1]).unwrap_err().kind, StoreErrorKind::Full);
    }

    #[test]
    fn damaged_objects_read_as_damaged() {
        let (_, store) = store();
        for leaf in ["a", "b", "c", "d"] {
            store.put_new(&name(leaf), &[0; 4]).unwrap();
        }
        store.damage(name("a"), Damage::FlipBit(17));
        store.damage(name("b"), Damage::Truncate(3));
        store.damage(name("c"), Damage::Missing);
        store.damage(name("d"), Damage::Unreadable);
        assert_eq!(store.get(&name("a"), 4).unwrap(), [0, 0, 2, 0]);
        let mut buffer = Vec::new();
        store.get_range(&name("a"), 2, 2, &mut buffer).unwrap();
        assert_eq!(buffer, [2, 0]);
        assert_eq!(store.get(&name("b"), 4).unwrap().len(), 3);
        assert_eq!(store.get_range(&name("b"), 2, 2, &mut buffer).unwrap_err().kind, StoreErrorKind::Truncated);
        assert_eq!(store.stat(&name("b")).unwrap().size, 3);
        assert!(store.get(&name("c"), 4).unwrap_err().is_not_found() && store.stat(&name("c")).unwrap_err().is_not_found());
        assert_eq!(store.get(&name("d"), 4).unwrap_err().kind, StoreErrorKind::Other);
        assert_eq!(store.list(Folder::Index).unwrap().len(), 3);
    }
}
