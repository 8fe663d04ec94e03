//! Databases: a dump proves nothing until a server has loaded it.
//!
//! ```text
//!   for each dump:
//!     programs of this machine --> server: its own data directory, its own socket, in a sandbox without network
//!     dump --> restore_database --> rows compared with those that were counted while it was dumped
//!                               --> the user's assertions
//! ```
//!
//! The clients run in the sandbox too: what they load may have them start programs. Each dump has a server of its own, as it is loaded by whom no
//! server refuses anything, and shall not see or change what another one brought.

mod assertion;
mod mariadb;
mod postgresql;
mod server;
mod sqlite;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::sandbox::{Rights, Sandbox};
use super::survey::{Survey, wanted};
use super::{DrillError, Run, note};
use crate::config::DrillServer;
use crate::job::{DatabaseKind, DatabaseRestore, JobError, RowCheck};
use crate::model::human;
use crate::model::report::{DrillFigures, TestOutcome};
use crate::source::confined::{Confined, Leash};

use server::Throwaway;

/// A throw-away server that takes dumps.
trait Loader {
    /// Loads a database under its own name, with its users, and compares its rows.
    fn load(&self, run: &Run<'_>, database: DatabaseRestore) -> Result<RowCheck, JobError>;

    /// What a query gives, line by line.
    fn ask(&self, database: &str, query: &str) -> std::io::Result<Vec<String>>;
}

/// Where one throw-away server lives.
struct Home {
    /// What it and its clients write to, whatever they are told to do.
    inside: PathBuf,
    /// What we write and read ourselves: not where a hostile dump could put links in its place.
    own: PathBuf,
    /// Ends its clients.
    leash: Leash,
}

impl Run<'_> {
    /// Tries all databases that the drill names.
    pub(super) fn databases(&self, survey: &Survey, figures: &mut DrillFigures) -> Result<(), DrillError> {
        let drill = self.options.drill;
        if let Some(sqlite) = &drill.sqlite {
            self.sqlite(sqlite, figures)?;
            self.go_on()?;
        }
        if let Some(server) = &drill.postgresql {
            self.server(DatabaseKind::Postgresql, server, survey, figures, &|home| postgresql::start(self, server, home))?;
        }
        if let Some(server) = &drill.mariadb {
            self.server(DatabaseKind::Mariadb, server, survey, figures, &|home| mariadb::start(self, server, home))?;
        }
        Ok(())
    }

    /// Loads the dumps of a server, each into one of its own. That it does not start is a test that failed.
    fn server<L: Loader>(
        &self,
        kind: DatabaseKind,
        wanted_of: &DrillServer,
        survey: &Survey,
        figures: &mut DrillFigures,
        start: &dyn Fn(&Home) -> Result<(Throwaway, L), String>,
    ) -> Result<(), DrillError> {
        self.go_on()?;
        self.tell("database");
        let databases = wanted(kind, wanted_of, self.snapshot)?;
        if databases.is_empty() {
            note(figures, kind.to_string(), Err("the snapshot has no dump of any database".into()));
            return Ok(());
        }
        let mut dependent: Vec<&str> = Vec::new();
        for (database, bytes) in &databases {
            let alone = self.on_server(kind, figures, start, |loader, figures| {
                let (loaded, took) = self.load(loader, database);
                // Another one may have what it needs, as MariaDB's views may look into any.
                if kind == DatabaseKind::Mariadb && databases.len() > 1 && matches!(loaded, Err(JobError::Server(_))) {
                    dependent.push(database);
                    return self.go_on();
                }
                // What lies among the files has been counted as one of them.
                let fresh = bytes.saturating_sub(survey.dumped(kind, database));
                self.judge_load(kind, database, loaded, (fresh, took), figures);
                self.assertions(kind, database, wanted_of, loader, figures)
            })?;
            if !alone {
                return Ok(());
            }
        }
        if dependent.is_empty() {
            return Ok(());
        }
        self.on_server(kind, figures, start, |loader, figures| {
            for (database, _) in databases.iter().filter(|(database, _)| !dependent.contains(&database.as_str())) {
                // What became of it was judged before.
                let _ = self.load(loader, database);
                self.go_on()?;
            }
            for (database, bytes) in databases.iter().filter(|(database, _)| dependent.contains(&database.as_str())) {
                let (loaded, took) = self.load(loader, database);
                let fresh = bytes.saturating_sub(survey.dumped(kind, database));
                self.judge_load(kind, database, loaded, (fresh, took), figures);
                self.assertions(kind, database, wanted_of, loader, figures)?;
            }
            Ok(())
        })?;
        Ok(())
    }

    /// Works with a fresh server, of which nothing is left; whether one could be started.
    fn on_server<L: Loader>(
        &self,
        kind: DatabaseKind,
        figures: &mut DrillFigures,
        start: &dyn Fn(&Home) -> Result<(Throwaway, L), String>,
        work: impl FnOnce(&L, &mut DrillFigures) -> Result<(), DrillError>,
    ) -> Result<bool, DrillError> {
        self.go_on()?;
        let home = self.home(kind)?;
        let (server, loader) = match start(&home) {
            Ok(started) => started,
            Err(why) => {
                self.go_on()?;
                note(figures, kind.to_string(), Err(why));
                return Ok(false);
            }
        };
        server.while_watched(&home.leash, &|| self.is_to_stop(), || work(&loader, figures))?;
        drop(server);
        self.place.clear_folder(&home.inside)?;
        self.place.clear_folder(&home.own)?;
        Ok(true)
    }

    /// Asks what the user says must hold of a database.
    fn assertions(
        &self,
        kind: DatabaseKind,
        database: &str,
        wanted_of: &DrillServer,
        loader: &impl Loader,
        figures: &mut DrillFigures,
    ) -> Result<(), DrillError> {
        for (rank, query) in wanted_of.assertions.get(database).into_iter().flatten().enumerate() {
            self.go_on()?;
            let answer = loader.ask(database, query).map_err(|error| error.to_string());
            note(figures, format!("{kind} {database}: assertion {}", rank + 1), assertion::judge_lines(query, answer));
        }
        self.go_on()
    }

    fn home(&self, kind: DatabaseKind) -> Result<Home, DrillError> {
        let (inside, own) = (self.place.folder(&kind.to_string())?, self.place.folder(&format!("{kind}-own"))?);
        Ok(Home { inside, own, leash: Leash::default() })
    }

    /// Loads a dump, and how long that took.
    fn load(&self, loader: &impl Loader, database: &str) -> (Result<RowCheck, JobError>, Duration) {
        let wanted =
            DatabaseRestore { database: database.to_owned(), target: database.to_owned(), replace: true, globals: true, verify_rows: true };
        let begun = Instant::now();
        (loader.load(self, wanted), begun.elapsed())
    }

    /// Notes what became of a dump, of which so many bytes were not restored before, and how long it took.
    fn judge_load(
        &self,
        kind: DatabaseKind,
        database: &str,
        loaded: Result<RowCheck, JobError>,
        (fresh, took): (u64, Duration),
        figures: &mut DrillFigures,
    ) {
        let name = format!("{kind} {database}");
        if matches!(loaded, Ok(_) | Err(JobError::RowsDiffer { .. })) {
            figures.restored(u64::from(fresh > 0), fresh, took);
        }
        match loaded {
            Ok(rows) => {
                note(figures, &name, Ok(format!("its dump loads, in {}", super::seconds(took))));
                match rows {
                    RowCheck::Equal { tables, rows } => {
                        note(
                            figures,
                            format!("{name}: rows"),
                            Ok(format!(
                                "{} {} the {} counted",
                                human::count(tables as u64, "table"),
                                if tables == 1 { "holds" } else { "hold" },
                                if rows == 1 { "row that was".to_owned() } else { format!("{rows} rows that were") },
                            )),
                        );
                    }
                    RowCheck::Unknown(why) => {
                        figures.test(format!("{name}: rows"), TestOutcome::Inconclusive, format!("not compared: {why}"));
                    }
                }
            }
            Err(JobError::RowsDiffer { differences, .. }) => {
                note(figures, &name, Ok(format!("its dump loads, in {}", super::seconds(took))));
                note(figures, format!("{name}: rows"), Err(super::files::named(&differences)));
            }
            Err(error) => note(figures, &name, Err(error.to_string())),
        }
    }

    /// The sandbox of a server and its clients; `programs` are looked for first.
    fn server_sandbox(&self, home: &Home, programs: Option<&Path>) -> Result<Sandbox, String> {
        let mut path = self.options.path.clone();
        if let Some(programs) = programs {
            let programs = programs.to_str().ok_or_else(|| format!("{} is not text", programs.display()))?;
            path = format!("{programs}:{path}");
        }
        let sandbox = Sandbox {
            rights: Rights::Nobody,
            writable: home.inside.clone(),
            readable: programs.map(Path::to_owned).into_iter().collect(),
            secrets: self.options.secrets.clone(),
            path,
            environment: Vec::new(),
        };
        sandbox.try_out()?;
        Ok(sandbox)
    }
}

impl Home {
    /// Clients in the sandbox, on the leash.
    fn confine(&self, words: Vec<String>) -> Confined {
        Confined { words, leash: self.leash.clone() }
    }
}
