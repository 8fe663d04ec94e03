//! A run that is under way: what is known of it so far lies on the disk, so that a kill takes no more than the last moments.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::{Ending, Reporter, publish, send};
use crate::history::host::{Hold, Reports};
use crate::model::report::{Phase, Report, SourceWarnings};

/// How often it is written what is known so far.
const BEAT: Duration = Duration::from_secs(15);

/// What a run that is under way knows of itself.
#[derive(Debug, Clone, Default)]
pub struct SoFar {
    /// What it did one after the other.
    pub phases: Vec<Phase>,
    /// How many warnings there were.
    pub warning_count: u64,
    /// The first of them.
    pub warnings: Vec<String>,
    /// How many there were of each source.
    pub warnings_by_source: Vec<SourceWarnings>,
    /// The end of the log.
    pub log: Vec<String>,
}

/// Says what a run knows of itself at any moment.
pub type Witness = Arc<dyn Fn() -> SoFar + Send + Sync>;

/// A run whose report says `running`. Dropped without an end, its process is taken for dead.
pub struct Running<'a> {
    reporter: &'a Reporter<'a>,
    report: Report,
    beat: Option<Beat>,
    told: Option<JoinHandle<()>>,
    hold: Option<Hold>,
}

impl<'a> Running<'a> {
    /// Begins: the report is written, and the hub is told by and by. What is wrong with that is only said in the log.
    pub(super) fn begin(reporter: &'a Reporter<'a>, report: Report, witness: &Witness) -> Self {
        let reports = reporter.reports();
        // Held first: a report that says `running` and is not held is that of a dead process.
        let hold = reports.hold(&report).and_then(|hold| reports.write(&report).map(|()| hold));
        let hold = hold.inspect_err(|error| tracing::warn!("the report of this run is not kept: {error}")).ok();
        let beat = hold.is_some().then(|| Beat::start(reports, report.clone(), Arc::clone(witness)));
        let told = send::in_background(reporter, report.clone());
        Self { reporter, report, beat, told, hold }
    }

    /// Ends: the report is kept, the hub is told, and metrics are brought up to date. What cannot be done of that is only said in the log.
    pub fn end(mut self, ending: Ending) {
        // Else an older word could come after this one.
        drop(self.beat.take());
        if let Some(told) = self.told.take() {
            let _ = told.join();
        }
        let report = self.reporter.ended(self.report.clone(), ending);
        if let Err(error) = self.keep(&report) {
            tracing::warn!("the report of this run is not kept: {error}");
        }
        publish::everywhere(self.reporter);
        self.reporter.tell(&report);
    }
}

impl Running<'_> {
    /// Writes the last word, on a full disk into the room that was kept for it.
    fn keep(&self, report: &Report) -> io::Result<()> {
        let reports = self.reporter.reports();
        if report.refused {
            return reports.refuse(report);
        }
        match (reports.write(report), &self.hold) {
            (Err(error), Some(hold)) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
                hold.give_room()?;
                // The log is the longest of it, and systemd has it too.
                reports.write(report).or_else(|_| {
                    reports.write(&Report { log: Vec::new(), warnings: Vec::new(), warnings_by_source: Vec::new(), ..report.clone() })
                })
            }
            (written, _) => written,
        }
    }
}

/// Writes now and then what is known so far, until it is dropped.
struct Beat {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Beat {
    fn start(reports: Reports, report: Report, witness: Witness) -> Self {
        let (stop, stopped) = mpsc::channel();
        let thread = thread::spawn(move || {
            let mut complained = false;
            while stopped.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
                let so_far = with(report.clone(), witness());
                if let Err(error) = reports.write(&so_far)
                    && !std::mem::replace(&mut complained, true)
                {
                    tracing::warn!("the report of this run is not kept up to date: {error}");
                }
            }
        });
        Self { stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn with(mut report: Report, so_far: SoFar) -> Report {
    report.phases = so_far.phases;
    report.warning_count = so_far.warning_count;
    report.warnings = so_far.warnings;
    report.warnings_by_source = so_far.warnings_by_source;
    report.log = so_far.log;
    report
}
