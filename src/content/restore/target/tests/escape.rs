//! Nothing gets out of the target.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

#[test]
fn names_that_lead_elsewhere_are_refused_by_every_operation() {
    let scratch = Scratch::new();
    for name in ["..", ".", "", "/", "/etc", "../outside", "a/b", "a\0b"] {
        let target = &scratch.target;
        let file = target.create_file(DirId::ROOT, name.as_bytes(), 1, &plain(0o644)).map(drop);
        let results = [
            target.make_dir(DirId::ROOT, name.as_bytes()).map(drop),
            file,
            target.make_node(DirId::ROOT, &link_to(name, "x")),
            target.hard_link((DirId::ROOT, name.as_bytes()), (DirId::ROOT, b"x")),
            target.hard_link((DirId::ROOT, b"x"), (DirId::ROOT, name.as_bytes())),
            target.apply_metadata(DirId::ROOT, name.as_bytes(), &plain(0o777)),
        ];
        for result in results {
            assert!(matches!(result, Err(TargetError::UnsafeName { .. })), "{name:?}: {result:?}");
        }
        assert!(!target.unchanged(DirId::ROOT, &link_to(name, "x")));
    }
    assert!(scratch.names().is_empty());
}

#[test]
fn a_symlink_where_a_directory_belongs_is_replaced_and_its_target_left_alone() {
    let scratch = Scratch::new();
    symlink(scratch.outside(""), scratch.path("dir")).unwrap();
    let dir = scratch.target.make_dir(DirId::ROOT, b"dir").unwrap();
    scratch.write(dir, b"file", b"inside", &plain(0o644)).unwrap();
    assert!(fs::symlink_metadata(scratch.path("dir")).unwrap().is_dir());
    assert!(!scratch.outside("file").exists());
    assert_eq!(fs::read(scratch.path("dir/file")).unwrap(), b"inside");
}

#[test]
fn a_symlink_where_a_file_belongs_is_replaced_and_its_target_left_alone() {
    let scratch = Scratch::new();
    fs::write(scratch.outside("victim"), b"precious").unwrap();
    symlink(scratch.outside("victim"), scratch.path("file")).unwrap();
    scratch.write(DirId::ROOT, b"file", b"restored", &plain(0o644)).unwrap();
    assert!(fs::symlink_metadata(scratch.path("file")).unwrap().is_file());
    assert_eq!(fs::read(scratch.outside("victim")).unwrap(), b"precious");
}

#[test]
fn a_directory_swapped_for_a_symlink_during_the_restore_is_noticed() {
    let scratch = Scratch::with(Options { open_directories: 1, ..Options::default() });
    let dir = scratch.target.make_dir(DirId::ROOT, b"dir").unwrap();
    let below = scratch.target.make_dir(dir, b"below").unwrap();
    fs::create_dir(scratch.outside("below")).unwrap();
    fs::rename(scratch.path("dir"), scratch.path("moved")).unwrap();
    symlink(scratch.outside(""), scratch.path("dir")).unwrap();
    scratch.target.make_dir(DirId::ROOT, b"other").unwrap();
    for id in [dir, below] {
        let failed = scratch.write(id, b"file", b"x", &plain(0o644)).unwrap_err();
        assert!(matches!(failed, TargetError::Replaced { .. }), "{failed}");
    }
    assert!(scratch.target.finish_dir(dir, &plain(0o777)).is_err());
    assert_eq!(fs::read_dir(scratch.outside("")).unwrap().count(), 1);
    assert_eq!(fs::read_dir(scratch.outside("below")).unwrap().count(), 0);
}

#[test]
fn a_directory_swapped_for_another_one_is_noticed() {
    let scratch = Scratch::with(Options { open_directories: 1, ..Options::default() });
    let dir = scratch.target.make_dir(DirId::ROOT, b"dir").unwrap();
    scratch.target.make_dir(DirId::ROOT, b"other").unwrap();
    fs::rename(scratch.path("dir"), scratch.path("moved")).unwrap();
    fs::create_dir(scratch.path("dir")).unwrap();
    let failed = scratch.write(dir, b"file", b"x", &plain(0o644)).unwrap_err();
    assert!(matches!(failed, TargetError::Replaced { .. }), "{failed}");
}

#[test]
fn whoever_keeps_swapping_a_directory_and_a_symlink_gets_nothing_written_outside() {
    let scratch = Scratch::with(Options { open_directories: 1, ..Options::default() });
    fs::create_dir(scratch.outside("below")).unwrap();
    let (dir, aside, outside) = (scratch.path("dir"), scratch.path("aside"), scratch.outside(""));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let _ = fs::rename(&dir, &aside);
                let _ = symlink(&outside, &dir);
                let _ = fs::remove_file(&dir);
                let _ = fs::rename(&aside, &dir);
                let _ = fs::remove_dir_all(&aside);
            }
        });
        for round in 0..700 {
            let name = format!("file{round}");
            let Ok(dir) = scratch.target.make_dir(DirId::ROOT, b"dir") else { continue };
            let Ok(below) = scratch.target.make_dir(dir, b"below") else { continue };
            for id in [dir, below] {
                let _ = scratch.write(id, name.as_bytes(), b"x", &plain(0o644));
                let _ = scratch.target.make_node(id, &link_to("link", "x"));
                let _ = scratch.target.remove_extra(id, |name| name == b"below" || name.starts_with(b"file"));
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(fs::read_dir(scratch.outside("")).unwrap().count(), 1, "only what was there");
    assert_eq!(fs::read_dir(scratch.outside("below")).unwrap().count(), 0);
}

#[test]
fn metadata_of_a_symlink_never_reaches_what_it_points_to() {
    let scratch = Scratch::new();
    fs::write(scratch.outside("victim"), b"x").unwrap();
    let before = fs::metadata(scratch.outside("victim")).unwrap();
    symlink(scratch.outside("victim"), scratch.path("link")).unwrap();
    let wanted = Metadata { xattrs: vec![xattr("user.mark", b"1")], ..plain(0o777) };
    scratch.target.apply_metadata(DirId::ROOT, b"link", &wanted).unwrap();
    let after = fs::metadata(scratch.outside("victim")).unwrap();
    assert_eq!((after.mode(), after.mtime(), after.ctime_nsec()), (before.mode(), before.mtime(), before.ctime_nsec()));
    assert_eq!(fs::symlink_metadata(scratch.path("link")).unwrap().mtime(), wanted.mtime.seconds);
}

#[test]
fn a_hard_link_to_a_symlink_names_the_symlink() {
    let scratch = Scratch::new();
    fs::write(scratch.outside("victim"), b"x").unwrap();
    symlink(scratch.outside("victim"), scratch.path("link")).unwrap();
    scratch.target.hard_link((DirId::ROOT, b"link"), (DirId::ROOT, b"second")).unwrap();
    assert!(fs::symlink_metadata(scratch.path("second")).unwrap().is_symlink());
    assert_eq!(fs::metadata(scratch.outside("victim")).unwrap().nlink(), 1);
}

#[test]
fn deleting_removes_a_symlink_and_not_what_it_points_to() {
    let scratch = Scratch::new();
    fs::write(scratch.outside("victim"), b"x").unwrap();
    fs::create_dir_all(scratch.path("extra/deep")).unwrap();
    symlink(scratch.outside(""), scratch.path("extra/deep/link")).unwrap();
    symlink(scratch.outside(""), scratch.path("link")).unwrap();
    let removal = scratch.target.remove_extra(DirId::ROOT, |_| false).unwrap();
    assert_eq!((removal.removed, removal.failed.len()), (4, 0));
    assert!(scratch.outside("victim").exists() && scratch.names().is_empty());
}

#[test]
fn a_file_with_an_unknown_second_name_is_not_taken_for_the_restored_one() {
    let scratch = Scratch::new();
    fs::write(scratch.outside("victim"), b"precious").unwrap();
    fs::hard_link(scratch.outside("victim"), scratch.path("file")).unwrap();
    scratch.target.apply_metadata(DirId::ROOT, b"file", &plain(0o644)).unwrap();
    let file = entry("file", Kind::File { size: 8, content: Vec::new() }, plain(0o644));
    assert!(!scratch.target.unchanged(DirId::ROOT, &file));
    let linked = Entry { metadata: Metadata { link: Some(LinkId { filesystem: 0, inode: 1 }), ..plain(0o644) }, ..file };
    assert!(scratch.target.unchanged(DirId::ROOT, &linked));
    scratch.write(DirId::ROOT, b"file", b"restored", &plain(0o644)).unwrap();
    assert_eq!(fs::read(scratch.outside("victim")).unwrap(), b"precious");
}

#[test]
fn a_symlink_swapped_in_right_after_a_directory_was_made_is_not_opened() {
    unprivileged(|| {
        let scratch = Scratch::new();
        let root = File::open(scratch.path("")).unwrap();
        symlink(scratch.outside(""), scratch.path("dir")).unwrap();
        for mode in [0o755, 0o000] {
            fs::set_permissions(scratch.outside(""), fs::Permissions::from_mode(mode)).unwrap();
            assert!(open_to_fill(&root, b"dir").is_err());
            assert_eq!(mode_of(scratch.outside("")), mode);
        }
        fs::set_permissions(scratch.outside(""), fs::Permissions::from_mode(0o755)).unwrap();
    });
}
