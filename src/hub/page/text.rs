//! Foreign texts, times and sizes, as pages show them.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::model::human;

/// Letters of a sentence that a list shows; the page of the host has all of it.
const LONGEST: usize = 400;

/// A text of somebody else without what would turn its letters round, hide them, or mean something to a terminal from which it is copied.
pub(super) fn shown(text: &str) -> String {
    let turns = |letter: char| matches!(letter, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    text.chars()
        .map(|letter| match letter {
            '\t' => ' ',
            letter if letter.is_control() || turns(letter) => '\u{fffd}',
            letter => letter,
        })
        .collect()
}

/// The same, and no more of it than a list has room for.
pub(super) fn brief(text: &str) -> String {
    let mut brief = shown(text);
    if let Some((end, _)) = brief.char_indices().nth(LONGEST) {
        brief.truncate(end);
        brief.push('…');
    }
    brief
}

/// A text as a part of a URL's query.
pub(super) fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' => encoded.push(char::from(byte)),
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// A moment in figures.
pub(super) fn moment(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// How long ago something was, or `never`.
pub(super) fn ago(then: Option<Timestamp>, now: Timestamp) -> Markup {
    html! {
        @match then {
            Some(then) => time datetime=(then) title=(moment(then)) { (human::age(then, now)) },
            None => span.never { "never" },
        }
    }
}

/// When something will be: `in 2 hours`; what is due already is so.
pub(super) fn until(then: Timestamp, now: Timestamp) -> Markup {
    let words = human::age(then, now);
    let words = match words.strip_suffix(" from now") {
        Some(length) => format!("in {length}"),
        None if words == "just now" => "now".to_owned(),
        None => format!("due {words}"),
    };
    html! { time datetime=(then) title=(moment(then)) { (words) } }
}

/// Since when something is so: `2 hours`.
pub(super) fn length(since: Timestamp, now: Timestamp) -> Markup {
    let words = human::age(since, now);
    let words = words.strip_suffix(" ago").unwrap_or("a moment");
    html! { time datetime=(since) title=(moment(since)) { (words) } }
}

/// How long something took.
pub(super) fn took(seconds: u64) -> String {
    human::seconds(seconds)
}

/// A number and what it counts: `1 run`, `2 runs`.
pub(super) fn count(number: u64, one: &str) -> String {
    let plural = match one {
        _ if number == 1 => return format!("1 {one}"),
        "copy" => "copies".to_owned(),
        "repository" => "repositories".to_owned(),
        one => format!("{one}s"),
    };
    format!("{number} {plural}")
}
