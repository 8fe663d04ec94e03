//! What is not needed goes in two steps: first condemned, then deleted.

use std::sync::Arc;
use std::time::Duration;

use super::vault::{BLOCK, DAY, Vault};
use crate::model::event::{Collect, Severity, Silent};
use crate::sealed::fixture;
use crate::sealed::forget;
use crate::sealed::gc::{self, Options, Outcome, PATIENCE, Reason};
use crate::sealed::marks;
use crate::sealed::pack::{self, Class};
use crate::sealed::repository::Repository;
use crate::store::layer::fault::FaultStore;
use crate::store::{Folder, ObjectName, Store};

#[test]
fn what_is_needed_stays_and_what_is_not_goes_in_two_steps() {
    let mut vault = Vault::new();
    let kept = vault.snapshot(4, &[0, 1, 2, 3]);
    let (dead, _) = vault.pack(3);
    assert_eq!(vault.prune().packs_condemned, 0, "it is younger than the grace period");
    vault.memory.advance(DAY);
    let marked = vault.prune();
    assert_eq!((marked.packs_condemned, marked.packs_deleted), (1, 0));
    vault.memory.advance(DAY / 2);
    assert_eq!(vault.prune(), Outcome::default());
    vault.memory.advance(DAY / 2);
    let swept = vault.prune();
    assert_eq!((swept.packs_condemned, swept.packs_deleted, swept.bytes_copied), (0, 1, 0));
    assert_eq!(swept.bytes_freed, dead.size);
    assert!(vault.has_pack(&kept.pack) && !vault.has_pack(&dead));
    assert_eq!(vault.count(Folder::Index), 1, "the index object of the dead pack is gone too");
    assert!(vault.is_whole(&kept.id));
    assert_eq!(vault.count(Folder::Prunes), 0, "announcements are taken back");
}

#[test]
fn what_the_store_refuses_to_delete_is_told_and_tried_again() {
    let mut vault = Vault::new();
    let kept = vault.snapshot(2, &[0, 1]);
    let gone = vault.snapshot(2, &[0]);
    forget::forget(&vault.repository, &gone.id).unwrap();
    let locked = FaultStore::new(Arc::new(vault.memory.clone()));
    Folder::ALL.iter().for_each(|folder| locked.lock(*folder));
    let repository = fixture::open(Arc::new(locked.clone()));
    let prune = |repository: &Repository| {
        let heard = Collect::default();
        (gc::prune(repository, &Options::default(), &heard).unwrap(), heard.findings(Severity::Warning))
    };
    vault.memory.advance(DAY * 2);
    assert_eq!(prune(&repository).0.packs_condemned, 1);
    for _ in 0..2 {
        vault.memory.advance(DAY * 2);
        let (outcome, told) = prune(&repository);
        assert_eq!((outcome.packs_refused, outcome.packs_deleted, outcome.bytes_freed), (1, 0, 0));
        let pack = pack::name(&gone.pack.id).to_string();
        assert!(told.iter().any(|told| told.contains(&pack) && told.contains("tries again")), "{told:?}");
        assert!(vault.has_pack(&gone.pack));
    }
    locked.heal();
    vault.memory.advance(DAY * 2);
    let (outcome, _) = prune(&repository);
    assert_eq!((outcome.packs_deleted, outcome.snapshots_expired), (1, 1));
    assert!(vault.is_whole(&kept.id) && !vault.has_pack(&gone.pack));
}

#[test]
fn without_grace_one_run_marks_and_sweeps() {
    let mut vault = Vault::new();
    let (kept, gone) = (vault.snapshot(2, &[0, 1]), vault.snapshot(2, &[0, 1]));
    forget::forget(&vault.repository, &gone.id).unwrap();
    let outcome = vault.prune_at_once();
    assert_eq!((outcome.packs_condemned, outcome.packs_deleted, outcome.snapshots_expired), (1, 1, 1));
    assert_eq!(
        [Folder::Packs, Folder::Index, Folder::Refs, Folder::Forgotten, Folder::Commits].map(|folder| vault.count(folder)),
        [1, 1, 1, 0, 1]
    );
    assert!(vault.is_whole(&kept.id));
}

#[test]
fn a_dry_run_changes_nothing() {
    let mut vault = Vault::new();
    vault.pack(3);
    let options = Options { grace: Duration::ZERO, dry_run: true, ..Options::default() };
    let plan = gc::plan(&vault.repository, &options, &Silent).unwrap();
    assert_eq!(plan.condemn.iter().map(|fate| fate.reason).collect::<Vec<_>>(), [Reason::Dead]);
    assert!(plan.freed_now() > 3 * BLOCK as u64 && plan.to_string().contains("1 dead"));
    assert_eq!(gc::execute(&vault.repository, plan, &Silent).unwrap(), Outcome::default());
    assert_eq!((vault.packs(), vault.count(Folder::Condemned)), (1, 0));
}

#[test]
fn packs_that_no_list_names_are_found_by_their_footers() {
    let vault = Vault::new();
    let orphan = fixture::put_pack(&vault.memory, Class::Tree, &[vec![1; 100]]).unwrap();
    assert_eq!(vault.prune_at_once().packs_deleted, 1);
    assert!(!vault.has_pack(&orphan));
}

#[test]
fn a_pack_without_a_footer_is_left_alone() {
    let mut vault = Vault::new();
    let (cut, _) = vault.pack(2);
    vault.memory.tamper(&pack::name(&cut.id), vec![7; 100]);
    let monitor = Collect::default();
    gc::prune(&vault.repository, &Options { grace: Duration::ZERO, ..Options::default() }, &monitor).unwrap();
    assert!(vault.has_pack(&cut));
    assert_eq!(monitor.findings(Severity::Warning).len(), 1);
}

#[test]
fn missing_blocks_are_reported_and_do_not_stop() {
    let mut vault = Vault::new();
    let made = vault.snapshot(2, &[0, 1]);
    vault.memory.delete(&pack::name(&made.pack.id)).unwrap();
    let monitor = Collect::default();
    gc::prune(&vault.repository, &Options::default(), &monitor).unwrap();
    let findings = monitor.findings(Severity::Error);
    assert!(findings.len() == 1 && findings[0].contains(&made.id.to_string()) && findings[0].contains("2 blocks"), "{findings:?}");
}

#[test]
fn the_younger_prune_yields_unless_the_older_is_stale() {
    let vault = Vault::new();
    let other = ObjectName::of_id(Folder::Prunes, &[0; 32]);
    let text = marks::encode_announcement(&marks::Announcement { by: "elsewhere 1".into() }).unwrap();
    vault.memory.put_new(&other, &text).unwrap();
    vault.memory.advance(Duration::from_secs(1));
    assert_eq!(vault.prune().yielded_to.as_deref(), Some("elsewhere 1"));
    assert_eq!(vault.count(Folder::Prunes), 1, "only its own announcement is taken back");
    vault.memory.advance(DAY);
    assert_eq!(vault.prune().yielded_to, None);
    assert_eq!(vault.count(Folder::Prunes), 0);
}

#[test]
fn condemned_objects_go_thirty_days_after_what_they_name() {
    let mut vault = Vault::new();
    vault.pack(1);
    vault.prune_at_once();
    assert_eq!((vault.packs(), vault.count(Folder::Condemned)), (0, 1));
    vault.memory.advance(PATIENCE);
    assert_eq!(vault.prune().objects_deleted, 1);
    assert_eq!(vault.count(Folder::Condemned), 0);
}

#[test]
fn clocks_that_run_backwards_make_things_young() {
    let mut vault = Vault::new();
    let (pack, _) = vault.pack(1);
    vault.memory.set_now(vault.memory.now().unwrap() - 400 * DAY);
    assert_eq!(vault.prune(), Outcome::default());
    assert!(vault.has_pack(&pack));
}
