//! The report that a run ends in: built, kept on this machine, and told to the hub.
//!
//! ```text
//!   Reporter::begin ... the run ... end(Ending)
//!      --> next: when the job is due again (the configuration, or its timer)
//!      --> keep: STATE/reports/KIND-NAME/STARTED-ID.json
//!      --> send: to `reportTo`, else to each repository of the run that is at a hub
//! ```
//!
//! None of this makes a run fail: what cannot be written or sent is in the log.

mod keep;
mod next;
mod send;
mod subject;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use jiff::Timestamp;

pub use self::subject::{of_maintain, of_mirror, of_run};
use crate::config::{Config, Credentials};
use crate::content::keys::WriterKey;
use crate::model::report::{CopyKind, DrillFigures, Kind, Outcome, Report, RepositoryRun, VERSION};
use crate::store::Access;

/// How long systemd may take to say when a timer elapses.
const ASKING: Duration = Duration::from_secs(5);

/// Whoever reports of one run.
pub struct Reporter<'a> {
    /// The host's configuration.
    pub config: &'a Config,
    /// What kind of run it is.
    pub kind: Kind,
    /// The job, repository or mirror, by its name in the configuration.
    pub name: String,
    /// The repositories that the run is about, by their names.
    pub repositories: Vec<String>,
    /// The machine's name, unless the configuration gives one.
    pub host: String,
    /// Where the machine keeps its state.
    pub state: PathBuf,
    /// Where secrets are found that systemd keeps for the service.
    pub credentials: Credentials,
    /// How to reach hubs, unless the configuration says so.
    pub access: Access,
    /// When the run began.
    pub started: Timestamp,
}

/// How a run ended.
pub struct Ending {
    /// In a word.
    pub outcome: Outcome,
    /// The program's exit status.
    pub exit_status: u8,
    /// Why it failed.
    pub error: Option<String>,
    /// What it did.
    pub work: Work,
    /// How many warnings there were.
    pub warning_count: u64,
    /// The first of them.
    pub warnings: Vec<String>,
    /// The end of the log.
    pub log: Vec<String>,
}

/// What a run did: in each repository, and figures of its kind.
#[derive(Debug, Default)]
pub struct Work {
    /// By the names in the configuration.
    pub repositories: Vec<RepositoryRun>,
    /// Such as `snapshots_forgotten`.
    pub counts: BTreeMap<String, u64>,
    /// What a drill found.
    pub drill: Option<DrillFigures>,
    /// Why a step of it failed.
    pub error: Option<String>,
}

impl Reporter<'_> {
    /// Reports. What cannot be done of that is only said in the log.
    pub fn end(&self, ending: Ending) {
        let report = match self.report(ending) {
            Ok(report) => report,
            Err(error) => return tracing::warn!("there is no report of this run: {error}"),
        };
        let bytes = match report.to_bytes() {
            Ok(bytes) => bytes,
            Err(error) => return tracing::warn!("there is no report of this run: {error}"),
        };
        if let Err(error) = keep::keep(&self.state, &report, &bytes) {
            tracing::warn!("the report of this run is not kept: {error}");
        }
        send::send(self, &bytes);
    }

    fn report(&self, ending: Ending) -> Result<Report, String> {
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|error| format!("this machine gives no random numbers: {error}"))?;
        let ended = Timestamp::now();
        let (next, next_by) = self.next().unzip();
        let Work { mut repositories, counts, drill, error } = ending.work;
        for name in &self.repositories {
            // Of a run that came to nothing each repository has the same to say; one that ended by itself did nothing there.
            if !repositories.iter().any(|run| run.name == *name) && self.kind == Kind::Backup {
                let outcome = if ending.outcome.is_success() { Outcome::Stopped } else { ending.outcome };
                repositories.push(RepositoryRun::new(name.clone(), outcome));
            }
        }
        repositories.iter_mut().for_each(|run| self.identify(run));
        Ok(Report {
            version: VERSION,
            id: crate::model::id::hex(&id),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            host: self.config.host.clone().unwrap_or_else(|| self.host.clone()),
            kind: self.kind,
            job: self.name.clone(),
            started: self.started,
            ended: Some(ended),
            outcome: ending.outcome,
            exit_status: Some(ending.exit_status),
            error: ending.error.or(error),
            repositories,
            counts,
            drill,
            warning_count: ending.warning_count,
            warnings: ending.warnings,
            log: ending.log,
            next,
            next_by,
        })
    }

    /// Adds what the configuration says of a repository: its id, which the key to it has, and what kind of copy it is.
    fn identify(&self, run: &mut RepositoryRun) {
        let Some(configured) = self.config.repositories.get(&run.name) else { return };
        run.copy = configured.copy.as_ref().map(|copy| CopyKind { media: copy.media.clone(), offsite: copy.offsite });
        let key = configured.writer_key.as_ref().and_then(|file| WriterKey::read(&file.locate(&self.credentials).ok()?).ok());
        run.id = run.id.or(key.map(|key| key.repository));
    }

    fn next(&self) -> Option<(Timestamp, crate::model::report::NextBy)> {
        let every = match self.kind {
            Kind::Backup => self.config.jobs.get(&self.name).and_then(|job| job.every),
            _ => None,
        };
        match every {
            Some(every) => next::by_configuration(self.started, every),
            None => {
                let timer = format!("{}.timer", self.unit());
                within(ASKING, move || next::by_timer(&timer)).flatten()
            }
        }
    }

    /// The unit that the NixOS module and the documents give such a run.
    fn unit(&self) -> String {
        match self.kind {
            Kind::Backup => format!("hearth-backup-{}", self.name),
            kind => format!("hearth-backup-{kind}-{}", self.name),
        }
    }
}

/// Does something that may take longer than anybody waits for; none if it did.
fn within<T: Send + 'static>(time: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, receiver) = mpsc::channel();
    // Not joined: it ends with the process at the latest.
    thread::spawn(move || sender.send(work()));
    receiver.recv_timeout(time).ok()
}
