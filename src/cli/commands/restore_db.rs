//! `restore-db`: a database from its dump in a snapshot.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::cli::args::SnapshotFilter;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, UsageError};
use crate::cli::listing;
use crate::content::browse::OpenSnapshot;
use crate::job::{DatabaseKind, DatabaseRestore, MariadbRestore, PostgresqlRestore, SqliteRestore};
use crate::model::event::Monitor;
use crate::model::id::SnapshotId;
use crate::source::database::{mariadb, postgresql};

/// Tables that are restored at once if nothing else is said.
const PARALLEL: u16 = 4;

/// Bring a database back from its dump in a snapshot
#[derive(Debug, Args)]
pub struct RestoreDb {
    /// `latest`, or the start of an id
    #[arg(value_name = "SNAP")]
    snapshot: String,

    /// The database, by the name that it had; a SQLite database by its absolute path
    #[arg(value_name = "DATABASE")]
    database: String,

    /// Make a database of another name, or at another path
    #[arg(long, value_name = "DATABASE")]
    to: Option<String>,

    /// SQLite: stop this unit of systemd while the database is replaced; repeatable
    #[arg(long, value_name = "UNIT")]
    service: Vec<String>,

    /// The kind of server, if the snapshot has databases of that name from several
    #[arg(long, value_name = "KIND")]
    kind: Option<Kind>,

    /// Replace a database that holds something; the old one goes when the new one has proved to be complete
    #[arg(long)]
    replace: bool,

    /// Do not make roles, tablespaces or users that the server misses; those that are there are never changed
    #[arg(long)]
    no_globals: bool,

    /// Take the database also if its tables do not hold the rows that were recorded
    #[arg(long)]
    no_verify_rows: bool,

    /// MariaDB and MySQL: replace the old database without loading the dump beside it first; saves time and room, and if the dump
    /// does not load, the old one is gone
    #[arg(long)]
    no_trial: bool,

    /// PostgreSQL: tables to restore at once, from a dump in directory format; 4 if absent
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: Option<u16>,

    /// PostgreSQL: where a dump in directory format is put together; in the state directory if absent
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,

    #[command(flatten)]
    server: ServerArguments,

    #[command(flatten)]
    filter: SnapshotFilter,
}

/// How to reach the server.
#[derive(Debug, Args)]
struct ServerArguments {
    /// The system's user as whom the tools run, for peer authentication; empty for yours. For PostgreSQL without --through `postgres`
    #[arg(long, value_name = "USER")]
    run_as: Option<String>,

    /// The server's host name; for PostgreSQL also the directory of its socket
    #[arg(long, value_name = "HOST")]
    server: Option<String>,

    /// The server's port
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,

    /// MariaDB and MySQL: the server's socket
    #[arg(long, value_name = "FILE")]
    socket: Option<PathBuf>,

    /// The database's user
    #[arg(long, value_name = "USER")]
    username: Option<String>,

    /// A file that holds the password and nothing else
    #[arg(long, value_name = "FILE", conflicts_with = "through")]
    password_file: Option<PathBuf>,

    /// A word before each of the tools; repeatable: --through docker --through exec --through -i --through NAME
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    through: Vec<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    Postgresql,
    Mariadb,
    Mysql,
}

impl From<Kind> for DatabaseKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Postgresql => DatabaseKind::Postgresql,
            Kind::Mariadb => DatabaseKind::Mariadb,
            Kind::Mysql => DatabaseKind::Mysql,
        }
    }
}

impl RestoreDb {
    /// Runs the command.
    ///
    /// # Errors
    /// If there is no such dump, or the server does not take it.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let (vault, listed) = listing::open_content(context, &self.snapshot, &self.filter)?;
        let snapshot = OpenSnapshot::open(&vault, &listed.snapshot)?;
        if self.database.starts_with('/') {
            return self.sqlite(context, &snapshot, &listed.snapshot.id);
        }
        if !self.service.is_empty() {
            return Err(UsageError::new("--service is for SQLite databases, which are named by their absolute path"));
        }
        let kind = self.kind(&snapshot)?;
        let wanted = DatabaseRestore {
            database: self.database.clone(),
            target: self.to.clone().unwrap_or_else(|| self.database.clone()),
            replace: self.replace,
            globals: !self.no_globals,
            verify_rows: !self.no_verify_rows,
        };
        let progress = context.progress()?;
        self.restore(kind, wanted.clone(), &snapshot, context, &progress)?;
        progress.finish();
        let id = listed.snapshot.id.to_string();
        context.document(&Report { snapshot: &id, kind: kind.to_string(), database: &wanted.database, target: &wanted.target })?;
        let as_name = if wanted.target == wanted.database { String::new() } else { format!(" as {}", wanted.target) };
        context.summary(&format!("Restored {}{as_name} from snapshot {}\n", wanted.database, listed.snapshot.id.short()))?;
        Ok(context.end(&progress))
    }

    /// Brings a SQLite database back.
    fn sqlite(self, context: &Context, snapshot: &OpenSnapshot<'_>, id: &SnapshotId) -> anyhow::Result<Exit> {
        let for_servers = [
            ("--kind", self.kind.is_some()),
            ("--no-globals", self.no_globals),
            ("--no-verify-rows", self.no_verify_rows),
            ("--no-trial", self.no_trial),
            ("--jobs", self.jobs.is_some()),
            ("--scratch", self.scratch.is_some()),
            ("--run-as", self.server.run_as.is_some()),
            ("--server", self.server.server.is_some()),
            ("--port", self.server.port.is_some()),
            ("--socket", self.server.socket.is_some()),
            ("--username", self.server.username.is_some()),
            ("--password-file", self.server.password_file.is_some()),
            ("--through", !self.server.through.is_empty()),
        ];
        if let Some((option, _)) = for_servers.iter().find(|(_, given)| *given) {
            return Err(UsageError::new(format!("{option} is for databases of servers; {} is a SQLite file", self.database)));
        }
        let target = self.to.clone().unwrap_or_else(|| self.database.clone());
        let path = PathBuf::from(&self.database);
        let restore = SqliteRestore { path, target: std::path::absolute(&target)?, replace: self.replace, services: self.service };
        let progress = context.progress()?;
        restore.run(snapshot, &progress)?;
        progress.finish();
        let report = Report { snapshot: &id.to_string(), kind: "sqlite".into(), database: &self.database, target: &target };
        context.document(&report)?;
        context.summary(&format!("Restored {} to {target} from snapshot {}\n", self.database, id.short()))?;
        Ok(context.end(&progress))
    }

    /// The kind of server whose dump is meant.
    fn kind(&self, snapshot: &OpenSnapshot<'_>) -> anyhow::Result<DatabaseKind> {
        if let Some(kind) = self.kind {
            return Ok(kind.into());
        }
        match DatabaseKind::of(snapshot, &self.database)?.as_slice() {
            [kind] => Ok(*kind),
            several => {
                let names: Vec<String> = several.iter().map(ToString::to_string).collect();
                Err(UsageError::new(format!("the snapshot has `{}` from {}; say which with --kind", self.database, names.join(" and "))))
            }
        }
    }

    fn restore(
        self,
        kind: DatabaseKind,
        wanted: DatabaseRestore,
        snapshot: &OpenSnapshot<'_>,
        context: &Context,
        monitor: &dyn Monitor,
    ) -> anyhow::Result<()> {
        let at = self.server;
        let flavour = match kind {
            DatabaseKind::Postgresql => {
                let default = if at.through.is_empty() { "postgres" } else { "" };
                let server = postgresql::Server {
                    user: Some(at.run_as.unwrap_or_else(|| default.to_owned())).filter(|user| !user.is_empty()),
                    host: at.server,
                    port: at.port,
                    username: at.username,
                    password_file: at.password_file,
                    through: at.through,
                    confined: None,
                };
                let scratch = self.scratch.map_or_else(|| context.state_base().map(|base| base.join("scratch")), Ok)?;
                let restore = PostgresqlRestore { wanted, server, parallel: self.jobs.unwrap_or(PARALLEL), scratch, tablespaces: true };
                restore.run(snapshot, monitor)?;
                return Ok(());
            }
            DatabaseKind::Mariadb => mariadb::Flavour::Mariadb,
            DatabaseKind::Mysql => mariadb::Flavour::Mysql,
        };
        let server = mariadb::Server::find(mariadb::Address {
            flavour,
            user: at.run_as.filter(|user| !user.is_empty()),
            host: at.server,
            port: at.port,
            socket: at.socket,
            username: at.username,
            password_file: at.password_file,
            through: at.through,
            confined: None,
        })?;
        MariadbRestore { wanted, kind, server, trial: !self.no_trial }.run(snapshot, monitor)?;
        Ok(())
    }
}

#[derive(Serialize)]
struct Report<'a> {
    snapshot: &'a str,
    kind: String,
    database: &'a str,
    target: &'a str,
}
