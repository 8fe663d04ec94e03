//! `status`: how everything fares.

use clap::Args;
use jiff::Timestamp;

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::render::table::{Align, Table};
use crate::cli::render::text;
use crate::hub::status::{Copies, JobStatus, RepositoryStatus, Severity, Status};
use crate::model::human;
use crate::model::report::Kind;
use crate::store::hub::Overview;

/// See how all hosts and jobs fare that report to a hub; ends with 1 if one is late or failing
#[derive(Debug, Args)]
pub struct StatusCommand {
    /// The hub: https://HUB, or ssh://USER@HOST/NAME for what concerns that repository
    #[arg(long, value_name = "URL")]
    hub: String,
}

impl StatusCommand {
    /// Runs the command.
    ///
    /// # Errors
    /// If the hub cannot be asked, or does not let us.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let answer = Overview::new(&self.hub, &context.access()?)?.get("/status")?;
        let status: Status = serde_json::from_slice(&answer)
            .map_err(|error| anyhow::anyhow!("{} does not answer as a hub does ({error}); is the URL right?", self.hub))?;
        context.document(&status)?;
        context.say(&jobs(&status))?;
        context.say(&repositories(&status))?;
        context.say(&warnings(&status))?;
        let trouble = status.jobs.iter().any(|job| job.state.is_trouble());
        Ok(if trouble { Exit::Failed } else { Exit::Done })
    }
}

/// A name or text of somebody else, as a terminal may see it.
fn shown(text: &str) -> String {
    text::path(text.as_bytes())
}

fn jobs(status: &Status) -> String {
    if status.jobs.is_empty() {
        return "No host has reported anything yet\n".to_owned();
    }
    let columns = ["HOST", "JOB", "STATE", "LAST SUCCESS", "TOOK", "SIZE", "ADDED", "NEXT", "COPIES"];
    let right = ["TOOK", "SIZE", "ADDED"];
    let columns = columns.map(|name| (name, if right.contains(&name) { Align::Right } else { Align::Left }));
    let mut table = Table::new(&columns);
    status.jobs.iter().for_each(|job| table.row(row(job, status.now)));
    table.render()
}

fn row(job: &JobStatus, now: Timestamp) -> Vec<String> {
    let name = job.job.as_deref().map(shown).unwrap_or_default();
    let name = if job.kind == Kind::Backup { name } else { format!("{} {name}", job.kind) };
    let good = job.last_good.as_ref();
    let size = |bytes: fn(&crate::hub::status::Run) -> u64| good.filter(|_| job.kind == Kind::Backup).map(|run| human::size(bytes(run)));
    let took = good.and_then(|run| run.seconds).map(|seconds| human::duration(std::time::Duration::from_secs(seconds)));
    let next = match job.late_since {
        Some(since) => Some(format!("late since {}", text::moment(since))),
        None => job.next.map(|next| human::age(next, now)),
    };
    vec![
        shown(&job.host),
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

fn repositories(status: &Status) -> String {
    if status.repositories.is_empty() {
        return String::new();
    }
    let columns = ["REPOSITORY", "HOSTS", "SNAPSHOTS", "NEWEST", "USED", "QUOTA"];
    let right = ["SNAPSHOTS", "USED", "QUOTA"];
    let columns = columns.map(|name| (name, if right.contains(&name) { Align::Right } else { Align::Left }));
    let mut table = Table::new(&columns);
    for RepositoryStatus { name, hosts, snapshots, newest, used, quota, .. } in &status.repositories {
        let quota = quota.filter(|quota| quota.bytes < u64::MAX).map(|quota| human::size(quota.bytes));
        let hosts: Vec<String> = hosts.iter().map(|host| shown(host)).collect();
        let newest = newest.map(|newest| human::age(newest, status.now)).unwrap_or_default();
        table.row([shown(name), hosts.join(", "), snapshots.to_string(), newest, human::size(used.bytes), quota.unwrap_or_default()]);
    }
    let disk = status.disk.map(|disk| format!("The hub's disk has {} free of {}\n", human::size(disk.free), human::size(disk.size)));
    format!("\n{}{}", table.render(), disk.unwrap_or_default())
}

fn warnings(status: &Status) -> String {
    let mut text = String::new();
    for warning in &status.warnings {
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
