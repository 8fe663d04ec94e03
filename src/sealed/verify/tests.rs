//! Each kind of damage is found, and names the snapshots that it concerns.

use std::sync::Arc;
use std::time::Duration;

use super::{Options, Report, verify};
use crate::model::event::{Severity, Silent};
use crate::model::id::{IndexId, KeysId, SnapshotId};
use crate::sealed::fixture::{self, Random, refs_to};
use crate::sealed::gc;
use crate::sealed::pack::{self, Class, StoredPack};
use crate::sealed::statement::KeysEntry;
use crate::sealed::{index, refs, snapshots};
use crate::store::{Folder, MemoryStore, ObjectName, Store};

const BLOCK: usize = 1000;

struct Made {
    memory: MemoryStore,
    one: SnapshotId,
    two: SnapshotId,
    index: IndexId,
    pack: StoredPack,
}

/// Snapshot one needs blocks 0 and 1, two needs 1 and 2; nobody needs 3.
fn made() -> Made {
    let memory = MemoryStore::new();
    fixture::create(&memory, 1);
    let mut random = Random(5);
    let blocks: Vec<_> = (0..4).map(|_| random.bytes(BLOCK)).collect();
    let pack = fixture::put_pack(&memory, Class::Data, &blocks).unwrap();
    let (index, _) = fixture::put_index(&memory, std::slice::from_ref(&pack), b"").unwrap();
    let repository = fixture::open(Arc::new(memory.clone()));
    let snapshot = |sequence, positions: [usize; 2]| {
        let refs = fixture::put_refs(&memory, &refs_to(index, 4, positions), &[]).unwrap();
        let id = fixture::put_snapshot(&repository, 0, sequence, refs).unwrap();
        fixture::put_commit(&memory, &id).unwrap();
        id
    };
    let (one, two) = (snapshot(1, [0, 1]), snapshot(2, [1, 2]));
    Made { memory, one, two, index, pack }
}

impl Made {
    fn check(&self, read_packs: Option<u8>) -> Report {
        verify(&fixture::open(Arc::new(self.memory.clone())), &Options { read_packs: read_packs.map(super::Share::Percent) }, &Silent)
            .unwrap()
    }

    fn refs_of(&self, id: &SnapshotId) -> ObjectName {
        let list = snapshots::Snapshots::load(&fixture::open(Arc::new(self.memory.clone())), Folder::Snapshots).unwrap().list;
        refs::name(&list.iter().find(|snapshot| snapshot.id == *id).unwrap().envelope.refs)
    }

    fn flip(&self, offset: usize) {
        let name = pack::name(&self.pack.id);
        let mut bytes = self.memory.get(&name, 1 << 20).unwrap();
        bytes[offset] ^= 1;
        self.memory.tamper(&name, bytes);
    }

    fn both(&self) -> Vec<SnapshotId> {
        let mut both = vec![self.one, self.two];
        both.sort();
        both
    }
}

#[track_caller]
fn only(report: &Report, severity: Severity, object: &ObjectName, snapshots: &[SnapshotId]) {
    assert_eq!(report.problems.len(), 1, "{:?}", report.problems);
    let problem = &report.problems[0];
    let mut concerned = problem.snapshots.clone();
    concerned.sort();
    assert_eq!(
        (problem.severity, problem.object.as_str(), concerned.as_slice()),
        (severity, object.to_string().as_str(), snapshots),
        "{problem:?}"
    );
}

#[test]
fn a_sound_repository_has_no_problems() {
    let made = made();
    let report = made.check(Some(100));
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    let counts = report.counts;
    assert_eq!((counts.snapshots, counts.blocks, counts.bytes, counts.packs), (2, 3, 3000, 1));
    assert_eq!((counts.packs_read, counts.bytes_read), (1, made.pack.size));
}

#[test]
fn missing_and_short_packs_are_found_by_structure() {
    for cut in [false, true] {
        let made = made();
        let name = pack::name(&made.pack.id);
        if cut {
            let bytes = made.memory.get(&name, 1 << 20).unwrap();
            made.memory.tamper(&name, &bytes[..2000]);
        } else {
            made.memory.delete(&name).unwrap();
        }
        let report = made.check(None);
        only(&report, Severity::Error, &name, &made.both());
        assert_eq!(report.problems[0].blocks.len(), 3);
    }
}

#[test]
fn a_changed_block_names_the_snapshots_that_need_it() {
    for (block, severity) in [(0, Severity::Error), (1, Severity::Error), (3, Severity::Warning)] {
        let made = made();
        made.flip(8 + block * BLOCK + 17);
        assert!(made.check(None).problems.is_empty(), "sizes are as they should be");
        let concerned = [vec![made.one], made.both(), vec![made.two], Vec::new()];
        only(&made.check(Some(100)), severity, &pack::name(&made.pack.id), &concerned[block]);
    }
}

#[test]
fn a_changed_footer_costs_no_block() {
    let made = made();
    made.flip(made.pack.size as usize - 1);
    let report = made.check(Some(100));
    only(&report, Severity::Warning, &pack::name(&made.pack.id), &[]);
    assert!(report.problems[0].what.contains("all intact"));
}

#[test]
fn damaged_lists_are_found() {
    let made_one = made();
    made_one.memory.tamper(&index::name(&made_one.index), *b"hbindx01");
    only(&made_one.check(None), Severity::Error, &index::name(&made_one.index), &made_one.both());
    let made_two = made();
    let refs = made_two.refs_of(&made_two.one);
    made_two.memory.delete(&refs).unwrap();
    only(&made_two.check(None), Severity::Error, &refs, &[made_two.one]);
    let made_three = made();
    let snapshot = snapshots::name(Folder::Snapshots, &made_three.two);
    made_three.memory.tamper(&snapshot, *b"hbsnap01");
    only(&made_three.check(None), Severity::Error, &snapshot, &[]);
}

#[test]
fn an_index_object_that_lies_about_a_pack_is_found_by_reading() {
    let made = made();
    let mut wrong = made.pack.clone();
    wrong.contents.blocks.swap(0, 3);
    fixture::put_index(&made.memory, &[wrong], b"other").unwrap();
    made.memory.delete(&index::name(&made.index)).unwrap();
    let report = made.check(Some(100));
    assert!(report.problems.iter().any(|problem| problem.what.contains("lists other blocks")), "{:?}", report.problems);
}

#[test]
fn drafts_and_strangers_are_listed() {
    let made = made();
    let repository = fixture::open(Arc::new(made.memory.clone()));
    let refs = fixture::put_refs(&made.memory, &refs_to(made.index, 4, [0]), &[]).unwrap();
    let draft = fixture::put_snapshot(&repository, 0, 3, refs).unwrap();
    only(&made.check(None), Severity::Info, &snapshots::name(Folder::Snapshots, &draft), &[draft]);
    fixture::put_snapshot(&repository, 7, 1, refs).unwrap();
    let counts = made.check(None).counts;
    assert_eq!((counts.snapshots, counts.uncommitted, counts.foreign), (2, 1, 1));
}

#[test]
fn a_lost_commit_is_found_once_its_writer_has_made_another_snapshot() {
    let made = made();
    let repository = fixture::open(Arc::new(made.memory.clone()));
    let refs = fixture::put_refs(&made.memory, &refs_to(made.index, 4, [0]), &[]).unwrap();
    let early = fixture::put_snapshot(&repository, 0, 3, refs).unwrap();
    let later = fixture::put_snapshot(&repository, 0, 4, refs).unwrap();
    fixture::put_commit(&made.memory, &later).unwrap();
    only(&made.check(None), Severity::Warning, &snapshots::name(Folder::Snapshots, &early), &[early]);
}

#[test]
fn missing_keys_objects_are_found() {
    let made = made();
    let id = KeysId::of(b"key");
    fixture::amend(Arc::new(made.memory.clone()), |statement| {
        statement.keys.push(KeysEntry { id, recipient: "age1x".into(), unknown: Default::default() })
    });
    let name = ObjectName::of_id(Folder::Keys, id.as_bytes());
    only(&made.check(None), Severity::Error, &name, &[]);
    made.memory.put_new(&name, b"key").unwrap();
    assert!(made.check(None).problems.is_empty());
}

#[test]
fn blocks_that_prune_moved_are_found() {
    let made = made();
    let options = gc::Options { grace: Duration::ZERO, max_unused: 0.0, dry_run: false };
    gc::prune(&fixture::open(Arc::new(made.memory.clone())), &options, &Silent).unwrap();
    assert!(made.memory.stat(&pack::name(&made.pack.id)).is_err());
    assert!(made.check(Some(100)).problems.is_empty());
    for map in made.memory.list(Folder::Maps).unwrap() {
        made.memory.delete(&map.name).unwrap();
    }
    let report = made.check(Some(100));
    assert!(report.problems.is_empty(), "maps are hints: {:?}", report.problems);
    assert_eq!(report.counts.orphans, 1);
}

#[test]
fn a_small_share_of_few_packs_reads_at_least_one() {
    let made = made();
    for percent in [1, 10] {
        assert_eq!(made.check(Some(percent)).counts.packs_read, 1, "of one pack, {percent}%");
    }
}

#[test]
fn a_share_of_the_packs_rotates_through_all_of_them() {
    let made = made();
    let mut random = Random(9);
    for _ in 0..99 {
        fixture::put_pack(&made.memory, Class::Data, &[random.bytes(50)]).unwrap();
    }
    let mut read = Vec::new();
    for _ in 0..4 {
        read.push(made.check(Some(25)).counts.packs_read);
        made.memory.advance(Duration::from_secs(86_400));
    }
    assert_eq!(read.iter().sum::<u64>(), 100);
    assert!(read.iter().all(|share| (10..45).contains(share)), "{read:?}");
}

#[test]
fn a_snapshot_that_somebody_deleted_is_missed() {
    let made = made();
    let name = snapshots::name(Folder::Snapshots, &made.one);
    made.memory.delete(&name).unwrap();
    only(&made.check(None), Severity::Error, &name, &[made.one]);
}

#[test]
fn a_snapshot_that_was_forgotten_is_not_missed() {
    let made = made();
    let repository = fixture::open(Arc::new(made.memory.clone()));
    crate::sealed::forget::forget(&repository, &made.one).unwrap();
    assert_eq!(made.check(None).worst(), None);
}
