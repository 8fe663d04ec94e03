//! Which packs are read: ids lie on a circle, and each time another arc of it is taken.

use std::time::SystemTime;

use crate::model::id::PackId;
use crate::store::ObjectInfo;

const DAY: u64 = 86_400;
/// Where a circle ends.
const CIRCLE: u128 = 1 << 64;

/// Which packs are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// So many percent of them, others every day, so that all have been read after 100 / share days; 100 reads all.
    Percent(u8),
    /// Those from a place of the circle on, for whoever remembers how far it came. Places are the first 64 bits of ids.
    Arc {
        /// Where it begins.
        start: u64,
        /// How far it goes; 2^64 or more is everything.
        width: u128,
    },
}

impl Share {
    /// The packs whose turn has come, and the next one if there is none, so that something is always read.
    pub(super) fn of<'a>(self, packs: Vec<(&'a PackId, &'a ObjectInfo)>, now: SystemTime) -> Vec<(&'a PackId, &'a ObjectInfo)> {
        let (start, width) = self.arc(now);
        let first = packs.iter().map(|(id, _)| distance(id, start)).min().unwrap_or(0);
        let width = width.max(u128::from(first) + 1);
        packs.into_iter().filter(|(id, _)| u128::from(distance(id, start)) < width).collect()
    }

    /// Where it begins, and how far it goes: a share of the circle begins every day where that of the day before ended.
    fn arc(self, now: SystemTime) -> (u64, u128) {
        match self {
            Share::Arc { start, width } => (start, width),
            Share::Percent(percent) => {
                let width = CIRCLE * u128::from(percent.min(100)) / 100;
                let day = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs() / DAY);
                let start = u64::try_from(u128::from(day) * width % CIRCLE).unwrap_or_default();
                (start, width)
            }
        }
    }
}

/// How far a pack lies after a place.
fn distance(id: &PackId, start: u64) -> u64 {
    id.as_bytes().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte)).wrapping_sub(start)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use super::*;
    use crate::store::{Folder, ObjectName};

    fn packs(count: u64) -> Vec<(PackId, ObjectInfo)> {
        let pack = |number: u64| {
            let id = *blake3::hash(&number.to_le_bytes()).as_bytes();
            let info = ObjectInfo { name: ObjectName::of_id(Folder::Packs, &id), size: 1, stored: SystemTime::UNIX_EPOCH };
            (PackId::from_bytes(id), info)
        };
        (0..count).map(pack).collect()
    }

    fn read(packs: &[(PackId, ObjectInfo)], share: Share, day: u64) -> Vec<PackId> {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(day * DAY);
        share.of(packs.iter().map(|(id, info)| (id, info)).collect(), now).into_iter().map(|(id, _)| *id).collect()
    }

    #[test]
    fn every_pack_is_read_within_the_days_that_its_share_takes() {
        let packs = packs(1000);
        for (percent, days) in [(100, 1), (50, 2), (10, 10), (3, 34), (1, 100)] {
            let mut times: HashMap<PackId, u32> = HashMap::new();
            for day in 20_000..20_000 + days {
                read(&packs, Share::Percent(percent), day).into_iter().for_each(|id| *times.entry(id).or_default() += 1);
            }
            assert_eq!(times.len(), packs.len(), "{percent}%");
        }
    }

    #[test]
    fn arcs_that_follow_each_other_read_each_pack_once() {
        let packs = packs(500);
        let width = u64::MAX / 7 + 1;
        let mut seen: Vec<PackId> =
            (0..7).flat_map(|part| read(&packs, Share::Arc { start: width.wrapping_mul(part), width: width.into() }, 0)).collect();
        assert_eq!(seen.len(), 500);
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 500);
        assert_eq!(read(&packs, Share::Arc { start: 77, width: 1 << 64 }, 0).len(), 500, "the whole circle");
    }

    #[test]
    fn the_next_pack_is_read_where_an_arc_holds_none() {
        let packs = packs(1);
        assert_eq!(read(&packs, Share::Arc { start: 5, width: 0 }, 0).len(), 1);
        assert_eq!(read(&packs, Share::Percent(0), 3).len(), 1);
    }
}
