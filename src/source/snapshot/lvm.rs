//! Logical volumes and their snapshots, thin and thick.
//!
//! A thin snapshot shares its pool and needs no room of its own. A thick one keeps what is overwritten meanwhile in room that is
//! set aside for it; if that is full, the kernel gives the snapshot up and every later read of it fails.

use std::io;
use std::path::PathBuf;

use serde::Deserialize;

use super::name::Names;
use super::run;

/// What `lvs` is asked for.
const FIELDS: &str = "vg_name,lv_name,lv_path,lv_dm_path,lv_attr,origin,pool_lv,lv_kernel_major,lv_kernel_minor,snap_percent";
/// A snapshot that is so full, in percent, may have lost something.
const FULL: f64 = 100.0;

/// How much room a thick snapshot gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// A part of the volume, in percent.
    Percent(u8),
    /// So many bytes; LVM rounds up to whole extents.
    Bytes(u64),
}

/// A logical volume.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Volume {
    /// Its volume group.
    #[serde(rename = "vg_name")]
    pub group: String,
    /// Its name.
    #[serde(rename = "lv_name")]
    pub name: String,
    #[serde(rename = "lv_path", default)]
    path: String,
    #[serde(rename = "lv_dm_path", default)]
    mapped: String,
    #[serde(rename = "lv_attr", default)]
    attributes: String,
    #[serde(default)]
    origin: String,
    #[serde(rename = "pool_lv", default)]
    pool: String,
    #[serde(rename = "lv_kernel_major", default)]
    major: String,
    #[serde(rename = "lv_kernel_minor", default)]
    minor: String,
    #[serde(rename = "snap_percent", default)]
    filled: String,
}

impl Volume {
    /// `group/name`, as the tools call it.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.group, self.name)
    }

    /// Where a snapshot of the backup shows its files.
    pub fn place(&self) -> PathBuf {
        ["/@lvm", &self.group, &self.name].iter().collect()
    }

    /// Its device.
    pub(super) fn device(&self) -> PathBuf {
        let there = |path: &&String| !path.is_empty() && std::path::Path::new(path).exists();
        [&self.path, &self.mapped].into_iter().find(there).unwrap_or(&self.path).into()
    }

    /// Its device's numbers; none if it is not active.
    pub(super) fn numbers(&self) -> Option<(u64, u64)> {
        Some((self.major.trim().parse().ok()?, self.minor.trim().parse().ok()?))
    }

    pub(super) fn is_thin(&self) -> bool {
        !self.pool.is_empty()
    }

    fn attribute(&self, place: usize) -> u8 {
        self.attributes.as_bytes().get(place).copied().unwrap_or(b'-')
    }

    /// Whether it holds data of its own: not a pool, and not somebody's snapshot. A thin copy that is written to, as a linked
    /// clone of a virtual machine, has an origin too; but a snapshot cannot be written, or is not activated by itself.
    pub fn has_own_data(&self) -> bool {
        let (kind, permission, skipped) = (self.attribute(0), self.attribute(1), self.attribute(9));
        let snapshot = !self.origin.is_empty() && (!self.is_thin() || permission == b'r' || skipped == b'k');
        !matches!(kind, b't' | b's' | b'S' | b'e' | b'i' | b'I' | b'l' | b'p' | b'd' | b'D' | b'T') && !snapshot
    }

    /// Whether a thick snapshot was given up, or may have been.
    fn has_overflown(&self) -> bool {
        self.attribute(4) == b'I' || self.attribute(4) == b'S' || self.filled.trim().parse::<f64>().is_ok_and(|percent| percent >= FULL)
    }
}

#[derive(Deserialize)]
struct Listing {
    report: Vec<Report>,
}

#[derive(Deserialize)]
struct Report {
    #[serde(default)]
    lv: Vec<Volume>,
}

/// All logical volumes of this machine.
///
/// # Errors
/// If `lvs` is not there or does not tell.
pub fn volumes() -> io::Result<Vec<Volume>> {
    list(None)
}

fn list(one: Option<&str>) -> io::Result<Vec<Volume>> {
    let asked = ["lvs", "--reportformat", "json", "--units", "b", "--nosuffix", "--options", FIELDS];
    let arguments: Vec<&str> = asked.into_iter().chain(one).collect();
    let listing: Listing = serde_json::from_str(&run(&arguments)?).map_err(|error| io::Error::other(format!("`lvs` said: {error}")))?;
    Ok(listing.report.into_iter().flat_map(|report| report.lv).collect())
}

/// Takes a snapshot, which can be written to: what a filesystem's journal holds is put in its place there.
///
/// # Errors
/// If that is not possible.
pub(super) fn take(volume: &Volume, name: &str, room: Room) -> io::Result<Volume> {
    let (origin, size) = (volume.full_name(), size(room));
    let mut command = vec!["lvcreate", "--quiet", "--yes", "--snapshot", "--name", name];
    // LVM leaves thin snapshots without a device unless it is told otherwise.
    command.extend(if volume.is_thin() { ["--setactivationskip", "n"] } else { [size.0, &size.1] });
    command.push(&origin);
    run(&command)?;
    let full = format!("{}/{name}", volume.group);
    let made = list(Some(&full)).and_then(|mut made| made.pop().ok_or_else(|| io::Error::other(format!("{full} is not there"))));
    made.inspect_err(|_| drop(remove(&full)))
}

fn size(room: Room) -> (&'static str, String) {
    match room {
        Room::Percent(percent) => ("--extents", format!("{percent}%ORIGIN")),
        Room::Bytes(bytes) => ("--size", format!("{bytes}b")),
    }
}

/// Removes the snapshot `group/name`.
///
/// # Errors
/// If that is not possible.
pub(super) fn remove(snapshot: &str) -> io::Result<()> {
    run(&["lvremove", "--quiet", "--yes", snapshot]).map(drop)
}

/// Whether the snapshot `group/name` has run out of room.
///
/// # Errors
/// If `lvs` does not tell.
pub(super) fn has_overflown(snapshot: &str) -> io::Result<bool> {
    Ok(list(Some(snapshot))?.iter().any(Volume::has_overflown))
}

/// Snapshots that other runs of the job left.
pub(super) fn leftovers(volumes: &[Volume], names: &Names) -> Vec<String> {
    volumes.iter().filter(|volume| names.is_ours(&volume.name)).map(Volume::full_name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `lvs --reportformat json` of LVM 2.03.16 writes it: a thin pool, a volume and its snapshot in it, a linked clone, and
    /// a thick volume with a snapshot that has run out of room.
    const LISTING: &str = r#"{ "report": [ { "lv": [
        {"vg_name":"pve", "lv_name":"data", "lv_path":"", "lv_dm_path":"/dev/mapper/pve-data", "lv_attr":"twi-aotz--", "origin":"", "pool_lv":"", "lv_kernel_major":"253", "lv_kernel_minor":"4", "snap_percent":""},
        {"vg_name":"pve", "lv_name":"vm-1-pvc-2", "lv_path":"/dev/pve/vm-1-pvc-2", "lv_dm_path":"/dev/mapper/pve-vm--1--pvc--2", "lv_attr":"Vwi-aotz--", "origin":"", "pool_lv":"data", "lv_kernel_major":"253", "lv_kernel_minor":"7", "snap_percent":""},
        {"vg_name":"pve", "lv_name":"vm-1-pvc-2_snap_1", "lv_path":"/dev/pve/vm-1-pvc-2_snap_1", "lv_dm_path":"/dev/mapper/x", "lv_attr":"Vwi---tz-k", "origin":"vm-1-pvc-2", "pool_lv":"data", "lv_kernel_major":"-1", "lv_kernel_minor":"-1", "snap_percent":""},
        {"vg_name":"pve", "lv_name":"vm-9-disk-0", "lv_path":"/dev/pve/vm-9-disk-0", "lv_dm_path":"/dev/mapper/y", "lv_attr":"Vwi-a-tz--", "origin":"base-8-disk-0", "pool_lv":"data", "lv_kernel_major":"253", "lv_kernel_minor":"8", "snap_percent":""},
        {"vg_name":"vg0", "lv_name":"home", "lv_path":"/dev/vg0/home", "lv_dm_path":"/dev/mapper/vg0-home", "lv_attr":"owi-aos---", "origin":"", "pool_lv":"", "lv_kernel_major":"253", "lv_kernel_minor":"1", "snap_percent":""},
        {"vg_name":"vg0", "lv_name":"hearth-backup-state-20261121T143310Z-1", "lv_path":"/dev/vg0/s", "lv_dm_path":"/dev/mapper/vg0-s", "lv_attr":"swi-I-s---", "origin":"home", "pool_lv":"", "lv_kernel_major":"253", "lv_kernel_minor":"2", "snap_percent":"100.00"}
    ] } ] , "log": [] }"#;

    fn volumes() -> Vec<Volume> {
        let listing: Listing = serde_json::from_str(LISTING).unwrap();
        listing.report.into_iter().flat_map(|report| report.lv).collect()
    }

    #[test]
    fn volumes_with_data_of_their_own_are_told_from_pools_and_snapshots() {
        let own: Vec<String> = volumes().iter().filter(|volume| volume.has_own_data()).map(Volume::full_name).collect();
        assert_eq!(own, ["pve/vm-1-pvc-2", "pve/vm-9-disk-0", "vg0/home"]);
        assert_eq!(volumes()[1].numbers(), Some((253, 7)));
        assert_eq!(volumes()[2].numbers(), None, "it has no device");
        assert_eq!(volumes()[1].place(), PathBuf::from("/@lvm/pve/vm-1-pvc-2"));
    }

    #[test]
    fn a_snapshot_that_ran_out_of_room_is_seen() {
        let full: Vec<bool> = volumes().iter().map(Volume::has_overflown).collect();
        assert_eq!(full, [false, false, false, false, false, true]);
        let mut nearly = volumes().pop().unwrap();
        (nearly.attributes, nearly.filled) = ("swi-aos---".into(), "99.98".into());
        assert!(!nearly.has_overflown());
    }

    #[test]
    fn leftovers_are_found_by_name() {
        let names = |job| Names::new(job, "/state".as_ref(), jiff::Timestamp::UNIX_EPOCH);
        let mut all = volumes();
        all[5].name = names("state").fresh();
        assert_eq!(leftovers(&all, &names("state")), [format!("vg0/{}", all[5].name)]);
        assert!(leftovers(&all, &names("other")).is_empty());
    }

    #[test]
    fn room_is_given_in_percent_or_bytes() {
        assert_eq!(size(Room::Percent(10)), ("--extents", "10%ORIGIN".into()));
        assert_eq!(size(Room::Bytes(5 << 30)), ("--size", "5368709120b".into()));
    }
}
