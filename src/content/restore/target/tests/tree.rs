//! Directories: depth, permissions, removal.

use super::*;
use crate::source::metadata::{open_dir_at, stat_at};

#[test]
fn directories_are_closed_to_others_until_they_are_finished() {
    let scratch = Scratch::new();
    let dir = scratch.target.make_dir(DirId::ROOT, b"dir").unwrap();
    assert_eq!(mode_of(scratch.path("dir")), 0o700);
    scratch.write(dir, b"file", b"x", &plain(0o644)).unwrap();
    scratch.target.finish_dir(dir, &plain(0o1775)).unwrap();
    let found = fs::metadata(scratch.path("dir")).unwrap();
    assert_eq!((found.mode() & 0o7777, found.mtime(), found.mtime_nsec()), (0o1775, 1_600_000_000, 123_456_789));
}

#[test]
fn a_missing_target_is_made_closed_to_others() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("a/b");
    Target::open(&path, Options::default()).unwrap();
    assert_eq!(mode_of(path.clone()), 0o700);
    fs::write(base.path().join("file"), b"").unwrap();
    let failed = Target::open(&base.path().join("file"), Options::default()).unwrap_err().to_string();
    assert!(failed.contains("file") && failed.contains("directory"), "{failed}");
}

#[test]
fn trees_deeper_than_any_path_are_restored_and_removed_with_few_open_files() {
    const LEVELS: usize = 1_500;
    let scratch = Scratch::with(Options { open_directories: 8, ..Options::default() });
    let name = b"a-directory-name-of-length-32-by";
    let mut ids = vec![DirId::ROOT];
    for _ in 0..LEVELS {
        ids.push(scratch.target.make_dir(*ids.last().unwrap(), name).unwrap());
    }
    let (top, bottom) = (ids[1], ids[LEVELS]);
    scratch.write(top, b"file", b"top", &plain(0o644)).unwrap();
    scratch.write(bottom, b"file", b"bottom", &plain(0o644)).unwrap();
    scratch.target.make_node(bottom, &link_to("link", "x")).unwrap();
    scratch.target.hard_link((bottom, b"file"), (top, b"second")).unwrap();
    assert!(scratch.target.shared.directories.count_open() <= 8);
    for id in ids[1..].iter().rev() {
        scratch.target.finish_dir(*id, &plain(0o555)).unwrap();
    }

    let mut at = open_dir_at(File::open(scratch.path("")).unwrap(), name).unwrap();
    for _ in 1..LEVELS {
        assert_eq!(stat_at(&at, name).unwrap().mode, 0o555);
        at = open_dir_at(&at, name).unwrap();
    }
    assert_eq!(stat_at(&at, b"file").unwrap().links, 2);
    drop(at);

    let removal = scratch.target.remove_extra(DirId::ROOT, |_| false).unwrap();
    assert!(removal.failed.is_empty(), "{:?}", removal.failed.first());
    assert_eq!(removal.removed, LEVELS as u64 + 4);
    assert!(scratch.names().is_empty());
}

#[test]
fn deep_read_only_trees_are_removed_by_their_owner() {
    unprivileged(|| {
        let scratch = Scratch::new();
        let mut path = scratch.path("extra");
        for _ in 0..150 {
            fs::create_dir(&path).unwrap();
            path.push("d");
        }
        fs::write(&path, b"x").unwrap();
        while path.pop() && path != scratch.path("") {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
            fs::set_permissions(path.parent().unwrap(), fs::Permissions::from_mode(0o700)).unwrap();
        }
        let removal = scratch.target.remove_extra(DirId::ROOT, |_| false).unwrap();
        assert!(removal.failed.is_empty(), "{:?}", removal.failed.first());
        assert_eq!(removal.removed, 151);
    });
}

#[test]
fn removing_extras_keeps_what_is_wanted() {
    let scratch = Scratch::new();
    for dir in ["keep/sub", "extra/sub"] {
        fs::create_dir_all(scratch.path(dir)).unwrap();
        fs::write(scratch.path(dir).join("file"), b"x").unwrap();
    }
    fs::write(scratch.path("file"), b"x").unwrap();
    fs::write(scratch.path(".hearth-restore-0123456789abcde"), b"left by a crash").unwrap();
    let removal = scratch.target.remove_extra(DirId::ROOT, |name| name == b"keep").unwrap();
    assert_eq!((removal.removed, removal.failed.len()), (5, 0));
    assert_eq!(scratch.names(), ["keep"]);
    assert!(scratch.path("keep/sub/file").exists());
}

#[test]
fn what_cannot_be_removed_is_named_and_the_rest_is_removed() {
    if !is_root("taking permissions away from another user") {
        return;
    }
    let base = tempfile::tempdir().unwrap();
    fs::set_permissions(base.path(), fs::Permissions::from_mode(0o777)).unwrap();
    fs::create_dir(base.path().join("theirs")).unwrap();
    fs::write(base.path().join("theirs/file"), b"x").unwrap();
    let path = base.path().to_owned();
    unprivileged(move || {
        fs::create_dir(path.join("mine")).unwrap();
        let target = Target::open(&path, Options::default()).unwrap();
        let removal = target.remove_extra(DirId::ROOT, |_| false).unwrap();
        assert_eq!(removal.removed, 1);
        let failed: Vec<_> = removal.failed.iter().map(ToString::to_string).collect();
        assert_eq!(failed.len(), 1, "{failed:?}");
        assert!(failed[0].contains("theirs/file"), "{failed:?}");
    });
}

#[test]
fn read_only_directories_are_filled_and_then_read_only_again() {
    unprivileged(|| {
        for mode in [0o555, 0o000] {
            let scratch = Scratch::new();
            fs::create_dir(scratch.path("dir")).unwrap();
            fs::set_permissions(scratch.path("dir"), fs::Permissions::from_mode(mode)).unwrap();
            let dir = scratch.target.make_dir(DirId::ROOT, b"dir").unwrap();
            assert!(!scratch.target.is_fresh(dir));
            scratch.write(dir, b"file", b"x", &plain(0o444)).unwrap();
            scratch.write(dir, b"file", b"y", &plain(0o444)).unwrap();
            let below = scratch.target.make_dir(dir, b"below").unwrap();
            scratch.target.finish_dir(below, &plain(0o555)).unwrap();
            scratch.target.finish_dir(dir, &plain(0o555)).unwrap();
            assert_eq!((mode_of(scratch.path("dir")), mode_of(scratch.path("dir/below"))), (0o555, 0o555));
            assert_eq!(fs::read(scratch.path("dir/file")).unwrap(), b"y");
            for name in ["dir/below", "dir"] {
                fs::set_permissions(scratch.path(name), fs::Permissions::from_mode(0o755)).unwrap();
            }
        }
    });
}

#[test]
fn a_restore_that_ends_early_leaves_directories_as_narrow_as_they_were() {
    unprivileged(|| {
        let base = tempfile::tempdir().unwrap();
        let path = |name: &str| base.path().join(name);
        fs::create_dir_all(path("dir/sub")).unwrap();
        for name in ["dir/sub", "dir"] {
            fs::set_permissions(path(name), fs::Permissions::from_mode(0o511)).unwrap();
        }
        let target = Target::open(base.path(), Options { open_directories: 1, ..Options::default() }).unwrap();
        let dir = target.make_dir(DirId::ROOT, b"dir").unwrap();
        target.make_dir(dir, b"sub").unwrap();
        assert_eq!(mode_of(path("dir")), 0o711);
        drop(target);
        assert_eq!((mode_of(path("dir")), mode_of(path("dir/sub"))), (0o511, 0o511));
        for name in ["dir", "dir/sub"] {
            fs::set_permissions(path(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
    });
}

#[test]
fn many_directories_need_few_open_files() {
    let scratch = Scratch::with(Options { open_directories: 4, ..Options::default() });
    let ids: Vec<_> = (0..100).map(|n| scratch.target.make_dir(DirId::ROOT, format!("{n}").as_bytes()).unwrap()).collect();
    std::thread::scope(|scope| {
        for part in ids.chunks(50) {
            let scratch = &scratch;
            scope.spawn(move || part.iter().for_each(|id| scratch.write(*id, b"file", b"x", &plain(0o644)).unwrap()));
        }
    });
    assert!(scratch.target.shared.directories.count_open() <= 4);
    assert!((0..100).all(|n| scratch.path(&format!("{n}/file")).exists()));
}
