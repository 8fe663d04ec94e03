//! Plans of what to forget, and what speaks against carrying them out.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::{Candidate, Decision, Policy};
use crate::model::human;
use crate::model::id::SnapshotId;

/// How far the clocks of a keeper and its store may disagree.
const TOLERANCE: SignedDuration = SignedDuration::from_mins(5);
/// A longer time since the last run is more likely a wrong clock than a keeper that was off.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Why nothing is forgotten.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Guard {
    /// The policy keeps nothing.
    #[error(
        "the policy keeps nothing, so every snapshot would be forgotten; give at least one of --keep-last, --keep-hourly, \
         --keep-daily, --keep-weekly, --keep-monthly, --keep-yearly or --keep-within"
    )]
    EmptyPolicy,
    /// The keeper's clock is behind something it has recorded.
    #[error(
        "the clock says {now}, but the newest record is from {newest} ({}); nothing is forgotten by a wrong clock: \
         set it, or accept it for this run with --accept-clock", human::age(*.newest, *.now)
    )]
    ClockBehind {
        /// What the clock says.
        now: Timestamp,
        /// The newest record, or the last run.
        newest: Timestamp,
    },
    /// The keeper's clock is far past its last run.
    #[error(
        "the clock says {now}, but the last run was at {last_run} ({}), more than 30 days before; nothing is forgotten by a wrong \
         clock: set it, or, if it is right, accept it for this run with --accept-clock", human::age(*.last_run, *.now)
    )]
    ClockAhead {
        /// What the clock says.
        now: Timestamp,
        /// When retention last ran.
        last_run: Timestamp,
    },
    /// Too many would be forgotten at once.
    #[error(
        "{forget} of {of} snapshots would be forgotten, more than {percent}% in one run; see each decision with --dry-run and, \
         if it is meant, allow it for this run with --max-forget 100"
    )]
    TooMany {
        /// How many would be forgotten.
        forget: usize,
        /// How many there are that count.
        of: usize,
        /// The limit.
        percent: u8,
    },
}

/// What the keeper knows about time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// What its clock says.
    pub now: Timestamp,
    /// The newest time it has recorded anywhere; the candidates' own times are looked at in any case.
    pub newest_record: Option<Timestamp>,
    /// When it last forgot; none before the first run.
    pub last_run: Option<Timestamp>,
}

/// What one run may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Of the snapshots that count, over all groups, at most so many percent are forgotten; 100 is no limit. The default, 90, lets
    /// frequent backups be thinned out daily and stops a policy that is off by a factor of ten.
    pub max_forget_percent: u8,
    /// A person has looked at the clock and found it right.
    pub accept_clock: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_forget_percent: 90, accept_clock: false }
    }
}

/// What a run would do, group by group, and what speaks against it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan<K> {
    /// The decisions, in the order of the groups and of the snapshots in them.
    pub groups: Vec<(K, Vec<Decision>)>,
    /// What speaks against carrying it out.
    pub objections: Vec<Guard>,
}

impl<K> Plan<K> {
    /// The snapshots to forget.
    ///
    /// # Errors
    /// The first objection, if there is any.
    pub fn to_forget(&self) -> Result<Vec<SnapshotId>, Guard> {
        match self.objections.first() {
            Some(objection) => Err(objection.clone()),
            None => Ok(self.decisions().filter(|decision| !decision.keep).map(|decision| decision.id).collect()),
        }
    }

    /// All decisions.
    pub fn decisions(&self) -> impl Iterator<Item = &Decision> {
        self.groups.iter().flat_map(|(_, decisions)| decisions)
    }
}

/// Decides about all groups of one run. The plan explains itself even if there are objections to it.
///
/// # Errors
/// [`Guard::EmptyPolicy`] if the policy is empty.
pub fn plan<K>(
    groups: impl IntoIterator<Item = (K, Vec<Candidate>)>,
    policy: &Policy,
    zone: &TimeZone,
    clock: &Clock,
    limits: &Limits,
) -> Result<Plan<K>, Guard> {
    let mut plan = Plan { groups: Vec::new(), objections: Vec::new() };
    let (mut newest, mut counted) = (clock.newest_record.max(clock.last_run), 0);
    for (name, group) in groups {
        newest = group.iter().map(|candidate| Some(candidate.counted_at)).max().flatten().max(newest);
        counted += group.iter().filter(|candidate| candidate.trusted).count();
        plan.groups.push((name, policy.decide(&group, zone, clock.now)?));
    }
    let forget = plan.decisions().filter(|decision| !decision.keep).count();
    plan.objections.extend(clock_objection(clock, newest).filter(|_| !limits.accept_clock));
    plan.objections.extend(fraction_objection(forget, counted, limits.max_forget_percent));
    Ok(plan)
}

fn clock_objection(clock: &Clock, newest: Option<Timestamp>) -> Option<Guard> {
    let now = clock.now;
    if let Some(newest) = newest.filter(|newest| newest.duration_since(now) > TOLERANCE) {
        return Some(Guard::ClockBehind { now, newest });
    }
    let last_run = clock.last_run.filter(|last_run| now.duration_since(*last_run) > LONGEST_PAUSE)?;
    Some(Guard::ClockAhead { now, last_run })
}

fn fraction_objection(forget: usize, of: usize, percent: u8) -> Option<Guard> {
    let beyond = forget as u128 * 100 > of as u128 * u128::from(percent);
    beyond.then_some(Guard::TooMany { forget, of, percent })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn daily(days: i64) -> Vec<Candidate> {
        let start = at("2026-01-01T03:00:00Z");
        let candidate = |day| Candidate {
            id: SnapshotId::of(&i64::to_le_bytes(day)),
            counted_at: start + SignedDuration::from_hours(24 * day),
            pinned: false,
            trusted: true,
        };
        (0..days).map(candidate).collect()
    }

    fn clock(now: &str) -> Clock {
        Clock { now: at(now), newest_record: None, last_run: None }
    }

    fn objections(days: i64, policy: Policy, clock: Clock, limits: Limits) -> Vec<Guard> {
        plan([((), daily(days))], &policy, &TimeZone::UTC, &clock, &limits).unwrap().objections
    }

    const WEEK: Policy = Policy { last: 0, hourly: 0, daily: 7, weekly: 0, monthly: 0, yearly: 0, within: None };

    #[test]
    fn an_empty_policy_is_refused() {
        let refused = plan([((), daily(3))], &Policy::default(), &TimeZone::UTC, &clock("2026-02-01T00:00:00Z"), &Limits::default());
        let error = refused.unwrap_err();
        assert_eq!(error, Guard::EmptyPolicy);
        assert!(error.to_string().contains("--keep-daily"));
    }

    #[test]
    fn a_plan_without_objections_hands_out_what_to_forget() {
        let plan = plan([("g", daily(10))], &WEEK, &TimeZone::UTC, &clock("2026-01-11T00:00:00Z"), &Limits::default()).unwrap();
        let oldest: Vec<_> = daily(3).iter().map(|candidate| candidate.id).collect();
        assert_eq!(plan.to_forget().unwrap(), oldest);
    }

    #[test]
    fn forgetting_most_at_once_needs_consent() {
        let now = clock("2026-12-01T00:00:00Z");
        assert_eq!(objections(70, WEEK, now, Limits::default()), []);
        let found = objections(71, WEEK, now, Limits::default());
        assert_eq!(found, [Guard::TooMany { forget: 64, of: 71, percent: 90 }]);
        assert!(found[0].to_string().contains("64 of 71") && found[0].to_string().contains("--max-forget 100"));
        assert_eq!(objections(71, WEEK, now, Limits { max_forget_percent: 100, ..Limits::default() }), []);
        let none = Limits { max_forget_percent: 0, ..Limits::default() };
        assert_eq!(objections(7, WEEK, now, none), []);
        assert_eq!(objections(8, WEEK, now, none).len(), 1);
    }

    #[test]
    fn the_fraction_is_taken_over_all_groups_and_only_of_what_counts() {
        let strangers = daily(500).into_iter().map(|candidate| Candidate { trusted: false, ..candidate });
        let groups = [("a", daily(71)), ("b", strangers.collect())];
        let now = clock("2027-12-01T00:00:00Z");
        let found = plan(groups, &WEEK, &TimeZone::UTC, &now, &Limits::default()).unwrap();
        assert_eq!(found.objections, [Guard::TooMany { forget: 64, of: 71, percent: 90 }]);
        assert_eq!(found.decisions().count(), 571);
        assert!(found.to_forget().is_err());
        let groups = [("a", daily(71)), ("b", daily(7))];
        assert_eq!(plan(groups, &WEEK, &TimeZone::UTC, &now, &Limits::default()).unwrap().objections, []);
    }

    #[test]
    fn a_clock_behind_any_record_forgets_nothing() {
        let newest = at("2026-01-10T03:00:00Z");
        let behind = clock("2026-01-10T02:00:00Z");
        let found = objections(10, WEEK, behind, Limits::default());
        assert_eq!(found, [Guard::ClockBehind { now: behind.now, newest }]);
        assert!(found[0].to_string().contains("1 hour from now"), "{}", found[0]);
        assert_eq!(objections(10, WEEK, behind, Limits { accept_clock: true, ..Limits::default() }), []);
        assert_eq!(objections(10, WEEK, clock("2026-01-10T02:56:00Z"), Limits::default()), []);
        let recorded = Clock { newest_record: Some(at("2026-03-01T00:00:00Z")), ..clock("2026-02-01T00:00:00Z") };
        assert_eq!(objections(10, WEEK, recorded, Limits::default()).len(), 1);
        let ran = Clock { last_run: Some(at("2026-03-01T00:00:00Z")), ..clock("2026-02-01T00:00:00Z") };
        assert_eq!(objections(10, WEEK, ran, Limits::default()).len(), 1);
    }

    #[test]
    fn a_clock_thirty_days_past_the_last_run_forgets_nothing() {
        let last_run = at("2026-02-01T00:00:00Z");
        let fine = Clock { last_run: Some(last_run), ..clock("2026-03-03T00:00:00Z") };
        assert_eq!(objections(10, WEEK, fine, Limits::default()), []);
        let late = Clock { last_run: Some(last_run), ..clock("2026-03-03T00:00:01Z") };
        let found = objections(10, WEEK, late, Limits::default());
        assert_eq!(found, [Guard::ClockAhead { now: late.now, last_run }]);
        assert!(found[0].to_string().contains("30 days ago") && found[0].to_string().contains("--accept-clock"), "{}", found[0]);
        assert_eq!(objections(10, WEEK, late, Limits { accept_clock: true, ..Limits::default() }), []);
    }
}
