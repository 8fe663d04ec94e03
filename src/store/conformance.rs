//! The store's contract as a suite: every implementation and every decorator must pass it.
//!
//! A test crate calls [`store_conformance!`](crate::store_conformance) once per kind of store; it makes one test of each check:
//!
//! ```ignore
//! store_conformance!(memory, || Subject::new(MemoryStore::new()));
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "checks of a test suite fail by panicking")]

use std::any::Any;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use super::{Folder, ObjectName, Put, Store, StoreError, StoreErrorKind};

/// A new, empty store under test, with what must live as long as it does.
pub struct Subject {
    /// The store.
    pub store: Arc<dyn Store>,
    settle: Box<dyn Fn()>,
    _kept: Box<dyn Any>,
}

impl Subject {
    /// A store that needs nothing else.
    pub fn new(store: impl Store + 'static) -> Self {
        Self { store: Arc::new(store), settle: Box::new(|| {}), _kept: Box::new(()) }
    }

    /// Keeps something, such as a temporary directory, until the check is over.
    #[must_use]
    pub fn keeping(self, kept: impl Any) -> Self {
        Self { _kept: Box::new(kept), ..self }
    }

    /// Says how to let the listing lag pass.
    #[must_use]
    pub fn settling(self, settle: impl Fn() + 'static) -> Self {
        Self { settle: Box::new(settle), ..self }
    }

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Put {
        self.store.put_new(name, bytes).unwrap()
    }

    fn put_staged(&self, name: &ObjectName, pieces: &[&[u8]]) -> Result<Put, StoreError> {
        let mut staged = self.store.stage()?;
        for piece in pieces {
            staged.write(piece)?;
        }
        staged.commit(name)
    }

    fn get(&self, name: &ObjectName) -> Vec<u8> {
        self.store.get(name, u64::MAX).unwrap()
    }

    fn listed(&self, folder: Folder) -> BTreeSet<ObjectName> {
        (self.settle)();
        let listed = self.store.list(folder).unwrap();
        let names: BTreeSet<_> = listed.iter().map(|info| info.name.clone()).collect();
        assert_eq!(names.len(), listed.len(), "a name is listed twice");
        names
    }

    fn kind<T>(result: Result<T, StoreError>) -> StoreErrorKind {
        match result {
            Ok(_) => panic!("a call that must fail succeeded"),
            Err(error) => error.kind,
        }
    }
}

/// A valid name that differs for each number.
pub fn name(folder: Folder, number: u8) -> ObjectName {
    ObjectName::of_id(folder, &[number; 32])
}

/// Bytes that differ for each seed.
pub fn bytes(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|at| (at as u8).wrapping_mul(31).wrapping_add(seed) ^ (at >> 8) as u8).collect()
}

/// Makes a module with one test per check for the store that the expression makes.
#[macro_export]
macro_rules! store_conformance {
    ($module:ident, $make:expr) => {
        mod $module {
            use super::*;
            $crate::store_conformance!(@checks [tests $make]);
        }
    };
    (all $make:expr) => {
        $crate::store_conformance!(@checks [all $make])
    };
    (@checks $what:tt) => {
        $crate::store_conformance! { @with $what
            what_was_put_is_read_back_whole
            names_may_be_as_short_and_as_long_as_allowed
            a_put_never_replaces_an_object
            racing_puts_create_exactly_one_object
            racing_commits_create_exactly_one_object
            staged_pieces_are_joined_in_order
            a_staged_object_is_invisible_until_its_commit
            a_dropped_stage_leaves_nothing
            absent_objects_are_not_found
            a_read_stops_at_its_limit
            ranges_are_exact
            ranges_beyond_the_end_are_truncated
            a_delete_can_be_repeated
            a_deleted_object_can_be_put_again
            a_listing_shows_the_objects_of_one_folder
            a_listing_and_a_look_up_agree
            objects_are_dated_by_the_clock_of_the_store
            a_new_store_has_no_unknown_folders
            readers_never_see_a_part_of_an_object
            errors_name_the_object
        }
    };
    (@with [tests $make:expr] $($check:ident)*) => {
        $(#[test] fn $check() { $crate::store::conformance::$check(&($make)()); })*
    };
    (@with [all $make:expr] $($check:ident)*) => {{
        let make = $make;
        $(
            $crate::store::conformance::$check(&make(stringify!($check)));
        )*
    }};
}

/// Contract 1: complete, for every folder and for odd sizes.
pub fn what_was_put_is_read_back_whole(subject: &Subject) {
    for folder in Folder::ALL {
        for (number, length) in (1..).zip([0, 1, 4095, 4096, 70_001]) {
            let (name, bytes) = (name(folder, number), bytes(length, number));
            assert_eq!(subject.put(&name, &bytes), Put::Created);
            assert_eq!(subject.get(&name), bytes);
        }
    }
}

/// One character, three in `packs`, and 64.
pub fn names_may_be_as_short_and_as_long_as_allowed(subject: &Subject) {
    for (folder, leaf) in [(Folder::Repo, "0".to_owned()), (Folder::Packs, "zz9".to_owned()), (Folder::Pins, "a".repeat(64))] {
        let name = ObjectName::new(folder, leaf).unwrap();
        assert_eq!(subject.put(&name, b"x"), Put::Created);
        assert_eq!(subject.get(&name), b"x");
        assert!(subject.listed(folder).contains(&name));
    }
}

/// Contract 3, by both ways of putting.
pub fn a_put_never_replaces_an_object(subject: &Subject) {
    for folder in [Folder::Repo, Folder::Packs] {
        let name = name(folder, 1);
        assert_eq!(subject.put(&name, b"first"), Put::Created);
        assert_eq!(subject.put(&name, b"second"), Put::Exists);
        assert_eq!(subject.put_staged(&name, &[b"third"]).unwrap(), Put::Exists);
        assert_eq!(subject.get(&name), b"first");
    }
}

/// Contract 3 under a race of small puts.
pub fn racing_puts_create_exactly_one_object(subject: &Subject) {
    race(subject, |store, name, bytes| store.put_new(name, bytes).unwrap());
}

/// Contract 3 under a race of commits.
pub fn racing_commits_create_exactly_one_object(subject: &Subject) {
    race(subject, |store, name, bytes| {
        let mut staged = store.stage().unwrap();
        staged.write(bytes).unwrap();
        staged.commit(name).unwrap()
    });
}

fn race(subject: &Subject, put: impl Fn(&dyn Store, &ObjectName, &[u8]) -> Put + Sync) {
    const RACERS: u8 = 6;
    for round in 0..8 {
        let name = name(Folder::Packs, round);
        let start = Barrier::new(usize::from(RACERS));
        let store = &*subject.store;
        let puts: Vec<Put> = thread::scope(|scope| {
            let racers: Vec<_> = (0..RACERS)
                .map(|racer| {
                    let (name, start, put) = (&name, &start, &put);
                    scope.spawn(move || {
                        start.wait();
                        put(store, name, &bytes(10_000, racer))
                    })
                })
                .collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).collect()
        });
        let winners: Vec<u8> = (0..RACERS).filter(|racer| puts[usize::from(*racer)] == Put::Created).collect();
        assert_eq!(winners.len(), 1, "exactly one racer creates the object: {puts:?}");
        assert_eq!(subject.get(&name), bytes(10_000, winners[0]));
    }
}

/// Many pieces, some of them empty, and no piece at all.
pub fn staged_pieces_are_joined_in_order(subject: &Subject) {
    let whole = bytes(300_000, 7);
    let (joined, empty) = (name(Folder::Packs, 1), name(Folder::Packs, 2));
    subject.put_staged(&joined, &[&whole[..1], &[], &whole[1..200_000], &whole[200_000..]]).unwrap();
    subject.put_staged(&empty, &[]).unwrap();
    assert_eq!(subject.get(&joined), whole);
    assert_eq!(subject.get(&empty), b"");
}

/// Contract 1: absent before the commit, complete after it.
pub fn a_staged_object_is_invisible_until_its_commit(subject: &Subject) {
    let name = name(Folder::Packs, 1);
    let mut staged = subject.store.stage().unwrap();
    staged.write(b"part").unwrap();
    for folder in Folder::ALL {
        assert!(subject.listed(folder).is_empty());
    }
    assert_eq!(subject.store.unknown_folders().unwrap(), Vec::<String>::new());
    assert_eq!(staged.commit(&name).unwrap(), Put::Created);
    assert_eq!(subject.listed(Folder::Packs), BTreeSet::from([name]));
}

/// Nothing is visible after the object was given up.
pub fn a_dropped_stage_leaves_nothing(subject: &Subject) {
    let mut staged = subject.store.stage().unwrap();
    staged.write(b"part").unwrap();
    drop(staged);
    for folder in Folder::ALL {
        assert!(subject.listed(folder).is_empty());
    }
}

/// Every way of reading says so, in folders that exist and in others.
pub fn absent_objects_are_not_found(subject: &Subject) {
    subject.put(&name(Folder::Packs, 2), b"x");
    for folder in [Folder::Packs, Folder::Maps] {
        let name = name(folder, 1);
        let store = &subject.store;
        assert_eq!(Subject::kind(store.get(&name, 10)), StoreErrorKind::NotFound);
        assert_eq!(Subject::kind(store.get_range(&name, 0, 1, &mut Vec::new())), StoreErrorKind::NotFound);
        assert_eq!(Subject::kind(store.stat(&name)), StoreErrorKind::NotFound);
    }
}

/// At the limit it is read, one byte above it is not.
pub fn a_read_stops_at_its_limit(subject: &Subject) {
    let name = name(Folder::Index, 1);
    subject.put(&name, &bytes(5000, 1));
    assert_eq!(subject.store.get(&name, 5000).unwrap(), bytes(5000, 1));
    assert_eq!(Subject::kind(subject.store.get(&name, 4999)), StoreErrorKind::TooLarge);
    assert_eq!(Subject::kind(subject.store.get(&name, 0)), StoreErrorKind::TooLarge);
}

/// Ranges at the start, in the middle, at the end and empty; the buffer holds nothing else, whatever it held before.
pub fn ranges_are_exact(subject: &Subject) {
    let (name, whole) = (name(Folder::Packs, 1), bytes(200_000, 3));
    subject.put_staged(&name, &[&whole]).unwrap();
    let mut buffer = bytes(1000, 9);
    for (offset, length) in [(0, 10), (0, 200_000), (150_000, 50_000), (4096, 4096), (199_999, 1), (200_000, 0), (17, 0)] {
        subject.store.get_range(&name, offset as u64, length, &mut buffer).unwrap();
        assert_eq!(buffer, &whole[offset..offset + length]);
    }
}

/// Also where the sum overflows.
pub fn ranges_beyond_the_end_are_truncated(subject: &Subject) {
    let name = name(Folder::Packs, 1);
    subject.put(&name, &bytes(100, 1));
    for (offset, length) in [(0, 101), (100, 1), (99, 2), (101, 0), (5000, 10), (u64::MAX, 1), (u64::MAX, 0)] {
        let kind = Subject::kind(subject.store.get_range(&name, offset, length, &mut Vec::new()));
        assert_eq!(kind, StoreErrorKind::Truncated, "{length} bytes at {offset}");
    }
}

/// Contract 4, in folders that exist and in others.
pub fn a_delete_can_be_repeated(subject: &Subject) {
    let (gone, kept) = (name(Folder::Packs, 1), name(Folder::Packs, 2));
    subject.put(&gone, b"x");
    subject.put(&kept, b"y");
    for _ in 0..2 {
        subject.store.delete(&gone).unwrap();
        assert_eq!(Subject::kind(subject.store.get(&gone, 10)), StoreErrorKind::NotFound);
    }
    subject.store.delete(&name(Folder::Maps, 1)).unwrap();
    assert_eq!(subject.listed(Folder::Packs), BTreeSet::from([kept]));
}

/// With other bytes too.
pub fn a_deleted_object_can_be_put_again(subject: &Subject) {
    let name = name(Folder::Received, 1);
    subject.put(&name, b"first");
    subject.store.delete(&name).unwrap();
    assert_eq!(subject.put(&name, b"second"), Put::Created);
    assert_eq!(subject.get(&name), b"second");
    assert_eq!(subject.listed(Folder::Received), BTreeSet::from([name]));
}

/// All of them, and no others.
pub fn a_listing_shows_the_objects_of_one_folder(subject: &Subject) {
    for folder in Folder::ALL {
        assert!(subject.listed(folder).is_empty(), "an absent folder is empty");
    }
    let mut expected = Vec::new();
    for (size, folder) in Folder::ALL.into_iter().enumerate() {
        let names: BTreeSet<_> = (0..=size as u8).map(|number| name(folder, number)).collect();
        for name in &names {
            subject.put(name, b"x");
        }
        expected.push((folder, names));
    }
    for (folder, names) in expected {
        assert_eq!(subject.listed(folder), names);
    }
}

/// Name, size and time are the same.
pub fn a_listing_and_a_look_up_agree(subject: &Subject) {
    let name = name(Folder::Snapshots, 1);
    subject.put(&name, &bytes(1234, 1));
    subject.listed(Folder::Snapshots);
    let info = subject.store.stat(&name).unwrap();
    assert_eq!((&info.name, info.size), (&name, 1234));
    assert_eq!(subject.store.list(Folder::Snapshots).unwrap(), [info]);
}

/// An object is stored between two readings of the clock around its put, however long it was staged.
pub fn objects_are_dated_by_the_clock_of_the_store(subject: &Subject) {
    let (small, large) = (name(Folder::Repo, 1), name(Folder::Packs, 1));
    let mut staged = subject.store.stage().unwrap();
    staged.write(b"x").unwrap();
    let before = subject.store.now().unwrap();
    staged.commit(&large).unwrap();
    subject.put(&small, b"x");
    let after = subject.store.now().unwrap();
    for name in [small, large] {
        let stored = subject.store.stat(&name).unwrap().stored;
        assert!(before <= stored && stored <= after, "{before:?} <= {stored:?} <= {after:?}");
    }
}

/// Not even while something is staged and after the clock was read.
pub fn a_new_store_has_no_unknown_folders(subject: &Subject) {
    subject.put(&name(Folder::Packs, 1), b"x");
    subject.store.now().unwrap();
    let _staged = subject.store.stage().unwrap();
    assert_eq!(subject.store.unknown_folders().unwrap(), Vec::<String>::new());
}

/// Contract 1 and 6: while one thread puts and deletes, others read the whole object or none.
pub fn readers_never_see_a_part_of_an_object(subject: &Subject) {
    const LENGTH: usize = 100_000;
    let (name, whole, done) = (name(Folder::Packs, 1), bytes(LENGTH, 5), AtomicBool::new(false));
    let store = &*subject.store;
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    match store.get(&name, u64::MAX) {
                        Ok(bytes) => assert!(bytes == whole, "a part of {} bytes was read", bytes.len()),
                        Err(error) => assert!(error.is_not_found(), "{error}"),
                    }
                    for info in store.list(Folder::Packs).unwrap() {
                        assert_eq!(info.size, LENGTH as u64);
                    }
                }
            });
        }
        for _ in 0..20 {
            put_in_two_pieces(store, &name, &whole);
            store.delete(&name).unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
}

fn put_in_two_pieces(store: &dyn Store, name: &ObjectName, whole: &[u8]) {
    let mut staged = store.stage().unwrap();
    let (head, tail) = whole.split_at(whole.len() / 2);
    staged.write(head).unwrap();
    staged.write(tail).unwrap();
    staged.commit(name).unwrap();
}

/// So that a person can act on them.
pub fn errors_name_the_object(subject: &Subject) {
    let name = name(Folder::Packs, 0xab);
    let text = subject.store.get(&name, 1).unwrap_err().to_string();
    assert!(text.contains(&name.path()), "{text}");
    assert!(!subject.store.location().is_empty());
}
