//! What the engine tells its callers while it works: typed events. Progress, logs, reports and metrics are folds over
//! them; the library itself prints nothing.

use std::sync::Mutex;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know.
    Info,
    /// The result is complete but something is not as it should be, or one part could not be handled (exit status 3).
    Warning,
    /// Something is lost or wrong.
    Error,
}

/// One thing that happened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A phase begins; the word is stable, such as `scan`, `verify`, `restore`.
    Phase(&'static str),
    /// So much is expected in this phase, as far as known.
    Expect {
        /// Entries.
        files: u64,
        /// Bytes.
        bytes: u64,
    },
    /// Work done since the last such event.
    Progress {
        /// Entries finished.
        files: u64,
        /// Bytes read or written.
        bytes: u64,
    },
    /// What is worked on now.
    Current(String),
    /// Something a person should know; `subject` is the path or object.
    Finding {
        /// How much it matters.
        severity: Severity,
        /// The path or object.
        subject: String,
        /// What, why, and what to do.
        message: String,
    },
}

impl Event {
    /// A warning about `subject`.
    pub fn warning(subject: impl Into<String>, message: impl Into<String>) -> Self {
        Event::Finding { severity: Severity::Warning, subject: subject.into(), message: message.into() }
    }

    /// An error about `subject`.
    pub fn error(subject: impl Into<String>, message: impl Into<String>) -> Self {
        Event::Finding { severity: Severity::Error, subject: subject.into(), message: message.into() }
    }

    /// A note about `subject`.
    pub fn info(subject: impl Into<String>, message: impl Into<String>) -> Self {
        Event::Finding { severity: Severity::Info, subject: subject.into(), message: message.into() }
    }
}

/// Receives events, from many threads.
pub trait Monitor: Send + Sync {
    /// Takes one event. Must be quick.
    fn event(&self, event: Event);

    /// Whether the run shall stop soon; engines ask between units of work.
    fn cancelled(&self) -> bool {
        false
    }
}

/// A monitor that ignores everything.
#[derive(Debug, Default, Clone, Copy)]
pub struct Silent;

impl Monitor for Silent {
    fn event(&self, _: Event) {}
}

/// A monitor that keeps all findings.
#[derive(Debug, Default)]
pub struct Collect(Mutex<Vec<Event>>);

impl Collect {
    /// The findings so far, as `subject: message`, at least as severe as `from`.
    pub fn findings(&self, from: Severity) -> Vec<String> {
        let events = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        events
            .iter()
            .filter_map(|event| match event {
                Event::Finding { severity, subject, message } if *severity >= from => Some(format!("{subject}: {message}")),
                _ => None,
            })
            .collect()
    }
}

impl Monitor for Collect {
    fn event(&self, event: Event) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(event);
    }
}
