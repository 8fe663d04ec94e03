//! Looking at everything at once.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use nix::sys::statvfs::statvfs;

use super::belief::Believed;
use super::copies::{self, AtHub};
use super::{Disk, JobStatus, RepositoryStatus, Severity, Status, Warning, upkeep};
use crate::history::{Copies, job, warning};
use crate::hub::repository::{Kept, disk_failed, failed, refusal};
use crate::hub::{Hub, Role, Token};
use crate::model::human;
use crate::model::report::Kind;
use crate::store::hub::protocol::{Reason, Refusal};

/// What is said of a repository that has tokens and no directory.
const GONE: &str = "its directory is gone: is a disk not mounted? If it was removed on purpose, revoke the tokens for it";
/// How much of the disk shall be free, in percent.
const FREE: u64 = 10;

/// Who looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::hub) enum View {
    /// Somebody who may see everything.
    All,
    /// Somebody who may see what concerns a repository.
    Repository(String),
}

impl View {
    /// The repository, if it is one.
    pub(in crate::hub) fn repository(&self) -> Option<&str> {
        match self {
            View::All => None,
            View::Repository(name) => Some(name),
        }
    }

    /// Whether a repository is seen.
    pub(super) fn shows(&self, repository: &str) -> bool {
        self.repository().is_none_or(|name| name == repository)
    }
}

impl Hub {
    /// How everything fares that somebody may see. This reads the disk, where something has changed.
    pub(in crate::hub) fn status(&self, view: &View) -> Result<Status, Refusal> {
        let now = Timestamp::now();
        let tokens = self.tokens.all().map_err(|error| {
            tracing::error!("{error}");
            refusal(Reason::Failed, "the hub cannot read its tokens; its log says why")
        })?;
        let hosts = hosts(&tokens, view);
        let mut jobs = self.jobs(&hosts, &tokens, view, now)?;
        let names = self.repositories.names().map_err(|error| failed(&crate::store::StoreError::io("list", "repositories", error)))?;
        let (mut found, mut broken) = (Vec::new(), Vec::new());
        for name in names.iter().filter(|name| view.shows(name)) {
            match self.repository_status(name, &hosts) {
                Ok(status) => found.push(status),
                // The others shall be seen all the same.
                Err(refusal) => broken.push((name.clone(), refusal.message)),
            }
        }
        let believed = Believed::new(&tokens);
        let gone = named(&tokens, view).into_iter().filter(|name| !names.contains(name));
        broken.extend(gone.map(|name| (name, GONE.to_owned())));
        let at_hub: Vec<AtHub> = found.iter().map(at_hub).collect();
        let of_jobs: Vec<Option<Copies>> = jobs
            .iter()
            .map(|job| (job.kind == Kind::Backup && job.job.is_some()).then(|| Copies::of(copies::of_job(job, &jobs, &at_hub, &believed))))
            .collect();
        for (job, copies) in jobs.iter_mut().zip(of_jobs) {
            job.copies = copies;
        }
        for (repository, hub) in found.iter_mut().zip(&at_hub) {
            repository.copies = copies::of_repository(hub, &jobs, &at_hub, &believed);
            let about = || believed.about(&hub.name, &jobs);
            repository.last_drill = job::last_drill(about(), repository.id, None);
            repository.recovery_seconds = job::recovery(about(), repository.id, None);
            for mirror in repository.upkeep.iter_mut().flat_map(|upkeep| &mut upkeep.mirrors) {
                mirror.last_drill = job::last_drill(about(), repository.id, Some(&mirror.name));
            }
        }
        jobs.sort_by(|one, other| (one.state, &one.host, one.kind, &one.job).cmp(&(other.state, &other.host, other.kind, &other.job)));
        let disk = (*view == View::All).then(|| self.disk()).flatten();
        let mut warnings = warnings(&jobs, &found, disk, now);
        let unreadable = broken.iter().cloned().collect();
        for (name, why) in broken {
            let text = format!("it cannot be read: {why}");
            warnings.insert(0, Warning { severity: Severity::Error, host: None, job: None, repository: Some(name), text });
        }
        Ok(Status { now, program: env!("CARGO_PKG_VERSION").to_owned(), disk, warnings, jobs, repositories: found, unreadable })
    }

    fn jobs(
        &self,
        hosts: &BTreeMap<String, BTreeSet<String>>,
        tokens: &[Token],
        view: &View,
        now: Timestamp,
    ) -> Result<Vec<JobStatus>, Refusal> {
        let histories = self.reports.histories(view.repository())?;
        let own = match view {
            View::All => self.own.histories().map_err(|error| disk_failed(&self.settings.data_dir, &error))?,
            View::Repository(_) => Vec::new(),
        };
        let mut all: Vec<JobStatus> = histories.iter().chain(&own).filter_map(|history| job::of(history, now)).collect();
        for (repository, names) in hosts {
            // It may report through another repository, which is not seen from here.
            let silent = names.iter().filter(|host| !self.reports.knows(host));
            // Of tokens in the configuration it is not known since when they are there: as long as nobody has come, as long as the repository is.
            let is_used = histories.iter().any(|history| history.runs.first().is_some_and(|run| run.repository == *repository));
            let made = self.made(repository).filter(|_| !is_used);
            let since = |host: &String| tokens.iter().find(|token| token.name == *host).and_then(|token| token.made).or(made);
            let never = |host: &String| JobStatus { awaited_since: since(host), ..job::never(host.clone(), repository.clone()) };
            all.extend(silent.map(never).collect::<Vec<_>>());
        }
        Ok(all)
    }

    fn repository_status(&self, name: &str, hosts: &BTreeMap<String, BTreeSet<String>>) -> Result<RepositoryStatus, Refusal> {
        let kept: std::sync::Arc<Kept> = self.repositories.get(name)?;
        let counted = self.counts.of(&self.repositories, &kept)?;
        let used = kept.usage()?;
        Ok(RepositoryStatus {
            name: name.to_owned(),
            id: counted.id,
            hosts: hosts.get(name).into_iter().flatten().cloned().collect(),
            used,
            quota: kept.quota.told(),
            quota_warning: kept.warning(used),
            snapshots: counted.counting,
            uncounted: counted.others,
            newest: counted.newest.map(|(received, _)| received),
            newest_snapshot: counted.newest.map(|(_, id)| id),
            copies: Copies::default(),
            upkeep: upkeep::of(&self.settings, name),
            made: self.made(name),
            verify_within: upkeep::verify_within(&self.settings),
            last_drill: None,
            recovery_seconds: None,
        })
    }

    /// When a repository was made, if its filesystem knows.
    fn made(&self, name: &str) -> Option<Timestamp> {
        Timestamp::try_from(std::fs::metadata(self.repositories.path(name)).ok()?.created().ok()?).ok()
    }

    fn disk(&self) -> Option<Disk> {
        let status = statvfs(&self.settings.data_dir).ok()?;
        let bytes = |blocks: u64| blocks.saturating_mul(status.fragment_size());
        Some(Disk { free: bytes(status.blocks_available()), size: bytes(status.blocks()) })
    }
}

/// The repositories that are seen, by the tokens for them.
fn named(tokens: &[Token], view: &View) -> BTreeSet<String> {
    tokens.iter().filter_map(|token| token.repository.clone()).filter(|name| view.shows(name)).collect()
}

/// The hosts that add to each repository that is seen.
fn hosts(tokens: &[Token], view: &View) -> BTreeMap<String, BTreeSet<String>> {
    let mut hosts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for token in tokens.iter().filter(|token| token.role == Role::Writer) {
        if let Some(repository) = token.repository.as_ref().filter(|name| view.shows(name)) {
            hosts.entry(repository.clone()).or_default().insert(token.name.clone());
        }
    }
    hosts
}

fn at_hub(repository: &RepositoryStatus) -> AtHub {
    let mirrors = repository.upkeep.as_ref().map(|upkeep| upkeep.mirrors.clone()).unwrap_or_default();
    AtHub { name: repository.name.clone(), id: repository.id, newest: repository.newest, mirrors }
}

fn warnings(jobs: &[JobStatus], repositories: &[RepositoryStatus], disk: Option<Disk>, now: Timestamp) -> Vec<Warning> {
    let mut all: Vec<Warning> = jobs.iter().flat_map(|job| warning::of_job(job, now)).collect();
    for repository in repositories {
        let about = |severity, text| Warning { severity, host: None, job: None, repository: Some(repository.name.clone()), text };
        all.extend(repository.quota_warning.iter().map(|text| about(Severity::Warning, text.clone())));
        if repository.newest.is_some() && !repository.copies.enough {
            all.push(about(Severity::Note, format!("fewer copies than 3-2-1 asks for: {}", repository.copies.missing().join(", "))));
        }
        let mirrors = repository.upkeep.iter().flat_map(|upkeep| &upkeep.mirrors);
        let failed = mirrors.filter_map(|mirror| Some(format!("mirror `{}`: {}", mirror.name, mirror.error.as_ref()?)));
        let problems = repository.upkeep.iter().flat_map(|upkeep| upkeep.problems.clone());
        all.extend(failed.chain(problems).map(|text| about(Severity::Warning, text)));
    }
    if let Some(Disk { free, size }) = disk
        && free < size / 100 * FREE
    {
        let text = format!("the hub's disk has {} free of {}", human::size(free), human::size(size));
        all.push(Warning { severity: Severity::Warning, host: None, job: None, repository: None, text });
    }
    all.sort_by_key(|warning| warning.severity);
    all
}
