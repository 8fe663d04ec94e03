//! Quotas: what repositories may take.

use std::collections::BTreeMap;

use crate::config;
use crate::store::hub::protocol::Usage;

/// How much of a quota may be used before somebody is warned, in percent.
const WARNING: u8 = 80;

/// What a repository may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quota {
    /// Bytes of all its objects; no bound if none.
    pub bytes: Option<u64>,
    /// Objects; no bound if none.
    pub objects: Option<u64>,
}

impl Quota {
    /// As it is told to clients.
    pub(super) fn told(self) -> Option<Usage> {
        (self != Self::default()).then(|| Usage { bytes: self.bytes.unwrap_or(u64::MAX), objects: self.objects.unwrap_or(u64::MAX) })
    }

    /// Whether so much is within it.
    pub(super) fn holds(self, usage: Usage) -> bool {
        self.bytes.is_none_or(|most| usage.bytes <= most) && self.objects.is_none_or(|most| usage.objects <= most)
    }

    /// How much of it is used, in percent, of bytes or of objects, whatever is more; above 100 if it was lowered.
    pub fn used(self, usage: Usage) -> Option<u64> {
        let share = |used: u64, most: Option<u64>| {
            let percent = u128::from(used) * 100 / u128::from(most?.max(1));
            Some(u64::try_from(percent).unwrap_or(u64::MAX))
        };
        share(usage.bytes, self.bytes).max(share(usage.objects, self.objects))
    }
}

/// The quotas of all repositories.
#[derive(Debug, Clone, Default)]
pub struct Quotas {
    all: Quota,
    special: BTreeMap<String, Quota>,
    warning: Option<u8>,
}

impl Quotas {
    /// As a configuration has them.
    pub fn of(hub: &config::Hub) -> Self {
        let all = Quota { bytes: hub.quota.map(|size| size.0), objects: hub.quota_objects };
        let special = hub.repositories.iter().map(|(name, repository)| {
            let bytes = repository.quota.map(|size| size.0).or(all.bytes);
            (name.clone(), Quota { bytes, objects: repository.quota_objects.or(all.objects) })
        });
        Self { all, special: special.collect(), warning: hub.quota_warning.map(|share| share.get()) }
    }

    /// That of a repository.
    pub fn get(&self, repository: &str) -> Quota {
        self.special.get(repository).copied().unwrap_or(self.all)
    }

    /// From which share of a quota somebody is warned, in percent.
    pub fn warning(&self) -> u64 {
        self.warning.unwrap_or(WARNING).into()
    }
}

impl From<Quota> for Quotas {
    fn from(all: Quota) -> Self {
        Self { all, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ByteSize, HubRepository};

    #[test]
    fn a_repository_has_its_own_quota_where_one_is_given_and_that_of_all_otherwise() {
        let mut hub = config::Hub::at("/hub".into());
        (hub.quota, hub.quota_objects) = (Some(ByteSize(100)), Some(7));
        hub.repositories.insert("big".into(), HubRepository { quota: Some(ByteSize(900)), ..HubRepository::default() });
        let quotas = Quotas::of(&hub);
        assert_eq!(quotas.get("big"), Quota { bytes: Some(900), objects: Some(7) });
        assert_eq!(quotas.get("nas"), Quota { bytes: Some(100), objects: Some(7) });
    }

    #[test]
    fn the_fuller_of_bytes_and_objects_counts() {
        let quota = Quota { bytes: Some(1000), objects: Some(10) };
        assert_eq!(quota.used(Usage { bytes: 100, objects: 9 }), Some(90));
        assert_eq!(quota.used(Usage { bytes: 2000, objects: 0 }), Some(200));
        assert_eq!(Quota::default().used(Usage { bytes: 1, objects: 1 }), None);
        assert_eq!(Quota { bytes: Some(0), objects: None }.used(Usage { bytes: 1, objects: 1 }), Some(100), "nothing may be there");
    }
}
