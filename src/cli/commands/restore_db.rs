//! `restore-db`: a database from its dump in a snapshot.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use crate::cli::args::SnapshotFilter;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::listing;
use crate::content::browse::OpenSnapshot;
use crate::job::{DatabaseRestore, PostgresqlRestore};
use crate::source::database::postgresql::Server;

/// Bring a PostgreSQL database back from its dump in a snapshot
#[derive(Debug, Args)]
pub struct RestoreDb {
    /// `latest`, or the start of an id
    #[arg(value_name = "SNAP")]
    snapshot: String,

    /// The database, by the name that it had
    #[arg(value_name = "DATABASE")]
    database: String,

    /// Make a database of another name
    #[arg(long, value_name = "DATABASE")]
    to: Option<String>,

    /// Replace a database that holds something; the old one goes when the new one is complete
    #[arg(long)]
    replace: bool,

    /// Do not make roles and tablespaces that the server misses; those that are there are never changed
    #[arg(long)]
    no_globals: bool,

    /// Take the database also if its tables do not hold the rows that were recorded
    #[arg(long)]
    no_verify_rows: bool,

    /// Tables to restore at once, from a dump in directory format
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: u16,

    /// Where a dump in directory format is put together; in the state directory if absent
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,

    /// The system's user as whom the tools run, for peer authentication; empty for yours. For PostgreSQL without --through `postgres`
    #[arg(long, value_name = "USER")]
    run_as: Option<String>,

    /// A word before each of the tools; repeatable: --through docker --through exec --through -i --through NAME
    #[arg(long, value_name = "WORD", allow_hyphen_values = true, conflicts_with = "password_file")]
    through: Vec<String>,

    /// The server's host name, or the directory of its socket
    #[arg(long, value_name = "HOST")]
    server: Option<String>,

    /// The server's port
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,

    /// The database's user
    #[arg(long, value_name = "USER")]
    username: Option<String>,

    /// A file that holds the password and nothing else
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,

    #[command(flatten)]
    filter: SnapshotFilter,
}

impl RestoreDb {
    /// Runs the command.
    ///
    /// # Errors
    /// If there is no such dump, or the server does not take it; then its databases are as before.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let (vault, listed) = listing::open_content(context, &self.snapshot, &self.filter)?;
        let snapshot = OpenSnapshot::open(&vault, &listed.snapshot)?;
        let target = self.to.unwrap_or_else(|| self.database.clone());
        let default_user = if self.through.is_empty() { "postgres" } else { "" };
        let wanted = DatabaseRestore {
            database: self.database.clone(),
            target,
            replace: self.replace,
            globals: !self.no_globals,
            verify_rows: !self.no_verify_rows,
        };
        let restore = PostgresqlRestore {
            wanted: wanted.clone(),
            server: Server {
                user: Some(self.run_as.unwrap_or_else(|| default_user.to_owned())).filter(|user| !user.is_empty()),
                host: self.server,
                port: self.port,
                username: self.username,
                password_file: self.password_file,
                through: self.through,
            },
            parallel: self.jobs,
            scratch: self.scratch.map_or_else(|| context.state_base().map(|base| base.join("scratch")), Ok)?,
        };
        let progress = context.progress()?;
        restore.run(&snapshot, &progress)?;
        progress.finish();
        let id = listed.snapshot.id.to_string();
        context.document(&Report { snapshot: &id, database: &wanted.database, target: &wanted.target })?;
        let as_name = if wanted.target == wanted.database { String::new() } else { format!(" as {}", wanted.target) };
        context.summary(&format!("Restored {}{as_name} from snapshot {}\n", wanted.database, listed.snapshot.id.short()))?;
        Ok(context.end(&progress))
    }
}

#[derive(Serialize)]
struct Report<'a> {
    snapshot: &'a str,
    database: &'a str,
    target: &'a str,
}
