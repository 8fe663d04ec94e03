//! One scan that feeds several repositories.

use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::content::ContentError;
use crate::store::layer::FaultStore;

/// A stream that counts how often it was opened, in pieces that fit no chunk.
struct Counted(Arc<AtomicUsize>);

impl StreamSource for Counted {
    fn open(&self) -> std::io::Result<Box<dyn Read + Send>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        let halves = std::io::Cursor::new(noise(1_500_000, 7)).chain(std::io::Cursor::new(noise(1_600_001, 8)));
        Ok(Box::new(halves))
    }
}

fn run(benches: &[&Bench], change: impl FnOnce(&mut BackupOptions)) -> Vec<Result<Summary, ContentError>> {
    let [first, ..] = benches else { panic!("no repository") };
    let mut options = BackupOptions { paths: vec![first.source.path().to_owned()], host: "h".into(), ..BackupOptions::default() };
    change(&mut options);
    let repositories: Vec<_> = benches.iter().map(|bench| bench.fixture.repository()).collect();
    let states: Vec<_> = benches.iter().map(|bench| State::open(first.state.path(), &bench.fixture.key.repository).unwrap()).collect();
    let locks: Vec<_> = states.iter().map(|state| state.lock(&first.monitor).unwrap()).collect();
    let parts = benches.iter().zip(&repositories).zip(states.iter().zip(&locks));
    let destinations: Vec<_> =
        parts.map(|((bench, repository), (state, lock))| Destination { repository, key: &bench.fixture.key, state, lock }).collect();
    backup_to(&destinations, &options, &first.monitor)
}

#[test]
fn one_scan_and_one_dump_feed_every_repository() {
    let (one, two, three) = (Bench::new(), Bench::new(), Bench::new());
    let opened = Arc::new(AtomicUsize::new(0));
    let results =
        run(&[&one, &two, &three], |options| options.streams = vec![virtual_file("@c/dump", Counted(Arc::clone(&opened)), false)]);
    assert_eq!(opened.load(Ordering::Relaxed), 1);
    for (result, bench) in results.into_iter().zip([&one, &two, &three]) {
        assert_eq!(result.unwrap().statistics.bytes_read, 2 * 5_000_000 + 5 + 3_100_001);
        assert_eq!(bench.files_of(one.source.path()), on_disk(one.source.path()));
        let vault = bench.fixture.vault();
        let snapshots = Snapshots::load(vault.repository(), Folder::Snapshots).unwrap();
        let open = OpenSnapshot::open(&vault, &snapshots.list[0]).unwrap();
        let mut dump = Vec::new();
        open.dump(&open.find(b"/@c/dump").unwrap().unwrap(), &mut dump).unwrap();
        assert!(dump == [noise(1_500_000, 7), noise(1_600_001, 8)].concat());
    }
}

#[test]
fn a_repository_that_joins_later_gets_everything_and_the_other_only_what_changed() {
    let (one, two) = (Bench::new(), Bench::new());
    one.backup();
    fs::write(one.source.path().join("a/b/small"), b"changed").unwrap();
    let results: Vec<_> = run(&[&one, &two], |_| {}).into_iter().map(Result::unwrap).collect();
    assert_eq!((results[0].statistics.files_read, results[0].statistics.bytes_read), (1, 7));
    assert_eq!(results[1].statistics.files_read, 4);
    for bench in [&one, &two] {
        assert_eq!(bench.files_of(one.source.path()), on_disk(one.source.path()));
    }
}

#[test]
fn a_repository_that_fails_does_not_stop_the_others() {
    for failing in [0, 1] {
        let faults = Arc::new(FaultStore::new(Arc::new(MemoryStore::new())));
        let (good, bad) = (Bench::new(), Bench::on(faults.clone()));
        faults.full_after(1_000_000);
        let benches = if failing == 0 { [&bad, &good] } else { [&good, &bad] };
        fs::write(benches[0].source.path().join("much"), noise(40_000_000, 3)).unwrap();
        let results = run(&benches, |_| {});
        assert!(results[failing].is_err());
        assert!(results[1 - failing].is_ok(), "{:?}", results[1 - failing]);
        assert_eq!(good.files_of(benches[0].source.path()), on_disk(benches[0].source.path()));
    }
}

#[test]
fn what_cannot_be_read_is_told_once_and_counted_for_each() {
    let (one, two) = (Bench::new(), Bench::new());
    let results = run(&[&one, &two], |options| options.paths.push("/nonexistent/path".into()));
    assert!(results.iter().all(|result| result.as_ref().unwrap().statistics.warnings == 1));
    assert_eq!(one.monitor.findings(Severity::Warning).len(), 1);
}

#[test]
fn a_database_that_cannot_be_copied_for_one_stands_once_in_the_other() {
    use crate::source::database::sqlite::{Databases, Depth};
    let (one, two) = (Bench::new(), Bench::new());
    let path = one.source.path().join("app.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1)").unwrap();
    let databases = || Some(Arc::new(Databases::new(&[], true, Depth::Full)));
    one.run(|options| options.databases = databases()).unwrap();
    // Where copies would be made there is a file.
    let state = State::open(one.state.path(), &one.fixture.key.repository).unwrap();
    fs::write(state.dir().join("scratch"), b"").unwrap();
    let results = run(&[&one, &two], |options| options.databases = databases());
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(one.monitor.findings(Severity::Error).len(), 1);
    for bench in [&one, &two] {
        // A copy differs from its database in a counter.
        let (mut saved, mut there) = (bench.files_of(one.source.path()), on_disk(one.source.path()));
        assert_eq!(saved.remove("/app.db").unwrap().len(), there.remove("/app.db").unwrap().len());
        assert!(saved == there);
    }
}
