//! How this machine fares, by the reports that it keeps: what `status` shows without asking anybody.

use std::io;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::{Reporter, statuses};
use crate::history::{JobStatus, Severity, State, Warning, job, warning};
use crate::model::human;
use crate::model::id::RepositoryId;
use crate::model::report::{Disk, Kind, RepositoryRun};

/// How everything that this machine does fares.
#[derive(Debug, Clone, Serialize)]
pub struct HostStatus {
    /// The machine's clock.
    pub now: Timestamp,
    /// What it is called.
    pub host: String,
    /// The program's version.
    pub program: String,
    /// Whether nothing is late, failing or never ran, and restores were tried as often as they shall be.
    pub healthy: bool,
    /// What somebody should look at, the worst first.
    pub warnings: Vec<Warning>,
    /// Each job, mirror and the like, those in trouble first.
    pub jobs: Vec<JobStatus>,
    /// Each repository, by name.
    pub repositories: Vec<HostRepository>,
    /// State that no job saves.
    pub uncovered: Vec<String>,
}

/// How a repository fares, as far as this machine knows.
#[derive(Debug, Clone, Serialize)]
pub struct HostRepository {
    /// Its name in the configuration.
    pub name: String,
    /// Which one it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<RepositoryId>,
    /// When a job or a mirror last brought something there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest: Option<Timestamp>,
    /// When a restore of it was last tried here, and worked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_drill: Option<Timestamp>,
    /// How long it would take to bring everything back, in seconds, as the newest drill here estimates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery_seconds: Option<u64>,
    /// Room on its disk, if that is one of this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<Disk>,
}

/// Looks how this machine fares.
///
/// # Errors
/// If its reports cannot be read.
pub fn host_status(reporter: &Reporter<'_>) -> io::Result<HostStatus> {
    let now = Timestamp::now();
    let config = reporter.config;
    let mut jobs = statuses(reporter)?;
    jobs.sort_by(|one, other| (one.state, one.kind, &one.job).cmp(&(other.state, other.kind, &other.job)));
    let repositories: Vec<HostRepository> = config.repositories.keys().map(|name| repository(reporter, name, &jobs)).collect();
    let mut warnings: Vec<Warning> = jobs.iter().flat_map(|job| warning::of_job(job, now)).collect();
    warnings.extend(untried(reporter, &repositories, now));
    warnings.sort_by_key(|warning| warning.severity);
    let healthy = warnings.iter().all(|warning| warning.severity != Severity::Error) && !jobs.iter().any(|job| job.state == State::Never);
    let program = env!("CARGO_PKG_VERSION").to_owned();
    Ok(HostStatus {
        now,
        host: reporter.host(),
        program,
        healthy,
        warnings,
        jobs,
        repositories,
        uncovered: config.monitoring.uncovered.clone(),
    })
}

fn repository(reporter: &Reporter<'_>, name: &str, jobs: &[JobStatus]) -> HostRepository {
    let there = |kinds: &'static [Kind]| {
        jobs.iter().filter(move |job| kinds.contains(&job.kind)).flat_map(|job| &job.repositories).filter(move |there| there.name == name)
    };
    let mut now = RepositoryRun::new(name, crate::model::report::Outcome::Success);
    reporter.identify(&mut now);
    let id = now.id.or_else(|| there(&[Kind::Backup, Kind::Mirror, Kind::Drill]).find_map(|there| there.id));
    HostRepository {
        name: name.to_owned(),
        id,
        recovery_seconds: job::newest_recovery(there(&[Kind::Drill])),
        newest: there(&[Kind::Backup, Kind::Mirror]).filter_map(|there| there.last_success).max(),
        last_drill: there(&[Kind::Drill]).filter_map(|there| there.last_success).max(),
        disk: now.disk,
    }
}

/// Repositories of which no restore was tried within the time that the configuration sets.
fn untried(reporter: &Reporter<'_>, repositories: &[HostRepository], now: Timestamp) -> Vec<Warning> {
    let Some(within) = reporter.config.monitoring.drill_within else { return Vec::new() };
    let oldest = within.0.before(now, &TimeZone::UTC);
    let late = repositories.iter().filter(|repository| repository.last_drill.is_none_or(|last| last < oldest));
    late.map(|repository| {
        let last = repository.last_drill.map_or_else(|| "never".to_owned(), |last| human::age(last, now));
        let text = format!("a restore of it was last tried {last}, and shall be within {}", within.0);
        Warning { severity: Severity::Error, host: None, job: None, repository: Some(repository.name.clone()), text }
    })
    .collect()
}
