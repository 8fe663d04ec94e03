//! A row for each job of each host.

use std::collections::HashMap;

use jiff::Timestamp;
use maud::{Markup, html};

use super::copies::copies;
use super::mark::Mark;
use super::sparkline;
use super::text::{ago, count, length, shown, took, until};
use crate::hub::status::{JobStatus, RepositoryStatus, State, Status};
use crate::model::human;
use crate::model::report::Kind;

/// Jobs of one host that the table has: a host that makes up jobs hides no other.
const OF_HOST: usize = 20;

/// The table of all jobs.
pub(super) fn table(status: &Status) -> Markup {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let (mut rows, mut left_out) = (Vec::new(), 0_u64);
    for job in &status.jobs {
        let count = seen.entry(&job.host).or_default();
        *count += 1;
        if *count > OF_HOST { left_out += 1 } else { rows.push(job) }
    }
    html! {
        section aria-labelledby="jobs" {
            h2 #jobs { "Jobs" }
            table.jobs role="table" {
                thead role="rowgroup" {
                    tr role="row" {
                        @for name in ["State", "Host and job", "Last success", "Size", "Added", "Copies", "Checked", "Next run"] {
                            th scope="col" role="columnheader" { (name) }
                        }
                    }
                }
                tbody role="rowgroup" { @for job in rows { (row(job, status)) } }
            }
            @if left_out > 0 { p.small { (count(left_out, "job")) " of hosts with more than " (OF_HOST) " are on the pages of those hosts." } }
        }
    }
}

fn row(job: &JobStatus, status: &Status) -> Markup {
    let now = status.now;
    let good = job.last_good.as_ref();
    let backup = job.kind == Kind::Backup && job.job.is_some();
    html! {
        tr.(Mark::from(job.state).class()) role="row" {
            td.word role="cell" { (state(job)) }
            th.who scope="row" role="rowheader" {
                a href={ "hosts/" (job.host) } { (shown(&job.host)) }
                @if let Some(name) = &job.job { " " (named(job.kind, name)) }
            }
            td role="cell" data-of="Last success" {
                @if job.job.is_some() {
                    div { (ago(job.last_success, now)) }
                    @if let Some(seconds) = good.and_then(|run| run.seconds) { div.small { "took " (took(seconds)) } }
                } @else { span.never { "never reported" } }
            }
            td.figure role="cell" data-of="Size" {
                @if backup && let Some(run) = good {
                    div { (human::size(run.bytes)) }
                    (sparkline::sizes(&job.trend))
                }
            }
            td.figure role="cell" data-of="Added" {
                @if backup && let Some(run) = good {
                    div { (human::size(run.bytes_stored)) }
                    (sparkline::added(&job.trend))
                }
            }
            td.held role="cell" data-of="Copies" {
                @if let Some(there) = &job.copies { (copies(there, now)) }
            }
            td role="cell" data-of="Checked" { @if backup { (checked(job, status)) } }
            td role="cell" data-of="Next run" { (next(job, now)) }
        }
    }
}

/// The state, and for how many runs it has been so.
pub(super) fn state(job: &JobStatus) -> Markup {
    let again = match job.state {
        State::Failing => job.failures,
        State::Warnings => job.warnings,
        _ => 0,
    };
    html! {
        (Mark::from(job.state).with(job.state.as_str()))
        @if again > 1 { div.small { (again) " runs in a row" } }
    }
}

/// A job's name, and what kind of run it is unless it is a backup.
pub(super) fn named(kind: Kind, name: &str) -> Markup {
    html! {
        @if kind != Kind::Backup { span.kind { (kind.as_str()) } " " }
        span.job { (shown(name)) }
    }
}

/// When the next run is due.
pub(super) fn next(job: &JobStatus, now: Timestamp) -> Markup {
    html! {
        @match (job.running_since, job.late_since, job.next) {
            (_, Some(since), _) => { span.late { "late for " (length(since, now)) } },
            (Some(since), None, _) => { "running for " (length(since, now)) },
            (None, None, Some(next)) => (until(next, now)),
            (None, None, None) => @if job.job.is_some() { span.never { "not known" } },
        }
    }
}

/// When what the job saves was last verified here, and a restore of it last tried.
pub(super) fn checked(job: &JobStatus, status: &Status) -> Markup {
    let here = |repository: &&RepositoryStatus| repository.id.is_some() && job.repositories.iter().any(|there| there.id == repository.id);
    let here: Vec<&RepositoryStatus> = status.repositories.iter().filter(here).collect();
    let verified = here.iter().filter_map(|repository| repository.upkeep.as_ref()?.verified).max();
    let drilled = here.iter().filter_map(|repository| repository.last_drill).max();
    html! {
        @if !here.is_empty() {
            div { "verified " (ago(verified, status.now)) }
            div { "drill " (ago(drilled, status.now)) }
        }
    }
}
