//! What a try tells: a line per step, and what to do next.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use super::steps::Timed;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::render::text::{self, count};
use crate::content::backup::Summary;
use crate::content::check::DataReport;
use crate::content::restore::{Difference, RestoreSummary};
use crate::model::human;
use crate::model::shell::quoted;
use crate::sealed::gc::Outcome;

/// As many differences as are shown.
const SHOWN: usize = 10;

/// Tells of each step as it ends, and collects them for machines.
pub struct Report<'a> {
    context: &'a Context,
    dir: PathBuf,
    kept: bool,
    document: Document,
}

#[derive(Serialize)]
struct Document {
    source: PathBuf,
    steps: Vec<Step>,
    problems: Vec<String>,
    passed: bool,
}

#[derive(Serialize)]
struct Step {
    step: &'static str,
    seconds: f64,
    #[serde(flatten)]
    figures: serde_json::Value,
}

impl<'a> Report<'a> {
    /// Begins.
    ///
    /// # Errors
    /// If nobody reads the output.
    pub fn new(context: &'a Context, source: &Path, dir: &Path, kept: bool) -> anyhow::Result<Self> {
        context.summary(&format!("Trying hearth-backup on {}, working in {}\n\n", source.display(), dir.display()))?;
        let document = Document { source: source.to_owned(), steps: Vec::new(), problems: Vec::new(), passed: false };
        Ok(Self { context, dir: dir.to_owned(), kept, document })
    }

    fn step(&mut self, name: &'static str, time: Duration, what: &str, figures: impl Serialize) -> anyhow::Result<()> {
        self.context.summary(&format!("  {name:<13} {:>8}   {what}\n", human::duration(time)))?;
        self.document.steps.push(Step { step: name, seconds: time.as_secs_f64(), figures: serde_json::to_value(figures)? });
        Ok(())
    }

    fn problem(&mut self, what: String) {
        self.document.problems.push(what);
    }

    /// A backup is done.
    ///
    /// # Errors
    /// If nobody reads the output.
    pub fn backup(&mut self, name: &'static str, summary: &Summary) -> anyhow::Result<()> {
        let statistics = &summary.statistics;
        let time = Duration::from_secs_f64(summary.seconds.max(0.0));
        let what = if statistics.files_read == 0 {
            format!("{} found unchanged, {} added", count(statistics.files, "file"), human::size(statistics.bytes_new))
        } else {
            let part = statistics.bytes_stored.saturating_mul(100).checked_div(statistics.bytes).unwrap_or(100);
            format!(
                "{} in {}, {}; {} stored ({part}%)",
                human::size(statistics.bytes),
                count(statistics.files, "file"),
                human::rate(statistics.bytes, time),
                human::size(statistics.bytes_stored)
            )
        };
        self.step(name, time, &what, statistics)
    }

    /// Every byte is checked.
    ///
    /// # Errors
    /// If nobody reads the output.
    pub fn check(&mut self, check: &Timed<DataReport>) -> anyhow::Result<()> {
        let report = &check.result;
        let what = format!(
            "{} opened, {} looked up: {}",
            count(report.blocks, "block"),
            count(report.files, "file"),
            verdict(report.problems.len())
        );
        for problem in &report.problems {
            self.problem(format!("{}: {}", problem.subject, problem.what));
        }
        self.step("check", check.time, &what, report)
    }

    /// The newest snapshot is restored.
    ///
    /// # Errors
    /// If nobody reads the output.
    pub fn restore(&mut self, summary: &RestoreSummary) -> anyhow::Result<()> {
        let time = Duration::from_secs_f64(summary.seconds.max(0.0));
        for (path, why) in &summary.lost {
            self.problem(format!("{path}: {why}"));
        }
        for note in &summary.incomplete {
            tracing::info!("{note}");
        }
        let what = format!("{} in {}, {}", human::size(summary.bytes), count(summary.files, "file"), human::rate(summary.bytes, time));
        self.step("restore", time, &what, summary)
    }

    /// Source, snapshot and restored files are compared.
    ///
    /// # Errors
    /// If nobody reads the output.
    pub fn compare(&mut self, differences: &Timed<Vec<Difference>>) -> anyhow::Result<()> {
        let found = &differences.result;
        let what = match found.len() {
            0 => "restored files equal the source in content, mode, owner, time and attributes".to_owned(),
            some => count(some as u64, "difference"),
        };
        for difference in found {
            self.problem(format!("{}: {}", difference.path, difference.what));
        }
        self.step("compare", differences.time, &what, serde_json::json!({ "differences": found }))
    }

    /// Old snapshots are forgotten and pruned.
    ///
    /// # Errors
    /// If nobody reads the output.
    pub fn prune(&mut self, prune: &Timed<Outcome>) -> anyhow::Result<()> {
        let outcome = &prune.result;
        let what = format!("first snapshot forgotten, {} freed", human::size(outcome.bytes_freed));
        let figures = serde_json::json!({ "packs_deleted": outcome.packs_deleted, "bytes_freed": outcome.bytes_freed });
        self.step("prune", prune.time, &what, figures)
    }

    /// The verdict, and what to do next.
    ///
    /// # Errors
    /// If nobody reads the output.
    pub fn end(mut self, context: &Context, warnings: u64) -> anyhow::Result<Exit> {
        self.document.passed = self.document.problems.is_empty();
        context.document(&self.document)?;
        if !self.document.passed {
            let shown = self.document.problems.iter().take(SHOWN);
            let list: String = shown.map(|problem| format!("  {}\n", text::path(problem.as_bytes()))).collect();
            context.summary(&format!("\nSomething differs:\n{list}"))?;
            if self.document.problems.len() > SHOWN {
                context.summary(&format!("  and {} more\n", self.document.problems.len() - SHOWN))?;
            }
            context.summary("\nFiles that changed meanwhile differ, of course; try again on files at rest.\n")?;
            return Ok(Exit::Failed);
        }
        context.summary(&self.next())?;
        Ok(if warnings > 0 { Exit::Warnings } else { Exit::Done })
    }

    fn next(&self) -> String {
        let within = |name: &str| quoted(&self.dir.join(name).display().to_string()).into_owned();
        let kept = match self.kept {
            true => format!(
                "Kept for you to look around:\n  hearth-backup snapshots --repo {} --key {}\n",
                within("repository"),
                within("restore.key")
            ),
            false => "All of it is removed again; --keep DIR keeps it.\n".to_owned(),
        };
        format!(
            "\nIt works on your files. {kept}\nNext, for good:\n  \
             hearth-backup init   --repo /srv/backup                              makes a repository and two key files\n  \
             hearth-backup backup --repo /srv/backup --key hearth-writer.key /home\n"
        )
    }
}

fn verdict(problems: usize) -> String {
    if problems == 0 { "all whole".into() } else { count(problems as u64, "problem") }
}
