//! What systemd is told of the agent itself (sd_notify(3)); without systemd nothing happens.

use std::time::Duration;

use sd_notify::NotifyState;

/// The agent is at work; whether the hub is there is its status, and nothing that a start should wait for.
pub(super) fn ready(what: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(what)]);
}

/// What it does now.
pub(super) fn status(what: &str) {
    tell(&[NotifyState::Status(what)]);
}

/// It ends.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Says twice as often as systemd wants to hear it that the agent is not stuck. Never ends.
pub(super) async fn watchdog() {
    let Some(within) = sd_notify::watchdog_enabled() else { return std::future::pending().await };
    let mut pulse = tokio::time::interval((within / 2).max(Duration::from_millis(10)));
    loop {
        pulse.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!("systemd cannot be told: {error}");
    }
}
