//! A pace: at most so many bytes a second, whoever moves them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What may be moved at once after a pause, in seconds' worth.
const BURST: Duration = Duration::from_millis(100);
/// How often somebody who waits looks whether he shall go on waiting.
pub const LOOK: Duration = Duration::from_millis(100);
/// The smallest stretch that is moved at once, in bytes.
const SMALLEST: u64 = 1 << 10;

/// Shared by all that move bytes.
#[derive(Debug)]
pub struct Pace {
    /// Bytes a second.
    rate: u64,
    /// When all that was promised so far is done.
    free: Mutex<Option<Instant>>,
    /// Whether nobody waits any more.
    released: AtomicBool,
    /// What releases it too once it is no longer zero.
    signal: Option<Arc<AtomicUsize>>,
}

impl Pace {
    /// A pace of so many bytes a second, at least one.
    pub fn new(rate: u64) -> Self {
        Self { rate: rate.max(1), free: Mutex::new(None), released: AtomicBool::new(false), signal: None }
    }

    /// One that is released, too, as soon as a number is not zero: that of the signal that asked the process to stop.
    #[must_use]
    pub fn released_by(self, signal: Option<Arc<AtomicUsize>>) -> Self {
        Self { signal, ..self }
    }

    /// Bytes to move at once, at most `most`, so that they flow instead of coming in gushes: a tenth of a second's worth, but at least a KiB.
    pub fn stretch(&self, most: usize) -> usize {
        usize::try_from((self.rate / 10).max(SMALLEST)).unwrap_or(most).min(most)
    }

    /// Whether nobody waits any more.
    pub fn is_released(&self) -> bool {
        self.released.load(Ordering::Relaxed) || self.signal.as_ref().is_some_and(|signal| signal.load(Ordering::Relaxed) != 0)
    }

    /// Takes a turn: how long to wait at `now` before so many bytes count as moved.
    pub fn promise(&self, bytes: u64, now: Instant) -> Duration {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        let begin = free.map_or(earliest, |free| free.max(earliest));
        // Never past what a clock can tell.
        let takes = Duration::try_from_secs_f64(bytes as f64 / self.rate as f64).unwrap_or(Duration::MAX);
        let end = begin.checked_add(takes).unwrap_or(begin);
        *free = Some(end);
        end.saturating_duration_since(now)
    }

    /// Nobody waits from now on: what is under way shall end soon.
    pub fn release(&self) {
        self.released.store(true, Ordering::Relaxed);
    }

    /// Waits until so many bytes may have been moved, or `wanted` says that nobody wants them any more.
    pub fn wait(&self, bytes: u64, wanted: &dyn Fn() -> bool) {
        let mut left = self.promise(bytes, Instant::now());
        while !left.is_zero() && !self.is_released() && wanted() {
            let nap = left.min(LOOK);
            std::thread::sleep(nap);
            left -= nap;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_take_their_time_whoever_moves_them() {
        let (pace, now) = (Pace::new(1000), Instant::now());
        assert_eq!(pace.promise(1100, now), Duration::from_secs(1));
        assert_eq!(pace.promise(500, now), Duration::from_millis(1500));
        assert_eq!(pace.promise(500, now + Duration::from_millis(1500)), Duration::from_millis(500));
    }

    #[test]
    fn a_pause_is_not_made_up_for() {
        let (pace, now) = (Pace::new(1000), Instant::now());
        pace.promise(1000, now);
        assert_eq!(pace.promise(1100, now + Duration::from_secs(3600)), Duration::from_secs(1));
    }

    #[test]
    fn a_stretch_is_a_tenth_of_a_second_within_bounds() {
        let stretch = |rate| Pace::new(rate).stretch(64 << 10);
        assert_eq!([1, 200_000, 1 << 40].map(stretch), [1 << 10, 20_000, 64 << 10]);
    }

    #[test]
    fn who_is_not_wanted_any_more_does_not_wait() {
        Pace::new(1).wait(u64::MAX, &|| false);
    }

    #[test]
    fn a_signal_releases_a_pace() {
        let signal = Arc::new(AtomicUsize::new(0));
        let pace = Pace::new(1).released_by(Some(Arc::clone(&signal)));
        assert!(!pace.is_released());
        signal.store(15, Ordering::Relaxed);
        pace.wait(u64::MAX, &|| true);
    }

    #[test]
    fn a_pace_that_is_released_holds_nobody() {
        let pace = Pace::new(1);
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| pace.wait(u64::MAX, &|| true));
            pace.release();
            waits.join().unwrap();
        });
    }
}
