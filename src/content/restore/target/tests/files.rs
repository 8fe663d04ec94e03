//! Content of regular files.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::*;

#[test]
fn a_file_comes_back_with_content_mode_and_time() {
    let scratch = Scratch::new();
    for (name, mode) in [("a", 0o644), ("b", 0o600), ("c", 0o640), ("d", 0o444), ("e", 0o000), ("f", 0o755), ("g", 0o1755)] {
        scratch.write(DirId::ROOT, name.as_bytes(), b"content", &plain(mode)).unwrap();
        let found = fs::metadata(scratch.path(name)).unwrap();
        assert_eq!((found.mode() & 0o7777, found.len()), (mode, 7), "{name}");
        assert_eq!((found.mtime(), found.mtime_nsec()), (1_600_000_000, 123_456_789));
    }
    assert_eq!(fs::read(scratch.path("a")).unwrap(), b"content");
    assert_eq!(scratch.target.incomplete(), Vec::new());
}

#[test]
fn an_empty_file_is_empty() {
    let scratch = Scratch::new();
    scratch.write(DirId::ROOT, b"empty", b"", &plain(0o644)).unwrap();
    assert_eq!(fs::metadata(scratch.path("empty")).unwrap().len(), 0);
}

#[test]
fn pieces_may_be_written_in_any_order_by_many_threads() {
    let scratch = Scratch::new();
    let content: Vec<u8> = (0..1_000_000u32).map(|n| (n % 251) as u8).collect();
    let writer = scratch.target.create_file(DirId::ROOT, b"file", content.len() as u64, &plain(0o644)).unwrap();
    let pieces: Vec<_> = content.chunks(7919).enumerate().rev().collect();
    std::thread::scope(|scope| {
        for part in pieces.chunks(pieces.len().div_ceil(4)) {
            let writer = &writer;
            scope.spawn(move || part.iter().for_each(|(n, piece)| writer.write_at(*n as u64 * 7919, piece).unwrap()));
        }
    });
    writer.finish(&plain(0o644)).unwrap();
    assert!(fs::read(scratch.path("file")).unwrap() == content);
}

#[test]
fn holes_take_no_space() {
    let scratch = Scratch::new();
    let size = 5 << 40;
    for (name, data_at) in [("hole-at-end", 0), ("hole-at-start", size - 4096), ("hole-around", 1 << 40)] {
        let writer = scratch.target.create_file(DirId::ROOT, name.as_bytes(), size, &plain(0o644)).unwrap();
        writer.write_at(data_at, &[1; 4096]).unwrap();
        writer.finish(&plain(0o644)).unwrap();
        let found = fs::metadata(scratch.path(name)).unwrap();
        assert_eq!(found.len(), size, "{name}");
        assert!(found.blocks() * 512 < 1 << 20, "{name}: {} blocks", found.blocks());
    }
    let writer = scratch.target.create_file(DirId::ROOT, b"only-hole", size, &plain(0o644)).unwrap();
    writer.finish(&plain(0o644)).unwrap();
    assert_eq!(fs::metadata(scratch.path("only-hole")).unwrap().len(), size);
}

#[test]
fn content_behind_the_end_is_refused() {
    let scratch = Scratch::new();
    let writer = scratch.target.create_file(DirId::ROOT, b"file", 10, &plain(0o644)).unwrap();
    for (offset, length) in [(0, 11), (10, 1), (u64::MAX, 2)] {
        let failed = writer.write_at(offset, &vec![0; length]).unwrap_err();
        assert!(failed.to_string().contains("target/file: content at"), "{failed}");
    }
    writer.write_at(0, &[0; 10]).unwrap();
}

#[test]
fn a_file_that_fails_half_way_leaves_nothing_or_what_was_there() {
    let scratch = Scratch::new();
    fs::write(scratch.path("old"), b"old content").unwrap();
    for name in ["old", "new"] {
        let writer = scratch.target.create_file(DirId::ROOT, name.as_bytes(), 100, &plain(0o644)).unwrap();
        writer.write_at(0, b"half").unwrap();
        assert_eq!(fs::read(scratch.path("old")).unwrap(), b"old content");
        drop(writer);
    }
    assert_eq!(scratch.names(), ["old"]);
    assert_eq!(fs::read(scratch.path("old")).unwrap(), b"old content");
}

#[test]
fn what_stands_there_is_replaced_only_when_the_file_is_complete() {
    let scratch = Scratch::new();
    fs::write(scratch.path("file"), b"a longer old content").unwrap();
    nix::unistd::mkfifo(&scratch.path("fifo"), Mode::S_IRWXU).unwrap();
    fs::create_dir(scratch.path("empty-dir")).unwrap();
    for name in ["file", "fifo", "empty-dir"] {
        scratch.write(DirId::ROOT, name.as_bytes(), b"new", &plain(0o644)).unwrap();
        assert_eq!(fs::read(scratch.path(name)).unwrap(), b"new");
    }
    assert_eq!(scratch.names(), ["empty-dir", "fifo", "file"]);
}

#[test]
fn a_directory_with_content_is_replaced_only_on_demand() {
    for replace_directories in [false, true] {
        let scratch = Scratch::with(Options { replace_directories, ..Options::default() });
        fs::create_dir_all(scratch.path("thing/sub")).unwrap();
        fs::write(scratch.path("thing/sub/file"), b"x").unwrap();
        let result = scratch.write(DirId::ROOT, b"thing", b"new", &plain(0o644));
        if replace_directories {
            result.unwrap();
            assert_eq!(fs::read(scratch.path("thing")).unwrap(), b"new");
        } else {
            assert!(result.unwrap_err().to_string().contains("--delete"));
            assert!(scratch.path("thing/sub/file").exists());
        }
        assert_eq!(scratch.names(), ["thing"]);
    }
}

#[test]
fn names_of_255_bytes_and_names_that_are_not_utf8_are_restored_twice() {
    let scratch = Scratch::new();
    for name in [vec![b'x'; 255], vec![0xff; 255], b"caf\xe9 \n\x01".to_vec()] {
        for content in [b"first", b"again"] {
            scratch.write(DirId::ROOT, &name, content, &plain(0o644)).unwrap();
            assert_eq!(fs::read(scratch.path("").join(OsStr::from_bytes(&name))).unwrap(), content);
        }
    }
    assert_eq!(scratch.names().len(), 3);
}

#[test]
fn a_full_disk_says_so_and_keeps_what_was_there() {
    let full = TargetError::System { action: "write", path: "/t/file".into(), source: Errno::ENOSPC.into() };
    assert!(full.is_full());
    assert!(full.to_string().starts_with("cannot write /t/file: No space left") && full.to_string().contains("free some space"));
    let denied = TargetError::System { action: "write", path: "/t/file".into(), source: Errno::EACCES.into() };
    assert!(!denied.is_full() && denied.to_string().contains("as root"));
}

#[test]
fn an_unchanged_file_is_recognised_by_kind_size_and_time() {
    let scratch = Scratch::new();
    let file = |size| entry("file", Kind::File { size, content: Vec::new() }, plain(0o644));
    assert!(!scratch.target.unchanged(DirId::ROOT, &file(7)), "nothing there");
    scratch.write(DirId::ROOT, b"file", b"content", &plain(0o644)).unwrap();
    assert!(scratch.target.unchanged(DirId::ROOT, &file(7)));
    assert!(!scratch.target.unchanged(DirId::ROOT, &file(8)));
    let mut later = file(7);
    later.metadata.mtime.nanoseconds += 1;
    assert!(!scratch.target.unchanged(DirId::ROOT, &later));
    assert!(!scratch.target.unchanged(DirId::ROOT, &link_to("file", "x")));
    let fresh = scratch.target.make_dir(DirId::ROOT, b"dir").unwrap();
    assert!(scratch.target.is_fresh(fresh) && !scratch.target.is_fresh(DirId::ROOT));
    assert!(!scratch.target.unchanged(fresh, &file(7)));
}
