//! A store in memory, for tests: the same contract as every other, a clock that the test moves, and, if asked for, listings
//! that lag behind as those of some object stores do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Folder, ObjectInfo, ObjectName, Packing, Put, StagedObject, Store, StoreError, StoreErrorKind};

/// Where the clock of a new store stands: the first of January 2026, 00:00 UTC.
const FIRST_MOMENT: Duration = Duration::from_secs(1_767_225_600);

/// A store in memory. Clones share the same objects and the same clock.
#[derive(Clone)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
    lag: Duration,
    packing: Packing,
}

struct State {
    objects: BTreeMap<ObjectName, Object>,
    /// Objects deleted less than the lag ago, and when.
    ghosts: Vec<(ObjectInfo, SystemTime)>,
    unknown_folders: BTreeSet<String>,
    clock: SystemTime,
    random: u64,
}

#[derive(Clone)]
struct Object {
    bytes: Arc<[u8]>,
    stored: SystemTime,
}

impl Object {
    fn info(&self, name: &ObjectName) -> ObjectInfo {
        ObjectInfo { name: name.clone(), size: self.bytes.len() as u64, stored: self.stored }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty store whose listings are always true. Its clock stands still until the test moves it.
    pub fn new() -> Self {
        Self::with_lag(Duration::ZERO, 0)
    }

    /// An empty store whose listings may or may not show what was put or deleted less than `lag` ago; `seed` decides.
    pub fn with_lag(lag: Duration, seed: u64) -> Self {
        let state = State {
            objects: BTreeMap::new(),
            ghosts: Vec::new(),
            unknown_folders: BTreeSet::new(),
            clock: UNIX_EPOCH + FIRST_MOMENT,
            random: seed,
        };
        Self { state: Arc::new(Mutex::new(state)), lag, packing: Packing::default() }
    }

    /// An empty store that wants other packs.
    pub fn with_packing(packing: Packing) -> Self {
        Self { packing, ..Self::new() }
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.state().clock += by;
    }

    /// Sets the clock, forward or back.
    pub fn set_now(&self, now: SystemTime) {
        self.state().clock = now;
    }

    /// Adds a top-level folder as a later version may have.
    pub fn add_unknown_folder(&self, name: impl Into<String>) {
        self.state().unknown_folders.insert(name.into());
    }

    /// Changes the bytes of an object, as a failing disk or a dishonest store may. Its time stays; an absent object is made.
    pub fn tamper(&self, name: &ObjectName, bytes: impl Into<Vec<u8>>) {
        let mut state = self.state();
        let stored = state.objects.get(name).map_or(state.clock, |object| object.stored);
        state.objects.insert(name.clone(), Object { bytes: bytes.into().into(), stored });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn object(&self, action: &'static str, name: &ObjectName) -> Result<Object, StoreError> {
        self.state().objects.get(name).cloned().ok_or_else(|| StoreError::new(StoreErrorKind::NotFound, action, name))
    }

    fn insert(&self, name: &ObjectName, bytes: Vec<u8>) -> Put {
        let mut state = self.state();
        if state.objects.contains_key(name) {
            return Put::Exists;
        }
        let object = Object { bytes: bytes.into(), stored: state.clock };
        state.objects.insert(name.clone(), object);
        Put::Created
    }
}

impl State {
    /// Whether a listing shows a change made at that time; where it need not, at random.
    fn is_seen(&mut self, changed: SystemTime, lag: Duration) -> bool {
        self.is_settled(changed, lag) || self.toss()
    }

    fn is_settled(&self, changed: SystemTime, lag: Duration) -> bool {
        lag.is_zero() || self.clock.duration_since(changed).is_ok_and(|age| age >= lag)
    }

    /// The next bit of the generator SplitMix64.
    fn toss(&mut self) -> bool {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.random;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) & 1 == 1
    }

    /// Deleted objects of a folder that a lagging listing still shows.
    fn seen_ghosts(&mut self, folder: Folder, lag: Duration) -> Vec<ObjectInfo> {
        let mut ghosts = std::mem::take(&mut self.ghosts);
        ghosts.retain(|(_, deleted)| !self.is_settled(*deleted, lag));
        let mut seen = Vec::new();
        for (info, deleted) in &ghosts {
            if info.name.folder() == folder && !self.objects.contains_key(&info.name) && !self.is_seen(*deleted, lag) {
                seen.push(info.clone());
            }
        }
        self.ghosts = ghosts;
        seen
    }
}

impl Store for MemoryStore {
    fn location(&self) -> String {
        "memory".to_owned()
    }

    fn put_new(&self, name: &ObjectName, bytes: &[u8]) -> Result<Put, StoreError> {
        Ok(self.insert(name, bytes.to_vec()))
    }

    fn stage(&self) -> Result<Box<dyn StagedObject>, StoreError> {
        Ok(Box::new(StagedBytes { store: self.clone(), bytes: Vec::new() }))
    }

    fn get(&self, name: &ObjectName, limit: u64) -> Result<Vec<u8>, StoreError> {
        let object = self.object("read", name)?;
        if object.bytes.len() as u64 > limit {
            return Err(StoreError::new(StoreErrorKind::TooLarge, "read", name));
        }
        Ok(object.bytes.to_vec())
    }

    fn get_range(&self, name: &ObjectName, offset: u64, length: usize, buffer: &mut Vec<u8>) -> Result<(), StoreError> {
        buffer.clear();
        let object = self.object("read", name)?;
        let part = usize::try_from(offset).ok().and_then(|start| object.bytes.get(start..start.checked_add(length)?));
        buffer.extend_from_slice(part.ok_or_else(|| StoreError::new(StoreErrorKind::Truncated, "read", name))?);
        Ok(())
    }

    fn list(&self, folder: Folder) -> Result<Vec<ObjectInfo>, StoreError> {
        let mut state = self.state();
        let there = state.objects.iter().filter(|(name, _)| name.folder() == folder).map(|(name, object)| object.info(name));
        let mut listed: Vec<_> = there.collect();
        listed.retain(|info| state.is_seen(info.stored, self.lag));
        listed.extend(state.seen_ghosts(folder, self.lag));
        Ok(listed)
    }

    fn stat(&self, name: &ObjectName) -> Result<ObjectInfo, StoreError> {
        Ok(self.object("look up", name)?.info(name))
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        let mut state = self.state();
        if let Some(object) = state.objects.remove(name)
            && !self.lag.is_zero()
        {
            let deleted = state.clock;
            state.ghosts.retain(|(ghost, _)| ghost.name != *name);
            state.ghosts.push((object.info(name), deleted));
        }
        Ok(())
    }

    fn unknown_folders(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.state().unknown_folders.iter().cloned().collect())
    }

    fn now(&self) -> Result<SystemTime, StoreError> {
        Ok(self.state().clock)
    }

    fn packing(&self) -> Packing {
        self.packing
    }

    fn listing_lag(&self) -> Duration {
        self.lag
    }
}

struct StagedBytes {
    store: MemoryStore,
    bytes: Vec<u8>,
}

impl StagedObject for StagedBytes {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn commit(self: Box<Self>, name: &ObjectName) -> Result<Put, StoreError> {
        Ok(self.store.insert(name, self.bytes))
    }
}
