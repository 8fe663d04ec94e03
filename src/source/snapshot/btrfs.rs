//! Snapshots of Btrfs subvolumes.
//!
//! A snapshot of a subvolume holds an empty directory where another subvolume lies within it, so each one has a snapshot of its
//! own. All lie in `.hearth-backup/` at the top of what is mounted, which stays when they are gone: making and removing it
//! would change the time of the directory that holds it with every run.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::geteuid;

use super::mounts::{Mount, Mounts};
use super::name::Names;
use super::run;
use crate::source::metadata;

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
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let opened = open_ours(folder)?;
    // By its descriptor, as its path may lead elsewhere by now.
    let seen = format!("/proc/{}/fd/{}/{name}", std::process::id(), opened.as_raw_fd());
    run(&["btrfs", "subvolume", "snapshot", "-r", &text(top)?, &seen])?;
    Ok(folder.join(name))
}

/// Opens the directory of snapshots, if nobody else has made it, or could reach files in it that are closed to him elsewhere.
fn open_ours(folder: &Path) -> io::Result<OwnedFd> {
    let wrong = |what: &str| {
        let why = format!(
            "{} is {what}, and snapshots are only put into a directory of root's with mode 0700; remove it, or put it right",
            folder.display()
        );
        Err(io::Error::other(why))
    };
    let opened = match metadata::open_dir(folder) {
        Err(error) if error.raw_os_error() == Some(Errno::ENOTDIR as i32) || error.raw_os_error() == Some(Errno::ELOOP as i32) => {
            return wrong("no directory");
        }
        opened => opened?,
    };
    let stat = metadata::stat_fd(&opened)?;
    if stat.uid != geteuid().as_raw() {
        return wrong(&format!("owned by user {}", stat.uid));
    }
    if stat.mode != 0o700 {
        return wrong(&format!("a directory with mode {:04o}", stat.mode));
    }
    Ok(opened)
}

/// Removes a snapshot.
///
/// # Errors
/// If that is not possible, or it is no snapshot in a directory of ours.
pub(super) fn remove(snapshot: &Path) -> io::Result<()> {
    open_ours(snapshot.parent().unwrap_or(Path::new("/")))?;
    if !is_top(snapshot) {
        return Err(io::Error::other(format!("{} is not the top of a subvolume", snapshot.display())));
    }
    run(&["btrfs", "subvolume", "delete", &text(snapshot)?]).map(drop)
}

/// Snapshots that other runs of the job left on any mounted filesystem.
pub(super) fn leftovers(mounts: &Mounts, names: &Names) -> Vec<PathBuf> {
    let folders = mounts.visible().filter(|mount| mount.kind == KIND).map(|mount| mount.point.join(DIRECTORY));
    // What lies in another's directory is not ours.
    let folders = folders.filter(|folder| open_ours(folder).is_ok());
    let entries = folders.filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    let ours = entries.filter(|entry| entry.file_name().to_str().is_some_and(|name| names.is_ours(name)));
    ours.map(|entry| entry.path()).filter(|path| is_top(path)).collect()
}

/// A path as an argument of a program.
fn text(path: &Path) -> io::Result<String> {
    let said = std::str::from_utf8(path.as_os_str().as_bytes());
    said.map(str::to_owned).map_err(|_| io::Error::other(format!("{} is not text in UTF-8", path.display())))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

    use super::*;

    #[test]
    fn snapshots_are_only_put_into_a_directory_that_nobody_else_made_or_can_enter() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join(DIRECTORY);
        let refused = |what: &str| {
            let error = take(place.path(), &folder, "name").unwrap_err().to_string();
            assert!(error.contains(what) && error.contains("mode 0700"), "{error}");
        };
        let elsewhere = place.path().join("elsewhere");
        fs::DirBuilder::new().mode(0o700).create(&elsewhere).unwrap();
        symlink(&elsewhere, &folder).unwrap();
        refused("no directory");
        assert!(remove(&folder.join("name")).unwrap_err().to_string().contains("no directory"));
        fs::remove_file(&folder).unwrap();
        fs::write(&folder, "").unwrap();
        refused("no directory");
        fs::remove_file(&folder).unwrap();
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        refused("mode 0755");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
        if geteuid().is_root() {
            chown(&folder, Some(65534), None).unwrap();
            refused("owned by user 65534");
            chown(&folder, Some(0), None).unwrap();
        }
        fs::create_dir(folder.join("plain")).unwrap();
        let error = remove(&folder.join("plain")).unwrap_err().to_string();
        assert!(error.contains("not the top of a subvolume"), "{error}");
    }
}
