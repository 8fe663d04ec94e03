//! How much of the machine a run takes. What a thread is bound by, the threads and programs that it starts are bound by too, so this
//! comes first.

use std::io;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::{Pid, gettid};

use crate::config::{IoClass, Limits};
use crate::model::event::{Event, Monitor};
use crate::source::command::Program;

/// Bytes of an answer that are read.
const ANSWER: u64 = 1 << 16;

/// Binds this thread and all that it starts from now on. What the system refuses is a warning.
pub(super) fn apply(limits: &Limits, monitor: &dyn Monitor) {
    let told = |name: &str, done: io::Result<()>| {
        if let Err(error) = done {
            monitor.event(Event::warning(format!("limits.{name}"), format!("cannot be kept ({error}); the job runs without it")));
        }
    };
    let thread = gettid().to_string();
    if let Some(nice) = limits.nice {
        told("nice", run(&["renice", "--priority", &nice.to_string(), "--pid", &thread]));
    }
    if let Some(class) = limits.io {
        let class: &[&str] = match class {
            IoClass::Idle => &["--class", "idle"],
            // The last of the eight levels.
            IoClass::BestEffort => &["--class", "best-effort", "--classdata", "7"],
        };
        told("io", run(&[&["ionice"], class, &["--pid", &thread]].concat()));
    }
    if let Some(threads) = limits.threads {
        told("threads", keep_to(threads));
    }
}

fn run(command: &[&str]) -> io::Result<()> {
    Program::new(command.iter().map(|word| (*word).to_owned()).collect()).output(ANSWER).map(drop)
}

/// Keeps to so many of the processors that may be used now.
fn keep_to(threads: u32) -> io::Result<()> {
    let own = Pid::from_raw(0);
    let allowed = sched_getaffinity(own)?;
    let mut kept = CpuSet::new();
    let usable = (0..CpuSet::count()).filter(|processor| allowed.is_set(*processor).unwrap_or(false));
    for processor in usable.take(usize::try_from(threads).unwrap_or(usize::MAX)) {
        kept.set(processor)?;
    }
    Ok(sched_setaffinity(own, &kept)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::{Collect, Severity};

    /// Limits bind the thread, so each is tried on one of its own.
    fn under(limits: Limits, script: &str) -> (String, Vec<String>) {
        let script = script.to_owned();
        let bound = std::thread::spawn(move || {
            let heard = Collect::default();
            apply(&limits, &heard);
            let said = Program::new(vec!["sh".into(), "-c".into(), script]).output(ANSWER).unwrap();
            (said.trim().to_owned(), heard.findings(Severity::Warning))
        });
        bound.join().unwrap()
    }

    #[test]
    fn programs_that_a_job_starts_are_bound_by_its_limits() {
        let limits = Limits { nice: Some(7), io: Some(IoClass::Idle), threads: Some(1), ..Limits::default() };
        let (said, warnings) = under(limits, "nice; ionice; nproc");
        assert_eq!(said, "7\nidle\n1", "{warnings:?}");
        assert!(warnings.is_empty(), "{warnings:?}");
        let (said, _) = under(Limits { io: Some(IoClass::BestEffort), ..Limits::default() }, "ionice");
        assert_eq!(said, "best-effort: prio 7");
    }

    #[test]
    fn threads_count_the_processors_that_are_left() {
        let counted = std::thread::spawn(|| {
            apply(&Limits { threads: Some(1), ..Limits::default() }, &Collect::default());
            std::thread::spawn(|| std::thread::available_parallelism().unwrap().get()).join().unwrap()
        });
        assert_eq!(counted.join().unwrap(), 1);
    }
}
