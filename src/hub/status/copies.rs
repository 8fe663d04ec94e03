//! The copies of what is at the hub: itself, its mirrors, and those that hosts make.

use jiff::Timestamp;

use super::MirrorUpkeep;
use super::belief::Believed;
use crate::history::copies::by_mirrors;
use crate::history::{Copies, CopyPlace, CopyStatus, JobStatus};
use crate::model::id::RepositoryId;
use crate::model::report::Kind;

/// What is known of a repository at the hub, for whoever looks for copies.
pub(super) struct AtHub {
    pub(super) name: String,
    pub(super) id: Option<RepositoryId>,
    pub(super) newest: Option<Timestamp>,
    pub(super) mirrors: Vec<MirrorUpkeep>,
}

/// The copies of what a job saves: its repositories, their mirrors by hosts, and those by the hub.
pub(super) fn of_job(job: &JobStatus, jobs: &[JobStatus], at_hub: &[AtHub], believed: &Believed) -> Vec<CopyStatus> {
    let mut found = Vec::new();
    for there in &job.repositories {
        let hub = there.id.and_then(|id| at_hub.iter().find(|hub| hub.id == Some(id)));
        // Only what the hub itself has seen counts there; of a job that never got there others' snapshots are no copy.
        let saved = there.last_success;
        let (place, name, newest) = match hub {
            Some(hub) => (CopyPlace::Hub, hub.name.clone(), hub.newest.filter(|_| saved.is_some())),
            None => (CopyPlace::Host, format!("{}/{}", job.host, there.name), there.last_success),
        };
        found.push(CopyStatus::new(place, name, there.copy.as_ref(), newest));
        let through = hub.map_or(&job.repository, |hub| &hub.name);
        let mirrors =
            by_mirrors(there.id, believed.about(through, jobs)).chain(hub.into_iter().flat_map(|hub| &hub.mirrors).map(of_mirror));
        found.extend(mirrors.map(|copy| CopyStatus { newest: copy.newest.filter(|_| saved.is_some()), ..copy }));
    }
    found
}

/// The copies of a repository at the hub: itself, its mirrors, and the other copies of the jobs that go to it.
pub(super) fn of_repository(hub: &AtHub, jobs: &[JobStatus], at_hub: &[AtHub], believed: &Believed) -> Copies {
    let is_here =
        |job: &&JobStatus| job.kind == Kind::Backup && job.repositories.iter().any(|there| there.id.is_some() && there.id == hub.id);
    let here = believed.about(&hub.name, jobs).filter(is_here);
    let others: Vec<CopyStatus> = here.flat_map(|job| of_job(job, jobs, at_hub, believed)).collect();
    let own = [CopyStatus::new(CopyPlace::Hub, hub.name.clone(), None, hub.newest)];
    // What a host says of the kind of copy is known better than nothing.
    let own = own.into_iter().filter(|own| !others.iter().any(|other| (other.place, &other.name) == (own.place, &own.name)));
    Copies::of(own.chain(others.clone()).chain(hub.mirrors.iter().map(of_mirror)).collect::<Vec<_>>())
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
