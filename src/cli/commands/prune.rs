//! `prune`: gives back the space of what no snapshot needs.

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::cli::args;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::render::text;
use crate::keep::prune::{Pruned, prune};
use crate::model::human;
use crate::model::span::Span;
use crate::sealed::gc::{Options, Outcome, PackFate};

/// Give back the space of what no snapshot needs; needs no key, and backups may run meanwhile
#[derive(Debug, Args)]
pub struct Prune {
    /// How long what is no longer needed stays before it is deleted; 0 if nobody else writes to the repository now
    #[arg(long, value_name = "DURATION", default_value = "24h")]
    grace: Span,

    /// How much of the packs that stay may be unused
    #[arg(long, value_name = "PERCENT", default_value = "10", value_parser = args::percent)]
    max_unused: u8,

    /// Change nothing, say what would be done
    #[arg(long, short = 'n')]
    dry_run: bool,
}

impl Prune {
    /// Runs the command.
    ///
    /// # Errors
    /// If the repository cannot be pruned.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let options = Options { grace: self.grace.to_duration()?, max_unused: f64::from(self.max_unused) / 100.0, dry_run: self.dry_run };
        let key = context.key()?;
        let repository = context.repository(key.as_ref())?;
        let progress = context.progress()?;
        let report = Report::of(prune(&repository, &options, &progress)?);
        progress.finish();
        context.document(&report)?;
        context.summary(&report.text)?;
        Ok(context.end(&progress))
    }
}

/// What a prune did or would do, for people and machines.
#[derive(Debug, Serialize)]
pub struct Report {
    #[serde(flatten)]
    record: Record,
    /// For people.
    #[serde(skip)]
    pub text: String,
}

/// The figures. Sizes in bytes.
#[derive(Debug, Serialize)]
struct Record {
    dry_run: bool,
    grace_seconds: u64,
    stored_before: u64,
    stored_after: u64,
    unused_after: u64,
    unused_young: u64,
    blocks_needed: u64,
    freed_later: u64,
    condemn: Vec<FateRecord>,
    delete: Vec<FateRecord>,
    waiting: Vec<FateRecord>,
    #[serde(flatten)]
    done: Done,
}

#[derive(Debug, Serialize)]
struct FateRecord {
    pack: String,
    bytes: u64,
    needed_bytes: u64,
    reason: &'static str,
}

#[derive(Debug, Serialize)]
struct Done {
    yielded_to: Option<String>,
    packs_condemned: u64,
    bytes_condemned: u64,
    packs_deleted: u64,
    packs_refused: u64,
    bytes_deleted: u64,
    bytes_written: u64,
    bytes_freed: u64,
    bytes_copied: u64,
    objects_deleted: u64,
    snapshots_expired: u64,
}

impl Report {
    /// Reports a prune.
    pub fn of(pruned: Pruned) -> Self {
        let (nothing, plan) = (pruned.nothing, text::indent(&pruned.plan));
        let record = Record::of(pruned);
        let text = if record.dry_run { format!("Dry run, nothing was changed\n{plan}") } else { record.text(nothing) };
        Self { record, text }
    }
}

impl Record {
    fn of(pruned: Pruned) -> Self {
        Self {
            dry_run: pruned.options.dry_run,
            grace_seconds: pruned.options.grace.as_secs(),
            stored_before: pruned.stored_before,
            stored_after: pruned.stored_after(),
            unused_after: pruned.unused_after,
            unused_young: pruned.unused_young,
            blocks_needed: pruned.blocks_needed,
            freed_later: pruned.freed_later,
            condemn: fates(&pruned.condemn),
            delete: fates(&pruned.delete),
            waiting: fates(&pruned.waiting),
            done: Done::new(pruned.outcome),
        }
    }

    fn text(&self, nothing: bool) -> String {
        let done = &self.done;
        if let Some(by) = &done.yielded_to {
            return format!("Nothing was done: another prune, or a mirror, is at work ({by})\n");
        }
        let mut rows = vec![("Freed", format!("{} in {}", human::size(done.bytes_freed), text::count(done.packs_deleted, "pack")))];
        if done.packs_refused > 0 {
            rows.push((
                "Refused",
                format!("{} stay, as the store does not delete them; the next prune tries again", text::count(done.packs_refused, "pack")),
            ));
        }
        if self.freed_later > 0 {
            let grace = human::duration(Duration::from_secs(self.grace_seconds));
            rows.push(("Later", format!("{} once {grace} have passed; prune again then", human::size(self.freed_later))));
        }
        if done.bytes_copied > 0 {
            rows.push(("Rewritten", human::size(done.bytes_copied)));
        }
        rows.push(("Stored", format!("{} in packs, {} of it unused", human::size(self.stored_after), human::size(self.unused_after))));
        if self.unused_young > 0 {
            rows.push(("Young", self.young()));
        }
        if done.snapshots_expired > 0 {
            rows.push(("Gone", format!("{} can no longer be brought back", text::count(done.snapshots_expired, "forgotten snapshot"))));
        }
        format!("{}\n{}", if nothing { "Nothing to prune" } else { "Pruned" }, text::indent(&text::fields(&rows)))
    }
}

impl Record {
    /// Why what is unused stays for now.
    fn young(&self) -> String {
        let grace = human::duration(Duration::from_secs(self.grace_seconds));
        format!(
            "{} of the unused in packs that are younger than the grace period of {grace}, which a prune does not touch; prune again then",
            human::size(self.unused_young)
        )
    }
}

impl Done {
    fn new(outcome: Outcome) -> Self {
        Self {
            yielded_to: outcome.yielded_to,
            packs_condemned: outcome.packs_condemned,
            bytes_condemned: outcome.bytes_condemned,
            packs_deleted: outcome.packs_deleted,
            packs_refused: outcome.packs_refused,
            bytes_deleted: outcome.bytes_deleted,
            bytes_written: outcome.bytes_written,
            bytes_freed: outcome.bytes_freed,
            bytes_copied: outcome.bytes_copied,
            objects_deleted: outcome.objects_deleted,
            snapshots_expired: outcome.snapshots_expired,
        }
    }
}

fn fates(packs: &[PackFate]) -> Vec<FateRecord> {
    let fate = |fate: &PackFate| FateRecord {
        pack: fate.pack.to_string(),
        bytes: fate.size,
        needed_bytes: fate.needed,
        reason: fate.reason.word(),
    };
    packs.iter().map(fate).collect()
}
