//! What prune takes for needed, and what it does if that cannot be read.

use std::sync::Arc;

use super::vault::Vault;
use crate::model::event::{Collect, Severity, Silent};
use crate::sealed::fixture::{self, refs_to};
use crate::sealed::gc::{self, Options, PATIENCE};
use crate::sealed::refs;
use crate::sealed::snapshots;
use crate::sealed::{SealedError, forget};
use crate::store::{Folder, Store};

#[test]
fn an_uncommitted_snapshot_is_a_root() {
    let mut vault = Vault::new();
    let (pack, index) = vault.pack(2);
    vault.draft(0, index, 2, &[0, 1]);
    vault.prune_at_once();
    assert!(vault.has_pack(&pack));
}

#[test]
fn snapshots_of_unknown_writers_are_roots_for_thirty_days() {
    let mut vault = Vault::new();
    let (pack, index) = vault.pack(2);
    vault.draft(9, index, 2, &[0, 1]);
    vault.prune_at_once();
    assert!(vault.has_pack(&pack));
    vault.memory.advance(PATIENCE);
    vault.prune_at_once();
    assert!(!vault.has_pack(&pack));
    assert_eq!(vault.count(Folder::Snapshots), 1, "prune deletes no snapshots");
}

#[test]
fn of_a_closed_writer_only_accepted_snapshots_are_roots() {
    let mut vault = Vault::new();
    let (accepted, refused) = (vault.snapshot(2, &[0, 1]), vault.snapshot(2, &[0, 1]));
    vault.repository = fixture::close_writer(Arc::new(vault.memory.clone()), 0, vec![accepted.id]);
    vault.prune_at_once();
    assert!(vault.has_pack(&accepted.pack) && !vault.has_pack(&refused.pack));
}

#[test]
fn the_newest_checkpoint_is_a_root_until_a_snapshot_follows_or_thirty_days_pass() {
    for snapshot_follows in [true, false] {
        let mut vault = Vault::new();
        let (pack, index) = vault.pack(2);
        let refs = fixture::put_refs(&vault.memory, &refs_to(index, 2, [0, 1]), &[]).unwrap();
        fixture::put_checkpoint(&vault.repository, 0, 1, refs);
        let newest = fixture::put_checkpoint(&vault.repository, 0, 2, refs);
        vault.prune_at_once();
        assert!(vault.has_pack(&pack));
        assert_eq!(vault.memory.list(Folder::Checkpoints).unwrap()[0].name.leaf(), newest.to_string());
        vault.sequence = 2;
        if snapshot_follows {
            vault.snapshot(1, &[0]);
        } else {
            vault.memory.advance(PATIENCE);
        }
        vault.prune_at_once();
        assert!(!vault.has_pack(&pack));
        assert_eq!(vault.count(Folder::Checkpoints), 0);
    }
}

#[test]
fn a_snapshot_whose_lists_cannot_be_read_stops_prune_until_it_is_given_up() {
    for damage in ["refs gone", "refs damaged", "index gone", "index damaged", "index of another length", "snapshot damaged"] {
        let mut vault = Vault::new();
        let (good, bad) = (vault.snapshot(2, &[0, 1]), vault.snapshot(2, &[0, 1]));
        let snapshot = snapshots::name(Folder::Snapshots, &bad.id);
        let list = snapshots::Snapshots::load(&vault.repository, Folder::Snapshots).unwrap().list;
        let refs = refs::name(&list.iter().find(|one| one.id == bad.id).unwrap().envelope.refs);
        let index = crate::sealed::index::name(&bad.index);
        match damage {
            "refs gone" => vault.memory.delete(&refs).unwrap(),
            "refs damaged" => vault.memory.tamper(&refs, *b"hbrefs01"),
            "index gone" => vault.memory.delete(&index).unwrap(),
            "index damaged" => vault.memory.tamper(&index, *b"hbindx01"),
            "snapshot damaged" => vault.memory.tamper(&snapshot, *b"hbsnap01"),
            _ => {
                let id = vault.draft(0, bad.index, 3, &[0]);
                fixture::put_commit(&vault.memory, &id).unwrap();
                let before = vault.packs();
                let error = gc::prune(&vault.repository, &Options::default(), &Silent).unwrap_err().to_string();
                assert!(error.contains(&id.to_string()) && !error.contains(&bad.id.to_string()), "{error}");
                forget::forget_broken(&vault.repository, &id).unwrap();
                vault.prune();
                assert_eq!(vault.packs(), before);
                continue;
            }
        }
        let error = gc::prune(&vault.repository, &Options::default(), &Silent).unwrap_err();
        assert!(
            matches!(&error, SealedError::PruneRefused(why) if why.contains(&format!("forget --broken {}", bad.id))),
            "{damage}: {error}"
        );
        assert!(matches!(forget::forget_broken(&vault.repository, &good.id), Err(SealedError::NotBroken { .. })));
        forget::forget_broken(&vault.repository, &bad.id).unwrap();
        vault.prune_at_once();
        assert!(vault.has_pack(&good.pack) && !vault.has_pack(&bad.pack), "{damage}");
    }
}

#[test]
fn an_uncommitted_snapshot_whose_refs_are_gone_does_not_stop_prune() {
    let mut vault = Vault::new();
    let (_, index) = vault.pack(1);
    let id = vault.draft(0, index, 1, &[0]);
    let list = snapshots::Snapshots::load(&vault.repository, Folder::Snapshots).unwrap().list;
    vault.memory.delete(&refs::name(&list[0].envelope.refs)).unwrap();
    let monitor = Collect::default();
    gc::prune(&vault.repository, &Options::default(), &monitor).unwrap();
    assert!(monitor.findings(Severity::Warning)[0].contains(&id.to_string()));
}

#[test]
fn a_prune_says_which_snapshot_somebody_deleted() {
    let mut vault = Vault::new();
    let made = vault.snapshot(1, &[0]);
    let name = snapshots::name(Folder::Snapshots, &made.id);
    vault.memory.delete(&name).unwrap();
    let monitor = Collect::default();
    gc::plan(&vault.repository, &Options::default(), &monitor).unwrap();
    let told = monitor.findings(Severity::Warning);
    assert!(told.len() == 1 && told[0].starts_with(&format!("{name}: ")) && told[0].contains("somebody deleted it"), "{told:?}");
}
