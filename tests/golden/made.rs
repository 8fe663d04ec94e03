//! What a golden repository is made of: a little of everything, in two snapshots, one of them forgotten and pruned.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use nix::sys::stat::Mode;

use crate::listing;
use crate::program::Machine;

/// Where the files lie; part of every snapshot, so it names no one.
pub const SOURCE: &str = "/var/tmp/hearth-golden";

/// Makes `repository`, `writer.key` and `restore.key`; returns the listing of the snapshot that is left.
pub fn make(machine: &Machine) -> String {
    let source = Path::new(SOURCE);
    fs::create_dir(source).unwrap();
    let listing = fill(source, machine);
    fs::remove_dir_all(source).unwrap();
    listing
}

fn fill(source: &Path, machine: &Machine) -> String {
    let [kept, gone] = ["kept", "gone"].map(|name| source.join(name));
    [&kept, &gone].into_iter().for_each(|folder| fs::create_dir(folder).unwrap());
    let labels = ["backup", "--key", "writer.key", "--host", "golden", "--job", "home", "--tag", "first"];
    machine.run(&["init", "--writer-key", "writer.key", "--restore-key", "restore.key", "--writer-name", "golden"]);

    files(&kept);
    fs::write(gone.join("file"), noise(b"gone", 100_000)).unwrap();
    machine.run(&[labels.as_slice(), &[kept.to_str().unwrap(), gone.to_str().unwrap()]].concat());
    let first = machine.only_file("repository/snapshots");

    // Blocks never mix sources, so a pack of the first snapshot is now half unused: prune rewrites it and leaves a map.
    fs::remove_dir_all(&gone).unwrap();
    fs::write(kept.join("later"), "only in the second snapshot").unwrap();
    touch(&kept.join("later"), 1_700_000_000, 123_456_789);
    touch(&kept, 1_700_000_000, 0);
    machine.run(&[labels.as_slice(), &[kept.to_str().unwrap()]].concat());
    machine.run(&["forget", &first]);
    machine.run(&["prune", "--grace", "0", "--max-unused", "0"]);
    machine.run(&["pin", "latest"]);
    listing::of(source)
}

fn files(source: &Path) {
    let at = |name: &str| source.join(name);
    fs::write(at("empty"), "").unwrap();
    fs::write(at("text"), "Four things are worth keeping.\n".repeat(300)).unwrap();
    fs::write(at("several-chunks"), noise(b"several chunks", 200_000)).unwrap();
    let sparse = File::create(at("sparse")).unwrap();
    sparse.set_len(5 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"after a hole", 3 << 20).unwrap();
    fs::hard_link(at("text"), at("text-again")).unwrap();
    symlink("text", at("link")).unwrap();
    symlink("/nowhere/at all", at("dangling")).unwrap();
    nix::unistd::mkfifo(&at("pipe"), Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    fs::write(source.join(OsStr::from_bytes(b"not utf-8: \xff\xfe")), "its name is bytes").unwrap();
    fs::write(at(&"n".repeat(255)), "a long name").unwrap();
    fs::write(at("tool"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(at("tool"), PermissionsExt::from_mode(0o4755)).unwrap();
    xattr::set(at("tool"), "user.comment", b"kept").unwrap();
    fs::create_dir_all(at("folder/empty folder")).unwrap();
    for number in 0..100 {
        fs::write(at(&format!("folder/{number}")), format!("file {number}")).unwrap();
        touch(&at(&format!("folder/{number}")), number - 50, 999_999_999);
    }
    fs::set_permissions(at("folder"), PermissionsExt::from_mode(0o2750)).unwrap();
    touch(&at("folder"), 1_600_000_000, 1);
}

/// Bytes that do not compress, the same each time.
fn noise(name: &[u8], length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(name).finalize_xof().fill(&mut bytes);
    bytes
}

/// Sets the time of modification, in seconds and nanoseconds since 1970.
fn touch(path: &Path, seconds: i64, nanoseconds: u32) {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let moment = if seconds < 0 { SystemTime::UNIX_EPOCH - whole } else { SystemTime::UNIX_EPOCH + whole };
    File::open(path).unwrap().set_modified(moment + Duration::from_nanos(nanoseconds.into())).unwrap();
}
