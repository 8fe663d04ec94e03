//! A process that dies at any change that it makes.

use std::sync::Arc;
use std::time::Duration;

use super::vault::{DAY, Made, Vault};
use crate::model::event::Silent;
use crate::model::id::{BlockId, SnapshotId};
use crate::sealed::fixture;
use crate::sealed::gc::{self, Options};
use crate::sealed::pack;
use crate::sealed::repository::Repository;
use crate::sealed::snapshots;
use crate::sealed::{SealedError, forget};
use crate::store::layer::fault::{FaultStore, Moment};
use crate::store::{Folder, Store};

/// Kills `act` at every change it makes; afterwards `check` holds, and doing it again completes it.
fn killed_everywhere(
    prepare: impl Fn(&mut Vault) -> Made,
    act: impl Fn(&Repository, &SnapshotId) -> Result<(), SealedError>,
    check: impl Fn(&Vault, &Made),
) {
    for change in 1.. {
        for moment in [Moment::Before, Moment::After] {
            let mut vault = Vault::new();
            let made = prepare(&mut vault);
            let fault = FaultStore::new(Arc::new(vault.memory.clone()));
            let repository = fixture::open(Arc::new(fault.clone()));
            fault.kill_at_change(change, moment);
            let result = act(&repository, &made.id);
            if !fault.is_killed() {
                result.unwrap();
                assert!(change > 2);
                return;
            }
            let copies = [Folder::Snapshots, Folder::Forgotten].map(|folder| vault.memory.stat(&snapshots::name(folder, &made.id)).is_ok());
            assert!(copies.contains(&true), "change {change} {moment:?} loses the snapshot object");
            check(&vault, &made);
            match act(&vault.repository, &made.id) {
                Ok(()) | Err(SealedError::NoSnapshot { .. }) => {}
                Err(error) => panic!("change {change} {moment:?}: {error}"),
            }
        }
    }
}

fn counts(vault: &Vault, id: &SnapshotId) -> bool {
    let list = snapshots::Snapshots::load(&vault.repository, Folder::Snapshots).unwrap().list;
    list.iter().any(|snapshot| snapshot.id == *id && snapshot.counts())
}

#[test]
fn a_forget_killed_anywhere_is_done_or_not_done() {
    let forget_it = |repository: &Repository, id: &SnapshotId| forget::forget(repository, id);
    killed_everywhere(
        |vault| vault.snapshot(2, &[0, 1]),
        forget_it,
        |vault, made| {
            let visible = vault.memory.stat(&snapshots::name(Folder::Snapshots, &made.id)).is_ok();
            assert_eq!(counts(vault, &made.id), visible, "no half state is seen");
        },
    );
}

#[test]
fn an_unforget_killed_anywhere_counts_only_when_whole() {
    let prepare = |vault: &mut Vault| {
        let made = vault.snapshot(2, &[0, 1]);
        vault.memory.advance(DAY);
        forget::forget(&vault.repository, &made.id).unwrap();
        vault.prune();
        made
    };
    killed_everywhere(prepare, forget::unforget, |vault, made| {
        assert!(!counts(vault, &made.id) || vault.is_whole(&made.id));
    });
}

#[test]
fn a_prune_killed_anywhere_loses_nothing_and_the_next_one_ends_it() {
    let prepare = |vault: &mut Vault| {
        vault.pack(2);
        vault.snapshot(3, &[1])
    };
    let act = |repository: &Repository, _: &SnapshotId| {
        gc::run(repository, gc::plan(repository, &Options { grace: Duration::ZERO, ..Options::default() }, &Silent)?, &Silent)?;
        Ok(())
    };
    killed_everywhere(prepare, act, |vault, made| {
        let block: BlockId = made.pack.contents.blocks[1].id;
        let holds = |info: &crate::store::ObjectInfo| {
            pack::read_contents(&vault.memory, info).unwrap().blocks.iter().any(|entry| entry.id == block)
        };
        assert!(vault.memory.list(Folder::Packs).unwrap().iter().any(holds));
    });
}
