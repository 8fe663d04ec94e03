//! Links, FIFOs, sockets and devices.

use std::os::unix::fs::FileTypeExt;

use super::*;
use crate::source::metadata::stat_at;

#[test]
fn links_pipes_and_sockets_come_back_and_may_be_restored_again() {
    let scratch = Scratch::new();
    let entries = [
        entry("fifo", Kind::Fifo, plain(0o640)),
        link_to("link", "../nowhere"),
        entry("raw-link", Kind::Symlink { target: b"\xff/\xfe".to_vec() }, plain(0o777)),
        entry("socket", Kind::Socket, plain(0o755)),
    ];
    for round in 0..2 {
        let inodes: Vec<_> = entries
            .iter()
            .map(|entry| {
                assert_eq!(scratch.target.unchanged(DirId::ROOT, entry), round > 0);
                scratch.target.make_node(DirId::ROOT, entry).unwrap();
                let stat = stat_at(File::open(scratch.path("")).unwrap(), &entry.name).unwrap();
                assert_eq!((stat.mode, stat.mtime), (entry.metadata.mode, entry.metadata.mtime), "{entry:?}");
                stat.inode
            })
            .collect();
        scratch.target.make_node(DirId::ROOT, &entries[0]).unwrap();
        assert_eq!(fs::metadata(scratch.path("fifo")).unwrap().ino(), inodes[0], "an equal one stays");
    }
    assert!(fs::metadata(scratch.path("fifo")).unwrap().file_type().is_fifo());
    assert!(fs::metadata(scratch.path("socket")).unwrap().file_type().is_socket());
    assert_eq!(fs::read_link(scratch.path("link")).unwrap().to_str(), Some("../nowhere"));
    assert_eq!(scratch.names(), ["fifo", "link", "raw-link", "socket"]);
}

#[test]
fn another_link_or_file_in_the_way_is_replaced() {
    let scratch = Scratch::new();
    fs::write(scratch.path("file"), b"x").unwrap();
    symlink("old", scratch.path("link")).unwrap();
    fs::create_dir(scratch.path("dir")).unwrap();
    for name in ["file", "link", "dir"] {
        scratch.target.make_node(DirId::ROOT, &link_to(name, "new")).unwrap();
        assert_eq!(fs::read_link(scratch.path(name)).unwrap().to_str(), Some("new"));
    }
    assert_eq!(scratch.names(), ["dir", "file", "link"]);
}

#[test]
fn device_nodes_come_back_with_their_numbers() {
    if !is_root("making device nodes") {
        return;
    }
    let scratch = Scratch::new();
    let (null, disk) = (Device { major: 1, minor: 3 }, Device { major: 259, minor: 70_000 });
    let entries = [("null", Kind::CharDevice(null)), ("disk", Kind::BlockDevice(disk))];
    for (entry, device) in entries.map(|(name, kind)| entry(name, kind, plain(0o660))).iter().zip([null, disk]) {
        for _ in 0..2 {
            if let Err(error) = scratch.target.make_node(DirId::ROOT, entry) {
                println!("skipped: this system allows no device nodes here ({error})");
                return;
            }
        }
        let stat = stat_at(File::open(scratch.path("")).unwrap(), &entry.name).unwrap();
        assert_eq!((stat.rdev, stat.mode), (device, 0o660));
    }
}

#[test]
fn a_device_node_that_may_not_be_made_is_an_error_with_advice() {
    unprivileged(|| {
        let scratch = Scratch::new();
        let node = entry("disk", Kind::BlockDevice(Device { major: 8, minor: 0 }), plain(0o600));
        let failed = scratch.target.make_node(DirId::ROOT, &node).unwrap_err().to_string();
        assert!(failed.contains("target/disk") && failed.contains("as root"), "{failed}");
    });
}

#[test]
fn hard_links_share_an_inode_and_may_be_restored_again() {
    let scratch = Scratch::new();
    let dir = scratch.target.make_dir(DirId::ROOT, b"dir").unwrap();
    scratch.write(DirId::ROOT, b"one", b"x", &plain(0o644)).unwrap();
    fs::write(scratch.path("dir/two"), b"something else").unwrap();
    for _ in 0..2 {
        scratch.target.hard_link((DirId::ROOT, b"one"), (dir, b"two")).unwrap();
        scratch.target.hard_link((dir, b"two"), (DirId::ROOT, b"three")).unwrap();
    }
    let inode = |name| fs::metadata(scratch.path(name)).unwrap().ino();
    assert_eq!((inode("one"), inode("one")), (inode("dir/two"), inode("three")));
    assert_eq!(scratch.names(), ["dir", "one", "three"]);
    assert_eq!(fs::read_dir(scratch.path("dir")).unwrap().count(), 1);
}

#[test]
fn a_file_where_a_directory_belongs_is_replaced() {
    let scratch = Scratch::new();
    fs::write(scratch.path("dir"), b"x").unwrap();
    let dir = scratch.target.make_dir(DirId::ROOT, b"dir").unwrap();
    assert!(scratch.target.is_fresh(dir) && scratch.path("dir").is_dir());
}
