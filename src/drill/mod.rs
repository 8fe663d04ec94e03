//! Drills: restores that a machine tries and tests, so that nobody has to hope.
//!
//! ```text
//!   snapshots --> choice: latest, oldest, random
//!             --> survey: what is restored of it, and the room that it takes
//!             --> place: a fresh directory or a tmpfs, locked, wiped in the end
//!             --> restore (timed) --> tests: read back, compared with the live source,
//!                                     databases in throw-away servers, the smoke command, the whole host booted
//!             --> DrillFigures: what the report says
//! ```
//!
//! What comes out of a repository is not trusted: servers, their tools and the smoke command run in a [`sandbox`].
//!
//! May import: `job` and what is below it.

mod choice;
mod database;
mod error;
mod files;
mod full_host;
mod live;
mod memory;
mod place;
mod random;
mod sandbox;
mod smoke;
mod survey;
mod survivors;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use choice::Candidate;
pub use error::DrillError;

use self::place::Place;
use self::random::Random;
use crate::config::{Drill, DrillAmount};
use crate::content::ContentError;
use crate::content::browse::OpenSnapshot;
use crate::content::vault::Vault;
use crate::job::lock;
use crate::model::event::{Event, Monitor};
use crate::model::report::{DrillFigures, TestOutcome};
use crate::source::mapping::Mapping;

/// A drill to be done.
pub struct DrillOptions<'a> {
    /// Its name in the configuration.
    pub name: &'a str,
    /// What the configuration says of it.
    pub drill: &'a Drill,
    /// This machine's name in snapshots.
    pub host: String,
    /// What the jobs of this machine read elsewhere than they show it.
    pub mapping: Mapping,
    /// Where this machine keeps its state.
    pub state: PathBuf,
    /// Where programs are looked for: directories with a `:` between them.
    pub path: String,
    /// Files that nobody in a sandbox may read.
    pub secrets: Vec<PathBuf>,
}

impl DrillOptions<'_> {
    /// The directory in which fresh ones are made.
    fn scratch(&self) -> PathBuf {
        scratch(self.drill, &self.state)
    }
}

fn scratch(drill: &Drill, state: &Path) -> PathBuf {
    drill.scratch.clone().unwrap_or_else(|| state.join("drills").join("scratch"))
}

/// One drill at work.
struct Run<'a> {
    options: &'a DrillOptions<'a>,
    vault: &'a Vault,
    snapshot: &'a OpenSnapshot<'a>,
    place: &'a Place,
    monitor: &'a dyn Monitor,
}

/// Does a drill with one of the snapshots, and fills in what it found, also if it fails on the way.
///
/// # Errors
/// If it cannot be done to its end. Tests that fail are no error; [`DrillFigures::tests_failed`] counts them.
pub fn run(
    options: &DrillOptions<'_>,
    vault: &Vault,
    candidates: &[Candidate],
    figures: &mut DrillFigures,
    monitor: &dyn Monitor,
) -> Result<(), DrillError> {
    let limit = options.drill.time_limit.0;
    let limited =
        Limited { monitor, end: Instant::now().checked_add(limit.to_duration().map_err(|error| DrillError::Place(error.to_string()))?) };
    match attempt(options, vault, candidates, figures, &limited) {
        Err(_) if limited.is_over() && !monitor.cancelled() => Err(DrillError::TimeLimit { limit: limit.to_string() }),
        Err(_) if monitor.cancelled() => Err(ContentError::Cancelled.into()),
        ended => ended,
    }
}

fn attempt(
    options: &DrillOptions<'_>,
    vault: &Vault,
    candidates: &[Candidate],
    figures: &mut DrillFigures,
    monitor: &dyn Monitor,
) -> Result<(), DrillError> {
    let _lock = lock::try_take(&options.state.join("drills").join(options.name))?
        .map_err(|who| DrillError::Running { drill: options.name.to_owned(), who })?;
    let newest = memory::newest(vault.repository(), candidates, &options.state.join("drills").join(options.name))?;
    note(figures, "newest snapshots", newest);
    let mut random = Random::new()?;
    let (chosen, recovery_bytes) = choice::choose(options.drill, candidates, &mut random)?;
    figures.snapshot = Some(chosen.snapshot.id);
    figures.snapshot_time = Some(chosen.snapshot.envelope.started);
    figures.recovery_bytes = recovery_bytes;
    let snapshot = OpenSnapshot::open(vault, &chosen.snapshot)?;
    monitor.event(Event::Phase("survey"));
    let survey = survey::survey(options.drill, &snapshot, &mut random, monitor)?;
    let place = Place::make(&options.scratch(), options.name, options.drill.tmpfs.map(|size| size.0))?;
    place.has_room(survey.room)?;
    let run = Run { options, vault, snapshot: &snapshot, place: &place, monitor };
    let done = run.everything(&survey, figures, &mut random);
    place.remove(monitor);
    done?;
    if let Some(why) = figures.no_recovery_time() {
        figures.test("recovery time", TestOutcome::Inconclusive, why);
    }
    Ok(())
}

impl Run<'_> {
    fn everything(&self, survey: &survey::Survey, figures: &mut DrillFigures, random: &mut Random) -> Result<(), DrillError> {
        if options_restore_files(self.options.drill) {
            self.restore_files(survey, figures)?;
            self.go_on()?;
            self.compare_with_source(survey, figures, random)?;
            self.go_on()?;
        }
        self.databases(survey, figures)?;
        self.go_on()?;
        if let Some(smoke) = &self.options.drill.smoke {
            self.smoke(smoke, figures);
            self.go_on()?;
        }
        if self.options.drill.full_host {
            self.full_host(figures);
            self.go_on()?;
        }
        Ok(())
    }

    /// # Errors
    /// If the run is asked to stop, its time is over, or what it runs has nearly filled the disk.
    fn go_on(&self) -> Result<(), DrillError> {
        if self.monitor.cancelled() { Err(ContentError::Cancelled.into()) } else { self.place.has_room(0) }
    }

    /// Whether what it runs is to be ended.
    fn is_to_stop(&self) -> bool {
        self.go_on().is_err()
    }

    /// The directory that stands for `/` of the snapshot.
    fn tree(&self) -> PathBuf {
        self.place.path().join("tree")
    }
}

/// Whether a drill restores files at all.
fn options_restore_files(drill: &Drill) -> bool {
    drill.amount != DrillAmount::Databases || drill.sqlite.as_ref().is_some_and(|sqlite| !sqlite.databases.is_empty())
}

/// Removes what killed runs of a drill left; how much that was. Does nothing to one that runs.
///
/// # Errors
/// If it cannot be looked for.
pub fn settle(name: &str, drill: &Drill, state: &Path, monitor: &dyn Monitor) -> Result<usize, DrillError> {
    place::wipe(&scratch(drill, state), name, monitor)
}

/// Notes a test: passed with the text, or failed with the error.
fn note(figures: &mut DrillFigures, name: impl Into<String>, result: Result<String, String>) {
    match result {
        Ok(text) => figures.test(name, TestOutcome::Passed, text),
        Err(text) => figures.test(name, TestOutcome::Failed, text),
    }
}

/// A monitor that asks to stop also when the time is over.
struct Limited<'a> {
    monitor: &'a dyn Monitor,
    /// None if that is later than can be said.
    end: Option<Instant>,
}

impl Limited<'_> {
    fn is_over(&self) -> bool {
        self.end.is_some_and(|end| Instant::now() >= end)
    }
}

impl Monitor for Limited<'_> {
    fn event(&self, event: Event) {
        self.monitor.event(event);
    }

    fn cancelled(&self) -> bool {
        self.monitor.cancelled() || self.is_over()
    }
}

/// A time in words for what a test says.
fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
