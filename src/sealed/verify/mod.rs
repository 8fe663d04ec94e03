//! Check without keys: is everything there that the snapshots need, and does every stored byte still have its hash?
//!
//! ```text
//!   structure: statements (verified when opened) -> snapshots -> refs -> index objects -> packs of the right size
//!   packs:     every byte of a pack against its id, every block against its id; all packs, or a share that rotates
//! ```

mod packs;
mod report;
mod share;
mod structure;
#[cfg(test)]
mod tests;

pub use report::{Counts, Problem, Report};
pub use share::Share;

use crate::model::event::{Event, Monitor};
use crate::sealed::SealedError;
use crate::sealed::repository::Repository;

/// How deep to look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Which packs are read too, if any.
    pub read_packs: Option<Share>,
}

/// Checks a repository.
///
/// # Errors
/// If the store fails in another way than by lacking or damaging objects: that is what the report is for.
pub fn verify(repository: &Repository, options: &Options, monitor: &dyn Monitor) -> Result<Report, SealedError> {
    let mut report = Report::default();
    monitor.event(Event::Phase("structure"));
    let found = structure::check(repository, &mut report)?;
    if let Some(share) = &options.read_packs {
        monitor.event(Event::Phase("packs"));
        packs::check(repository.store(), &found, share, &mut report, monitor)?;
    }
    report.name_snapshots(repository.store(), &found.counted)?;
    Ok(report)
}
