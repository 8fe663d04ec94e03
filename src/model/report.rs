//! Reports: what became of one run, as a host keeps it and tells its hub. Plain JSON with the names of `--json`; fields that a reader does not know mean nothing
//! to it.
//!
//! ```text
//!   run --> Report --bounded--> to_bytes --> the host's state, and the hub
//!                                              hub: parse (every bound is checked: a report is whatever a host says)
//! ```

mod anomaly;

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::anomaly::{Anomaly, AnomalyKind};
use super::id::{RepositoryId, SnapshotId};

mod drill;
mod source;

pub use drill::{DrillFigures, DrillTest, TestOutcome};

pub use source::{OTHERS, SOURCES, SourceWarnings};

/// The version of what is written here.
pub const VERSION: u32 = 1;
/// Most bytes of a report.
pub const LARGEST: usize = 256 << 10;
/// Most warnings that are told in full.
pub const WARNINGS: usize = 64;
/// Most bytes of a warning.
pub const LONGEST_WARNING: usize = 2 << 10;
/// Most lines of the log.
pub const LINES: usize = 200;
/// Most bytes of such a line.
pub const LONGEST_LINE: usize = 1 << 10;
/// Most repositories.
pub const REPOSITORIES: usize = 16;
/// Most bytes of an error.
pub const LONGEST_ERROR: usize = 4 << 10;
/// Most bytes of a name.
pub const LONGEST_NAME: usize = 64;
/// Most counts.
pub const COUNTS: usize = 64;
/// Most phases.
pub const PHASES: usize = 32;
/// Most anomalies in a repository.
pub const ANOMALIES: usize = 8;
/// The count of SQLite databases that were copied and looked at.
pub const SQLITE_COPIES: &str = "sqlite_copies";
/// The count of those of them that are damaged.
pub const INTEGRITY_FAILURES: &str = "integrity_failures";
/// The count of what is damaged or missing in a repository or a mirror.
pub const PROBLEMS: &str = "problems";
/// What the names of a hub's own runs begin with.
pub const HUB: &str = "hub/";
/// Digits of an id.
const ID: usize = 32;

/// What kind of run it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A job was saved.
    Backup,
    /// Snapshots were forgotten.
    Forget,
    /// Space was given back.
    Prune,
    /// A repository was checked.
    Check,
    /// A mirror was brought up to date.
    Mirror,
    /// House was kept: forget, prune and check.
    Maintain,
    /// A restore was tried.
    Drill,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 7] = [Kind::Backup, Kind::Forget, Kind::Prune, Kind::Check, Kind::Mirror, Kind::Maintain, Kind::Drill];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Backup => "backup",
            Kind::Forget => "forget",
            Kind::Prune => "prune",
            Kind::Check => "check",
            Kind::Mirror => "mirror",
            Kind::Maintain => "maintain",
            Kind::Drill => "drill",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a run, or its part for one repository, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It has not ended yet.
    Running,
    /// All was done.
    Success,
    /// It was done, and something is to be looked at.
    Warnings,
    /// It was not done.
    Failure,
    /// Somebody stopped it.
    Stopped,
    /// It ended without a word.
    Killed,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Outcome; 6] =
        [Outcome::Running, Outcome::Success, Outcome::Warnings, Outcome::Failure, Outcome::Stopped, Outcome::Killed];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Outcome::Running => "running",
            Outcome::Success => "success",
            Outcome::Warnings => "warnings",
            Outcome::Failure => "failure",
            Outcome::Stopped => "stopped",
            Outcome::Killed => "killed",
        }
    }

    /// Whether what was to be done was done.
    pub const fn is_success(self) -> bool {
        matches!(self, Outcome::Success | Outcome::Warnings)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How it is known when the next run is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NextBy {
    /// A timer of systemd says so.
    Timer,
    /// The configuration says how often.
    Every,
}

/// What kind of copy a repository is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyKind {
    /// What it lies on; equal words are one medium.
    pub media: String,
    /// Whether it lies in another building.
    #[serde(default)]
    pub offsite: bool,
}

/// What became of a run in one repository. Sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryRun {
    /// Its name in the host's configuration.
    pub name: String,
    /// Which one it is, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<RepositoryId>,
    /// What kind of copy it is, if the configuration says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy: Option<CopyKind>,
    /// The snapshot that was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<SnapshotId>,
    /// How it ended there.
    pub outcome: Outcome,
    /// Why it failed there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Regular files of the source.
    #[serde(default)]
    pub files: u64,
    /// Directories of the source.
    #[serde(default)]
    pub directories: u64,
    /// Content of the source, holes included.
    #[serde(default)]
    pub bytes: u64,
    /// What was read of it.
    #[serde(default)]
    pub bytes_read: u64,
    /// Of that what the repository did not have, before it was compressed.
    #[serde(default)]
    pub bytes_added: u64,
    /// What that takes in the repository.
    #[serde(default)]
    pub bytes_stored: u64,
    /// What looks suspicious.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub anomalies: Vec<Anomaly>,
    /// Room on the disk that it lies on, if that is one of this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<Disk>,
}

/// Room on a disk, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// What is free for who asks.
    pub free: u64,
    /// All there is.
    pub size: u64,
}

/// A part of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    /// A stable word, such as `scan`.
    pub name: String,
    /// How long it took, in milliseconds; of what was done several times, together.
    pub milliseconds: u64,
}

impl RepositoryRun {
    /// A run that did nothing there yet.
    pub fn new(name: impl Into<String>, outcome: Outcome) -> Self {
        Self {
            name: name.into(),
            id: None,
            copy: None,
            snapshot: None,
            outcome,
            error: None,
            files: 0,
            directories: 0,
            bytes: 0,
            bytes_read: 0,
            bytes_added: 0,
            bytes_stored: 0,
            anomalies: Vec::new(),
            disk: None,
        }
    }
}

/// What became of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The version of this document.
    pub version: u32,
    /// Names the run: 128 random bits in hexadecimal.
    pub id: String,
    /// The program's version.
    pub program: String,
    /// The machine, as it calls itself.
    pub host: String,
    /// What kind of run it was.
    pub kind: Kind,
    /// The job, or the name of the repository or mirror that it was about.
    pub job: String,
    /// When it began, by the host's clock.
    pub started: Timestamp,
    /// When it ended; absent while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// How it ended.
    pub outcome: Outcome,
    /// What systemd calls this run, if it is one of its.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invocation: Option<String>,
    /// The program's exit status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_status: Option<u8>,
    /// Whether it did not even begin, as another run of its name was under way: it says nothing of how things fare.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub refused: bool,
    /// Whether it is the word of whoever found it dead, who knows less than the run did.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub closed: bool,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Each repository that it was to write to.
    #[serde(default)]
    pub repositories: Vec<RepositoryRun>,
    /// What it did one after the other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<Phase>,
    /// Figures of its kind, such as `snapshots_forgotten`.
    #[serde(default)]
    pub counts: BTreeMap<String, u64>,
    /// What a drill found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill: Option<DrillFigures>,
    /// How many warnings there were.
    #[serde(default)]
    pub warning_count: u64,
    /// The first of them.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// How many there were of each source.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings_by_source: Vec<SourceWarnings>,
    /// The end of the log.
    #[serde(default)]
    pub log: Vec<String>,
    /// When the next run is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Timestamp>,
    /// How that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_by: Option<NextBy>,
}

/// Bytes that are no report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no report of a run: {0}")]
pub struct ReportError(String);

fn wrong<T>(why: impl Into<String>) -> Result<T, ReportError> {
    Err(ReportError(why.into()))
}

/// Takes out what moves a terminal's cursor, ends a string of other languages, or has letters run the other way.
fn clean(text: &mut String) {
    let is_odd = |letter: char| {
        let turns = matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        turns || letter.is_control() && !matches!(letter, '\n' | '\t')
    };
    if text.chars().any(is_odd) {
        *text = text.chars().map(|letter| if is_odd(letter) { ' ' } else { letter }).collect();
    }
}

impl Report {
    /// How much of what it looked at is damaged or missing: whoever keeps house looks for that.
    pub fn problems(&self) -> u64 {
        self.counts.get(PROBLEMS).copied().unwrap_or(0)
    }

    /// Reads a report and checks that it keeps all bounds.
    ///
    /// # Errors
    /// If it is none, or exceeds one.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReportError> {
        if bytes.len() > LARGEST {
            return wrong(format!("it has {} bytes, and may have {LARGEST}", bytes.len()));
        }
        let mut report: Self = serde_json::from_slice(bytes).map_err(|error| ReportError(error.to_string()))?;
        report.check()?;
        report.texts().for_each(clean);
        Ok(report)
    }

    /// What is written for people: it may be anything that a host makes up.
    fn texts(&mut self) -> impl Iterator<Item = &mut String> {
        let there =
            self.repositories.iter_mut().flat_map(|run| run.error.iter_mut().chain(run.anomalies.iter_mut().map(|it| &mut it.text)));
        let drill = self.drill.iter_mut().flat_map(|drill| drill.tests.iter_mut().map(|test| &mut test.text));
        let sources = self.warnings_by_source.iter_mut().map(|of| &mut of.source);
        self.error.iter_mut().chain(&mut self.warnings).chain(sources).chain(&mut self.log).chain(there).chain(drill)
    }

    fn check(&self) -> Result<(), ReportError> {
        if self.version == 0 {
            return wrong("its version is 0");
        }
        if self.id.len() != ID || !self.id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)) {
            return wrong("its id is not 32 digits of hexadecimal");
        }
        for (what, name) in [("job", &self.job), ("host", &self.host), ("program", &self.program)] {
            check_name(what, name)?;
        }
        if self.ended.is_none() != (self.outcome == Outcome::Running) {
            return wrong("a run that has ended says when, and one that has not does not");
        }
        for (what, count, most) in [
            ("repositories", self.repositories.len(), REPOSITORIES),
            ("counts", self.counts.len(), COUNTS),
            ("phases", self.phases.len(), PHASES),
            ("warnings", self.warnings.len(), WARNINGS),
            ("sources with warnings", self.warnings_by_source.len(), SOURCES + 1),
            ("lines of its log", self.log.len(), LINES),
        ] {
            if count > most {
                return wrong(format!("it has {count} {what}, and may have {most}"));
            }
        }
        for repository in &self.repositories {
            check_name("repository", &repository.name)?;
            repository.copy.as_ref().map_or(Ok(()), |copy| check_name("medium", &copy.media))?;
            if repository.anomalies.len() > ANOMALIES {
                return wrong(format!("a repository has {} anomalies, and may have {ANOMALIES}", repository.anomalies.len()));
            }
            check_lengths("anomaly", repository.anomalies.iter().map(|anomaly| &anomaly.text), LONGEST_WARNING)?;
        }
        self.phases.iter().try_for_each(|phase| check_name("phase", &phase.name))?;
        self.invocation.iter().try_for_each(|invocation| check_name("invocation", invocation))?;
        self.counts.keys().try_for_each(|name| check_name("count", name))?;
        self.drill.as_ref().map_or(Ok(()), DrillFigures::check)?;
        let errors = self.error.iter().chain(self.repositories.iter().filter_map(|repository| repository.error.as_ref()));
        check_lengths("error", errors, LONGEST_ERROR)?;
        check_lengths("warning", self.warnings.iter(), LONGEST_WARNING)?;
        check_lengths("source", self.warnings_by_source.iter().map(|of| &of.source), source::LONGEST)?;
        check_lengths("line of its log", self.log.iter(), LONGEST_LINE)
    }

    /// As a file or a request holds it: what exceeds a bound is cut, and of the log as much as there is room for.
    ///
    /// # Errors
    /// If it has no name or id, which no cut mends.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ReportError> {
        let mut report = self.clone();
        for name in [&mut report.job, &mut report.host, &mut report.program] {
            cut_name(name);
        }
        report.repositories.truncate(REPOSITORIES);
        for repository in &mut report.repositories {
            cut_name(&mut repository.name);
            repository.copy.iter_mut().for_each(|copy| cut_name(&mut copy.media));
            repository.error.iter_mut().for_each(|error| cut(error, LONGEST_ERROR));
            repository.anomalies.truncate(ANOMALIES);
            repository.anomalies.iter_mut().for_each(|anomaly| cut(&mut anomaly.text, LONGEST_WARNING));
        }
        report.phases.truncate(PHASES);
        report.invocation.iter_mut().for_each(cut_name);
        report.error.iter_mut().for_each(|error| cut(error, LONGEST_ERROR));
        report.drill.iter_mut().for_each(DrillFigures::bound);
        report.warnings.truncate(WARNINGS);
        report.warnings.iter_mut().for_each(|warning| cut(warning, LONGEST_WARNING));
        report.warnings_by_source.truncate(SOURCES + 1);
        report.warnings_by_source.iter_mut().for_each(|of| cut(&mut of.source, source::LONGEST));
        let old = report.log.len().saturating_sub(LINES);
        report.log.drain(..old);
        report.log.iter_mut().for_each(|line| cut(line, LONGEST_LINE));
        loop {
            let bytes = serde_json::to_vec(&report).map_err(|error| ReportError(error.to_string()))?;
            if bytes.len() <= LARGEST {
                report.check()?;
                return Ok(bytes);
            }
            // The end of the log tells most; of warnings the first do.
            if !report.log.is_empty() {
                report.log.drain(..report.log.len().div_ceil(4));
            } else if report.warnings.pop().is_none() {
                report.warnings_by_source.clear();
                report.repositories.iter_mut().for_each(|repository| repository.error = None);
                report.error.iter_mut().for_each(|error| cut(error, LONGEST_NAME));
                let bytes = serde_json::to_vec(&report).map_err(|error| ReportError(error.to_string()))?;
                report.check()?;
                return if bytes.len() <= LARGEST { Ok(bytes) } else { wrong("it is too large") };
            }
        }
    }

    /// How long the run took.
    pub fn duration(&self) -> Option<std::time::Duration> {
        // A clock that was set back meanwhile makes no negative time.
        Some(self.ended?.duration_since(self.started).try_into().unwrap_or_default())
    }
}

/// The folder for the reports of a job or the like: names are whatever a host says.
pub fn slot(kind: Kind, name: &str) -> String {
    let mut slot = format!("{kind}-");
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' => slot.push(char::from(byte)),
            byte => slot.push_str(&format!("%{byte:02X}")),
        }
    }
    slot
}

/// A name is short and has no control characters, so that it can be shown anywhere.
fn check_name(what: &str, name: &str) -> Result<(), ReportError> {
    if name.is_empty() || name.len() > LONGEST_NAME || name.chars().any(char::is_control) {
        return wrong(format!("the name of its {what} must have 1 to {LONGEST_NAME} bytes and no control characters"));
    }
    Ok(())
}

fn check_lengths<'a>(what: &str, mut texts: impl Iterator<Item = &'a String>, most: usize) -> Result<(), ReportError> {
    match texts.find(|text| text.len() > most) {
        Some(text) => wrong(format!("a {what} has {} bytes, and may have {most}", text.len())),
        None => Ok(()),
    }
}

fn cut_name(name: &mut String) {
    name.retain(|letter| !letter.is_control());
    cut(name, LONGEST_NAME);
}

/// Cuts a text so that it has at most so many bytes, and says so where it ends.
fn cut(text: &mut String, most: usize) {
    const MORE: &str = "…";
    if text.len() > most {
        let end = text.floor_char_boundary(most.saturating_sub(MORE.len()));
        text.truncate(end);
        text.push_str(MORE);
    }
}

#[cfg(test)]
mod tests;
