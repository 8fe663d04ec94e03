use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::content::browse::OpenSnapshot;
use crate::content::fixture::Fixture;
use crate::model::entry::Kind;
use crate::model::event::{Collect, Severity};
use crate::sealed::snapshots::Snapshots;
use crate::source::stream::{Once, StreamSource, VirtualFile};
use crate::store::layer::{CountingStore, Operation};
use crate::store::{Folder, MemoryStore};
use state::State;

struct Bench {
    fixture: Fixture,
    state: tempfile::TempDir,
    source: tempfile::TempDir,
    monitor: Collect,
}

fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

impl Bench {
    fn new() -> Self {
        Self::on(Arc::new(MemoryStore::new()))
    }

    fn on(store: Arc<dyn crate::store::Store>) -> Self {
        let bench = Self {
            fixture: Fixture::new(store),
            state: tempfile::tempdir().unwrap(),
            source: tempfile::tempdir().unwrap(),
            monitor: Collect::default(),
        };
        let source = bench.source.path();
        fs::create_dir_all(source.join("a/b")).unwrap();
        fs::write(source.join("a/b/small"), b"hello").unwrap();
        fs::write(source.join("a/empty"), b"").unwrap();
        fs::write(source.join("large"), noise(5_000_000, 1)).unwrap();
        std::os::unix::fs::symlink("nowhere", source.join("a/link")).unwrap();
        fs::hard_link(source.join("large"), source.join("twin")).unwrap();
        bench
    }

    fn run(&self, change: impl FnOnce(&mut BackupOptions)) -> Result<Summary, crate::content::ContentError> {
        let mut options = BackupOptions { paths: vec![self.source.path().to_owned()], host: "h".into(), ..BackupOptions::default() };
        change(&mut options);
        let state = State::open(self.state.path(), &self.fixture.key.repository).unwrap();
        backup(&self.fixture.repository(), &self.fixture.key, options, &state, &self.monitor)
    }

    fn backup(&self) -> Summary {
        self.run(|_| {}).unwrap()
    }

    /// Every file of the newest snapshot with its content.
    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        self.files_of(self.source.path())
    }

    /// The same for another source.
    fn files_of(&self, source: &Path) -> BTreeMap<String, Vec<u8>> {
        let vault = self.fixture.vault();
        let snapshots = Snapshots::load(vault.repository(), Folder::Snapshots).unwrap();
        let newest = snapshots.list.iter().max_by_key(|snapshot| snapshot.envelope.sequence).unwrap();
        assert!(newest.counts(), "the snapshot is committed and signed");
        let open = OpenSnapshot::open(&vault, newest).unwrap();
        let mut files = BTreeMap::new();
        let prefix = source.as_os_str().as_bytes().to_vec();
        open.list(&prefix.clone(), &mut |path, entry| {
            if let Kind::File { .. } = entry.kind {
                let mut content = Vec::new();
                open.dump(entry, &mut content)?;
                let name = path.strip_prefix(prefix.as_slice()).unwrap();
                files.insert(String::from_utf8_lossy(name).into_owned(), content);
            }
            Ok(())
        })
        .unwrap();
        files
    }
}

fn on_disk(root: &Path) -> BTreeMap<String, Vec<u8>> {
    fn collect(root: &Path, dir: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                collect(root, &entry.path(), files);
            } else if entry.file_type().unwrap().is_file() {
                let name = format!("/{}", entry.path().strip_prefix(root).unwrap().display());
                files.insert(name, fs::read(entry.path()).unwrap());
            }
        }
    }
    let mut files = BTreeMap::new();
    collect(root, root, &mut files);
    files
}

#[test]
fn what_is_backed_up_can_be_read_back() {
    let bench = Bench::new();
    let summary = bench.backup();
    assert_eq!(summary.statistics.warnings, 0);
    assert_eq!(summary.statistics.files, 4);
    assert_eq!(bench.files(), on_disk(bench.source.path()));
}

#[test]
fn a_second_run_reads_and_stores_nothing() {
    let bench = Bench::new();
    bench.backup();
    let second = bench.backup();
    assert_eq!(second.statistics.files_read, 0);
    assert!(second.statistics.bytes_new < 1000, "at most the page with the temporary directory's time");
    assert_eq!(second.statistics.files, 4);
    assert_eq!(bench.files(), on_disk(bench.source.path()));
}

#[test]
fn what_moves_out_of_sparse_blocks_is_neither_changed_nor_new() {
    let bench = Bench::new();
    let path = |number: u64| bench.source.path().join(format!("a/{number:03}"));
    for number in 0..600 {
        fs::write(path(number), noise(20_000, 100 + number)).unwrap();
    }
    bench.backup();
    for number in (0..600).filter(|number| number % 4 != 0) {
        fs::remove_file(path(number)).unwrap();
    }
    let shrunk = bench.backup();
    assert!(shrunk.statistics.bytes_stored < 100_000, "it names the blocks that are used little");
    let moved = bench.backup();
    assert!(moved.statistics.bytes_stored > 2_000_000 && moved.statistics.bytes_read > 2_000_000, "{:?}", moved.statistics);
    assert!(moved.statistics.files_read == 0 && moved.statistics.bytes_new < 1000, "{:?}", moved.statistics);
    assert_eq!(moved.anomalies, [], "nobody has rewritten or encrypted anything");
    let after = bench.backup();
    assert!(after.statistics.bytes_stored < 100_000, "once: {:?}", after.statistics);
    assert_eq!(bench.files(), on_disk(bench.source.path()));
}

#[test]
fn an_unchanged_run_can_make_no_snapshot() {
    let bench = Bench::new();
    bench.backup();
    let second = bench.run(|options| options.skip_if_unchanged = true).unwrap();
    assert!(second.unchanged && second.snapshot.is_none());
    fs::write(bench.source.path().join("new"), b"x").unwrap();
    let third = bench.run(|options| options.skip_if_unchanged = true).unwrap();
    assert!(third.snapshot.is_some());
}

#[test]
fn without_any_state_nothing_known_is_stored_again() {
    let mut bench = Bench::new();
    bench.backup();
    bench.state = tempfile::tempdir().unwrap();
    let second = bench.backup();
    assert_eq!(second.statistics.files_read, 4, "everything is read");
    assert!(second.statistics.bytes_new < 1000, "nothing is stored but the page with the temporary directory's time");
}

#[test]
fn changes_are_stored_and_the_rest_is_reused() {
    let bench = Bench::new();
    bench.backup();
    let mut content = noise(5_000_000, 1);
    content[2_500_000] ^= 1;
    fs::remove_file(bench.source.path().join("a/empty")).unwrap();
    fs::write(bench.source.path().join("large"), content).unwrap();
    let second = bench.backup();
    assert!(second.statistics.bytes_new < 800_000, "{} new", second.statistics.bytes_new);
    assert_eq!(bench.files(), on_disk(bench.source.path()));
}

#[test]
fn a_dry_run_counts_and_leaves_nothing() {
    let store = Arc::new(CountingStore::new(Arc::new(MemoryStore::new())));
    let bench = Bench::on(store.clone());
    store.take();
    let summary = bench.run(|options| options.dry_run = true).unwrap();
    assert!(summary.snapshot.is_none() && summary.statistics.bytes_stored > 5_000_000);
    assert_eq!(store.count(Operation::Put) + store.count(Operation::Commit), 0);
    assert!(bench.backup().statistics.bytes_new > 5_000_000, "the dry run taught the cache nothing");
}

#[test]
fn lost_packs_are_noticed_and_stored_again() {
    let bench = Bench::new();
    bench.backup();
    for info in bench.fixture.store.list(Folder::Packs).unwrap() {
        bench.fixture.store.delete(&info.name).unwrap();
    }
    let second = bench.backup();
    assert!(second.statistics.bytes_new > 5_000_000);
    assert_eq!(bench.files(), on_disk(bench.source.path()));
}

/// Gives some bytes, then fails.
struct Broken;

impl StreamSource for Broken {
    fn open(&self) -> std::io::Result<Box<dyn std::io::Read + Send>> {
        use std::io::Read as _;
        struct Failing;
        impl std::io::Read for Failing {
            fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
                Err(std::io::Error::other("the server closed the connection"))
            }
        }
        Ok(Box::new(std::io::Cursor::new(noise(2_000_000, 3)).chain(Failing)))
    }
}

fn virtual_file(path: &str, source: impl StreamSource + 'static, required: bool) -> VirtualFile {
    VirtualFile { path: path.split('/').map(|name| name.as_bytes().to_vec()).collect(), source: Arc::new(source), required }
}

#[test]
fn streams_lie_among_paths_in_directories_of_their_own() {
    let bench = Bench::new();
    let once = |text: &'static str| Once::new(Box::new(text.as_bytes()));
    let streams =
        vec![virtual_file("@b/two", once("2"), false), virtual_file("@b/one", once("1"), false), virtual_file("zzz", once("3"), false)];
    bench.run(|options| options.streams = streams).unwrap();
    let vault = bench.fixture.vault();
    let snapshots = Snapshots::load(vault.repository(), Folder::Snapshots).unwrap();
    let open = OpenSnapshot::open(&vault, &snapshots.list[0]).unwrap();
    for (path, text) in [("/@b/one", "1"), ("/@b/two", "2"), ("/zzz", "3")] {
        let mut found = Vec::new();
        open.dump(&open.find(path.as_bytes()).unwrap().unwrap(), &mut found).unwrap();
        assert_eq!(found, text.as_bytes());
    }
    let small = bench.source.path().join("a/b/small");
    assert!(open.find(small.as_os_str().as_bytes()).unwrap().is_some());
}

#[test]
fn a_stream_that_breaks_off_is_not_in_the_snapshot_and_counts_as_an_error() {
    let bench = Bench::new();
    bench.run(|options| options.streams = vec![virtual_file("@c/broken", Broken, false)]).unwrap();
    let vault = bench.fixture.vault();
    let snapshots = Snapshots::load(vault.repository(), Folder::Snapshots).unwrap();
    let open = OpenSnapshot::open(&vault, &snapshots.list[0]).unwrap();
    assert!(open.find(b"/@c/broken").unwrap().is_none());
    assert!(open.find(bench.source.path().join("large").as_os_str().as_bytes()).unwrap().is_some());
    let errors = bench.monitor.findings(Severity::Error);
    assert!(
        errors.iter().any(|error| error.starts_with("/@c/broken: ") && error.contains("the server closed the connection")),
        "{errors:?}"
    );
}

#[test]
fn without_a_required_stream_there_is_no_snapshot() {
    let bench = Bench::new();
    let error = bench.run(|options| options.streams = vec![virtual_file("dump", Broken, true)]).unwrap_err();
    assert!(error.to_string().contains("/dump"), "{error}");
    assert!(Snapshots::load(bench.fixture.vault().repository(), Folder::Snapshots).unwrap().list.is_empty());
}

#[test]
fn a_stream_becomes_a_file() {
    let bench = Bench::new();
    let content = noise(3_000_000, 7);
    let stream = Box::new(std::io::Cursor::new(content.clone()));
    let stream = VirtualFile { path: vec![b"dump.sql".to_vec()], source: Arc::new(Once::new(stream)), required: true };
    bench.run(|options| (options.paths, options.streams) = (Vec::new(), vec![stream])).unwrap();
    let vault = bench.fixture.vault();
    let snapshots = Snapshots::load(vault.repository(), Folder::Snapshots).unwrap();
    let open = OpenSnapshot::open(&vault, &snapshots.list[0]).unwrap();
    let entry = open.find(b"/dump.sql").unwrap().unwrap();
    let mut found = Vec::new();
    open.dump(&entry, &mut found).unwrap();
    assert_eq!(found, content);
}

#[test]
fn a_missing_argument_is_a_warning_and_the_rest_is_saved() {
    let bench = Bench::new();
    let paths = vec![bench.source.path().to_owned(), bench.source.path().join("gone/deeper")];
    let summary = bench.run(|options| options.paths = paths).unwrap();
    assert_eq!(summary.statistics.warnings, 0, "an argument within another is walked once");
    let paths = vec![bench.source.path().to_owned(), "/no/such/path".into()];
    let summary = bench.run(|options| options.paths = paths).unwrap();
    assert_eq!(summary.statistics.warnings, 1);
    assert_eq!(bench.monitor.findings(Severity::Warning).len(), 1);
}

#[test]
fn sparse_files_keep_their_holes() {
    let bench = Bench::new();
    let path = bench.source.path().join("sparse");
    let file = fs::File::create(&path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &noise(100_000, 3), 50 << 20).unwrap();
    file.set_len(1 << 40).unwrap();
    let summary = bench.backup();
    assert!(summary.statistics.bytes_read < 20_000_000, "{} read", summary.statistics.bytes_read);
    let vault = bench.fixture.vault();
    let snapshots = Snapshots::load(vault.repository(), Folder::Snapshots).unwrap();
    let open = OpenSnapshot::open(&vault, &snapshots.list[0]).unwrap();
    let entry = open.find(path.as_os_str().as_bytes()).unwrap().unwrap();
    assert!(matches!(entry.kind, Kind::File { size, .. } if size == 1 << 40));
}

#[test]
fn the_repository_itself_and_the_state_are_left_out() {
    let bench = Bench::new();
    let inside = bench.source.path().join("repo");
    fs::create_dir(&inside).unwrap();
    fs::write(inside.join("secret"), b"x").unwrap();
    bench.run(|options| options.skip = vec![inside]).unwrap();
    assert!(!bench.files().contains_key("/repo/secret"));
}

mod crash;
mod hostile;
mod several;

#[test]
fn without_a_job_other_paths_are_another_group() {
    let bench = Bench::new();
    let group = |paths: &[&str], job: &str| {
        let paths = paths.iter().map(|path| bench.source.path().join(path)).collect();
        let made = bench.run(|options| (options.paths, options.job) = (paths, job.to_owned())).unwrap().snapshot.unwrap();
        let list = Snapshots::load(&bench.fixture.repository(), Folder::Snapshots).unwrap().list;
        list.into_iter().find(|snapshot| snapshot.id == made).unwrap().envelope.group
    };
    let (a, large) = (group(&["a"], ""), group(&["large"], ""));
    assert_ne!(a, large, "or retention would thin out one by the other");
    assert_eq!(group(&["a"], ""), a);
    assert_eq!(group(&["a", "large"], ""), group(&["large", "a"], ""));
    assert_eq!(group(&["a"], "job"), group(&["large"], "job"));
}
