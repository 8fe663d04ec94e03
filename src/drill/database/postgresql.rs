//! A throw-away PostgreSQL server.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::server::Throwaway;
use super::{Home, Loader, Run};
use crate::config::DrillServer;
use crate::drill::sandbox::{INSIDE, find};
use crate::job::{DatabaseRestore, JobError, PostgresqlRestore, RowCheck, run_timed};
use crate::source::command::Program;
use crate::source::database::postgresql::{Server, connection};

/// Where Debian has the programs of each version.
const DEBIAN: &str = "/usr/lib/postgresql";
/// Tables that are restored at once from a dump in directory format.
const PARALLEL: u16 = 4;
/// How long a new data directory may take.
const MAKING: Duration = Duration::from_secs(300);
/// The server's own settings: nothing of it must last, and nobody but us reaches it.
const SETTINGS: [&str; 5] = ["listen_addresses=", "fsync=off", "full_page_writes=off", "synchronous_commit=off", "wal_level=minimal"];
/// Without replicas, for which `wal_level=minimal` has no words.
const NO_SENDERS: &str = "max_wal_senders=0";

/// A server that takes dumps.
pub(super) struct Postgresql {
    server: Server,
    /// Where dumps in directory format are put together.
    scratch: PathBuf,
}

/// Starts a server.
pub(super) fn start(run: &Run<'_>, wanted: &DrillServer, home: &Home) -> Result<(Throwaway, Postgresql), String> {
    let programs = programs(wanted.programs.as_deref(), &run.options.path)?;
    let words = run.server_sandbox(home, Some(&programs))?.words()?;
    let data = format!("{INSIDE}/data");
    let own = |words: &[String], arguments: &[&str]| -> Vec<String> {
        words.iter().cloned().chain(arguments.iter().map(|argument| (*argument).to_owned())).collect()
    };
    let make = own(
        &words,
        &[
            "initdb",
            "--pgdata",
            &data,
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
            "--no-instructions",
        ],
    );
    let program = Program { shown: Some("initdb".into()), ..Program::new(make) };
    let made = run_timed(program, "initdb", MAKING, &|| run.is_to_stop());
    made.result.map_err(|error| error.to_string())?;
    let mut command = own(&words, &["postgres", "-D", &data, "-k", INSIDE]);
    let settings = SETTINGS.iter().chain([&NO_SENDERS]).map(|setting| (*setting).to_owned());
    let settings = settings.chain(wanted.settings.iter().map(|(name, value)| format!("{name}={value}")));
    command.extend(settings.flat_map(|setting| ["-c".to_owned(), setting]));
    let throwaway = Throwaway::start(&command, home.own.join("log"))?;
    let server =
        Server { host: Some(INSIDE.into()), username: Some("postgres".into()), confined: Some(home.confine(words)), ..Server::default() };
    throwaway.wait(&|| server.ask("postgres", "select 1").map(drop), &|| run.is_to_stop())?;
    Ok((throwaway, Postgresql { server, scratch: home.own.join("dumps") }))
}

/// The directory of the server's programs: the one that is configured, one of the path, else the newest that Debian has.
fn programs(configured: Option<&Path>, path: &str) -> Result<PathBuf, String> {
    let has_server = |folder: &Path| folder.join("initdb").is_file() && folder.join("postgres").is_file();
    if let Some(folder) = configured {
        let missing = || format!("{} has no `initdb` and `postgres`; correct `programs`", folder.display());
        return if has_server(folder) { Ok(folder.to_owned()) } else { Err(missing()) };
    }
    // A link in the path leads to where all programs of the server are.
    let in_path =
        find("initdb", path).and_then(|program| fs::canonicalize(program).ok()).and_then(|program| Some(program.parent()?.to_owned()));
    let versions = fs::read_dir(DEBIAN).into_iter().flatten().flatten().filter_map(|version| {
        let number: u32 = version.file_name().to_str()?.split('.').next()?.parse().ok()?;
        Some((number, version.path().join("bin")))
    });
    let newest = versions.filter(|(_, folder)| has_server(folder)).max().map(|(_, folder)| folder);
    in_path.filter(|folder| has_server(folder)).or(newest).ok_or_else(|| {
        "PostgreSQL's server programs are not installed (initdb, postgres); install them, or say where they are with `postgresql.programs`".into()
    })
}

impl Loader for Postgresql {
    fn load(&self, run: &Run<'_>, wanted: DatabaseRestore) -> Result<RowCheck, JobError> {
        let (server, scratch) = (self.server.clone(), self.scratch.clone());
        PostgresqlRestore { wanted, server, parallel: PARALLEL, scratch, tablespaces: false }.run(run.snapshot, run.monitor)
    }

    fn ask(&self, database: &str, query: &str) -> std::io::Result<Vec<String>> {
        self.server.ask(&connection(database), query)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_that_are_not_where_the_configuration_says_are_an_error() {
        let error = programs(Some(Path::new("/nowhere")), "/usr/bin").unwrap_err();
        assert!(error.contains("/nowhere has no `initdb`"), "{error}");
    }

    #[test]
    fn programs_are_found_behind_a_link_in_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let (real, links) = (folder.path().join("15/bin"), folder.path().join("links"));
        fs::create_dir_all(&real).unwrap();
        fs::create_dir(&links).unwrap();
        for program in ["initdb", "postgres"] {
            fs::write(real.join(program), "").unwrap();
        }
        std::os::unix::fs::symlink(real.join("initdb"), links.join("initdb")).unwrap();
        assert_eq!(programs(None, links.to_str().unwrap()).unwrap(), real.canonicalize().unwrap());
    }
}
