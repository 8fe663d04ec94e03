//! Tables of how jobs fare, and lines of what to look at.

use jiff::Timestamp;

use crate::cli::render::table::{Align, Table};
use crate::cli::render::text;
use crate::history::{Copies, JobStatus, Run, Severity, Warning};
use crate::model::human;
use crate::model::report::Kind;

/// A name or text of somebody else, as a terminal may see it.
pub fn shown(text: &str) -> String {
    text::path(text.as_bytes())
}

/// Each job, mirror and the like; `of_hub` says whose they are.
pub fn jobs(jobs: &[JobStatus], now: Timestamp, of_hub: bool) -> String {
    let columns = ["HOST", "JOB", "STATE", "LAST SUCCESS", "TOOK", "SIZE", "ADDED", "NEXT", "COPIES"];
    let right = ["TOOK", "SIZE", "ADDED"];
    let columns = columns.map(|name| (name, if right.contains(&name) { Align::Right } else { Align::Left }));
    let mut table = Table::new(&columns).painted("STATE", |state| match state {
        "ok" => "32",
        "running" => "34",
        "warnings" => "33",
        _ => "1;31",
    });
    jobs.iter().for_each(|job| table.row(row(job, now, of_hub)));
    table.render()
}

fn row(job: &JobStatus, now: Timestamp, of_hub: bool) -> Vec<String> {
    let name = job.job.as_deref().map(shown).unwrap_or_default();
    let name = if job.kind == Kind::Backup { name } else { format!("{} {name}", job.kind) };
    let good = job.last_good.as_ref();
    let size = |bytes: fn(&Run) -> u64| good.filter(|_| job.kind == Kind::Backup).map(|run| human::size(bytes(run)));
    let took = good.and_then(|run| run.seconds).map(human::seconds);
    let next = match job.late_since {
        Some(since) => Some(format!("late since {}", text::moment(since))),
        None => job.next.map(|next| human::age(next, now)),
    };
    vec![
        if of_hub { shown(&job.host) } else { String::new() },
        name,
        job.state.as_str().to_owned(),
        job.last_success.map_or_else(|| "never".to_owned(), |then| human::age(then, now)),
        took.unwrap_or_default(),
        size(|run| run.bytes).unwrap_or_default(),
        size(|run| run.bytes_stored).unwrap_or_default(),
        next.unwrap_or_default(),
        job.copies.as_ref().map(copies).unwrap_or_default(),
    ]
}

/// `3 on 2 media, offsite`.
fn copies(copies: &Copies) -> String {
    format!("{} on {} media{}", copies.count, copies.media, if copies.offsite { ", offsite" } else { "" })
}

/// What somebody should look at, a line each.
pub fn warnings(warnings: &[Warning]) -> String {
    let mut text = String::new();
    for warning in warnings {
        let word = match warning.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        };
        let about: Vec<String> = match (&warning.host, &warning.job, &warning.repository) {
            (None, None, Some(repository)) => vec![format!("repository {}", shown(repository))],
            (host, job, _) => host.iter().chain(job).map(|name| shown(name)).collect(),
        };
        let about = if about.is_empty() { String::new() } else { format!("{}: ", about.join("/")) };
        text.push_str(&format!("{word}: {about}{}\n", shown(&warning.text)));
    }
    if text.is_empty() { text } else { format!("\n{text}") }
}
