//! `restore-db`: a database from its dump in a snapshot.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use crate::cli::args::SnapshotFilter;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::listing;
use crate::content::browse::OpenSnapshot;
use crate::job::DatabaseRestore;
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

    /// The system's user as whom the tools run, for peer authentication; empty for yours
    #[arg(long, value_name = "USER", default_value = "postgres")]
    run_as: String,

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
        let restore = DatabaseRestore {
            server: Server {
                user: Some(self.run_as).filter(|user| !user.is_empty()),
                host: self.server,
                port: self.port,
                username: self.username,
                password_file: self.password_file,
            },
            database: self.database,
            target,
            replace: self.replace,
            globals: !self.no_globals,
        };
        let progress = context.progress()?;
        restore.run(&snapshot, &progress)?;
        progress.finish();
        let id = listed.snapshot.id.to_string();
        context.document(&Report { snapshot: &id, database: &restore.database, target: &restore.target })?;
        let as_name = if restore.target == restore.database { String::new() } else { format!(" as {}", restore.target) };
        context.summary(&format!("Restored {}{as_name} from snapshot {}\n", restore.database, listed.snapshot.id.short()))?;
        Ok(context.end(&progress))
    }
}

#[derive(Serialize)]
struct Report<'a> {
    snapshot: &'a str,
    database: &'a str,
    target: &'a str,
}
