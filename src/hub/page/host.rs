//! The page of a host: how each of its jobs fares, and what became of the last runs.

use maud::{Markup, html};

use super::copies::{copies, sentence};
use super::frame::Frame;
use super::mark::Mark;
use super::runs::runs;
use super::text::{ago, brief, count, encoded, moment, shown, took};
use super::{jobs, sparkline, warnings};
use crate::hub::KeptReport;
use crate::hub::status::{JobRepository, JobStatus, Status, Warning};
use crate::model::human;
use crate::model::report::Kind;

/// A host, or one job of it, with the runs of each.
pub(in crate::hub) struct HostRuns {
    /// The host.
    pub(in crate::hub) host: String,
    /// The job, if only one is meant.
    pub(in crate::hub) job: Option<String>,
    /// Each job with its newest runs; none where there was no room for more.
    pub(in crate::hub) jobs: Vec<(JobStatus, Option<Vec<KeptReport>>)>,
}

/// The page.
pub(in crate::hub) fn host(status: &Status, shows: &HostRuns) -> String {
    let HostRuns { host, job, jobs } = shows;
    let meant = |warning: &&Warning| warning.host.as_ref() == Some(host) && (job.is_none() || warning.job == *job);
    let about: Vec<&Warning> = status.warnings.iter().filter(meant).collect();
    let mark = jobs.iter().map(|(job, _)| job.state).min().map_or(Mark::Never, Mark::from);
    let name = job.as_ref().map_or_else(|| shown(host), |job| format!("{} {}", shown(host), shown(job)));
    let between = job.is_some().then_some((host.as_str(), host.as_str()));
    let main = html! {
        h1.(mark.class()) { (mark.symbol()) " " (name) }
        (warnings::warnings(&about, ""))
        @for (one, runs) in jobs { (section(one, runs.as_deref(), status, job.is_some())) }
    };
    let foot = html! { "As of " time datetime=(status.now) { (moment(status.now)) } ", hearth-backup " (status.program) ". What runs say, the host says of itself." };
    Frame { title: &name, mark, home: Some("../"), between, refreshes: false, foot }.around(&main)
}

fn section(job: &JobStatus, kept: Option<&[KeptReport]>, status: &Status, alone: bool) -> Markup {
    let name = job.job.as_deref();
    html! {
        section.one {
            h2 {
                @match name {
                    Some(name) => (jobs::named(job.kind, name)),
                    None => "It has a token, and never reported a run",
                }
                " " (Mark::from(job.state).with(job.state.as_str()))
            }
            @if let Some(name) = name {
                (facts(job, status))
                @if job.repositories.len() > 1 || job.repositories.iter().any(|there| there.error.is_some()) { (places(job, status)) }
                h3 { "Runs" }
                @match kept {
                    Some(kept) => (runs(kept, status.now)),
                    None => p.small { "There are too many jobs to show the runs of all." },
                }
                @if !alone { p { a href={ "?job=" (encoded(name)) } { "More runs of " (shown(name)) } } }
            }
        }
    }
}

fn facts(job: &JobStatus, status: &Status) -> Markup {
    let now = status.now;
    let good = job.last_good.as_ref();
    let backup = job.kind == Kind::Backup;
    html! {
        dl.facts {
            div {
                dt { "Last success" }
                dd {
                    (ago(job.last_success, now))
                    @if let Some(then) = job.last_success { div.small { (moment(then)) } }
                    @if let Some(seconds) = good.and_then(|run| run.seconds) { div.small { "took " (took(seconds)) } }
                }
            }
            div { dt { "Next run" } dd { (jobs::next(job, now)) } }
            @if backup && let Some(run) = good {
                div { dt { "Size" } dd { (human::size(run.bytes)) " in " (count(run.files, "file")) (sparkline::sizes(&job.trend)) } }
                div { dt { "Added" } dd { (human::size(run.bytes_stored)) (sparkline::added(&job.trend)) } }
            }
            @if let Some(there) = &job.copies {
                div { dt { "Copies" } dd { (copies(there, now)) div.small { (sentence(there)) } } }
            }
            @let checked = jobs::checked(job, status);
            @if backup && !checked.0.is_empty() { div { dt { "Checked" } dd { (checked) } } }
        }
    }
}

/// How the last run ended in each repository.
fn places(job: &JobStatus, status: &Status) -> Markup {
    let row = |there: &JobRepository| {
        html! {
            tr role="row" {
                th.who scope="row" role="rowheader" { (shown(&there.name)) }
                td role="cell" data-of="Last run" {
                    (Mark::from(there.outcome).with(there.outcome.as_str()))
                    @if let Some(error) = &there.error { div.small { (brief(error)) } }
                }
                td role="cell" data-of="Last success" { (ago(there.last_success, status.now)) }
                td role="cell" data-of="Added" { (human::size(there.bytes_stored)) }
            }
        }
    };
    html! {
        table.places role="table" {
            thead role="rowgroup" {
                tr role="row" {
                    @for name in ["Repository", "Last run", "Last success", "Added"] { th scope="col" role="columnheader" { (name) } }
                }
            }
            tbody role="rowgroup" { @for there in &job.repositories { (row(there)) } }
        }
    }
}
