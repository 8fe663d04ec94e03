//! `repair`: damaged and missing objects are taken from a mirror.

use clap::Args;
use serde::Serialize;

use crate::cli::args;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::render::text::{self, count};
use crate::cli::trust;
use crate::sealed::repair::{Fate, Mended, Options, Report, repair};
use crate::store::open;

/// Heal damaged or missing objects from a mirror; needs no key
///
/// Only bytes that are what their name says are taken. A damaged object is deleted and then stored anew; if that is interrupted, the
/// object is missing until repair runs again. What the mirror does not have either is listed, and the exit code is 3.
#[derive(Debug, Args)]
pub struct Repair {
    /// The mirror: the same repository in another place
    #[arg(long, value_name = "REPO")]
    from: String,

    /// Also read and hash every pack to find damage, or so many percent of them, others every day
    #[arg(long, value_name = "PERCENT", num_args = 0..=1, default_missing_value = "100", value_parser = args::OptionalPercent)]
    read_packs: Option<u8>,

    /// Change nothing, say what would be done
    #[arg(long, short = 'n')]
    dry_run: bool,
}

#[derive(Serialize)]
struct Record<'a> {
    dry_run: bool,
    clean: bool,
    objects: Vec<ObjectRecord<'a>>,
}

#[derive(Serialize)]
struct ObjectRecord<'a> {
    object: &'a str,
    problem: &'a str,
    /// `healed`, `moved` or `left`.
    fate: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
}

impl Repair {
    /// Runs the command.
    ///
    /// # Errors
    /// If one of the two cannot be opened, they are not the same repository, or a store fails.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let key = context.key()?;
        let repository = context.repository(key.as_ref())?;
        let mirror = trust::open(context, open::open(&self.from, &context.access()?)?, Some(repository.id()), None)?;
        let progress = context.progress()?;
        let options = Options { read_packs: self.read_packs, dry_run: self.dry_run };
        let report = repair(&repository, &mirror, &options, &progress)?;
        progress.finish();
        anyhow::ensure!(!report.cancelled, "stopped on request; what is healed stays so");
        context.summary(&self.summary(&report))?;
        context.document(&Record { dry_run: self.dry_run, clean: report.is_clean(), objects: records(&report) })?;
        Ok(context.end(&progress))
    }

    fn summary(&self, report: &Report) -> String {
        let left = report.objects.iter().filter(|mended| matches!(mended.fate, Fate::Left(_))).count() as u64;
        let healed = report.objects.len() as u64 - left;
        let depth = if self.read_packs.is_some() { "" } else { "; --read-packs looks into packs too" };
        let title = match (self.dry_run, report.objects.is_empty()) {
            (_, true) => format!("Nothing is damaged or missing{depth}\n"),
            (true, _) => "Dry run, nothing was changed\n".to_owned(),
            _ => "Repaired\n".to_owned(),
        };
        let mut rows = Vec::new();
        if healed > 0 {
            rows.push((if self.dry_run { "Would heal" } else { "Healed" }, count(healed, "object")));
        }
        if left > 0 {
            rows.push(("Left", format!("{}, listed above", count(left, "object"))));
        }
        title + &text::indent(&text::fields(&rows))
    }
}

fn records(report: &Report) -> Vec<ObjectRecord<'_>> {
    report.objects.iter().map(record).collect()
}

fn record(Mended { object, problem, fate }: &Mended) -> ObjectRecord<'_> {
    let (fate, why) = match fate {
        Fate::Healed => ("healed", None),
        Fate::Moved(_) => ("moved", None),
        Fate::Left(why) => ("left", Some(why.as_str())),
    };
    ObjectRecord { object, problem, fate, why }
}
