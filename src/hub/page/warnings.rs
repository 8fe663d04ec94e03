//! What somebody should look at, the worst first.

use maud::{Markup, html};

use super::mark::Mark;
use super::text::{brief, count, shown};
use crate::hub::status::{Severity, Warning};

/// Warnings that are shown at once; others are a touch away.
const FIRST: usize = 12;
/// Warnings that a page has.
const MOST: usize = 300;

/// A section of them; nothing if there are none. `hosts` is the way to the pages of hosts.
pub(super) fn warnings(all: &[&Warning], hosts: &str) -> Markup {
    let (now, later): (Vec<&Warning>, Vec<&Warning>) = all.iter().partition(|warning| warning.severity != Severity::Note);
    let (first, rest) = now.split_at(now.len().min(FIRST));
    html! {
        @if !all.is_empty() {
            section.warnings aria-labelledby="warnings" {
                h2 #warnings { "To look at" }
                (list(first, hosts))
                @if !rest.is_empty() {
                    details { summary { (rest.len()) " more" } (list(rest, hosts)) }
                }
                @if !later.is_empty() {
                    details { summary { (count(later.len() as u64, "note")) } (list(&later, hosts)) }
                }
            }
        }
    }
}

fn list(warnings: &[&Warning], hosts: &str) -> Markup {
    html! {
        @if !warnings.is_empty() {
            ul {
                @for warning in warnings.iter().take(MOST) {
                    li { (one(warning, hosts)) }
                }
                @if warnings.len() > MOST { li { (warnings.len() - MOST) " are not shown" } }
            }
        }
    }
}

fn one(warning: &Warning, hosts: &str) -> Markup {
    let word = match warning.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    html! {
        (Mark::from(warning.severity).with(word)) " "
        span.about {
            @match (&warning.host, &warning.job, &warning.repository) {
                (Some(host), job, _) => {
                    a href={ (hosts) (host) } { (shown(host)) }
                    @if let Some(job) = job { " " b { (shown(job)) } }
                    ": "
                },
                (None, _, Some(repository)) => { "repository " b { (shown(repository)) } ": " },
                _ => {},
            }
            (brief(&warning.text))
        }
    }
}
