//! Log lines on standard error, in one of three forms.
//!
//! ```text
//!   terminal    warning: /etc/shadow: cannot be read (Permission denied)
//!   journal     <4>/etc/shadow: cannot be read (Permission denied)
//!   elsewhere   2026-11-21T03:16:50Z warning /etc/shadow: cannot be read (Permission denied)
//! ```

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::io;
use std::sync::{Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

use super::console::Console;
use crate::model::report;

/// The newest lines, for the report of a run.
static TAIL: Mutex<VecDeque<String>> = Mutex::new(VecDeque::new());

/// How much to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verbosity {
    /// Warnings and errors.
    Quiet,
    /// What a person wants to know.
    Normal,
    /// What helps to find out why.
    Verbose,
}

/// Starts logging. `HEARTH_LOG` overrides the level, in the syntax of `tracing`'s filters.
pub fn start(console: &Console, verbosity: Verbosity) {
    let level = match verbosity {
        Verbosity::Quiet => "error,hearth_backup=warn",
        Verbosity::Normal => "error,hearth_backup=info",
        Verbosity::Verbose => "warn,hearth_backup=debug",
    };
    let filter = EnvFilter::try_from_env("HEARTH_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let subscriber =
        tracing_subscriber::fmt().with_env_filter(filter).event_format(Lines::detect()).with_writer(ToConsole(console.clone()));
    // Fails only if logging has begun already, which is as good.
    let _ = subscriber.try_init();
}

/// The end of what was logged so far, at most as much as a report holds, with times. Details for finding out why are not among it.
pub fn tail() -> Vec<String> {
    TAIL.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
}

fn remember(level: Level, parts: &Parts) {
    let (word, ..) = naming(level);
    let subject = if parts.subject.is_empty() { String::new() } else { format!("{}: ", printable(&parts.subject)) };
    let mut line = format!("{:.0} {word} {subject}{}{}", jiff::Timestamp::now(), printable(&parts.message), printable(&parts.figures));
    line.truncate(line.floor_char_boundary(report::LONGEST_LINE));
    let mut tail = TAIL.lock().unwrap_or_else(PoisonError::into_inner);
    tail.push_back(line);
    if tail.len() > report::LINES {
        tail.pop_front();
    }
}

/// Word, colour, and the priority that journald takes from the start of a line (sd-daemon(3)).
fn naming(level: Level) -> (&'static str, &'static str, u8) {
    match level {
        Level::ERROR => ("error", "1;31", 3),
        Level::WARN => ("warning", "1;33", 4),
        Level::INFO => ("note", "1;34", 6),
        _ => ("debug", "2", 7),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lines {
    Terminal { colours: bool },
    Journal,
    Plain,
}

impl Lines {
    fn detect() -> Self {
        if Console::error_is_terminal() {
            Lines::Terminal { colours: Console::error_colours() }
        } else if std::env::var_os("JOURNAL_STREAM").is_some() {
            Lines::Journal
        } else {
            Lines::Plain
        }
    }

    fn begin(self, line: &mut Writer<'_>, level: Level) -> fmt::Result {
        let (word, colour, priority) = naming(level);
        match self {
            Lines::Terminal { colours: true } => write!(line, "\x1b[{colour}m{word}:\x1b[0m "),
            Lines::Terminal { colours: false } => write!(line, "{word}: "),
            Lines::Journal => write!(line, "<{priority}>"),
            Lines::Plain => write!(line, "{:.0} {word} ", jiff::Timestamp::now()),
        }
    }
}

/// The parts of an event: what it is about, what is said, and figures.
#[derive(Debug, Default)]
struct Parts {
    subject: String,
    message: String,
    figures: String,
}

impl Visit for Parts {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            "subject" => write!(self.subject, "{value:?}"),
            name => write!(self.figures, " {name}={value:?}"),
        };
    }
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut line: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut parts = Parts::default();
        event.record(&mut parts);
        let level = *event.metadata().level();
        if level <= Level::INFO {
            remember(level, &parts);
        }
        self.begin(&mut line, level)?;
        if !parts.subject.is_empty() {
            write!(line, "{}: ", printable(&parts.subject))?;
        }
        writeln!(line, "{}{}", printable(&parts.message), printable(&parts.figures))
    }
}

/// File names may hold anything, so control characters are spelled out.
fn printable(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] }).collect()
}

struct ToConsole(Console);

/// One line on its way.
struct Line(Console);

impl io::Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.error(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for ToConsole {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_log_is_remembered_and_no_more() {
        for number in 0..report::LINES + 5 {
            remember(Level::WARN, &Parts { message: format!("{number} {}", "é".repeat(report::LONGEST_LINE)), ..Parts::default() });
        }
        let tail = tail();
        assert_eq!(tail.len(), report::LINES);
        assert!(tail.iter().all(|line| line.len() <= report::LONGEST_LINE));
        assert!(tail.last().unwrap().contains(&format!(" warning {} é", report::LINES + 4)), "{:?}", tail.last());
    }

    #[test]
    fn control_characters_never_reach_the_terminal() {
        assert_eq!(printable("a\x1b[2Jb\nc é"), "a\\u{1b}[2Jb\\nc é");
    }
}
