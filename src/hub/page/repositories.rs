//! A row for each repository, and the disk below them.

use maud::{Markup, html};

use super::copies::copies;
use super::mark::Mark;
use super::text::{ago, brief, count, shown, took};
use crate::hub::status::{Disk, RepositoryStatus, Status, Upkeep};
use crate::model::human;

/// Hosts of a repository that are named.
const NAMED: usize = 12;

/// The table of all repositories.
pub(super) fn table(status: &Status) -> Markup {
    html! {
        section aria-labelledby="repositories" {
            h2 #repositories { "Repositories" }
            @if let Some(disk) = status.disk { (room(disk)) }
            @if status.repositories.is_empty() { p { "None yet." } } @else {
                table.repositories role="table" {
                    thead role="rowgroup" {
                        tr role="row" {
                            @for name in ["Repository", "Snapshots", "Used", "Copies", "Verified", "Mirrors"] {
                                th scope="col" role="columnheader" { (name) }
                            }
                        }
                    }
                    tbody role="rowgroup" { @for repository in &status.repositories { (row(repository, status)) } }
                }
            }
        }
    }
}

fn row(repository: &RepositoryStatus, status: &Status) -> Markup {
    let now = status.now;
    let upkeep = repository.upkeep.as_ref();
    html! {
        tr role="row" {
            th.who scope="row" role="rowheader" {
                @if repository.hosts == [repository.name.as_str()] {
                    a href={ "hosts/" (repository.name) } { (shown(&repository.name)) }
                } @else {
                    span { (shown(&repository.name)) }
                    div.small { (hosts(repository)) }
                }
            }
            td role="cell" data-of="Snapshots" {
                @if repository.id.is_some() {
                    div { (repository.snapshots) @if repository.snapshots > 0 { ", newest " (ago(repository.newest, now)) } }
                    @if repository.uncounted > 0 { div.small { (repository.uncounted) " not whole, or not signed" } }
                } @else { span.never { "no repository yet" } }
            }
            td role="cell" data-of="Used" { (used(repository)) }
            td.held role="cell" data-of="Copies" { @if repository.id.is_some() { (copies(&repository.copies, now)) } }
            td role="cell" data-of="Verified" {
                @if repository.id.is_some() {
                    div { "last " (ago(upkeep.and_then(|upkeep| upkeep.verified), now)) }
                    div { "in full " (ago(upkeep.and_then(|upkeep| upkeep.read_in_full), now)) }
                    div { "drill " (ago(repository.last_drill, now)) }
                    @if let Some(seconds) = repository.recovery_seconds { div.small { "all back in about " (took(seconds)) } }
                }
            }
            td.held role="cell" data-of="Mirrors" { @if let Some(upkeep) = upkeep { (mirrors(repository, upkeep, status)) } }
        }
    }
}

fn hosts(repository: &RepositoryStatus) -> Markup {
    let more = repository.hosts.len().saturating_sub(NAMED);
    html! {
        @for (number, host) in repository.hosts.iter().take(NAMED).enumerate() {
            @if number > 0 { ", " }
            a href={ "hosts/" (host) } { (shown(host)) }
        }
        @if more > 0 { " and " (count(more as u64, "other")) }
        @if repository.hosts.is_empty() { "no host" }
    }
}

fn used(repository: &RepositoryStatus) -> Markup {
    let quota = repository.quota.filter(|quota| quota.bytes < u64::MAX);
    html! {
        @match quota {
            Some(quota) => {
                div { (human::size(repository.used.bytes)) " of " (human::size(quota.bytes)) }
                (meter(repository.used.bytes, quota.bytes, repository.quota_warning.is_some()))
            },
            None => { div { (human::size(repository.used.bytes)) } div.small { "no quota" } },
        }
    }
}

fn mirrors(repository: &RepositoryStatus, upkeep: &Upkeep, status: &Status) -> Markup {
    html! {
        ul.copies {
            @for mirror in &upkeep.mirrors {
                li {
                    @let mark = if mirror.error.is_some() { Mark::Warning } else if mirror.last_success.is_some() { Mark::Good } else { Mark::Never };
                    (mark.symbol()) " " span.copy { (shown(&mirror.name)) } " " (ago(mirror.last_success, status.now))
                    @if repository.id.is_some() { div.small { "drill " (ago(mirror.last_drill, status.now)) } }
                    @if let Some(error) = &mirror.error { div.small { (brief(error)) } }
                }
            }
            @if upkeep.mirrors.is_empty() { li.never { "none" } }
        }
    }
}

fn room(disk: Disk) -> Markup {
    let used = disk.size.saturating_sub(disk.free);
    html! {
        div.room {
            span { "Disk: " (human::size(disk.free)) " free of " (human::size(disk.size)) }
            (meter(used, disk.size, disk.free < disk.size / 10))
        }
    }
}

/// A bar that shows how much of something is used. Figures stand beside it.
fn meter(used: u64, all: u64, much: bool) -> Markup {
    let part = if all == 0 { 100.0 } else { (used as f64 / all as f64 * 100.0).clamp(0.0, 100.0) };
    html! {
        svg.meter viewBox="0 0 100 5" preserveAspectRatio="none" width="100" height="5" aria-hidden="true" {
            rect.all width="100" height="5" {}
            rect.used.much[much] width=(format!("{part:.1}")) height="5" {}
        }
    }
}
