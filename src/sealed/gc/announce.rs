//! Announcements of running prunes. Several prunes at once do no harm but waste, so the younger ones yield.

use std::time::{Duration, SystemTime};

use super::{DAY, age};
use crate::sealed::marks::{self, Announcement};
use crate::sealed::run_id::RunId;
use crate::sealed::{SealedError, limits};
use crate::store::{Folder, ObjectInfo, ObjectName, Store};

/// From this age on an announcement is taken for a leftover of a crash.
const STALE: Duration = DAY;

/// Takes the announcement back when dropped, also on errors.
pub(super) struct Guard<'a> {
    store: &'a dyn Store,
    name: ObjectName,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        // A failure leaves a leftover that stops nobody for longer than a day.
        let _ = self.store.delete(&self.name);
    }
}

/// Whether to go on.
pub(super) enum Announced<'a> {
    /// Nobody older is at work; the guard stands for the announcement.
    Go(Guard<'a>),
    /// An older prune is at work.
    Yield {
        /// Who, as it says itself.
        by: String,
    },
}

/// Announces this run and looks for older ones.
pub(super) fn announce<'a>(store: &'a dyn Store, run: &RunId) -> Result<Announced<'a>, SealedError> {
    let name = run.announcement();
    let text = marks::encode_announcement(&Announcement { by: identity() }).map_err(|why| SealedError::damaged(&name, why))?;
    store.put_new(&name, &text)?;
    let guard = Guard { store, name: name.clone() };
    let mine = store.stat(&name)?;
    let now = store.now()?;
    for other in store.list(Folder::Prunes)?.iter().filter(|other| other.name != name) {
        if let Some(by) = at_work(store, other, now)?
            && (other.stored, &other.name) < (mine.stored, &mine.name)
        {
            return Ok(Announced::Yield { by });
        }
    }
    Ok(Announced::Go(guard))
}

/// Who runs the announced prune, unless it ended; leftovers are removed.
fn at_work(store: &dyn Store, info: &ObjectInfo, now: SystemTime) -> Result<Option<String>, SealedError> {
    let by = match store.get(&info.name, limits::PAYLOAD) {
        Ok(bytes) => marks::parse_announcement(&bytes).map_or_else(|_| "unreadable".to_owned(), |announcement| announcement.by),
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if age(now, info.stored) < STALE && !died_here(&by) {
        return Ok(Some(by));
    }
    store.delete(&info.name)?;
    Ok(None)
}

/// `host process`, for people and to notice a process of this host that is gone.
fn identity() -> String {
    format!("{} {}", host(), std::process::id())
}

fn host() -> String {
    nix::unistd::gethostname().map_or_else(|_| "unknown".to_owned(), |name| name.to_string_lossy().into_owned())
}

fn died_here(by: &str) -> bool {
    let Some((host_name, process)) = by.rsplit_once(' ') else { return false };
    let Ok(process) = process.parse::<u32>() else { return false };
    host_name == host()
        && host_name != "unknown"
        && !std::path::Path::new("/proc").join(process.to_string()).exists()
        && std::path::Path::new("/proc/self").exists()
}
