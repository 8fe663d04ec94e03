//! Repair of repositories in memory: from mirrors that have pruned, interrupted at every change, and never with wrong bytes.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::model::event::Collect;
use crate::sealed::fixture::{self, Random, refs_to};
use crate::sealed::{forget, gc, mirror, pack, refs};
use crate::store::layer::{FaultStore, Moment};
use crate::store::{MemoryStore, ObjectInfo};

const DEEP: Options = Options { read_packs: Some(100), dry_run: false };

/// A repository with two snapshots of one index object with two packs, and its mirror.
struct Pair {
    memory: MemoryStore,
    mirror: MemoryStore,
    snapshots: [SnapshotId; 2],
}

impl Pair {
    fn new() -> Self {
        let (memory, mirror) = (MemoryStore::new(), MemoryStore::new());
        fixture::create(&memory, 1);
        let mut random = Random(3);
        let mut pack = |class| {
            let blocks: Vec<Vec<u8>> = (0..4).map(|_| random.bytes(300)).collect();
            fixture::put_pack(&memory, class, &blocks).unwrap()
        };
        let packs = [pack(Class::Tree), pack(Class::Data)];
        let (index, list) = fixture::put_index(&memory, &packs, b"sealed").unwrap();
        let repository = fixture::open(Arc::new(memory.clone()));
        let snapshots = [(1, 0..8), (2, 2..6)].map(|(sequence, positions)| {
            let refs = fixture::put_refs(&memory, &refs_to(index, list.len(), positions), &[]).unwrap();
            let id = fixture::put_snapshot(&repository, 0, sequence, refs).unwrap();
            fixture::put_commit(&memory, &id).unwrap();
            id
        });
        let pair = Self { memory, mirror, snapshots };
        pair.bring(&pair.memory, &pair.mirror);
        pair
    }

    fn bring(&self, from: &MemoryStore, to: &MemoryStore) -> Vec<SnapshotId> {
        let source = fixture::open(Arc::new(from.clone()));
        let store: Arc<dyn Store> = Arc::new(to.clone());
        let here = mirror::follow(&source, &store, &Silent).unwrap().repository;
        let choice = mirror::choose(&source, Some(&here), &Silent).unwrap();
        mirror::copy(&source, &here, &choice.new, &Silent).unwrap().snapshots
    }

    fn repair(&self, store: Arc<dyn Store>) -> Result<Report, SealedError> {
        let repository = Repository::open(store, &Default::default())?;
        repair(&repository, &fixture::open(Arc::new(self.mirror.clone())), &DEEP, &Silent)
    }

    fn objects(&self, folder: Folder) -> Vec<ObjectInfo> {
        self.memory.list(folder).unwrap()
    }

    fn problems(&self) -> Vec<Problem> {
        let repository = fixture::open(Arc::new(self.memory.clone()));
        let found =
            verify(&repository, &verify::Options { read_packs: Some(verify::Share::Percent(100)) }, &Collect::default()).unwrap().problems;
        found.into_iter().filter(|problem| problem.severity > Severity::Info).collect()
    }

    /// Everything that can be healed is damaged or gone by turns.
    fn ruin(&self) {
        let all = [Folder::Packs, Folder::Index, Folder::Refs, Folder::Snapshots].into_iter().flat_map(|folder| self.objects(folder));
        for (place, info) in all.enumerate() {
            if place % 2 == 0 {
                self.memory.delete(&info.name).unwrap();
            } else {
                self.memory.tamper(&info.name, vec![7; usize::try_from(info.size).unwrap()]);
            }
        }
    }
}

#[test]
fn interrupted_anywhere_the_next_repair_heals_the_rest() {
    let changes = {
        let pair = Pair::new();
        pair.ruin();
        assert!(!pair.problems().is_empty());
        let faults = FaultStore::new(Arc::new(pair.memory.clone()));
        let report = pair.repair(Arc::new(faults.clone())).unwrap();
        assert!(report.is_clean() && report.objects.len() == 7, "{report:?}");
        assert_eq!(pair.problems(), []);
        faults.changes()
    };
    for change in 1..changes {
        for moment in [Moment::Before, Moment::After] {
            let pair = Pair::new();
            pair.ruin();
            let faults = FaultStore::new(Arc::new(pair.memory.clone()));
            faults.kill_at_change(change, moment);
            assert!(pair.repair(Arc::new(faults)).is_err(), "change {change}");
            assert!(pair.repair(Arc::new(pair.memory.clone())).unwrap().is_clean(), "change {change}, {moment:?}");
            assert_eq!(pair.problems(), [], "change {change}, {moment:?}");
        }
    }
}

#[test]
fn of_a_pack_that_the_mirror_has_rewritten_the_lost_blocks_go_into_a_new_one() {
    let pair = Pair::new();
    let here = fixture::open(Arc::new(pair.mirror.clone()));
    forget::forget(&here, &pair.snapshots[0]).unwrap();
    let options = gc::Options { grace: Duration::ZERO, max_unused: 0.0, dry_run: false };
    assert!(gc::prune(&here, &options, &Silent).unwrap().bytes_copied > 0);
    for info in pair.objects(Folder::Packs) {
        assert!(pair.mirror.stat(&info.name).is_err());
    }
    // Of each pack one block that the second snapshot needs, and one that only the first does.
    let lost = pair.objects(Folder::Packs).remove(0);
    let contents = pack::read_contents(&pair.memory, &lost).unwrap();
    let needed = |block: usize| {
        let (offset, block) = contents.offsets().nth(block).unwrap();
        let mut bytes = pair.memory.get(&lost.name, u64::MAX).unwrap();
        bytes[usize::try_from(offset).unwrap()] ^= 1;
        pair.memory.tamper(&lost.name, bytes);
        block.id
    };
    let first_needed = if contents.class == Class::Tree { 2 } else { 0 };
    let block = needed(first_needed);
    let report = pair.repair(Arc::new(pair.memory.clone())).unwrap();
    assert_eq!(report.objects.iter().map(|mended| mended.fate.clone()).collect::<Vec<_>>(), [Fate::Moved(1)]);
    assert_eq!(pair.objects(Folder::Maps).len(), 1);
    assert!(locate(&pair.memory).unwrap().of(&block).count() == 2);

    needed(if contents.class == Class::Tree { 0 } else { 3 });
    let report = pair.repair(Arc::new(pair.memory.clone())).unwrap();
    let Fate::Left(why) = &report.objects[0].fate else { panic!("{report:?}") };
    assert!(why.contains("lacks 1"), "{why}");
}

#[test]
fn wrong_bytes_of_the_mirror_are_not_taken_and_other_repositories_refused() {
    let pair = Pair::new();
    let name = refs::name(&refs_of_first(&pair));
    pair.memory.delete(&name).unwrap();
    pair.mirror.tamper(&name, b"else".as_slice());
    let report = pair.repair(Arc::new(pair.memory.clone())).unwrap();
    assert!(matches!(&report.objects[0].fate, Fate::Left(why) if why.contains("damaged too")), "{report:?}");
    assert!(pair.memory.stat(&name).is_err());
    assert!(pair.memory.list(Folder::Prunes).unwrap().is_empty());
    let other = MemoryStore::new();
    fixture::create(&other, 2);
    let (here, other) = (fixture::open(Arc::new(pair.memory.clone())), fixture::open(Arc::new(other)));
    assert!(repair(&here, &other, &DEEP, &Silent).unwrap_err().to_string().contains("was expected"));
    assert!(repair(&here, &here, &DEEP, &Silent).unwrap_err().to_string().contains("place of its own"));
}

fn refs_of_first(pair: &Pair) -> crate::model::id::RefsId {
    let repository = fixture::open(Arc::new(pair.memory.clone()));
    snapshots::Snapshots::load(&repository, Folder::Snapshots).unwrap().list[0].envelope.refs
}

#[test]
fn what_is_gone_without_a_trace_comes_back_by_a_mirror_the_other_way_round() {
    let pair = Pair::new();
    let gone = pair.snapshots[1];
    for folder in [Folder::Snapshots, Folder::Commits] {
        pair.memory.delete(&snapshots::name(folder, &gone)).unwrap();
    }
    assert!(pair.repair(Arc::new(pair.memory.clone())).unwrap().objects.is_empty(), "it looks forgotten");
    assert_eq!(pair.bring(&pair.mirror, &pair.memory), [gone]);
    assert_eq!(pair.problems(), []);
    let anew = MemoryStore::new();
    assert_eq!(pair.bring(&pair.mirror, &anew).len(), 2);
}
