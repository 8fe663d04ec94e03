//! Runs that end in a report, whatever becomes of them.

use super::context::Context;
use super::exit::{Exit, explain};
use super::logging;
use super::progress::Progress;
use crate::job::report::{Ending, Reporter, Work};
use crate::model::report::Outcome;

/// What a run has to say of itself so far.
#[derive(Default)]
pub struct Told {
    /// What it did.
    pub work: Work,
    /// How many warnings there were.
    pub warning_count: u64,
    /// The first of them.
    pub warnings: Vec<String>,
}

impl Told {
    /// Takes over what was found on the way.
    pub fn found(&mut self, progress: &Progress) {
        self.warning_count = progress.warnings();
        self.warnings = progress.first_warnings();
    }
}

/// Runs something and reports what became of it; `None` reports nothing, as for a dry run.
///
/// # Errors
/// Those of the run; the report has none.
pub fn reported(
    context: &Context,
    reporter: Option<&Reporter<'_>>,
    run: impl FnOnce(&mut Told) -> anyhow::Result<Exit>,
) -> anyhow::Result<Exit> {
    let mut told = Told::default();
    let result = run(&mut told);
    if let Some(reporter) = reporter {
        let exit = result.as_ref().map_or_else(Exit::of, |exit| *exit);
        let signal = context.interrupt.exit().filter(|_| exit != Exit::Done);
        let outcome = match (signal, exit) {
            (Some(_), _) => Outcome::Stopped,
            (None, Exit::Done) => Outcome::Success,
            (None, Exit::Warnings) => Outcome::Warnings,
            (None, Exit::Failed | Exit::Usage | Exit::Signal(_)) => Outcome::Failure,
        };
        reporter.end(Ending {
            outcome,
            exit_status: signal.unwrap_or(exit).code(),
            error: result.as_ref().err().map(explain),
            work: told.work,
            warning_count: told.warning_count,
            warnings: told.warnings,
            log: logging::tail(),
        });
    }
    result
}
