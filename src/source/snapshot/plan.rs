//! From what shall stand still to snapshots and views.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::lvm::{self, Volume};
use super::mounts::{Mount, Mounts};
use super::zfs::{self, Dataset};
use super::{Frozen, Kind, Taken, Wanted, btrfs, device_numbers, filesystem_on, mount_device};
use crate::model::event::{Event, Monitor};
use crate::source::mapping::Place;
use crate::source::view::{View, below, read_from};

/// Takes snapshots of what is wanted.
pub(super) fn take(wanted: Wanted<'_>, monitor: &dyn Monitor) -> io::Result<Frozen> {
    let table = Mounts::read()?;
    let mut freezer = Freezer {
        wanted,
        table: &table,
        monitor,
        frozen: Frozen::default(),
        volumes: None,
        datasets: None,
        subvolumes: BTreeMap::new(),
        copies: BTreeMap::new(),
    };
    freezer.freeze_paths()?;
    freezer.freeze_volumes();
    freezer.freeze_devices()?;
    Ok(freezer.frozen)
}

struct Freezer<'a> {
    wanted: Wanted<'a>,
    table: &'a Mounts,
    monitor: &'a dyn Monitor,
    frozen: Frozen,
    /// What the systems say of themselves, once they were asked.
    volumes: Option<Result<Vec<Volume>, String>>,
    datasets: Option<Result<Vec<Dataset>, String>>,
    /// Snapshots of subvolumes, by the device number of the subvolume.
    subvolumes: BTreeMap<u64, PathBuf>,
    /// Snapshots of logical volumes, by their full names.
    copies: BTreeMap<String, Copy>,
}

/// A logical volume's snapshot, and where it is mounted.
#[derive(Clone)]
struct Copy {
    snapshot: Volume,
    point: Option<PathBuf>,
}

/// How a mount is going to stand still.
enum Way {
    Btrfs,
    Zfs { dataset: String, folder: PathBuf },
    Lvm(Box<Volume>),
}

/// A mount of a dataset: the dataset, and the directory under which its snapshots appear.
type Mounted<'a> = (&'a Mount, String, PathBuf);

impl<'a> Freezer<'a> {
    fn freeze_paths(&mut self) -> io::Result<()> {
        if self.wanted.kinds.is_empty() {
            return Ok(());
        }
        let mut pools: BTreeMap<String, Vec<Mounted<'a>>> = BTreeMap::new();
        for mount in self.concerned() {
            let done = match self.way(mount) {
                Ok(Way::Zfs { dataset, folder }) => {
                    let pool = dataset.split('/').next().unwrap_or_default().to_owned();
                    pools.entry(pool).or_default().push((mount, dataset, folder));
                    Ok(())
                }
                Ok(Way::Btrfs) => self.freeze_btrfs(mount),
                Ok(Way::Lvm(volume)) => self.freeze_mount_of_volume(mount, &volume),
                Err(why) => Err(io::Error::other(why)),
            };
            done.or_else(|why| self.stays_live(mount, &mount.point, &why))?;
        }
        for mounts in pools.into_values() {
            if let Err(error) = self.freeze_pool(&mounts) {
                mounts.iter().try_for_each(|(mount, ..)| self.stays_live(mount, &mount.point, &error))?;
            }
        }
        self.keep_the_rest_live();
        Ok(())
    }

    /// The mounts that the places lie on, and those below them that are saved with them.
    fn concerned(&self) -> Vec<&'a Mount> {
        let mut found: Vec<&Mount> = self.wanted.places.iter().filter_map(|place| self.table.of(&place.from)).collect();
        if !self.wanted.one_file_system {
            for place in self.wanted.places {
                let below = self.table.below(&place.from).filter(|mount| mount.lasts());
                found.extend(below.filter(|mount| !self.is_left_out(place, &mount.point)));
            }
        }
        found.sort_by(|a, b| a.point.cmp(&b.point));
        found.dedup_by_key(|mount| mount.id);
        found
    }

    /// Whether what lies at `inner`, in what is read at a place, is not read there: a pattern leaves it out, or it is shown from elsewhere.
    fn is_left_out(&self, place: &Place, inner: &Path) -> bool {
        let Ok(rest) = inner.strip_prefix(&place.from) else { return true };
        let shown = below(&place.at, rest);
        self.wanted.excludes.leaves_out_within(&place.at, &shown) || read_from(self.wanted.views, &shown) != inner
    }

    /// What the snapshot calls something that lies in one of the places.
    fn shown(&self, inner: &Path) -> PathBuf {
        let holding = self.wanted.places.iter().filter_map(|place| Some((place, inner.strip_prefix(&place.from).ok()?)));
        let nearest = holding.min_by_key(|(_, rest)| rest.components().count());
        nearest.map_or_else(|| inner.to_owned(), |(place, rest)| below(&place.at, rest))
    }

    fn way(&mut self, mount: &Mount) -> Result<Way, String> {
        let may = |kind| self.wanted.kinds.contains(&kind);
        let (zfs, lvm) = (may(Kind::Zfs) && (mount.kind == zfs::KIND || self.wanted.named), may(Kind::Lvm) && mount.device.0 != 0);
        if mount.kind == btrfs::KIND && may(Kind::Btrfs) {
            return Ok(Way::Btrfs);
        }
        if zfs {
            let datasets = self.datasets.get_or_insert_with(|| zfs::datasets().map_err(|error| error.to_string())).clone()?;
            if let Some((dataset, folder)) = zfs::behind(mount, self.table, &datasets) {
                return Ok(Way::Zfs { dataset, folder });
            }
        }
        if lvm {
            let named = self.wanted.named;
            match self.all_volumes() {
                Ok(volumes) => {
                    if let Some(volume) = volumes.iter().find(|volume| volume.numbers() == Some(mount.device)) {
                        return Ok(Way::Lvm(Box::new(volume.clone())));
                    }
                }
                Err(why) if named => return Err(why.clone()),
                Err(_) => {}
            }
        }
        Err(format!("{} on {} has no snapshots that this job may take", mount.kind, mount.source))
    }

    fn all_volumes(&mut self) -> &Result<Vec<Volume>, String> {
        self.volumes.get_or_insert_with(|| lvm::volumes().map_err(|error| error.to_string()))
    }

    /// Tells that something is read live, which is an error if it is required not to be.
    fn stays_live(&mut self, mount: &Mount, place: &Path, why: &io::Error) -> io::Result<()> {
        // A path on a large filesystem is what matters to people, not the filesystem.
        let on_it = self.wanted.places.iter().filter(|wanted| self.table.of(&wanted.from).is_some_and(|found| found.id == mount.id));
        let mut places: Vec<PathBuf> = on_it.filter(|wanted| wanted.from.starts_with(place)).map(|wanted| wanted.at.clone()).collect();
        if places.is_empty() {
            places.push(self.shown(place));
        }
        for place in places {
            let subject = place.display().to_string();
            if self.wanted.required {
                return Err(io::Error::other(format!("{subject} cannot be read from a snapshot, which is required: {why}")));
            }
            self.monitor.event(Event::info(subject, format!("is read live, as there is no snapshot of it ({why})")));
            self.frozen.live.push(place);
        }
        Ok(())
    }

    /// Shows `from` in the place of a mount.
    fn show(&mut self, mount: &Mount, from: PathBuf) -> io::Result<()> {
        // The walk reads a file in another directory, but under its own name.
        if !mount.point.is_dir() && mount.point.file_name() != from.file_name() {
            return Err(io::Error::other("it is a file that is mounted under another name"));
        }
        self.frozen.views.push(View::new(&mount.point, from));
        Ok(())
    }

    fn freeze_btrfs(&mut self, mount: &Mount) -> io::Result<()> {
        let place = btrfs::place(mount, self.table)?;
        if btrfs::is_read_only(&place.top) {
            return Ok(());
        }
        let top = below(&place.top, &place.rest);
        let mounted = |reached: &Path| Some(below(&mount.point, reached.strip_prefix(&top).ok()?));
        let own = self.table.of(&place.top).map(|mount| mount.id);
        let wanted = |reached: &Path| {
            let of_place = |inner: &Path, place: &Place| {
                place.from.starts_with(inner) || inner.starts_with(&place.from) && !self.is_left_out(place, inner)
            };
            mounted(reached).is_some_and(|inner| self.wanted.places.iter().any(|place| of_place(&inner, place)))
                && self.table.of(reached).map(|mount| mount.id) == own
        };
        // First, as a view without those within it would show empty directories in their place.
        let nested = place.nested(&wanted)?;
        let snapshot = self.subvolume(&place.top, &place.folder)?;
        self.show(mount, below(&snapshot, &place.rest))?;
        for (reached, at) in nested.iter().filter_map(|reached| Some((reached, mounted(reached)?))) {
            let still = btrfs::is_read_only(reached) || self.wanted.one_file_system;
            let from = if still { Ok(at.clone()) } else { self.subvolume(reached, &place.folder) };
            match from {
                Ok(from) => self.frozen.views.push(View::new(at, from)),
                Err(error) => {
                    self.stays_live(mount, &at, &error)?;
                    self.frozen.views.push(View::new(&at, &at));
                }
            }
        }
        Ok(())
    }

    /// The snapshot of a subvolume, which may be mounted in several places.
    fn subvolume(&mut self, top: &Path, folder: &Path) -> io::Result<PathBuf> {
        let device = std::fs::symlink_metadata(top)?.dev();
        if let Some(snapshot) = self.subvolumes.get(&device) {
            return Ok(snapshot.clone());
        }
        let snapshot = btrfs::take(top, folder, &self.wanted.names.fresh())?;
        self.frozen.taken.push(Taken::Btrfs(snapshot.clone()));
        self.subvolumes.insert(device, snapshot.clone());
        Ok(snapshot)
    }

    /// All datasets of a pool at one moment.
    fn freeze_pool(&mut self, mounts: &[Mounted<'_>]) -> io::Result<()> {
        let mut datasets: Vec<String> = mounts.iter().map(|(_, dataset, _)| dataset.clone()).collect();
        datasets.sort();
        datasets.dedup();
        let name = self.wanted.names.fresh();
        zfs::take(&datasets, &name)?;
        self.frozen.taken.extend(datasets.iter().map(|dataset| Taken::Zfs(format!("{dataset}@{name}"))));
        for (mount, _, folder) in mounts {
            let from = below(&folder.join(&name), mount.root.strip_prefix("/").unwrap_or(&mount.root));
            self.show(mount, from).or_else(|error| self.stays_live(mount, &mount.point, &error))?;
        }
        Ok(())
    }

    fn freeze_mount_of_volume(&mut self, mount: &Mount, volume: &Volume) -> io::Result<()> {
        let point = self.mounted_copy(volume, Some(&mount.kind))?;
        self.show(mount, below(&point, mount.root.strip_prefix("/").unwrap_or(&mount.root)))?;
        self.reads_from_thick(volume, &self.shown(&mount.point));
        Ok(())
    }

    /// The snapshot of a logical volume, which several mounts and devices may be read from.
    fn copy(&mut self, volume: &Volume) -> io::Result<Copy> {
        if let Some(copy) = self.copies.get(&volume.full_name()) {
            return Ok(copy.clone());
        }
        let snapshot = lvm::take(volume, &self.wanted.names.fresh(), self.wanted.room)?;
        self.frozen.taken.push(Taken::Lvm(snapshot.full_name()));
        if !volume.is_thin() {
            self.frozen.thick.push((snapshot.full_name(), Vec::new()));
        }
        let copy = Copy { snapshot, point: None };
        self.copies.insert(volume.full_name(), copy.clone());
        Ok(copy)
    }

    /// Remembers what an overflow of a thick snapshot would cost.
    fn reads_from_thick(&mut self, volume: &Volume, place: &Path) {
        let snapshot = self.copies.get(&volume.full_name()).map(|copy| copy.snapshot.full_name());
        if let Some((_, places)) = self.frozen.thick.iter_mut().find(|(name, _)| Some(name) == snapshot.as_ref()) {
            places.push(place.to_owned());
        }
    }

    /// Where the snapshot of a logical volume is mounted. Which filesystem it has is found out unless it is known.
    fn mounted_copy(&mut self, volume: &Volume, kind: Option<&str>) -> io::Result<PathBuf> {
        let copy = self.copy(volume)?;
        if let Some(point) = copy.point {
            return Ok(point);
        }
        let device = copy.snapshot.device();
        let kind = match kind {
            Some(kind) => kind.to_owned(),
            None => filesystem_on(&device)?.ok_or_else(|| io::Error::other("there is no filesystem on it"))?,
        };
        let point = self.wanted.mounts.join(&copy.snapshot.name);
        mount_device(&device, &point, &kind).map_err(|error| io::Error::other(format!("its {kind} cannot be mounted: {error}")))?;
        self.frozen.taken.push(Taken::Mount(point.clone()));
        if let Some(copy) = self.copies.get_mut(&volume.full_name()) {
            copy.point = Some(point.clone());
        }
        Ok(point)
    }

    fn freeze_volumes(&mut self) {
        for volume in self.wanted.volumes {
            let place = volume.place();
            match self.mounted_copy(volume, None) {
                Ok(point) => {
                    self.frozen.views.push(View::detached(&place, point));
                    self.frozen.volumes.push(place.clone());
                    self.reads_from_thick(volume, &place);
                }
                Err(error) => {
                    let message = format!("the volume's files cannot be saved ({error}); `devices` saves such a volume as a whole");
                    self.monitor.event(Event::warning(place.display().to_string(), message));
                }
            }
        }
    }

    fn freeze_devices(&mut self) -> io::Result<()> {
        if !self.wanted.kinds.contains(&Kind::Lvm) {
            return Ok(());
        }
        for device in self.wanted.devices {
            let numbers = device_numbers(device);
            let volumes = self.all_volumes().as_ref().map_or(&[][..], Vec::as_slice);
            let volume = volumes.iter().find(|volume| numbers.is_some() && volume.numbers() == numbers).cloned();
            let taken = volume.ok_or_else(|| io::Error::other("it is no logical volume")).and_then(|volume| {
                let copy = self.copy(&volume)?;
                self.reads_from_thick(&volume, device);
                Ok(copy)
            });
            match taken {
                Ok(copy) => self.frozen.devices.push((device.clone(), copy.snapshot.device())),
                Err(error) if self.wanted.required => {
                    return Err(io::Error::other(format!(
                        "{} cannot be read from a snapshot, which is required: {error}",
                        device.display()
                    )));
                }
                Err(error) => {
                    let message = format!("is read live, as there is no snapshot of it ({error})");
                    self.monitor.event(Event::info(device.display().to_string(), message));
                    self.frozen.live.push(device.clone());
                }
            }
        }
        Ok(())
    }

    /// What is mounted below something that stands still is an empty directory there, and is read where it is.
    fn keep_the_rest_live(&mut self) {
        let mut live = Vec::new();
        for view in &self.frozen.views {
            let rest = self.table.below(&view.at).filter(|mount| self.frozen.views.iter().all(|view| view.at != mount.point));
            live.extend(rest.map(|mount| mount.point.clone()));
        }
        live.sort();
        live.dedup();
        self.frozen.views.extend(live.into_iter().map(|point| View::new(&point, &point)));
    }
}
