//! A refusal, for people.

use maud::html;

use super::frame::Frame;
use super::mark::Mark;
use super::text::shown;
use crate::store::hub::protocol::{Reason, Refusal};

/// The page. `home` is the way to the first page.
pub(in crate::hub) fn refused(refusal: &Refusal, home: &str) -> String {
    let headline = match refusal.error {
        Reason::Unauthorized => "Who are you?",
        Reason::Forbidden => "That is not permitted",
        Reason::NotFound | Reason::NoRepository => "Nothing is there",
        Reason::TooMany => "Too many failed logins",
        Reason::Failed => "The hub failed",
        _ => "That did not work",
    };
    let main = html! {
        h1.note { (Mark::Note.symbol()) " " (headline) }
        @if refusal.error == Reason::Unauthorized {
            p { "Sign in with a token as the password; the user name may be anything. On the hub, this makes one that sees everything and changes nothing:" }
            pre { code { "hearth-backup hub token add me --role viewer --data DIR --output me.token" } }
            p.small { (shown(&refusal.message)) }
        } @else {
            p { (shown(&refusal.message)) "." }
        }
        p { a href=(home) { "To the first page" } }
    };
    Frame { title: headline, mark: Mark::Note, home: Some(home), between: None, refreshes: false, foot: html! {} }.around(&main)
}
