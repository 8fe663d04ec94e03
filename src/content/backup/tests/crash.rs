//! Kills at every change of the store, and random schedules of backups, forgets, prunes and kills: no committed snapshot
//! may lose a block, and the next run always goes on.

use std::time::Duration;

use super::*;
use crate::content::check;
use crate::content::restore::{RestoreOptions, compare, restore};
use crate::model::event::Silent;
use crate::sealed::{forget, gc};
use crate::source::exclude::Selection;
use crate::store::layer::{FaultStore, Moment};
use crate::store::{Packing, Store as _};

/// The bench with a store that can be killed.
fn breakable() -> (Bench, Arc<FaultStore>, MemoryStore) {
    let memory = MemoryStore::new();
    let faults = Arc::new(FaultStore::new(Arc::new(memory.clone())));
    (Bench::on(faults.clone()), faults, memory)
}

/// Everything committed can be opened and restored.
fn assert_sound(bench: &Bench, when: &str) {
    let vault = bench.fixture.vault();
    let report = check::read_data(&vault, &Silent).unwrap();
    assert_eq!(report.problems, [], "{when}");
}

fn assert_newest_restores(bench: &Bench, when: &str) {
    let vault = bench.fixture.vault();
    let snapshots = Snapshots::load(vault.repository(), Folder::Snapshots).unwrap();
    let newest = snapshots.list.iter().filter(|snapshot| snapshot.counts()).max_by_key(|snapshot| snapshot.envelope.sequence).unwrap();
    let open = OpenSnapshot::open(&vault, newest).unwrap();
    let target = tempfile::tempdir().unwrap();
    let options = RestoreOptions { target: target.path().to_owned(), ..RestoreOptions::default() };
    assert_eq!(restore(&vault, &open, &options, &Silent).unwrap().lost, [], "{when}");
    assert_eq!(compare(&vault, &open, target.path(), &Selection::default(), &Silent).unwrap(), [], "{when}");
    assert_eq!(bench.files(), on_disk(bench.source.path()), "{when}");
}

#[test]
fn a_kill_at_any_change_of_the_store_leaves_it_sound_and_the_next_run_goes_on() {
    let (bench, faults, _) = breakable();
    let before = faults.changes();
    bench.backup();
    let changes = faults.changes() - before;
    assert!(changes >= 6, "packs, index, refs, snapshot, commit");
    for moment in [Moment::Before, Moment::After] {
        for change in 1..=changes {
            let when = format!("killed {moment:?} change {change}");
            let (bench, faults, _) = breakable();
            faults.kill_at_change(change, moment);
            assert!(bench.run(|_| {}).is_err() || (change == changes && moment == Moment::After), "{when}");
            faults.heal();
            assert_sound(&bench, &when);
            fs::write(bench.source.path().join("later"), when.as_bytes()).unwrap();
            bench.backup();
            assert_sound(&bench, &when);
            assert_newest_restores(&bench, &when);
        }
    }
}

#[test]
fn a_full_store_fails_the_run_and_loses_nothing() {
    let (bench, faults, _) = breakable();
    bench.backup();
    fs::write(bench.source.path().join("more"), noise(3_000_000, 9)).unwrap();
    faults.full_after(1_000_000);
    let error = bench.run(|_| {}).unwrap_err().to_string();
    assert!(error.contains("no space left"), "{error}");
    faults.heal();
    assert_sound(&bench, "after the disk was full");
    bench.backup();
    assert_newest_restores(&bench, "after the disk was full");
}

/// Packs of 100 kB, two written at a time, on a store that can be full.
fn narrow() -> (Bench, Arc<FaultStore>, MemoryStore) {
    let memory = MemoryStore::with_packing(Packing { size: 100_000, at_once: 2 });
    let faults = Arc::new(FaultStore::new(Arc::new(memory.clone())));
    (Bench::on(faults.clone()), faults, memory)
}

#[test]
fn a_run_goes_on_where_one_stopped_that_could_not_even_store_its_index() {
    let (bench, faults, memory) = narrow();
    fs::write(bench.source.path().join("more"), noise(30_000_000, 9)).unwrap();
    faults.full_after(20_000_000);
    bench.run(|_| {}).unwrap_err();
    let stored: u64 = memory.list(Folder::Packs).unwrap().iter().map(|info| info.size).sum();
    assert!(stored > 10_000_000, "{stored}");
    assert_eq!(memory.list(Folder::Index).unwrap(), [], "the store is full to the last byte");

    faults.heal();
    let summary = bench.backup();
    let total: u64 = memory.list(Folder::Packs).unwrap().iter().map(|info| info.size).sum();
    assert!(total < 35_600_000, "{total} bytes in packs for 35 MB");
    assert!(summary.statistics.bytes_stored < total - stored + 100_000);
    assert_sound(&bench, "after it went on");
    assert_newest_restores(&bench, "after it went on");
    bench.backup();
    assert_sound(&bench, "in the run after");
}

#[test]
fn a_checkpoint_names_also_what_earlier_runs_stored_that_came_to_no_snapshot() {
    let (bench, faults, memory) = narrow();
    fs::write(bench.source.path().join("more"), noise(30_000_000, 9)).unwrap();
    for _ in 0..2 {
        faults.fail_change(6, Moment::Before);
        bench.run(|_| {}).unwrap_err();
    }
    let checkpoints = crate::sealed::snapshots::read_checkpoints(&bench.fixture.repository()).unwrap();
    let newest = checkpoints.iter().max_by_key(|checkpoint| checkpoint.envelope.sequence).unwrap();
    let refs = crate::sealed::refs::read(&memory, &newest.envelope.refs).unwrap();
    assert_eq!((refs.indexes.len(), memory.list(Folder::Index).unwrap().len()), (2, 2));
}

#[test]
fn what_waits_to_be_listed_is_dropped_when_its_packs_are_gone() {
    let (bench, faults, memory) = narrow();
    fs::write(bench.source.path().join("more"), noise(30_000_000, 9)).unwrap();
    faults.full_after(20_000_000);
    bench.run(|_| {}).unwrap_err();
    faults.heal();
    let pack = memory.list(Folder::Packs).unwrap().remove(7);
    memory.delete(&pack.name).unwrap();
    bench.backup();
    assert_sound(&bench, "though a pack was taken away");
    assert_newest_restores(&bench, "though a pack was taken away");
}

/// A small generator with a fixed seed: schedules must be the same on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

fn prune(bench: &Bench, grace: Duration) {
    let options = gc::Options { grace, ..gc::Options::default() };
    // A killed store fails the prune, which is the point.
    let _ = gc::prune(&bench.fixture.repository(), &options, &Silent);
}

fn forget_one(bench: &Bench, dice: &mut Dice) {
    let Ok(snapshots) = Snapshots::load(&bench.fixture.repository(), Folder::Snapshots) else { return };
    if snapshots.list.len() > 1 {
        let chosen = &snapshots.list[dice.roll(snapshots.list.len() as u64) as usize];
        let _ = forget::forget(&bench.fixture.repository(), &chosen.id);
    }
}

fn change_source(bench: &Bench, dice: &mut Dice) {
    let path = bench.source.path().join(format!("file{}", dice.roll(6)));
    if dice.roll(4) == 0 {
        let _ = fs::remove_file(path);
    } else {
        fs::write(path, noise(1000 + dice.roll(600_000) as usize, dice.roll(8))).unwrap();
    }
}

#[test]
fn random_schedules_of_backups_forgets_prunes_and_kills_lose_nothing() {
    for seed in 0..12 {
        let mut dice = Dice(seed);
        let (mut bench, faults, memory) = breakable();
        bench.backup();
        for step in 0..25 {
            let when = format!("seed {seed}, step {step}");
            if dice.roll(4) == 0 {
                faults.kill_at_change(1 + dice.roll(12), if dice.roll(2) == 0 { Moment::Before } else { Moment::After });
            }
            match dice.roll(7) {
                0..=2 => {
                    change_source(&bench, &mut dice);
                    let _ = bench.run(|_| {});
                }
                3 => forget_one(&bench, &mut dice),
                4 => prune(&bench, Duration::ZERO),
                5 => prune(&bench, Duration::from_secs(3600)),
                _ => bench.state = tempfile::tempdir().unwrap(),
            }
            memory.advance(Duration::from_secs(60 * dice.roll(90)));
            faults.heal();
            assert_sound(&bench, &when);
        }
        bench.backup();
        assert_newest_restores(&bench, &format!("seed {seed}"));
    }
}

#[test]
fn a_prune_between_scan_and_commit_is_noticed_and_healed() {
    // The pack that the second run wants to reuse is condemned and swept while its state still believes in it.
    let (bench, _, _) = breakable();
    let first = bench.backup().snapshot.unwrap();
    forget::forget(&bench.fixture.repository(), &first).unwrap();
    prune(&bench, Duration::ZERO);
    let second = bench.backup();
    assert!(second.statistics.bytes_new > 4_000_000, "everything is stored again");
    assert_sound(&bench, "after the prune");
    assert_newest_restores(&bench, "after the prune");
}
