//! One file per command: its arguments, and what it does with them.

mod agent;
pub(super) mod backup;
mod backup_list;
mod backup_trigger;
mod check;
mod config;
mod cost;
mod diff;
mod drill;
mod dump;
mod find;
mod forget;
mod generate;
mod hub;
mod init;
mod key;
mod ls;
mod maintain;
mod mirror;
mod notify;
mod pin;
mod prune;
mod repair;
mod restore;
mod restore_db;
mod run;
mod settle;
mod snapshots;
mod stats;
mod status;
mod step;
mod trial;

use clap::Subcommand;

use super::context::Context;
use super::exit::Exit;

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    Try(trial::Try),
    Init(init::Init),
    Backup(backup::Backup),
    Snapshots(snapshots::SnapshotsCommand),
    Ls(ls::Ls),
    Find(find::Find),
    Diff(diff::Diff),
    Dump(dump::Dump),
    Stats(stats::Stats),
    Restore(restore::Restore),
    RestoreDb(restore_db::RestoreDb),
    Forget(forget::Forget),
    Pin(pin::Pin),
    Unpin(pin::Unpin),
    Prune(prune::Prune),
    Check(check::Check),
    Repair(repair::Repair),
    Run(run::Run),
    Maintain(maintain::Maintain),
    Mirror(mirror::Mirror),
    Drill(drill::DrillCommand),
    Settle(settle::Settle),
    Notify(notify::Notify),
    Agent(agent::Agent),
    BackupTrigger(backup_trigger::BackupTrigger),
    Status(status::StatusCommand),
    BackupList(backup_list::BackupListCommand),
    #[command(subcommand)]
    Config(config::ConfigCommand),
    #[command(subcommand)]
    Key(key::KeyCommand),
    #[command(subcommand)]
    Hub(hub::HubCommand),
    Completions(generate::Completions),
    Man(generate::Man),
}

impl Command {
    /// Whether it stores something, with which the next run goes on after one that was stopped.
    pub fn goes_on(&self) -> bool {
        matches!(self, Command::Backup(_) | Command::Run(_) | Command::Maintain(_) | Command::Mirror(_) | Command::Hub(_))
    }

    /// Runs the command.
    ///
    /// # Errors
    /// If it fails; the exit code follows from the error.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        match self {
            Command::Try(command) => command.run(context),
            Command::Init(command) => command.run(context),
            Command::Backup(command) => command.run(context),
            Command::Snapshots(command) => command.run(context),
            Command::Ls(command) => command.run(context),
            Command::Find(command) => command.run(context),
            Command::Diff(command) => command.run(context),
            Command::Dump(command) => command.run(context),
            Command::Stats(command) => command.run(context),
            Command::Restore(command) => command.run(context),
            Command::RestoreDb(command) => command.run(context),
            Command::Forget(command) => command.run(context),
            Command::Pin(command) => command.run(context),
            Command::Unpin(command) => command.run(context),
            Command::Prune(command) => command.run(context),
            Command::Check(command) => command.run(context),
            Command::Repair(command) => command.run(context),
            Command::Run(command) => command.run(context),
            Command::Maintain(command) => command.run(context),
            Command::Mirror(command) => command.run(context),
            Command::Drill(command) => command.run(context),
            Command::Settle(command) => command.run(context),
            Command::Notify(command) => command.run(context),
            Command::Agent(command) => command.run(context),
            Command::BackupTrigger(command) => command.run(context),
            Command::Status(command) => command.run(context),
            Command::BackupList(command) => command.run(context),
            Command::Config(command) => command.run(context),
            Command::Key(command) => command.run(context),
            Command::Hub(command) => command.run(context),
            Command::Completions(command) => command.run(context),
            Command::Man(command) => command.run(context),
        }
    }
}
