//! Owners, permissions, times, attributes.

use std::os::unix::fs::chown;

use super::*;
use crate::source::metadata::xattrs_fd;

fn attributes(path: PathBuf) -> Vec<Xattr> {
    let mut found = xattrs_fd(File::open(path).unwrap()).unwrap();
    found.retain(|x| x.name.starts_with(b"user.") || x.name.starts_with(b"system.posix") || x.name == b"security.capability");
    found
}

fn has_attributes(scratch: &Scratch) -> bool {
    let usable = xattr::set(scratch.outside(""), "user.test", b"").is_ok();
    if !usable {
        println!("skipped: this filesystem has no user attributes");
    }
    usable
}

#[test]
fn owners_setuid_bits_and_capabilities_survive_each_other() {
    if !is_root("giving files away") {
        return;
    }
    let scratch = Scratch::new();
    let wanted = Metadata { uid: 1234, gid: 2345, xattrs: vec![xattr("security.capability", &capability())], ..plain(0o6755) };
    scratch.write(DirId::ROOT, b"new", b"x", &wanted).unwrap();
    fs::write(scratch.path("old"), b"x").unwrap();
    scratch.target.apply_metadata(DirId::ROOT, b"old", &wanted).unwrap();
    for name in ["new", "old"] {
        let found = fs::metadata(scratch.path(name)).unwrap();
        assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (1234, 2345, 0o6755), "{name}");
        assert_eq!(attributes(scratch.path(name)), wanted.xattrs, "{name}");
    }
    assert_eq!(scratch.target.incomplete(), Vec::new());
}

#[test]
fn owners_go_by_number_unless_names_are_asked_for() {
    if !is_root("giving files away") {
        return;
    }
    let wanted = Metadata { uid: 4242, gid: 4343, user: Some("root".into()), group: Some("no-such-group".into()), ..plain(0o644) };
    for (numeric_owner, uid) in [(true, 4242), (false, 0)] {
        let scratch = Scratch::with(Options { numeric_owner, ..Options::default() });
        scratch.write(DirId::ROOT, b"file", b"x", &wanted).unwrap();
        let found = fs::metadata(scratch.path("file")).unwrap();
        assert_eq!((found.uid(), found.gid()), (uid, 4343), "an unknown name falls back to the number");
    }
}

#[test]
fn a_group_inherited_from_a_setgid_directory_is_corrected() {
    if !is_root("giving a directory to another group") {
        return;
    }
    let scratch = Scratch::new();
    chown(scratch.path(""), None, Some(3456)).unwrap();
    fs::set_permissions(scratch.path(""), fs::Permissions::from_mode(0o2755)).unwrap();
    let target = Target::open(&scratch.path(""), Options::default()).unwrap();
    let dir = target.make_dir(DirId::ROOT, b"dir").unwrap();
    for id in [DirId::ROOT, dir] {
        target.create_file(id, b"file", 0, &plain(0o644)).unwrap().finish(&plain(0o644)).unwrap();
    }
    target.finish_dir(dir, &plain(0o755)).unwrap();
    for name in ["file", "dir", "dir/file"] {
        assert_eq!(fs::metadata(scratch.path(name)).unwrap().gid(), plain(0).gid, "{name}");
    }
    assert_eq!(mode_of(scratch.path("dir")), 0o755);
}

#[test]
fn who_may_not_give_files_away_is_told_once_and_gets_no_setuid_file() {
    unprivileged(|| {
        let scratch = Scratch::new();
        for name in [b"a", b"b", b"c"] {
            let wanted = Metadata { uid: 1234, gid: 2345, ..plain(0o6755) };
            scratch.write(DirId::ROOT, name, b"x", &wanted).unwrap();
        }
        assert_eq!(mode_of(scratch.path("a")), 0o755);
        let notes: Vec<_> = scratch.target.incomplete().iter().map(|note| (note.lost, note.count)).collect();
        assert_eq!(notes, [(Lost::Owner, 3), (Lost::Group, 3), (Lost::SetId, 3)]);
        let text = scratch.target.incomplete()[0].to_string();
        assert!(text.contains("on 3 entries") && text.contains("target/a") && text.contains("as root"), "{text}");
    });
}

#[test]
fn who_owns_a_setuid_file_keeps_the_bit() {
    unprivileged(|| {
        let scratch = Scratch::new();
        scratch.write(DirId::ROOT, b"file", b"x", &plain(0o4755)).unwrap();
        assert_eq!(mode_of(scratch.path("file")), 0o4755);
        assert_eq!(scratch.target.incomplete(), Vec::new());
    });
}

#[test]
fn attributes_and_access_control_lists_come_back_on_read_only_files_too() {
    unprivileged(|| {
        let scratch = Scratch::new();
        if !has_attributes(&scratch) {
            return;
        }
        let xattrs = vec![xattr("system.posix_acl_access", &acl(4)), xattr("user.note", b"\0\xff")];
        let wanted = Metadata { xattrs, ..plain(0o460) };
        scratch.write(DirId::ROOT, b"new", b"x", &wanted).unwrap();
        fs::write(scratch.path("old"), b"x").unwrap();
        fs::set_permissions(scratch.path("old"), fs::Permissions::from_mode(0o000)).unwrap();
        for _ in 0..2 {
            scratch.target.apply_metadata(DirId::ROOT, b"old", &wanted).unwrap();
        }
        for name in ["new", "old"] {
            assert_eq!(mode_of(scratch.path(name)), 0o460, "{name}");
            assert_eq!(attributes(scratch.path(name)), wanted.xattrs, "{name}");
        }
        assert_eq!(scratch.target.incomplete(), Vec::new());
    });
}

#[test]
fn an_access_control_list_is_kept_exactly() {
    let scratch = Scratch::new();
    if !has_attributes(&scratch) {
        return;
    }
    let wanted = Metadata { xattrs: vec![xattr("system.posix_acl_access", &acl(6))], ..plain(0o660) };
    scratch.write(DirId::ROOT, b"file", b"x", &wanted).unwrap();
    assert_eq!(attributes(scratch.path("file")), wanted.xattrs);
    fs::set_permissions(scratch.path("file"), fs::Permissions::from_mode(0o600)).unwrap();
    scratch.target.apply_metadata(DirId::ROOT, b"file", &wanted).unwrap();
    assert_eq!((attributes(scratch.path("file")), mode_of(scratch.path("file"))), (wanted.xattrs, 0o660));
}

#[test]
fn a_default_access_control_list_rubs_off_on_nothing() {
    let scratch = Scratch::new();
    if !has_attributes(&scratch) {
        return;
    }
    xattr::set(scratch.path(""), "system.posix_acl_default", &acl(6)).unwrap();
    let target = Target::open(&scratch.path(""), Options::default()).unwrap();
    let dir = target.make_dir(DirId::ROOT, b"dir").unwrap();
    for id in [DirId::ROOT, dir] {
        target.create_file(id, b"file", 0, &plain(0o664)).unwrap().finish(&plain(0o664)).unwrap();
    }
    target.finish_dir(dir, &plain(0o775)).unwrap();
    for (name, mode) in [("file", 0o664), ("dir", 0o775), ("dir/file", 0o664)] {
        assert_eq!((attributes(scratch.path(name)), mode_of(scratch.path(name))), (Vec::new(), mode), "{name}");
    }
    target.finish_dir(DirId::ROOT, &plain(0o755)).unwrap();
    assert_eq!(attributes(scratch.path("")), Vec::new());
}

#[test]
fn attributes_that_the_entry_does_not_have_are_taken_away() {
    let scratch = Scratch::new();
    if !has_attributes(&scratch) {
        return;
    }
    fs::write(scratch.path("file"), b"x").unwrap();
    fs::create_dir(scratch.path("dir")).unwrap();
    let wanted = Metadata { xattrs: vec![xattr("user.keep", b"2")], ..plain(0o755) };
    for name in ["file", "dir"] {
        xattr::set(scratch.path(name), "user.extra", b"1").unwrap();
        xattr::set(scratch.path(name), "user.keep", b"1").unwrap();
    }
    scratch.target.apply_metadata(DirId::ROOT, b"file", &wanted).unwrap();
    let dir = scratch.target.make_dir(DirId::ROOT, b"dir").unwrap();
    scratch.target.finish_dir(dir, &wanted).unwrap();
    for name in ["file", "dir"] {
        assert_eq!(attributes(scratch.path(name)), wanted.xattrs, "{name}");
    }
}

#[test]
fn attributes_of_a_symlink_come_back() {
    if !is_root("giving attributes to links") {
        return;
    }
    let scratch = Scratch::new();
    let wanted = Metadata { uid: 1234, xattrs: vec![xattr("trusted.note", b"1")], ..plain(0o777) };
    scratch.target.make_node(DirId::ROOT, &Entry { metadata: wanted, ..link_to("link", "nowhere") }).unwrap();
    if scratch.target.incomplete().is_empty() {
        assert_eq!(xattr::get(scratch.path("link"), "trusted.note").unwrap().as_deref(), Some(b"1".as_slice()));
    } else {
        println!("skipped in part: {}", scratch.target.incomplete()[0]);
    }
    assert_eq!(fs::symlink_metadata(scratch.path("link")).unwrap().uid(), 1234);
}

#[test]
fn an_attribute_that_is_not_allowed_is_noted_and_the_file_kept() {
    unprivileged(|| {
        let scratch = Scratch::new();
        let xattrs = vec![xattr("nonsense", b"1"), xattr("security.capability", &capability()), xattr("trusted.x", b"1")];
        scratch.write(DirId::ROOT, b"file", b"x", &Metadata { xattrs, ..plain(0o755) }).unwrap();
        assert!(scratch.target.incomplete().iter().any(|note| note.lost == Lost::SystemAttributes));
        assert_eq!((mode_of(scratch.path("file")), fs::read(scratch.path("file")).unwrap()), (0o755, b"x".to_vec()));
    });
}

#[test]
fn times_before_1970_and_hostile_nanoseconds_are_no_trouble() {
    let scratch = Scratch::new();
    // 0x3fffffff means "now" to the kernel.
    for (nanoseconds, found) in [(999_999_999, 999_999_999), (0x3fff_ffff, 999_999_999)] {
        let wanted = Metadata { mtime: Timestamp { seconds: -1_000, nanoseconds }, ..plain(0o644) };
        scratch.write(DirId::ROOT, b"file", b"x", &wanted).unwrap();
        let metadata = fs::metadata(scratch.path("file")).unwrap();
        assert_eq!((metadata.mtime(), metadata.mtime_nsec()), (-1_000, found));
    }
}

#[test]
fn what_is_right_already_is_not_written_again() {
    let scratch = Scratch::new();
    scratch.write(DirId::ROOT, b"file", b"x", &plain(0o640)).unwrap();
    let before = fs::metadata(scratch.path("file")).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(20));
    scratch.target.apply_metadata(DirId::ROOT, b"file", &plain(0o640)).unwrap();
    let after = fs::metadata(scratch.path("file")).unwrap();
    assert_eq!((after.ctime(), after.ctime_nsec()), (before.ctime(), before.ctime_nsec()));
}
