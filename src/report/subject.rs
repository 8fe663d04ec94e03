//! What each kind of run did, as its report says it.

use std::collections::BTreeMap;
use std::fmt::Display;

use super::Work;
use crate::content::ContentError;
use crate::job::maintain::Maintained;
use crate::job::{JobError, Outcome as JobOutcome};
use crate::keep::Ended;
use crate::keep::mirror::Mirrored;
use crate::keep::prune::Pruned;
use crate::model::event::Severity;
use crate::model::report::{INTEGRITY_FAILURES, Outcome, PROBLEMS, RepositoryRun, SQLITE_COPIES};
use crate::sealed::verify;
use crate::source::database::sqlite::Integrity;

/// Of a job's run.
pub fn of_run(outcomes: &[JobOutcome]) -> Work {
    let repositories = outcomes.iter().map(|outcome| match &outcome.result {
        Ok(summary) => {
            let counted = &summary.statistics;
            RepositoryRun {
                snapshot: summary.snapshot,
                files: counted.files,
                directories: counted.directories,
                bytes: counted.bytes,
                bytes_read: counted.bytes_read,
                bytes_added: counted.bytes_new,
                bytes_stored: counted.bytes_stored,
                anomalies: summary.anomalies.clone(),
                ..RepositoryRun::new(&outcome.repository, if counted.warnings > 0 { Outcome::Warnings } else { Outcome::Success })
            }
        }
        Err(error) => {
            let stopped = matches!(error, JobError::Content(ContentError::Cancelled));
            let outcome_there = if stopped { Outcome::Stopped } else { Outcome::Failure };
            RepositoryRun { error: Some(error.to_string()), ..RepositoryRun::new(&outcome.repository, outcome_there) }
        }
    });
    let failed: Vec<String> =
        outcomes.iter().filter_map(|outcome| Some(format!("{}: {}", outcome.repository, outcome.result.as_ref().err()?))).collect();
    Work {
        repositories: repositories.collect(),
        counts: sqlite(outcomes),
        drill: None,
        error: (!failed.is_empty()).then(|| failed.join("; ")),
    }
}

/// What became of SQLite databases; each is copied once for all repositories of a job.
fn sqlite(outcomes: &[JobOutcome]) -> BTreeMap<String, u64> {
    let checked: BTreeMap<&str, &Integrity> = outcomes
        .iter()
        .filter_map(|outcome| outcome.result.as_ref().ok())
        .flat_map(|summary| summary.databases.iter().map(|checked| (checked.path.as_str(), &checked.integrity)))
        .collect();
    let count = |is_so: fn(&Integrity) -> bool| checked.values().filter(|integrity| is_so(integrity)).count() as u64;
    let copies =
        count(|integrity| matches!(integrity, Integrity::Ok | Integrity::Unchanged | Integrity::NotChecked | Integrity::Failed { .. }));
    let failures = count(|integrity| matches!(integrity, Integrity::Failed { .. }));
    if checked.is_empty() {
        BTreeMap::new()
    } else {
        [(SQLITE_COPIES, copies), (INTEGRITY_FAILURES, failures)].map(|(name, count)| (name.to_owned(), count)).into()
    }
}

/// Of keeping house in a repository.
pub fn of_maintain(repository: &str, maintained: &Maintained) -> Work {
    let mut work = Work::default();
    let mut failures = Vec::new();
    match &maintained.forget {
        Ended::Done(jobs) => {
            let forgotten = jobs.iter().map(|job| job.forgotten.len() as u64).sum();
            work.counts.insert("snapshots_forgotten".into(), forgotten);
            failures.extend(jobs.iter().filter_map(|job| Some(format!("forget of job {}: {}", job.job, job.error.as_ref()?))));
        }
        Ended::Failed(error) => failures.push(format!("forget: {error}")),
        Ended::NotAsked | Ended::Skipped(_) => {}
    }
    pruned(&maintained.prune, &mut work, &mut failures);
    checked("check", &maintained.check, &mut work, &mut failures);
    finish(work, repository, maintained.repository.id(), failures)
}

/// Of bringing a mirror up to date.
pub fn of_mirror(to: &str, mirrored: &Mirrored) -> Work {
    let mut work = Work::default();
    let mut failures = Vec::new();
    let outcome = &mirrored.outcome;
    for (name, count) in [
        ("snapshots_copied", outcome.snapshots.len() as u64),
        ("snapshots_failed", outcome.failed.len() as u64),
        ("bytes_copied", outcome.bytes + outcome.bytes_picked),
    ] {
        work.counts.insert(name.to_owned(), count);
    }
    match &mirrored.forget {
        Ended::Done(thinned) => {
            work.counts.insert("snapshots_forgotten".into(), thinned.forgotten.len() as u64);
            failures.extend(thinned.error.as_ref().map(|error| format!("forget: {error}")));
        }
        Ended::Failed(error) => failures.push(format!("forget: {error}")),
        Ended::NotAsked | Ended::Skipped(_) => {}
    }
    pruned(&mirrored.prune, &mut work, &mut failures);
    checked("verify", &mirrored.verify, &mut work, &mut failures);
    match &mirrored.repository {
        Some(repository) => finish(work, to, repository.id(), failures),
        None => work,
    }
}

fn pruned<E: Display>(step: &Ended<Pruned, E>, work: &mut Work, failures: &mut Vec<String>) {
    match step {
        Ended::Done(pruned) => {
            work.counts.insert("bytes_freed".into(), pruned.outcome.bytes_freed);
        }
        Ended::Failed(error) => failures.push(format!("prune: {error}")),
        Ended::NotAsked | Ended::Skipped(_) => {}
    }
}

fn checked<E: Display>(name: &str, step: &Ended<verify::Report, E>, work: &mut Work, failures: &mut Vec<String>) {
    match step {
        Ended::Done(report) => {
            let lost = report.problems.iter().filter(|problem| problem.severity == Severity::Error);
            let found: Vec<String> = lost.map(|problem| format!("{}: {}", problem.object, problem.what)).collect();
            work.counts.insert(PROBLEMS.into(), found.len() as u64);
            work.error = damage(&found);
        }
        Ended::Failed(error) => failures.push(format!("{name}: {error}")),
        Ended::NotAsked | Ended::Skipped(_) => {}
    }
}

/// What was found, in a sentence.
pub fn damage(found: &[String]) -> Option<String> {
    let first = found.first()?;
    let (things, more) = if found.len() == 1 { ("thing is", "") } else { ("things are", ", the first") };
    Some(format!("{} {things} damaged or missing{more}: {first}", found.len()))
}

fn finish(mut work: Work, name: &str, id: crate::model::id::RepositoryId, failures: Vec<String>) -> Work {
    let problems = work.counts.get(PROBLEMS).is_some_and(|problems| *problems > 0);
    let outcome = match (failures.is_empty(), problems) {
        (false, _) => Outcome::Failure,
        (true, true) => Outcome::Warnings,
        (true, false) => Outcome::Success,
    };
    work.error = failures.into_iter().chain(work.error).reduce(|all, one| format!("{all}; {one}"));
    work.repositories.push(RepositoryRun { id: Some(id), error: work.error.clone(), ..RepositoryRun::new(name, outcome) });
    work
}
