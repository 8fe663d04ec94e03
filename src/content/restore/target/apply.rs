//! Gives an inode the metadata of its entry, with as few system calls as that takes.
//!
//! The order matters: a change of owner clears setuid bits and capabilities, so it comes first; a change of mode
//! rewrites access control lists, so those follow it; only the owner of a file that is still writable may set its user
//! attributes, so those precede it; and the time comes last.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{FchmodatFlags, Mode, UtimensatFlags, fchmod, fchmodat, futimens, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchown, fchownat};
use xattr::FileExt;

use super::notes::{Lost, Notes};
use crate::model::entry::{Metadata, Timestamp, Xattr};
use crate::source::metadata::{Attributes, FileType, Owners, Stat, proc_path, stat_at, stat_fd, xattrs_at, xattrs_fd};

const SET_ID: u32 = 0o6000;
const OWNER_READ_WRITE: u32 = 0o600;

/// What metadata is given to: an open file or directory, or an entry by its name, which is never followed.
#[derive(Clone, Copy)]
pub(super) enum Inode<'a> {
    Open(BorrowedFd<'a>),
    Named(BorrowedFd<'a>, &'a [u8]),
}

/// What all applications have in common.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) owners: &'a Owners,
    pub(super) notes: &'a Notes,
    pub(super) numeric_owner: bool,
    pub(super) path: &'a dyn Fn() -> String,
}

/// Makes the metadata of `inode` that of an entry. `exact` also takes away attributes that the entry does not have,
/// which something just created has only where a directory's default access control list rubs off.
pub(super) fn apply(inode: Inode<'_>, wanted: &Metadata, exact: bool, context: Context<'_>) -> io::Result<()> {
    let now = inode.stat()?;
    let mut work = Work { inode, now, wanted, context, changed_mode: false };
    let owned = work.owner()?;
    let known = if exact && now.kind != FileType::Symlink { work.tidy_attributes()? } else { Vec::new() };
    work.attributes(&known, false)?;
    if now.kind != FileType::Symlink {
        work.mode(owned)?;
    }
    work.attributes(&known, true)?;
    work.verify_set_id(owned)?;
    work.time()
}

struct Work<'a> {
    inode: Inode<'a>,
    now: Stat,
    wanted: &'a Metadata,
    context: Context<'a>,
    /// The mode is not, or may not be, what `now` says.
    changed_mode: bool,
}

impl Work<'_> {
    /// Sets owner and group. Says whether they are right now.
    fn owner(&mut self) -> io::Result<bool> {
        let (uid, gid) = self.context.owner(self.wanted);
        let user = (uid != self.now.uid).then_some(Uid::from_raw(uid));
        let group = (gid != self.now.gid).then_some(Gid::from_raw(gid));
        if user.is_none() && group.is_none() {
            return Ok(true);
        }
        if self.inode.chown(user, group).is_ok() {
            self.changed_mode = (self.now.mode | self.wanted.mode) & SET_ID != 0;
            return Ok(true);
        }
        // One of the two may be allowed alone.
        let mut complete = true;
        for (lost, user, group) in [(Lost::Group, None, group), (Lost::Owner, user, None)] {
            if user.is_some() || group.is_some() {
                complete &= self.tolerate(lost, self.inode.chown(user, group))?;
            }
        }
        Ok(complete)
    }

    /// Removes attributes that the entry does not have, and returns those that are there.
    fn tidy_attributes(&mut self) -> io::Result<Vec<Xattr>> {
        if !self.inode.has_xattrs()? {
            return Ok(Vec::new());
        }
        self.open_up()?;
        let known = self.inode.xattrs()?;
        for extra in known.iter().filter(|known| is_ours_to_remove(&known.name) && !self.wants(&known.name)) {
            self.tolerate(Lost::attribute(&extra.name), self.inode.remove_xattr(&extra.name))?;
        }
        Ok(known)
    }

    fn wants(&self, name: &[u8]) -> bool {
        self.wanted.xattrs.iter().any(|wanted| wanted.name == name)
    }

    /// Sets the access control lists, or all other attributes.
    fn attributes(&mut self, known: &[Xattr], acl: bool) -> io::Result<()> {
        for xattr in &self.wanted.xattrs {
            let lost = Lost::attribute(&xattr.name);
            if (lost == Lost::Acl) != acl || known.contains(xattr) {
                continue;
            }
            if !acl {
                self.open_up()?;
            }
            self.tolerate(lost, self.inode.set_xattr(xattr))?;
        }
        Ok(())
    }

    /// Attributes of a file that is read-only for its owner are so too.
    fn open_up(&mut self) -> io::Result<()> {
        if self.now.mode & OWNER_READ_WRITE != OWNER_READ_WRITE && !self.changed_mode && self.now.kind != FileType::Symlink {
            self.changed_mode = self.tolerate(Lost::Mode, self.inode.chmod(self.now.mode | OWNER_READ_WRITE))?;
        }
        Ok(())
    }

    /// Sets the permissions. What belongs to another than the original owner gets no setuid or setgid bit.
    fn mode(&self, owned: bool) -> io::Result<()> {
        let mut mode = self.wanted.mode & 0o7777;
        if !owned && self.now.kind != FileType::Directory && mode & SET_ID != 0 {
            mode &= !SET_ID;
            self.note(Lost::SetId, Errno::EPERM);
        }
        if mode != self.now.mode || self.changed_mode {
            self.tolerate(Lost::Mode, self.inode.chmod(mode))?;
        }
        Ok(())
    }

    /// The kernel drops a setgid bit silently where the caller is not in the group.
    fn verify_set_id(&self, owned: bool) -> io::Result<()> {
        let wanted = self.wanted.mode & SET_ID;
        if owned && wanted != 0 && self.now.kind != FileType::Symlink && self.inode.stat()?.mode & SET_ID != wanted {
            self.note(Lost::SetId, Errno::EPERM);
        }
        Ok(())
    }

    fn time(&self) -> io::Result<()> {
        if self.now.mtime != self.wanted.mtime {
            self.tolerate(Lost::Time, self.inode.set_mtime(self.wanted.mtime))?;
        }
        Ok(())
    }

    /// Whether it worked; notes what people or filesystems merely do not allow, and fails on anything worse.
    fn tolerate(&self, lost: Lost, result: Result<(), Errno>) -> io::Result<bool> {
        match result {
            Ok(()) => Ok(true),
            Err(reason) if is_tolerable(lost, reason) => {
                self.note(lost, reason);
                Ok(false)
            }
            Err(reason) => Err(reason.into()),
        }
    }

    fn note(&self, lost: Lost, reason: Errno) {
        self.context.notes.add(lost, reason, self.context.path);
    }
}

impl Context<'_> {
    /// The numbers to use for owner and group.
    fn owner(&self, wanted: &Metadata) -> (u32, u32) {
        if self.numeric_owner {
            return (wanted.uid, wanted.gid);
        }
        let uid = wanted.user.as_deref().and_then(|name| self.owners.uid(name));
        let gid = wanted.group.as_deref().and_then(|name| self.owners.gid(name));
        (uid.unwrap_or(wanted.uid), gid.unwrap_or(wanted.gid))
    }
}

fn is_tolerable(lost: Lost, reason: Errno) -> bool {
    let attribute = matches!(lost, Lost::Acl | Lost::Capabilities | Lost::UserAttributes | Lost::SystemAttributes);
    match reason {
        Errno::EPERM | Errno::EACCES | Errno::EINVAL | Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EOVERFLOW => true,
        Errno::ENOSPC | Errno::E2BIG | Errno::ERANGE | Errno::ENODATA => attribute,
        _ => false,
    }
}

/// Labels of security modules, and what filesystems keep in attributes, belong to the host, not to the snapshot.
fn is_ours_to_remove(name: &[u8]) -> bool {
    Lost::attribute(name) != Lost::SystemAttributes
}

impl Inode<'_> {
    fn stat(self) -> io::Result<Stat> {
        match self {
            Self::Open(fd) => stat_fd(fd),
            Self::Named(dir, name) => stat_at(dir, name),
        }
    }

    fn chown(self, user: Option<Uid>, group: Option<Gid>) -> Result<(), Errno> {
        match self {
            Self::Open(fd) => fchown(fd, user, group),
            Self::Named(dir, name) => fchownat(dir, name, user, group, AtFlags::AT_SYMLINK_NOFOLLOW),
        }
    }

    fn chmod(self, mode: u32) -> Result<(), Errno> {
        let mode = Mode::from_bits_truncate(mode);
        match self {
            Self::Open(fd) => fchmod(fd, mode),
            Self::Named(dir, name) => fchmodat(dir, name, mode, FchmodatFlags::NoFollowSymlink),
        }
    }

    fn set_mtime(self, time: Timestamp) -> Result<(), Errno> {
        // Larger numbers have meanings of their own, such as "now".
        let mtime = TimeSpec::new(time.seconds, i64::from(time.nanoseconds.min(999_999_999)));
        match self {
            Self::Open(fd) => futimens(fd, &TimeSpec::UTIME_OMIT, &mtime),
            Self::Named(dir, name) => utimensat(dir, name, &TimeSpec::UTIME_OMIT, &mtime, UtimensatFlags::NoFollowSymlink),
        }
    }

    fn has_xattrs(self) -> io::Result<bool> {
        let listed = match self {
            Self::Open(fd) => Attributes(fd.as_fd()).list_xattr(),
            Self::Named(dir, name) => xattr::list(proc_path(dir, name)),
        };
        match listed {
            Err(error) if error.raw_os_error() == Some(Errno::EOPNOTSUPP as i32) => Ok(false),
            listed => Ok(listed?.next().is_some()),
        }
    }

    fn xattrs(self) -> io::Result<Vec<Xattr>> {
        match self {
            Self::Open(fd) => xattrs_fd(fd),
            Self::Named(dir, name) => xattrs_at(dir, name),
        }
    }

    fn set_xattr(self, xattr: &Xattr) -> Result<(), Errno> {
        let attribute = OsStr::from_bytes(&xattr.name);
        errno(match self {
            Self::Open(fd) => Attributes(fd).set_xattr(attribute, &xattr.value),
            Self::Named(dir, name) => xattr::set(proc_path(dir, name), attribute, &xattr.value),
        })
    }

    fn remove_xattr(self, attribute: &[u8]) -> Result<(), Errno> {
        let attribute = OsStr::from_bytes(attribute);
        errno(match self {
            Self::Open(fd) => Attributes(fd).remove_xattr(attribute),
            Self::Named(dir, name) => xattr::remove(proc_path(dir, name), attribute),
        })
    }
}

/// An attribute's name with a zero byte in it gives an error without a number.
fn errno(result: io::Result<()>) -> Result<(), Errno> {
    result.map_err(|error| error.raw_os_error().map_or(Errno::EINVAL, Errno::from_raw))
}
