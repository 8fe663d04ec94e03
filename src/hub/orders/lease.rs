//! Which stream is a host's: the newest one. A file says so, as streams may be in several processes.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Orders, lock};
use crate::hub::repository::disk_failed;
use crate::store::durable;
use crate::store::hub::order::PULSE;
use crate::store::hub::protocol::Refusal;

const FILE: &str = "agent";
/// Bytes of it that are read.
const LARGEST: u64 = 4096;
/// How long a lease counts that is not renewed: two renewals may come late.
const LASTS: SignedDuration = SignedDuration::from_secs(3 * PULSE as i64);

#[derive(Debug, Serialize, Deserialize)]
struct Written {
    /// Which stream has it.
    stream: u64,
    since: Timestamp,
    renewed: Timestamp,
}

/// The right of a stream to be its host's. Given back when dropped.
pub(in crate::hub) struct Lease {
    folder: PathBuf,
    stream: u64,
    since: Timestamp,
}

impl Orders {
    /// Makes a new stream the host's; the one before it loses that.
    pub(in crate::hub) fn connect(&self, host: &str, now: Timestamp) -> Result<Lease, Refusal> {
        let folder = self.of(host)?;
        // Any number; the standard library seeds its hash tables so.
        let lease = Lease { folder, stream: RandomState::new().build_hasher().finish(), since: now };
        let _lock = lock(&lease.folder)?;
        lease.write(now)?;
        self.changes.send_modify(|_| {});
        Ok(lease)
    }

    /// Whether the host's agent is connected.
    pub(in crate::hub) fn is_connected(&self, host: &str, now: Timestamp) -> bool {
        let written = self.of(host).ok().and_then(|folder| read(&folder));
        written.is_some_and(|written| now.duration_since(written.renewed) < LASTS)
    }
}

impl Lease {
    /// Whether the stream is still the host's.
    pub(in crate::hub) fn holds(&self) -> bool {
        read(&self.folder).is_some_and(|written| written.stream == self.stream)
    }

    /// Renews it, if it still holds. Says whether it does.
    pub(in crate::hub) fn renew(&self, now: Timestamp) -> Result<bool, Refusal> {
        let _lock = lock(&self.folder)?;
        if !self.holds() {
            return Ok(false);
        }
        self.write(now).map(|()| true)
    }

    fn write(&self, now: Timestamp) -> Result<(), Refusal> {
        let written = Written { stream: self.stream, since: self.since, renewed: now };
        let text = serde_json::to_vec(&written).unwrap_or_default();
        durable::replace(&self.folder.join(FILE), &text).map_err(|error| disk_failed(&self.folder, &error))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Ok(_lock) = lock(&self.folder)
            && self.holds()
        {
            let _ = durable::remove(&self.folder.join(FILE));
        }
    }
}

fn read(folder: &Path) -> Option<Written> {
    serde_json::from_slice(&durable::read(&folder.join(FILE), LARGEST).ok()??).ok()
}
