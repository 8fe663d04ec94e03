//! What all pages have around them: the head with its style, a way home, and what a browser may do with them.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::mark::Mark;

const STYLE: &str = include_str!("style.css");
/// Seconds after which a browser asks again.
const REFRESH: u32 = 60;

/// What a browser may do with a page: apply this style, draw the picture in its tab, and nothing else.
pub(in crate::hub) fn policy() -> &'static str {
    static POLICY: LazyLock<String> = LazyLock::new(|| {
        let style = STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
        format!(
            "default-src 'none'; style-src 'sha256-{style}'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
    });
    &POLICY
}

/// A page.
pub(super) struct Frame<'a> {
    /// What the tab says.
    pub(super) title: &'a str,
    /// The colour of the picture in the tab.
    pub(super) mark: Mark,
    /// The way to the first page; none on it.
    pub(super) home: Option<&'a str>,
    /// What stands between it and this one, if there is something: where that is, and its name.
    pub(super) between: Option<(&'a str, &'a str)>,
    /// Whether it asks again after a while; not where somebody reads.
    pub(super) refreshes: bool,
    /// What stands at the end.
    pub(super) foot: Markup,
}

impl Frame<'_> {
    /// The whole document.
    pub(super) fn around(&self, main: &Markup) -> String {
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    meta name="robots" content="noindex";
                    @if self.refreshes { meta http-equiv="refresh" content=(REFRESH); }
                    title { (self.title) " · hearth-backup" }
                    link rel="icon" href=(picture(self.mark));
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    header {
                        @match self.home {
                            Some(home) => nav aria-label="Way back" {
                                a.home href=(home) { "hearth-backup" }
                                @if let Some((path, name)) = self.between { " / " a href=(path) { (name) } }
                            },
                            None => span.home { "hearth-backup" },
                        }
                    }
                    main { (main) }
                    footer { (self.foot) }
                }
            }
        };
        page.into_string()
    }
}

/// A disc for the tab.
fn picture(mark: Mark) -> String {
    let colour = match mark {
        Mark::Bad | Mark::Late => "c0392b",
        Mark::Warning => "d08700",
        Mark::Good | Mark::Running => "2e8b57",
        Mark::Note | Mark::Never => "808890",
    };
    format!(
        "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Ccircle cx='8' cy='8' r='7' fill='%23{colour}'/%3E%3C/svg%3E"
    )
}
