//! Forgetting by the hub's retention, which counts by the time that the hub received snapshots.
//!
//! Each group, of one writer and one job, is decided about by itself: whoever floods one, or makes up others, takes nothing from the good
//! ones. Of each period the first and the last snapshot stay, and where more than a share of a group would go, nothing of it goes before
//! a person has looked.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::House;
use super::record::Forgotten;
use crate::keep::KeepError;
use crate::keep::forget::{candidate, carry_out, clock, policy};
use crate::model::event::Event;
use crate::model::human;
use crate::model::id::SnapshotId;
use crate::retention::{self, Clock, GroupBy, GroupName, Guard, Labels, Limits, Plan};
use crate::sealed::received;
use crate::sealed::snapshots::{Signer, Snapshot, Snapshots};
use crate::store::Folder;

/// How far a writer's clock may be from the hub's.
const SKEW: SignedDuration = SignedDuration::from_hours(1);

/// One group, and what became of it.
pub struct Group {
    /// Which.
    pub name: GroupName,
    /// The decisions.
    pub plan: Plan<GroupName>,
    /// What was forgotten.
    pub forgotten: Vec<SnapshotId>,
    /// Why not all was that should have been.
    pub error: Option<KeepError>,
}

/// What a forget did.
#[derive(Default)]
pub struct Thinned {
    /// All groups; none if there is no retention.
    pub groups: Vec<Group>,
    /// The snapshots that were decided about.
    pub snapshots: Vec<Snapshot>,
    /// Snapshots that are there and whose writer's clock was off by more than an hour: which, and by how much.
    pub skewed: Vec<(SnapshotId, SignedDuration)>,
    /// Snapshots that no open writer signed, a count.
    pub foreign: u64,
    /// Objects that are no readable snapshots, a count.
    pub unreadable: u64,
}

impl Thinned {
    /// The groups of which something should have been forgotten and was not.
    pub fn refused(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter().filter(|group| group.error.is_some())
    }

    /// What was forgotten in all groups.
    pub fn forgotten(&self) -> u64 {
        self.groups.iter().map(|group| group.forgotten.len() as u64).sum()
    }

    /// In figures.
    pub fn figures(&self) -> Forgotten {
        let counting = self.snapshots.iter().filter(|snapshot| snapshot.counts()).count() as u64;
        Forgotten {
            kept: counting.saturating_sub(self.forgotten()),
            forgotten: self.forgotten(),
            refused: self.refused().count() as u64,
            skewed: self.skewed.len() as u64,
        }
    }

    /// What is written down of it.
    pub(super) fn summary(&self) -> (Forgotten, Vec<String>) {
        let refused: Vec<String> = self
            .refused()
            .map(|group| format!("{}: {}", group.name, group.error.as_ref().map(ToString::to_string).unwrap_or_default()))
            .collect();
        (self.figures(), refused)
    }
}

/// Writes down when snapshots were received, and forgets those that the retention does not keep.
pub(super) fn forget(house: &House<'_>) -> Result<Thinned, KeepError> {
    let (options, monitor) = (house.options, house.monitor);
    monitor.event(Event::Phase("forget"));
    if !options.dry_run {
        received::write_down(&house.repository, "hub")?;
    }
    let found = Snapshots::load(&house.repository, Folder::Snapshots)?;
    let mut thinned = Thinned { unreadable: found.unreadable.len() as u64, ..Thinned::default() };
    for (name, error) in &found.unreadable {
        monitor.event(Event::warning(name.to_string(), error.to_string()));
    }
    thinned.foreign = found.list.iter().filter(|snapshot| snapshot.signer != Signer::Known).count() as u64;
    thinned.skewed = found.list.iter().filter(|snapshot| snapshot.counts()).filter_map(skew).collect();
    report_skew(house, &thinned.skewed, &found.list);
    let special = options.hub.repositories.get(house.name).and_then(|repository| repository.retention);
    let Some(retention) = special.or(options.hub.retention) else {
        thinned.snapshots = found.list;
        return Ok(thinned);
    };
    let memory = house.memory(None);
    let clock = clock(&found.list, &memory);
    let configured = options.hub.max_forget.map(|share| share.get());
    let usual = Limits::default();
    let limits = Limits {
        max_forget_percent: options.max_forget.or(configured).unwrap_or(usual.max_forget_percent),
        accept_clock: options.accept_clock,
    };
    let mut all_fine = true;
    for (name, snapshots) in groups(&found.list) {
        let mut group = decide(name, &snapshots, &policy(&retention), &clock, &limits)?;
        if !options.dry_run
            && let Err(error) = carry_out(&group.plan, &house.repository, &mut group.forgotten, monitor)
        {
            monitor.event(Event::error(format!("forget, {}, {}", house.name, group.name), error.to_string()));
            all_fine = false;
            group.error = Some(error);
        }
        thinned.groups.push(group);
    }
    thinned.snapshots = found.list;
    // A clock that was refused is no time to remember. One group that is refused for another reason is none to stop at for ever.
    let clock_refused = |group: &Group| matches!(group.error, Some(KeepError::Guard(Guard::ClockAhead { .. } | Guard::ClockBehind { .. })));
    if !options.dry_run && (all_fine || !thinned.groups.iter().any(clock_refused)) {
        memory.remember_run()?;
    }
    Ok(thinned)
}

/// Finished snapshots by writer and group: without a key that is what one sees of hosts and jobs.
fn groups(all: &[Snapshot]) -> BTreeMap<GroupName, Vec<Snapshot>> {
    let mut groups: BTreeMap<GroupName, Vec<Snapshot>> = BTreeMap::new();
    for snapshot in all.iter().filter(|snapshot| snapshot.committed) {
        let labels = Labels { writer: snapshot.envelope.writer, group: snapshot.envelope.group, content: None };
        // What envelopes show never fails.
        if let Ok(name) = GroupBy::default().name(&labels) {
            groups.entry(name).or_default().push(snapshot.clone());
        }
    }
    groups
}

fn decide(name: GroupName, snapshots: &[Snapshot], policy: &retention::Policy, clock: &Clock, limits: &Limits) -> Result<Group, KeepError> {
    let candidates = snapshots.iter().map(candidate).collect();
    let plan = retention::plan([(name.clone(), candidates)], policy, &TimeZone::system(), clock, limits)?;
    Ok(Group { name, plan, forgotten: Vec::new(), error: None })
}

/// How far the writer's clock was ahead of the hub's when it signed, if that is far.
fn skew(snapshot: &Snapshot) -> Option<(SnapshotId, SignedDuration)> {
    let ahead = snapshot.envelope.finished.duration_since(snapshot.received_at());
    (ahead.abs() > SKEW).then_some((snapshot.id, ahead))
}

/// Tells of those that came since the last run; the others were told of already.
fn report_skew(house: &House<'_>, skewed: &[(SnapshotId, SignedDuration)], all: &[Snapshot]) {
    let last = house.record.forget.done_at.unwrap_or(Timestamp::MIN);
    for (id, ahead) in skewed {
        let Some(snapshot) = all.iter().find(|snapshot| snapshot.id == *id && snapshot.received_at() > last) else { continue };
        let word = if ahead.is_positive() { "ahead of" } else { "behind" };
        let message = format!(
            "its writer {} says that it was finished at {}, and the hub received it at {}: the writer's clock is {} {word} the hub's, or \
             somebody forges times. Retention counts by the hub's",
            snapshot.envelope.writer.short(),
            snapshot.envelope.finished,
            snapshot.received_at(),
            human::duration(ahead.unsigned_abs()),
        );
        house.monitor.event(Event::warning(format!("{}, snapshots/{}", house.name, id.short()), message));
    }
}
