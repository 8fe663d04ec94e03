//! The process itself: limits, and what happens if the program has a bug.

use std::any::Any;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::exit::Exit;
use crate::report::Verdict;

/// Raises the limit of open files as far as allowed, and makes panics readable.
pub fn prepare() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        // A lower limit only means less speed, so a system that refuses is none of the user's concern.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
    set_hook(Box::new(report));
}

fn report(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map_or_else(String::new, |location| format!(" at {}:{}", location.file(), location.line()));
    tracing::error!(
        "this is a bug in hearth-backup{place}: {}. The repository is as it was, apart from unused data. Please report it with the command you ran",
        message(panic.payload())
    );
}

/// What a panic says.
pub fn message(payload: &dyn Any) -> &str {
    payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// Runs a command; a panic, which has been reported by then, is a failure.
///
/// # Errors
/// As the command.
pub fn guard(command: impl FnOnce() -> anyhow::Result<Exit>) -> anyhow::Result<Exit> {
    catch_unwind(AssertUnwindSafe(command)).unwrap_or(Ok(Exit::Failed))
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// What systemd calls this run of a unit, if it is one (systemd.exec(5)).
pub fn invocation() -> Option<String> {
    variable("INVOCATION_ID")
}

/// What systemd says in ExecStopPost of the run that has ended.
pub fn verdict() -> Verdict {
    Verdict { result: variable("SERVICE_RESULT"), status: variable("EXIT_STATUS"), invocation: invocation() }
}
