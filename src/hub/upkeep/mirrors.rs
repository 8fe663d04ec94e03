//! Copies of a hub's repositories in other places.

use std::sync::Arc;

use jiff::tz::TimeZone;

use super::record::Copied;
use super::{House, problems};
use crate::config::HubMirror;
use crate::keep::forget::policy;
use crate::keep::mirror::{MirrorOptions, mirror};
use crate::keep::prune;
use crate::keep::reach::{ReachError, access_to};
use crate::keep::{Ended, KeepError};
use crate::model::event::Event;
use crate::retention::Limits;
use crate::store::{Location, LocationError, Store, open};

pub use crate::keep::mirror::Mirrored as Copy;

/// A mirror that could not be brought up to date.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MirrorError {
    /// A secret that is needed to reach it.
    #[error(transparent)]
    Reach(#[from] ReachError),
    /// Its place.
    #[error(transparent)]
    Location(#[from] LocationError),
    /// It was there.
    #[error(
        "{0} is empty or not there; a mirror was when the hub looked last, so none is made now: its disk may not be mounted. If it is gone for \
         good, `hub maintain --only mirror --remake-mirrors` makes it anew"
    )]
    Gone(String),
    /// A step.
    #[error(transparent)]
    Keep(#[from] KeepError),
}

/// What a mirror was brought, and where it is.
pub struct Mirrored {
    /// As a URL.
    pub url: String,
    /// What was done.
    pub copy: Copy,
}

impl Mirrored {
    /// Whether something could not be done, or a snapshot not be brought.
    pub fn failed(&self) -> bool {
        self.copy.failed()
    }

    /// In figures.
    pub fn figures(&self) -> Copied {
        let outcome = &self.copy.outcome;
        Copied {
            snapshots: outcome.snapshots.len() as u64,
            bytes: outcome.bytes + outcome.bytes_picked,
            failed: outcome.failed.len() as u64,
        }
    }

    /// What is written down of it.
    pub fn summary(&self) -> (Copied, Vec<String>) {
        let outcome = &self.copy.outcome;
        let mut messages: Vec<String> = outcome.failed.iter().map(|(id, why)| format!("snapshots/{}: {why}", id.short())).collect();
        if self.copy.rolled_back {
            messages.push("the repository shows an older state than the mirror has seen".to_owned());
        }
        match &self.copy.forget {
            Ended::Failed(error) => messages.push(format!("forget: {error}")),
            Ended::Done(thinned) => messages.extend(thinned.error.iter().map(|error| format!("forget: {error}"))),
            Ended::NotAsked | Ended::Skipped(_) => {}
        }
        if let Ended::Failed(error) = &self.copy.prune {
            messages.push(format!("prune: {error}"));
        }
        match &self.copy.verify {
            Ended::Failed(error) => messages.push(format!("verify: {error}")),
            Ended::Done(report) => messages.extend(problems(report)),
            Ended::NotAsked | Ended::Skipped(_) => {}
        }
        (self.figures(), messages)
    }
}

/// Brings one up to date; `known` says that it was there before.
pub(super) fn bring(house: &House<'_>, name: &str, configured: &HubMirror, known: bool) -> Result<Mirrored, MirrorError> {
    let options = house.options;
    house.monitor.event(Event::Phase("mirror"));
    let place = configured.place(house.name);
    let access = access_to(&place, &options.credentials, &options.access)?;
    let store: Option<Arc<dyn Store>> = match open::open(&place.url, &access) {
        Ok(Location { store, .. }) => Some(store),
        Err(LocationError::Store(error)) if error.is_not_found() => match (known && !options.remake_mirrors, options.dry_run) {
            (true, _) => return Err(MirrorError::Gone(error.object)),
            (false, true) => None,
            (false, false) => Some(open::create(&place.url, &access)?.store),
        },
        Err(error) => return Err(error.into()),
    };
    let how = MirrorOptions {
        policy: configured.retention.as_ref().map(policy),
        limits: Limits { accept_clock: options.accept_clock, ..Limits::default() },
        zone: TimeZone::system(),
        prune: configured.prune.then(|| prune::options(options.hub.prune, options.dry_run)).transpose().map_err(KeepError::from)?,
        verify: Some(configured.verify.get()).filter(|share| *share > 0),
        dry_run: options.dry_run,
    };
    let copy = mirror(&house.repository, store.as_ref(), &house.memory(Some(name)), &how, house.monitor)?;
    Ok(Mirrored { url: place.url, copy })
}
