//! A hostile store and a hostile former host: forged, swapped and old objects, and who notices (design: `docs/threat-model.md`).

use super::*;
use crate::content::ContentError;
use crate::content::keys::SigningKey;
use crate::content::restore::{RestoreOptions, restore};
use crate::model::event::Silent;
use crate::model::id::{SnapshotId, WriterId};
use crate::sealed::envelope;
use crate::sealed::repository::{Repository, Trust};
use crate::sealed::signature::Subject;
use crate::sealed::snapshots::Signer;
use crate::sealed::{SealedError, snapshots, statement};
use crate::store::{ObjectName, Store as _};

fn bench() -> (Bench, MemoryStore) {
    let memory = MemoryStore::new();
    let bench = Bench::on(Arc::new(memory.clone()));
    bench.backup();
    (bench, memory)
}

fn open(bench: &Bench) -> Result<Repository, SealedError> {
    Repository::open(
        Arc::clone(&bench.fixture.store),
        &Trust { expected: Some(bench.fixture.key.repository), seen: Some(bench.fixture.key.seen) },
    )
}

#[test]
fn another_repository_in_the_same_place_is_noticed() {
    let (bench, memory) = bench();
    let other = MemoryStore::new();
    Fixture::new(Arc::new(other.clone()));
    for number in 0..2 {
        let name = statement::name(number);
        memory.tamper(&name, other.get(&name, 1 << 20).unwrap());
    }
    assert!(matches!(open(&bench), Err(SealedError::OtherRepository { .. })));
}

#[test]
fn a_statement_signed_by_another_key_is_forged() {
    let (bench, memory) = bench();
    let repository = open(&bench).unwrap();
    let mut next = repository.statement().clone();
    next.number = 2;
    next.previous = Some(repository.seen().1);
    next.content[0].recipient = age::x25519::Identity::generate().to_public().to_string();
    let text = next.text().unwrap();
    let intruder = SigningKey::generate().unwrap();
    let bytes = statement::encode(&text, &intruder.sign(Subject::Statement, &repository.id(), &text));
    memory.put_new(&statement::name(2), &bytes).unwrap();
    assert!(matches!(open(&bench), Err(SealedError::Forged { .. })));
}

#[test]
fn an_older_statement_served_again_is_noticed_by_who_saw_the_newer() {
    let (bench, memory) = bench();
    memory.delete(&statement::name(1)).unwrap();
    assert!(matches!(open(&bench), Err(SealedError::RolledBack { shown: 0, seen: 1, .. })));
}

#[test]
fn a_stray_statement_is_named_with_what_to_do() {
    let (bench, memory) = bench();
    memory.put_new(&statement::name(u64::MAX), b"junk").unwrap();
    let error = open(&bench).err().unwrap().to_string();
    assert!(error.contains("repo/18446744073709551615") && error.contains("deleted"), "{error}");
}

#[test]
fn a_swapped_keys_object_opens_nothing() {
    let (bench, memory) = bench();
    let other = MemoryStore::new();
    Fixture::new(Arc::new(other.clone()));
    let foreign = other.list(Folder::Keys).unwrap().remove(0);
    let own = memory.list(Folder::Keys).unwrap().remove(0);
    memory.tamper(&own.name, other.get(&foreign.name, 1 << 20).unwrap());
    let key = crate::content::keys::RestoreKey {
        identities: vec![Box::new(bench.fixture.restore.clone())],
        repository: None,
        origin: "test".into(),
    };
    let error = crate::content::vault::Vault::open(open(&bench).unwrap(), &key).err().unwrap().to_string();
    assert!(error.contains("do not match its name"), "{error}");
}

#[test]
fn a_missing_keys_object_is_put_back_by_the_host() {
    let (bench, memory) = bench();
    let own = memory.list(Folder::Keys).unwrap().remove(0);
    memory.delete(&own.name).unwrap();
    bench.backup();
    assert!(memory.stat(&own.name).is_ok());
    assert!(bench.monitor.findings(Severity::Warning).iter().any(|finding| finding.contains("put back")));
}

/// A snapshot signed by a key that no statement names, with any sequence.
fn forge(bench: &Bench, memory: &MemoryStore, sequence: u64) -> SnapshotId {
    let repository = open(bench).unwrap();
    let real = Snapshots::load(&repository, Folder::Snapshots).unwrap().list.remove(0);
    let mut forged = real.envelope;
    forged.sequence = sequence;
    let payload = b"payload".as_slice();
    forged.payload = Some(blake3::hash(payload).to_hex().to_string());
    let text = serde_json::to_vec(&forged).unwrap();
    let intruder = SigningKey::generate().unwrap();
    let bytes = envelope::encode(Subject::Snapshot, &text, &intruder.sign(Subject::Snapshot, &repository.id(), &text), payload);
    let id = SnapshotId::of(&bytes);
    memory.put_new(&snapshots::name(Folder::Snapshots, &id), &bytes).unwrap();
    id
}

#[test]
fn a_forged_snapshot_counts_for_nothing() {
    let (bench, memory) = bench();
    let id = forge(&bench, &memory, u64::MAX);
    let found = Snapshots::load(&open(&bench).unwrap(), Folder::Snapshots).unwrap();
    let forged = found.list.iter().find(|snapshot| snapshot.id == id).unwrap();
    assert_eq!((forged.signer, forged.counts()), (Signer::Unknown, false));
    bench.backup();
    let newest = Snapshots::load(&open(&bench).unwrap(), Folder::Snapshots).unwrap();
    let own = newest.list.iter().filter(|snapshot| snapshot.signer == Signer::Known).map(|snapshot| snapshot.envelope.sequence).max();
    assert_eq!(own, Some(2), "its sequence does not push the writer's own");
}

#[test]
fn a_payload_under_another_envelope_is_noticed() {
    let (bench, memory) = bench();
    fs::write(bench.source.path().join("second"), b"x").unwrap();
    bench.backup();
    let list = Snapshots::load(&open(&bench).unwrap(), Folder::Snapshots).unwrap().list;
    let name = |id: &SnapshotId| snapshots::name(Folder::Snapshots, id);
    let bytes = memory.get(&name(&list[1].id), 1 << 20).unwrap();
    memory.tamper(&name(&list[0].id), bytes);
    let found = Snapshots::load(&open(&bench).unwrap(), Folder::Snapshots).unwrap();
    assert_eq!((found.list.len(), found.unreadable.len()), (1, 1), "the name is the hash of the whole object");
}

#[test]
fn an_index_object_that_no_own_snapshot_names_is_not_believed() {
    let (mut bench, memory) = bench();
    // The index object stays, the snapshot that vouches for it goes; the host has lost its cache.
    for folder in [Folder::Snapshots, Folder::Commits] {
        for info in memory.list(folder).unwrap() {
            memory.delete(&info.name).unwrap();
        }
    }
    bench.state = tempfile::tempdir().unwrap();
    let second = bench.backup();
    assert!(second.statistics.bytes_new > 5_000_000, "everything is stored again");
}

#[test]
fn swapped_packs_cost_only_themselves_and_are_told() {
    let (bench, memory) = bench();
    let packs = memory.list(Folder::Packs).unwrap();
    let contents: Vec<Vec<u8>> = packs.iter().map(|info| memory.get(&info.name, 1 << 30).unwrap()).collect();
    assert!(packs.len() >= 2);
    memory.tamper(&packs[0].name, contents[1].clone());
    memory.tamper(&packs[1].name, contents[0].clone());
    // Footers tell where the blocks are now, so nothing at all is lost.
    let vault = bench.fixture.vault();
    let list = Snapshots::load(vault.repository(), Folder::Snapshots).unwrap().list;
    let snapshot = OpenSnapshot::open(&vault, &list[0]).unwrap();
    let target = tempfile::tempdir().unwrap();
    let options = RestoreOptions { target: target.path().to_owned(), ..RestoreOptions::default() };
    assert_eq!(restore(&vault, &snapshot, &options, &Silent).unwrap().lost, []);
}

#[test]
fn a_junk_object_among_the_condemned_stops_writers_but_not_readers() {
    let (bench, memory) = bench();
    memory.put_new(&ObjectName::of_id(Folder::Condemned, &[7; 32]), b"junk").unwrap();
    assert_eq!(bench.files(), on_disk(bench.source.path()), "readers read on");
    let error = bench.run(|_| {}).unwrap_err().to_string();
    assert!(error.contains("condemned/"), "{error}");
}

#[test]
fn a_closed_or_unknown_writer_cannot_write() {
    let (mut bench, _) = bench();
    bench.fixture.key.writer = WriterId::from_bytes([9; 32]);
    let error = bench.run(|_| {}).unwrap_err();
    assert!(matches!(&error, ContentError::Key { why, .. } if why.contains("add-writer")), "{error}");
}
