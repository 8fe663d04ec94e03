//! From the command line to retention's plan.

use anyhow::Context as _;
use clap::Args;
use jiff::tz::TimeZone;

use super::Forget;
use crate::cli::listing::Listed;
use crate::content::backup::state::State;
use crate::keep::forget::{Memory, candidate, clock};
use crate::model::span::Span;
use crate::retention::{self, Candidate, ContentLabels, GroupName, Labels, Limits, Plan, Policy};

/// How much to keep of each group.
#[derive(Debug, Clone, Args)]
#[group(id = "policy", multiple = true)]
pub struct PolicyArgs {
    /// Keep the newest N, at most one an hour counted
    #[arg(long, value_name = "N", default_value_t = 0)]
    keep_last: u32,

    /// Keep the newest N hours that hold snapshots
    #[arg(long, value_name = "N", default_value_t = 0)]
    keep_hourly: u32,

    /// Keep the newest N days that hold snapshots
    #[arg(long, value_name = "N", default_value_t = 0)]
    keep_daily: u32,

    /// Keep the newest N weeks that hold snapshots
    #[arg(long, value_name = "N", default_value_t = 0)]
    keep_weekly: u32,

    /// Keep the newest N months that hold snapshots
    #[arg(long, value_name = "N", default_value_t = 0)]
    keep_monthly: u32,

    /// Keep the newest N years that hold snapshots
    #[arg(long, value_name = "N", default_value_t = 0)]
    keep_yearly: u32,

    /// Keep everything so long before the group's newest snapshot, such as 30d or 1y6m
    #[arg(long, value_name = "DURATION")]
    keep_within: Option<Span>,
}

impl PolicyArgs {
    /// The policy that the arguments make; the default one if there are none.
    pub fn policy(&self) -> Policy {
        Policy {
            last: self.keep_last,
            hourly: self.keep_hourly,
            daily: self.keep_daily,
            weekly: self.keep_weekly,
            monthly: self.keep_monthly,
            yearly: self.keep_yearly,
            within: self.keep_within,
        }
    }
}

/// A plan with the snapshots that it is about.
pub struct Decided<'a> {
    /// The decisions.
    pub plan: Plan<GroupName>,
    /// The snapshots that were decided about.
    pub list: Vec<&'a Listed>,
    /// Incomplete ones, which their writer finishes or drops.
    pub incomplete: Vec<&'a Listed>,
}

/// Decides about all committed snapshots.
///
/// # Errors
/// If the policy is empty, the grouping needs labels, or the time zone is unknown.
pub fn decide<'a>(command: &Forget, list: &'a [Listed], state: &State) -> anyhow::Result<Decided<'a>> {
    let (committed, incomplete): (Vec<_>, Vec<_>) = list.iter().partition(|listed| listed.snapshot.committed);
    let mut groups: std::collections::BTreeMap<GroupName, Vec<Candidate>> = std::collections::BTreeMap::new();
    for listed in &committed {
        groups.entry(group_name(command, listed)?).or_default().push(candidate(&listed.snapshot));
    }
    let zone = match &command.time_zone {
        Some(name) => TimeZone::get(name).with_context(|| format!("`{name}` is no time zone that this machine knows"))?,
        None => TimeZone::system(),
    };
    let clock = clock(list.iter().map(|listed| &listed.snapshot), &Memory::within(state.dir()));
    let limits = Limits { max_forget_percent: command.max_forget, accept_clock: command.accept_clock };
    let plan = retention::plan(groups, &command.policy.policy(), &zone, &clock, &limits)?;
    Ok(Decided { plan, list: committed, incomplete })
}

fn group_name(command: &Forget, listed: &Listed) -> anyhow::Result<GroupName> {
    let paths: Vec<Vec<u8>> = listed.labels.iter().flat_map(|labels| &labels.paths).map(|path| path.0.clone()).collect();
    let content =
        listed.labels.as_ref().map(|labels| ContentLabels { host: &labels.host, job: &labels.job, paths: &paths, tags: &labels.tags });
    let envelope = &listed.snapshot.envelope;
    Ok(command.group_by.name(&Labels { writer: envelope.writer, group: envelope.group, content })?)
}
