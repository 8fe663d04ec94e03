//! How long clients are waited for: nobody holds up the hub by doing nothing, or next to nothing.

use std::time::Duration;

/// What is waited for, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For the head of a request, and for the next request of a connection of HTTP/1.1.
    pub head: Duration,
    /// For a TLS handshake.
    pub handshake: Duration,
    /// For a request in a connection in which there is none.
    pub idle: Duration,
    /// For more of the body of a request.
    pub body: Duration,
    /// Bytes of a body that come in a second of waiting, on average.
    pub pace: u64,
    /// For a client that takes nothing more of an answer.
    pub answer: Duration,
    /// For what is under way when the hub is stopped.
    pub farewell: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(30),
            handshake: Duration::from_secs(20),
            idle: Duration::from_secs(60),
            body: Duration::from_secs(60),
            pace: 1024,
            answer: Duration::from_secs(300),
            farewell: Duration::from_secs(60),
        }
    }
}

impl Patience {
    /// How much longer a client is waited for that has sent so many bytes of a body and was waited for so long; none if no longer.
    pub(super) fn left(&self, received: u64, waited: Duration) -> Option<Duration> {
        let earned = self.body.saturating_add(Duration::from_secs(received / self.pace.max(1)));
        earned.checked_sub(waited).map(|left| left.min(self.body)).filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sends_is_waited_for_and_who_trickles_is_not() {
        let patience = Patience::default();
        let seconds = Duration::from_secs;
        assert_eq!(patience.left(0, seconds(0)), Some(seconds(60)));
        assert_eq!(patience.left(0, seconds(50)), Some(seconds(10)));
        assert_eq!(patience.left(2, seconds(60)), None);
        assert_eq!(patience.left(64 << 20, seconds(3600)), Some(seconds(60)), "a slow line is no attack");
        assert_eq!(patience.left(64 << 20, seconds(66_000)), None);
    }
}
