use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::*;
use crate::content::backup::state::State;
use crate::content::backup::{BackupOptions, backup};
use crate::content::browse::OpenSnapshot;
use crate::content::fixture::Fixture;
use crate::content::vault::Vault;
use crate::model::event::Silent;
use crate::sealed::locations::PackListing;
use crate::sealed::pack::{self, Class};
use crate::sealed::snapshots::Snapshots;
use crate::source::exclude::Selection;
use crate::store::{Folder, MemoryStore, Store as _};

struct Bench {
    store: MemoryStore,
    fixture: Fixture,
    dir: tempfile::TempDir,
}

fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

impl Bench {
    /// A source with every kind of entry, backed up.
    fn new() -> Self {
        let store = MemoryStore::new();
        let bench = Self { fixture: Fixture::new(Arc::new(store.clone())), store, dir: tempfile::tempdir().unwrap() };
        let source = bench.source();
        fs::create_dir_all(source.join("a/b/c")).unwrap();
        fs::write(source.join("a/small"), b"hello").unwrap();
        fs::write(source.join("a/b/empty"), b"").unwrap();
        fs::write(source.join("large"), noise(9_000_000, 1)).unwrap();
        fs::write(source.join("middle"), noise(300_000, 2)).unwrap();
        symlink("../elsewhere", source.join("a/link")).unwrap();
        fs::hard_link(source.join("middle"), source.join("a/b/c/twin")).unwrap();
        fs::set_permissions(source.join("a/small"), fs::Permissions::from_mode(0o4711)).unwrap();
        nix::unistd::mkfifo(&source.join("fifo"), nix::sys::stat::Mode::S_IRUSR).unwrap();
        let sparse = fs::File::create(source.join("sparse")).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&sparse, b"end", 10 << 20).unwrap();
        sparse.set_len(20 << 20).unwrap();
        fs::set_permissions(source.join("a/b"), fs::Permissions::from_mode(0o555)).unwrap();
        let state = State::open(&bench.dir.path().join("state"), &bench.fixture.key.repository).unwrap();
        let options = BackupOptions { paths: vec![source], ..BackupOptions::default() };
        backup(&bench.fixture.repository(), &bench.fixture.key, options, &state, &Silent).unwrap();
        bench
    }

    fn source(&self) -> PathBuf {
        self.dir.path().join("source")
    }

    fn target(&self) -> PathBuf {
        self.dir.path().join("target")
    }

    /// Where the source's files come to lie.
    fn restored(&self) -> PathBuf {
        self.target().join(self.source().strip_prefix("/").unwrap())
    }

    fn with<T>(&self, act: impl FnOnce(&Vault, &OpenSnapshot<'_>) -> T) -> T {
        let vault = self.fixture.vault();
        let snapshots = Snapshots::load(vault.repository(), Folder::Snapshots).unwrap();
        let open = OpenSnapshot::open(&vault, &snapshots.list[0]).unwrap();
        act(&vault, &open)
    }

    fn restore(&self, change: impl FnOnce(&mut RestoreOptions)) -> RestoreSummary {
        let mut options = RestoreOptions { target: self.target(), ..RestoreOptions::default() };
        change(&mut options);
        self.with(|vault, snapshot| restore(vault, snapshot, &options, &Silent).unwrap())
    }

    fn differences(&self) -> Vec<Difference> {
        self.with(|vault, snapshot| compare(vault, snapshot, &self.target(), &Selection::default(), &Silent).unwrap())
    }
}

fn selection(includes: &[&str], excludes: &[&str]) -> Selection {
    Selection::new(includes, excludes).unwrap()
}

#[test]
fn everything_comes_back_as_it_was() {
    let bench = Bench::new();
    let summary = bench.restore(|_| {});
    assert_eq!(summary.lost, []);
    assert_eq!(bench.differences(), []);
    let restored = bench.restored();
    assert_eq!(fs::read(restored.join("large")).unwrap(), noise(9_000_000, 1));
    let twin = fs::metadata(restored.join("a/b/c/twin")).unwrap();
    assert_eq!(twin.ino(), fs::metadata(restored.join("middle")).unwrap().ino(), "hard links stay linked");
    let sparse = fs::metadata(restored.join("sparse")).unwrap();
    assert!(sparse.len() == 20 << 20 && sparse.blocks() < 1000, "holes stay holes");
    assert_eq!(fs::metadata(restored.join("a/small")).unwrap().mode() & 0o7777, 0o4711);
}

#[test]
fn a_second_restore_leaves_everything_alone() {
    let bench = Bench::new();
    bench.restore(|_| {});
    let inode = fs::metadata(bench.restored().join("large")).unwrap().ino();
    let summary = bench.restore(|_| {});
    assert_eq!((summary.files, summary.lost.len()), (0, 0));
    assert_eq!(fs::metadata(bench.restored().join("large")).unwrap().ino(), inode);
    assert_eq!(bench.differences(), []);
}

#[test]
fn directories_on_the_way_to_what_is_selected_are_missed_only_with_it() {
    let bench = Bench::new();
    fs::create_dir(bench.target()).unwrap();
    let below = |name: &str| bench.source().join(name).into_os_string().into_encoded_bytes();
    let missed = |name: &str| {
        let selection = Selection::of_paths([below(name)]);
        bench.with(|vault, snapshot| compare(vault, snapshot, &bench.target(), &selection, &Silent).unwrap())
    };
    assert_eq!(missed("a/b/gone"), [], "the snapshot has no such file, and nobody needs the directories above");
    let [file] = missed("a/small").try_into().unwrap();
    assert_eq!((file.path.into_bytes(), file.what.as_str()), (below("a/small"), "is not there"));
    let [folder] = missed("a").try_into().unwrap();
    assert_eq!(folder.path.into_bytes(), below("a"), "once for all that lies in it");
}

#[test]
fn changed_files_are_put_right_and_extra_ones_removed_when_asked() {
    let bench = Bench::new();
    bench.restore(|_| {});
    fs::write(bench.restored().join("large"), b"changed").unwrap();
    fs::write(bench.restored().join("extra"), b"x").unwrap();
    assert!(!bench.differences().is_empty());
    bench.restore(|_| {});
    assert_eq!(bench.differences(), []);
    assert!(bench.restored().join("extra").exists(), "not without --delete");
    let summary = bench.restore(|options| options.delete = true);
    assert_eq!((summary.removed, bench.restored().join("extra").exists()), (1, false));
    assert_eq!(bench.differences(), []);
}

#[test]
fn a_dry_run_tells_what_would_be_removed_and_removes_nothing() {
    let bench = Bench::new();
    bench.restore(|_| {});
    let extra = bench.restored().join("a/extra");
    fs::create_dir(&extra).unwrap();
    fs::write(extra.join("inside"), b"x").unwrap();
    std::os::unix::fs::symlink("/", bench.restored().join("link")).unwrap();
    fs::write(bench.restored().parent().unwrap().join("neighbour"), b"not ours").unwrap();
    let summary = bench.restore(|options| (options.dry_run, options.delete) = (true, true));
    assert_eq!(summary.removed, 3, "a directory, what is in it, and a link");
    assert!(extra.join("inside").exists() && bench.restored().join("link").is_symlink());
    assert_eq!(bench.restore(|options| options.dry_run = true).removed, 0, "not without --delete");
    assert_eq!(bench.restore(|options| options.delete = true).removed, summary.removed);
}

#[test]
fn removing_extras_never_reaches_beside_what_was_backed_up() {
    let bench = Bench::new();
    let beside = bench.restored().parent().unwrap().join("neighbour");
    fs::create_dir_all(&beside).unwrap();
    fs::write(bench.target().join("top"), b"not ours").unwrap();
    let summary = bench.restore(|options| options.delete = true);
    assert_eq!(summary.removed, 0);
    assert!(beside.exists() && bench.target().join("top").exists());
}

#[test]
fn a_dry_run_writes_nothing_and_counts() {
    let bench = Bench::new();
    let summary = bench.restore(|options| options.dry_run = true);
    assert!(!bench.target().exists());
    assert!(summary.bytes > 9_000_000 && summary.files >= 5);
}

#[test]
fn only_what_is_selected_comes_with_its_directories() {
    let bench = Bench::new();
    bench.restore(|options| options.selection = selection(&["small"], &[]));
    assert!(bench.restored().join("a/small").exists());
    assert!(!bench.restored().join("a/b").exists() && !bench.restored().join("large").exists());
    bench.restore(|options| options.selection = selection(&[], &["large", "a/b"]));
    assert!(bench.restored().join("middle").exists());
    assert!(!bench.restored().join("a/b").exists() && !bench.restored().join("large").exists());
}

#[test]
fn a_damaged_pack_costs_only_the_files_in_it() {
    let bench = Bench::new();
    let listing = PackListing::load(&bench.store).unwrap();
    for (id, info) in &listing.packs {
        let contents = pack::read_contents(&bench.store, info).unwrap();
        if contents.class == Class::Data {
            let mut bytes = bench.store.get(&info.name, 1 << 30).unwrap();
            bytes[5000] ^= 1;
            bench.store.tamper(&pack::name(id), bytes);
        }
    }
    let summary = bench.restore(|_| {});
    assert!(!summary.lost.is_empty() && summary.lost.len() < 5, "{:?}", summary.lost);
    assert!(summary.files >= 1, "the rest is restored");
    assert!(
        summary.lost.iter().all(|(_, reason)| reason.contains("have changed") || reason.contains("another name")),
        "{:?}",
        summary.lost
    );
}

#[test]
fn lost_index_objects_are_made_up_for() {
    let bench = Bench::new();
    for info in bench.store.list(Folder::Index).unwrap() {
        bench.store.delete(&info.name).unwrap();
    }
    let summary = bench.restore(|_| {});
    assert_eq!(bench.differences(), []);
    assert_eq!(summary.lost.len(), 1, "the damage is told: {:?}", summary.lost);
}

#[test]
fn a_link_placed_in_the_way_leads_nowhere() {
    let bench = Bench::new();
    let outside = bench.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::create_dir_all(bench.restored()).unwrap();
    symlink(&outside, bench.restored().join("a")).unwrap();
    bench.restore(|_| {});
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    assert_eq!(bench.differences(), []);
}

#[test]
fn differences_are_noticed() {
    let bench = Bench::new();
    bench.restore(|_| {});
    let root = bench.restored();
    let mtime = fs::metadata(root.join("large")).unwrap().modified().unwrap();
    let mut content = noise(9_000_000, 1);
    content[8_999_999] ^= 1;
    fs::write(root.join("large"), content).unwrap();
    fs::File::options().write(true).open(root.join("large")).unwrap().set_modified(mtime).unwrap();
    fs::remove_file(root.join("fifo")).unwrap();
    fs::set_permissions(root.join("middle"), fs::Permissions::from_mode(0o600)).unwrap();
    let found = bench.differences();
    let about = |name: &str| found.iter().filter(|difference| Path::new(&difference.path).ends_with(name)).count();
    assert_eq!((about("large"), about("fifo"), about("middle"), about("twin")), (1, 1, 1, 1), "{found:?}");
}
