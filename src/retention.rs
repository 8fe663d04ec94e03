//! Which snapshots to keep: a pure function of times, so that keepers need no key and nothing a host claims counts.
//!
//! ```text
//!   snapshots --GroupBy--> groups --Policy::decide--> decisions --plan--> ids to forget, or what speaks against it
//! ```
//!
//! - Time is when the keeper received a snapshot, else the store's time; never a time inside an object.
//! - Each hour, day, week, month and year keeps its first *and* its last snapshot, so that a snapshot forged at 23:59 does not
//!   replace the day's good one. Only periods that hold snapshots count, so a host that was away loses nothing.
//! - `last` keeps the newest N, and also the first and the last of the newest N *hours* that hold any: a burst of snapshots
//!   uses up one of the N, not all.
//! - `within` looks back from the newest snapshot of the group, not from now: a host that fell silent keeps its last days.
//! - Snapshots that no known writer signed are never counted and never forgotten; a person decides about them.
//! - Any policy that is not empty keeps the newest counted snapshot of each group.

mod group;
mod guard;
mod period;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::model::id::SnapshotId;
use crate::model::span::Span;

pub use group::{ContentLabels, GroupBy, GroupError, GroupName, Labels, group};
pub use guard::{Clock, Guard, Limits, Plan, plan};
pub use period::{Period, Unit};

/// How much to keep of each group. Zero means that a rule is off; the default keeps nothing and is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Policy {
    /// Newest snapshots, at most one an hour counted.
    pub last: u32,
    /// Hours that hold snapshots.
    pub hourly: u32,
    /// Days that hold snapshots.
    pub daily: u32,
    /// ISO weeks that hold snapshots.
    pub weekly: u32,
    /// Months that hold snapshots.
    pub monthly: u32,
    /// Years that hold snapshots.
    pub yearly: u32,
    /// Everything so long before the group's newest snapshot.
    pub within: Option<Span>,
}

/// A snapshot to decide about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// The snapshot.
    pub id: SnapshotId,
    /// When the keeper received it, or the store's time of the object.
    pub counted_at: Timestamp,
    /// A pin keeps it whatever the policy says; it counts like any other.
    pub pinned: bool,
    /// A known writer signed it.
    pub trusted: bool,
}

/// What shall happen to a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The snapshot.
    pub id: SnapshotId,
    /// Whether it stays; true if and only if there are reasons.
    pub keep: bool,
    /// Why it stays.
    pub reasons: Vec<Reason>,
}

/// Why a snapshot stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// No known writer signed it, so no rule applies to it.
    UnknownWriter,
    /// It is pinned.
    Pinned,
    /// It is among the newest.
    Newest {
        /// Its place, from 1.
        rank: u32,
        /// How many the policy keeps.
        of: u32,
    },
    /// It is not among the newest, but the first or the last of one of the hours that `last` counts.
    LastHour(Period, Edge),
    /// It is the first or the last of a period.
    Period(Period, Edge),
    /// It is young enough.
    Within(Span),
}

/// Where in its period a snapshot lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// The earliest of several.
    First,
    /// The latest of several.
    Last,
    /// The only one.
    Only,
}

impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Edge::First => "first",
            Edge::Last => "last",
            Edge::Only => "only",
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::UnknownWriter => f.write_str("unknown writer, left alone"),
            Reason::Pinned => f.write_str("pinned"),
            Reason::Newest { rank, of } => write!(f, "last ({rank} of {of})"),
            Reason::LastHour(period, edge) => write!(f, "last, hour {period} ({edge})"),
            Reason::Period(period, edge) => write!(f, "{} {period} ({edge})", period.unit()),
            Reason::Within(span) => write!(f, "within {span}"),
        }
    }
}

impl Policy {
    /// Whether it would keep nothing.
    pub fn is_empty(&self) -> bool {
        self.last == 0 && self.units().iter().all(|(_, count)| *count == 0) && self.within.is_none_or(|span| span.is_zero())
    }

    /// Decides about the snapshots of one group, in their order. Does not ask the guards; [`plan`] does.
    ///
    /// # Errors
    /// [`Guard::EmptyPolicy`] if the policy is empty.
    pub fn decide(&self, group: &[Candidate], zone: &TimeZone, now: Timestamp) -> Result<Vec<Decision>, Guard> {
        if self.is_empty() {
            return Err(Guard::EmptyPolicy);
        }
        let mut judge = Judge::new(group, zone);
        judge.keep_exceptions();
        judge.keep_last(self.last);
        for (unit, count) in self.units() {
            judge.keep_periods(unit, count);
        }
        if let Some(span) = self.within.filter(|span| !span.is_zero()) {
            judge.keep_within(span, now);
        }
        Ok(judge.decisions())
    }

    fn units(&self) -> [(Unit, u32); 5] {
        [
            (Unit::Hour, self.hourly),
            (Unit::Day, self.daily),
            (Unit::Week, self.weekly),
            (Unit::Month, self.monthly),
            (Unit::Year, self.yearly),
        ]
    }
}

/// Collects the reasons for each snapshot of a group.
struct Judge<'a> {
    group: &'a [Candidate],
    zone: &'a TimeZone,
    /// Places in `group` of what counts, newest first; equal times by id, so that the answer does not depend on the order.
    newest_first: Vec<usize>,
    reasons: Vec<Vec<Reason>>,
}

impl<'a> Judge<'a> {
    fn new(group: &'a [Candidate], zone: &'a TimeZone) -> Self {
        let mut newest_first: Vec<usize> = (0..group.len()).filter(|place| group[*place].trusted).collect();
        newest_first.sort_by_key(|place| std::cmp::Reverse((group[*place].counted_at, group[*place].id)));
        Self { group, zone, newest_first, reasons: vec![Vec::new(); group.len()] }
    }

    fn keep_exceptions(&mut self) {
        for (candidate, reasons) in self.group.iter().zip(&mut self.reasons) {
            if !candidate.trusted {
                reasons.push(Reason::UnknownWriter);
            }
            if candidate.pinned {
                reasons.push(Reason::Pinned);
            }
        }
    }

    fn keep_last(&mut self, count: u32) {
        for (rank, place) in (1..=count).zip(&self.newest_first) {
            self.reasons[*place].push(Reason::Newest { rank, of: count });
        }
        for (place, period, edge) in self.edges(Unit::Hour, count) {
            let newest = self.reasons[place].iter().any(|reason| matches!(reason, Reason::Newest { .. }));
            if !newest {
                self.reasons[place].push(Reason::LastHour(period, edge));
            }
        }
    }

    fn keep_periods(&mut self, unit: Unit, count: u32) {
        for (place, period, edge) in self.edges(unit, count) {
            self.reasons[place].push(Reason::Period(period, edge));
        }
    }

    fn keep_within(&mut self, span: Span, now: Timestamp) {
        let Some(newest) = self.newest_first.first() else { return };
        let from = span.before(self.group[*newest].counted_at.min(now), self.zone);
        for place in &self.newest_first {
            if self.group[*place].counted_at >= from {
                self.reasons[*place].push(Reason::Within(span));
            }
        }
    }

    /// The first and the last snapshot of each of the newest `count` periods that hold any.
    fn edges(&self, unit: Unit, count: u32) -> Vec<(usize, Period, Edge)> {
        // Each with its first and its last snapshot; clocks that are set back over midnight return to a day, so that the
        // snapshots of a period need not be neighbours.
        let mut bounds: Vec<(Period, usize, usize)> = Vec::new();
        let mut known: HashMap<Period, usize> = HashMap::new();
        let counted = if count == 0 { &[] } else { &self.newest_first[..] };
        for &place in counted {
            let period = Period::of(unit, self.group[place].counted_at, self.zone);
            match known.entry(period) {
                Entry::Occupied(at) => bounds[*at.get()].1 = place,
                Entry::Vacant(vacant) if bounds.len() < count as usize => {
                    vacant.insert(bounds.len());
                    bounds.push((period, place, place));
                }
                Entry::Vacant(_) => {}
            }
        }
        let edges = |(period, first, last)| match first == last {
            true => vec![(last, period, Edge::Only)],
            false => vec![(last, period, Edge::Last), (first, period, Edge::First)],
        };
        bounds.into_iter().flat_map(edges).collect()
    }

    fn decisions(self) -> Vec<Decision> {
        let pairs = self.group.iter().zip(self.reasons);
        pairs.map(|(candidate, reasons)| Decision { id: candidate.id, keep: !reasons.is_empty(), reasons }).collect()
    }
}

#[cfg(test)]
mod tests;
