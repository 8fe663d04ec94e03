//! `backup-list`: the snapshots at a hub, by what it can see of them.

use clap::Args;

use crate::cli::context::Context;
use crate::cli::exit::{Exit, UsageError};
use crate::cli::render::table::{Align, Table};
use crate::cli::render::text;
use crate::hub::status::BackupList;
use crate::model::human;
use crate::store::hub::{Overview, is_name};

/// See which snapshots of a host a hub has, by what can be seen without any key
#[derive(Debug, Args)]
pub struct BackupListCommand {
    /// The host [default: whose repository the token is for]
    #[arg(value_name = "HOST", conflicts_with = "repository")]
    host: Option<String>,

    /// A repository at the hub instead
    #[arg(long = "repository", value_name = "REPOSITORY")]
    repository: Option<String>,

    /// The hub: https://HUB, or ssh://USER@HOST/NAME
    #[arg(long, value_name = "URL")]
    hub: String,

    /// The newest so many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
}

impl BackupListCommand {
    /// Runs the command.
    ///
    /// # Errors
    /// If the hub cannot be asked, or has no such host that we may see.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let mut path = format!("/backup-list?limit={}", self.limit);
        for (key, name) in [("host", &self.host), ("repository", &self.repository)] {
            if let Some(name) = name {
                if !is_name(name) {
                    return Err(UsageError::new(format!("`{name}` cannot be the name of a {key} at a hub")));
                }
                path.push_str(&format!("&{key}={name}"));
            }
        }
        let answer = Overview::new(&self.hub, &context.access()?)?.get(&path)?;
        let list: BackupList = serde_json::from_slice(&answer)
            .map_err(|error| anyhow::anyhow!("{} does not answer as a hub does ({error}); is the URL right?", self.hub))?;
        context.document(&list)?;
        let columns = [
            ("SNAPSHOT", Align::Left),
            ("RECEIVED", Align::Left),
            ("WRITER", Align::Left),
            ("GROUP", Align::Left),
            ("ADDED", Align::Right),
            ("REMARKS", Align::Left),
        ];
        let mut table = Table::new(&columns);
        for snapshot in &list.snapshots {
            let remarks =
                [(snapshot.pinned, "pinned"), (!snapshot.committed, "not complete"), (snapshot.committed && !snapshot.counts, "forged")];
            let remarks: Vec<&str> = remarks.iter().filter(|(is_so, _)| *is_so).map(|(_, word)| *word).collect();
            table.row([
                snapshot.id.short(),
                text::moment(snapshot.received),
                snapshot.writer.short(),
                snapshot.group.short(),
                human::size(snapshot.bytes_added),
                remarks.join(", "),
            ]);
        }
        context.say(&table.render())?;
        let shown = list.snapshots.len() as u64;
        if shown < list.count {
            context.say(&format!("{} older ones are not shown; --limit shows more\n", list.count - shown))?;
        }
        Ok(Exit::Done)
    }
}
