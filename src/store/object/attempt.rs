//! Trying again: what may pass is repeated after a pause that grows, and nothing waits for ever.

use std::future::Future;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;

use super::answer::Failure;

/// How often something is tried. With the pauses between them, a server may be away for half a minute.
const ATTEMPTS: u32 = 9;
/// How often, if the server never answered at all: then its address is rather wrong.
const ATTEMPTS_OF_A_STRANGER: u32 = 3;
/// The first pause; each is twice as long as the one before, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What an answer may take besides the time for its bytes.
const ANSWER: Duration = Duration::from_secs(60);
/// The slowest line, in bytes a second, that is not taken for a dead one.
const SLOWEST: u64 = 16 << 10;
/// What a listing counts as, in bytes: up to a hundred pages, each with its answer.
pub(super) const LISTING: u64 = 64 << 20;

/// Runs requests, not too many at once.
pub(super) struct Attempts {
    runtime: Runtime,
    most: usize,
    connections: Semaphore,
    /// Whether the server has ever answered.
    met: AtomicBool,
}

impl Attempts {
    /// At most so many requests at once.
    pub(super) fn new(connections: usize) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(2).thread_name("network").enable_all().build()?;
        let most = connections.max(1);
        Ok(Self { runtime, most, connections: Semaphore::new(most), met: AtomicBool::new(false) })
    }

    /// How many requests may run at once.
    pub(super) fn connections(&self) -> usize {
        self.most
    }

    /// Makes an attempt, which is to move so many bytes, and others while they fail for reasons that may pass. Also says how many it took.
    pub(super) fn run<T, F>(&self, bytes: u64, mut attempt: impl FnMut(u32) -> F) -> (Result<T, Failure>, u32)
    where
        F: Future<Output = opendal::Result<T>>,
    {
        let time = ANSWER + Duration::from_secs(bytes / SLOWEST);
        self.runtime.block_on(async {
            let mut made = 0;
            loop {
                made += 1;
                let result = {
                    // Never closed; without a permit it would only be one connection more.
                    let _permit = self.connections.acquire().await.ok();
                    match tokio::time::timeout(time, attempt(made)).await {
                        Ok(result) => result.map_err(Failure::Answer),
                        Err(_) => Err(Failure::Silence(time)),
                    }
                };
                if result.as_ref().err().is_none_or(Failure::is_answer) {
                    self.met.store(true, Ordering::Relaxed);
                }
                let most = if self.met.load(Ordering::Relaxed) { ATTEMPTS } else { ATTEMPTS_OF_A_STRANGER };
                match result {
                    Err(failure) if failure.may_pass() && made < most => {
                        tracing::debug!("attempt {made} of {most} failed: {failure}");
                        tokio::time::sleep(pause(made, random())).await;
                    }
                    result => return (result, made),
                }
            }
        })
    }
}

/// The pause after so many attempts: at least half of what it may be, so that those who failed together do not come back together.
fn pause(made: u32, random: u64) -> Duration {
    let longest = FIRST_PAUSE.saturating_mul(1 << (made - 1).min(16)).min(LONGEST_PAUSE);
    longest / 2 + (longest / 2).mul_f64(random as f64 / u64::MAX as f64)
}

/// Any number; the standard library seeds its hash tables so.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_differ() {
        assert_eq!(pause(1, 0), FIRST_PAUSE / 2);
        assert_eq!(pause(2, u64::MAX), FIRST_PAUSE * 2);
        assert_eq!(pause(30, u64::MAX), LONGEST_PAUSE);
        assert!(pause(30, 0) < pause(30, u64::MAX / 2));
    }
}
