//! Copies against the rule of 3-2-1: three of them with the live data, on two kinds of media, one of them elsewhere. The NixOS module counts the same way.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::JobStatus;
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

impl CopyStatus {
    /// A copy of a kind, if anybody says which.
    pub fn new(place: CopyPlace, name: String, kind: Option<&CopyKind>, newest: Option<Timestamp>) -> Self {
        Self { place, name, media: kind.map(|kind| kind.media.clone()), offsite: kind.is_some_and(|kind| kind.offsite), newest }
    }
}

impl Copies {
    /// Counts copies; each place once.
    pub fn of(list: impl IntoIterator<Item = CopyStatus>) -> Self {
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

/// The copies of what a job saves that its own host makes: the job's repositories, and the mirrors of them.
pub fn of_host(job: &JobStatus, jobs: &[JobStatus]) -> Vec<CopyStatus> {
    job.repositories
        .iter()
        .flat_map(|there| {
            let name = format!("{}/{}", job.host, there.name);
            let own = CopyStatus::new(CopyPlace::Host, name, there.copy.as_ref(), there.last_success);
            let saved = there.last_success;
            let mirrors = by_mirrors(there.id, jobs).map(|copy| CopyStatus { newest: copy.newest.filter(|_| saved.is_some()), ..copy });
            [own].into_iter().chain(mirrors).collect::<Vec<_>>()
        })
        .collect()
}

/// The mirrors that hosts make of a repository.
pub fn by_mirrors<'j>(repository: Option<RepositoryId>, jobs: impl IntoIterator<Item = &'j JobStatus>) -> impl Iterator<Item = CopyStatus> {
    let mirrors = jobs.into_iter().filter(move |other| other.kind == Kind::Mirror && repository.is_some());
    let places = mirrors.flat_map(|mirror| mirror.repositories.iter().map(move |to| (mirror, to)));
    let of_it = places.filter(move |(_, to)| to.id == repository);
    of_it.map(|(mirror, to)| CopyStatus::new(CopyPlace::Host, format!("{}/{}", mirror.host, to.name), to.copy.as_ref(), to.last_success))
}
