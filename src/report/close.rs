//! Runs that ended without a word: killed, out of memory, the power gone. Their reports are closed by whoever comes next.
//!
//! ```text
//!   the next run of the same name --+
//!   `settle` (systemd's ExecStopPost, at once) --+--> killed, with what was known last --> kept, the hub is told
//! ```

use jiff::Timestamp;

use super::{Reporter, publish};
use crate::model::report::{Outcome, Report, WARNINGS};

/// What systemd says of a unit's run that has ended (systemd.exec(5)).
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// SERVICE_RESULT, such as `timeout` or `oom-kill`.
    pub result: Option<String>,
    /// EXIT_STATUS, such as `KILL`.
    pub status: Option<String>,
    /// INVOCATION_ID.
    pub invocation: Option<String>,
}

impl Verdict {
    /// Why the run ended, if it was not by itself.
    fn why(&self) -> Option<String> {
        let signal = self.status.as_deref().filter(|status| !status.bytes().all(|byte| byte.is_ascii_digit())).unwrap_or("a signal");
        Some(match self.result.as_deref()? {
            "timeout" => "systemd ended it: it took longer than its unit may".to_owned(),
            "oom-kill" => "the kernel ended it: there was no memory left".to_owned(),
            "watchdog" => "systemd ended it: it gave no sign of life".to_owned(),
            "signal" => format!("it was ended by {signal}"),
            "core-dump" => format!("it crashed with {signal}"),
            _ => return None,
        })
    }

    /// The exit status of a run that ended by itself.
    fn exit_status(&self) -> Option<u8> {
        let by_itself = matches!(self.result.as_deref()?, "success" | "exit-code");
        self.status.as_deref().filter(|_| by_itself)?.parse().ok()
    }
}

/// Closes the reports of this name whose processes are dead, and tells the hub of them; what they say now.
/// With what systemd says of the run that has just ended, the report of that says why too.
pub fn close(reporter: &Reporter<'_>, verdict: &Verdict) -> Vec<Report> {
    let reports = reporter.reports();
    let abandoned = match reports.abandoned(reporter.kind, &reporter.name) {
        Ok(abandoned) => abandoned,
        Err(error) => {
            tracing::warn!("it cannot be seen whether an earlier run was killed: {error}");
            return Vec::new();
        }
    };
    let is_meant = |report: &Report| verdict.invocation.is_some() && report.invocation == verdict.invocation;
    let mut closed = Vec::new();
    for abandoned in abandoned {
        let is_meant = is_meant(&abandoned.report);
        let ended = if is_meant { Timestamp::now() } else { abandoned.last_sign };
        let mut report = match verdict.exit_status().filter(|_| is_meant) {
            Some(status) => speechless(abandoned.report, ended, status),
            None => killed(abandoned.report, ended, verdict.why().filter(|_| is_meant)),
        };
        report.closed = true;
        // It may be the last word of this machine for long: when the next one is due is known all the same.
        if report.next.is_none() {
            (report.next, report.next_by) = reporter.next().unzip();
        }
        closed.push(report);
    }
    if closed.is_empty()
        && let Some(why) = verdict.why()
    {
        // It could still say how far it had come, but not why.
        let newest = reports.newest(reporter.kind, &reporter.name, 1).unwrap_or_default();
        let stopped = newest.into_iter().filter(|report| is_meant(report) && report.outcome == Outcome::Stopped);
        let unexplained = stopped.filter(|report| !report.error.as_ref().is_some_and(|error| error.starts_with(&why)));
        closed.extend(unexplained.map(|report| {
            let met = report.error.as_ref().map_or_else(String::new, |met| format!(" ({met})"));
            Report { error: Some(format!("{why}{met}")), ..report }
        }));
    }
    // What cannot be kept would be told again by whoever comes next.
    closed.retain(|report| {
        let kept = reports.close(report).inspect_err(|error| tracing::warn!("the report of a run that was killed is not kept: {error}"));
        kept.is_ok()
    });
    for report in &closed {
        let why = report.error.as_deref().unwrap_or_default();
        tracing::warn!("the run of {} `{}` that began at {:.0} ended without a report: {why}", report.kind, report.job, report.started);
    }
    if !closed.is_empty() {
        publish::everywhere(reporter);
        closed.iter().for_each(|report| reporter.tell(report));
    }
    closed
}

/// Of a run that ended by itself and could not say so.
fn speechless(mut report: Report, ended: Timestamp, status: u8) -> Report {
    report.outcome = match status {
        0 | 3 => Outcome::Warnings,
        130 | 143 => Outcome::Stopped,
        _ => Outcome::Failure,
    };
    report.ended = Some(ended.max(report.started));
    report.exit_status = Some(status);
    let why = format!("it ended with status {status}, and its last report could not be written: is the disk of its state full?");
    report.warning_count += 1;
    report.warnings.insert(0, why.clone());
    report.warnings.truncate(WARNINGS);
    report.error = Some(why);
    // What it did there nobody knows.
    let there = if report.outcome.is_success() { Outcome::Stopped } else { report.outcome };
    report.repositories.iter_mut().filter(|run| run.outcome == Outcome::Running).for_each(|run| run.outcome = there);
    report
}

fn killed(mut report: Report, ended: Timestamp, why: Option<String>) -> Report {
    report.outcome = Outcome::Killed;
    report.ended = Some(ended.max(report.started));
    report.error = Some(why.unwrap_or_else(|| "it ended without a word: killed, or the machine went down".to_owned()));
    for run in &mut report.repositories {
        if run.outcome == Outcome::Running {
            run.outcome = Outcome::Killed;
        }
    }
    report
}
