//! A throw-away MariaDB server.

use std::time::Duration;

use super::server::Throwaway;
use super::{Home, Loader, Run};
use crate::config::DrillServer;
use crate::drill::sandbox::{INSIDE, find};
use crate::job::{DatabaseKind, DatabaseRestore, JobError, MariadbRestore, RowCheck, run_timed};
use crate::source::command::Program;
use crate::source::database::mariadb::{Address, Flavour, Server};

/// Where distributions put servers, which is not in the path of every service.
const SERVERS: &str = "/usr/sbin:/usr/libexec";
/// How long a new data directory may take.
const MAKING: Duration = Duration::from_secs(300);
/// Nothing of it must last, and nobody but us reaches it.
const SETTINGS: [&str; 4] = ["--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync", "--skip-networking", "--skip-log-bin"];

/// A server that takes dumps.
pub(super) struct Mariadb(Server);

/// Starts a server.
pub(super) fn start(run: &Run<'_>, wanted: &DrillServer, home: &Home) -> Result<(Throwaway, Mariadb), String> {
    let mut sandbox = run.server_sandbox(home, wanted.programs.as_deref())?;
    sandbox.path = format!("{}:{SERVERS}", sandbox.path);
    for program in ["mariadb-install-db", "mariadbd", "mariadb"] {
        if find(program, &sandbox.path).is_none() {
            return Err(format!(
                "MariaDB's server programs are not installed (`{program}`); install them, or say where they are with `mariadb.programs`"
            ));
        }
    }
    let words = sandbox.words()?;
    let data = format!("--datadir={INSIDE}/data");
    let temporary = format!("--tmpdir={INSIDE}");
    let own = |arguments: &[&str]| -> Vec<String> {
        words.iter().cloned().chain(arguments.iter().map(|argument| (*argument).to_owned())).collect()
    };
    let install =
        ["mariadb-install-db", "--no-defaults", &data, "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"];
    let program = Program { shown: Some("mariadb-install-db".into()), ..Program::new(own(&install)) };
    let made = run_timed(program, "mariadb-install-db", MAKING, &|| run.is_to_stop());
    made.result.map_err(|error| format!("{error} {}", made.output.trim()).trim().to_owned())?;
    let socket = format!("{INSIDE}/socket");
    let mut command = own(&["mariadbd", "--no-defaults", &data, &temporary, &format!("--socket={socket}")]);
    command.extend(SETTINGS.map(str::to_owned));
    command.extend(wanted.settings.iter().map(|(name, value)| format!("--{name}={value}")));
    let throwaway = Throwaway::start(&command, home.own.join("log"))?;
    let address = Address {
        flavour: Flavour::Mariadb,
        socket: Some(socket.into()),
        username: Some("root".into()),
        confined: Some(home.confine(words)),
        ..Address::default()
    };
    let server = Server::find(address).map_err(|error| error.to_string())?;
    throwaway.wait(&|| server.ask(None, "select 1").map(drop), &|| run.is_to_stop())?;
    Ok((throwaway, Mariadb(server)))
}

impl Loader for Mariadb {
    fn load(&self, run: &Run<'_>, wanted: DatabaseRestore) -> Result<RowCheck, JobError> {
        MariadbRestore { wanted, kind: DatabaseKind::Mariadb, server: self.0.clone(), trial: false }.run(run.snapshot, run.monitor)
    }

    fn ask(&self, database: &str, query: &str) -> std::io::Result<Vec<String>> {
        self.0.ask(Some(database), query)
    }
}
