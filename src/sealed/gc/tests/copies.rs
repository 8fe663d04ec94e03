//! What is needed and lies in a pack that goes is copied first; sparse and small packs go for that.

use std::time::Duration;

use super::vault::{BLOCK, DAY, Made, Vault};
use crate::model::event::{Collect, Severity, Silent};
use crate::sealed::gc::{self, Options, Outcome};
use crate::sealed::marks;
use crate::sealed::pack::{self, Class};
use crate::store::{Folder, Store};

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
