//! Running the commands around a job.

use std::io::{self, Read};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, bounded};
use serde::Serialize;

use crate::config::Hook;
use crate::model::event::{Event, Monitor};
use crate::source::command::{CommandSource, Program};
use crate::source::stream::StreamSource as _;

/// Bytes of a hook's output that are kept, from its end.
const KEPT: usize = 16 << 10;
/// How often it is looked whether a hook is to be ended.
const LOOK: Duration = Duration::from_millis(100);

/// What became of one command around a job.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HookReport {
    /// Which list it stands in, such as `before` or `quiesce`.
    pub when: &'static str,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// `success`, `failure` or `timeout`.
    pub outcome: &'static str,
    /// Whole seconds and fraction that it took.
    pub seconds: f64,
    /// The end of what it wrote on standard output.
    pub output: String,
    /// Why it failed, with the end of what it wrote on standard error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What became of the commands around a job, in the order in which they ended.
#[derive(Debug, Default)]
pub struct HookLog(Mutex<Vec<HookReport>>);

impl HookLog {
    /// The reports so far.
    pub fn reports(&self) -> Vec<HookReport> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn add(&self, report: HookReport) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(report);
    }
}

/// Runs hooks until one fails. What they write is told, line by line.
pub(super) fn run(
    when: &'static str,
    hooks: &[Hook],
    environment: &[(&str, &str)],
    log: &HookLog,
    monitor: &dyn Monitor,
) -> io::Result<()> {
    hooks.iter().try_for_each(|hook| run_one(when, hook, environment, log, monitor))
}

/// Runs all hooks; one that fails is a warning.
pub(super) fn run_all(when: &'static str, hooks: &[Hook], environment: &[(&str, &str)], log: &HookLog, monitor: &dyn Monitor) {
    for hook in hooks {
        if let Err(error) = run_one(when, hook, environment, log, monitor) {
            monitor.event(Event::warning("hook", error.to_string()));
        }
    }
}

fn run_one(when: &'static str, hook: &Hook, environment: &[(&str, &str)], log: &HookLog, monitor: &dyn Monitor) -> io::Result<()> {
    let name = hook.command.join(" ");
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let program = Program { environment, ..Program::new(hook.command.clone()) };
    // Others bring something to its end, and are not ended by a signal to us.
    let ends_with_run = when == "before";
    let Timed { result, late, output, took } =
        run_timed(program, &name, Duration::from_secs(hook.timeout_seconds), &|| ends_with_run && monitor.cancelled());
    output.lines().for_each(|line| monitor.event(Event::info(name.as_str(), line)));
    let outcome = match &result {
        _ if late => "timeout",
        Ok(()) => "success",
        Err(_) => "failure",
    };
    let error = result.as_ref().err().map(ToString::to_string);
    log.add(HookReport { when, command: hook.command.clone(), outcome, seconds: took.as_secs_f64(), output, error });
    result
}

/// How a program ended that had so long.
#[derive(Debug)]
pub struct Timed {
    /// Whether it ended well.
    pub result: io::Result<()>,
    /// Whether it was ended because its time was up.
    pub late: bool,
    /// The end of what it wrote on standard output.
    pub output: String,
    /// How long it took.
    pub took: Duration,
}

/// Runs a program that has so long, and ends it with all that it has started if it takes longer or `stop` says so; messages call it `name`.
pub fn run_timed(program: Program, name: &str, limit: Duration, stop: &(dyn Fn() -> bool + Sync)) -> Timed {
    let source = CommandSource::from(Program { leaves_others: true, ..program });
    let begun = Instant::now();
    let (done, watched) = bounded::<()>(0);
    let (ended, output, late) = std::thread::scope(|scope| {
        let watchdog = scope.spawn(|| {
            let (mut patience, mut late) = (LOOK.min(limit), false);
            // Again and again, as it may not have been started yet, or not listen.
            while watched.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
                late |= begun.elapsed() >= limit;
                if late || stop() {
                    source.stop();
                }
                patience = LOOK;
            }
            late
        });
        let mut output = Vec::new();
        let ended = source.open().and_then(|stream| read_end(stream, &mut output));
        drop(done);
        (ended, output, watchdog.join().unwrap_or(false))
    });
    let result = match ended {
        _ if late => Err(io::Error::other(format!("`{name}` took longer than {} seconds and was ended", limit.as_secs()))),
        ended => ended,
    };
    Timed { result, late, output: String::from_utf8_lossy(&output).into_owned(), took: begun.elapsed() }
}

/// Reads a stream to its end and keeps the last of it, also if it does not end well.
fn read_end(mut stream: Box<dyn Read + Send>, kept: &mut Vec<u8>) -> io::Result<()> {
    let mut piece = vec![0; KEPT];
    loop {
        let read = stream.read(&mut piece)?;
        if read == 0 {
            return Ok(());
        }
        kept.extend_from_slice(piece.get(..read).unwrap_or_default());
        let over = kept.len().saturating_sub(KEPT);
        kept.drain(..over);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::{Collect, Severity};

    fn hook(script: &str, timeout_seconds: u64) -> Hook {
        Hook { command: ["sh", "-c", script].map(str::to_owned).to_vec(), timeout_seconds }
    }

    #[test]
    fn what_a_hook_writes_is_told_and_the_first_failure_ends_the_row() {
        let heard = Collect::default();
        let hooks = [hook("echo $HEARTH_JOB is ready", 60), hook("echo half; echo broken >&2; exit 4", 60), hook("echo never", 60)];
        let log = HookLog::default();
        let error = run("before", &hooks, &[("HEARTH_JOB", "state")], &log, &heard).unwrap_err().to_string();
        assert!(error.contains("exit status: 4") && error.contains("broken"), "{error}");
        let said = heard.findings(Severity::Info).join("\n");
        assert!(said.contains("state is ready") && !said.contains("never"), "{said}");
        let reports = log.reports();
        assert_eq!(
            reports.iter().map(|report| (report.when, report.outcome)).collect::<Vec<_>>(),
            [("before", "success"), ("before", "failure")]
        );
        assert_eq!((reports[0].output.as_str(), reports[1].output.as_str()), ("state is ready\n", "half\n"));
        assert!(reports[0].error.is_none() && reports[1].error.as_ref().unwrap().contains("broken"));
    }

    #[test]
    fn hooks_that_must_all_run_do_so_and_failures_are_warnings() {
        let heard = Collect::default();
        run_all("always", &[hook("exit 1", 60), hook("echo second", 60)], &[], &HookLog::default(), &heard);
        assert_eq!(heard.findings(Severity::Warning).len(), 1);
        assert!(heard.findings(Severity::Info).iter().any(|line| line.ends_with("second")));
    }

    #[test]
    fn a_hook_that_takes_too_long_is_ended() {
        let log = HookLog::default();
        let hooks = [Hook { command: vec!["sleep".into(), "1000".into()], timeout_seconds: 0 }];
        let error = run("before", &hooks, &[], &log, &Collect::default());
        assert!(error.unwrap_err().to_string().contains("took longer than 0 seconds"));
        assert_eq!(log.reports()[0].outcome, "timeout");
    }

    #[test]
    fn a_hook_that_does_not_listen_is_ended_with_all_that_it_started() {
        let log = HookLog::default();
        let error = run("before", &[hook("trap '' TERM; sleep 1000 & wait", 0)], &[], &log, &Collect::default());
        assert!(error.unwrap_err().to_string().contains("took longer than 0 seconds"));
        assert_eq!(log.reports()[0].outcome, "timeout");
    }

    #[test]
    fn a_hook_is_not_waited_for_longer_because_it_left_something_running() {
        let (log, folder) = (HookLog::default(), tempfile::tempdir().unwrap());
        let pid = folder.path().join("pid");
        let script = format!("sleep 1000 & echo $! > {}; echo is started", pid.display());
        run("before", &[hook(&script, 600)], &[], &log, &Collect::default()).unwrap();
        assert_eq!((log.reports()[0].outcome, log.reports()[0].output.as_str()), ("success", "is started\n"));
        let pid = std::fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).expect("it goes on");
    }

    #[test]
    fn of_a_hook_that_writes_much_the_end_is_kept() {
        let log = HookLog::default();
        run("before", &[hook("head -c 100000 /dev/zero | tr '\\0' x; echo; echo last", 60)], &[], &log, &Collect::default()).unwrap();
        let output = log.reports()[0].output.clone();
        assert!(output.len() == KEPT && output.ends_with("x\nlast\n"), "{}", output.len());
    }
}
