//! What somebody should look at.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{JobStatus, Run, State};
use crate::model::human;
use crate::model::report::Kind;

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Backups are not made, or soon cannot be.
    Error,
    /// To be looked at.
    Warning,
    /// Good to know.
    Note,
}

/// Something that somebody should look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// How bad it is.
    pub severity: Severity,
    /// The host that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// The repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// A sentence for people.
    pub text: String,
}

/// What somebody should look at in a job.
pub fn of_job(job: &JobStatus, now: Timestamp) -> Vec<Warning> {
    let about = |severity, text| Warning {
        severity,
        host: Some(job.host.clone()),
        job: job.job.clone(),
        repository: Some(job.repository.clone()).filter(|name| !name.is_empty()),
        text,
    };
    let mut found: Vec<Warning> = of_state(job, now).map(|(severity, text)| about(severity, text)).into_iter().collect();
    for there in &job.repositories {
        let suspicious = there.anomalies.iter().map(|anomaly| format!("the newest snapshot in {}: {}", there.name, anomaly.text));
        found.extend(suspicious.map(|text| about(Severity::Warning, text)));
    }
    if job.integrity_failures > 0 {
        let text = format!(
            "{} of its SQLite databases are damaged, as their own check says; the log of the run names them",
            job.integrity_failures
        );
        found.push(about(Severity::Error, text));
    }
    found
}

/// What a run that takes too long is told as.
pub fn endless(job: &JobStatus) -> String {
    let begun = job.running_since.map(|since| format!(" since {since:.0}")).unwrap_or_default();
    format!("a run is under way{begun}, and should have ended by now")
}

/// How many warnings the last run had, and the first of them.
fn warned(last: Option<&Run>) -> String {
    let (count, first) = last.map_or((0, None), |run| (run.warnings, run.first_warning.as_ref()));
    let first = first.map(|first| format!("{}{first}", if count == 1 { ": " } else { ", the first: " })).unwrap_or_default();
    format!("the last run had {count} {}{first}", if count == 1 { "warning" } else { "warnings" })
}

/// What its state says.
fn of_state(job: &JobStatus, now: Timestamp) -> Option<(Severity, String)> {
    let what = match job.kind {
        Kind::Backup => String::new(),
        kind => format!("{kind}: "),
    };
    let since =
        job.last_success.map_or_else(|| "it never succeeded".to_owned(), |then| format!("the last success was {}", human::age(then, now)));
    let last = job.last_run.as_ref();
    let why = || last.and_then(|run| run.error.clone()).map(|why| format!(": {why}")).unwrap_or_default();
    let (severity, text) = match job.state {
        State::Ok | State::Running => return None,
        State::Late if job.running_since.is_some() => (Severity::Error, format!("{}; {since}", endless(job))),
        State::Late => (Severity::Error, format!("no report since it was due; {since}")),
        State::Failing => {
            let outcome = last.map_or("failure", |run| run.outcome.as_str());
            let text = match last.filter(|run| run.outcome.is_success()) {
                Some(run) if run.problems > 0 => format!("the last run found damage{}", why()),
                Some(_) => format!("the last run ended with failure in one of its repositories{}", why()),
                None => format!("the last run ended with {outcome}{}", why()),
            };
            (Severity::Error, format!("{text}; {since}"))
        }
        State::Warnings => (Severity::Warning, format!("{}; {since}", warned(last))),
        State::Never if job.repository.is_empty() => (Severity::Error, "it never ran".to_owned()),
        State::Never => (Severity::Note, "it has a token and never reported a run".to_owned()),
    };
    Some((severity, format!("{what}{text}")))
}
