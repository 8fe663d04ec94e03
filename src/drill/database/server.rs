//! A server that lives as long as one drill.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::source::confined::Leash;

/// How long a server may take until it answers.
const START: Duration = Duration::from_secs(120);
/// How often it is asked meanwhile, and how often it is looked whether the run is to stop.
const LOOK: Duration = Duration::from_millis(100);
/// Bytes of its log that are told if it does not start, from the end.
const TOLD: u64 = 1500;

/// A server in a sandbox; ended when dropped, and with us.
pub(super) struct Throwaway {
    process: Mutex<Child>,
    log: PathBuf,
}

impl Throwaway {
    /// Starts it, from the thread that keeps it: bubblewrap ends it with that. What it says goes to `log`.
    pub(super) fn start(command: &[String], log: PathBuf) -> Result<Self, String> {
        let failed = |error: io::Error| format!("the throw-away server cannot be started: {error}");
        let file = File::create(&log).map_err(failed)?;
        let (program, arguments) = command.split_first().ok_or("no server was given")?;
        let mut server = Command::new(program);
        server.args(arguments).stdin(Stdio::null()).stdout(file.try_clone().map_err(failed)?).stderr(file);
        Ok(Self { process: Mutex::new(server.spawn().map_err(failed)?), log })
    }

    /// Waits until it answers.
    pub(super) fn wait(&self, answers: &dyn Fn() -> io::Result<()>, stops: &dyn Fn() -> bool) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            let answer = answers();
            let Err(error) = answer else { return Ok(()) };
            let ended = lock(&self.process).try_wait().map_err(|error| error.to_string())?;
            if let Some(status) = ended {
                return Err(format!("the throw-away server does not start ({status}): {}", self.last_words()));
            }
            if stops() {
                return Err("the drill is asked to stop".into());
            }
            if begun.elapsed() >= START {
                let time = START.as_secs();
                return Err(format!("the throw-away server does not answer after {time} seconds ({error}): {}", self.last_words()));
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Works with it; as soon as the run is to stop its clients are ended, and the server.
    pub(super) fn while_watched<R>(&self, clients: &Leash, stops: &(dyn Fn() -> bool + Sync), work: impl FnOnce() -> R) -> R {
        let (done, ended) = channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                    if stops() {
                        clients.end();
                        self.end();
                        return;
                    }
                }
            });
            let result = work();
            drop(done);
            result
        })
    }

    fn last_words(&self) -> String {
        last_words(&self.log)
    }

    fn end(&self) {
        let mut process = lock(&self.process);
        // It may have ended by itself.
        let _ = process.kill();
        let _ = process.wait();
    }
}

/// The end of a log, in one line.
fn last_words(log: &Path) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let from = bytes.len().saturating_sub(usize::try_from(TOLD).unwrap_or(usize::MAX));
    let text = String::from_utf8_lossy(bytes.get(from..).unwrap_or_default()).into_owned();
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" | ")
}

fn lock(process: &Mutex<Child>) -> MutexGuard<'_, Child> {
    process.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Throwaway {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(script: &str, folder: &Path) -> Throwaway {
        Throwaway::start(&["sh", "-c", script].map(str::to_owned), folder.join("log")).unwrap()
    }

    #[test]
    fn a_server_that_ends_early_is_told_with_its_last_words() {
        let folder = tempfile::tempdir().unwrap();
        let server = start("echo no room for shared memory >&2; exit 7", folder.path());
        let error = server.wait(&|| Err(io::Error::other("no socket")), &|| false).unwrap_err();
        assert!(error.contains("exit status: 7") && error.contains("no room for shared memory"), "{error}");
    }

    #[test]
    fn a_server_ends_when_the_run_is_to_stop() {
        let folder = tempfile::tempdir().unwrap();
        let server = start("exec sleep 1000", folder.path());
        assert!(server.wait(&|| Err(io::Error::other("not yet")), &|| true).is_err());
        server.while_watched(&Leash::default(), &|| true, || while lock(&server.process).try_wait().unwrap().is_none() {});
    }
}
