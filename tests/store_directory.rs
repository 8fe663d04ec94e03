//! What a store in a directory promises beyond the common contract: crashes, full and read-only disks, strange files.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use hearth_backup::store::{DirectoryStore, Folder, ObjectName, Put, Store, StoreErrorKind};
use tempfile::TempDir;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn store() -> (DirectoryStore, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (DirectoryStore::create(folder.path().join("r")).unwrap(), folder)
}

fn name(folder: Folder, leaf: &str) -> ObjectName {
    ObjectName::new(folder, leaf).unwrap()
}

fn files_in(folder: impl AsRef<Path>) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn mode(path: impl AsRef<Path>) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_missing_repository_is_explained_and_not_made() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().join("absent"), folder.path().to_owned()] {
        let error = DirectoryStore::open(&path).err().unwrap();
        assert_eq!(error.kind, StoreErrorKind::NotFound);
        let text = error.to_string();
        assert!(text.contains("hearth-backup init") && text.contains("mounted") && text.contains(path.to_str().unwrap()), "{text}");
    }
    assert!(files_in(folder.path()).is_empty());
}

#[test]
fn a_repository_is_not_made_among_other_files() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("lost+found")).unwrap();
    fs::write(folder.path().join("letter.txt"), "x").unwrap();
    let error = DirectoryStore::create(folder.path()).err().unwrap();
    assert_eq!(error.kind, StoreErrorKind::Refused);
    assert!(error.to_string().contains("letter.txt"), "{error}");
    assert!(error.to_string().contains("choose a new or an empty one") && !error.to_string().contains("mounted"), "{error}");
    fs::remove_file(folder.path().join("letter.txt")).unwrap();
    DirectoryStore::create(folder.path()).unwrap();
    DirectoryStore::create(folder.path()).unwrap();
    DirectoryStore::open(folder.path()).unwrap();
}

#[test]
fn a_repository_is_not_made_within_another_one() {
    let (store, folder) = store();
    store.put_new(&name(Folder::Repo, "0"), b"x").unwrap();
    let link = folder.path().join("link");
    symlink(store.path(), &link).unwrap();
    for path in [store.path().join("below"), store.path().join("packs/ab/deep"), link.join("below")] {
        let error = DirectoryStore::create(&path).err().unwrap();
        assert_eq!(error.kind, StoreErrorKind::Refused);
        let text = error.to_string();
        assert!(text.contains("place of its own") && text.contains(store.path().to_str().unwrap()), "{text}");
        assert!(!path.exists());
    }
    DirectoryStore::create(folder.path().join("beside")).unwrap();
}

#[test]
fn only_the_owner_may_look_into_a_repository() {
    let (store, _folder) = store();
    store.put_new(&name(Folder::Packs, "abc"), b"x").unwrap();
    for folder in ["", "tmp", "packs", "packs/ab"] {
        assert_eq!(mode(store.path().join(folder)), 0o700, "{folder}");
    }
    assert_eq!(mode(store.path().join("packs/ab/abc")), 0o600);
    fs::set_permissions(store.path(), PermissionsExt::from_mode(0o750)).unwrap();
    DirectoryStore::create(store.path()).unwrap();
    assert_eq!(mode(store.path()), 0o750, "what the user has chosen stays");
}

#[test]
fn what_root_makes_belongs_to_whoever_the_repository_belongs_to() {
    if !nix::unistd::geteuid().is_root() {
        println!("SKIPPED: not root");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let top = folder.path().join("r");
    fs::create_dir(&top).unwrap();
    std::os::unix::fs::chown(&top, Some(4321), Some(8765)).unwrap();
    let store = DirectoryStore::create(&top).unwrap();
    store.put_new(&name(Folder::Packs, "abc"), b"x").unwrap();
    let mut staged = store.stage().unwrap();
    staged.write(b"y").unwrap();
    staged.commit(&name(Folder::Index, "def")).unwrap();
    for path in ["tmp", "repo", "packs", "packs/ab", "packs/ab/abc", "index", "index/def"] {
        let metadata = fs::symlink_metadata(top.join(path)).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (4321, 8765), "{path}");
    }
}

#[test]
fn nothing_but_objects_is_listed() {
    let (store, _folder) = store();
    store.put_new(&name(Folder::Packs, "abc"), b"x").unwrap();
    store.put_new(&name(Folder::Index, "abc"), b"x").unwrap();
    let at = |path: &str| store.path().join(path);
    for path in ["packs/ab/abC", "packs/ab/zz1", "packs/ab/.abd", "packs/abc", "index/a.tmp", "index/a b", "tmp/0"] {
        fs::write(at(path), "x").unwrap();
    }
    fs::create_dir(at("index/directory")).unwrap();
    fs::create_dir(at("packs/abcd")).unwrap();
    symlink(at("index/abc"), at("index/link")).unwrap();
    for folder in [Folder::Packs, Folder::Index] {
        let listed: Vec<_> = store.list(folder).unwrap().into_iter().map(|info| info.name).collect();
        assert_eq!(listed, [name(folder, "abc")]);
    }
}

#[test]
fn unknown_folders_are_those_of_later_versions_only() {
    let (store, _folder) = store();
    for folder in ["later", ".snapshots", "lost+found"] {
        fs::create_dir(store.path().join(folder)).unwrap();
    }
    fs::write(store.path().join("README"), "x").unwrap();
    assert_eq!(store.unknown_folders().unwrap(), ["later"]);
}

#[test]
fn a_symbolic_link_is_not_read_through_nor_replaced() {
    let (store, folder) = store();
    let secret = folder.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    store.put_new(&name(Folder::Index, "a"), b"x").unwrap();
    symlink(&secret, store.path().join("index/b")).unwrap();
    let link = name(Folder::Index, "b");
    let error = store.get(&link, 100).unwrap_err();
    assert!(error.to_string().contains("symbolic link"), "{error}");
    assert!(store.get_range(&link, 0, 1, &mut Vec::new()).is_err());
    assert!(store.stat(&link).is_err());
    assert_eq!(store.put_new(&link, b"x").unwrap(), Put::Exists);
    store.delete(&link).unwrap();
    assert_eq!(fs::read(&secret).unwrap(), b"secret");
}

#[test]
fn a_folder_that_is_a_symbolic_link_is_not_entered() {
    let (store, folder) = store();
    let outside = folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("a"), "x").unwrap();
    symlink(&outside, store.path().join("index")).unwrap();
    let inside = name(Folder::Index, "a");
    let error = store.put_new(&name(Folder::Index, "b"), b"x").unwrap_err();
    assert!(error.to_string().contains("symbolic link"), "{error}");
    assert!(store.get(&inside, 10).is_err() && store.list(Folder::Index).is_err() && store.delete(&inside).is_err());
    assert_eq!(files_in(&outside), BTreeSet::from(["a".to_owned()]));
}

#[test]
fn temporary_files_are_swept_when_they_are_old_and_nobody_writes_them() {
    let (store, _folder) = store();
    let temporary = store.path().join("tmp");
    let make = |name: &str, age: Duration| {
        let file = File::create(temporary.join(name)).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
        file
    };
    make("old", 2 * DAY);
    make("young", DAY / 2);
    let busy = make("busy", 30 * DAY);
    busy.lock_shared().unwrap();
    DirectoryStore::open(store.path()).unwrap();
    assert_eq!(files_in(&temporary), BTreeSet::from(["busy".to_owned(), "young".to_owned()]));
}

#[test]
fn nothing_temporary_stays_after_any_put() {
    let (store, _folder) = store();
    let object = name(Folder::Packs, "abc");
    for _ in 0..2 {
        store.put_new(&object, b"x").unwrap();
        let mut staged = store.stage().unwrap();
        staged.write(b"y").unwrap();
        staged.commit(&object).unwrap();
        drop(store.stage().unwrap());
        store.now().unwrap();
    }
    assert!(files_in(store.path().join("tmp")).is_empty());
}

#[test]
fn a_sleeping_writer_can_still_commit_after_a_sweep() {
    let (store, _folder) = store();
    let mut staged = store.stage().unwrap();
    staged.write(b"x").unwrap();
    for file in files_in(store.path().join("tmp")) {
        let file = File::options().write(true).open(store.path().join("tmp").join(file)).unwrap();
        file.set_modified(SystemTime::now() - 14 * DAY).unwrap();
    }
    DirectoryStore::open(store.path()).unwrap();
    let object = name(Folder::Packs, "abc");
    assert_eq!(staged.commit(&object).unwrap(), Put::Created);
    assert!(store.stat(&object).unwrap().stored + DAY > SystemTime::now(), "as young as its name");
}

// --- A writer that is killed ---

const CHILD_REPOSITORY: &str = "HEARTH_TEST_CHILD_REPOSITORY";

/// Not a test of its own: the process that `killed_writers_leave_only_complete_objects` kills.
#[test]
#[ignore = "runs only as a child process of another test"]
fn child_that_writes_until_it_is_killed() {
    let Some(path) = std::env::var_os(CHILD_REPOSITORY) else { return };
    let store = DirectoryStore::open(PathBuf::from(path)).unwrap();
    for number in 0_u64.. {
        let bytes: Vec<u8> = [std::process::id().to_le_bytes().as_slice(), &number.to_le_bytes()].concat().repeat(5000);
        let name = ObjectName::of_id(Folder::Packs, blake3::hash(&bytes).as_bytes());
        if number % 2 == 0 {
            store.put_new(&name, &bytes).unwrap();
        } else {
            let mut staged = store.stage().unwrap();
            bytes.chunks(7000).for_each(|piece| staged.write(piece).unwrap());
            staged.commit(&name).unwrap();
        }
        println!("stored {}", name.leaf());
    }
}

#[test]
fn killed_writers_leave_only_complete_objects() {
    let (store, _folder) = store();
    let mut promised = BTreeSet::new();
    for round in 1..=8 {
        promised.extend(write_until_killed(store.path(), round * 3));
    }
    let listed = store.list(Folder::Packs).unwrap();
    for info in &listed {
        let bytes = store.get(&info.name, u64::MAX).unwrap();
        assert_eq!(bytes.len() as u64, info.size);
        assert_eq!(blake3::hash(&bytes).to_hex().as_str(), info.name.leaf(), "an incomplete object is visible");
    }
    let listed: BTreeSet<_> = listed.iter().map(|info| info.name.leaf().to_owned()).collect();
    assert!(promised.is_subset(&listed), "what a writer was told is stored is there");
    assert!(store.unknown_folders().unwrap().is_empty());
}

/// Starts a writer, kills it after it has reported so many objects, and returns all that it reported.
fn write_until_killed(path: &Path, reports: usize) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_writes_until_it_is_killed", "--ignored", "--nocapture"])
        .env(CHILD_REPOSITORY, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let leaf = |line: String| line.split_once("stored ").map(|(_, leaf)| leaf.to_owned());
    let mut stored: Vec<String> = lines.by_ref().filter_map(leaf).take(reports).collect();
    child.kill().unwrap();
    // The last line may have been cut off by the kill.
    stored.extend(lines.filter_map(leaf).filter(|leaf| leaf.len() == 64));
    child.wait().unwrap();
    assert!(stored.len() >= reports, "the writer ended before it was killed");
    stored
}

// --- Disks that are full or read-only ---

/// A file system in memory; unmounted when dropped.
struct Mounted(TempDir);

impl Mounted {
    /// Says why the test cannot be made where it may not mount.
    fn new(options: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(folder.path()).status();
        if status.is_ok_and(|status| status.success()) {
            return Some(Self(folder));
        }
        eprintln!("skipped: mounting a file system for the test needs root");
        None
    }

    fn remount(&self, options: &str) {
        let status = Command::new("mount").arg("-o").arg(format!("remount,{options}")).arg(self.0.path()).status();
        assert!(status.unwrap().success());
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_is_named_and_loses_nothing() {
    let Some(disk) = Mounted::new("size=4m") else { return };
    // Sizes leave room for tmpfs' own bookkeeping, which counts per processor and is exact only to some 100 KiB.
    let store = DirectoryStore::create(disk.0.path()).unwrap();
    let (kept, small, large) = (name(Folder::Packs, "abc"), name(Folder::Packs, "abd"), name(Folder::Packs, "abe"));
    store.put_new(&kept, &[1; 2_500_000]).unwrap();
    let error = store.put_new(&small, &[2; 2_500_000]).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Full);
    assert!(error.to_string().contains("no space left"), "{error}");
    let mut staged = store.stage().unwrap();
    let failed = (0..100).find_map(|_| staged.write(&[3; 40_000]).err()).unwrap();
    assert_eq!(failed.kind, StoreErrorKind::Full);
    drop(staged);
    assert_eq!(store.list(Folder::Packs).unwrap().len(), 1);
    assert_eq!(store.get(&kept, u64::MAX).unwrap(), [1; 2_500_000]);
    assert!(files_in(store.path().join("tmp")).is_empty(), "the room is free again");
    store.delete(&kept).unwrap();
    assert_eq!(store.put_new(&large, &[4; 2_500_000]).unwrap(), Put::Created);
}

#[test]
fn a_disk_mounted_read_only_can_be_read() {
    let Some(disk) = Mounted::new("size=1m") else { return };
    let object = name(Folder::Packs, "abc");
    DirectoryStore::create(disk.0.path()).unwrap().put_new(&object, b"x").unwrap();
    fs::write(disk.0.path().join("tmp/left"), "x").unwrap();
    disk.remount("ro");
    let store = DirectoryStore::open(disk.0.path()).unwrap();
    assert_eq!(store.get(&object, 1).unwrap(), b"x");
    assert_eq!(store.list(Folder::Packs).unwrap().len(), 1);
    assert_eq!(store.put_new(&object, b"x").unwrap(), Put::Exists);
    for error in
        [store.put_new(&name(Folder::Packs, "abd"), b"x").err(), store.stage().err(), store.now().err(), store.delete(&object).err()]
    {
        let error = error.unwrap();
        assert_eq!(error.kind, StoreErrorKind::Refused);
        assert!(error.to_string().contains("read-only"), "{error}");
    }
}
