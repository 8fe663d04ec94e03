//! How all hosts fare that report to a hub.

use super::table::{jobs, shown, warnings};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::render::table::{Align, Table};
use crate::hub::status::{RepositoryStatus, Status};
use crate::model::human;
use crate::store::hub::Overview;

/// Asks a hub and shows what it says.
///
/// # Errors
/// If the hub cannot be asked, or does not let us.
pub fn show(context: &Context, hub: &str) -> anyhow::Result<Exit> {
    let answer = Overview::new(hub, &context.access()?)?.get("/status")?;
    let status: Status = serde_json::from_slice(&answer)
        .map_err(|error| anyhow::anyhow!("{hub} does not answer as a hub does ({error}); is the URL right?"))?;
    context.document(&status)?;
    context.say(&match status.jobs.is_empty() {
        true => "No host has reported anything yet\n".to_owned(),
        false => jobs(&status.jobs, status.now, true),
    })?;
    context.say(&repositories(&status))?;
    context.say(&warnings(&status.warnings))?;
    let trouble = status.jobs.iter().any(|job| job.state.is_trouble());
    Ok(if trouble { Exit::Failed } else { Exit::Done })
}

fn repositories(status: &Status) -> String {
    if status.repositories.is_empty() {
        return String::new();
    }
    let columns = ["REPOSITORY", "HOSTS", "SNAPSHOTS", "NEWEST", "USED", "QUOTA"];
    let right = ["SNAPSHOTS", "USED", "QUOTA"];
    let columns = columns.map(|name| (name, if right.contains(&name) { Align::Right } else { Align::Left }));
    let mut table = Table::new(&columns);
    for RepositoryStatus { name, hosts, snapshots, newest, used, quota, .. } in &status.repositories {
        let quota = quota.filter(|quota| quota.bytes < u64::MAX).map(|quota| human::size(quota.bytes));
        let hosts: Vec<String> = hosts.iter().map(|host| shown(host)).collect();
        let newest = newest.map(|newest| human::age(newest, status.now)).unwrap_or_default();
        table.row([shown(name), hosts.join(", "), snapshots.to_string(), newest, human::size(used.bytes), quota.unwrap_or_default()]);
    }
    let disk = status.disk.map(|disk| format!("The hub's disk has {} free of {}\n", human::size(disk.free), human::size(disk.size)));
    format!("\n{}{}", table.render(), disk.unwrap_or_default())
}
