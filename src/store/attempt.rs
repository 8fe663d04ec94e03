//! Trying again: what may pass is repeated after a pause that grows, and nothing waits for ever.

use std::fmt::{self, Display};
use std::future::Future;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::marker::PhantomData;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;

/// Why an attempt failed, as far as it decides whether to try again.
pub(super) trait Failing: From<Silence> {
    /// Whether it may succeed when tried again.
    fn may_pass(&self) -> bool;

    /// Whether there was somebody at the server's address, whatever became of the request.
    fn is_reached(&self) -> bool;

    /// Whether the server said nothing in time.
    fn is_silence(&self) -> bool;
}

/// Nothing was said for so long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Silence(pub(super) Duration);

impl Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no answer for {} seconds", self.0.as_secs())
    }
}

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
async fn within<T, E: From<Silence>>(time: Duration, attempt: impl Future<Output = Result<T, impl Into<E>>>) -> Result<T, E> {
    let (held, begin) = (Held::default(), Instant::now());
    let mut attempt = pin!(HELD.scope(held.clone(), attempt));
    loop {
        let left = (time + held.so_far()).saturating_sub(begin.elapsed());
        if left.is_zero() {
            return Err(Silence(time).into());
        }
        if let Ok(result) = tokio::time::timeout(left, attempt.as_mut()).await {
            return result.map_err(Into::into);
        }
    }
}

/// Runs requests that fail with `E`, not too many at once.
pub(super) struct Attempts<E> {
    runtime: Runtime,
    most: usize,
    connections: Semaphore,
    /// Whether the server has ever answered.
    met: AtomicBool,
    failure: PhantomData<fn() -> E>,
}

impl<E: Failing + Display> Attempts<E> {
    /// At most so many requests at once.
    pub(super) fn new(connections: usize) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(2).thread_name("network").enable_all().build()?;
        let most = connections.max(1);
        Ok(Self { runtime, most, connections: Semaphore::new(most), met: AtomicBool::new(false), failure: PhantomData })
    }

    /// How many requests may run at once.
    pub(super) fn connections(&self) -> usize {
        self.most
    }

    /// Makes an attempt, which is to move so many bytes, and others while they fail for reasons that may pass. Also says how many it took.
    pub(super) fn run<T, F, W>(&self, bytes: u64, mut attempt: impl FnMut(u32) -> F) -> (Result<T, E>, u32)
    where
        F: Future<Output = Result<T, W>>,
        W: Into<E>,
    {
        let time = ANSWER + Duration::from_secs(bytes / SLOWEST);
        self.runtime.block_on(async {
            let (mut made, mut silent) = (0, 0);
            loop {
                made += 1;
                let result = {
                    // Never closed; without a permit it would only be one connection more.
                    let _permit = self.connections.acquire().await.ok();
                    within::<T, E>(time, attempt(made)).await
                };
                if result.as_ref().err().is_none_or(E::is_reached) {
                    self.met.store(true, Ordering::Relaxed);
                }
                let most = if self.met.load(Ordering::Relaxed) { ATTEMPTS } else { ATTEMPTS_OF_A_STRANGER };
                silent += u32::from(result.as_ref().err().is_some_and(E::is_silence));
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
            Ok::<_, Silence>(())
        };
        let ends = |held| runtime.block_on(within::<(), Silence>(Duration::from_millis(5), attempt(held)));
        ends(Duration::from_secs(3600)).unwrap();
        ends(Duration::ZERO).unwrap_err();
    }

    #[test]
    fn pauses_grow_to_a_limit_and_differ() {
        assert_eq!(pause(1, 0), FIRST_PAUSE / 2);
        assert_eq!(pause(2, u64::MAX), FIRST_PAUSE * 2);
        assert_eq!(pause(30, u64::MAX), LONGEST_PAUSE);
        assert!(pause(30, 0) < pause(30, u64::MAX / 2));
    }
}
