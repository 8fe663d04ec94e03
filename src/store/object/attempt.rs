//! Trying again: what may pass is repeated after a pause that grows, and nothing waits for ever.

use std::future::Future;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;

use super::answer::Failure;

/// How often something is tried. With the pauses between them, a server may be away for half a minute.
const ATTEMPTS: u32 = 9;
/// How often, if the server never answered at all: then its address is rather wrong.
const ATTEMPTS_OF_A_STRANGER: u32 = 3;
/// How often, if the server says nothing: each time takes long.
const ATTEMPTS_IN_SILENCE: u32 = 3;
/// The first pause; each is twice as long as the one before, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What an answer may take besides the time for its bytes.
pub(super) const ANSWER: Duration = Duration::from_secs(60);
/// The slowest line, in bytes a second, that is not taken for a dead one.
const SLOWEST: u64 = 16 << 10;
/// What a listing counts as, in bytes: up to a hundred pages, each with its answer.
pub(super) const LISTING: u64 = 64 << 20;

tokio::task_local! {
    /// How long the attempt of this task was held back by a pace.
    static HELD: Held;
}

/// Time that no server is to blame for. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Held(Arc<AtomicU64>);

impl Held {
    /// That of the attempt that runs here.
    pub(super) fn here() -> Self {
        HELD.try_with(Self::clone).unwrap_or_default()
    }

    /// Adds some.
    pub(super) fn add(&self, time: Duration) {
        self.0.fetch_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn so_far(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }
}

/// Gives an attempt so much time, and that for which it is held back.
async fn within<T>(time: Duration, attempt: impl Future<Output = opendal::Result<T>>) -> Result<T, Failure> {
    let (held, begin) = (Held::default(), Instant::now());
    let mut attempt = pin!(HELD.scope(held.clone(), attempt));
    loop {
        let left = (time + held.so_far()).saturating_sub(begin.elapsed());
        if left.is_zero() {
            return Err(Failure::Silence(time));
        }
        if let Ok(result) = tokio::time::timeout(left, attempt.as_mut()).await {
            return result.map_err(Failure::Answer);
        }
    }
}

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
            let (mut made, mut silent) = (0, 0);
            loop {
                made += 1;
                let result = {
                    // Never closed; without a permit it would only be one connection more.
                    let _permit = self.connections.acquire().await.ok();
                    within(time, attempt(made)).await
                };
                if result.as_ref().err().is_none_or(Failure::is_reached) {
                    self.met.store(true, Ordering::Relaxed);
                }
                let most = if self.met.load(Ordering::Relaxed) { ATTEMPTS } else { ATTEMPTS_OF_A_STRANGER };
                silent += u32::from(matches!(result, Err(Failure::Silence(_))));
                match result {
                    Err(failure) if failure.may_pass() && made < most && silent < ATTEMPTS_IN_SILENCE => {
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
    fn what_a_pace_holds_back_is_not_taken_for_a_dead_server() {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let attempt = |held| async move {
            Held::here().add(held);
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok(())
        };
        let ends = |held| runtime.block_on(within(Duration::from_millis(5), attempt(held)));
        ends(Duration::from_secs(3600)).unwrap();
        assert!(matches!(ends(Duration::ZERO), Err(Failure::Silence(_))));
    }

    #[test]
    fn pauses_grow_to_a_limit_and_differ() {
        assert_eq!(pause(1, 0), FIRST_PAUSE / 2);
        assert_eq!(pause(2, u64::MAX), FIRST_PAUSE * 2);
        assert_eq!(pause(30, u64::MAX), LONGEST_PAUSE);
        assert!(pause(30, 0) < pause(30, u64::MAX / 2));
    }
}
