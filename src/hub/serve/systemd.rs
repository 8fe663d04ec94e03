//! What systemd is told of the service (sd_notify(3)); without systemd nothing happens.

use std::time::Duration;

use sd_notify::NotifyState;

/// The hub answers now.
pub(super) fn ready(names: &[String]) {
    tell(&[NotifyState::Ready, NotifyState::Status(&format!("listening at {}", names.join(", ")))]);
}

/// The hub ends what is under way.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Says twice as often as systemd wants to hear it that the hub is not stuck. Ends at once if nobody wants to.
pub(super) async fn watchdog() {
    let Some(within) = sd_notify::watchdog_enabled() else { return };
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
