//! `backup-trigger`: asks a host for a run, through its hub.

use clap::Args;

use crate::cli::context::Context;
use crate::cli::exit::{Exit, UsageError};
use crate::cli::render::text;
use crate::store::StoreErrorKind;
use crate::store::hub::order::{Asked, LONGEST_WAIT, Order, OrderState, is_job};
use crate::store::hub::{Trigger, Way, is_name};

/// How long one question waits for news, in seconds; the answer must come before others give the line up.
const WAIT: u64 = LONGEST_WAIT / 2;
/// How often in a row the hub may be away while a run is waited for; each time lasts half a minute.
const AWAY: u32 = 10;

/// Ask a host to run a job now, through the hub that it keeps a connection to
///
/// For the token of an operator, or of a maintainer of the host's repository. A host whose agent is not connected runs the job when it comes back
/// within an hour. With --wait the exit status is that of the run: 0, 3 with warnings, 1 if it failed or was refused.
#[derive(Debug, Args)]
pub struct BackupTrigger {
    /// Where the hub is: https://HUB, or ssh://USER@HUB/NAME
    #[arg(long, env = "HEARTH_HUB", hide_env_values = true, value_name = "URL")]
    hub: String,

    /// The host, as its token is called; behind ssh as its repository is
    #[arg(value_name = "HOST")]
    host: String,

    /// Its job
    #[arg(value_name = "JOB")]
    job: String,

    /// Wait for the run to end, and show its progress
    #[arg(long)]
    wait: bool,
}

impl BackupTrigger {
    /// Runs the command.
    ///
    /// # Errors
    /// If the hub cannot be reached, or does not permit it.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        if !is_name(&self.host) || !is_job(&self.job) {
            return Err(UsageError::new(format!("`{} {}` cannot be a host and its job", self.host, self.job)));
        }
        let (way, repository) = Way::parse(&self.hub, context.global.allow_plain_http)?;
        let trigger = Trigger::new(&way, repository.as_deref(), &context.access()?)?;
        let asked = trigger.ask(&self.host, &self.job)?;
        if !asked.connected {
            tracing::warn!("the agent of {} is not connected to the hub; it runs {} if it comes back within an hour", self.host, self.job);
        }
        let asked = if self.wait { self.follow(&trigger, asked)? } else { asked };
        context.document(&asked)?;
        context.summary(&format!("{}\n", told(&asked.order)))?;
        Ok(match asked.order.state {
            OrderState::Asked | OrderState::Taken | OrderState::Running | OrderState::Succeeded => Exit::Done,
            OrderState::Warnings => Exit::Warnings,
            OrderState::Failed | OrderState::Refused | OrderState::Expired => Exit::Failed,
        })
    }

    /// Tells of news until there are no more.
    fn follow(&self, trigger: &Trigger, first: Asked) -> anyhow::Result<Asked> {
        let (mut last, mut away) = (first, 0);
        let mut said = String::new();
        while !last.order.state.is_ended() {
            let now = told(&last.order);
            if now != said {
                tracing::info!("{now}");
                said = now;
            }
            match trigger.follow(&self.host, &last.order.id, last.order.changed, WAIT) {
                Ok(asked) => (last, away) = (asked, 0),
                Err(error) if error.kind == StoreErrorKind::Temporary && away < AWAY => {
                    tracing::warn!("{error}; still waiting");
                    away += 1;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(last)
    }
}

/// One line on how an order is.
fn told(order: &Order) -> String {
    let Order { host, job, .. } = order;
    let what = match order.state {
        OrderState::Asked => "asked for",
        OrderState::Taken => "about to start",
        OrderState::Running => "runs",
        OrderState::Succeeded => "done",
        OrderState::Warnings => "done with warnings",
        OrderState::Failed => "failed",
        OrderState::Refused => "refused",
        OrderState::Expired => "given up",
    };
    let more = order.message.as_ref().or(order.progress.as_ref().map(|progress| &progress.text));
    let more = more.map(|more| format!(": {}", text::path(more.as_bytes()))).unwrap_or_default();
    format!("{host} {job}: {what}{more}")
}
