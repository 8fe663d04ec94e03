//! Giving back the space of what no snapshot needs.

use super::KeepError;
use crate::config::Pruning;
use crate::model::event::{Event, Monitor};
use crate::model::span::SpanError;
use crate::sealed::gc::{self, Options, Outcome, PackFate, Plan};
use crate::sealed::repository::Repository;

/// What a prune planned, and what it did. Sizes in bytes.
#[derive(Debug)]
pub struct Pruned {
    /// Under which options.
    pub options: Options,
    /// The plan in words.
    pub plan: String,
    /// Whether there was nothing to do at all.
    pub nothing: bool,
    /// Size of all packs before.
    pub stored_before: u64,
    /// What stays in them and is not needed.
    pub unused_after: u64,
    /// What of that lies in packs that are younger than the grace period.
    pub unused_young: u64,
    /// Blocks that are needed, a count.
    pub blocks_needed: u64,
    /// What later prunes give back, once the grace period is over.
    pub freed_later: u64,
    /// Packs that are condemned now.
    pub condemn: Vec<PackFate>,
    /// Packs that are deleted now.
    pub delete: Vec<PackFate>,
    /// Packs that a later prune deletes.
    pub waiting: Vec<PackFate>,
    /// What was done; nothing in a dry run.
    pub outcome: Outcome,
}

/// How to prune by a configuration.
///
/// # Errors
/// If its grace has no fixed length.
pub fn options(wanted: Option<Pruning>, dry_run: bool) -> Result<Options, SpanError> {
    let usual = Options::default();
    let wanted = wanted.unwrap_or_default();
    let grace = wanted.grace.map(|grace| grace.0.to_duration()).transpose()?;
    Ok(Options {
        grace: grace.unwrap_or(usual.grace),
        max_unused: wanted.max_unused.map_or(usual.max_unused, |percent| f64::from(percent.get()) / 100.0),
        dry_run,
    })
}

/// Plans and prunes.
///
/// # Errors
/// As [`gc::plan`] and [`gc::execute`], or if the run is asked to stop.
pub fn prune(repository: &Repository, options: &Options, monitor: &dyn Monitor) -> Result<Pruned, KeepError> {
    if options.grace.is_zero() {
        let message = "with a grace period of 0 nobody else may write to the repository meanwhile, and nothing can be undone after it";
        monitor.event(Event::info("prune", message));
    }
    let plan = gc::plan(repository, options, monitor)?;
    let mut pruned = Pruned::planned(&plan);
    pruned.outcome = gc::execute(repository, plan, monitor)?;
    if pruned.outcome.cancelled {
        return Err(KeepError::Stopped("what was done is complete, and the next prune goes on"));
    }
    Ok(pruned)
}

impl Pruned {
    /// Size of all packs afterwards, but for what others stored or deleted meanwhile.
    pub fn stored_after(&self) -> u64 {
        (self.stored_before + self.outcome.bytes_written).saturating_sub(self.outcome.bytes_deleted)
    }

    fn planned(plan: &Plan) -> Self {
        Self {
            options: plan.options.clone(),
            plan: plan.to_string(),
            nothing: plan.is_empty(),
            stored_before: plan.stored,
            unused_after: plan.unused,
            unused_young: plan.unused_young,
            blocks_needed: plan.blocks,
            freed_later: plan.freed_later(),
            condemn: plan.condemn.clone(),
            delete: plan.delete.clone(),
            waiting: plan.waiting.clone(),
            outcome: Outcome::default(),
        }
    }
}
