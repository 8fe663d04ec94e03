//! `forget`: retention, and forgetting or bringing back single snapshots.

pub mod policy;
pub mod render;

use clap::{ArgGroup, Args};
use serde::Serialize;

use self::policy::PolicyArgs;
use crate::cli::args::{self, SnapshotFilter};
use crate::cli::commands::prune::Report as PruneReport;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, UsageError};
use crate::cli::keys::Key;
use crate::cli::listing::{self, Listed, Opener};
use crate::cli::progress::Progress;
use crate::keep::forget::{Memory, carry_out};
use crate::keep::prune::prune;
use crate::model::id::SnapshotId;
use crate::retention::GroupBy;
use crate::sealed::repository::Repository;
use crate::sealed::{forget, gc};
use crate::store::Folder;

/// Forget snapshots by a policy, or single ones; prune removes what only they needed
///
/// Snapshots are counted by the time at which the keeper received them. Each period keeps its first and its last snapshot. A
/// forgotten snapshot can be brought back with --undo until prune has removed what it needs.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("single").args(["snapshots", "undo", "broken"]).multiple(false)))]
pub struct Forget {
    /// Forget these instead: ids or the start of them
    #[arg(value_name = "SNAP", conflicts_with = "policy")]
    snapshots: Vec<String>,

    #[command(flatten)]
    policy: PolicyArgs,

    /// What makes snapshots replace each other: some of host, job, paths, tags (these need a key), writer, group, with commas
    #[arg(long, value_name = "KEYS", default_value_t = GroupBy::default())]
    group_by: GroupBy,

    #[command(flatten)]
    filter: SnapshotFilter,

    /// Change nothing, explain each decision
    #[arg(long, short = 'n')]
    dry_run: bool,

    /// Prune afterwards, with the default grace period
    #[arg(long)]
    prune: bool,

    /// Refuse to forget more than so many percent of the snapshots at once
    #[arg(long, value_name = "PERCENT", default_value = "90", value_parser = args::percent)]
    max_forget: u8,

    /// The clock is right, although it is behind a record or far past the last run
    #[arg(long)]
    accept_clock: bool,

    /// Time zone of days, weeks, months and years, such as Europe/Berlin [default: this machine's]
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,

    /// Bring a forgotten snapshot back
    #[arg(long, value_name = "SNAP")]
    undo: Option<String>,

    /// Give up a snapshot that cannot be read and stops prune
    #[arg(long, value_name = "SNAP")]
    broken: Option<SnapshotId>,
}

#[derive(Serialize)]
struct Report {
    dry_run: bool,
    groups: Vec<render::GroupRecord>,
    objections: Vec<String>,
    forgotten: Vec<String>,
    restored: Vec<String>,
    prune: Option<PruneReport>,
}

/// What one run has done, to be reported.
#[derive(Default)]
struct Done {
    groups: Vec<render::GroupRecord>,
    objections: Vec<String>,
    forgotten: Vec<SnapshotId>,
    restored: Vec<SnapshotId>,
    text: String,
}

impl Forget {
    /// Runs the command.
    ///
    /// # Errors
    /// If the policy is empty, something speaks against it, or the store fails.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let key = context.key()?;
        let repository = context.repository(key.as_ref())?;
        let progress = context.progress()?;
        let done = if let Some(text) = &self.undo {
            self.undo(&repository, text)?
        } else if let Some(id) = &self.broken {
            self.drop_broken(&repository, id)?
        } else if self.snapshots.is_empty() {
            self.by_policy(context, &repository, key.as_ref(), &progress)?
        } else {
            self.single(&repository, key.as_ref())?
        };
        if self.dry_run {
            context.say(&done.text)?
        } else {
            context.summary(&done.text)?
        };
        let pruned = if self.prune {
            let options = gc::Options { dry_run: self.dry_run, ..gc::Options::default() };
            Some(PruneReport::of(prune(&repository, &options, &progress)?))
        } else {
            None
        };
        context.summary(pruned.as_ref().map_or("", |report| report.text.as_str()))?;
        let texts = |ids: &[SnapshotId]| ids.iter().map(ToString::to_string).collect();
        context.document(&Report {
            dry_run: self.dry_run,
            groups: done.groups,
            objections: done.objections,
            forgotten: texts(&done.forgotten),
            restored: texts(&done.restored),
            prune: pruned,
        })?;
        Ok(context.end(&progress))
    }

    fn load(&self, repository: &Repository, key: Option<&Key>) -> anyhow::Result<Vec<Listed>> {
        let opener = Opener::new(repository, key)?;
        listing::load(repository, Folder::Snapshots, &opener, &self.filter)
    }

    fn by_policy(&self, context: &Context, repository: &Repository, key: Option<&Key>, progress: &Progress) -> anyhow::Result<Done> {
        // Sealed labels are opened only where they are asked for.
        let wanted = self.dry_run || self.group_by.needs_payload() || !self.filter.is_empty();
        let list = self.load(repository, key.filter(|_| wanted))?;
        let state = context.state(&repository.id())?;
        let decided = policy::decide(self, &list, &state)?;
        let mut done = Done { groups: render::records(&decided), text: render::text(&decided, self.dry_run), ..Done::default() };
        done.objections = decided.plan.objections.iter().map(ToString::to_string).collect();
        if self.dry_run {
            return Ok(done);
        }
        carry_out(&decided.plan, repository, &mut done.forgotten, progress)?;
        Memory::within(state.dir()).remember_run()?;
        Ok(done)
    }

    fn single(&self, repository: &Repository, key: Option<&Key>) -> anyhow::Result<Done> {
        let list = self.load(repository, key)?;
        let chosen = self.snapshots.iter().map(|text| listing::resolve(&list, text)).collect::<anyhow::Result<Vec<_>>>()?;
        let mut done = Done::default();
        for listed in chosen {
            if !self.dry_run {
                forget::forget(repository, &listed.snapshot.id)?;
            }
            done.text.push_str(&format!("{} {}\n", if self.dry_run { "Would forget" } else { "Forgotten:" }, listed.describe()));
            done.forgotten.push(listed.snapshot.id);
        }
        Ok(done)
    }

    fn undo(&self, repository: &Repository, text: &str) -> anyhow::Result<Done> {
        let list = listing::load(repository, Folder::Forgotten, &Opener::default(), &SnapshotFilter::default())?;
        if text == "latest" {
            return Err(UsageError::new("--undo needs an id; `snapshots --forgotten` lists them"));
        }
        let listed = match listing::resolve(&list, text) {
            Ok(listed) => listed,
            Err(error) => {
                let visible = listing::load(repository, Folder::Snapshots, &Opener::default(), &SnapshotFilter::default())?;
                let Ok(listed) = listing::resolve(&visible, text) else { return Err(error) };
                anyhow::bail!("{} is not forgotten, so there is nothing to bring back", listed.describe());
            }
        };
        if !self.dry_run {
            forget::unforget(repository, &listed.snapshot.id)?;
        }
        let verb = if self.dry_run { "Would bring back" } else { "Brought back" };
        Ok(Done { restored: vec![listed.snapshot.id], text: format!("{verb} {}\n", listed.describe()), ..Done::default() })
    }

    fn drop_broken(&self, repository: &Repository, id: &SnapshotId) -> anyhow::Result<Done> {
        if !self.dry_run {
            forget::forget_broken(repository, id)?;
        }
        let verb = if self.dry_run { "Would give up" } else { "Given up:" };
        Ok(Done { forgotten: vec![*id], text: format!("{verb} {}\n", id.short()), ..Done::default() })
    }
}
