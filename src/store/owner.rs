//! Whose the files of a repository, and of a hub, are: whoever the directory that they lie in belongs to, also where root writes them.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, fstat, mkdirat};
use nix::unistd::{Gid, Uid, fchown, geteuid};

/// Who gets what is made in a directory.
#[derive(Debug, Clone, Copy)]
pub struct Owner(Option<(Uid, Gid)>);

impl Owner {
    /// The owner of a directory, where we are root and it is somebody else's; else what we make stays ours.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn of(top: &impl AsFd) -> io::Result<Self> {
        let stat = fstat(top)?;
        let owner = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
        Ok(Self((geteuid().is_root() && !owner.0.is_root()).then_some(owner)))
    }

    /// Gives away what this process has just made, and nobody else can have put there, before anybody else can find it under its name. Where the system does not let us, as on some network
    /// mounts, it knows itself whose files are.
    pub fn receives(self, made: &impl AsFd) {
        let Some((user, group)) = self.0 else { return };
        if let Err(error) = fchown(made, Some(user), Some(group)) {
            tracing::debug!("a new file of the repository does not become user {user}'s: {error}");
        }
    }
}

/// Makes a directory, for its owner only, and those above it that are missing; each belongs to whoever the one above it belongs to.
///
/// # Errors
/// If one cannot be made, or is something else by now.
pub fn make_folder(path: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = path.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists()).collect();
    let above = missing.last().map_or(Some(path), |first| first.parent());
    let above = above.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut folder = OwnedFd::from(File::open(above)?);
    for name in missing.into_iter().rev().filter_map(Path::file_name) {
        folder = new_child(&folder, name)?;
    }
    Ok(())
}

/// Links are not followed: whoever the directory belongs to could otherwise have root give away another one.
fn new_child(parent: &impl AsFd, name: &OsStr) -> io::Result<OwnedFd> {
    let made = match mkdirat(parent, name, Mode::S_IRWXU) {
        Ok(()) => true,
        Err(Errno::EEXIST) => false,
        Err(error) => return Err(error.into()),
    };
    let child = openat(parent, name, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())?;
    if made {
        Owner::of(parent)?.receives(&child);
    }
    Ok(child)
}
