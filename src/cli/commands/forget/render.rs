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
use crate::retention::{Decision, GroupName};

/// A group, for machines.
#[derive(Serialize)]
pub struct GroupRecord {
    group: String,
    snapshots: Vec<DecisionRecord>,
}

#[derive(Serialize)]
struct DecisionRecord {
    id: String,
    received: Option<Timestamp>,
    keep: bool,
    reasons: Vec<String>,
}

fn by_id<'a>(decided: &Decided<'a>) -> HashMap<SnapshotId, &'a Listed> {
    decided.list.iter().map(|listed| (listed.snapshot.id, *listed)).collect()
}

/// The decisions for machines.
pub fn records(decided: &Decided<'_>) -> Vec<GroupRecord> {
    let snapshots = by_id(decided);
    let record = |decision: &Decision| DecisionRecord {
        id: decision.id.to_string(),
        received: snapshots.get(&decision.id).map(|listed| words::timestamp(listed.snapshot.received)),
        keep: decision.keep,
        reasons: reasons(decision),
    };
    let group = |(name, decisions): &(GroupName, Vec<Decision>)| GroupRecord {
        group: name.to_string(),
        snapshots: decisions.iter().map(record).collect(),
    };
    decided.plan.groups.iter().map(group).collect()
}

fn reasons(decision: &Decision) -> Vec<String> {
    decision.reasons.iter().map(ToString::to_string).collect()
}

/// The decisions for people: each one in a dry run, counts otherwise.
pub fn text(decided: &Decided<'_>, explain: bool) -> String {
    let snapshots = by_id(decided);
    let mut text = String::new();
    for (name, decisions) in &decided.plan.groups {
        let kept = decisions.iter().filter(|decision| decision.keep).count();
        let count = format!("{} kept, {} {}", kept, decisions.len() - kept, if explain { "to be forgotten" } else { "forgotten" });
        text.push_str(&format!("{}: {count}\n", title(name, decisions, &snapshots)));
        if explain {
            text.push_str(&table(decisions, &snapshots));
            text.push('\n');
        }
    }
    if decided.plan.groups.is_empty() {
        text.push_str("No snapshots to decide about\n");
    }
    for listed in &decided.incomplete {
        text.push_str(&format!("{} is incomplete and left to its writer's next run\n", listed.describe()));
    }
    if explain {
        for objection in &decided.plan.objections {
            text.push_str(&format!("This would be refused: {objection}\n"));
        }
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

fn table(decisions: &[Decision], snapshots: &HashMap<SnapshotId, &Listed>) -> String {
    let now = Timestamp::now();
    let mut table = Table::new(&[
        ("ID", Align::Left),
        ("RECEIVED", Align::Left),
        ("AGE", Align::Left),
        ("DECISION", Align::Left),
        ("WHY", Align::Left),
    ]);
    let mut rows: Vec<_> = decisions.iter().filter_map(|decision| Some((decision, snapshots.get(&decision.id)?))).collect();
    rows.sort_by_key(|(_, listed)| std::cmp::Reverse(listed.snapshot.received));
    for (decision, listed) in rows {
        let received = words::timestamp(listed.snapshot.received);
        let why = if decision.keep { reasons(decision).join("; ") } else { "no rule keeps it".to_owned() };
        let word = if decision.keep { "keep" } else { "forget" };
        table.row([decision.id.short(), words::moment(received), human::age(received, now), word.to_owned(), why]);
    }
    table.render()
}
