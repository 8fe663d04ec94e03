//! Announcements of running prunes. Several prunes at once do no harm but waste, so the younger ones yield. A mirror announces
//! itself too, so that no prune takes what it has brought and not yet named.

use std::time::{Duration, SystemTime};

use super::{DAY, age};
use crate::sealed::marks::{self, Announcement};
use crate::sealed::run_id::RunId;
use crate::sealed::{SealedError, limits};
use crate::store::{Folder, ObjectInfo, ObjectName, Store, StoreErrorKind};

/// From this age on an announcement is taken for a leftover of a crash.
const STALE: Duration = DAY;

/// Takes the announcement back when dropped, also on errors.
pub(in crate::sealed) struct Guard<'a> {
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
pub(in crate::sealed) enum Announced<'a> {
    /// Nobody older is at work; the guard stands for the announcement.
    Go(Guard<'a>),
    /// An older prune is at work.
    Yield {
        /// Who, as it says itself.
        by: String,
    },
}

/// Announces this run and looks for older ones.
pub(in crate::sealed) fn announce<'a>(store: &'a dyn Store, run: &RunId) -> Result<Announced<'a>, SealedError> {
    let guard = stand_by(store, run)?;
    let name = guard.name.clone();
    let mine = store.stat(&name)?;
    let now = store.now()?;
    for (other, by) in others(store, &name, now)? {
        if (other.stored, &other.name) < (mine.stored, &mine.name) {
            return Ok(Announced::Yield { by });
        }
    }
    Ok(Announced::Go(guard))
}

/// Announces this run whoever else is at work: the younger ones yield to it, the older ones go on.
pub(in crate::sealed) fn stand_by<'a>(store: &'a dyn Store, run: &RunId) -> Result<Guard<'a>, SealedError> {
    let name = run.announcement();
    let text = marks::encode_announcement(&Announcement { by: identity() }).map_err(|why| SealedError::damaged(&name, why))?;
    store.put_new(&name, &text)?;
    Ok(Guard { store, name })
}

impl Guard<'_> {
    /// The announcement.
    pub(in crate::sealed) fn name(&self) -> &ObjectName {
        &self.name
    }

    /// Whether somebody else is at work, older or younger.
    pub(in crate::sealed) fn has_company(&self) -> Result<bool, SealedError> {
        Ok(!others(self.store, &self.name, self.store.now()?)?.is_empty())
    }
}

/// The others that are at work, each with who it says it is.
fn others(store: &dyn Store, mine: &ObjectName, now: SystemTime) -> Result<Vec<(ObjectInfo, String)>, SealedError> {
    let mut found = Vec::new();
    for other in store.list(Folder::Prunes)?.into_iter().filter(|other| other.name != *mine) {
        if let Some(by) = at_work(store, &other, now)? {
            found.push((other, by));
        }
    }
    Ok(found)
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
    match store.delete(&info.name) {
        // Where nothing can be deleted, leftovers stay; they stop nobody.
        Err(error) if error.kind == StoreErrorKind::Refused => Ok(None),
        result => Ok(result.map(|()| None)?),
    }
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
