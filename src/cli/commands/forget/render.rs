//! Retention's decisions, explained.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::Serialize;

use super::policy::Decided;
use crate::cli::listing::Listed;
use crate::cli::render::table::{Align, Table};
use crate::cli::render::text as words;
use crate::model::human;
use crate::model::id::SnapshotId;
use crate::retention::{Decision, GroupName, Guard};
use crate::sealed::snapshots::Snapshot;

/// A group, for machines.
#[derive(Serialize)]
pub struct GroupRecord {
    group: String,
    snapshots: Vec<DecisionRecord>,
}

impl GroupRecord {
    /// The decisions of a group.
    pub fn new(group: String, snapshots: Vec<DecisionRecord>) -> Self {
        Self { group, snapshots }
    }
}

/// A decision, for machines.
#[derive(Serialize)]
pub struct DecisionRecord {
    id: String,
    received: Option<Timestamp>,
    keep: bool,
    reasons: Vec<String>,
}

/// The snapshots that were decided about.
pub struct Known<'a>(HashMap<SnapshotId, &'a Snapshot>);

impl<'a> Known<'a> {
    /// These.
    pub fn new(snapshots: impl IntoIterator<Item = &'a Snapshot>) -> Self {
        Self(snapshots.into_iter().map(|snapshot| (snapshot.id, snapshot)).collect())
    }

    /// The decisions of a group, for machines.
    pub fn records(&self, decisions: &[Decision]) -> Vec<DecisionRecord> {
        let record = |decision: &Decision| DecisionRecord {
            id: decision.id.to_string(),
            received: self.0.get(&decision.id).map(|snapshot| snapshot.received_at()),
            keep: decision.keep,
            reasons: reasons(decision),
        };
        decisions.iter().map(record).collect()
    }

    /// The decisions of a group, for people: each one if `explain`, else counts.
    pub fn text(&self, title: &str, decisions: &[Decision], explain: bool) -> String {
        let kept = decisions.iter().filter(|decision| decision.keep).count();
        let count = format!("{} kept, {} {}", kept, decisions.len() - kept, if explain { "to be forgotten" } else { "forgotten" });
        let table = if explain { self.table(decisions) + "\n" } else { String::new() };
        format!("{title}: {count}\n{table}")
    }

    fn table(&self, decisions: &[Decision]) -> String {
        let now = Timestamp::now();
        let mut table = Table::new(&[
            ("ID", Align::Left),
            ("RECEIVED", Align::Left),
            ("AGE", Align::Left),
            ("DECISION", Align::Left),
            ("WHY", Align::Left),
        ]);
        let mut rows: Vec<_> = decisions.iter().filter_map(|decision| Some((decision, self.0.get(&decision.id)?))).collect();
        rows.sort_by_key(|(_, snapshot)| std::cmp::Reverse(snapshot.received));
        for (decision, snapshot) in rows {
            let received = snapshot.received_at();
            let why = if decision.keep { reasons(decision).join("; ") } else { "no rule keeps it".to_owned() };
            let word = if decision.keep { "keep" } else { "forget" };
            table.row([decision.id.short(), words::moment(received), human::age(received, now), word.to_owned(), why]);
        }
        table.render()
    }
}

fn reasons(decision: &Decision) -> Vec<String> {
    decision.reasons.iter().map(ToString::to_string).collect()
}

/// What speaks against a plan that is only tried.
pub fn objections(objections: &[Guard]) -> String {
    objections.iter().map(|objection| format!("This would be refused: {objection}\n")).collect()
}

/// The decisions for machines.
pub fn records(decided: &Decided<'_>) -> Vec<GroupRecord> {
    let snapshots = Known::new(decided.list.iter().map(|listed| &listed.snapshot));
    let group =
        |(name, decisions): &(GroupName, Vec<Decision>)| GroupRecord { group: name.to_string(), snapshots: snapshots.records(decisions) };
    decided.plan.groups.iter().map(group).collect()
}

/// The decisions for people: each one in a dry run, counts otherwise.
pub fn text(decided: &Decided<'_>, explain: bool) -> String {
    let snapshots = Known::new(decided.list.iter().map(|listed| &listed.snapshot));
    let listed: HashMap<SnapshotId, &Listed> = decided.list.iter().map(|listed| (listed.snapshot.id, *listed)).collect();
    let mut text = String::new();
    for (name, decisions) in &decided.plan.groups {
        text.push_str(&snapshots.text(&title(name, decisions, &listed), decisions, explain));
    }
    if decided.plan.groups.is_empty() {
        text.push_str("No snapshots to decide about\n");
    }
    for listed in &decided.incomplete {
        text.push_str(&format!("{} is incomplete and left to its writer's next run\n", listed.describe()));
    }
    if explain {
        text.push_str(&objections(&decided.plan.objections));
        text.push_str("Dry run, nothing was forgotten\n");
    }
    text
}

/// The group's name, with what its newest snapshot is labelled where that is known and the name does not say it.
fn title(name: &GroupName, decisions: &[Decision], snapshots: &HashMap<SnapshotId, &Listed>) -> String {
    let newest = decisions.iter().filter_map(|decision| snapshots.get(&decision.id)).max_by_key(|listed| listed.snapshot.received);
    let name = words::path(name.to_string().as_bytes());
    let Some(labels) = newest.and_then(|listed| listed.labels.as_ref()) else {
        return newest.map_or(name.clone(), |listed| format!("{name} ({})", words::path(listed.writer.as_bytes())));
    };
    let job = if labels.job.is_empty() { String::new() } else { format!(", job {}", labels.job) };
    let paths = labels.paths.iter().take(2).map(|path| words::path(&path.0)).collect::<Vec<_>>().join(" ");
    format!("{name} (host {}{job}, {paths})", labels.host)
}
