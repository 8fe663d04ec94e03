//! Whose the files of a repository are: whoever its top directory belongs to, also where root writes them.

use std::io;
use std::os::fd::AsFd;

use nix::sys::stat::fstat;
use nix::unistd::{Gid, Uid, fchown, geteuid};

/// Who gets what is made in a repository.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner(Option<(Uid, Gid)>);

impl Owner {
    /// The owner of a repository's top directory, where we are root and it is somebody else's; else what we make stays ours.
    pub(super) fn of(top: &impl AsFd) -> io::Result<Self> {
        let stat = fstat(top)?;
        let owner = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
        Ok(Self((geteuid().is_root() && !owner.0.is_root()).then_some(owner)))
    }

    /// Gives away what was just made, before anybody else can find it under its name. Where the system does not let us, as on some network
    /// mounts, it knows itself whose files are.
    pub(super) fn receives(self, made: &impl AsFd) {
        let Some((user, group)) = self.0 else { return };
        if let Err(error) = fchown(made, Some(user), Some(group)) {
            tracing::debug!("a new file of the repository does not become user {user}'s: {error}");
        }
    }
}
