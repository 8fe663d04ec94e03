//! Snapshots of Btrfs subvolumes.
//!
//! A snapshot of a subvolume holds an empty directory where another subvolume lies within it, so each one has a snapshot of its
//! own. All lie in `.hearth-backup/` at the top of what is mounted, which stays when they are gone: making and removing it
//! would change the time of the directory that holds it with every run.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use super::mounts::{Mount, Mounts};
use super::name::Names;
use super::run;

/// The directory of snapshots, at the top of a mounted subvolume.
pub const DIRECTORY: &str = ".hearth-backup";
/// The type in the mount table.
pub(super) const KIND: &str = "btrfs";
/// Inode number of the top directory of each subvolume.
const TOP: u64 = 256;

/// What is mounted somewhere: a directory of a subvolume.
#[derive(Debug)]
pub(super) struct Place {
    /// The subvolume's top directory, as it can be reached.
    pub top: PathBuf,
    /// The subvolume's path in its filesystem.
    path: PathBuf,
    /// From there to what is mounted; empty if it is the top itself.
    pub rest: PathBuf,
    /// Where its snapshots are put.
    pub folder: PathBuf,
}

fn is_top(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir() && metadata.ino() == TOP)
}

/// The subvolume behind a mount. A mount of a directory within a subvolume, as a bind mount is, shows no top; then another mount
/// of the filesystem may.
///
/// # Errors
/// If its top is not to be seen anywhere.
pub(super) fn place(mount: &Mount, mounts: &Mounts) -> io::Result<Place> {
    if is_top(&mount.point) {
        let folder = mount.point.join(DIRECTORY);
        return Ok(Place { top: mount.point.clone(), path: mount.root.clone(), rest: PathBuf::new(), folder });
    }
    let others = mounts.visible().filter(|other| other.device == mount.device && is_top(&other.point));
    for other in others {
        let Ok(inside) = mount.root.strip_prefix(&other.root) else { continue };
        // The innermost top on the way to the directory.
        let tops = inside.ancestors().filter(|inside| is_top(&other.point.join(inside)));
        let Some(top) = tops.max_by_key(|top| top.components().count()) else { continue };
        let rest = inside.strip_prefix(top).unwrap_or(Path::new("")).to_owned();
        let (path, folder) = (other.root.join(top), other.point.join(DIRECTORY));
        let top = if top.as_os_str().is_empty() { other.point.clone() } else { other.point.join(top) };
        return Ok(Place { top, path, rest, folder });
    }
    Err(io::Error::other("its subvolume is not mounted as a whole"))
}

impl Place {
    /// Subvolumes within this one and within those, as they can be reached; only those that `wanted` wants.
    ///
    /// # Errors
    /// If the filesystem does not tell.
    pub(super) fn nested(&self, wanted: &dyn Fn(&Path) -> bool) -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        let mut asked = vec![(self.top.clone(), self.path.clone())];
        while let Some((top, path)) = asked.pop() {
            let list = run(&["btrfs", "subvolume", "list", "-o", &text(&top)?])?;
            for inner in list.lines().filter_map(|line| line.split_once(" path ")).map(|(_, inner)| Path::new("/").join(inner)) {
                let Ok(rest) = inner.strip_prefix(&path) else { continue };
                let reached = top.join(rest);
                // What another mount hides, or was deleted meanwhile, is not there for the walk either.
                if is_top(&reached) && !rest.starts_with(DIRECTORY) && wanted(&reached) {
                    asked.push((reached.clone(), inner.clone()));
                    found.push(reached);
                }
            }
        }
        found.sort();
        Ok(found)
    }
}

/// Whether a subvolume cannot change anyway.
pub(super) fn is_read_only(top: &Path) -> bool {
    text(top).and_then(|top| run(&["btrfs", "property", "get", "-t", "subvol", &top, "ro"])).is_ok_and(|said| said.trim() == "ro=true")
}

/// Takes a read-only snapshot of the subvolume at `top`.
///
/// # Errors
/// If that is not possible.
pub(super) fn take(top: &Path, folder: &Path, name: &str) -> io::Result<PathBuf> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let target = folder.join(name);
    run(&["btrfs", "subvolume", "snapshot", "-r", &text(top)?, &text(&target)?])?;
    Ok(target)
}

/// Removes a snapshot.
///
/// # Errors
/// If that is not possible.
pub(super) fn remove(snapshot: &Path) -> io::Result<()> {
    run(&["btrfs", "subvolume", "delete", &text(snapshot)?]).map(drop)
}

/// Snapshots that other runs of the job left on any mounted filesystem.
pub(super) fn leftovers(mounts: &Mounts, names: &Names) -> Vec<PathBuf> {
    let folders = mounts.visible().filter(|mount| mount.kind == KIND).map(|mount| mount.point.join(DIRECTORY));
    let entries = folders.filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    let ours = entries.filter(|entry| entry.file_name().to_str().is_some_and(|name| names.is_ours(name)));
    ours.map(|entry| entry.path()).filter(|path| is_top(path)).collect()
}

/// A path as an argument of a program.
fn text(path: &Path) -> io::Result<String> {
    let said = std::str::from_utf8(path.as_os_str().as_bytes());
    said.map(str::to_owned).map_err(|_| io::Error::other(format!("{} is not text in UTF-8", path.display())))
}
