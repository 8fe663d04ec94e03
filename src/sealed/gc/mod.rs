//! Prune: gives back the space of blocks that no snapshot needs, beside running backups, without locks and keys.
//!
//! ```text
//!   condemned/ --> wait out the listing lag --> roots --> live blocks --> packs by use
//!      (what may be swept)                   (Survey)                         |
//!                                                              Plan (pure, printable)
//!                                                                 |           |
//!                    mark: name what may go, once and for all  <--+           +--> sweep: copy what lives, delete
//! ```
//!
//! Facts only move one way: a pack is live, then condemned, then deleted. A block exists if and only if a listed,
//! uncondemned pack holds it. A writer checks that after its snapshot became visible; a sweep reads the roots after it
//! read what is condemned. So a snapshot that a mark did not see is either seen by its sweep, which copies what the
//! snapshot needs, or its writer saw the mark and stored the blocks again. Grace periods only save work; the order of
//! steps keeps the data. `tests::schedule` looks for counterexamples.

pub(in crate::sealed) mod announce;
mod live;
mod mark;
mod plan;
mod roots;
mod survey;
mod sweep;
#[cfg(test)]
mod tests;

use std::time::{Duration, SystemTime};

pub use plan::{PackFate, Plan, Reason};

use crate::model::event::{Event, Monitor, Silent};
use crate::sealed::repository::Repository;
use crate::sealed::run_id::RunId;
use crate::sealed::{SealedError, snapshots};
use crate::store::Folder;
use announce::Announced;
use survey::Survey;

const DAY: Duration = Duration::from_secs(86_400);

/// How long checkpoints, and snapshots of writers that are not known yet, protect their blocks, and how long condemned
/// objects outlive what they name.
pub const PATIENCE: Duration = Duration::from_secs(30 * 86_400);

/// What prune may do.
#[derive(Debug, Clone)]
pub struct Options {
    /// Only objects at least so old are condemned, and only what was condemned so long ago is deleted. Zero marks and
    /// sweeps in one run, for a repository that nobody else writes to.
    pub grace: Duration,
    /// Share of dead bytes, 0 to 1, that may stay in packs because rewriting them would cost more than it gives.
    pub max_unused: f64,
    /// Change nothing.
    pub dry_run: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { grace: DAY, max_unused: 0.1, dry_run: false }
    }
}

/// What a prune did. Sizes in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// An older prune was running, so nothing was done; by whom it says it is run.
    pub yielded_to: Option<String>,
    /// The run was asked to stop early; what it did is complete.
    pub cancelled: bool,
    /// Packs condemned.
    pub packs_condemned: u64,
    /// Size of them.
    pub bytes_condemned: u64,
    /// Packs deleted.
    pub packs_deleted: u64,
    /// Packs that the store refused to delete, such as a bucket with object lock; the next prune tries again.
    pub packs_refused: u64,
    /// Size of the packs deleted.
    pub bytes_deleted: u64,
    /// Size of the packs written, with what was copied.
    pub bytes_written: u64,
    /// Bytes given back: deleted packs less the packs written.
    pub bytes_freed: u64,
    /// Sealed bytes copied out of deleted packs.
    pub bytes_copied: u64,
    /// Index, refs, checkpoint, map and condemned objects deleted.
    pub objects_deleted: u64,
    /// Forgotten snapshots that can no longer be brought back.
    pub snapshots_expired: u64,
}

/// Reads the repository and decides what to do; changes nothing.
///
/// # Errors
/// If the store fails, this version may not prune here, or a snapshot of a known writer cannot be read.
pub fn plan(repository: &Repository, options: &Options, monitor: &dyn Monitor) -> Result<Plan, SealedError> {
    plan_as(RunId::random()?, repository, options, monitor)
}

pub(crate) fn plan_as(run: RunId, repository: &Repository, options: &Options, monitor: &dyn Monitor) -> Result<Plan, SealedError> {
    repository.may_keep()?;
    for id in snapshots::lost(repository.store())? {
        let what = "it was committed and is missing, but was not forgotten: somebody deleted it, and what only it needs is not kept; \
                    `repair --from MIRROR` brings it back";
        monitor.event(Event::warning(snapshots::name(Folder::Snapshots, &id).to_string(), what));
    }
    let survey = Survey::take(repository, options, None, monitor)?;
    Ok(plan::decide(run, survey, options.clone()))
}

/// Does what the plan says: marks, then sweeps. A plan that has grown old is safe: it only deletes what was condemned
/// for good, after copying what it saw needed; a newer snapshot's writer has seen the condemnation.
///
/// # Errors
/// If the store fails. What was done until then stays valid; the next prune goes on.
pub fn execute(repository: &Repository, plan: Plan, monitor: &dyn Monitor) -> Result<Outcome, SealedError> {
    if plan.options.dry_run {
        return Ok(Outcome::default());
    }
    repository.may_keep()?;
    let store = repository.store();
    match announce::announce(store, &plan.run)? {
        Announced::Yield { by } => {
            monitor
                .event(Event::info("prunes/", format!("another prune, or a mirror, is at work ({by}); this one leaves the field to it")));
            Ok(Outcome { yielded_to: Some(by), ..Outcome::default() })
        }
        Announced::Go(_guard) => run(repository, plan, monitor),
    }
}

pub(in crate::sealed) fn run(repository: &Repository, plan: Plan, monitor: &dyn Monitor) -> Result<Outcome, SealedError> {
    let mut outcome = Outcome::default();
    let Plan { mut run, options, mut survey, decision, .. } = plan;
    let sentence = mark::write(repository.store(), &survey, &decision, monitor, &mut outcome)?;
    if options.grace.is_zero() {
        // The roots are read anew after what was just condemned; what there is to tell was told by the plan.
        survey = Survey::take(repository, &options, sentence, &Silent)?;
    }
    sweep::sweep(repository, survey, &options, &mut run, monitor, &mut outcome)?;
    Ok(outcome)
}

/// Plans and executes.
///
/// # Errors
/// As [`plan`] and [`execute`].
pub fn prune(repository: &Repository, options: &Options, monitor: &dyn Monitor) -> Result<Outcome, SealedError> {
    execute(repository, plan(repository, options, monitor)?, monitor)
}

/// How old something is by the store's clock; what seems to come from the future is new.
fn age(now: SystemTime, stored: SystemTime) -> Duration {
    now.duration_since(stored).unwrap_or_default()
}
