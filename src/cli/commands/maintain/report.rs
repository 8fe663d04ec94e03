//! What became of keeping house, for people and machines.

use serde::Serialize;

use crate::cli::commands::check::report::Report as CheckReport;
use crate::cli::commands::forget::render::{DecisionRecord, Known, objections};
use crate::cli::commands::prune::Report as PruneReport;
use crate::cli::commands::step::Step;
use crate::cli::render::text;
use crate::job::maintain::forget::JobRetention;
use crate::job::maintain::{MaintainOptions, Maintained};
use crate::retention::Decision;

/// What became of each step; one that was not asked for is absent.
#[derive(Serialize)]
pub struct Report<'a> {
    repository: &'a str,
    dry_run: bool,
    warnings: u64,
    forget: Option<Step<Forgotten>>,
    prune: Option<Step<PruneReport>>,
    check: Option<Step<CheckReport>>,
}

#[derive(Serialize)]
struct Forgotten {
    jobs: Vec<JobRecord>,
    #[serde(skip)]
    text: String,
}

#[derive(Serialize)]
struct JobRecord {
    job: String,
    snapshots: Vec<DecisionRecord>,
    objections: Vec<String>,
    forgotten: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl<'a> Report<'a> {
    /// Reports what was done.
    pub fn new(options: &MaintainOptions<'a>, maintained: Maintained, warnings: u64) -> Self {
        let Maintained { repository, forget, prune, check } = maintained;
        Self {
            repository: options.repository,
            dry_run: options.dry_run,
            warnings,
            forget: Step::of(forget, |jobs| Forgotten::of(&jobs, options)),
            prune: Step::of(prune, PruneReport::of),
            check: Step::of(check, |found| {
                let mut report = CheckReport::new(&repository);
                report.structure(&found);
                report
            }),
        }
    }

    /// Whether a check found nothing wrong, as far as there was one.
    pub fn is_clean(&self) -> bool {
        self.checked().is_none_or(CheckReport::is_clean)
    }

    /// Writes what the check found to the log.
    pub fn log(&self) {
        if let Some(check) = self.checked() {
            check.log();
        }
    }

    fn checked(&self) -> Option<&CheckReport> {
        match &self.check {
            Some(Step::Done(report)) => Some(report),
            _ => None,
        }
    }

    /// The summary.
    pub fn text(&self) -> String {
        let forget = self.forget.as_ref().map(|step| step.text("Forget", |done| done.text.clone()));
        let prune = self.prune.as_ref().map(|step| step.text("Prune", |done| done.text.clone()));
        let check = self.check.as_ref().map(|step| step.text("Check", |done| format!("Checked\n{}", text::indent(&done.text()))));
        [forget, prune, check].into_iter().flatten().collect()
    }
}

impl Forgotten {
    fn of(jobs: &[JobRetention], options: &MaintainOptions<'_>) -> Self {
        let dry_run = options.dry_run;
        let mut text: String = jobs.iter().map(|job| job_text(job, dry_run)).collect();
        if jobs.is_empty() {
            text = format!("No job that goes to {} has a retention: all snapshots stay\n", options.repository);
        } else if dry_run {
            text.push_str("Dry run, nothing was forgotten\n");
        }
        Self { jobs: jobs.iter().map(JobRecord::of).collect(), text }
    }
}

fn job_text(job: &JobRetention, dry_run: bool) -> String {
    let title = format!("Job {}", job.job);
    if let Some(error) = &job.error {
        return format!("{title}: {error}\n");
    }
    let decisions: Vec<Decision> = job.plan.decisions().cloned().collect();
    if decisions.is_empty() {
        return format!("{title}: no snapshots of this host yet\n");
    }
    let text = Known::new(&job.snapshots).text(&title, &decisions, dry_run);
    let objections = if dry_run { objections(&job.plan.objections) } else { String::new() };
    text + &objections
}

impl JobRecord {
    fn of(job: &JobRetention) -> Self {
        let decisions: Vec<Decision> = job.plan.decisions().cloned().collect();
        Self {
            job: job.job.clone(),
            snapshots: Known::new(&job.snapshots).records(&decisions),
            objections: job.plan.objections.iter().map(ToString::to_string).collect(),
            forgotten: job.forgotten.iter().map(ToString::to_string).collect(),
            error: job.error.as_ref().map(ToString::to_string),
        }
    }
}
