//! The line to a store: how fast it may be written to and read from, whoever does so.
//!
//! Bytes wait for their turn in small stretches, so that they flow: at the socket of a server, or where a local file is written or read.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::model::pace::{LOOK, Pace};

/// The paces of both directions. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Line {
    /// At which the store is written to.
    pub up: Paces,
    /// At which it is read.
    pub down: Paces,
}

impl Line {
    /// Whether nothing binds it.
    pub fn is_free(&self) -> bool {
        self.up.is_empty() && self.down.is_empty()
    }
}

/// Paces that hold at the same time: that of a repository, and that of all repositories of a job.
#[derive(Debug, Clone, Default)]
pub struct Paces(Vec<Arc<Pace>>);

impl Paces {
    /// These paces.
    pub fn new(paces: impl IntoIterator<Item = Arc<Pace>>) -> Self {
        Self(paces.into_iter().collect())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes to move at once, at most `most`.
    pub fn stretch(&self, most: usize) -> usize {
        self.0.iter().map(|pace| pace.stretch(most)).min().unwrap_or(most)
    }

    /// Takes a turn in all of them: how long to wait at `now`.
    fn promise(&self, bytes: u64, now: Instant) -> Duration {
        self.0.iter().map(|pace| pace.promise(bytes, now)).max().unwrap_or_default()
    }

    /// What is left of a wait since `begin`, in small naps: one of the paces may be released meanwhile.
    fn nap(&self, turn: Duration, begin: Instant) -> Option<Duration> {
        let left = turn.saturating_sub(begin.elapsed());
        let goes_on = !left.is_zero() && !self.0.iter().any(|pace| pace.is_released());
        goes_on.then(|| left.min(LOOK))
    }

    /// Waits until so many bytes may be moved.
    pub fn wait(&self, bytes: usize) {
        let begin = Instant::now();
        let turn = self.promise(bytes as u64, begin);
        while let Some(nap) = self.nap(turn, begin) {
            std::thread::sleep(nap);
        }
    }

    /// The same where others shall work meanwhile. `held` is told each nap, whose time is nobody's fault.
    pub async fn hold(&self, bytes: usize, held: impl Fn(Duration)) {
        let begin = Instant::now();
        let turn = self.promise(bytes as u64, begin);
        while let Some(nap) = self.nap(turn, begin) {
            held(nap);
            tokio::time::sleep(nap).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paces(rates: &[u64]) -> (Paces, Vec<Arc<Pace>>) {
        let paces: Vec<_> = rates.iter().map(|rate| Arc::new(Pace::new(*rate))).collect();
        (Paces::new(paces.clone()), paces)
    }

    #[test]
    fn the_slowest_pace_counts_and_all_are_used_up() {
        let (both, each) = paces(&[1000, 4000]);
        let now = Instant::now();
        assert_eq!(both.promise(1100, now), Duration::from_secs(1));
        assert_eq!(each[1].promise(1300, now), Duration::from_millis(500));
        assert_eq!(both.stretch(1 << 20), 1 << 10);
    }

    #[test]
    fn without_paces_nobody_waits() {
        let none = Paces::default();
        assert!(none.is_empty() && Line::default().is_free());
        assert_eq!(none.promise(u64::MAX, Instant::now()), Duration::ZERO);
        assert_eq!(none.stretch(7), 7);
    }

    #[test]
    fn one_that_is_released_releases_from_all() {
        let (both, each) = paces(&[1, 1]);
        each[1].release();
        both.wait(usize::MAX);
    }
}
