//! `drill`: a restore that is tried and tested.

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::backup::host_name;
use crate::cli::args::SnapshotFilter;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, explain};
use crate::cli::keys::Key;
use crate::cli::listing::{self, Opener};
use crate::cli::render::text;
use crate::cli::reporting::{Told, reported, reporter};
use crate::cli::telling::telling;
use crate::cli::trust;
use crate::config::{Config, Credentials, Drill};
use crate::content::keys::RestoreKey;
use crate::content::vault::Vault;
use crate::drill::{self, Candidate, DrillOptions};
use crate::job::JobError;
use crate::keep::reach::access_to;
use crate::model::human;
use crate::model::report::{DrillFigures, Kind, Outcome, RepositoryRun, TestOutcome};
use crate::notify::Subject;
use crate::source::mapping::Mapping;
use crate::store::{Folder, open};

/// Bytes of what a test says that its report's error repeats: a line of a message has room for it, and for what stands around it.
const SAID: usize = 140;

/// Try a restore as this host's configuration says, and test what came of it
///
/// Restores into a fresh directory, reads everything back, loads dumps into throw-away servers, runs the smoke command, and removes
/// all of it again. Exits 0 if every test passed, and 1 if one failed or the drill could not be done.
#[derive(Debug, Args)]
pub struct DrillCommand {
    /// The drill's name in the configuration
    #[arg(value_name = "DRILL")]
    drill: String,

    #[command(flatten)]
    file: super::config::ConfigFile,

    /// Start the restored host in a container, as `fullHost` says
    #[arg(long)]
    full_host: bool,

    /// Tell those whom the drill's `notify` names, where no unit beside this one does
    #[arg(long)]
    notify: bool,
}

impl DrillCommand {
    /// Runs the command.
    ///
    /// # Errors
    /// If the configuration cannot be used, or the drill cannot be done.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let config = self.file.read()?;
        let mut wanted = config.drill(&self.drill)?.clone();
        if self.full_host {
            wanted.full_host = true;
            wanted.amount = crate::config::DrillAmount::Everything;
        }
        let service = format!("hearth-backup-drill-{}", self.drill);
        let reporter = reporter(context, &config, (Kind::Drill, &self.drill), vec![wanted.repository.clone()], service)?;
        telling(context, &config, Subject::Drill(self.drill.clone()), self.notify.then_some(&reporter), || {
            reported(context, Some(&reporter), |told| self.tell(context, &config, &wanted, told))
        })
    }

    /// Does the drill, and says what came of it.
    fn tell(&self, context: &Context, config: &Config, wanted: &Drill, told: &mut Told) -> anyhow::Result<Exit> {
        let mut figures = DrillFigures { mirror: wanted.mirror.clone(), ..DrillFigures::default() };
        let mut run = RepositoryRun::new(&wanted.repository, Outcome::Failure);
        let result = self.attempt(context, config, wanted, &mut figures, &mut run, told);
        // What does not fit together stands in the configuration, and not on the command line.
        let result = result.map_err(|error| if Exit::of(&error) == Exit::Usage { anyhow::anyhow!("{error}") } else { error });
        let error = match &result {
            Err(error) => Some(explain(error)),
            Ok(()) => why(&figures),
        };
        if error.is_none() {
            run.outcome = Outcome::Success;
        }
        (run.files, run.bytes) = (figures.files, figures.bytes);
        run.error.clone_from(&error);
        told.work.error.clone_from(&error);
        context.document(&Document { drill: &self.drill, repository: &wanted.repository, error: error.as_deref(), figures: &figures })?;
        context.summary(&summary(&self.drill, wanted, &figures, error.is_none()))?;
        told.work.repositories = vec![run];
        told.work.drill = Some(figures);
        result?;
        Ok(if error.is_none() { Exit::Done } else { Exit::Failed })
    }

    fn attempt(
        &self,
        context: &Context,
        config: &Config,
        wanted: &Drill,
        figures: &mut DrillFigures,
        run: &mut RepositoryRun,
        told: &mut Told,
    ) -> anyhow::Result<()> {
        let context = &context.with_state_of(config)?;
        let credentials = credentials(context, &self.drill);
        let key_file = wanted.key.locate(&credentials)?;
        let key = Key::Restore(RestoreKey::read(&key_file, context.prompt())?);
        let configured = config.repository(&wanted.repository)?;
        let access = access_to(configured, &credentials, &context.access()?).map_err(JobError::from)?;
        let repository = trust::open(context, open::open(&configured.url, &access)?, key.repository(), None)?;
        run.id = Some(repository.id());
        let Key::Restore(key) = key else { anyhow::bail!("not a restore key") };
        let vault = Vault::open(context.with_copies(repository), &key)?;
        let listed = listing::load(vault.repository(), Folder::Snapshots, &Opener::of_vault(&vault), &SnapshotFilter::default())?;
        let candidates = listed.into_iter().filter_map(|listed| Some(Candidate { payload: listed.labels?, snapshot: listed.snapshot }));
        let candidates: Vec<Candidate> = candidates.collect();
        let secrets =
            [configured.credentials.as_ref(), configured.token.as_ref(), configured.identity.as_ref(), configured.writer_key.as_ref()];
        let secrets = secrets.into_iter().flatten().filter_map(|file| file.locate(&credentials).ok());
        let options = DrillOptions {
            name: &self.drill,
            drill: wanted,
            host: config.host.clone().map_or_else(host_name, Ok)?,
            mapping: Mapping::new(&config.read_from),
            state: context.state_base()?,
            path: std::env::var("PATH").unwrap_or_default(),
            secrets: secrets.chain([key_file]).collect(),
        };
        let progress = context.progress()?;
        let done = drill::run(&options, &vault, &candidates, figures, &progress);
        progress.finish();
        told.found(&progress);
        Ok(done?)
    }
}

/// The first test that failed, with what it said, and how many more there are; none if none did.
fn why(figures: &DrillFigures) -> Option<String> {
    let mut failed = figures.tests.iter().filter(|test| test.outcome == TestOutcome::Failed);
    let first = failed.next()?;
    let said = first.text.split_whitespace().collect::<Vec<_>>().join(" ");
    let end = said.floor_char_boundary(SAID);
    let cut = if end < said.len() { "…" } else { "" };
    let more = match failed.count() {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    Some(format!("{}: {}{cut}{more}", first.name, said.get(..end).unwrap_or_default()))
}

/// Where the secrets of a drill's service are.
fn credentials(context: &Context, drill: &str) -> Credentials {
    Credentials { directory: context.credentials(), service: format!("hearth-backup-drill-{drill}") }
}

#[derive(Serialize)]
struct Document<'a> {
    drill: &'a str,
    repository: &'a str,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(flatten)]
    figures: &'a DrillFigures,
}

/// What came of it, for people.
fn summary(name: &str, wanted: &Drill, figures: &DrillFigures, passed: bool) -> String {
    let mut rows = vec![("Repository", wanted.repository.clone())];
    if let Some(snapshot) = &figures.snapshot {
        let age = figures.snapshot_time.map_or(String::new(), |made| format!(", {}", human::age(made, Timestamp::now())));
        rows.push(("Snapshot", format!("{}{age}", snapshot.short())));
    }
    let took = std::time::Duration::from_millis(figures.restore_milliseconds);
    if figures.files > 0 {
        let speed = human::rate(figures.bytes, took);
        let restored =
            format!("{}, {} in {} ({speed})", text::count(figures.files, "file"), human::size(figures.bytes), human::duration(took));
        rows.push(("Restored", restored));
    }
    if let Some(seconds) = figures.recovery_seconds {
        let time = human::duration(std::time::Duration::from_secs(seconds));
        rows.push(("Everything", format!("{} would take about {time}", human::size(figures.recovery_bytes))));
    }
    let head = format!("Drill {name} {}\n", if passed { "passed" } else { "FAILED" });
    let width = figures.tests.iter().map(|test| test.name.chars().count()).max().unwrap_or(0);
    let tests = figures.tests.iter().map(|test| {
        let outcome = match test.outcome {
            TestOutcome::Passed => "ok    ",
            TestOutcome::Failed => "FAILED",
            TestOutcome::Inconclusive => "?     ",
        };
        format!("  {outcome}  {:<width$}  {}\n", test.name, text::path(test.text.as_bytes()))
    });
    let fields = text::indent(&text::fields(&rows));
    [head, fields].into_iter().chain(tests).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drill_that_failed_says_what_the_first_test_found_and_how_many_more_failed() {
        let mut figures = DrillFigures::default();
        figures.test("restore", TestOutcome::Passed, "4 files");
        assert_eq!(why(&figures), None);
        figures.test("smoke", TestOutcome::Failed, "exit status: 3;\n it wrote: no");
        assert_eq!(why(&figures).unwrap(), "smoke: exit status: 3; it wrote: no");
        figures.test("full host", TestOutcome::Failed, "");
        figures.test("postgresql", TestOutcome::Failed, "");
        assert_eq!(why(&figures).unwrap(), "smoke: exit status: 3; it wrote: no; and 2 more");
        let mut figures = DrillFigures::default();
        figures.test("smoke", TestOutcome::Failed, "ü".repeat(1000));
        assert!(why(&figures).is_some_and(|why| why.len() < SAID + 20 && why.ends_with("ü…")));
    }
}
