//! Stores whose listings lag.

use crate::sealed::SealedError;
use crate::store::Store;

/// Waits twice the time that listings may lag, by the store's clock and by ours: what was stored before anything that
/// is visible now was visible, is visible then.
///
/// # Errors
/// If the store fails or its clock stands still.
pub fn wait_out(store: &dyn Store) -> Result<(), SealedError> {
    let span = store.listing_lag() * 2;
    if span.is_zero() {
        return Ok(());
    }
    let start = store.now()?;
    for _ in 0..100 {
        let left = span.saturating_sub(store.now()?.duration_since(start).unwrap_or_default());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left);
    }
    Err(SealedError::ClockStands { location: store.location() })
}
