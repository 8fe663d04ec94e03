//! Metrics of a host: all that it knows of its runs, brought up to date after each.
//!
//! ```text
//!   STATE/reports --> histories --> page --> the textfile of node_exporter
//!                                     `--> the Pushgateway: a group for each job, one for the rest
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::Reporter;
use crate::config::{Credentials, Pushgateway};
use crate::history::{Copies, JobStatus, Page, State, copies, job, metrics};
use crate::model::report::Kind;
use crate::notify::http::{self, Method};

/// Brings the metrics up to date wherever the configuration wants them. What cannot be done is only said in the log.
pub(super) fn everywhere(reporter: &Reporter<'_>) {
    let monitoring = &reporter.config.monitoring;
    if monitoring.textfile.is_none() && monitoring.pushgateway.is_none() {
        return;
    }
    // Of two runs that end together the later look at the reports is the one that stays.
    let turn = File::create(reporter.state.join("reports/publish.lock")).and_then(|file| file.lock().map(|()| file));
    if let Err(error) = &turn {
        tracing::debug!("metrics are brought up to date without waiting for others: {error}");
    }
    let jobs = match statuses(reporter) {
        Ok(jobs) => jobs,
        Err(error) => return tracing::warn!("metrics are not brought up to date: {error}"),
    };
    if let Some(file) = &monitoring.textfile
        && let Err(error) = write(file, &page(&reporter.host(), jobs.iter()))
    {
        tracing::warn!("the metrics in {} are not brought up to date: {error}", file.display());
    }
    if let Some(gateway) = &monitoring.pushgateway
        && let Err(why) = push(gateway, &reporter.credentials, &reporter.host(), &jobs)
    {
        tracing::warn!("the Pushgateway {} is not told of this run: {why}", gateway.url);
    }
}

/// How everything fares that the configuration names, or that ran on this host and is still named.
///
/// # Errors
/// If the reports cannot be read.
pub fn statuses(reporter: &Reporter<'_>) -> io::Result<Vec<JobStatus>> {
    let now = Timestamp::now();
    let mut jobs: Vec<JobStatus> = reporter.reports().histories()?.iter().filter_map(|history| job::of(history, now)).collect();
    // What the configuration no longer names would be late for ever.
    jobs.retain(|job| is_configured(reporter, job));
    jobs.extend(never(reporter, &jobs));
    let of_jobs: Vec<Option<Copies>> = jobs
        .iter()
        .map(|job| (job.kind == Kind::Backup && job.state != State::Never).then(|| Copies::of(copies::of_host(job, &jobs))))
        .collect();
    jobs.iter_mut().zip(of_jobs).for_each(|(job, copies)| job.copies = copies);
    Ok(jobs)
}

/// What the configuration names and never ran.
fn never(reporter: &Reporter<'_>, jobs: &[JobStatus]) -> Vec<JobStatus> {
    let config = reporter.config;
    let ran = |kind: Kind, name: &str| jobs.iter().any(|job| job.kind == kind && job.job.as_deref() == Some(name));
    let all = [(Kind::Mirror, config.mirrors.keys().collect::<Vec<_>>()), (Kind::Drill, config.drills.keys().collect())];
    let others = all.into_iter().flat_map(|(kind, names)| names.into_iter().map(move |name| (kind, name)));
    let planned = config.jobs.keys().map(|name| (Kind::Backup, name)).chain(others);
    planned
        .filter(|(kind, name)| !ran(*kind, name))
        .map(|(kind, name)| JobStatus { kind, job: Some(name.clone()), ..job::never(reporter.host(), String::new()) })
        .collect()
}

/// Whether the configuration still has what a history is of.
fn is_configured(reporter: &Reporter<'_>, job: &JobStatus) -> bool {
    let (config, name) = (reporter.config, job.job.as_deref().unwrap_or_default());
    match job.kind {
        Kind::Backup => config.jobs.contains_key(name),
        Kind::Mirror => config.mirrors.contains_key(name),
        Kind::Forget | Kind::Prune | Kind::Check | Kind::Maintain => config.repositories.contains_key(name),
        Kind::Drill => config.drills.contains_key(name),
    }
}

fn page<'a>(host: &str, jobs: impl Iterator<Item = &'a JobStatus>) -> String {
    let jobs: Vec<JobStatus> = jobs.cloned().collect();
    let mut page = Page::default();
    let labels = vec![("host", host), ("version", env!("CARGO_PKG_VERSION"))];
    page.gauge("info", "The version of the program.", [(labels, Some(1.0))]);
    metrics::of_jobs(&jobs, &mut page);
    page.into_text()
}

/// Replaces the file; others may read it, and see the old one or the new one.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    // node_exporter passes over names that do not end in .prom.
    let mut file = tempfile::Builder::new().prefix(".").suffix(".tmp").tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

/// Tells a Pushgateway. It overwrites a sample's label `job` by that of its group, so that each job has its own.
fn push(gateway: &Pushgateway, credentials: &Credentials, host: &str, jobs: &[JobStatus]) -> Result<(), String> {
    let begun = Instant::now();
    let patience = gateway.patience();
    let authorization =
        gateway.credentials.as_ref().map(|file| http::basic(file, credentials)).transpose().map_err(|why| why.to_string())?;
    let mut groups: BTreeMap<String, Vec<&JobStatus>> = BTreeMap::new();
    for job in jobs {
        let group = match (job.kind, &job.job) {
            (Kind::Backup, Some(name)) => format!("job/{name}/host/{host}"),
            // No job has this label.
            _ => format!("job/hearth-backup/host/{host}/group/tasks"),
        };
        groups.entry(group).or_default().push(job);
    }
    for (group, jobs) in groups {
        let left = patience.saturating_sub(begun.elapsed());
        if left < Duration::from_millis(1) {
            return Err(format!("it took longer than {} seconds", patience.as_secs()));
        }
        let url = format!("{}/metrics/{group}", gateway.url.trim_end_matches('/'));
        let headers: Vec<(&str, &str)> = authorization.iter().map(|value| ("Authorization", value.as_str())).collect();
        http::send(Method::Put, &url, &headers, &page(host, jobs.into_iter()), left).map_err(|trouble| trouble.to_string())?;
    }
    Ok(())
}
