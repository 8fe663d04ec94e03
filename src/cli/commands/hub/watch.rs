//! `hub watch`.

use clap::Args;

use super::{SERVICE, Which};
use crate::cli::commands::backup::host_name;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::history::Severity;
use crate::hub::Hub;
use crate::hub::watch::{Concern, Look};

/// Tell those whom the hub's `notify` names what has become wrong since the last look, and what is right again
///
/// Among it the silence of hosts: a run that should have been reported by now, with a grace of a quarter of the time between two runs. Meant for a
/// timer that elapses every few minutes. Whoever cannot be told is told at the next look.
#[derive(Debug, Args)]
pub struct Watch {
    #[command(flatten)]
    which: Which,

    /// Tell nobody, only show what is wrong
    #[arg(long, short = 'n')]
    dry_run: bool,
}

impl Watch {
    /// Runs the command.
    ///
    /// # Errors
    /// If the hub's directory cannot be used.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let settings = self.which.hub()?;
        let credentials = Which::credentials(context, &format!("{SERVICE}watch"));
        let hub = Hub::open(&settings, &credentials)?;
        let look = hub.look()?;
        context.say(&text(&look))?;
        context.document(&look)?;
        let _ = (host_name()?, &credentials);
        if !self.dry_run {
            hub.remember(&look)?;
        }
        Ok(Exit::Done)
    }
}

/// A line for each concern.
fn text(look: &Look) -> String {
    let line = |word: &str, concern: &Concern| {
        let severity = if concern.severity == Severity::Error { "error" } else { "warning" };
        format!("{word}: {severity}: {}\n", crate::cli::render::text::path(concern.text.as_bytes()))
    };
    let began = look.began.iter().map(|concern| line("new", concern));
    let lasting = look.lasting.iter().map(|lasting| line("known", &lasting.concern));
    let ended = look.ended.iter().map(|lasting| line("over", &lasting.concern));
    let text: String = began.chain(lasting).chain(ended).collect();
    if text.is_empty() { "All is well\n".to_owned() } else { text }
}
