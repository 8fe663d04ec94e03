//! The report that a run ends in, whatever becomes of it: kept on this machine, told to the hub, and shown as metrics.
//!
//! ```text
//!   Reporter::begin --> Running: STATE/reports says `running`, and now and then how far it is
//!      ... the run ...
//!   end(Ending) --> next: when the job is due again (the configuration, or its timer)
//!               --> STATE/reports/KIND-NAME/STARTED-ID.json
//!               --> publish: the textfile of node_exporter, the Pushgateway
//!               --> send: to `reportTo`, else to each repository of the run that is at a hub
//!   killed      --> close: by systemd at once (`settle`), else by the next run
//! ```
//!
//! None of this makes a run fail: what cannot be written or sent is in the log. May import everything but `drill`, `hub` and `cli`.

mod close;
mod next;
mod publish;
mod running;
mod send;
mod status;
mod subject;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use nix::sys::statvfs::statvfs;

pub use self::close::{Verdict, close};
pub use self::publish::statuses;
pub use self::running::{Running, SoFar, Witness};
pub use self::status::{HostRepository, HostStatus, host_status};
pub use self::subject::{damage, of_maintain, of_mirror, of_run};
use crate::config::{Config, Credentials, TimeSpan};
use crate::content::keys::WriterKey;
use crate::history::host::Reports;
use crate::model::report::{CopyKind, Disk, DrillFigures, HUB, Kind, Outcome, Phase, Report, RepositoryRun, SourceWarnings, VERSION};
use crate::store::{Access, Address};

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
    /// What systemd calls the run, if it is one of its.
    pub invocation: Option<String>,
}

/// How a run ended.
pub struct Ending {
    /// In a word.
    pub outcome: Outcome,
    /// The program's exit status.
    pub exit_status: u8,
    /// Whether it did not even begin, as another run of its name was under way.
    pub refused: bool,
    /// Why it failed.
    pub error: Option<String>,
    /// What it did.
    pub work: Work,
    /// How many warnings there were.
    pub warning_count: u64,
    /// The first of them.
    pub warnings: Vec<String>,
    /// How many there were of each source.
    pub warnings_by_source: Vec<SourceWarnings>,
    /// What it did one after the other.
    pub phases: Vec<Phase>,
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
    /// Why a step of it failed, or what is damaged.
    pub error: Option<String>,
}

impl Reporter<'_> {
    /// Begins a run, after whatever an earlier one of its name left. `witness` says at any moment what is known of it. None if the machine gives no random
    /// numbers to name the run with: then it has no report, and the log says so.
    pub fn begin(&self, witness: &Witness) -> Option<Running<'_>> {
        close(self, &Verdict::default());
        match self.first_word() {
            Ok(report) => Some(Running::begin(self, report, witness)),
            Err(error) => {
                tracing::warn!("there is no report of this run: this machine gives no random numbers: {error}");
                None
            }
        }
    }

    /// The reports of this machine.
    pub fn reports(&self) -> Reports {
        Reports::new(&self.state, self.config.monitoring.keep_reports.map(|keep| keep.0))
    }

    /// What the machine is called.
    pub fn host(&self) -> String {
        self.config.host.clone().unwrap_or_else(|| self.host.clone())
    }

    /// What can be said of a run that has just begun.
    fn first_word(&self) -> Result<Report, getrandom::Error> {
        // A run that dies with its machine shall be missed all the same. A timer is asked while it is under way: that takes a while.
        let (next, next_by) = self.every().and_then(|every| next::by_configuration(self.started, every)).unzip();
        let mut id = [0; 16];
        getrandom::fill(&mut id)?;
        Ok(Report {
            version: VERSION,
            id: crate::model::id::hex(&id),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            host: self.host(),
            kind: self.kind,
            job: self.name.clone(),
            started: self.started,
            ended: None,
            outcome: Outcome::Running,
            invocation: self.invocation.clone(),
            exit_status: None,
            refused: false,
            closed: false,
            error: None,
            repositories: self.every_repository(Outcome::Running),
            phases: Vec::new(),
            counts: BTreeMap::new(),
            drill: None,
            warning_count: 0,
            warnings: Vec::new(),
            warnings_by_source: Vec::new(),
            log: Vec::new(),
            next,
            next_by,
        })
    }

    /// What is said of a run in the end.
    fn ended(&self, report: Report, ending: Ending) -> Report {
        let ended = Timestamp::now().max(report.started);
        let (next, next_by) = self.next().unzip();
        let Work { mut repositories, counts, drill, error } = ending.work;
        // Of a run that came to nothing each repository has the same to say; one that ended by itself did nothing there.
        let outcome = if ending.outcome.is_success() { Outcome::Stopped } else { ending.outcome };
        for run in self.every_repository(outcome) {
            if !repositories.iter().any(|known| known.name == run.name) {
                repositories.push(run);
            }
        }
        repositories.iter_mut().for_each(|run| self.identify(run));
        Report {
            ended: Some(ended),
            outcome: ending.outcome,
            exit_status: Some(ending.exit_status),
            refused: ending.refused,
            error: ending.error.or(error),
            repositories,
            phases: ending.phases,
            counts,
            drill,
            warning_count: ending.warning_count,
            warnings: ending.warnings,
            warnings_by_source: ending.warnings_by_source,
            log: ending.log,
            next,
            next_by,
            ..report
        }
    }

    /// Each repository that a job goes to, with an outcome; of other kinds of runs it is seen when they end which they were about.
    fn every_repository(&self, outcome: Outcome) -> Vec<RepositoryRun> {
        let names = self.repositories.iter().filter(|_| self.kind == Kind::Backup);
        let mut runs: Vec<RepositoryRun> = names.map(|name| RepositoryRun::new(name.clone(), outcome)).collect();
        runs.iter_mut().for_each(|run| self.identify(run));
        runs
    }

    /// Tells the hub; whoever is not told is named in the log.
    fn tell(&self, report: &Report) {
        match report.to_bytes() {
            Ok(bytes) => send::send(self, &bytes),
            Err(error) => tracing::warn!("the hub is not told of this run: {error}"),
        }
    }

    /// Adds what this machine knows of a repository: its id, which the key to it has, what kind of copy it is, and the room on its disk.
    fn identify(&self, run: &mut RepositoryRun) {
        let Some(configured) = self.config.repositories.get(&run.name) else { return };
        run.copy = configured.copy.as_ref().map(|copy| CopyKind { media: copy.media.clone(), offsite: copy.offsite });
        let key = configured.writer_key.as_ref().and_then(|file| WriterKey::read(&file.locate(&self.credentials).ok()?).ok());
        run.id = run.id.or(key.map(|key| key.repository));
        let directory = Address::parse(&configured.url, &self.access).ok().and_then(Address::into_directory);
        run.disk = directory.and_then(|directory| {
            let room = statvfs(&directory).ok()?;
            let bytes = |blocks: u64| blocks.saturating_mul(room.fragment_size());
            Some(Disk { free: bytes(room.blocks_available()), size: bytes(room.blocks()) })
        });
    }

    fn next(&self) -> Option<(Timestamp, crate::model::report::NextBy)> {
        match self.every() {
            Some(every) => next::by_configuration(self.started, every),
            None => {
                let timers = self.timers();
                within(ASKING, move || next::by_timers(&timers)).flatten()
            }
        }
    }

    /// The timers that may start it, if the configuration says nothing.
    fn timers(&self) -> Vec<String> {
        if self.every().is_some() {
            return Vec::new();
        }
        let mut timers: Vec<String> = self.units().iter().map(|unit| format!("{unit}.timer")).collect();
        timers.extend(next::own_timer());
        timers
    }

    /// How often it shall run, as the configuration says.
    fn every(&self) -> Option<TimeSpan> {
        match self.kind {
            Kind::Backup => self.config.jobs.get(&self.name).and_then(|job| job.every),
            Kind::Drill => self.config.drills.get(&self.name).and_then(|drill| drill.every),
            _ => None,
        }
    }

    /// The units that the NixOS module and the documents give such a run.
    fn units(&self) -> Vec<String> {
        let prefix = match (self.kind, self.name.strip_prefix(HUB)) {
            (Kind::Mirror, Some(mirror)) => return vec![format!("hearth-backup-hub-mirror-{mirror}")],
            (_, Some(_)) => return vec!["hearth-backup-hub-maintain".to_owned()],
            (Kind::Backup, None) => "hearth-backup".to_owned(),
            (kind, None) => format!("hearth-backup-{kind}"),
        };
        ["-", "@"].map(|between| format!("{prefix}{between}{}", self.name)).to_vec()
    }
}

/// Does something that may take longer than anybody waits for; none if it did.
fn within<T: Send + 'static>(time: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, receiver) = mpsc::channel();
    // Not joined: it ends with the process at the latest.
    thread::spawn(move || sender.send(work()));
    receiver.recv_timeout(time).ok()
}
