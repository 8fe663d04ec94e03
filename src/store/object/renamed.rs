//! Putting where the library knows no condition for it, as with WebDAV: an object is uploaded to `tmp/`, and a move gives it its name.
//!
//! So it is never seen half-done although servers write uploads as they come, and the move is told not to replace anything.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use opendal::{Buffer, ErrorKind};

use super::ObjectStore;
use super::answer::Failure;
use crate::store::attempt::LISTING;
use crate::store::{ObjectName, Put, StoreError};

/// Where uploads lie until they are complete, as in a directory.
pub(super) const TEMPORARY: &str = "tmp";
/// How old an upload must be before it counts as left by a crash.
const STALE: Duration = Duration::from_secs(24 * 60 * 60);

impl ObjectStore {
    /// Stores `bytes` unless the name is taken.
    pub(super) fn put_renamed(&self, name: &ObjectName, bytes: &Buffer) -> Result<Put, StoreError> {
        self.0.swept.call_once(|| self.sweep_temporaries());
        let (operator, path) = (&self.0.operator, self.key(name));
        // Each attempt has a place of its own: one that was given up may still arrive, and would be mixed with the next.
        let write = |_| {
            let (temporary, bytes) = (self.below(&unique_path()), bytes.clone());
            async move { operator.write(&temporary, bytes).await.map(|_| temporary) }
        };
        let temporary = self.0.attempts.run(bytes.len() as u64, write).0.map_err(|failure| self.error("store", name, &failure))?;
        let (moved, attempts) = self.0.attempts.run(0, |_| operator.rename(&temporary, &path));
        let put = match moved {
            Ok(_) => return Ok(Put::Created),
            Err(failure) => self.not_moved(name, bytes, &failure, attempts > 1),
        };
        self.discard(&temporary);
        put
    }

    /// What a move that failed means. An earlier attempt may have come through although its answer was lost.
    fn not_moved(&self, name: &ObjectName, bytes: &Buffer, failure: &Failure, repeated: bool) -> Result<Put, StoreError> {
        let taken = matches!(failure, Failure::Answer(error) if error.kind() == ErrorKind::ConditionNotMatch);
        let gone = repeated && failure.is_absence() && self.exists(name)?;
        if !taken && !gone {
            return Err(self.error("store", name, failure));
        }
        Ok(if repeated && self.holds(name, bytes)? { Put::Created } else { Put::Exists })
    }

    /// Removes uploads that crashed runs left, as far as that works: they are in nobody's way.
    fn sweep_temporaries(&self) {
        let folder = self.below(&format!("{TEMPORARY}/"));
        let (found, _) = self.0.attempts.run(LISTING, |_| self.0.operator.list(&folder));
        let now = self.0.transport.date();
        for entry in found.unwrap_or_default().iter().filter(|entry| entry.metadata().is_file()) {
            let written = entry.metadata().last_modified().map(|time| SystemTime::from(time.into_inner()));
            if let (Some(now), Some(written)) = (now, written)
                && entry.path().starts_with(&folder)
                && now.duration_since(written).is_ok_and(|age| age > STALE)
            {
                self.discard(entry.path());
            }
        }
    }

    /// Removes an upload that nobody needs.
    fn discard(&self, path: &str) {
        if let (Err(failure), _) = self.0.attempts.run(0, |_| self.0.operator.delete(path)) {
            tracing::debug!("{path} stays in {}: {failure}", self.0.place.location);
        }
    }
}

/// A path that no other process and no other machine uses.
fn unique_path() -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    static RANDOM: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(SystemTime::now()));
    format!("{TEMPORARY}/{}-{}-{:016x}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed), *RANDOM)
}
