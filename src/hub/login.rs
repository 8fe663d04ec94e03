//! Failed logins: whoever guesses tokens has to wait.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
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
        let Some(from) = from.map(neighbourhood) else { return true };
        let failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failures.get(&from).is_none_or(|(count, since)| *count < FAILURES || now.duration_since(*since) > WINDOW)
    }

    /// Remembers a failure.
    pub(super) fn failed(&self, from: Option<IpAddr>, now: Instant) {
        let Some(from) = from.map(neighbourhood) else { return };
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

/// Of IPv6 whoever has one address has 64 bits of them.
fn neighbourhood(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_a_whole_network_waits_as_one() {
        let (logins, now) = (Logins::default(), Instant::now());
        let address = |text: String| Some(text.parse::<IpAddr>().unwrap());
        for last in 0..FAILURES {
            logins.failed(address(format!("2001:db8:0:1::{last}")), now);
        }
        assert!(!logins.may_try(address("2001:db8:0:1:ffff::1".to_owned()), now));
        assert!(logins.may_try(address("2001:db8:0:2::1".to_owned()), now));
    }

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
