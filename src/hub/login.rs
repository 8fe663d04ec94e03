//! Failed logins: whoever guesses tokens has to wait.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Failures from one address before it has to wait, and how long they count.
const FAILURES: u32 = 10;
/// How long a failure counts.
pub(super) const WINDOW: Duration = Duration::from_secs(60);
/// Addresses that are remembered.
const ADDRESSES: usize = 10_000;

/// Failed logins by address. Those without one, over a Unix socket or a pipe, are let in by the system already.
#[derive(Default)]
pub(super) struct Logins(Mutex<HashMap<IpAddr, (u32, Instant)>>);

impl Logins {
    /// Whether an address may try.
    pub(super) fn may_try(&self, from: Option<IpAddr>, now: Instant) -> bool {
        let Some(from) = from else { return true };
        let failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failures.get(&from).is_none_or(|(count, since)| *count < FAILURES || now.duration_since(*since) > WINDOW)
    }

    /// Remembers a failure.
    pub(super) fn failed(&self, from: Option<IpAddr>, now: Instant) {
        let Some(from) = from else { return };
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= ADDRESSES {
            failures.retain(|_, (_, since)| now.duration_since(*since) <= WINDOW);
        }
        // Whoever has so many addresses is not slowed down by remembering more of them.
        if failures.len() < ADDRESSES || failures.contains_key(&from) {
            let entry = failures.entry(from).or_insert((0, now));
            *entry = if now.duration_since(entry.1) > WINDOW { (1, now) } else { (entry.0 + 1, entry.1) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_fails_often_has_to_wait_and_others_do_not() {
        let (logins, now) = (Logins::default(), Instant::now());
        let address = |last| Some(IpAddr::from([10, 0, 0, last]));
        for _ in 0..FAILURES {
            assert!(logins.may_try(address(1), now));
            logins.failed(address(1), now);
        }
        assert!(!logins.may_try(address(1), now));
        assert!(logins.may_try(address(2), now) && logins.may_try(None, now));
        let later = now + WINDOW + Duration::from_secs(1);
        assert!(logins.may_try(address(1), later));
        logins.failed(address(1), later);
        assert!(logins.may_try(address(1), later), "the old ones count no more");
    }
}
