//! Bringing a mirror up to date, and keeping house in it.
//!
//! ```text
//!   source, store --> statements and keys
//!      --> choose: what is new, less what was forgotten in the mirror, less what its own retention would not keep
//!      --> copy --> forget in the mirror --> prune it --> read a share of it back     --> Mirrored
//! ```
//!
//! Nothing is forgotten or pruned in the mirror after the source showed an older state than it did before: what the mirror has may
//! then be all that there is.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::forget::{Memory, candidate, carry_out, clock};
use super::prune::{Pruned, prune};
use super::{AFTER_FAILURE, Ended, KeepError, check, step};
use crate::model::event::{Event, Monitor};
use crate::model::id::SnapshotId;
use crate::retention::{self, Candidate, GroupBy, GroupName, Labels, Limits, Plan, Policy};
use crate::sealed::mirror::{self, Choice, Estimate, Outcome};
use crate::sealed::repository::Repository;
use crate::sealed::snapshots::{Snapshot, Snapshots};
use crate::sealed::verify::Share;
use crate::sealed::{gc, verify};
use crate::store::{Folder, Store};

/// Why nothing is forgotten or pruned.
const AFTER_ROLLBACK: &str = "does not run, as the source shows an older state than the mirror has seen";

/// How to mirror.
pub struct MirrorOptions {
    /// What the mirror keeps; everything if there is none.
    pub policy: Option<Policy>,
    /// What one run may forget.
    pub limits: Limits,
    /// The time zone of days, weeks, months and years.
    pub zone: TimeZone,
    /// How to prune the mirror afterwards, if at all.
    pub prune: Option<gc::Options>,
    /// How much of the mirror's packs is read back, in percent.
    pub verify: Option<u8>,
    /// Change nothing, only say what would be done.
    pub dry_run: bool,
}

/// What the mirror's retention decided.
pub struct Thinned {
    /// The snapshots that were decided about.
    pub snapshots: Vec<Snapshot>,
    /// The decisions.
    pub plan: Plan<GroupName>,
    /// What was forgotten.
    pub forgotten: Vec<SnapshotId>,
    /// Why not all was that should have been.
    pub error: Option<KeepError>,
}

/// What became of a run.
pub struct Mirrored {
    /// The mirror; none in a dry run that would make it.
    pub repository: Option<Repository>,
    /// Whether the mirror was made.
    pub created: bool,
    /// Statements copied, a count.
    pub statements: u64,
    /// Snapshots that were, or would be, brought.
    pub wanted: u64,
    /// New snapshots that the mirror's retention would not keep, so that they are not brought; a count.
    pub passed_over: u64,
    /// Snapshots of the source that the mirror has forgotten; a count.
    pub forgotten_before: u64,
    /// Objects in the source's `snapshots/` that cannot be read; a count.
    pub unreadable: u64,
    /// Whether the source shows an older state than the mirror has seen.
    pub rolled_back: bool,
    /// What a dry run would copy.
    pub estimate: Option<Estimate>,
    /// What was copied.
    pub outcome: Outcome,
    /// What was forgotten in the mirror.
    pub forget: Ended<Thinned>,
    /// What was given back there.
    pub prune: Ended<Pruned>,
    /// What was found there.
    pub verify: Ended<verify::Report>,
}

impl Mirrored {
    /// Whether a step could not be done, or a snapshot could not be brought. What a check finds is no failure of it.
    pub fn failed(&self) -> bool {
        let forget = match &self.forget {
            Ended::Failed(_) => true,
            Ended::Done(thinned) => thinned.error.is_some(),
            Ended::NotAsked | Ended::Skipped(_) => false,
        };
        forget || matches!(self.prune, Ended::Failed(_)) || matches!(self.verify, Ended::Failed(_))
    }
}

/// Brings the mirror of `source` in `store` up to date; without a store, which only a dry run may lack, says what that would take.
/// `memory` is what this machine remembers of the mirror.
///
/// # Errors
/// If the store holds another repository, the source shows older statements than the mirror has, a store fails, or the run is asked
/// to stop.
pub fn mirror(
    source: &Repository,
    store: Option<&Arc<dyn Store>>,
    memory: &Memory,
    options: &MirrorOptions,
    monitor: &dyn Monitor,
) -> Result<Mirrored, KeepError> {
    monitor.event(Event::Phase("compare"));
    let before = store.map(|store| mirror::open(source, store)).transpose()?.flatten();
    let (repository, created, statements) = match store.filter(|_| !options.dry_run) {
        Some(store) => {
            let followed = mirror::follow(source, store, monitor)?;
            (Some(followed.repository), followed.created, followed.statements)
        }
        None => (before, false, 0),
    };
    let Choice { new, kept, forgotten, unreadable, rolled_back } = mirror::choose(source, repository.as_ref(), monitor)?;
    let wanted = select(&new, &kept, memory, options)?;
    if let Some(repository) = &repository {
        refuse_original(repository, &kept, &wanted, memory, options)?;
    }
    let mut done = Mirrored {
        created,
        statements,
        wanted: wanted.len() as u64,
        passed_over: (new.len() - wanted.len()) as u64,
        forgotten_before: forgotten,
        unreadable,
        rolled_back,
        estimate: None,
        outcome: Outcome::default(),
        forget: Ended::NotAsked,
        prune: Ended::NotAsked,
        verify: Ended::NotAsked,
        repository: None,
    };
    match repository.as_ref().filter(|_| !options.dry_run) {
        Some(repository) => {
            done.outcome = mirror::copy(source, repository, &wanted, monitor)?;
            if done.outcome.cancelled {
                return Err(KeepError::Stopped("what is copied stays, and the next run goes on"));
            }
            keep_house(repository, memory, options, monitor, &mut done);
        }
        None => done.estimate = Some(mirror::estimate(source, repository.as_ref(), &wanted, monitor)?),
    }
    if options.dry_run {
        let all = kept.into_iter().chain(wanted).collect();
        done.forget = options.policy.map_or(Ok(Ended::NotAsked), |policy| thin_out(all, &policy, memory, options).map(Ended::Done))?;
        if let (Some(repository), Some(pruning)) = (&repository, &options.prune) {
            done.prune = Ended::Done(prune(repository, pruning, monitor)?);
        }
    }
    done.repository = repository;
    Ok(done)
}

/// Whoever mixes up the two ends would thin out the original by the rules of its mirror. So where no mirror has ever brought anything,
/// its rules forget nothing.
fn refuse_original(
    repository: &Repository,
    kept: &[Snapshot],
    wanted: &[Snapshot],
    memory: &Memory,
    options: &MirrorOptions,
) -> Result<(), KeepError> {
    let Some(policy) = &options.policy else { return Ok(()) };
    let limits = Limits { max_forget_percent: 100, ..options.limits };
    let plan = decide(kept.iter().chain(wanted), policy, memory, &limits, &options.zone)?;
    let forgotten = plan.decisions().filter(|decision| !decision.keep).count();
    if forgotten > 0 && mirror::is_original(repository, kept)? {
        return Err(KeepError::NoMirror { location: repository.store().location(), forgotten });
    }
    Ok(())
}

/// Of the new snapshots those that the mirror's retention would keep: the others would only be brought to be forgotten.
fn select(new: &[Snapshot], kept: &[Snapshot], memory: &Memory, options: &MirrorOptions) -> Result<Vec<Snapshot>, KeepError> {
    let Some(policy) = &options.policy else { return Ok(new.to_vec()) };
    // Not to bring most of them is nothing that could not be made up for.
    let limits = Limits { max_forget_percent: 100, ..options.limits };
    let plan = decide(new.iter().chain(kept), policy, memory, &limits, &options.zone)?;
    if !plan.objections.is_empty() {
        return Ok(new.to_vec());
    }
    let stay: HashSet<SnapshotId> = plan.decisions().filter(|decision| decision.keep).map(|decision| decision.id).collect();
    Ok(new.iter().filter(|snapshot| stay.contains(&snapshot.id)).cloned().collect())
}

fn decide<'a>(
    snapshots: impl Iterator<Item = &'a Snapshot> + Clone,
    policy: &Policy,
    memory: &Memory,
    limits: &Limits,
    zone: &TimeZone,
) -> Result<Plan<GroupName>, KeepError> {
    let mut groups: BTreeMap<GroupName, Vec<Candidate>> = BTreeMap::new();
    for snapshot in snapshots.clone() {
        let labels = Labels { writer: snapshot.envelope.writer, group: snapshot.envelope.group, content: None };
        // Without a key one groups by what envelopes show, which never fails.
        if let Ok(name) = GroupBy::default().name(&labels) {
            groups.entry(name).or_default().push(candidate(snapshot));
        }
    }
    Ok(retention::plan(groups, policy, zone, &clock(snapshots, memory), limits)?)
}

fn thin_out(snapshots: Vec<Snapshot>, policy: &Policy, memory: &Memory, options: &MirrorOptions) -> Result<Thinned, KeepError> {
    let plan = decide(snapshots.iter(), policy, memory, &options.limits, &options.zone)?;
    Ok(Thinned { snapshots, plan, forgotten: Vec::new(), error: None })
}

/// Forgets, prunes and reads back, each as far as it was asked for. What fails is told, and keeps no other step but the prune from running.
fn keep_house(repository: &Repository, memory: &Memory, options: &MirrorOptions, monitor: &dyn Monitor, done: &mut Mirrored) {
    if let Some(policy) = &options.policy {
        done.forget = if done.rolled_back {
            Ended::Skipped(AFTER_ROLLBACK)
        } else {
            step("forget", monitor, || forget(repository, policy, memory, options, monitor))
        };
    }
    let forget_failed = done.failed();
    if let Some(pruning) = &options.prune {
        done.prune = match (done.rolled_back, forget_failed) {
            (true, _) => Ended::Skipped(AFTER_ROLLBACK),
            (_, true) => Ended::Skipped(AFTER_FAILURE),
            _ => step("prune", monitor, || prune(repository, pruning, monitor)),
        };
    }
    if let Some(share) = options.verify.filter(|share| *share > 0) {
        done.verify = step("verify", monitor, || check::check(repository, Some(Share::Percent(share)), monitor));
    }
}

fn forget(
    repository: &Repository,
    policy: &Policy,
    memory: &Memory,
    options: &MirrorOptions,
    monitor: &dyn Monitor,
) -> Result<Thinned, KeepError> {
    monitor.event(Event::Phase("forget"));
    let list = Snapshots::load(repository, Folder::Snapshots)?.list;
    let mut thinned = thin_out(list.into_iter().filter(|snapshot| snapshot.committed).collect(), policy, memory, options)?;
    match carry_out(&thinned.plan, repository, &mut thinned.forgotten, monitor) {
        Ok(()) => memory.remember_run()?,
        Err(error) => {
            monitor.event(Event::error("forget", error.to_string()));
            thinned.error = Some(error);
        }
    }
    Ok(thinned)
}
