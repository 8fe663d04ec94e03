//! Copies against the rule of 3-2-1: three of them with the live data, on two kinds of media, one of them elsewhere. The NixOS module counts the same way.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{JobStatus, MirrorUpkeep};
use crate::model::id::RepositoryId;
use crate::model::report::{CopyKind, Kind};

/// What the live data lies on, unless somebody says more: the module's word for it.
const LIVE: &str = "disk";

/// Whose a copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CopyPlace {
    /// The repository at this hub.
    Hub,
    /// A mirror that the hub makes.
    Mirror,
    /// A repository that the host writes to, or a mirror that it makes.
    Host,
}

/// A copy besides the live data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyStatus {
    /// Whose it is.
    pub place: CopyPlace,
    /// The repository or mirror by its name; of those of a host with `HOST/` before.
    pub name: String,
    /// What it lies on; none if nobody says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media: Option<String>,
    /// Whether it lies in another building.
    pub offsite: bool,
    /// When something was last brought there; none if nothing ever was, and then it does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<Timestamp>,
}

/// The copies of something.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copies {
    /// How many there are, the live data among them.
    pub count: u64,
    /// On how many kinds of media.
    pub media: u64,
    /// Whether one is elsewhere.
    pub offsite: bool,
    /// Whether it is as the rule wants it.
    pub enough: bool,
    /// Each but the live data.
    pub list: Vec<CopyStatus>,
}

impl Copies {
    /// Counts copies; each place once.
    pub(super) fn of(list: impl IntoIterator<Item = CopyStatus>) -> Self {
        let mut copies: Vec<CopyStatus> = Vec::new();
        for copy in list {
            match copies.iter_mut().find(|other| (other.place, &other.name) == (copy.place, &copy.name)) {
                Some(other) if other.newest < copy.newest => *other = copy,
                Some(_) => {}
                None => copies.push(copy),
            }
        }
        let counted: Vec<&CopyStatus> = copies.iter().filter(|copy| copy.newest.is_some()).collect();
        let media: BTreeSet<&str> = counted.iter().filter_map(|copy| copy.media.as_deref()).chain([LIVE]).collect();
        let (count, media, offsite) = (1 + counted.len() as u64, media.len() as u64, counted.iter().any(|copy| copy.offsite));
        Self { count, media, offsite, enough: count >= 3 && media >= 2 && offsite, list: copies }
    }

    /// What is missing, in words.
    pub fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        if self.count < 3 {
            missing.push(format!("{} of 3 copies", self.count));
        }
        if self.media < 2 {
            missing.push("one kind of media of 2".to_owned());
        }
        if !self.offsite {
            missing.push("none elsewhere".to_owned());
        }
        missing
    }
}

/// What is known of a repository at the hub, for whoever looks for copies.
pub(super) struct AtHub {
    pub(super) name: String,
    pub(super) id: Option<RepositoryId>,
    pub(super) newest: Option<Timestamp>,
    pub(super) mirrors: Vec<MirrorUpkeep>,
}

/// The copies of what a job saves: its repositories, their mirrors by hosts, and those by the hub.
pub(super) fn of_job(job: &JobStatus, jobs: &[JobStatus], at_hub: &[AtHub]) -> Vec<CopyStatus> {
    let mut found = Vec::new();
    for there in &job.repositories {
        let hub = there.id.and_then(|id| at_hub.iter().find(|hub| hub.id == Some(id)));
        // Only what the hub itself has seen counts there.
        let (place, name, newest) = match hub {
            Some(hub) => (CopyPlace::Hub, hub.name.clone(), hub.newest),
            None => (CopyPlace::Host, format!("{}/{}", job.host, there.name), there.last_success),
        };
        found.push(copy(place, name, there.copy.as_ref(), newest));
        let mirrors = jobs.iter().filter(|other| other.kind == Kind::Mirror);
        for (mirror, to) in mirrors.flat_map(|mirror| mirror.repositories.iter().map(move |to| (mirror, to))) {
            if there.id.is_some() && to.id == there.id {
                found.push(copy(CopyPlace::Host, format!("{}/{}", mirror.host, to.name), to.copy.as_ref(), to.last_success));
            }
        }
        found.extend(hub.into_iter().flat_map(|hub| &hub.mirrors).map(of_mirror));
    }
    found
}

/// The copies of a repository at the hub: itself, its mirrors, and the other copies of the jobs that go to it.
pub(super) fn of_repository(hub: &AtHub, jobs: &[JobStatus], at_hub: &[AtHub]) -> Copies {
    let is_here =
        |job: &&JobStatus| job.kind == Kind::Backup && job.repositories.iter().any(|there| there.id.is_some() && there.id == hub.id);
    let others: Vec<CopyStatus> = jobs.iter().filter(is_here).flat_map(|job| of_job(job, jobs, at_hub)).collect();
    let own = [copy(CopyPlace::Hub, hub.name.clone(), None, hub.newest)];
    // What a host says of the kind of copy is known better than nothing.
    let own = own.into_iter().filter(|own| !others.iter().any(|other| (other.place, &other.name) == (own.place, &own.name)));
    Copies::of(own.chain(others.clone()).chain(hub.mirrors.iter().map(of_mirror)).collect::<Vec<_>>())
}

fn copy(place: CopyPlace, name: String, kind: Option<&CopyKind>, newest: Option<Timestamp>) -> CopyStatus {
    CopyStatus { place, name, media: kind.map(|kind| kind.media.clone()), offsite: kind.is_some_and(|kind| kind.offsite), newest }
}

fn of_mirror(mirror: &MirrorUpkeep) -> CopyStatus {
    CopyStatus {
        place: CopyPlace::Mirror,
        name: mirror.name.clone(),
        media: mirror.media.clone(),
        offsite: mirror.offsite,
        newest: mirror.last_success,
    }
}
