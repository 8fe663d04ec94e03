//! The moment at which everything that a job reads holds still, and its end.
//!
//! ```text
//!   paths, volumes --> stop services and containers --> take snapshots --> all of it stands still? they go on
//!       ... each repository is fed ...
//!   snapshots removed; what still holds still goes on
//! ```

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::JobError;
use super::hooks::HookLog;
use super::quiet::{self, ContainerVolumes, Quiet};
use crate::config::{FilesystemSnapshots, Job, Room, SnapshotKind};
use crate::model::event::{Event, Monitor};
use crate::source::exclude::Excludes;
use crate::source::mapping::Reading;
use crate::source::snapshot::{self, Frozen, Kind, Names, Wanted, lvm};
use crate::source::view::{self, View};

/// The directory of a job's state in which snapshots of devices are mounted.
const MOUNTS: &str = "mounts";

/// What a job reads.
pub(super) struct Sources<'a> {
    pub(super) reading: &'a Reading,
    pub(super) excludes: &'a Excludes,
    pub(super) volumes: &'a [lvm::Volume],
    pub(super) containers: Option<&'a ContainerVolumes>,
    /// Block devices that are read as a whole.
    pub(super) devices: &'a [PathBuf],
}

/// What stands still for a job. Dropped, all of it is released.
#[derive(Debug, Default)]
pub(super) struct Standstill {
    // In the order of their release after a panic: whoever waits goes on first.
    quiet: Option<Quiet>,
    frozen: Frozen,
    /// Where snapshots of devices are mounted.
    mounts: PathBuf,
}

impl Standstill {
    /// Stops what the job names and takes its snapshots.
    ///
    /// # Errors
    /// If something that must hold still does not; then everything goes on.
    pub(super) fn begin(
        &mut self,
        (name, job): (&str, &Job),
        sources: &Sources<'_>,
        dir: &Path,
        log: &HookLog,
        monitor: &dyn Monitor,
    ) -> Result<(), JobError> {
        let options = job.filesystem_snapshots.options();
        self.mounts = mounts(job, dir);
        let wanted = Wanted {
            places: &sources.reading.places(sources.excludes),
            views: sources.reading.views(),
            excludes: sources.excludes,
            one_file_system: job.one_file_system,
            kinds: &kinds(&job.filesystem_snapshots),
            named: !options.kinds.is_empty(),
            required: options.required,
            volumes: sources.volumes,
            devices: sources.devices,
            room: match options.lvm_room {
                Room::Percent(percent) => lvm::Room::Percent(percent),
                Room::Size(size) => lvm::Room::Bytes(size.0),
            },
            mounts: &self.mounts,
            names: Names::new(name, dir, Timestamp::now()),
        };
        let quiet = self.quiet.insert(Quiet::begin((name, job), sources.containers, dir, log, monitor)?);
        self.frozen = Frozen::take(wanted, monitor).map_err(JobError::Snapshot)?;
        let all_frozen = job.filesystem_snapshots != FilesystemSnapshots::Off && self.frozen.is_complete();
        if all_frozen && !quiet.is_empty() {
            self.go_on(log, monitor);
        }
        Ok(())
    }

    /// How the walk reads what stands still.
    pub(super) fn views(&self) -> &[View] {
        self.frozen.views()
    }

    /// The snapshot that a device is read from; none if it is read itself.
    pub(super) fn device(&self, device: &Path) -> Option<PathBuf> {
        self.frozen.device(device)
    }

    /// The places of logical volumes that are read as trees, to be added to the paths.
    pub(super) fn volumes(&self) -> &[PathBuf] {
        self.frozen.volumes()
    }

    /// Directories to skip, also where they are read through `views` or in a snapshot; and where snapshots are mounted.
    pub(super) fn skip(&self, mut folders: Vec<PathBuf>, views: &[View]) -> Vec<PathBuf> {
        folders.push(self.mounts.clone());
        let real: Vec<PathBuf> = folders.iter().filter_map(|folder| folder.canonicalize().ok()).collect();
        folders.extend(real);
        let read = |folder: &PathBuf| [self.frozen.read_from(folder), view::read_from(views, folder)];
        let elsewhere: Vec<PathBuf> = folders.iter().flat_map(read).collect();
        folders.extend(elsewhere);
        folders
    }

    fn go_on(&mut self, log: &HookLog, monitor: &dyn Monitor) -> bool {
        self.quiet.take().is_none_or(|mut quiet| quiet.end(log, monitor))
    }

    /// Releases all of it. What does not come back, and a snapshot that did not hold, is told; false if there was any.
    pub(super) fn end(&mut self, log: &HookLog, monitor: &dyn Monitor) -> bool {
        let back = self.go_on(log, monitor);
        let held = self.frozen.check().map_err(|error| monitor.event(Event::error("snapshot", error.to_string()))).is_ok();
        std::mem::take(&mut self.frozen).release(monitor);
        back && held
    }
}

/// Releases what a killed run of a job left behind. Whether all of it is back. No other run of the job may be under way.
///
/// # Errors
/// If what it wrote down cannot be read.
pub(super) fn settle((name, job): (&str, &Job), dir: &Path, log: &HookLog, monitor: &dyn Monitor) -> Result<bool, JobError> {
    let back = quiet::settle(name, dir, log, monitor)?;
    let mut kinds = kinds(&job.filesystem_snapshots);
    if !job.lvm_volumes.is_empty() && !kinds.contains(&Kind::Lvm) {
        kinds.push(Kind::Lvm);
    }
    snapshot::remove_leftovers(&Names::new(name, dir, Timestamp::now()), &kinds, &mounts(job, dir), monitor);
    Ok(back)
}

fn kinds(snapshots: &FilesystemSnapshots) -> Vec<Kind> {
    let named = snapshots.options().kinds;
    let kind = |kind| match kind {
        SnapshotKind::Btrfs => Kind::Btrfs,
        SnapshotKind::Zfs => Kind::Zfs,
        SnapshotKind::Lvm => Kind::Lvm,
    };
    match snapshots {
        FilesystemSnapshots::Off => Vec::new(),
        _ if named.is_empty() => vec![Kind::Btrfs, Kind::Zfs, Kind::Lvm],
        _ => named.into_iter().map(kind).collect(),
    }
}

fn mounts(job: &Job, dir: &Path) -> PathBuf {
    job.filesystem_snapshots.options().mount_directory.unwrap_or_else(|| dir.join(MOUNTS))
}
