//! Running the commands around a job.

use std::io;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, bounded};

use crate::config::Hook;
use crate::model::event::{Event, Monitor};
use crate::source::command::{CommandSource, Program};
use crate::source::stream::StreamSource as _;

/// Bytes of a hook's output that are told.
const TOLD: u64 = 1 << 20;
/// How often a hook that takes too long is asked to end.
const INSIST: Duration = Duration::from_millis(100);

/// Runs hooks until one fails. What they write is told, line by line.
pub(super) fn run(hooks: &[Hook], environment: &[(&str, &str)], monitor: &dyn Monitor) -> io::Result<()> {
    hooks.iter().try_for_each(|hook| run_one(hook, environment, monitor))
}

/// Runs all hooks; one that fails is a warning.
pub(super) fn run_all(hooks: &[Hook], environment: &[(&str, &str)], monitor: &dyn Monitor) {
    for hook in hooks {
        if let Err(error) = run_one(hook, environment, monitor) {
            monitor.event(Event::warning("hook", error.to_string()));
        }
    }
}

fn run_one(hook: &Hook, environment: &[(&str, &str)], monitor: &dyn Monitor) -> io::Result<()> {
    let name = hook.command.join(" ");
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let source = CommandSource::from(Program { environment, ..Program::new(hook.command.clone()) });
    let limit = Duration::from_secs(hook.timeout_seconds);
    let (done, watched) = bounded::<()>(0);
    let (output, late) = std::thread::scope(|scope| {
        let watchdog = scope.spawn(|| {
            let mut patience = limit;
            let mut late = false;
            // Again and again, as it may not have been started yet.
            while watched.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
                source.stop();
                (patience, late) = (INSIST, true);
            }
            late
        });
        let output = source.text(TOLD);
        drop(done);
        (output, watchdog.join().unwrap_or(false))
    });
    match output {
        _ if late => Err(io::Error::other(format!("`{name}` took longer than {} seconds and was ended", limit.as_secs()))),
        Ok(text) => {
            text.lines().for_each(|line| monitor.event(Event::info(name.as_str(), line)));
            Ok(())
        }
        Err(error) => Err(error),
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
        let hooks = [hook("echo $HEARTH_JOB is ready", 60), hook("echo broken >&2; exit 4", 60), hook("echo never", 60)];
        let error = run(&hooks, &[("HEARTH_JOB", "state")], &heard).unwrap_err().to_string();
        assert!(error.contains("exit status: 4") && error.contains("broken"), "{error}");
        let said = heard.findings(Severity::Info).join("\n");
        assert!(said.contains("state is ready") && !said.contains("never"), "{said}");
    }

    #[test]
    fn hooks_that_must_all_run_do_so_and_failures_are_warnings() {
        let heard = Collect::default();
        run_all(&[hook("exit 1", 60), hook("echo second", 60)], &[], &heard);
        assert_eq!(heard.findings(Severity::Warning).len(), 1);
        assert!(heard.findings(Severity::Info).iter().any(|line| line.ends_with("second")));
    }

    #[test]
    fn a_hook_that_takes_too_long_is_ended() {
        let error = run(&[Hook { command: vec!["sleep".into(), "1000".into()], timeout_seconds: 0 }], &[], &Collect::default());
        assert!(error.unwrap_err().to_string().contains("took longer than 0 seconds"));
    }
}
