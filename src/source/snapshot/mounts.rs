//! The mount table: which filesystem a path lies on, and what is mounted below it.
//!
//! Source: `/proc/self/mountinfo`, described in proc(5). Which of several mounts at one place is seen is asked of the kernel,
//! by the mount's number of an open path.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Its number; the table has each once.
    pub id: u64,
    /// Major and minor number of its filesystem's device. Filesystems without a device have major number 0.
    pub device: (u64, u64),
    /// Which directory of the filesystem is mounted; `/` for all of it.
    pub root: PathBuf,
    /// Where it is mounted.
    pub point: PathBuf,
    /// The filesystem's type, such as `ext4`.
    pub kind: String,
    /// What is mounted: a device's path, a dataset's name.
    pub source: String,
}

/// Filesystems of the kernel itself, which hold no data of anybody.
const KERNEL: &[&str] = &[
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nsfs",
    "proc",
    "pstore",
    "ramfs",
    "rpc_pipefs",
    "securityfs",
    "sysfs",
    "tmpfs",
    "tracefs",
];

impl Mount {
    /// Whether somebody's data may lie on it that outlives the machine's next start.
    pub fn lasts(&self) -> bool {
        !KERNEL.contains(&self.kind.as_str())
    }

    /// Whether no later mount hides it.
    fn is_visible(&self) -> bool {
        mount_id(&self.point).is_ok_and(|id| id == self.id)
    }

    fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = line.split(|byte| *byte == b' ');
        let mut text = || fields.next().map(|field| String::from_utf8_lossy(field).into_owned());
        let id = text()?.parse().ok()?;
        text()?;
        let (major, minor) = text()?.split_once(':').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)))?;
        let root = unescaped(fields.next()?);
        let point = unescaped(fields.next()?);
        // Options, and as many optional fields as there are, up to a single dash.
        fields.find(|field| *field == b"-")?;
        let kind = String::from_utf8_lossy(fields.next()?).into_owned();
        let source = unescaped(fields.next()?).to_string_lossy().into_owned();
        Some(Self { id, device: (major, minor), root: root.into(), point: point.into(), kind, source })
    }
}

/// The kernel writes space, tab, newline and backslash as three octal digits after a backslash.
fn unescaped(field: &[u8]) -> OsString {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        let code = match tail {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] if *first == b'\\' => {
                Some(((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0'))
            }
            _ => None,
        };
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { tail.get(3..).unwrap_or_default() } else { tail };
    }
    OsString::from_vec(bytes)
}

/// All mounts that this process sees.
#[derive(Debug, Clone, Default)]
pub struct Mounts(Vec<Mount>);

impl Mounts {
    /// The table as it is now.
    ///
    /// # Errors
    /// If there is no `/proc`.
    pub fn read() -> io::Result<Self> {
        Ok(Self::parse(&std::fs::read("/proc/self/mountinfo")?))
    }

    /// From the text of the table; lines that are not understood are left out.
    pub fn parse(text: &[u8]) -> Self {
        let mut mounts: Vec<Mount> = text.split(|byte| *byte == b'\n').filter_map(Mount::parse).collect();
        mounts.sort_by(|a, b| a.point.cmp(&b.point));
        Self(mounts)
    }

    /// The mount that a path lies on, or is.
    pub fn of(&self, path: &Path) -> Option<&Mount> {
        let id = mount_id(path).ok()?;
        self.0.iter().find(|mount| mount.id == id)
    }

    /// Those that can be seen, by path.
    pub fn visible(&self) -> impl Iterator<Item = &Mount> {
        self.0.iter().filter(|mount| mount.is_visible())
    }

    /// Those that can be seen below a path, by path, without the one that the path itself may be.
    pub fn below<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = &'a Mount> {
        let below = move |mount: &&Mount| mount.point != path && mount.point.starts_with(path);
        self.0.iter().filter(below).filter(|mount| mount.is_visible())
    }

    /// Those at or below a path, seen or hidden, the last first.
    pub fn at_or_below(&self, path: &Path) -> Vec<&Mount> {
        self.0.iter().rev().filter(|mount| mount.point.starts_with(path)).collect()
    }
}

/// The number of the mount that a path lies on; a link is not followed, nothing is mounted by asking.
fn mount_id(path: &Path) -> io::Result<u64> {
    let fd: OwnedFd = open(path.as_os_str().as_bytes(), OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())?;
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd()))?;
    let number = info.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok());
    number.ok_or_else(|| io::Error::other("the kernel does not say which mount a path lies on"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_table_are_understood_with_their_escapes() {
        let text = b"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 propagate_from:2 - ext3 /dev/root rw,errors=continue\n\
            43 27 0:39 /@home /srv/with\\040space\\134 rw - btrfs /dev/mapper/a\\011b rw,subvol=/@home\n\
            not a mount\n";
        let mounts = Mounts::parse(text).0;
        assert_eq!(mounts.len(), 2);
        assert_eq!((mounts[0].id, mounts[0].device, mounts[0].kind.as_str()), (36, (98, 0), "ext3"));
        assert_eq!((mounts[0].root.as_path(), mounts[0].point.as_path()), (Path::new("/mnt1"), Path::new("/mnt2")));
        assert_eq!(mounts[1].point, Path::new("/srv/with space\\"));
        assert_eq!((mounts[1].root.as_path(), mounts[1].source.as_str()), (Path::new("/@home"), "/dev/mapper/a\tb"));
    }

    #[test]
    fn a_path_lies_on_the_mount_that_the_kernel_says() {
        let mounts = Mounts::read().unwrap();
        assert_eq!(mounts.of(Path::new("/proc/self/status")).unwrap().kind, "proc");
        assert!(!mounts.of(Path::new("/proc")).unwrap().lasts());
        assert_eq!(mounts.of(Path::new("/no/such/path")), None);
        assert!(mounts.below(Path::new("/")).any(|mount| mount.point == Path::new("/proc")));
        assert!(mounts.below(Path::new("/proc")).all(|mount| mount.point != Path::new("/proc")));
    }
}
