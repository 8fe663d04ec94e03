//! The rules of prune, one by one.

use std::sync::Arc;
use std::time::Duration;

use crate::model::event::{Collect, Severity, Silent};
use crate::model::id::{BlockId, CondemnedId, IndexId, PackId, SnapshotId};
use crate::sealed::fixture::{self, Random, refs_to};
use crate::sealed::gc::{self, Options, Outcome, PATIENCE, Reason};
use crate::sealed::marks::{self, Condemned};
use crate::sealed::pack::{self, Class, StoredPack};
use crate::sealed::refs;
use crate::sealed::repository::Repository;
use crate::sealed::snapshots;
use crate::sealed::{SealedError, forget, presence};
use crate::store::layer::fault::{FaultStore, Moment};
use crate::store::{Folder, MemoryStore, ObjectName, Store};

const DAY: Duration = Duration::from_secs(86_400);
const BLOCK: usize = 1000;

/// A repository and what stands in it.
struct Vault {
    memory: MemoryStore,
    repository: Repository,
    random: Random,
    sequence: u64,
}

/// A snapshot with what it was made of.
struct Made {
    id: SnapshotId,
    index: IndexId,
    pack: StoredPack,
}

impl Vault {
    fn new() -> Self {
        let memory = MemoryStore::new();
        fixture::create(&memory, 2);
        let repository = fixture::open(Arc::new(memory.clone()));
        Self { memory, repository, random: Random(1), sequence: 0 }
    }

    /// A pack and its index object.
    fn pack(&mut self, blocks: usize) -> (StoredPack, IndexId) {
        let blocks: Vec<_> = (0..blocks).map(|_| self.random.bytes(BLOCK)).collect();
        let pack = fixture::put_pack(&self.memory, Class::Data, &blocks).unwrap();
        let index = fixture::put_index(&self.memory, std::slice::from_ref(&pack), &self.random.bytes(8)).unwrap().0;
        (pack, index)
    }

    /// An uncommitted snapshot of some of an index object's blocks.
    fn draft(&mut self, writer: u8, index: IndexId, blocks: usize, positions: &[usize]) -> SnapshotId {
        self.sequence += 1;
        let refs = refs_to(index, blocks, positions.iter().copied());
        let refs = fixture::put_refs(&self.memory, &refs, &self.random.bytes(16)).unwrap();
        fixture::put_snapshot(&self.repository, writer, self.sequence, refs).unwrap()
    }

    /// A committed snapshot that needs the given blocks of a new pack.
    fn snapshot(&mut self, blocks: usize, positions: &[usize]) -> Made {
        let (pack, index) = self.pack(blocks);
        let id = self.draft(0, index, blocks, positions);
        fixture::put_commit(&self.memory, &id).unwrap();
        Made { id, index, pack }
    }

    fn prune(&self) -> Outcome {
        gc::prune(&self.repository, &Options::default(), &Silent).unwrap()
    }

    fn prune_at_once(&self) -> Outcome {
        gc::prune(&self.repository, &Options { grace: Duration::ZERO, ..Options::default() }, &Silent).unwrap()
    }

    fn has_pack(&self, pack: &StoredPack) -> bool {
        self.memory.stat(&pack::name(&pack.id)).is_ok()
    }

    fn packs(&self) -> usize {
        self.memory.list(Folder::Packs).unwrap().len()
    }

    fn count(&self, folder: Folder) -> usize {
        self.memory.list(folder).unwrap().len()
    }

    fn is_whole(&self, id: &SnapshotId) -> bool {
        let list = snapshots::Snapshots::load(&self.repository, Folder::Snapshots).unwrap().list;
        let Some(snapshot) = list.iter().find(|snapshot| snapshot.id == *id) else { return false };
        let refs = refs::read(&self.memory, &snapshot.envelope.refs).unwrap();
        presence::absent(&self.memory, &snapshot.envelope.refs, &refs).unwrap().is_empty()
    }

    fn condemn(&self, packs: impl IntoIterator<Item = PackId>) -> CondemnedId {
        let bytes = marks::encode_condemned(&Condemned { packs: packs.into_iter().collect(), ..Condemned::default() }).unwrap();
        let id = CondemnedId::of(&bytes);
        self.memory.put_new(&ObjectName::of_id(Folder::Condemned, id.as_bytes()), &bytes).unwrap();
        id
    }
}

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
fn the_rest_of_a_sparse_pack_moves() {
    let mut vault = Vault::new();
    let sparse = vault.snapshot(4, &[1]);
    let outcome = vault.prune_at_once();
    assert_eq!((outcome.packs_deleted, outcome.bytes_copied), (1, BLOCK as u64));
    assert!(!vault.has_pack(&sparse.pack) && vault.is_whole(&sparse.id));
    assert_eq!((vault.packs(), vault.count(Folder::Maps)), (1, 1));
    assert_eq!(vault.prune_at_once().packs_condemned, 0, "what was moved is settled");
}

#[test]
fn tolerated_waste_is_left_and_the_sparsest_packs_go_first() {
    let mut vault = Vault::new();
    let dense = vault.snapshot(10, &[0, 1, 2, 3, 4, 5, 6, 7, 8]);
    let sparse = vault.snapshot(10, &[0, 1, 2]);
    vault.prune_at_once();
    assert!(vault.has_pack(&dense.pack) && !vault.has_pack(&sparse.pack));
    let all = Options { grace: Duration::ZERO, max_unused: 0.0, dry_run: false };
    gc::prune(&vault.repository, &all, &Silent).unwrap();
    assert!(!vault.has_pack(&dense.pack));
    assert!(vault.is_whole(&dense.id) && vault.is_whole(&sparse.id));
}

#[test]
fn a_running_backup_does_not_make_others_be_rewritten() {
    let mut vault = Vault::new();
    let dense = vault.snapshot(20, &(0..19).collect::<Vec<_>>());
    vault.memory.advance(DAY);
    let (running, _) = vault.pack(200);
    assert_eq!(vault.prune(), Outcome::default());
    assert!(vault.has_pack(&dense.pack) && vault.has_pack(&running));
}

#[test]
fn many_small_packs_become_one_and_few_are_left_alone() {
    let mut vault = Vault::new();
    let mut made: Vec<Made> = (0..7).map(|_| vault.snapshot(1, &[0])).collect();
    assert_eq!(vault.prune_at_once().packs_condemned, 0);
    made.push(vault.snapshot(1, &[0]));
    assert_eq!(vault.prune_at_once().packs_deleted, 8);
    assert_eq!(vault.packs(), 1);
    assert!(made.iter().all(|made| vault.is_whole(&made.id)));
}

#[test]
fn many_small_maps_become_one() {
    let mut vault = Vault::new();
    let mut made = Vec::new();
    for _ in 0..17 {
        made.push(vault.snapshot(2, &[0]));
        vault.prune_at_once();
    }
    vault.prune_at_once();
    assert!(vault.count(Folder::Maps) < 16, "{}", vault.count(Folder::Maps));
    assert!(made.iter().all(|made| vault.is_whole(&made.id)));
}

#[test]
fn a_condemned_pack_that_is_needed_whole_moves_to_a_pack_of_another_id() {
    let mut vault = Vault::new();
    let made = vault.snapshot(2, &[0, 1]);
    let id = vault.condemn([made.pack.id]);
    vault.memory.advance(DAY);
    let monitor = Collect::default();
    gc::prune(&vault.repository, &Options::default(), &monitor).unwrap();
    assert!(!vault.has_pack(&made.pack) && vault.is_whole(&made.id));
    let findings = monitor.findings(Severity::Warning);
    assert!(findings.len() == 1 && findings[0].contains(&id.to_string()), "condemning the living is reported: {findings:?}");
}

#[test]
fn a_second_copy_is_never_a_reason_not_to_copy() {
    let mut vault = Vault::new();
    let made = vault.snapshot(1, &[0]);
    // A pack whose footer claims the block but holds other bytes.
    let mut forged = pack::PackWriter::new(&vault.memory, Class::Data).unwrap();
    forged.block(made.pack.contents.blocks[0].id, &[0; BLOCK]).unwrap();
    forged.finish().unwrap();
    vault.condemn([made.pack.id]);
    assert_eq!(vault.prune_at_once().bytes_copied, BLOCK as u64);
    let (maps, _) = marks::read_maps(&vault.memory).unwrap();
    let copy = maps[0].1.packs[0].0;
    let mut buffer = Vec::new();
    let place = crate::sealed::locations::Location { pack: copy, class: Class::Data, offset: 24, length: BLOCK as u32 };
    crate::sealed::locations::read_block(&vault.memory, &made.pack.contents.blocks[0].id, &place, &mut buffer).unwrap();
}

#[test]
fn a_pack_with_a_damaged_needed_block_is_kept_and_not_copied_again_and_again() {
    let mut vault = Vault::new();
    let made = vault.snapshot(3, &[0, 1, 2]);
    let name = pack::name(&made.pack.id);
    let mut bytes = vault.memory.get(&name, 1 << 20).unwrap();
    bytes[8 + BLOCK + 5] ^= 1;
    vault.memory.tamper(&name, bytes);
    vault.condemn([made.pack.id]);
    let monitor = Collect::default();
    let options = Options { grace: Duration::ZERO, ..Options::default() };
    gc::prune(&vault.repository, &options, &monitor).unwrap();
    assert!(vault.has_pack(&made.pack));
    assert!(monitor.findings(Severity::Error)[0].contains("is kept"));
    let copied = vault.prune_at_once().bytes_copied;
    assert_eq!((copied, vault.prune_at_once().bytes_copied), (0, 0));
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
