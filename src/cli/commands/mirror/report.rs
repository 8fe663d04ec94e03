//! What became of bringing a mirror up to date, for people and machines.

use serde::Serialize;

use crate::cli::commands::check::report::Report as CheckReport;
use crate::cli::commands::forget::render::{GroupRecord, Known, objections};
use crate::cli::commands::prune::Report as PruneReport;
use crate::cli::commands::step::Step;
use crate::cli::render::text::{self, count};
use crate::keep::mirror::{Mirrored, Thinned};
use crate::model::human;
use crate::model::id::SnapshotId;
use crate::sealed::mirror::Estimate;

/// What became of each step; one that was not asked for is absent. Sizes in bytes.
#[derive(Serialize)]
pub struct Report {
    from: String,
    to: String,
    dry_run: bool,
    warnings: u64,
    created: bool,
    /// Whether the source shows an older state than the mirror has seen.
    rolled_back: bool,
    statements: u64,
    snapshots: Vec<String>,
    failed: Vec<FailedRecord>,
    waiting: Vec<String>,
    /// In a dry run: how many snapshots would be brought.
    wanted: u64,
    /// New ones that the mirror's retention would not keep.
    passed_over: u64,
    /// Those of the source that the mirror has forgotten.
    forgotten_before: u64,
    unreadable: u64,
    packs: u64,
    bytes: u64,
    bytes_picked: u64,
    lists: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    estimate: Option<EstimateRecord>,
    forget: Option<Step<ThinnedRecord>>,
    prune: Option<Step<PruneReport>>,
    verify: Option<Step<CheckReport>>,
}

#[derive(Serialize)]
struct FailedRecord {
    snapshot: String,
    why: String,
}

#[derive(Serialize)]
struct EstimateRecord {
    blocks: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct ThinnedRecord {
    groups: Vec<GroupRecord>,
    objections: Vec<String>,
    forgotten: Vec<String>,
    #[serde(skip)]
    text: String,
}

fn texts(ids: &[SnapshotId]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

impl Report {
    /// Reports what was done.
    pub fn new(from: String, to: String, dry_run: bool, mirrored: Mirrored, warnings: u64) -> Self {
        let Mirrored { repository, outcome, estimate, forget, prune, verify, .. } = mirrored;
        let failed = outcome.failed.iter().map(|(id, why)| FailedRecord { snapshot: id.to_string(), why: why.clone() });
        Self {
            from,
            to,
            dry_run,
            warnings,
            created: mirrored.created,
            rolled_back: mirrored.rolled_back,
            statements: mirrored.statements,
            snapshots: texts(&outcome.snapshots),
            failed: failed.collect(),
            waiting: texts(&outcome.waiting),
            wanted: mirrored.wanted,
            passed_over: mirrored.passed_over,
            forgotten_before: mirrored.forgotten_before,
            unreadable: mirrored.unreadable,
            packs: outcome.packs,
            bytes: outcome.bytes,
            bytes_picked: outcome.bytes_picked,
            lists: outcome.lists,
            estimate: estimate.map(|Estimate { blocks, bytes }| EstimateRecord { blocks, bytes }),
            forget: Step::of(forget, |thinned| ThinnedRecord::of(&thinned, dry_run)),
            prune: Step::of(prune, PruneReport::of),
            verify: repository.and_then(|repository| {
                Step::of(verify, |found| {
                    let mut report = CheckReport::new(&repository);
                    report.structure(&found);
                    report
                })
            }),
        }
    }

    /// Whether reading back found nothing wrong, as far as that was done.
    pub fn is_clean(&self) -> bool {
        self.verified().is_none_or(CheckReport::is_clean)
    }

    /// Writes what reading back found to the log.
    pub fn log(&self) {
        if let Some(report) = self.verified() {
            report.log();
        }
    }

    fn verified(&self) -> Option<&CheckReport> {
        match &self.verify {
            Some(Step::Done(report)) => Some(report),
            _ => None,
        }
    }

    /// The summary.
    pub fn text(&self) -> String {
        let title = match (self.dry_run, self.created) {
            (true, _) => format!("Dry run, nothing was copied to {}", self.to),
            (_, true) => format!("Made a mirror of {} in {}", self.from, self.to),
            (_, false) if self.snapshots.is_empty() && self.wanted == 0 => format!("{} has all that it shall have", self.to),
            (_, false) => format!("Mirrored to {}", self.to),
        };
        let forget = self.forget.as_ref().map(|step| step.text("Forget", |done| done.text.clone()));
        let prune = self.prune.as_ref().map(|step| step.text("Prune", |done| done.text.clone()));
        let verify = self.verify.as_ref().map(|step| step.text("Verify", |done| format!("Verified\n{}", text::indent(&done.text()))));
        let steps: String = [forget, prune, verify].into_iter().flatten().collect();
        format!("{title}\n{}{steps}", text::indent(&text::fields(&self.rows())))
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        let mut rows = Vec::new();
        match &self.estimate {
            Some(estimate) => {
                let blocks = count(estimate.blocks, "block");
                rows.push(("Would copy", format!("{}, {} in {blocks}", count(self.wanted, "snapshot"), human::size(estimate.bytes))));
            }
            None => {
                let size = human::size(self.bytes + self.bytes_picked);
                rows.push(("Copied", format!("{}, {size}", count(self.snapshots.len() as u64, "snapshot"))));
            }
        }
        let left = [
            (self.passed_over, "not kept by its rules"),
            (self.forgotten_before, "forgotten there before"),
            (self.failed.len() as u64 + self.unreadable, "damaged at the source"),
            (self.waiting.len() as u64, "waiting for a prune there to end"),
        ];
        let left: Vec<String> = left.iter().filter(|(number, _)| *number > 0).map(|(number, what)| format!("{number} {what}")).collect();
        if !left.is_empty() {
            rows.push(("Not copied", left.join(", ")));
        }
        rows
    }
}

impl ThinnedRecord {
    fn of(thinned: &Thinned, dry_run: bool) -> Self {
        let known = Known::new(&thinned.snapshots);
        let mut text = String::new();
        let mut groups = Vec::new();
        for (name, decisions) in &thinned.plan.groups {
            text.push_str(&known.text(&format!("Mirror, {name}"), decisions, dry_run));
            groups.push(GroupRecord::new(name.to_string(), known.records(decisions)));
        }
        if let Some(error) = &thinned.error {
            text = format!("Nothing more was forgotten: {error}\n");
        } else if dry_run {
            text.push_str(&objections(&thinned.plan.objections));
        }
        Self {
            groups,
            objections: thinned.plan.objections.iter().map(ToString::to_string).collect(),
            forgotten: texts(&thinned.forgotten),
            text,
        }
    }
}
