//! Housekeeping of a hub: by the hub's rules and its own clock, without any key, whatever its hosts say.
//!
//! ```text
//!   each repository --> received   when snapshots came is written down
//!                   --> forget     group by group, by that time; a group that would lose too much stays as it is
//!                   --> prune      in two phases, unless a forget was refused or failed
//!                   --> verify     the part of the packs whose turn has come
//!                   --> mirrors    copies elsewhere
//!                                      each step --> Record
//! ```

mod forget;
mod mirrors;
mod record;
mod verify;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use nix::fcntl::{Flock, FlockArg};

pub use self::forget::Thinned;
pub use self::mirrors::Mirrored;
pub use self::record::{Copied, Forgotten, Freed, Outcome, Record, Seen, Step, Turn, Verified};
pub(super) use self::verify::within;
use super::{HubError, Repositories};
use crate::config::{self, Credentials};
use crate::keep::prune::{self, Pruned};
use crate::keep::{AFTER_FAILURE, Ended, KeepError};
use crate::model::event::{Event, Monitor, Severity};
use crate::model::id::RepositoryId;
use crate::sealed::repository::{Repository, Trust};
use crate::sealed::verify::Report;
use crate::store::{Access, DirectoryStore};

/// Messages of a step that are written down, and bytes of each.
const MESSAGES: usize = 20;
const MESSAGE: usize = 1000;
/// How often one who waits for another run looks whether it has ended.
const LOOK: std::time::Duration = std::time::Duration::from_millis(200);

/// A step of keeping house.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Snapshots that the retention does not keep go.
    Forget,
    /// Their space is given back.
    Prune,
    /// A part of the packs is read and hashed.
    Verify,
    /// Copies elsewhere are brought up to date.
    Mirror,
}

/// How to keep house.
pub struct UpkeepOptions<'a> {
    /// The hub.
    pub hub: &'a config::Hub,
    /// Where secrets of mirrors are found.
    pub credentials: Credentials,
    /// How to reach mirrors, unless the configuration says so.
    pub access: Access,
    /// Only these steps; all if there are none.
    pub only: Vec<Task>,
    /// Only these repositories; all if there are none.
    pub repositories: Vec<String>,
    /// Only these mirrors; all if there are none.
    pub mirrors: Vec<String>,
    /// Change nothing, only say what would be done.
    pub dry_run: bool,
    /// The clock was looked at and is right.
    pub accept_clock: bool,
    /// How much of a group may be forgotten this time, in percent, instead of what the configuration says.
    pub max_forget: Option<u8>,
    /// Read every pack now.
    pub verify_all: bool,
    /// A mirror that is gone is made anew.
    pub remake_mirrors: bool,
}

impl UpkeepOptions<'_> {
    fn asks_for(&self, task: Task) -> bool {
        self.only.is_empty() || self.only.contains(&task)
    }
}

/// Why no house is kept in a repository.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpkeepError {
    /// Nobody has that repository here.
    #[error("the hub has no repository `{name}`; it has: {known}")]
    NoRepository {
        /// The name.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// No mirror has that name.
    #[error("the hub's configuration has no mirror `{0}`")]
    NoMirror(String),
    /// What is written down cannot be read or written.
    #[error("what is written down of the repository `{0}` cannot be used: {1}; remove that file to begin anew, once you know why")]
    Record(String, io::Error),
    /// Another run kept house there to the end of this one.
    #[error("stopped on request, while another run kept house in the repository `{0}`")]
    Busy(String),
    /// Another repository than before.
    #[error(
        "the repository `{name}` is {found} now, and it was {before}; if you replaced it yourself, remove {}", record.display()
    )]
    Replaced {
        /// The name.
        name: String,
        /// What is there.
        found: String,
        /// What was there.
        before: String,
        /// Where that is written down.
        record: PathBuf,
    },
    /// The hub itself.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// The repository.
    #[error(transparent)]
    Sealed(#[from] crate::sealed::SealedError),
}

/// What became of the steps in one repository.
pub struct Kept {
    /// Its name.
    pub repository: String,
    /// What was forgotten.
    pub forget: Ended<Thinned>,
    /// What was given back.
    pub prune: Ended<Pruned>,
    /// What was found.
    pub verify: Ended<Report>,
    /// What was copied, by the names of the mirrors.
    pub mirrors: Vec<(String, Ended<Mirrored, mirrors::MirrorError>)>,
}

impl Kept {
    /// Whether a step could not be done.
    pub fn failed(&self) -> bool {
        let mirrors = || {
            self.mirrors.iter().any(|(_, ended)| match ended {
                Ended::Failed(_) => true,
                Ended::Done(mirrored) => mirrored.failed(),
                Ended::NotAsked | Ended::Skipped(_) => false,
            })
        };
        self.forget_failed() || matches!(self.prune, Ended::Failed(_)) || matches!(self.verify, Ended::Failed(_)) || mirrors()
    }

    fn forget_failed(&self) -> bool {
        match &self.forget {
            Ended::Failed(_) => true,
            Ended::Done(thinned) => thinned.refused().next().is_some(),
            Ended::NotAsked | Ended::Skipped(_) => false,
        }
    }
}

/// Keeps house in the repositories of a hub, one after the other: an outcome for each, or why there is none. What fails in one keeps no
/// other from its turn.
///
/// # Errors
/// If the hub's directory cannot be read, or a repository or mirror is asked for that it does not have.
pub fn upkeep(options: &UpkeepOptions<'_>, monitor: &dyn Monitor) -> Result<Vec<(String, Result<Kept, UpkeepError>)>, UpkeepError> {
    if let Some(unknown) = options.mirrors.iter().find(|name| !options.hub.mirrors.contains_key(*name)) {
        return Err(UpkeepError::NoMirror(unknown.clone()));
    }
    let repositories = Repositories::new(&options.hub.data_dir, super::Quotas::of(options.hub));
    let names = repositories.names().map_err(|error| UpkeepError::Record("*".to_owned(), error))?;
    if let Some(unknown) = options.repositories.iter().find(|name| !names.contains(name)) {
        return Err(UpkeepError::NoRepository { name: unknown.clone(), known: names.join(", ") });
    }
    let mut all = Vec::new();
    for name in names.into_iter().filter(|name| options.repositories.is_empty() || options.repositories.contains(name)) {
        if monitor.cancelled() {
            break;
        }
        let kept = House::open(options, &repositories, &name, monitor).and_then(|house| match house {
            Some(house) => house.keep().map(Some),
            None => Ok(None),
        });
        if let Err(error) = &kept {
            monitor.event(Event::error(format!("repository {name}"), error.to_string()));
        }
        all.extend(kept.transpose().map(|kept| (name, kept)));
    }
    Ok(all)
}

/// One repository, in which nobody else keeps house meanwhile.
struct House<'a> {
    options: &'a UpkeepOptions<'a>,
    name: &'a str,
    repository: Repository,
    record: Record,
    monitor: &'a dyn Monitor,
    _lock: Flock<File>,
}

impl<'a> House<'a> {
    /// None if nobody has made a repository there yet.
    fn open(
        options: &'a UpkeepOptions<'a>,
        repositories: &Repositories,
        name: &'a str,
        monitor: &'a dyn Monitor,
    ) -> Result<Option<Self>, UpkeepError> {
        let data = &options.hub.data_dir;
        let lock = lock(data, name, monitor)?;
        let mut record = Record::read(data, name).map_err(|error| UpkeepError::Record(name.to_owned(), error))?;
        let store = Arc::new(DirectoryStore::open(repositories.path(name)).map_err(HubError::from)?);
        let Some(found) = Repository::claimed_id(store.as_ref())? else { return Ok(None) };
        if let Some(seen) = record.seen.filter(|seen| seen.repository != found) {
            let text = |id: RepositoryId| id.to_bech32();
            return Err(UpkeepError::Replaced {
                name: name.to_owned(),
                found: text(found),
                before: text(seen.repository),
                record: record::folder(data).join(format!("{name}.json")),
            });
        }
        let trust = Trust { expected: Some(found), seen: record.seen.map(|seen| (seen.number, seen.statement)) };
        let repository = Repository::open(store, &trust)?;
        let (number, statement) = repository.seen();
        record.seen = Some(Seen { repository: found, number, statement });
        Ok(Some(Self { options, name, repository, record, monitor, _lock: lock }))
    }

    fn keep(mut self) -> Result<Kept, UpkeepError> {
        let mut kept = Kept {
            repository: self.name.to_owned(),
            forget: Ended::NotAsked,
            prune: Ended::NotAsked,
            verify: Ended::NotAsked,
            mirrors: Vec::new(),
        };
        if self.options.asks_for(Task::Forget) {
            let (ended, when) = self.timed("forget", |house| forget::forget(house));
            self.record.forget = when.of(&ended, std::mem::take(&mut self.record.forget), Thinned::summary);
            kept.forget = ended;
            self.save()?;
        }
        if self.options.asks_for(Task::Prune) {
            let (ended, when) = if kept.forget_failed() {
                self.monitor.event(Event::warning(format!("prune {}", self.name), AFTER_FAILURE));
                (Ended::Skipped(AFTER_FAILURE), When::now())
            } else {
                self.timed("prune", Self::prune)
            };
            self.record.prune = when.of(&ended, std::mem::take(&mut self.record.prune), |pruned| (Freed::of(pruned), Vec::new()));
            kept.prune = ended;
            self.save()?;
        }
        if self.options.asks_for(Task::Verify) && verify::is_wanted(self.options) {
            let turn = self.record.verify.done.as_ref().map(|done| done.turn.clone()).unwrap_or_default();
            let part = verify::part(self.options, &turn, Timestamp::now());
            let (ended, when) = self.timed("verify", |house| verify::verify(house, &part));
            let summary = |report: &Report| verify::summary(report, part.after(&turn));
            self.record.verify = when.of(&ended, std::mem::take(&mut self.record.verify), summary);
            kept.verify = ended;
            self.save()?;
        }
        if self.options.asks_for(Task::Mirror) {
            for (name, mirror) in self.mirrors() {
                let before = self.record.mirrors.remove(name).unwrap_or_default();
                let (ended, when) = self.timed("mirror", |house| mirrors::bring(house, name, mirror, before.done.is_some()));
                self.record.mirrors.insert(name.clone(), when.of(&ended, before, Mirrored::summary));
                kept.mirrors.push((name.clone(), ended));
                self.save()?;
            }
        }
        Ok(kept)
    }

    fn prune(&self) -> Result<Pruned, KeepError> {
        let options = prune::options(self.options.hub.prune, self.options.dry_run)?;
        prune::prune(&self.repository, &options, self.monitor)
    }

    /// The mirrors that it has, and that were asked for.
    fn mirrors(&self) -> Vec<(&'a String, &'a config::HubMirror)> {
        let wanted = |name: &String| self.options.mirrors.is_empty() || self.options.mirrors.contains(name);
        self.options.hub.mirrors.iter().filter(|(name, mirror)| wanted(name) && mirror.takes(self.name)).collect()
    }

    fn timed<T, E: std::fmt::Display>(&self, step: &'static str, work: impl FnOnce(&Self) -> Result<T, E>) -> (Ended<T, E>, When) {
        self.monitor.event(Event::Current(format!("{step} {}", self.name)));
        let when = When::now();
        (crate::keep::step(step, self.monitor, || work(self)), when)
    }

    fn save(&self) -> Result<(), UpkeepError> {
        if self.options.dry_run {
            return Ok(());
        }
        self.record.write(&self.options.hub.data_dir, self.name).map_err(|error| UpkeepError::Record(self.name.to_owned(), error))
    }

    /// What the hub remembers of the repository, and of its mirrors if one is named.
    fn memory(&self, mirror: Option<&str>) -> crate::keep::forget::Memory {
        let own = record::folder(&self.options.hub.data_dir).join(self.name);
        crate::keep::forget::Memory::within(&mirror.map_or(own.clone(), |mirror| own.join("mirrors").join(mirror)))
    }
}

/// Waits until nobody else keeps house there: a mirror of a whole repository may take a night.
fn lock(data: &Path, name: &str, monitor: &dyn Monitor) -> Result<Flock<File>, UpkeepError> {
    let failed = |error| UpkeepError::Record(name.to_owned(), error);
    let folder = record::folder(data);
    std::fs::create_dir_all(&folder).map_err(failed)?;
    let mut file = File::options().create(true).append(true).open(folder.join(format!("{name}.lock"))).map_err(failed)?;
    let mut told = false;
    loop {
        file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((_, nix::errno::Errno::EWOULDBLOCK)) if monitor.cancelled() => return Err(UpkeepError::Busy(name.to_owned())),
            Err((file, nix::errno::Errno::EWOULDBLOCK)) => file,
            Err((_, errno)) => return Err(failed(errno.into())),
        };
        if !std::mem::replace(&mut told, true) {
            monitor.event(Event::info(format!("repository {name}"), "another run keeps house there; waiting for it to end"));
        }
        std::thread::sleep(LOOK);
    }
}

/// When a step began.
struct When(Timestamp);

impl When {
    fn now() -> Self {
        Self(Timestamp::now())
    }

    /// What is written down of a step that ended now: its figures, and what is wrong.
    fn of<T, E: std::fmt::Display, R>(self, ended: &Ended<T, E>, before: Step<R>, summary: impl FnOnce(&T) -> (R, Vec<String>)) -> Step<R> {
        let now = Timestamp::now();
        let (started, ended_at) = (Some(self.0), Some(now));
        match ended {
            Ended::NotAsked => before,
            Ended::Done(done) => {
                let (done, messages) = summary(done);
                let outcome = if messages.is_empty() { Outcome::Good } else { Outcome::Problems };
                Step { outcome, started, ended: ended_at, messages: bounded(messages), done_at: Some(now), done: Some(done) }
            }
            Ended::Failed(error) => {
                Step { outcome: Outcome::Failed, started, ended: ended_at, messages: bounded(vec![error.to_string()]), ..before }
            }
            Ended::Skipped(why) => {
                Step { outcome: Outcome::Skipped, started, ended: ended_at, messages: bounded(vec![(*why).to_owned()]), ..before }
            }
        }
    }
}

fn bounded(mut messages: Vec<String>) -> Vec<String> {
    if messages.len() > MESSAGES {
        let more = messages.len() - MESSAGES + 1;
        messages.truncate(MESSAGES - 1);
        messages.push(format!("and {more} more"));
    }
    for message in &mut messages {
        if let Some((end, _)) = message.char_indices().nth(MESSAGE) {
            message.truncate(end);
        }
    }
    messages
}

/// The problems of a check that matter.
fn problems(report: &Report) -> Vec<String> {
    let matter = report.problems.iter().filter(|problem| problem.severity > Severity::Info);
    matter.map(|problem| format!("{}: {}", problem.object, problem.what)).collect()
}
