//! Which snapshot is tried.

use std::collections::BTreeMap;

use super::DrillError;
use super::random::Random;
use crate::config::{Drill, DrillSnapshot};
use crate::content::payload::Payload;
use crate::sealed::snapshots::Snapshot;

/// A snapshot of the repository, with its labels.
pub struct Candidate {
    /// What anyone sees.
    pub snapshot: Snapshot,
    /// What the restore key opens.
    pub payload: Payload,
}

impl Candidate {
    fn age(&self) -> (std::time::SystemTime, u64) {
        (self.snapshot.received, self.snapshot.envelope.sequence)
    }
}

/// The snapshot that the drill takes, and the content of the newest one of each host and job: what is to be restored when all is lost.
/// Only complete ones of known writers count.
pub(super) fn choose<'a>(drill: &Drill, candidates: &'a [Candidate], random: &mut Random) -> Result<(&'a Candidate, u64), DrillError> {
    let mut newest: BTreeMap<(&str, &str), &Candidate> = BTreeMap::new();
    let mut fitting = Vec::new();
    for candidate in candidates.iter().filter(|candidate| candidate.snapshot.counts()) {
        let Payload { host, job, .. } = &candidate.payload;
        let best = newest.entry((host, job)).or_insert(candidate);
        if candidate.age() > best.age() {
            *best = candidate;
        }
        if drill.host.as_ref().is_none_or(|wanted| wanted == host) && drill.job.as_ref().is_none_or(|wanted| wanted == job) {
            fitting.push(candidate);
        }
    }
    let all = newest.values().map(|candidate| candidate.payload.statistics.bytes).fold(0, u64::saturating_add);
    let chosen = match drill.snapshot {
        DrillSnapshot::Latest => fitting.iter().max_by_key(|candidate| candidate.age()),
        DrillSnapshot::Oldest => fitting.iter().min_by_key(|candidate| candidate.age()),
        DrillSnapshot::Random => fitting.get(random.below(fitting.len())),
    };
    chosen.map(|chosen| (*chosen, all)).ok_or_else(|| DrillError::NoSnapshot(why(drill, newest.keys().copied().collect())))
}

fn why(drill: &Drill, there: Vec<(&str, &str)>) -> String {
    let wanted = [("host", &drill.host), ("job", &drill.job)];
    let wanted: Vec<String> = wanted.into_iter().filter_map(|(word, name)| Some(format!("{word} `{}`", name.as_ref()?))).collect();
    let of = if wanted.is_empty() { String::new() } else { format!(" of {}", wanted.join(" and ")) };
    let there: Vec<String> = there.into_iter().map(|(host, job)| format!("{host} {job}").trim().to_owned()).collect();
    let others = if there.is_empty() { String::new() } else { format!("; there are some of: {}", there.join(", ")) };
    format!("the repository has no complete snapshot{of}{others}")
}
