//! What systemd shows of a run as the status of its unit, and hands to whoever asks for it, such as the agent of a hub.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

/// How often it is told at most.
const PAUSE: Duration = Duration::from_secs(5);

/// The status of the unit that this process is, if it is one.
#[derive(Debug)]
pub struct UnitStatus {
    last: Option<Mutex<Option<Instant>>>,
}

impl UnitStatus {
    /// Of this process. Where systemd wants to hear nothing, nothing is told (sd_notify(3)).
    pub fn here() -> Self {
        let wanted = std::env::var_os("NOTIFY_SOCKET").is_some_and(|socket| !socket.is_empty());
        Self { last: wanted.then(Mutex::default) }
    }

    /// Tells it, unless it was told just now; what is new in kind is `urgent`.
    pub fn tell(&self, urgent: bool, text: impl FnOnce() -> String) {
        let Some(last) = &self.last else { return };
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if !urgent && last.is_some_and(|last| last.elapsed() < PAUSE) {
            return;
        }
        *last = Some(Instant::now());
        let text = text().split_whitespace().collect::<Vec<_>>().join(" ");
        if let Err(error) = sd_notify::notify(&[NotifyState::Status(&text)]) {
            tracing::debug!("systemd cannot be told: {error}");
        }
    }
}
