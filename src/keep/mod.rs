//! Keeping house in repositories, without any key: what whoever stores backups does with them.
//!
//! ```text
//!   forget   snapshots --> retention --> what it does not keep goes
//!   prune    the space of what no snapshot needs is given back
//!   check    all that the snapshots need is looked for, and a share of it is read
//!   mirror   a copy in another store is brought up to date, with the three above in it
//! ```
//!
//! May import: `config`, `sealed`, `store`, `retention`, `model`. A host keeps house in its repositories with this (`job::maintain`), and so
//! does a hub (`hub::upkeep`).

pub mod check;
mod error;
pub mod forget;
pub mod mirror;
pub mod prune;
pub mod reach;

pub use error::KeepError;

use crate::model::event::{Event, Monitor};

/// Why nothing is pruned.
pub const AFTER_FAILURE: &str = "does not run after a forget that failed, so that what was there can still be brought back";
/// Why a step did not begin.
const AFTER_STOP: &str = "does not run, as the command was stopped";

/// How a step ended.
#[derive(Debug)]
pub enum Ended<T, E = KeepError> {
    /// It was not asked for.
    NotAsked,
    /// It was done, with this result.
    Done(T),
    /// It could not be done.
    Failed(E),
    /// It was left out, and why.
    Skipped(&'static str),
}

/// Takes a step, unless the run was stopped. That it fails is told as an event, and keeps nothing else from running.
pub fn step<T, E: std::fmt::Display>(name: &'static str, monitor: &dyn Monitor, work: impl FnOnce() -> Result<T, E>) -> Ended<T, E> {
    if monitor.cancelled() {
        return Ended::Skipped(AFTER_STOP);
    }
    match work() {
        Ok(done) => Ended::Done(done),
        Err(error) => {
            monitor.event(Event::error(name, error.to_string()));
            Ended::Failed(error)
        }
    }
}
