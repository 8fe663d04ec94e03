//! Pauses between attempts that grow, and that differ between hosts which lost the hub together.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// The pauses of one series of attempts.
#[derive(Debug)]
pub(super) struct Pauses(Duration);

impl Default for Pauses {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl Pauses {
    /// Something succeeded.
    pub(super) fn begin_again(&mut self) {
        self.0 = FIRST;
    }

    /// There is no hurry.
    pub(super) fn take_long(&mut self) {
        self.0 = LONGEST;
    }

    /// The next one: twice as long as the one before at most, and at least half of that.
    pub(super) fn next(&mut self) -> Duration {
        let longest = self.0;
        self.0 = (longest * 2).min(LONGEST);
        // Any number; the standard library seeds its hash tables so.
        let random = RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64;
        longest / 2 + (longest / 2).mul_f64(random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_grow_to_a_minute_and_begin_again() {
        let mut pauses = Pauses::default();
        let taken: Vec<_> = (0..10).map(|_| pauses.next()).collect();
        let bounds = [1, 2, 4, 8, 16, 32, 60, 60, 60, 60].map(Duration::from_secs);
        assert!(taken.iter().zip(bounds).all(|(taken, most)| *taken >= most / 2 && *taken <= most), "{taken:?}");
        pauses.begin_again();
        assert!(pauses.next() <= FIRST);
        pauses.take_long();
        assert!(pauses.next() >= LONGEST / 2);
    }
}
