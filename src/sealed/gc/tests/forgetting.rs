//! Forgetting a snapshot, bringing it back, pinning it; prunes come between.

use std::sync::Arc;

use super::vault::{DAY, Vault};
use crate::model::event::Silent;
use crate::sealed::fixture;
use crate::sealed::gc::{self, Options};
use crate::sealed::snapshots;
use crate::sealed::{SealedError, forget};
use crate::store::{Folder, Store};

#[test]
fn an_unknown_feature_for_keepers_stops_prune_and_forget() {
    let mut vault = Vault::new();
    let made = vault.snapshot(1, &[0]);
    let later = fixture::amend(Arc::new(vault.memory.clone()), |statement| statement.features.keep.push("tiers".into()));
    assert!(matches!(gc::plan(&later, &Options::default(), &Silent), Err(SealedError::TooNew { .. })));
    assert!(matches!(forget::forget(&later, &made.id), Err(SealedError::TooNew { .. })));
}

#[test]
fn a_forget_can_be_undone_for_a_grace_period_after_the_mark() {
    let mut vault = Vault::new();
    let made = vault.snapshot(3, &[0, 1, 2]);
    vault.memory.advance(DAY);
    forget::forget(&vault.repository, &made.id).unwrap();
    assert_eq!(vault.prune().packs_condemned, 1);
    forget::unforget(&vault.repository, &made.id).unwrap();
    assert!(vault.is_whole(&made.id), "its blocks were copied out of the condemned pack");
    assert_eq!(vault.count(Folder::Forgotten), 0);
    vault.memory.advance(DAY);
    vault.prune();
    assert!(vault.is_whole(&made.id) && !vault.has_pack(&made.pack));
    let list = snapshots::Snapshots::load(&vault.repository, Folder::Snapshots).unwrap().list;
    assert!(list[0].counts());
}

#[test]
fn a_snapshot_that_is_brought_back_is_as_old_as_it_was() {
    let mut vault = Vault::new();
    let (old, new) = (vault.snapshot(1, &[0]), vault.snapshot(1, &[0]));
    let received = |vault: &Vault| {
        let list = snapshots::Snapshots::load(&vault.repository, Folder::Snapshots).unwrap().list;
        list.into_iter().map(|snapshot| (snapshot.id, snapshot.received)).collect::<Vec<_>>()
    };
    let before = received(&vault);
    vault.memory.advance(DAY);
    forget::forget(&vault.repository, &old.id).unwrap();
    vault.memory.advance(DAY);
    forget::unforget(&vault.repository, &old.id).unwrap();
    assert_eq!(received(&vault), before, "and {} is still the newest", new.id);
}

#[test]
fn a_fresh_forget_can_be_undone_although_a_sweep_came_between() {
    let mut vault = Vault::new();
    let made = vault.snapshot(3, &[0]);
    vault.memory.advance(DAY);
    assert_eq!(vault.prune().packs_condemned, 1, "it is sparse");
    vault.memory.advance(DAY);
    forget::forget(&vault.repository, &made.id).unwrap();
    assert_eq!(vault.prune().packs_deleted, 1);
    forget::unforget(&vault.repository, &made.id).unwrap();
    assert!(vault.is_whole(&made.id));
}

#[test]
fn after_the_sweep_a_forget_stands() {
    let mut vault = Vault::new();
    let made = vault.snapshot(1, &[0]);
    forget::forget(&vault.repository, &made.id).unwrap();
    let bytes = vault.memory.get(&snapshots::name(Folder::Forgotten, &made.id), 1 << 20).unwrap();
    vault.prune_at_once();
    assert!(matches!(forget::unforget(&vault.repository, &made.id), Err(SealedError::NoSnapshot { .. })));
    vault.memory.put_new(&snapshots::name(Folder::Forgotten, &made.id), &bytes).unwrap();
    assert!(matches!(forget::unforget(&vault.repository, &made.id), Err(SealedError::Unrecoverable { .. })));
    assert_eq!([Folder::Snapshots, Folder::Commits, Folder::Forgotten].map(|folder| vault.count(folder)), [0, 0, 1]);
}

#[test]
fn a_pinned_snapshot_is_not_forgotten() {
    let mut vault = Vault::new();
    let made = vault.snapshot(1, &[0]);
    forget::pin(&vault.repository, &made.id).unwrap();
    assert!(matches!(forget::forget(&vault.repository, &made.id), Err(SealedError::Pinned { .. })));
    forget::unpin(&vault.repository, &made.id).unwrap();
    forget::forget(&vault.repository, &made.id).unwrap();
    assert!(matches!(forget::pin(&vault.repository, &made.id), Err(SealedError::NoSnapshot { .. })));
}
