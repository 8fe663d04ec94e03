//! Listing the objects of a folder.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::dir::Type;
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{FileStat, SFlag, fstatat};

use super::folders::{Folders, child, entries, is_kind};
use crate::store::{Folder, ObjectInfo, ObjectName};

/// All objects of a folder; whatever else lies there is passed over.
pub(super) fn list(folders: &Folders, folder: Folder) -> io::Result<Vec<ObjectInfo>> {
    let Some(directory) = unless_absent(folders.get([folder.as_str()]))? else { return Ok(Vec::new()) };
    let mut objects = Vec::new();
    if folder != Folder::Packs {
        list_into(&mut objects, directory, |leaf| ObjectName::new(folder, leaf))?;
        return Ok(objects);
    }
    for (shard, kind) in entries(directory.try_clone()?)? {
        if shard.len() == 2 && kind.is_none_or(|kind| kind == Type::Directory) {
            let Some(directory) = unless_absent(child(&directory, &shard))? else { continue };
            list_into(&mut objects, directory, |leaf| ObjectName::new(folder, leaf).filter(|name| name.leaf().starts_with(&shard)))?;
        }
    }
    Ok(objects)
}

/// What is known of an object, or `None` if it is not a regular file.
pub(super) fn info(name: ObjectName, stat: &FileStat) -> Option<ObjectInfo> {
    let size = u64::try_from(stat.st_size).ok()?;
    is_kind(stat.st_mode, SFlag::S_IFREG).then(|| ObjectInfo { name, size, stored: modified(stat) })
}

fn list_into(objects: &mut Vec<ObjectInfo>, directory: OwnedFd, name: impl Fn(String) -> Option<ObjectName>) -> io::Result<()> {
    for (leaf, kind) in entries(directory.try_clone()?)? {
        if kind.is_some_and(|kind| kind != Type::File) {
            continue;
        }
        let Some(name) = name(leaf) else { continue };
        match fstatat(&directory, name.leaf(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => objects.extend(info(name, &stat)),
            // Deleted since the directory was read.
            Err(Errno::ENOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn unless_absent<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn modified(stat: &FileStat) -> SystemTime {
    let nanoseconds = Duration::from_nanos(u64::try_from(stat.st_mtime_nsec).unwrap_or(0));
    match u64::try_from(stat.st_mtime) {
        Ok(seconds) => UNIX_EPOCH + Duration::from_secs(seconds) + nanoseconds,
        Err(_) => UNIX_EPOCH - Duration::from_secs(stat.st_mtime.unsigned_abs()) + nanoseconds,
    }
}
