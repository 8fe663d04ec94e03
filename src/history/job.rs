//! From the history of a job to how it fares.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Entry, History, JobRepository, JobStatus, Point, RUNS, Run, State, was_done};
use crate::model::id::RepositoryId;
use crate::model::report::{DrillFigures, INTEGRITY_FAILURES, Kind, Outcome, Report, RepositoryRun, SQLITE_COPIES};

/// The shortest and the longest time that a run may be overdue before it is late; between them it is a quarter of the time between two runs.
const GRACE: (SignedDuration, SignedDuration) = (SignedDuration::from_mins(15), SignedDuration::from_hours(24));

/// How many times longer than the longest good run one may take...
const LONGER: i32 = 4;
/// ...and how long any may.
const SHORT: SignedDuration = SignedDuration::from_hours(1);
/// How long a run may take of which nobody knows when the next one is due, or before any was good.
const LONGEST: SignedDuration = SignedDuration::from_hours(7 * 24);

/// How a job fares at a moment.
pub fn of(history: &History, now: Timestamp) -> Option<JobStatus> {
    let newest = history.runs.first()?;
    let last_good = history.runs.iter().find(|entry| was_done(&entry.report));
    let last_success = last_good.map(|entry| ended(entry));
    let running_since = (newest.report.outcome == Outcome::Running).then_some(newest.report.started);
    // A run that is under way says nothing yet of how the job fares.
    let last = history.runs.iter().find(|entry| entry.report.outcome != Outcome::Running).unwrap_or(newest);
    let report = &last.report;
    let deadline = match running_since {
        Some(since) => Some(due_while_running(report, since, &history.runs)),
        None => due(report),
    };
    let late_since = deadline.filter(|due| *due < now);
    // Where nobody knows when the next one is due, that one takes too long is nothing to reckon with.
    let overdue_at = deadline.filter(|_| report.next.is_some());
    let count = |name: &str| report.counts.get(name).copied().unwrap_or(0);
    let state = match running_since {
        Some(_) if late_since.is_none() => State::Running,
        _ => state(report, late_since.is_some()),
    };
    Some(JobStatus {
        host: history.host.clone(),
        kind: report.kind,
        job: Some(report.job.clone()),
        repository: newest.repository.clone(),
        state,
        running_since,
        last_run: Some(run(last)),
        last_success,
        age: last_success.map(|then| seconds(now.duration_since(then))),
        last_good: last_good.map(|entry| run(entry)),
        next: report.next,
        next_by: report.next_by,
        overdue_at,
        late_since,
        awaited_since: None,
        sqlite_copies: count(SQLITE_COPIES),
        integrity_failures: count(INTEGRITY_FAILURES),
        clock_ahead: clock_ahead(last),
        failures: in_a_row(&history.runs, |report| !was_done(report)),
        warnings: in_a_row(&history.runs, |report| was_done(report) && report.outcome == Outcome::Warnings),
        repositories: concerned(&history.runs, last).iter().map(|there| repository(there, &history.runs)).collect(),
        drill: drill_of(&history.runs),
        copies: None,
        trend: history.runs.iter().take(RUNS).rev().map(|entry| point(entry)).collect(),
    })
}

/// A host that has a token and never reported anything.
pub fn never(host: String, repository: String) -> JobStatus {
    JobStatus {
        host,
        kind: Kind::Backup,
        job: None,
        repository,
        state: State::Never,
        running_since: None,
        last_run: None,
        last_success: None,
        age: None,
        last_good: None,
        next: None,
        next_by: None,
        overdue_at: None,
        late_since: None,
        awaited_since: None,
        sqlite_copies: 0,
        integrity_failures: 0,
        clock_ahead: None,
        failures: 0,
        warnings: 0,
        repositories: Vec::new(),
        drill: None,
        copies: None,
        trend: Vec::new(),
    }
}

/// When a restore of a repository was last tried, and worked: of the hub's mirror of that name, or of none.
pub fn last_drill<'j>(
    jobs: impl IntoIterator<Item = &'j JobStatus>,
    repository: Option<RepositoryId>,
    mirror: Option<&str>,
) -> Option<Timestamp> {
    drilled(jobs, repository, mirror).filter_map(|there| there.last_success).max()
}

/// How long everything in a repository would take to come back, in seconds, by the newest drill of that place that worked and could tell.
pub fn recovery<'j>(jobs: impl IntoIterator<Item = &'j JobStatus>, repository: Option<RepositoryId>, mirror: Option<&str>) -> Option<u64> {
    newest_recovery(drilled(jobs, repository, mirror))
}

/// The same of places that drills were of.
pub fn newest_recovery<'j>(drilled: impl Iterator<Item = &'j JobRepository>) -> Option<u64> {
    drilled.filter_map(|there| Some((there.last_success?, there.recovery_seconds?))).max().map(|newest| newest.1)
}

/// A mirror has the id of what it mirrors, so only the name tells them apart.
fn drilled<'j>(
    jobs: impl IntoIterator<Item = &'j JobStatus>,
    repository: Option<RepositoryId>,
    mirror: Option<&str>,
) -> impl Iterator<Item = &'j JobRepository> {
    let drills = jobs.into_iter().filter(|job| job.kind == Kind::Drill).flat_map(|job| &job.repositories);
    drills.filter(move |there| repository.is_some() && there.id == repository && there.mirror.as_deref() == mirror)
}

fn state(report: &Report, late: bool) -> State {
    let somewhere = |outcomes: &[Outcome]| report.repositories.iter().any(|run| outcomes.contains(&run.outcome));
    match report.outcome {
        _ if late => State::Late,
        Outcome::Running => State::Running,
        Outcome::Failure | Outcome::Stopped | Outcome::Killed => State::Failing,
        Outcome::Success | Outcome::Warnings if somewhere(&[Outcome::Failure, Outcome::Killed]) => State::Failing,
        Outcome::Success | Outcome::Warnings if report.problems() > 0 => State::Failing,
        Outcome::Warnings => State::Warnings,
        Outcome::Success => State::Ok,
    }
}

/// Until when the next run should have been reported: when it is due, as long as the last one took, and a grace.
fn due(report: &Report) -> Option<Timestamp> {
    let next = report.next?;
    Some(later(later(next, grace(report, next)), takes(report)))
}

/// Until when a run that is under way should have ended: it may take longer than others, but not for ever.
fn due_while_running(last: &Report, since: Timestamp, runs: &[std::sync::Arc<Entry>]) -> Timestamp {
    // The first full backup takes as long as it takes.
    let good = runs.iter().filter(|entry| was_done(&entry.report)).map(|entry| takes(&entry.report)).max();
    let (Some(next), Some(longest)) = (last.next, good) else { return later(since, LONGEST) };
    let ends = later(later(since, longest.saturating_mul(LONGER).max(SHORT)), grace(last, next));
    due(last).map_or(ends, |due| due.max(ends))
}

fn grace(report: &Report, next: Timestamp) -> SignedDuration {
    (next.duration_since(report.started) / 4).clamp(GRACE.0, GRACE.1)
}

fn takes(report: &Report) -> SignedDuration {
    SignedDuration::try_from(report.duration().unwrap_or(Duration::ZERO)).unwrap_or(SignedDuration::MAX)
}

fn later(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.saturating_add(by).unwrap_or(Timestamp::MAX)
}

/// The repositories that the last run was about. One that came to nothing early, or was killed, may not say: then it was those of the one before.
fn concerned(runs: &[std::sync::Arc<Entry>], last: &Entry) -> Vec<RepositoryRun> {
    let Some(named) = runs.iter().find(|entry| entry.report.outcome != Outcome::Running && !entry.report.repositories.is_empty()) else {
        return last.report.repositories.clone();
    };
    let mut there = named.report.repositories.clone();
    if named.report.id != last.report.id && last.report.outcome != Outcome::Running {
        there.iter_mut().for_each(|run| (run.outcome, run.error) = (last.report.outcome, last.report.error.clone()));
    }
    there
}

/// When a run ended: by the host's clock, but not after the hub heard of it.
fn ended(entry: &Entry) -> Timestamp {
    entry.report.ended.unwrap_or(entry.received).min(entry.received)
}

/// Runs that have ended, from the newest on, as long as they are so.
fn in_a_row(runs: &[std::sync::Arc<Entry>], is_so: impl Fn(&Report) -> bool) -> u64 {
    let ended = runs.iter().map(|entry| &entry.report).filter(|report| report.outcome != Outcome::Running);
    ended.take_while(|report| is_so(report)).count() as u64
}

fn most(report: &Report, of: impl Fn(&RepositoryRun) -> u64) -> u64 {
    report.repositories.iter().map(of).max().unwrap_or(0)
}

fn run(entry: &Entry) -> Run {
    let report = &entry.report;
    Run {
        id: report.id.clone(),
        started: report.started,
        ended: report.ended,
        received: entry.received,
        outcome: report.outcome,
        error: report.error.clone(),
        seconds: report.duration().map(|duration| duration.as_secs()),
        warnings: report.warning_count,
        first_warning: report.warnings.first().cloned(),
        problems: report.problems(),
        files: most(report, |run| run.files),
        bytes: most(report, |run| run.bytes),
        bytes_read: most(report, |run| run.bytes_read),
        bytes_added: most(report, |run| run.bytes_added),
        bytes_stored: most(report, |run| run.bytes_stored),
    }
}

fn point(entry: &Entry) -> Point {
    let report = &entry.report;
    Point {
        started: report.started,
        outcome: report.outcome,
        bytes: most(report, |run| run.bytes),
        bytes_stored: most(report, |run| run.bytes_stored),
    }
}

fn repository(there: &RepositoryRun, runs: &[std::sync::Arc<Entry>]) -> JobRepository {
    let of = |entry: &Entry| entry.report.repositories.iter().find(|run| run.name == there.name).cloned();
    let good = runs.iter().find_map(|entry| Some((entry, of(entry).filter(|run| run.outcome.is_success())?)));
    let (good, figures) = good.unzip();
    let figures = figures.unwrap_or_else(|| there.clone());
    let drill = good.and_then(|entry| entry.report.drill.as_ref());
    JobRepository {
        name: there.name.clone(),
        // A repository that could not be reached may not be known by its id.
        id: there.id.or_else(|| runs.iter().find_map(|entry| of(entry)?.id)),
        copy: there.copy.clone(),
        outcome: there.outcome,
        error: there.error.clone(),
        last_success: good.map(|entry| ended(entry)),
        mirror: drill.and_then(|drill| drill.mirror.clone()),
        recovery_seconds: drill.and_then(|drill| drill.recovery_seconds),
        files: figures.files,
        bytes: figures.bytes,
        bytes_read: figures.bytes_read,
        bytes_added: figures.bytes_added,
        bytes_stored: figures.bytes_stored,
        anomalies: figures.anomalies,
        disk: figures.disk,
    }
}

/// Of the newest drill that restored something, whatever its tests said.
fn drill_of(runs: &[std::sync::Arc<Entry>]) -> Option<DrillFigures> {
    runs.iter().find_map(|entry| entry.report.drill.clone().filter(|drill| drill.bytes_per_second.is_some()))
}

/// How far the clock of the host is ahead: a report is sent as soon as its run has ended. On the host itself both are one clock.
fn clock_ahead(entry: &Entry) -> Option<i64> {
    // Whoever closes the report of a killed run may come long after its end.
    (!entry.repository.is_empty() && entry.report.outcome != Outcome::Killed).then_some(())?;
    Some(entry.report.ended?.duration_since(entry.received).as_secs())
}

/// Whole seconds; none that are negative.
pub fn seconds(time: SignedDuration) -> u64 {
    u64::try_from(time.as_secs()).unwrap_or(0)
}
