//! Objects that a newer program wrote: whoever meets one says so, and nothing of the kind is deleted.

use std::sync::Arc;
use std::time::Duration;

use crate::model::event::Silent;
use crate::model::id::{CheckpointId, CondemnedId, IndexId, MapId, PackId, RefsId, SnapshotId};
use crate::sealed::fixture::{self, refs_to};
use crate::sealed::gc::{self, Options};
use crate::sealed::index::{self, BlockList};
use crate::sealed::pack::Class;
use crate::sealed::repository::Repository;
use crate::sealed::verify::{self, verify};
use crate::sealed::{SealedError, forget, pack, refs};
use crate::store::{Folder, MemoryStore, ObjectName, Store};

const AT_ONCE: Options = Options { grace: Duration::ZERO, max_unused: 0.0, dry_run: false };

/// A repository with one snapshot.
fn made() -> (MemoryStore, Repository) {
    let memory = MemoryStore::new();
    fixture::create(&memory, 1);
    let repository = fixture::open(Arc::new(memory.clone()));
    let pack = fixture::put_pack(&memory, Class::Data, &[vec![1; 1000], vec![2; 1000]]).unwrap();
    let index = fixture::put_index(&memory, &[pack], b"sealed").unwrap().0;
    let refs = fixture::put_refs(&memory, &refs_to(index, 2, [0, 1]), &[]).unwrap();
    let id = fixture::put_snapshot(&repository, 0, 1, refs).unwrap();
    fixture::put_commit(&memory, &id).unwrap();
    (memory, repository)
}

/// Stores an object of version 2 under its right name.
fn put(memory: &MemoryStore, folder: Folder) -> ObjectName {
    let (magic, id): (_, fn(&[u8]) -> String) = match folder {
        Folder::Packs => ("hbpack02", |bytes| PackId::of(bytes).to_string()),
        Folder::Index => ("hbindx02", |bytes| IndexId::of(bytes).to_string()),
        Folder::Refs => ("hbrefs02", |bytes| RefsId::of(bytes).to_string()),
        Folder::Maps => ("hbmaps02", |bytes| MapId::of(bytes).to_string()),
        Folder::Condemned => ("hbcond02", |bytes| CondemnedId::of(bytes).to_string()),
        Folder::Checkpoints => ("hbchkp02", |bytes| CheckpointId::of(bytes).to_string()),
        _ => ("hbsnap02", |bytes| SnapshotId::of(bytes).to_string()),
    };
    let bytes = format!("{magic} what only a newer program understands {magic}").into_bytes();
    let name = ObjectName::new(folder, id(&bytes)).unwrap();
    memory.put_new(&name, &bytes).unwrap();
    name
}

fn assert_newer_is_needed(error: &SealedError, object: &ObjectName) {
    let text = error.to_string();
    assert!(text.contains(&object.to_string()) && text.contains("install a newer one") && !text.contains("damaged"), "{text}");
}

#[test]
fn what_nothing_needs_is_left_alone() {
    let (memory, repository) = made();
    let kept = [Folder::Packs, Folder::Index, Folder::Refs, Folder::Maps, Folder::Forgotten].map(|folder| put(&memory, folder));
    for _ in 0..2 {
        gc::prune(&repository, &AT_ONCE, &Silent).unwrap();
    }
    for name in kept {
        assert!(memory.stat(&name).is_ok(), "{name} was deleted");
    }
}

#[test]
fn a_pack_is_left_alone_though_a_list_vouches_for_it() {
    let (memory, repository) = made();
    let mut stored = fixture::put_pack(&memory, Class::Data, &[vec![3; 1000]]).unwrap();
    let mut bytes = memory.get(&pack::name(&stored.id), 1 << 20).unwrap();
    let end = bytes.len() - 1;
    bytes[7] = b'2';
    bytes[end] = b'2';
    memory.delete(&pack::name(&stored.id)).unwrap();
    stored.id = PackId::of(&bytes);
    memory.put_new(&pack::name(&stored.id), &bytes).unwrap();
    fixture::put_index(&memory, std::slice::from_ref(&stored), b"other").unwrap();
    gc::prune(&repository, &AT_ONCE, &Silent).unwrap();
    assert!(memory.stat(&pack::name(&stored.id)).is_ok());
}

#[test]
fn what_may_protect_others_stops_prune() {
    for folder in [Folder::Snapshots, Folder::Checkpoints, Folder::Condemned] {
        let (memory, repository) = made();
        let dead = fixture::put_pack(&memory, Class::Data, &[vec![3; 1000]]).unwrap();
        let name = put(&memory, folder);
        assert_newer_is_needed(&gc::prune(&repository, &AT_ONCE, &Silent).unwrap_err(), &name);
        assert!(memory.stat(&pack::name(&dead.id)).is_ok() && memory.stat(&name).is_ok());
    }
}

#[test]
fn lists_that_a_snapshot_names_stop_prune_and_cannot_be_given_up_as_broken() {
    for folder in [Folder::Refs, Folder::Index] {
        let (memory, repository) = made();
        let name = put(&memory, folder);
        let refs = match folder {
            Folder::Refs => name.leaf().parse().unwrap(),
            _ => fixture::put_refs(&memory, &refs_to(name.leaf().parse().unwrap(), 1, [0]), &[]).unwrap(),
        };
        let id = fixture::put_snapshot(&repository, 0, 2, refs).unwrap();
        fixture::put_commit(&memory, &id).unwrap();
        assert_newer_is_needed(&gc::prune(&repository, &AT_ONCE, &Silent).unwrap_err(), &name);
        assert_newer_is_needed(&forget::forget_broken(&repository, &id).unwrap_err(), &name);
    }
}

#[test]
fn a_snapshot_is_not_given_up_as_broken() {
    let (memory, repository) = made();
    let name = put(&memory, Folder::Snapshots);
    assert_newer_is_needed(&forget::forget_broken(&repository, &name.leaf().parse().unwrap()).unwrap_err(), &name);
    assert!(memory.stat(&name).is_ok());
}

#[test]
fn every_reader_asks_for_a_newer_program() {
    let (memory, repository) = made();
    let [pack, index, refs, snapshot] = [Folder::Packs, Folder::Index, Folder::Refs, Folder::Snapshots].map(|folder| put(&memory, folder));
    let info = memory.stat(&pack).unwrap();
    assert_newer_is_needed(&pack::read_contents(&memory, &info).unwrap_err(), &pack);
    assert_newer_is_needed(&index::read_list(&memory, &index.leaf().parse().unwrap()).unwrap_err(), &index);
    assert_newer_is_needed(&refs::read(&memory, &refs.leaf().parse().unwrap()).unwrap_err(), &refs);
    let report = verify(&repository, &verify::Options { read_packs: Some(verify::Share::Percent(100)) }, &Silent).unwrap();
    for name in [pack, index, snapshot] {
        let problem = report.problems.iter().find(|problem| problem.object == name.to_string()).unwrap();
        assert!(problem.what.contains("newer") && !problem.what.contains("--broken"), "{problem:?}");
    }
}

#[test]
fn only_two_other_digits_are_another_version() {
    let newer = |bytes: &[u8]| {
        let error = index::parse(bytes).unwrap_err();
        SealedError::malformed("x", error).to_string().contains("newer")
    };
    let object = index::encode(&BlockList::default(), b"");
    for (version, expected) in [(b"02", true), (b"99", true), (b"0\xff", false), (b"ab", false)] {
        let mut bytes = object.clone();
        bytes[6..8].copy_from_slice(version);
        assert_eq!(newer(&bytes), expected, "{version:?}");
    }
    assert!(!newer(b"hbrefs02") && !newer(b"hbindx"));
}
