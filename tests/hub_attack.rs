//! A host that was broken into: its token and its writer key are in an attacker's hands, who tries to read, delete, overwrite, forge and
//! flood at the hub.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod cli_common;
#[path = "hub/cluster.rs"]
mod cluster;
mod hub;
#[path = "hub/raw.rs"]
mod raw;

use cluster::Cluster;
use hearth_backup::content::keys::{SigningKey, WriterKey};
use hearth_backup::hub::Role;
use hearth_backup::model::id::{GroupId, RefsId, SnapshotId, WriterId};
use hearth_backup::sealed::envelope::{self, Envelope, Sizes};
use hearth_backup::sealed::refs::{Bitmap, Refs};
use hearth_backup::sealed::signature::Subject;
use hearth_backup::sealed::{marks, snapshots};
use hearth_backup::store::{Folder, HubStore, ObjectInfo, ObjectName, Put, Store, StoreError, StoreErrorKind};
use jiff::Timestamp;

/// All that lies at the hub, with its bytes.
fn everything(store: &HubStore) -> Vec<(ObjectInfo, Vec<u8>)> {
    let mut objects = store.list_folders(&Folder::ALL).unwrap();
    objects.sort_by(|a, b| a.name.cmp(&b.name));
    objects.into_iter().map(|info| (info.clone(), store.get(&info.name, u64::MAX).unwrap())).collect()
}

/// A snapshot that names these refs, signed with this key.
fn snapshot(key: &WriterKey, signing: &SigningKey, writer: WriterId, refs: RefsId, sequence: u64) -> Vec<u8> {
    let payload = b"sealed";
    let envelope = Envelope {
        writer,
        sequence,
        parent: None,
        started: Timestamp::UNIX_EPOCH,
        finished: Timestamp::UNIX_EPOCH,
        group: GroupId::from_bytes([1; 32]),
        refs,
        sizes: Sizes::default(),
        payload: Some(blake3::hash(payload).to_hex().to_string()),
    };
    let text = serde_json::to_vec(&envelope).unwrap();
    envelope::encode(Subject::Snapshot, &text, &signing.sign(Subject::Snapshot, &key.repository, &text), payload)
}

fn put(store: &HubStore, folder: Folder, bytes: &[u8]) -> Result<Put, StoreError> {
    store.put_new(&ObjectName::of_id(folder, blake3::hash(bytes).as_bytes()), bytes)
}

fn refused(result: Result<impl std::fmt::Debug, StoreError>, why: &str) {
    let error = result.unwrap_err().to_string();
    assert!(error.contains(why), "expected `{why}`: {error}");
}

/// The refs of the only snapshot there is.
fn refs_of(store: &HubStore) -> RefsId {
    store.list(Folder::Refs).unwrap()[0].name.leaf().parse().unwrap()
}

#[test]
fn blocks_cannot_be_read() {
    let cluster = Cluster::new();
    cluster.backs_up();
    let (attacker, _) = cluster.burgled();
    for info in attacker.list(Folder::Packs).unwrap() {
        refused(attacker.get(&info.name, u64::MAX), "may not read objects in packs/");
        let mut buffer = Vec::new();
        refused(attacker.get_range(&info.name, 0, 1, &mut buffer), "may not read objects in packs/");
        refused(attacker.get_range(&info.name, info.size - 2, 1, &mut buffer), "may not read objects in packs/");
        // The end, as a backup reads it to see what blocks there are.
        let length = usize::try_from(info.size).unwrap();
        attacker.get_range(&info.name, 0, length, &mut buffer).unwrap();
        let whole = cluster.admin().get(&info.name, u64::MAX).unwrap();
        let footer = whole.iter().zip(&buffer).rposition(|(a, b)| a != b).unwrap() + 1;
        assert!(buffer[..footer].iter().all(|byte| *byte == 0), "what is no footer is blank");
        assert_eq!(buffer[footer..], whole[footer..]);
        assert!(length - footer < 4096, "{footer} of {length}");
    }
}

#[test]
fn nothing_is_deleted_or_overwritten() {
    let cluster = Cluster::new();
    cluster.backs_up();
    let (attacker, _) = cluster.burgled();
    let before = everything(&cluster.admin());
    let names: Vec<_> = before.iter().map(|(info, _)| info.name.clone()).collect();
    for name in &names {
        refused(attacker.delete(name), "a writer may not delete anything");
        if Role::Writer.may_create(name.folder()) {
            assert_eq!(attacker.put_new(name, b"mine").unwrap(), Put::Exists);
        } else {
            refused(attacker.put_new(name, b"mine"), "a writer may not create");
        }
    }
    assert!(attacker.delete_many(&names).into_iter().all(|deleted| deleted.is_err_and(|error| error.kind == StoreErrorKind::Refused)));
    assert_eq!(everything(&cluster.admin()), before);
}

#[test]
fn nothing_of_maintenance_or_of_the_administrator_is_created() {
    let cluster = Cluster::new();
    cluster.backs_up();
    let (attacker, _) = cluster.burgled();
    let before = everything(&cluster.admin());
    let id: SnapshotId = before.iter().find(|(info, _)| info.name.folder() == Folder::Snapshots).unwrap().0.name.leaf().parse().unwrap();
    for folder in Folder::ALL.into_iter().filter(|folder| !Role::Writer.may_create(*folder)) {
        refused(put(&attacker, folder, b"mine"), "a writer may not create");
        refused(attacker.put_new(&snapshots::name(folder, &id), &marks::encode_pin(&id)), "a writer may not create");
    }
    refused(attacker.put_new(&ObjectName::new(Folder::Repo, "2").unwrap(), b"mine"), "a writer may not create");
    assert_eq!(everything(&cluster.admin()), before);
}

#[test]
fn snapshots_are_taken_of_its_own_writer_only_and_whole() {
    let cluster = Cluster::new();
    cluster.backs_up();
    // Another host in the same repository, which the administrator has let in.
    cluster.ok("admin", &["key", "add-writer", "web", "--writer-key", "web.key", "--key", "r.key"]);
    let web = WriterKey::read(&cluster.bench.path("web.key")).unwrap();
    let (attacker, key) = cluster.burgled();
    let refs = refs_of(&attacker);
    let before = everything(&cluster.admin());
    let takes = |bytes: &[u8]| put(&attacker, Folder::Snapshots, bytes);
    let stranger = SigningKey::generate().unwrap();
    refused(takes(&snapshot(&key, &stranger, key.writer, refs, 9)), "no open writer of this repository signed it");
    refused(takes(&snapshot(&key, &stranger, WriterId::from_bytes([7; 32]), refs, 9)), "no open writer of this repository signed it");
    refused(takes(&snapshot(&key, &web.signing, web.writer, refs, 9)), "this token belongs to writer");
    refused(takes(&snapshot(&key, &key.signing, key.writer, RefsId::from_bytes([3; 32]), 9)), "that it names is not there");
    refused(takes(b"garbage"), "422");
    assert_eq!(everything(&cluster.admin()), before);

    // Refs to an index object that is not there, and to blocks that no pack holds.
    let mut bitmap = Bitmap::new(1);
    bitmap.insert(0);
    let nothing = Refs { indexes: [("11".repeat(32).parse().unwrap(), bitmap)].into() }.encode().unwrap();
    put(&attacker, Folder::Refs, &nothing).unwrap();
    refused(takes(&snapshot(&key, &key.signing, key.writer, RefsId::of(&nothing), 9)), "that it names is not there");

    // And its own, as its program makes it: a hub cannot tell an attacker from the host.
    assert_eq!(takes(&snapshot(&key, &key.signing, key.writer, refs, 9)).unwrap(), Put::Created);
}

#[test]
fn commits_are_taken_of_its_own_snapshots_only() {
    let cluster = Cluster::new();
    cluster.backs_up();
    let (attacker, _) = cluster.burgled();
    let absent = SnapshotId::from_bytes([5; 32]);
    refused(attacker.put_new(&snapshots::name(Folder::Commits, &absent), &marks::encode_commit(&absent)), "there is no such snapshot");
    let other = SnapshotId::from_bytes([6; 32]);
    refused(
        attacker.put_new(&snapshots::name(Folder::Commits, &absent), &marks::encode_commit(&other)),
        "another snapshot than its name says",
    );
    refused(attacker.put_new(&snapshots::name(Folder::Commits, &absent), b"mine"), "422");
}

#[test]
fn a_writer_that_is_closed_brings_nothing_more() {
    let cluster = Cluster::new();
    cluster.backs_up();
    let (attacker, key) = cluster.burgled();
    let refs = refs_of(&attacker);
    cluster.ok("admin", &["key", "close-writer", &key.writer.to_string(), "--key", "r.key"]);
    refused(
        put(&attacker, Folder::Snapshots, &snapshot(&key, &key.signing, key.writer, refs, 9)),
        "no open writer of this repository signed it",
    );
}

#[test]
fn a_flood_ends_before_the_repository_has_more_snapshots_than_can_be_read() {
    let cluster = Cluster::new();
    cluster.backs_up();
    let (attacker, key) = cluster.burgled();
    let forged = |sequence| snapshot(&key, &key.signing, key.writer, refs_of(&attacker), sequence);
    put(&attacker, Folder::Snapshots, &forged(100)).unwrap();
    let folder = cluster.server.path("nas");
    for number in 0..50_000_u64 {
        let name = ObjectName::of_id(Folder::Snapshots, blake3::hash(&number.to_le_bytes()).as_bytes());
        let path = folder.join(name.path());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, b"").unwrap();
    }
    refused(put(&attacker, Folder::Snapshots, &forged(101)), "snapshots already");
}
