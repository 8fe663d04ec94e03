//! The first page: how everything fares, in one look.

use std::path::Path;

use maud::{Markup, html};

use super::first_steps::first_steps;
use super::frame::Frame;
use super::mark::Mark;
use super::text::{count, moment};
use super::{jobs, repositories, warnings};
use crate::hub::status::{Severity, State, Status, Warning};

/// The page. `data` is the hub's directory, for who may see the whole hub.
pub(in crate::hub) fn cluster(status: &Status, data: Option<&Path>) -> String {
    let (mark, headline) = headline(status);
    let all: Vec<&Warning> = status.warnings.iter().collect();
    let new = status.jobs.iter().all(|job| job.state == State::Never) && status.repositories.iter().all(|it| it.newest.is_none());
    let main = html! {
        h1.(mark.class()) { (mark.symbol()) " " (headline) }
        @if !status.jobs.is_empty() { p.tally { (tally(status)) } }
        (warnings::warnings(&all, "hosts/"))
        @if new { (first_steps(data)) }
        @if !status.jobs.is_empty() { (jobs::table(status)) }
        @if !status.repositories.is_empty() || !new { (repositories::table(status)) }
    };
    let foot = html! { "As of " time datetime=(status.now) { (moment(status.now)) } ", hearth-backup " (status.program) ". This page asks again every minute." };
    Frame { title: &headline, mark, home: None, between: None, refreshes: true, foot }.around(&main)
}

/// Everything in a sentence.
fn headline(status: &Status) -> (Mark, String) {
    let reported = status.jobs.iter().filter(|job| job.state != State::Never).count() as u64;
    let trouble = status.jobs.iter().filter(|job| job.state.is_trouble()).count() as u64;
    let is = |severity| status.warnings.iter().filter(|warning| warning.severity == severity).count() as u64;
    let all = if reported == 1 { "The only job".to_owned() } else { format!("All {reported} jobs") };
    match (reported, trouble) {
        (0, _) if is(Severity::Error) == 0 => (Mark::Never, "No backups yet".to_owned()),
        (1, 1) => (Mark::Bad, format!("{all} is in trouble")),
        (_, 1..) => (Mark::Bad, format!("{trouble} of {reported} jobs {} in trouble", if trouble == 1 { "is" } else { "are" })),
        _ if is(Severity::Error) > 0 => (Mark::Bad, "Something is wrong at the hub".to_owned()),
        (1, 0) if is(Severity::Warning) > 0 => (Mark::Warning, "The only job runs, with warnings".to_owned()),
        _ if is(Severity::Warning) > 0 => (Mark::Warning, format!("{all} run, with {}", count(is(Severity::Warning), "warning"))),
        (1, _) => (Mark::Good, "The only job is well".to_owned()),
        _ => (Mark::Good, format!("{all} are well")),
    }
}

/// How many jobs are in each state.
fn tally(status: &Status) -> Markup {
    html! {
        @for state in State::ALL {
            @let number = status.jobs.iter().filter(|job| job.state == state).count();
            @if number > 0 { (Mark::from(state).with(&format!("{number} {}", state.as_str()))) " " }
        }
    }
}
