//! Marks: a symbol, a colour and a word for how something fares. The symbols differ in shape, for those who see no colours.

use maud::{Markup, PreEscaped, html};

use crate::hub::status::{Severity, State};
use crate::model::report::Outcome;

/// How something fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Bad,
    Late,
    Warning,
    Note,
    Running,
    Never,
    Good,
}

impl Mark {
    /// The class that gives it its colour.
    pub(super) const fn class(self) -> &'static str {
        match self {
            Mark::Bad => "bad",
            Mark::Late => "late",
            Mark::Warning => "warning",
            Mark::Note => "note",
            Mark::Running => "running",
            Mark::Never => "never",
            Mark::Good => "good",
        }
    }

    /// What is drawn, in a square of 16.
    const fn drawing(self) -> &'static str {
        match self {
            Mark::Bad => r#"<path class="full" d="M5 1h6l4 4v6l-4 4H5l-4-4V5z"/><path class="cut" d="M5.3 5.3l5.4 5.4m0-5.4l-5.4 5.4"/>"#,
            Mark::Late => r#"<circle class="line" cx="8" cy="8" r="6.2"/><path class="line" d="M8 4.4V8l2.6 1.7"/>"#,
            Mark::Warning => r#"<path class="full" d="M8 1.2L15.4 14.6H.6z"/><path class="cut" d="M8 6v4m0 1.7v.9"/>"#,
            Mark::Note => r#"<circle class="line" cx="8" cy="8" r="6.2"/><path class="line" d="M8 7.3v4M8 4.6v.6"/>"#,
            Mark::Running => r#"<circle class="line" cx="8" cy="8" r="6.2"/><path class="full" d="M6.3 4.9v6.2L11.3 8z"/>"#,
            Mark::Never => r#"<circle class="line dashed" cx="8" cy="8" r="6.2"/>"#,
            Mark::Good => r#"<circle class="full" cx="8" cy="8" r="7"/><path class="cut" d="M4.6 8.3l2.4 2.3 4.4-4.8"/>"#,
        }
    }

    /// Its symbol.
    pub(super) fn symbol(self) -> Markup {
        html! { svg.mark.(self.class()) viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" { (PreEscaped(self.drawing())) } }
    }

    /// Its symbol and a word.
    pub(super) fn with(self, word: &str) -> Markup {
        html! { span.state.(self.class()) { (self.symbol()) " " (word) } }
    }
}

impl From<State> for Mark {
    fn from(state: State) -> Self {
        match state {
            State::Failing => Mark::Bad,
            State::Late => Mark::Late,
            State::Never => Mark::Never,
            State::Warnings => Mark::Warning,
            State::Running => Mark::Running,
            State::Ok => Mark::Good,
        }
    }
}

impl From<Outcome> for Mark {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Running => Mark::Running,
            Outcome::Success => Mark::Good,
            Outcome::Warnings => Mark::Warning,
            Outcome::Failure | Outcome::Stopped | Outcome::Killed => Mark::Bad,
        }
    }
}

impl From<Severity> for Mark {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Error => Mark::Bad,
            Severity::Warning => Mark::Warning,
            Severity::Note => Mark::Note,
        }
    }
}
