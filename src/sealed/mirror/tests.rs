//! Mirrors of repositories in memory: complete, sound at every moment, and of their own mind about what they keep.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use super::*;
use crate::model::event::{Collect, Severity};
use crate::model::id::IndexId;
use crate::sealed::fixture::{self, Random, refs_to};
use crate::sealed::gc::{self, Options};
use crate::sealed::pack::{self, Class};
use crate::sealed::refs::{Bitmap, Refs};
use crate::sealed::snapshots::{self, Snapshots};
use crate::sealed::verify::{self, verify};
use crate::sealed::{forget, index};
use crate::store::layer::{Damage, FaultStore, Moment};
use crate::store::{MemoryStore, ObjectName, Put, StagedObject, StoreError};

const HOUR: Duration = Duration::from_secs(3600);

/// A source with snapshots that share blocks.
struct World {
    memory: MemoryStore,
    random: Random,
    sequence: u64,
    /// Index objects, with how many blocks they list.
    indexes: Vec<(IndexId, usize)>,
}

impl World {
    fn new() -> Self {
        let memory = MemoryStore::new();
        fixture::create(&memory, 2);
        memory.advance(HOUR);
        Self { memory, random: Random(7), sequence: 0, indexes: Vec::new() }
    }

    /// With so many snapshots.
    fn with(snapshots: usize) -> Self {
        let mut world = Self::new();
        (0..snapshots).for_each(|_| {
            world.back_up();
        });
        world
    }

    fn repository(&self) -> Repository {
        fixture::open(Arc::new(self.memory.clone()))
    }

    /// A snapshot of some new blocks in two packs and half of all older ones.
    fn back_up(&mut self) -> SnapshotId {
        self.memory.advance(HOUR);
        let mut pack = |class| {
            let blocks: Vec<Vec<u8>> = (0..4).map(|_| self.random.bytes(400)).collect();
            fixture::put_pack(&self.memory, class, &blocks).unwrap()
        };
        let (index, list) = fixture::put_index(&self.memory, &[pack(Class::Tree), pack(Class::Data)], b"sealed").unwrap();
        let mut refs = refs_to(index, list.len(), 0..list.len());
        for (older, blocks) in &self.indexes {
            let mut bitmap = Bitmap::new(*blocks);
            (0..*blocks).filter(|_| self.random.one_in(2)).for_each(|position| bitmap.insert(position));
            if !bitmap.is_empty() {
                refs.indexes.insert(*older, bitmap);
            }
        }
        self.indexes.push((index, list.len()));
        self.publish(&refs)
    }

    fn publish(&mut self, refs: &Refs) -> SnapshotId {
        self.sequence += 1;
        let refs = fixture::put_refs(&self.memory, refs, &self.sequence.to_le_bytes()).unwrap();
        let id = fixture::put_snapshot(&self.repository(), 0, self.sequence, refs).unwrap();
        fixture::put_commit(&self.memory, &id).unwrap();
        id
    }

    fn committed(&self) -> Vec<SnapshotId> {
        counting(&self.memory)
    }
}

fn counting(memory: &MemoryStore) -> Vec<SnapshotId> {
    let list = Snapshots::load(&fixture::open(Arc::new(memory.clone())), Folder::Snapshots).unwrap().list;
    let mut ids: Vec<_> = list.into_iter().filter(Snapshot::counts).map(|snapshot| snapshot.id).collect();
    ids.sort_unstable();
    ids
}

/// One whole run.
fn run(source: Arc<dyn Store>, store: Arc<dyn Store>, monitor: &dyn Monitor) -> Result<Outcome, SealedError> {
    let source = Repository::open(source, &Default::default())?;
    let mirror = follow(&source, &store, monitor)?.repository;
    let choice = choose(&source, Some(&mirror), monitor)?;
    copy(&source, &mirror, &choice.new, monitor)
}

fn mirror(world: &World, memory: &MemoryStore) -> Outcome {
    let monitor = Collect::default();
    let outcome = run(Arc::new(world.memory.clone()), Arc::new(memory.clone()), &monitor).unwrap();
    assert_eq!(monitor.findings(Severity::Warning), Vec::<String>::new());
    outcome
}

fn prune(memory: &MemoryStore, grace: Duration) -> gc::Outcome {
    let options = Options { grace, max_unused: 0.0, dry_run: false };
    let repository = fixture::open(Arc::new(memory.clone()));
    let monitor = Collect::default();
    // Safety rests on no prune yielding.
    let outcome = gc::run(&repository, gc::plan(&repository, &options, &monitor).unwrap(), &monitor).unwrap();
    assert_eq!(monitor.findings(Severity::Error), Vec::<String>::new());
    outcome
}

/// Every snapshot that counts is whole, and every byte is right.
fn assert_sound(memory: &MemoryStore, what: &str) {
    let Ok(repository) = Repository::open(Arc::new(memory.clone()), &Default::default()) else {
        assert!(memory.list(Folder::Snapshots).unwrap().is_empty(), "{what}: snapshots without a repository");
        return;
    };
    let report = verify(&repository, &verify::Options { read_packs: Some(verify::Share::Percent(100)) }, &Collect::default()).unwrap();
    // A run that was interrupted leaves snapshots that do not count yet.
    let bad = report.problems.iter().filter(|problem| problem.severity > Severity::Info && !problem.what.contains("does not count"));
    assert_eq!(bad.collect::<Vec<_>>(), Vec::<&verify::Problem>::new(), "{what}");
}

#[test]
fn an_empty_store_becomes_the_same_repository_and_later_runs_bring_only_what_is_new() {
    let (mut world, memory) = (World::with(5), MemoryStore::new());
    fixture::amend(Arc::new(world.memory.clone()), |statement| statement.made = "later".into());
    let outcome = mirror(&world, &memory);
    assert_eq!((outcome.snapshots.len(), outcome.packs, outcome.bytes_picked), (5, 10, 0));
    assert_eq!(fixture::open(Arc::new(memory.clone())).seen(), world.repository().seen());
    assert_eq!(counting(&memory), world.committed());
    assert_sound(&memory, "first");
    assert_eq!(mirror(&world, &memory), Outcome::default());
    world.back_up();
    fixture::amend(Arc::new(world.memory.clone()), |statement| statement.made = "later still".into());
    let outcome = mirror(&world, &memory);
    assert_eq!((outcome.snapshots.len(), outcome.packs, outcome.lists), (1, 2, 2));
    assert_eq!(counting(&memory), world.committed());
    assert_sound(&memory, "second");
    assert!(memory.list(Folder::Prunes).unwrap().is_empty());
}

#[test]
fn interrupted_anywhere_the_mirror_is_sound_and_the_next_run_completes_it() {
    let world = World::with(3);
    fixture::amend(Arc::new(world.memory.clone()), |statement| statement.made = "later".into());
    let all = {
        let faults = FaultStore::new(Arc::new(MemoryStore::new()));
        run(Arc::new(world.memory.clone()), Arc::new(faults.clone()), &Collect::default()).unwrap();
        faults.changes()
    };
    for change in 1..=all {
        for moment in [Moment::Before, Moment::After] {
            let memory = MemoryStore::new();
            let faults = FaultStore::new(Arc::new(memory.clone()));
            faults.kill_at_change(change, moment);
            // The last change takes the announcement back, whose failure is nobody's.
            let ended = run(Arc::new(world.memory.clone()), Arc::new(faults), &Collect::default());
            assert!(ended.is_err() || change == all, "change {change}");
            let what = format!("change {change}, {moment:?}");
            assert_sound(&memory, &what);
            mirror(&world, &memory);
            assert_eq!(counting(&memory), world.committed(), "{what}");
            assert_sound(&memory, &what);
        }
    }
}

#[test]
fn what_is_damaged_at_the_source_is_told_and_costs_only_the_snapshots_concerned() {
    let mut world = World::new();
    let (first, second) = (world.back_up(), world.back_up());
    let damaged = index::read_list(&world.memory, &world.indexes[1].0).unwrap().packs[1].0;
    // A third one that needs no block of the damaged pack.
    let (index, blocks) = world.indexes[0];
    let third = world.publish(&refs_to(index, blocks, [1, 2]));
    let faults = FaultStore::new(Arc::new(world.memory.clone()));
    faults.damage(pack::name(&damaged), Damage::FlipBit(8 * 100));
    let (memory, monitor) = (MemoryStore::new(), Collect::default());
    let outcome = run(Arc::new(faults.clone()), Arc::new(memory.clone()), &monitor).unwrap();
    assert_eq!(outcome.failed.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [second]);
    let told = monitor.findings(Severity::Error).join("\n");
    assert!(told.contains(&damaged.to_string()) && told.contains(&second.to_string()), "{told}");
    assert!(memory.stat(&pack::name(&damaged)).is_err());
    let mut whole = vec![first, third];
    whole.sort_unstable();
    assert_eq!(counting(&memory), whole);
    assert_sound(&memory, "with damage at the source");
    faults.heal();
    mirror(&world, &memory);
    assert_eq!(counting(&memory), world.committed());

    for name in [index::name(&index), snapshots::name(Folder::Snapshots, &first)] {
        let faults = FaultStore::new(Arc::new(world.memory.clone()));
        faults.damage(name.clone(), Damage::FlipBit(8 * 90));
        let (memory, monitor) = (MemoryStore::new(), Collect::default());
        run(Arc::new(faults), Arc::new(memory.clone()), &monitor).unwrap();
        assert!(monitor.findings(Severity::Error).join("\n").contains(name.leaf()));
        assert!(!counting(&memory).contains(&first));
        assert_sound(&memory, "with damaged lists at the source");
    }
}

#[test]
fn another_repository_an_older_state_and_the_source_itself_are_refused() {
    let (world, memory) = (World::with(2), MemoryStore::new());
    let older = MemoryStore::new();
    for folder in Folder::ALL {
        for info in world.memory.list(folder).unwrap() {
            older.put_new(&info.name, &world.memory.get(&info.name, u64::MAX).unwrap()).unwrap();
        }
    }
    fixture::amend(Arc::new(world.memory.clone()), |statement| statement.made = "later".into());
    mirror(&world, &memory);
    let refused = |source: &MemoryStore, store: &MemoryStore| {
        run(Arc::new(source.clone()), Arc::new(store.clone()), &Collect::default()).unwrap_err().to_string()
    };
    let said = refused(&older, &memory);
    assert!(said.contains("statement 0") && said.contains("statement 1 was seen"), "{said}");
    let fork = fixture::amend(Arc::new(older.clone()), |statement| statement.made = "otherwise".into());
    assert_eq!(fork.seen().0, 1);
    assert!(refused(&older, &memory).contains("forged"));

    let other = MemoryStore::new();
    fixture::create(&other, 1);
    assert!(refused(&world.memory, &other).contains("was expected"));
    assert!(refused(&world.memory, &world.memory).contains("place of its own"));
    let remains = MemoryStore::new();
    fixture::put_pack(&remains, Class::Data, &[vec![1; 100]]).unwrap();
    assert!(refused(&world.memory, &remains).contains("repo/0"));
}

#[test]
fn newest_snapshots_that_are_gone_from_the_source_are_noticed_unless_they_were_forgotten() {
    let (mut world, memory) = (World::with(2), MemoryStore::new());
    let newest = world.back_up();
    mirror(&world, &memory);
    let choice = |monitor: &Collect| {
        let mirror = fixture::open(Arc::new(memory.clone()));
        choose(&world.repository(), Some(&mirror), monitor).unwrap()
    };
    forget::forget(&world.repository(), &newest).unwrap();
    let monitor = Collect::default();
    assert!(!choice(&monitor).rolled_back && monitor.findings(Severity::Warning).is_empty());
    world.memory.delete(&snapshots::name(Folder::Forgotten, &newest)).unwrap();
    assert!(choice(&monitor).rolled_back);
    let told = monitor.findings(Severity::Warning).join("\n");
    assert!(told.contains("writer 0") && told.contains("number 3"), "{told}");
    assert!(counting(&memory).contains(&newest));
}

#[test]
fn what_the_mirror_forgot_does_not_come_back_and_what_the_source_forgot_stays() {
    let (mut world, memory) = (World::new(), MemoryStore::new());
    let ids: Vec<_> = (0..4).map(|_| world.back_up()).collect();
    mirror(&world, &memory);
    let here = fixture::open(Arc::new(memory.clone()));
    let times = |repository: &Repository| {
        let list = Snapshots::load(repository, Folder::Snapshots).unwrap().list;
        list.into_iter().map(|snapshot| (snapshot.id, snapshot.received)).collect::<Vec<_>>()
    };
    memory.set_now(SystemTime::UNIX_EPOCH + Duration::from_secs(3_000_000_000));
    assert!(times(&here).iter().all(|(_, received)| *received <= memory.now().unwrap()));

    forget::forget(&here, &ids[1]).unwrap();
    forget::forget(&world.repository(), &ids[0]).unwrap();
    for _ in 0..3 {
        memory.advance(HOUR * 25);
        world.memory.advance(HOUR * 25);
        prune(&memory, HOUR * 24);
        assert_eq!(mirror(&world, &memory), Outcome::default());
        assert!(counting(&memory).contains(&ids[0]) && !counting(&memory).contains(&ids[1]));
        assert_sound(&memory, "after forgetting");
    }
    assert!(memory.stat(&snapshots::name(Folder::Forgotten, &ids[1])).is_err());
    let record = snapshots::name(Folder::Received, &ids[1]);
    assert!(memory.stat(&record).is_ok(), "it is remembered as long as the source has the snapshot");
    forget::forget(&world.repository(), &ids[1]).unwrap();
    mirror(&world, &memory);
    assert!(memory.stat(&record).is_ok(), "the source may still bring it back");
    world.memory.advance(HOUR * 25);
    prune(&world.memory, HOUR * 24);
    mirror(&world, &memory);
    assert!(memory.stat(&record).is_err());
}

#[test]
fn a_snapshot_that_broke_in_the_mirror_and_was_given_up_comes_again() {
    let (world, memory) = (World::with(2), MemoryStore::new());
    mirror(&world, &memory);
    let broken = counting(&memory)[0];
    memory.tamper(&snapshots::name(Folder::Snapshots, &broken), b"nothing".as_slice());
    forget::forget_broken(&fixture::open(Arc::new(memory.clone())), &broken).unwrap();
    assert_eq!(mirror(&world, &memory).snapshots, [broken]);
    assert_sound(&memory, "brought again");
}

#[test]
fn times_are_those_of_the_source_but_never_in_the_future() {
    let (mut world, memory) = (World::new(), MemoryStore::new());
    let old = world.back_up();
    let begun = world.memory.now().unwrap();
    memory.set_now(begun + HOUR * 100);
    world.memory.advance(HOUR * 1000);
    let new = world.back_up();
    mirror(&world, &memory);
    let received = |id: &SnapshotId| SystemTime::from(marks::read_received(&memory, id).unwrap().unwrap().received);
    assert_eq!(received(&old), begun);
    assert_eq!(received(&new), begun + HOUR * 100);
}

#[test]
fn pins_of_the_source_are_taken_over() {
    let (mut world, memory) = (World::new(), MemoryStore::new());
    let (first, second) = (world.back_up(), world.back_up());
    forget::pin(&world.repository(), &first).unwrap();
    mirror(&world, &memory);
    assert!(memory.stat(&snapshots::name(Folder::Pins, &first)).is_ok());
    forget::pin(&world.repository(), &second).unwrap();
    mirror(&world, &memory);
    assert!(memory.stat(&snapshots::name(Folder::Pins, &second)).is_ok());
}

#[test]
fn blocks_that_a_prune_of_the_source_moved_are_found() {
    let (mut world, memory) = (World::new(), MemoryStore::new());
    let first = world.back_up();
    let (index, blocks) = world.indexes[0];
    world.publish(&refs_to(index, blocks, [1, 5, 6]));
    forget::forget(&world.repository(), &first).unwrap();
    assert!(prune(&world.memory, Duration::ZERO).bytes_copied > 0);
    world.publish(&refs_to(index, blocks, [1, 6]));
    mirror(&world, &memory);
    assert_eq!(counting(&memory), world.committed());
    assert_sound(&memory, "after a prune of the source");
    assert!(!memory.list(Folder::Maps).unwrap().is_empty(), "of packs that no index object lists");
}

#[test]
fn what_the_mirror_condemned_comes_again_in_new_packs_and_with_its_lists() {
    for sweep in [false, true] {
        let (mut world, memory) = (World::new(), MemoryStore::new());
        let first = world.back_up();
        let second = world.back_up();
        mirror(&world, &memory);
        let (index, blocks) = world.indexes[0];
        // Nothing in the mirror needs the first index object any more, and then a new snapshot does.
        let here = fixture::open(Arc::new(memory.clone()));
        forget::forget(&here, &first).unwrap();
        forget::forget(&here, &second).unwrap();
        world.back_up();
        let (last, _) = *world.indexes.last().unwrap();
        let only_new = world.publish(&refs_to(last, 8, 0..8));
        world.committed().iter().filter(|id| **id != only_new).for_each(|id| forget::forget(&world.repository(), id).unwrap());
        mirror(&world, &memory);
        memory.advance(HOUR * 25);
        prune(&memory, HOUR * 24);
        if sweep {
            memory.advance(HOUR * 25);
            prune(&memory, HOUR * 24);
        }
        assert_eq!(memory.stat(&index::name(&index)).is_err(), sweep);
        let again = world.publish(&refs_to(index, blocks, 0..blocks));
        let outcome = mirror(&world, &memory);
        assert_eq!((outcome.snapshots, outcome.packs), (vec![again], 0));
        assert!(outcome.bytes_picked > 0, "not under ids that are condemned");
        for hours in [25, 25, 24 * 31] {
            assert_sound(&memory, "condemned and needed again");
            memory.advance(HOUR * hours);
            prune(&memory, HOUR * 24);
        }
        assert!(counting(&memory).contains(&again));
        assert_sound(&memory, "in the end");
    }
}

#[test]
fn a_snapshot_whose_list_a_prune_may_be_deleting_waits_for_its_end() {
    let (mut world, memory) = (World::new(), MemoryStore::new());
    let first = world.back_up();
    mirror(&world, &memory);
    forget::forget(&fixture::open(Arc::new(memory.clone())), &first).unwrap();
    memory.advance(HOUR * 25);
    prune(&memory, HOUR * 24);
    let (index, blocks) = world.indexes[0];
    let again = world.publish(&refs_to(index, blocks, 0..blocks));
    let at_work = RunId::random().unwrap();
    let other = announce::stand_by(&memory, &at_work).unwrap();
    let monitor = Collect::default();
    let outcome = run(Arc::new(world.memory.clone()), Arc::new(memory.clone()), &monitor).unwrap();
    assert_eq!((outcome.waiting, outcome.snapshots), (vec![again], vec![]));
    assert!(monitor.findings(Severity::Warning)[0].contains("the next run"));
    assert!(counting(&memory).is_empty());
    drop(other);
    assert_eq!(mirror(&world, &memory).snapshots, [again]);
    assert_sound(&memory, "after the prune ended");
}

/// Does something at the n-th call.
struct Meddling {
    inner: MemoryStore,
    calls: Arc<AtomicU64>,
    at: u64,
    deed: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Meddling {
    fn call(&self) -> &MemoryStore {
        if self.calls.fetch_add(1, Ordering::SeqCst) + 1 == self.at
            && let Some(deed) = self.deed.lock().unwrap().take()
        {
            deed();
        }
        &self.inner
    }
}

impl Store for Meddling {
    fn location(&self) -> String {
        self.inner.location()
    }
    fn put_new(&self, name: &ObjectName, bytes: &[u8]) -> Result<Put, StoreError> {
        self.call().put_new(name, bytes)
    }
    fn stage(&self) -> Result<Box<dyn StagedObject>, StoreError> {
        self.call().stage()
    }
    fn get(&self, name: &ObjectName, limit: u64) -> Result<Vec<u8>, StoreError> {
        self.call().get(name, limit)
    }
    fn get_range(&self, name: &ObjectName, offset: u64, length: usize, buffer: &mut Vec<u8>) -> Result<(), StoreError> {
        self.call().get_range(name, offset, length, buffer)
    }
    fn list(&self, folder: Folder) -> Result<Vec<ObjectInfo>, StoreError> {
        self.call().list(folder)
    }
    fn stat(&self, name: &ObjectName) -> Result<ObjectInfo, StoreError> {
        self.call().stat(name)
    }
    fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        self.call().delete(name)
    }
    fn unknown_folders(&self) -> Result<Vec<String>, StoreError> {
        self.inner.unknown_folders()
    }
    fn now(&self) -> Result<SystemTime, StoreError> {
        self.inner.now()
    }
}

/// A world in which a mirror that fell behind has condemned much of what it is going to need again.
fn tangled() -> (World, MemoryStore) {
    let (mut world, memory) = (World::with(3), MemoryStore::new());
    mirror(&world, &memory);
    let here = fixture::open(Arc::new(memory.clone()));
    for id in &counting(&memory)[..2] {
        forget::forget(&here, id).unwrap();
    }
    world.back_up();
    let (index, blocks) = world.indexes[0];
    world.publish(&refs_to(index, blocks, 0..blocks));
    memory.advance(HOUR * 25);
    prune(&memory, HOUR * 24);
    memory.advance(HOUR * 25);
    (world, memory)
}

#[test]
fn a_prune_of_either_side_at_any_moment_does_no_harm() {
    type Deed = fn(MemoryStore, MemoryStore, gc::Plan);
    let deeds: [(&str, Deed); 4] = [
        ("the mirror is pruned by an old plan", |_, memory, plan| {
            gc::run(&fixture::open(Arc::new(memory)), plan, &Collect::default()).unwrap();
        }),
        ("the mirror is pruned", |_, memory, _| {
            memory.advance(HOUR * 25);
            prune(&memory, HOUR * 24);
        }),
        ("the mirror is pruned without grace", |_, memory, _| {
            prune(&memory, Duration::ZERO);
        }),
        ("the source forgets and is pruned without grace", |source, _, _| {
            let newest = *counting(&source).first().unwrap();
            forget::forget(&fixture::open(Arc::new(source.clone())), &newest).unwrap();
            prune(&source, Duration::ZERO);
        }),
    ];
    for (first, (what, deed)) in (1..).zip(deeds) {
        for at in (first..).step_by(3) {
            let (world, memory) = tangled();
            let (source, here) = (world.memory.clone(), memory.clone());
            let options = Options { grace: HOUR * 24, max_unused: 0.0, dry_run: false };
            let plan = gc::plan(&fixture::open(Arc::new(memory.clone())), &options, &Collect::default()).unwrap();
            let deed: Box<dyn FnOnce() + Send> = Box::new(move || deed(source, here, plan));
            let calls = Arc::new(AtomicU64::new(0));
            // Calls on both sides are counted together.
            let on = |inner: &MemoryStore, deed| Meddling { inner: inner.clone(), calls: Arc::clone(&calls), at, deed: Mutex::new(deed) };
            let (from, to) = if what.starts_with("the mirror") {
                (on(&world.memory, None), on(&memory, Some(deed)))
            } else {
                (on(&world.memory, Some(deed)), on(&memory, None))
            };
            let what = format!("{what} at call {at}");
            let ended = run(Arc::new(from), Arc::new(to), &Collect::default());
            assert_sound(&memory, &what);
            if let Err(error) = ended {
                assert!(error.is_not_found(), "{what}: {error}");
            }
            if calls.load(Ordering::SeqCst) < at {
                break;
            }
            for _ in 0..2 {
                mirror(&world, &memory);
                assert_sound(&memory, &what);
                memory.advance(HOUR * 25);
                prune(&memory, HOUR * 24);
                assert_sound(&memory, &what);
            }
            let missing: Vec<_> = world.committed().into_iter().filter(|id| !counting(&memory).contains(id)).collect();
            assert!(missing.iter().all(|id| memory.stat(&snapshots::name(Folder::Received, id)).is_ok()), "{what}: {missing:?}");
        }
    }
}

#[test]
fn a_backup_at_the_source_at_any_moment_comes_then_or_with_the_next_run() {
    for at in (1..).step_by(2) {
        let (world, memory) = (Arc::new(Mutex::new(World::with(2))), MemoryStore::new());
        let source = world.lock().unwrap().memory.clone();
        let (busy, calls) = (Arc::clone(&world), Arc::new(AtomicU64::new(0)));
        let deed: Box<dyn FnOnce() + Send> = Box::new(move || {
            busy.lock().unwrap().back_up();
        });
        let from = Meddling { inner: source.clone(), calls: Arc::clone(&calls), at, deed: Mutex::new(Some(deed)) };
        run(Arc::new(from), Arc::new(memory.clone()), &Collect::default()).unwrap();
        assert_sound(&memory, &format!("a backup at call {at}"));
        if calls.load(Ordering::SeqCst) < at {
            break;
        }
        mirror(&world.lock().unwrap(), &memory);
        assert_eq!(counting(&memory), counting(&source));
    }
}
