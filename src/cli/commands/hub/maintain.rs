//! `hub maintain`.

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::{SERVICE, Which};
use crate::cli::args;
use crate::cli::commands::step::Step;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::process;
use crate::cli::render::text::count;
use crate::cli::reporting::{Told, reported, reporter};
use crate::config::{Config, Hub};
use crate::hub::OWN;
use crate::hub::upkeep::{Copied, Forgotten, Freed, Kept, Mirrored, Task, Thinned, UpkeepError, UpkeepOptions, upkeep};
use crate::model::event::Severity;
use crate::model::human;
use crate::model::report::{HUB, Kind, PROBLEMS};
use crate::report::{Work, close, damage};
use crate::sealed::verify;

/// Keep house in the repositories of a hub: forget, prune, verify, mirror
///
/// It needs no key. In each repository, one after the other, snapshots are forgotten that the hub's `retention` does not keep, by the time
/// that the hub received them; their space is given back; the packs whose turn has come are read and hashed, so that all are within
/// `verifyWithin`; and the mirrors are brought up to date. What fails in one step or repository does not keep the next from its turn, but
/// nothing is pruned in a repository where something could not be forgotten.
#[derive(Debug, Args)]
pub struct Maintain {
    #[command(flatten)]
    which: Which,

    /// Only this step; repeatable
    #[arg(long, value_name = "STEP")]
    only: Vec<TaskName>,

    /// Only this repository; repeatable
    #[arg(long = "repository", visible_alias = "repo-name", value_name = "REPOSITORY")]
    repositories: Vec<String>,

    /// Only this mirror; repeatable
    #[arg(long = "mirror", value_name = "MIRROR")]
    mirrors: Vec<String>,

    /// Change nothing, say what would be done
    #[arg(long, short = 'n')]
    dry_run: bool,

    /// Refuse to forget more than so many percent of a group at once [default: the configuration's maxForget, else 90]
    #[arg(long, value_name = "PERCENT", value_parser = args::percent)]
    max_forget: Option<u8>,

    /// The clock is right, although it is behind a record or far past the last run
    #[arg(long)]
    accept_clock: bool,

    /// Read every pack now, and not only those whose turn has come
    #[arg(long)]
    verify_all: bool,

    /// Only close the report of a run with these arguments that was killed; for the ExecStopPost of a unit
    #[arg(long)]
    settle: bool,

    /// Make a mirror anew that was there and is gone
    #[arg(long)]
    remake_mirrors: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum TaskName {
    Forget,
    Prune,
    Verify,
    Mirror,
}

impl From<TaskName> for Task {
    fn from(name: TaskName) -> Self {
        match name {
            TaskName::Forget => Task::Forget,
            TaskName::Prune => Task::Prune,
            TaskName::Verify => Task::Verify,
            TaskName::Mirror => Task::Mirror,
        }
    }
}

#[derive(Serialize)]
struct Report {
    dry_run: bool,
    warnings: u64,
    repositories: Vec<RepositoryReport>,
}

#[derive(Serialize)]
struct RepositoryReport {
    repository: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    forget: Option<Step<ForgetRecord>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prune: Option<Step<Freed>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verify: Option<Step<VerifyRecord>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mirrors: Vec<MirrorReport>,
}

#[derive(Serialize)]
struct ForgetRecord {
    #[serde(flatten)]
    figures: Forgotten,
    /// Snapshots that would go, or went.
    chosen: u64,
    groups: u64,
    objections: Vec<String>,
}

#[derive(Serialize)]
struct VerifyRecord {
    #[serde(flatten)]
    counts: verify::Counts,
    problems: Vec<String>,
    /// Those by which something is lost.
    #[serde(skip)]
    damaged: Vec<String>,
}

#[derive(Serialize)]
struct MirrorReport {
    mirror: String,
    #[serde(flatten)]
    step: Step<MirrorRecord>,
}

#[derive(Serialize)]
struct MirrorRecord {
    url: String,
    #[serde(flatten)]
    figures: Copied,
    #[serde(skip)]
    failed: bool,
    /// In a dry run: how many snapshots would be brought.
    wanted: u64,
    /// What is not as it should be, such as packs that were read back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<String>,
}

impl Maintain {
    /// Runs the command.
    ///
    /// # Errors
    /// If the hub's directory cannot be used, or a repository or mirror is asked for that it does not have.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let hub = self.which.hub_that_is_there()?;
        // What it does is the hub's own affair: its metrics and its status show it.
        let config = Config {
            host: self.which.config()?.and_then(|config| config.host),
            state_dir: Some(hub.data_dir.join(OWN)),
            ..Config::default()
        };
        let subject = self.subject();
        let reporter = reporter(context, &config, (subject.0, &subject.1), Vec::new(), format!("{SERVICE}maintain"))?;
        if self.settle {
            close(&reporter, &process::verdict());
            return Ok(Exit::Done);
        }
        reported(context, Some(&reporter).filter(|_| !self.dry_run), |told| self.keep_house(context, &hub, told))
    }

    /// What its report is of: one mirror has a timer of its own. Nothing in a configuration can be called so: alerts tell by it the hub's runs from
    /// those of hosts.
    fn subject(&self) -> (Kind, String) {
        match (self.only.as_slice(), self.mirrors.as_slice()) {
            ([TaskName::Mirror], [mirror]) => (Kind::Mirror, format!("{HUB}{mirror}")),
            ([TaskName::Mirror], _) => (Kind::Mirror, format!("{HUB}all")),
            _ => (Kind::Maintain, format!("{HUB}all")),
        }
    }

    fn keep_house(&self, context: &Context, hub: &Hub, told: &mut Told) -> anyhow::Result<Exit> {
        let options = UpkeepOptions {
            hub,
            credentials: Which::credentials(context, &format!("{SERVICE}maintain")),
            access: context.access()?,
            only: self.only.iter().copied().map(Task::from).collect(),
            repositories: self.repositories.clone(),
            mirrors: self.mirrors.clone(),
            dry_run: self.dry_run,
            accept_clock: self.accept_clock,
            max_forget: self.max_forget,
            verify_all: self.verify_all,
            remake_mirrors: self.remake_mirrors,
        };
        let progress = context.progress()?;
        let all = upkeep(&options, &progress)?;
        progress.finish();
        let failed = all.iter().any(|(_, kept)| kept.as_ref().map_or(true, Kept::failed));
        let reports: Vec<_> = all.into_iter().map(|(name, kept)| RepositoryReport::of(name, kept)).collect();
        let damaged = reports.iter().any(RepositoryReport::is_damaged);
        told.work = work(&reports);
        told.found(&progress);
        let mut text: String = reports.iter().map(RepositoryReport::text).collect();
        if reports.is_empty() {
            text = "The hub has no repositories yet\n".to_owned();
        } else if self.dry_run {
            text.push_str("Dry run, nothing was changed\n");
        }
        if self.dry_run {
            context.say(&text)?;
        } else {
            context.summary(&text)?;
        }
        context.document(&Report { dry_run: self.dry_run, warnings: progress.warnings(), repositories: reports })?;
        Ok(match (failed, damaged) {
            (true, _) => Exit::Failed,
            (false, true) => Exit::Warnings,
            (false, false) => context.end(&progress),
        })
    }
}

/// What was done, as its report says it.
fn work(reports: &[RepositoryReport]) -> Work {
    let sum = |of: fn(&RepositoryReport) -> u64| reports.iter().map(of).sum::<u64>();
    let damaged: Vec<String> = reports.iter().flat_map(RepositoryReport::damaged).collect();
    let counts = [
        ("repositories", reports.len() as u64),
        ("snapshots_forgotten", sum(|it| done(&it.forget).map_or(0, |record| record.figures.forgotten))),
        ("bytes_freed", sum(|it| done(&it.prune).map_or(0, |freed| freed.freed))),
        ("bytes_read", sum(|it| done(&it.verify).map_or(0, |record| record.counts.bytes_read))),
        (PROBLEMS, damaged.len() as u64),
    ];
    let failed: Vec<String> = reports.iter().flat_map(RepositoryReport::failures).collect();
    Work {
        repositories: Vec::new(),
        counts: counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect(),
        drill: None,
        error: failed.into_iter().chain(damage(&damaged)).reduce(|all, one| format!("{all}; {one}")),
    }
}

fn done<T>(step: &Option<Step<T>>) -> Option<&T> {
    match step {
        Some(Step::Done(record)) => Some(record),
        _ => None,
    }
}

fn failure<T>(step: &Option<Step<T>>) -> Option<String> {
    step.as_ref().and_then(Step::error).map(str::to_owned)
}

impl RepositoryReport {
    /// What failed, each with its repository.
    fn failures(&self) -> Vec<String> {
        let refused = done(&self.forget).filter(|record| record.figures.refused > 0);
        let forget = failure(&self.forget).or(refused.map(ForgetRecord::refusal));
        let steps = [("forget", forget), ("prune", failure(&self.prune)), ("verify", failure(&self.verify))];
        let steps = steps.into_iter().filter_map(|(name, error)| Some(format!("{name}: {}", error?)));
        let mirrors = self.mirrors.iter().filter_map(|mirror| Some(format!("mirror {}: {}", mirror.mirror, mirror.failure()?)));
        self.error.iter().cloned().chain(steps).chain(mirrors).map(|what| format!("{}: {what}", self.repository)).collect()
    }

    fn of(repository: String, kept: Result<Kept, UpkeepError>) -> Self {
        let none = |error: Option<String>| Self {
            repository: repository.clone(),
            error,
            forget: None,
            prune: None,
            verify: None,
            mirrors: Vec::new(),
        };
        match kept {
            Err(error) => none(Some(error.to_string())),
            Ok(Kept { forget, prune, verify, mirrors, .. }) => Self {
                forget: Step::of(forget, |thinned| ForgetRecord::of(&thinned)),
                prune: Step::of(prune, |pruned| Freed::of(&pruned)),
                verify: Step::of(verify, |report| VerifyRecord::of(&report)),
                mirrors: mirrors
                    .into_iter()
                    .filter_map(|(mirror, ended)| {
                        Some(MirrorReport { mirror, step: Step::of(ended, |mirrored| MirrorRecord::of(&mirrored))? })
                    })
                    .collect(),
                ..none(None)
            },
        }
    }

    /// What is damaged or missing, here and in mirrors, each with its repository.
    fn damaged(&self) -> Vec<String> {
        let here = done(&self.verify).into_iter().flat_map(|record| &record.damaged).cloned();
        let there = self.mirrors.iter().filter_map(|mirror| match &mirror.step {
            Step::Done(record) if !record.failed => Some((&mirror.mirror, &record.problems)),
            _ => None,
        });
        let there = there.flat_map(|(mirror, problems)| problems.iter().map(move |problem| format!("mirror {mirror}: {problem}")));
        here.chain(there).map(|what| format!("{}: {what}", self.repository)).collect()
    }

    fn is_damaged(&self) -> bool {
        self.problems() > 0
    }

    /// How much was found that is not as it should be, here and in mirrors.
    fn problems(&self) -> u64 {
        let in_mirror = |mirror: &MirrorReport| if let Step::Done(record) = &mirror.step { record.problems.len() } else { 0 };
        let here = done(&self.verify).map_or(0, |record| record.problems.len());
        (here + self.mirrors.iter().map(in_mirror).sum::<usize>()) as u64
    }

    /// Whether nothing of what was asked for concerned it.
    fn is_empty(&self) -> bool {
        let Self { error, forget, prune, verify, mirrors, .. } = self;
        error.is_none() && forget.is_none() && prune.is_none() && verify.is_none() && mirrors.is_empty()
    }

    fn text(&self) -> String {
        if self.is_empty() {
            return String::new();
        }
        let mut text = format!("{}\n", self.repository);
        let mut line = |label: &str, what: String| text.push_str(&format!("  {label:<8} {}\n", what.trim_end()));
        if let Some(error) = &self.error {
            line("Failed", error.clone());
        }
        if let Some(step) = &self.forget {
            line("Forget", step.text("It", ForgetRecord::text));
        }
        if let Some(step) = &self.prune {
            line(
                "Prune",
                step.text("It", |freed| {
                    format!(
                        "{} given back, {} later; {} stored",
                        human::size(freed.freed),
                        human::size(freed.freed_later),
                        human::size(freed.stored)
                    )
                }),
            );
        }
        if let Some(step) = &self.verify {
            line("Verify", step.text("It", VerifyRecord::text));
        }
        for mirror in &self.mirrors {
            let what = mirror.step.text("It", |record| {
                let brought = count(record.figures.snapshots, "snapshot");
                let failed =
                    if record.figures.failed > 0 { format!(", {} could not be brought", record.figures.failed) } else { String::new() };
                let problems: String = record.problems.iter().map(|problem| format!("\n           {problem}")).collect();
                let found = if problems.is_empty() { "" } else { "; wrong are:" };
                format!("{brought} brought with {}{failed}{found}{problems}", human::size(record.figures.bytes))
            });
            line("Mirror", format!("{}: {what}", mirror.mirror));
        }
        text
    }
}

impl ForgetRecord {
    fn of(thinned: &Thinned) -> Self {
        let chosen = |plan: &crate::retention::Plan<_>| plan.decisions().filter(|decision| !decision.keep).count() as u64;
        let objections =
            thinned.groups.iter().flat_map(|group| group.plan.objections.iter().map(|objection| format!("{}: {objection}", group.name)));
        Self {
            figures: thinned.figures(),
            chosen: thinned.groups.iter().map(|group| chosen(&group.plan)).sum(),
            groups: thinned.groups.len() as u64,
            objections: objections.collect(),
        }
    }

    /// Why not all was forgotten that should have been.
    fn refusal(&self) -> String {
        format!("{} refused: {}", count(self.figures.refused, "group"), self.objections.join("; "))
    }

    fn text(&self) -> String {
        let figures = &self.figures;
        if self.groups == 0 && self.chosen == 0 {
            return format!("{} stay: there is no retention, or nothing to decide about", count(figures.kept, "snapshot"));
        }
        let all = count(figures.kept + figures.forgotten, "snapshot");
        let groups = count(self.groups, "group");
        let went = if figures.forgotten == self.chosen { String::new() } else { format!(", {} were chosen", self.chosen) };
        let objections: String = self.objections.iter().map(|objection| format!("\n           {objection}")).collect();
        format!("{} of {all} in {groups} forgotten{went}{objections}", figures.forgotten)
    }
}

impl MirrorReport {
    /// Why it does not have all that it should.
    fn failure(&self) -> Option<String> {
        match &self.step {
            Step::Failed { error } => Some(error.clone()),
            Step::Done(record) if record.failed => Some(record.problems.join("; ")),
            Step::Done(_) | Step::Skipped { .. } => None,
        }
    }
}

impl VerifyRecord {
    fn of(report: &verify::Report) -> Self {
        let of = |least: Severity| {
            let matter = report.problems.iter().filter(|problem| problem.severity >= least);
            matter.map(|problem| format!("{}: {}", problem.object, problem.what)).collect()
        };
        Self { counts: report.counts, problems: of(Severity::Warning), damaged: of(Severity::Error) }
    }

    fn text(&self) -> String {
        let problems: String = self.problems.iter().map(|problem| format!("\n           {problem}")).collect();
        let found = if problems.is_empty() { ", all as it should be" } else { "; wrong are:" };
        let (read, all) = (human::size(self.counts.bytes_read), human::size(self.counts.pack_bytes));
        format!("{read} of {all} read{found}{problems}")
    }
}

impl MirrorRecord {
    fn of(mirrored: &Mirrored) -> Self {
        let figures = mirrored.figures();
        let (_, problems) = mirrored.summary();
        Self { url: mirrored.url.clone(), figures, failed: mirrored.failed(), wanted: mirrored.copy.wanted, problems }
    }
}
