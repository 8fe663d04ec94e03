//! The copies of something against 3-2-1.

use jiff::Timestamp;
use maud::{Markup, html};

use super::mark::Mark;
use super::text::{ago, count, shown};
use crate::hub::status::{Copies, CopyPlace, CopyStatus};

/// Copies that are named.
const NAMED: usize = 8;

/// How many there are, and each with its age.
pub(super) fn copies(copies: &Copies, now: Timestamp) -> Markup {
    let (mark, word) = if copies.enough { (Mark::Good, "3-2-1") } else { (Mark::Warning, "not 3-2-1") };
    html! {
        div.sum { (mark.with(word)) }
        @if !copies.enough { div.small { (copies.missing().join(", ")) } }
        ul.copies {
            @for copy in copies.list.iter().take(NAMED) {
                li { (name(copy)) " " (ago(copy.newest, now)) }
            }
            @if copies.list.len() > NAMED { li { "and " (copies.list.len() - NAMED) " more" } }
        }
    }
}

fn name(copy: &CopyStatus) -> Markup {
    let name = shown(&copy.name);
    let own = name.split_once('/').map_or(name.as_str(), |(_, own)| own);
    let mut about: Vec<String> = copy.media.iter().map(|media| shown(media)).collect();
    if copy.offsite {
        about.push("elsewhere".to_owned());
    }
    let about = about.join(", ");
    html! {
        span.copy title=[(!about.is_empty()).then_some(&about)] {
            @match copy.place {
                CopyPlace::Hub => "hub",
                CopyPlace::Mirror => (name),
                CopyPlace::Host => (own),
            }
        }
    }
}

/// In a sentence: `3 copies on 2 media, one elsewhere`.
pub(super) fn sentence(copies: &Copies) -> String {
    let elsewhere = if copies.offsite { ", one elsewhere" } else { ", none elsewhere" };
    let media = if copies.media == 1 { "one kind".to_owned() } else { format!("{} kinds", copies.media) };
    format!("{} with the live data, on {media} of media{elsewhere}", count(copies.count, "copy"))
}
