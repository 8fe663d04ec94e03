//! Runs that end in a report, whatever becomes of them.
//!
//! ```text
//!   reporter --> reported: `running` --> the run --> how it ended: done, warnings, failure, stopped, or a panic --> its report
//! ```

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use jiff::Timestamp;

use super::commands::backup::host_name;
use super::context::Context;
use super::exit::{Exit, explain};
use super::logging;
use super::process;
use super::progress::Progress;
use crate::config::{Config, Credentials};
use crate::drill::DrillError;
use crate::job::JobError;
use crate::model::report::{Kind, Outcome};
use crate::report::{Ending, Reporter, Witness, Work};

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

/// Whoever reports of a run of this configuration. `service` is what its unit is called, for its secrets.
///
/// # Errors
/// If this machine has no name, no place for its state, or what was said about reaching others is wrong.
pub fn reporter<'a>(
    context: &Context,
    config: &'a Config,
    (kind, name): (Kind, &str),
    repositories: Vec<String>,
    service: String,
) -> anyhow::Result<Reporter<'a>> {
    Ok(Reporter {
        config,
        kind,
        name: name.to_owned(),
        repositories,
        host: host_name()?,
        state: context.state_base_of(config)?,
        credentials: Credentials { directory: context.credentials(), service },
        access: context.access()?,
        started: Timestamp::now(),
        invocation: process::invocation(),
    })
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
    let course = Arc::clone(&context.course);
    let witness: Witness = Arc::new(move || course.so_far());
    let Some(running) = reporter.and_then(|reporter| reporter.begin(&witness)) else { return run(&mut told) };
    // Whoever broke off in the middle left nothing that is used again.
    let ended = catch_unwind(AssertUnwindSafe(|| run(&mut told)));
    let (outcome, exit, error) = match &ended {
        Ok(result) => {
            let exit = result.as_ref().map_or_else(Exit::of, |exit| *exit);
            let signal = context.interrupt.exit().filter(|_| exit != Exit::Done);
            let outcome = match (signal, exit) {
                (Some(_), _) => Outcome::Stopped,
                (None, Exit::Done) => Outcome::Success,
                (None, Exit::Warnings) => Outcome::Warnings,
                (None, Exit::Failed | Exit::Usage | Exit::Signal(_)) => Outcome::Failure,
            };
            (outcome, signal.unwrap_or(exit), result.as_ref().err().map(explain))
        }
        Err(panic) => {
            let why = format!("a bug in hearth-backup: {}", process::message(panic.as_ref()));
            (Outcome::Failure, Exit::Failed, Some(why))
        }
    };
    if ended.is_err() {
        let so_far = context.course.so_far();
        (told.warning_count, told.warnings) = (so_far.warning_count, so_far.warnings);
    }
    running.end(Ending {
        outcome,
        exit_status: exit.code(),
        refused: ended.as_ref().is_ok_and(|result| result.as_ref().err().is_some_and(is_refused)),
        error,
        work: told.work,
        warning_count: told.warning_count,
        warnings: told.warnings,
        warnings_by_source: context.course.so_far().warnings_by_source,
        phases: context.course.phases(),
        log: logging::tail(),
    });
    ended.unwrap_or_else(|panic| resume_unwind(panic))
}

/// Whether another run of the same was under way.
fn is_refused(error: &anyhow::Error) -> bool {
    error.chain().any(|error| {
        matches!(error.downcast_ref(), Some(JobError::Running { .. })) || matches!(error.downcast_ref(), Some(DrillError::Running { .. }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::cli::args::Global;
    use crate::cli::console::Console;
    use crate::cli::signals::Interrupt;
    use crate::model::event::{Event, Monitor as _};
    use crate::model::report::Report;

    fn report_of(run: impl FnOnce(&Context, &mut Told) -> anyhow::Result<Exit>) -> (bool, Report) {
        let state = tempfile::tempdir().unwrap();
        let global = Global { state: Some(state.path().to_owned()), ..Global::default() };
        let context = Context { global, console: Console::default(), interrupt: Interrupt::default(), course: Arc::default() };
        let config = Config::default();
        let reporter = reporter(&context, &config, (Kind::Prune, "nas"), Vec::new(), String::new()).unwrap();
        let ended = catch_unwind(AssertUnwindSafe(|| reported(&context, Some(&reporter), |told| run(&context, told))));
        (ended.is_ok(), reporter.reports().newest(Kind::Prune, "nas", 1).unwrap().remove(0))
    }

    #[test]
    fn a_run_that_panics_ends_in_a_report_that_says_so() {
        let (returned, report) = report_of(|context, _| {
            let progress = context.progress()?;
            progress.event(Event::Phase("sweep"));
            progress.event(Event::warning("packs/1", "is odd"));
            panic!("index out of bounds")
        });
        assert!(!returned, "it is passed on");
        assert_eq!((report.outcome, report.exit_status), (Outcome::Failure, Some(1)));
        assert_eq!(report.error.as_deref(), Some("a bug in hearth-backup: index out of bounds"));
        assert_eq!((report.phases[0].name.as_str(), report.warnings), ("sweep", vec!["packs/1: is odd".to_owned()]));
    }

    #[test]
    fn a_run_is_known_from_its_beginning_on() {
        let (returned, report) = report_of(|context, _| {
            let reports = crate::history::host::Reports::new(context.global.state.as_deref().unwrap(), None);
            assert_eq!(reports.newest(Kind::Prune, "nas", 1)?[0].outcome, Outcome::Running);
            assert!(reports.abandoned(Kind::Prune, "nas")?.is_empty(), "it is alive");
            Ok(Exit::Warnings)
        });
        assert!(returned);
        assert_eq!((report.outcome, report.exit_status, report.error), (Outcome::Warnings, Some(3), None));
    }
}
