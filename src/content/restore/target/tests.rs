use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;

use nix::unistd::{Gid, Uid, geteuid, setfsgid, setfsuid};
use tempfile::TempDir;

use super::*;
use crate::model::entry::{Device, Kind, LinkId, Timestamp, Xattr};

mod entries;
mod escape;
mod files;
mod metadata;
mod tree;

/// A user who is nobody in particular.
const NOBODY: u32 = 65_534;

/// A target, and a place outside of it that must stay as it is.
struct Scratch {
    base: TempDir,
    target: Target,
}

impl Scratch {
    fn new() -> Self {
        Self::with(Options::default())
    }

    fn with(options: Options) -> Self {
        let base = tempfile::tempdir().unwrap();
        fs::create_dir(base.path().join("outside")).unwrap();
        fs::create_dir(base.path().join("target")).unwrap();
        let target = Target::open(&base.path().join("target"), options).unwrap();
        Self { base, target }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.base.path().join("target").join(name)
    }

    fn outside(&self, name: &str) -> PathBuf {
        self.base.path().join("outside").join(name)
    }

    fn write(&self, parent: DirId, name: &[u8], content: &[u8], metadata: &Metadata) -> Result<(), TargetError> {
        let writer = self.target.create_file(parent, name, content.len() as u64, metadata)?;
        writer.write_at(0, content)?;
        writer.finish(metadata)
    }

    /// Everything in the target's root.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(self.path("")).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

/// Metadata of something that belongs to whoever runs the test.
fn plain(mode: u32) -> Metadata {
    let (uid, gid) = owner_of_new_files();
    Metadata { mode, uid, gid, mtime: Timestamp { seconds: 1_600_000_000, nanoseconds: 123_456_789 }, ..Metadata::default() }
}

fn owner_of_new_files() -> (u32, u32) {
    let file = tempfile::tempfile().unwrap();
    let metadata = file.metadata().unwrap();
    (metadata.uid(), metadata.gid())
}

fn entry(name: &str, kind: Kind, metadata: Metadata) -> Entry {
    Entry { name: name.into(), metadata, kind }
}

fn link_to(name: &str, target: &str) -> Entry {
    entry(name, Kind::Symlink { target: target.into() }, plain(0o777))
}

fn xattr(name: &str, value: &[u8]) -> Xattr {
    Xattr { name: name.into(), value: value.into() }
}

/// An access control list: the owner has these permissions, user 1234 may read and write, the group may read.
fn acl(owner: u16) -> Vec<u8> {
    let none = u32::MAX;
    let entries = [(0x01, owner, none), (0x02, 6, 1234), (0x04, 4, none), (0x10, 6, none), (0x20, 0, none)];
    let mut raw = 2u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        raw.extend(u16::to_le_bytes(tag));
        raw.extend(u16::to_le_bytes(permissions));
        raw.extend(u32::to_le_bytes(id));
    }
    raw
}

/// The capability to open raw sockets.
fn capability() -> Vec<u8> {
    [0x0200_0001u32, 1 << 13, 0, 0, 0].iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn is_root(what: &str) -> bool {
    let root = geteuid().is_root();
    if !root {
        println!("skipped: {what} needs root");
    }
    root
}

/// Runs a test as somebody without privileges, whoever runs the tests: the kernel keeps the filesystem user for each
/// thread, and takes root's capabilities over files away with it.
fn unprivileged(test: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let run = scope.spawn(|| {
            if geteuid().is_root() {
                setfsgid(Gid::from_raw(NOBODY));
                setfsuid(Uid::from_raw(NOBODY));
            }
            test();
        });
        if let Err(panic) = run.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

fn mode_of(path: PathBuf) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}
