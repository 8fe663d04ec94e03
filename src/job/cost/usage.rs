//! What a repository asks of a service: what lies there, and the requests of a month. Seen without any key.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use crate::sealed::SealedError;
use crate::sealed::marks;
use crate::sealed::pack;
use crate::sealed::repository::Repository;
use crate::store::{Folder, ObjectInfo, Requests};

/// A month, as bills are estimated by.
pub const MONTH: Duration = Duration::from_secs(30 * 86_400);
/// The shortest time from which a month is extrapolated.
const SHORTEST: Duration = Duration::from_secs(86_400);
/// Objects of one page of a listing.
const PAGE: u64 = 1000;

/// What lies in a repository, and what a month asks of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Usage {
    /// Size of each object in bytes, the smallest first.
    pub sizes: Vec<u64>,
    /// Bytes of packs and index objects: what restoring all would read.
    pub restore: u64,
    /// Requests of that.
    pub restore_gets: u64,
    /// Backups in a month.
    pub backups: u64,
    /// Requests of a month with these, one check and one prune.
    pub requests: Requests,
    /// Packs that the next prunes delete: their sizes in bytes, and how old they are.
    pub doomed: Vec<(u64, Duration)>,
}

/// Counts and times from which a month is made up.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    packs: u64,
    indexes: u64,
    refs: u64,
    snapshots: u64,
    /// Stored within the last month.
    new: u64,
    new_snapshots: u64,
}

impl Usage {
    /// Looks at a repository at the time `now`.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn of(repository: &Repository, now: SystemTime) -> Result<Self, SealedError> {
        let store = repository.store();
        let mut folders = BTreeMap::new();
        for info in store.list_folders(&Folder::ALL)? {
            folders.entry(info.name.folder()).or_insert_with(Vec::new).push(info);
        }
        let packs = folders.get(&Folder::Packs).map(Vec::as_slice).unwrap_or_default();
        let named = marks::packs_said_condemned(store)?;
        let names: std::collections::BTreeSet<_> = named.iter().map(pack::name).collect();
        let doomed = packs.iter().filter(|info| names.contains(&info.name));
        let doomed = doomed.map(|info| (info.size, age(info, now))).collect();
        Ok(Self { doomed, ..Self::from_listing(&folders, now) })
    }

    fn from_listing(folders: &BTreeMap<Folder, Vec<ObjectInfo>>, now: SystemTime) -> Self {
        let infos = || folders.values().flatten();
        let oldest = infos().map(|info| age(info, now)).max().unwrap_or_default();
        let known = oldest.clamp(SHORTEST, MONTH);
        let a_month = |count: u64| (count as f64 * MONTH.as_secs_f64() / known.as_secs_f64()).round() as u64;
        let recent = |info: &&ObjectInfo| age(info, now) <= known;
        let count = |folder: Folder| folders.get(&folder).map_or(0, |list| list.len() as u64);
        let snapshots = folders.get(&Folder::Snapshots).map(Vec::as_slice).unwrap_or_default();
        let counts = Counts {
            packs: count(Folder::Packs),
            indexes: count(Folder::Index),
            refs: count(Folder::Refs),
            snapshots: count(Folder::Snapshots),
            new: a_month(infos().filter(recent).count() as u64),
            new_snapshots: a_month(snapshots.iter().filter(recent).count() as u64),
        };
        let mut sizes: Vec<u64> = infos().map(|info| info.size).collect();
        sizes.sort_unstable();
        let bytes = |folder: Folder| folders.get(&folder).map_or(0, |list| list.iter().map(|info| info.size).sum::<u64>());
        Self {
            sizes,
            restore: bytes(Folder::Packs) + bytes(Folder::Index),
            restore_gets: counts.packs + counts.indexes + counts.snapshots + 10,
            backups: counts.new_snapshots,
            requests: requests(&counts),
            doomed: Vec::new(),
        }
    }

    /// Bytes that are stored.
    pub fn bytes(&self) -> u64 {
        self.sizes.iter().sum()
    }

    /// Bytes that are billed where no object counts as less than `least`.
    pub fn billed(&self, least: u64) -> u64 {
        self.sizes.iter().map(|size| (*size).max(least)).sum()
    }
}

fn age(info: &ObjectInfo, now: SystemTime) -> Duration {
    now.duration_since(info.stored).unwrap_or_default()
}

/// The requests of a month, by what was counted at a server: a backup lists all before and once more after; check and prune read all
/// that is small. What was uploaded lately is uploaded again in the next month, and prune deletes as much.
fn requests(counts: &Counts) -> Requests {
    let pages = |objects: u64| objects / PAGE + 1;
    let (packs, snapshots) = (pages(counts.packs), pages(counts.snapshots));
    let all = pages(counts.packs + counts.indexes + counts.refs + 2 * counts.snapshots);
    let small = counts.indexes + counts.refs + counts.snapshots;
    Requests {
        put: counts.new + 1,
        get: counts.new_snapshots * 2 + 2 * (small + 3),
        head: 3,
        list: counts.new_snapshots * (2 * all + 1) + 3 * packs + 4 * snapshots + 24,
        delete: pages(counts.new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ObjectName;

    const DAY: Duration = Duration::from_secs(86_400);

    fn listing(objects: &[(Folder, u64, u64)], now: SystemTime) -> BTreeMap<Folder, Vec<ObjectInfo>> {
        let mut folders: BTreeMap<Folder, Vec<ObjectInfo>> = BTreeMap::new();
        for (number, (folder, size, days)) in objects.iter().enumerate() {
            let name = ObjectName::new(*folder, format!("abc{number}")).unwrap();
            let stored = now - DAY * u32::try_from(*days).unwrap();
            folders.entry(*folder).or_default().push(ObjectInfo { name, size: *size, stored });
        }
        folders
    }

    #[test]
    fn a_month_is_counted_by_what_the_last_one_brought() {
        let now = SystemTime::UNIX_EPOCH + DAY * 20_000;
        let old = [(Folder::Packs, 1000, 90), (Folder::Snapshots, 10, 90)];
        let new = [(Folder::Packs, 500, 3), (Folder::Index, 70, 3), (Folder::Snapshots, 10, 3), (Folder::Snapshots, 10, 9)];
        let usage = Usage::from_listing(&listing(&[&old[..], &new[..]].concat(), now), now);
        assert_eq!((usage.bytes(), usage.restore, usage.backups), (1600, 1570, 2));
        assert_eq!(usage.requests.put, 4 + 1);
        assert_eq!(usage.billed(100), 1000 + 500 + 4 * 100);
    }

    #[test]
    fn a_young_repository_is_taken_to_go_on_as_it_began() {
        let now = SystemTime::UNIX_EPOCH + DAY * 20_000;
        let usage = Usage::from_listing(&listing(&[(Folder::Snapshots, 10, 0), (Folder::Snapshots, 10, 3)], now), now);
        assert_eq!(usage.backups, 20, "two in three days");
        let usage = Usage::from_listing(&listing(&[(Folder::Snapshots, 10, 0)], now), now);
        assert_eq!(usage.backups, 30, "one in a day, at most");
        assert_eq!(Usage::from_listing(&BTreeMap::new(), now).backups, 0);
    }
}
