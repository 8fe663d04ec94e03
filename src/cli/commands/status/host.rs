//! How this host fares.

use super::table::{jobs, shown, warnings};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::render::table::{Align, Table};
use crate::cli::reporting::reporter;
use crate::config::Config;
use crate::model::human;
use crate::model::report::Kind;
use crate::report::{HostStatus, host_status};

/// Shows what this host knows of its own runs.
///
/// # Errors
/// If its reports cannot be read.
pub fn show(context: &Context, config: &Config) -> anyhow::Result<Exit> {
    let reporter = reporter(context, config, (Kind::Backup, ""), Vec::new(), String::new())?;
    let status = host_status(&reporter).map_err(|error| anyhow::anyhow!("the reports of this host's runs cannot be read: {error}"))?;
    context.document(&status)?;
    context.say(&match status.jobs.is_empty() {
        true => "This host has no jobs\n".to_owned(),
        false => jobs(&status.jobs, status.now, false),
    })?;
    context.say(&repositories(&status))?;
    if !status.uncovered.is_empty() {
        let names: Vec<String> = status.uncovered.iter().map(|name| shown(name)).collect();
        context.say(&format!("\nNot covered by any job: {}\n", names.join(", ")))?;
    }
    context.say(&warnings(&status.warnings))?;
    Ok(if status.healthy { Exit::Done } else { Exit::Failed })
}

fn repositories(status: &HostStatus) -> String {
    if status.repositories.is_empty() {
        return String::new();
    }
    let columns = ["REPOSITORY", "NEWEST", "LAST DRILL", "ALL BACK IN", "DISK FREE", "OF"];
    let right = ["DISK FREE", "OF"];
    let mut table = Table::new(&columns.map(|name| (name, if right.contains(&name) { Align::Right } else { Align::Left })));
    for repository in &status.repositories {
        let age = |time: Option<jiff::Timestamp>| time.map_or_else(|| "never".to_owned(), |time| human::age(time, status.now));
        let room = |of: fn(&crate::model::report::Disk) -> u64| repository.disk.as_ref().map(|disk| human::size(of(disk)));
        table.row([
            shown(&repository.name),
            age(repository.newest),
            age(repository.last_drill),
            repository.recovery_seconds.map(human::seconds).unwrap_or_default(),
            room(|disk| disk.free).unwrap_or_default(),
            room(|disk| disk.size).unwrap_or_default(),
        ]);
    }
    format!("\n{}", table.render())
}
