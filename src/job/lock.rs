//! One run of a job at a time: a lock on a file in the job's state, held by the kernel for as long as the process lives.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::JobError;
use crate::content::ContentError;
use crate::model::event::{Event, Monitor};

/// The file.
const FILE: &str = "lock";
/// How often somebody who waits looks again.
const PAUSE: Duration = Duration::from_millis(100);

/// The lock; gone when dropped.
pub struct JobLock(#[allow(dead_code, reason = "held, not used")] Flock<File>);

/// Takes the lock of the job whose state is in `dir`; none if another run has it, with what that run said of itself.
///
/// # Errors
/// If there is no such directory and it cannot be made, or the file in it cannot be locked.
pub fn try_take(dir: &Path) -> Result<Result<JobLock, String>, JobError> {
    let path = dir.join(FILE);
    let failed = |error| JobError::Content(ContentError::file("lock", &path, error));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
    let open = || fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(failed);
    match Flock::lock(open()?, FlockArg::LockExclusiveNonblock) {
        Ok(mut file) => {
            let text = format!("process {} since {:.0}", std::process::id(), Timestamp::now());
            file.set_len(0).and_then(|()| file.write_all(text.as_bytes())).map_err(failed)?;
            Ok(Ok(JobLock(file)))
        }
        Err((mut file, Errno::EWOULDBLOCK)) => {
            let mut text = String::new();
            // Who it is, is only told; that it is there, is known.
            let _ = file.read_to_string(&mut text);
            Ok(Err(if text.is_empty() { "another process".into() } else { text }))
        }
        Err((_, error)) => Err(failed(error.into())),
    }
}

/// Takes the lock of a job; waits for it if that is wanted.
pub(super) fn take(job: &str, dir: &Path, wait: bool, monitor: &dyn Monitor) -> Result<JobLock, JobError> {
    let mut told = false;
    loop {
        match try_take(dir)? {
            Ok(lock) => return Ok(lock),
            Err(who) if !wait => return Err(JobError::Running { job: job.to_owned(), who }),
            Err(who) => {
                if !std::mem::replace(&mut told, true) {
                    monitor.event(Event::info(format!("job {job}"), format!("is run by {who}; waiting for it to end")));
                }
            }
        }
        if monitor.cancelled() {
            return Err(ContentError::Cancelled.into());
        }
        std::thread::sleep(PAUSE);
    }
}
