//! Filesystem snapshots: everything that a job reads stands still from one moment on.
//!
//! ```text
//!   paths --> mounts (which filesystems) --> btrfs, zfs, lvm: a snapshot of each
//!                                              --> views: each place is read from its snapshot, or live where there is none
//!   end, error, panic: Frozen is dropped       --> all of them are removed
//!   killed: the next run                       --> remove_leftovers finds them by name
//! ```
//!
//! Within a snapshot, other filesystems and subvolumes are empty directories; each has a view of its own, so that nothing is
//! missing.

pub mod btrfs;
pub mod lvm;
pub mod mounts;
mod name;
mod plan;
mod zfs;

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{major, minor};

use self::lvm::{Room, Volume};
use self::mounts::Mounts;
pub use self::name::Names;
use super::command::Program;
use super::exclude::Excludes;
use super::mapping::Place;
use super::view::{self, View};
use crate::model::event::{Event, Monitor, Silent};

/// Bytes of a program's output that are read.
const OUTPUT: u64 = 64 << 20;
/// How often a snapshot whose device is still in use is asked to go.
const ATTEMPTS: u32 = 10;

/// Runs a program of one of the systems; what it writes.
fn run(command: &[&str]) -> io::Result<String> {
    let command = command.iter().map(|word| (*word).to_owned()).collect();
    let environment = vec![("LVM_SUPPRESS_FD_WARNINGS".to_owned(), "1".to_owned()), ("LC_ALL".to_owned(), "C".to_owned())];
    Program { environment, ..Program::new(command) }.output(OUTPUT)
}

/// Who takes a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Btrfs itself.
    Btrfs,
    /// ZFS itself.
    Zfs,
    /// The logical volume that the filesystem lies on.
    Lvm,
}

/// What shall stand still.
pub struct Wanted<'a> {
    /// What is saved, and where it is read.
    pub places: &'a [Place],
    /// What of it is shown from elsewhere than where it lies. Each must be one of the places if it is to stand still.
    pub views: &'a [View],
    /// What of them is left out, and needs no snapshot.
    pub excludes: &'a Excludes,
    /// Whether other filesystems below the paths are left out.
    pub one_file_system: bool,
    /// Which systems may take snapshots of the paths; none for reading them live.
    pub kinds: &'a [Kind],
    /// Whether a kind that was not found by itself is asked all the same: somebody has named it.
    pub named: bool,
    /// Whether a path that cannot stand still is an error instead of a note.
    pub required: bool,
    /// Logical volumes that are saved as trees of their own.
    pub volumes: &'a [Volume],
    /// Block devices that are read as a whole; those that are logical volumes are read from a snapshot.
    pub devices: &'a [PathBuf],
    /// Room for thick snapshots.
    pub room: Room,
    /// Where snapshots that are devices are mounted; made if it is not there.
    pub mounts: &'a Path,
    /// Names the snapshots.
    pub names: Names,
}

/// A snapshot that must be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Taken {
    /// The path of a subvolume.
    Btrfs(PathBuf),
    /// `dataset@name`.
    Zfs(String),
    /// `group/name`.
    Lvm(String),
    /// A mount point, and its directory.
    Mount(PathBuf),
}

impl Taken {
    fn remove(&self) -> io::Result<()> {
        match self {
            Taken::Btrfs(path) => btrfs::remove(path),
            Taken::Zfs(name) => zfs::remove(name),
            Taken::Lvm(name) => patiently(|| lvm::remove(name)),
            Taken::Mount(point) => patiently(|| Ok(umount2(point, MntFlags::UMOUNT_NOFOLLOW)?)).and_then(|()| fs::remove_dir(point)),
        }
    }

    fn name(&self) -> String {
        match self {
            Taken::Btrfs(path) | Taken::Mount(path) => path.display().to_string(),
            Taken::Zfs(name) | Taken::Lvm(name) => name.clone(),
        }
    }
}

/// Something that looks at every new device may keep it busy for a moment.
fn patiently(action: impl Fn() -> io::Result<()>) -> io::Result<()> {
    let mut result = action();
    for attempt in 1..ATTEMPTS {
        if result.is_ok() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20) * attempt);
        result = action();
    }
    result
}

/// What stands still, until it is dropped.
#[derive(Debug, Default)]
pub struct Frozen {
    views: Vec<View>,
    taken: Vec<Taken>,
    /// What is read live, for want of a snapshot.
    live: Vec<PathBuf>,
    /// The places of logical volumes that are read as trees.
    volumes: Vec<PathBuf>,
    /// Thick snapshots, and what is read from each.
    thick: Vec<(String, Vec<PathBuf>)>,
    /// Devices, and the snapshots that they are read from.
    devices: Vec<(PathBuf, PathBuf)>,
}

impl Frozen {
    /// Takes snapshots of what is wanted. What cannot stand still is told; a logical volume that cannot be read as a tree is a
    /// warning.
    ///
    /// # Errors
    /// If something is required to stand still and cannot, or the mount table cannot be read; then there are no snapshots.
    pub fn take(wanted: Wanted<'_>, monitor: &dyn Monitor) -> io::Result<Self> {
        plan::take(wanted, monitor)
    }

    /// How the walk reads what stands still.
    pub fn views(&self) -> &[View] {
        &self.views
    }

    /// Where a path is read.
    pub fn read_from(&self, path: &Path) -> PathBuf {
        view::read_from(&self.views, path)
    }

    /// The snapshot that a device is read from; none if it is read itself.
    pub fn device(&self, device: &Path) -> Option<PathBuf> {
        self.devices.iter().find(|(of, _)| of == device).map(|(_, snapshot)| snapshot.clone())
    }

    /// The places of logical volumes that can be read as trees; each is to be a path of the backup.
    pub fn volumes(&self) -> &[PathBuf] {
        &self.volumes
    }

    /// Whether all paths stand still: what they belong to may go on.
    pub fn is_complete(&self) -> bool {
        self.live.is_empty()
    }

    /// Whether anything was taken.
    pub fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }

    /// Whether all snapshots held to the end: a thick one that ran out of room lost what was not read by then.
    ///
    /// # Errors
    /// If one did not, with what was read from it; or if that is not to be learned.
    pub fn check(&self) -> io::Result<()> {
        for (snapshot, places) in &self.thick {
            let overflown = lvm::has_overflown(snapshot)?;
            if overflown {
                let places: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
                return Err(io::Error::other(format!(
                    "the LVM snapshot {snapshot} ran out of room while it was read, so parts of {} are missing from this backup; give \
                     snapshots more room with filesystemSnapshots.lvmRoom, or save when less is written",
                    places.join(", ")
                )));
            }
        }
        Ok(())
    }

    /// Removes all snapshots; what stays is a warning, and for the next run.
    pub fn release(mut self, monitor: &dyn Monitor) {
        self.remove_all(monitor);
    }

    fn remove_all(&mut self, monitor: &dyn Monitor) {
        while let Some(taken) = self.taken.pop() {
            remove(&taken, monitor);
        }
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.remove_all(&Silent);
    }
}

fn remove(taken: &Taken, monitor: &dyn Monitor) {
    if let Err(error) = taken.remove() {
        monitor.event(Event::warning(taken.name(), format!("this snapshot cannot be removed now; the next run tries again ({error})")));
    }
}

/// Removes what killed runs of a job left behind: snapshots that `names` calls its own, and where they are mounted in `mounts`. How many they were.
/// No other run of the job may be under way.
pub fn remove_leftovers(names: &Names, kinds: &[Kind], mounts: &Path, monitor: &dyn Monitor) -> usize {
    let Ok(table) = Mounts::read() else { return 0 };
    // Others may have mounted something there as well.
    let ours = |point: &Path| {
        point.parent() == Some(mounts) && point.file_name().and_then(|name| name.to_str()).is_some_and(|name| names.is_ours(name))
    };
    let mounted = table.at_or_below(mounts).into_iter().map(|mount| mount.point.clone());
    let mut left: Vec<Taken> = mounted.filter(|point| ours(point)).map(Taken::Mount).collect();
    if kinds.contains(&Kind::Btrfs) {
        left.extend(btrfs::leftovers(&table, names).into_iter().map(Taken::Btrfs));
    }
    // Systems that are not there, or cannot be asked, have left nothing that could be removed now.
    if kinds.contains(&Kind::Lvm) {
        let found = lvm::volumes().map(|volumes| lvm::leftovers(&volumes, names));
        left.extend(found.unwrap_or_default().into_iter().map(Taken::Lvm));
    }
    if kinds.contains(&Kind::Zfs) {
        let found = zfs::datasets().and_then(|datasets| zfs::leftovers(&datasets, names));
        left.extend(found.unwrap_or_default().into_iter().map(Taken::Zfs));
    }
    for taken in &left {
        monitor.event(Event::info(taken.name(), "an earlier run ended before it removed this; it is removed now"));
        remove(taken, monitor);
    }
    left.len()
}

/// The type of the filesystem on a device; none if there is none that is known.
fn filesystem_on(device: &Path) -> io::Result<Option<String>> {
    let device = device.display().to_string();
    let command = ["blkid", "--probe", "--match-tag", "TYPE", "--output", "value", &device].map(str::to_owned).to_vec();
    // It ends with 2 if it finds nothing, and with 8 if it finds more than one thing.
    let said = Program { success: vec![0, 2, 8], ..Program::new(command) }.output(OUTPUT)?;
    Ok(Some(said.trim().to_owned()).filter(|kind| !kind.is_empty()))
}

/// Mounts a snapshot's device for reading. A journal that was not played back is played back into the snapshot; where that is
/// not possible it is left alone.
fn mount_device(device: &Path, point: &Path, kind: &str) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(point)?;
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    // A snapshot of XFS has the identity of the filesystem that is mounted already.
    let ways: &[&str] = match kind {
        "xfs" => &["nouuid", "nouuid,norecovery"],
        "ext3" | "ext4" => &["", "noload"],
        _ => &[""],
    };
    let mut result = Ok(());
    for way in ways {
        result = mount(Some(device), point, Some(kind), flags, Some(*way));
        if result.is_ok() {
            return Ok(());
        }
    }
    let _ = fs::remove_dir(point);
    Ok(result?)
}

/// Major and minor number of a block device; none if it is none.
fn device_numbers(device: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::FileTypeExt as _;
    let metadata = fs::metadata(device).ok().filter(|metadata| metadata.file_type().is_block_device())?;
    Some((major(metadata.rdev()), minor(metadata.rdev())))
}
