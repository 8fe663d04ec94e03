use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::mkfifo;
use tempfile::TempDir;

use super::*;

fn scratch() -> (TempDir, File) {
    let dir = tempfile::tempdir().unwrap();
    let handle = File::open(dir.path()).unwrap();
    (dir, handle)
}

#[test]
fn every_type_is_told_apart_without_opening_it() {
    let (dir, handle) = scratch();
    fs::write(dir.path().join("file"), b"abc").unwrap();
    fs::create_dir(dir.path().join("dir")).unwrap();
    symlink("nowhere", dir.path().join("link")).unwrap();
    mkfifo(&dir.path().join("fifo"), Mode::from_bits_truncate(0o640)).unwrap();
    let _socket = UnixListener::bind(dir.path().join("socket")).unwrap();
    let kind = |name: &str| stat_at(&handle, name.as_bytes()).unwrap().kind;
    assert_eq!(kind("file"), FileType::File);
    assert_eq!(kind("dir"), FileType::Directory);
    assert_eq!(kind("link"), FileType::Symlink);
    assert_eq!(kind("fifo"), FileType::Fifo);
    assert_eq!(kind("socket"), FileType::Socket);
    let null = stat_at(File::open("/dev").unwrap(), b"null").unwrap();
    assert_eq!((null.kind, null.rdev), (FileType::CharDevice, Device { major: 1, minor: 3 }));
}

#[test]
fn a_stat_agrees_with_the_standard_library() {
    let (dir, handle) = scratch();
    let path = dir.path().join("file");
    fs::write(&path, vec![1; 10_000]).unwrap();
    fs::hard_link(&path, dir.path().join("second")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o4711)).unwrap();
    let ours = stat_at(&handle, b"file").unwrap();
    let theirs = fs::metadata(&path).unwrap();
    assert_eq!((ours.mode, ours.size, ours.links), (0o4711, 10_000, 2));
    assert_eq!((ours.uid, ours.gid, ours.inode, ours.device), (theirs.uid(), theirs.gid(), theirs.ino(), theirs.dev()));
    assert_eq!(ours.mtime, Timestamp { seconds: theirs.mtime(), nanoseconds: theirs.mtime_nsec() as u32 });
    assert_eq!(ours.ctime, Timestamp { seconds: theirs.ctime(), nanoseconds: theirs.ctime_nsec() as u32 });
    let open = File::open(&path).unwrap();
    assert_eq!(stat_fd(&open).unwrap(), ours);
    assert!(ours.same_inode(&stat_at(&handle, b"second").unwrap()));
}

#[test]
fn a_time_before_1970_keeps_its_nanoseconds() {
    let (dir, handle) = scratch();
    fs::write(dir.path().join("old"), b"").unwrap();
    let time = TimeSpec::new(-5, 123_456_789);
    utimensat(&handle, "old", &time, &time, UtimensatFlags::NoFollowSymlink).unwrap();
    assert_eq!(stat_at(&handle, b"old").unwrap().mtime, Timestamp { seconds: -5, nanoseconds: 123_456_789 });
}

#[test]
fn names_of_255_bytes_and_names_that_are_not_utf8_are_read() {
    let (dir, handle) = scratch();
    for name in [vec![b'x'; 255], b"caf\xe9 \xff\n".to_vec()] {
        fs::write(dir.path().join(OsStr::from_bytes(&name)), b"1").unwrap();
        assert_eq!(stat_at(&handle, &name).unwrap().size, 1);
        assert_eq!(stat_fd(open_file_at(&handle, &name).unwrap()).unwrap().size, 1);
    }
}

#[test]
fn opening_refuses_a_symlink_and_does_not_block_on_a_fifo() {
    let (dir, handle) = scratch();
    symlink("/etc/passwd", dir.path().join("file")).unwrap();
    symlink("/etc", dir.path().join("dir")).unwrap();
    mkfifo(&dir.path().join("fifo"), Mode::from_bits_truncate(0o600)).unwrap();
    assert_eq!(open_file_at(&handle, b"file").unwrap_err().raw_os_error(), Some(Errno::ELOOP as i32));
    assert!(open_dir_at(&handle, b"dir").is_err());
    assert_eq!(stat_fd(open_file_at(&handle, b"fifo").unwrap()).unwrap().kind, FileType::Fifo);
}

#[test]
fn a_link_target_is_read_raw_whatever_its_length() {
    let (dir, handle) = scratch();
    let long = vec![b'y'; 4000];
    for target in [b"../x\xff".as_slice(), &long] {
        let path = dir.path().join("link");
        symlink(OsStr::from_bytes(target), &path).unwrap();
        assert_eq!(read_link_at(&handle, b"link").unwrap(), target);
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn attributes_come_sorted_with_raw_and_empty_values() {
    let (dir, handle) = scratch();
    let path = dir.path().join("file");
    fs::write(&path, b"").unwrap();
    let big = vec![0xff; 2000];
    for (name, value) in [("user.z", b"\0\xff".as_slice()), ("user.a", b""), ("user.big", &big)] {
        if let Err(error) = xattr::set(&path, name, value) {
            println!("skipped: this filesystem has no user attributes ({error})");
            return;
        }
    }
    let expected: Vec<_> = [("user.a", Vec::new()), ("user.big", big), ("user.z", vec![0, 0xff])]
        .map(|(name, value)| Xattr { name: name.into(), value })
        .into();
    let without_security = |found: Vec<Xattr>| -> Vec<_> { found.into_iter().filter(|x| x.name.starts_with(b"user.")).collect() };
    assert_eq!(without_security(xattrs_fd(File::open(&path).unwrap()).unwrap()), expected);
    assert_eq!(without_security(xattrs_at(&handle, b"file").unwrap()), expected);
}

#[test]
fn attributes_of_a_symlink_are_its_own() {
    let (dir, handle) = scratch();
    fs::write(dir.path().join("file"), b"").unwrap();
    symlink("file", dir.path().join("link")).unwrap();
    let marked = xattr::set(dir.path().join("file"), "user.file", b"1").is_ok();
    if let Err(error) = xattr::set(dir.path().join("link"), "trusted.link", b"2") {
        println!("skipped: attributes of links need root and a filesystem that has them ({error})");
        return;
    }
    let names: Vec<_> = xattrs_at(&handle, b"link").unwrap().into_iter().map(|x| x.name).collect();
    assert!(marked);
    assert!(names.contains(&b"trusted.link".to_vec()) && !names.contains(&b"user.file".to_vec()), "{names:?}");
}

#[test]
fn a_filesystem_without_attributes_has_none() {
    assert_eq!(xattrs_fd(File::open("/proc/version").unwrap()).unwrap(), Vec::new());
}

#[test]
fn data_and_holes_are_found_in_turn() {
    let (dir, handle) = scratch();
    let file = File::create(dir.path().join("sparse")).unwrap();
    file.set_len(1 << 30).unwrap();
    file.write_all_at(&[1; 4096], 1 << 20).unwrap();
    let size = 1 << 30;
    if !stat_at(&handle, b"sparse").unwrap().may_have_holes() {
        println!("skipped: this filesystem has no holes");
        return;
    }
    let first = next_data(&file, 0, size).unwrap();
    assert!(first.start <= 1 << 20 && first.end >= (1 << 20) + 4096 && first.end < size, "{first:?}");
    assert_eq!(next_data(&file, first.end, size), None);
    assert_eq!(next_data(&file, (1 << 20) + 100, (1 << 20) + 200), Some((1 << 20) + 100..(1 << 20) + 200));
    assert_eq!(next_data(&file, size, size), None);
}

#[test]
fn where_holes_cannot_be_asked_for_everything_is_data() {
    let (reader, _writer) = std::io::pipe().unwrap();
    assert_eq!(next_data(&reader, 10, 100), Some(10..100));
}

#[test]
fn owners_have_names_where_the_host_knows_them() {
    let owners = Owners::default();
    for _ in 0..2 {
        assert_eq!(owners.user(0).as_deref(), Some("root"));
        assert_eq!(owners.group(0).as_deref(), Some("root"));
        assert_eq!(owners.user(4_000_000_123), None);
        assert_eq!((owners.uid("root"), owners.gid("root")), (Some(0), Some(0)));
        assert_eq!(owners.uid("no-such-user-here"), None);
    }
    let (_dir, handle) = scratch();
    let stat = stat_fd(&handle).unwrap();
    let made = metadata(&stat, Vec::new(), &owners, None);
    assert_eq!((made.mode, made.uid, made.mtime), (stat.mode, stat.uid, stat.mtime));
}
