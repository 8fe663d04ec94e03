//! Runs, the newest first, each with what it said.

use std::time::Duration;

use jiff::Timestamp;
use maud::{Markup, html};

use super::mark::Mark;
use super::text::{ago, count, moment, shown, took};
use crate::hub::KeptReport;
use crate::model::human;
use crate::model::report::{DrillFigures, Kind, Report};

/// A list of runs.
pub(super) fn runs(kept: &[KeptReport], now: Timestamp) -> Markup {
    html! {
        @if kept.is_empty() { p.never { "None." } }
        ol.runs reversed {
            @for run in kept { li { (one(&run.report, run.received, now)) } }
        }
    }
}

fn one(report: &Report, received: Timestamp, now: Timestamp) -> Markup {
    let most = |of: fn(&crate::model::report::RepositoryRun) -> u64| report.repositories.iter().map(of).max().unwrap_or(0);
    let saved = report.kind == Kind::Backup && report.repositories.iter().any(|run| run.outcome.is_success());
    html! {
        details {
            summary {
                span.outcome { (Mark::from(report.outcome).with(report.outcome.as_str())) }
                span.when { (ago(Some(report.started), now)) }
                span.long { @if let Some(took_) = report.duration() { "took " (took(took_.as_secs())) } }
                span.size { @if saved { (human::size(most(|run| run.bytes))) } }
                span.size { @if saved { "+ " (human::size(most(|run| run.bytes_stored))) } }
                span.many { @if report.warning_count > 0 { (count(report.warning_count, "warning")) } }
            }
            @if let Some(error) = &report.error { p.error { (shown(error)) } }
            p.small {
                "Began " (moment(report.started))
                @if let Some(ended) = report.ended { ", ended " (moment(ended)) }
                ", reported " (moment(received))
                @if let Some(status) = report.exit_status { ", exit status " (status) }
                ", run " (report.id)
            }
            (places(report))
            @if let Some(drill) = &report.drill { (drilled(drill)) }
            @if !report.counts.is_empty() {
                p.small { @for (number, (name, figure)) in report.counts.iter().enumerate() { @if number > 0 { ", " } (shown(name)) " " (figure) } }
            }
            @if !report.warnings.is_empty() {
                h4 { (count(report.warning_count.max(report.warnings.len() as u64), "warning")) @if report.warning_count > report.warnings.len() as u64 { ", the first of them" } }
                @if report.warnings_by_source.len() > 1 {
                    p.small { @for (number, of) in report.warnings_by_source.iter().enumerate() { @if number > 0 { ", " } (of.warnings) " of " (shown(&of.source)) } }
                }
                ul { @for warning in &report.warnings { li { (shown(warning)) } } }
            }
            @if !report.log.is_empty() {
                h4 { "The end of its log" }
                pre.log tabindex="0" { @for line in &report.log { (shown(line)) "\n" } }
            }
        }
    }
}

/// What a drill found.
fn drilled(drill: &DrillFigures) -> Markup {
    html! {
        p {
            "Restored " (count(drill.files, "file")) " of " (human::size(drill.bytes))
            " in " (human::duration(Duration::from_millis(drill.restore_milliseconds)))
            @if let Some(rate) = drill.bytes_per_second { ", " (human::size(rate)) " a second" }
            @if let Some(seconds) = drill.recovery_seconds {
                "; everything, " (human::size(drill.recovery_bytes)) ", would take about " (took(seconds))
            }
        }
        ul {
            @for test in &drill.tests {
                li { b { (shown(&test.name)) } ": " (test.outcome.as_str()) @if !test.text.is_empty() { ", " (shown(&test.text)) } }
            }
        }
    }
}

fn places(report: &Report) -> Markup {
    html! {
        @if !report.repositories.is_empty() {
            ul {
                @for there in &report.repositories {
                    li {
                        b { (shown(&there.name)) } ": " (there.outcome.as_str())
                        @if there.bytes > 0 {
                            ", " (count(there.files, "file")) " of " (human::size(there.bytes)) ", read " (human::size(there.bytes_read))
                            ", new " (human::size(there.bytes_added)) ", stored " (human::size(there.bytes_stored))
                        }
                        @if let Some(snapshot) = &there.snapshot { ", snapshot " code { (snapshot) } }
                        @if let Some(error) = there.error.as_ref().filter(|error| report.error.as_ref() != Some(*error)) { div.error { (shown(error)) } }
                    }
                }
            }
        }
    }
}
