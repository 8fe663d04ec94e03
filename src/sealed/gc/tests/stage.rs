//! A stage for processes that share a store: one operation at a time, in an order that a seed decides.
//!
//! Every process is a thread; before each operation it waits for its turn. Whoever holds the stage decides who is next,
//! who is killed, and how far the clock goes. Nothing else runs meanwhile, so a schedule repeats exactly.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use crate::model::id::{BlockId, PackId};
use crate::sealed::pack;
use crate::store::{Folder, MemoryStore, ObjectInfo, ObjectName, Put, StagedObject, Store, StoreError, StoreErrorKind};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    Waiting,
    Ended,
}

/// What a process whose turn it is may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    Go,
    /// It dies; its operation takes effect or not.
    Die {
        landed: bool,
    },
}

#[derive(Default)]
struct Inner {
    states: BTreeMap<usize, State>,
    turn: Option<(usize, Turn)>,
    /// All packs that ever were.
    packs: BTreeMap<BlockId, Vec<PackId>>,
    changed: bool,
}

/// The stage.
pub struct Stage {
    inner: Mutex<Inner>,
    wake: Condvar,
    pub memory: MemoryStore,
}

impl Stage {
    pub fn new(memory: MemoryStore) -> Arc<Self> {
        Arc::new(Self { inner: Mutex::default(), wake: Condvar::new(), memory })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    /// The view of the store that a new process has. It counts as running until it waits or ends.
    pub fn enter(self: &Arc<Self>, process: usize) -> Arc<Actor> {
        self.lock().states.insert(process, State::Running);
        Arc::new(Actor { stage: Arc::clone(self), process, dead: Arc::default() })
    }

    /// Waits until every process waits for its turn or has ended; those that wait.
    pub fn settle(&self) -> Vec<usize> {
        let mut inner = self.lock();
        while inner.turn.is_some() || inner.states.values().any(|state| *state == State::Running) {
            inner = self.wake.wait(inner).unwrap();
        }
        inner.states.iter().filter(|(_, state)| **state == State::Waiting).map(|(process, _)| *process).collect()
    }

    /// Lets a process do its next operation.
    pub fn grant(&self, process: usize, turn: Turn) {
        self.lock().turn = Some((process, turn));
        self.wake.notify_all();
    }

    /// Whether objects appeared or vanished since the last call.
    pub fn take_changed(&self) -> bool {
        std::mem::take(&mut self.lock().changed)
    }

    /// Whether some existing pack holds the block.
    pub fn holds(&self, block: &BlockId) -> bool {
        let packs = self.lock().packs.get(block).cloned().unwrap_or_default();
        packs.iter().any(|id| self.memory.stat(&pack::name(id)).is_ok())
    }

    /// Takes note of a pack that is there.
    pub fn register(&self, name: &ObjectName) {
        if name.folder() != Folder::Packs {
            return;
        }
        let contents = pack::read_contents(&self.memory, &self.memory.stat(name).unwrap()).unwrap();
        let mut inner = self.lock();
        for block in contents.blocks {
            inner.packs.entry(block.id).or_default().push(name.leaf().parse().unwrap());
        }
    }
}

/// One process's view of the store.
pub struct Actor {
    stage: Arc<Stage>,
    process: usize,
    dead: Arc<AtomicBool>,
}

impl Actor {
    /// The process has ended.
    pub fn leave(&self) {
        self.stage.lock().states.insert(self.process, State::Ended);
        self.stage.wake.notify_all();
    }

    /// Whether it was killed.
    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    fn wait_turn(&self) -> Turn {
        let mut inner = self.stage.lock();
        inner.states.insert(self.process, State::Waiting);
        self.stage.wake.notify_all();
        loop {
            match inner.turn {
                Some((process, turn)) if process == self.process => {
                    inner.turn = None;
                    inner.states.insert(self.process, State::Running);
                    return turn;
                }
                _ => inner = self.stage.wake.wait(inner).unwrap(),
            }
        }
    }

    fn act<T>(&self, name: impl std::fmt::Display, act: impl FnOnce(&MemoryStore) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let killed = || StoreError::new(StoreErrorKind::Other, "go on at", &name);
        if self.is_dead() {
            return Err(killed());
        }
        match self.wait_turn() {
            Turn::Go => act(&self.stage.memory),
            Turn::Die { landed } => {
                self.dead.store(true, Ordering::Relaxed);
                if landed {
                    let _ = act(&self.stage.memory);
                }
                Err(killed())
            }
        }
    }

    fn change<T>(&self, name: &ObjectName, act: impl FnOnce(&MemoryStore) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.act(name, |memory| {
            let result = act(memory);
            self.stage.lock().changed = true;
            result
        })
    }
}

impl Store for Actor {
    fn location(&self) -> String {
        "stage".into()
    }

    fn put_new(&self, name: &ObjectName, bytes: &[u8]) -> Result<Put, StoreError> {
        self.change(name, |memory| memory.put_new(name, bytes))
    }

    fn stage(&self) -> Result<Box<dyn StagedObject>, StoreError> {
        let actor = Actor { stage: Arc::clone(&self.stage), process: self.process, dead: Arc::clone(&self.dead) };
        Ok(Box::new(Staged { actor, inner: self.stage.memory.stage()? }))
    }

    fn get(&self, name: &ObjectName, limit: u64) -> Result<Vec<u8>, StoreError> {
        self.act(name, |memory| memory.get(name, limit))
    }

    fn get_range(&self, name: &ObjectName, offset: u64, length: usize, buffer: &mut Vec<u8>) -> Result<(), StoreError> {
        self.act(name, |memory| memory.get_range(name, offset, length, buffer))
    }

    fn list(&self, folder: Folder) -> Result<Vec<ObjectInfo>, StoreError> {
        self.act(folder, |memory| memory.list(folder))
    }

    fn stat(&self, name: &ObjectName) -> Result<ObjectInfo, StoreError> {
        self.act(name, |memory| memory.stat(name))
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        self.change(name, |memory| memory.delete(name))
    }

    fn unknown_folders(&self) -> Result<Vec<String>, StoreError> {
        self.stage.memory.unknown_folders()
    }

    fn now(&self) -> Result<SystemTime, StoreError> {
        self.act("the clock", |memory| memory.now())
    }

    fn listing_lag(&self) -> Duration {
        self.stage.memory.listing_lag()
    }
}

struct Staged {
    actor: Actor,
    inner: Box<dyn StagedObject>,
}

impl StagedObject for Staged {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.inner.write(bytes)
    }

    fn commit(self: Box<Self>, name: &ObjectName) -> Result<Put, StoreError> {
        let Self { actor, inner } = *self;
        actor.change(name, |_| {
            let put = inner.commit(name)?;
            actor.stage.register(name);
            Ok(put)
        })
    }
}
