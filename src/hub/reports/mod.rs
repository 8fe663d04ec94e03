//! Reports of runs, as hosts bring them. What a report says is the host's word; whose it is and when it came is the hub's.
//!
//! ```text
//!   DATA/reports/HOST/KIND-JOB/RECEIVED-ID.json   HOST is the name of the token, or of the repository behind `ssh`
//! ```
//!
//! A host that floods the hub drives out its own reports only: each host has so many jobs, reports and bytes, and the oldest go. The newest report of
//! a job stays however old it is, so that silence is noticed.

mod shelf;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use self::shelf::Shelf;
use super::Role;
use super::repository::{disk_failed, refusal};
use crate::history::{History, enough};
use crate::model::report::{Kind, LARGEST, Outcome, Report, slot};
use crate::model::span::Span;
use crate::store::durable;
use crate::store::hub::is_name;
use crate::store::hub::protocol::{Reason, Refusal, Reported};

const FOLDER: &str = "reports";
/// Jobs of a host, each of a kind.
const JOBS: usize = 200;
/// Reports of a job.
const REPORTS: usize = 1000;
/// Bytes of all reports of a host.
const BYTES: u64 = 64 << 20;
/// How long reports stay unless the configuration says otherwise, in days.
const DAYS: u32 = 400;

/// A report as the hub keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// When the hub received it.
    pub received: Timestamp,
    /// Whose token brought it.
    pub host: String,
    /// For which repository that token is.
    pub repository: String,
    /// What the host says.
    pub report: Report,
}

/// Which reports are meant; all that is left out means any.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Of this host.
    pub host: Option<String>,
    /// Brought by a token for this repository.
    pub repository: Option<String>,
    /// Of this job.
    pub job: Option<String>,
    /// Of this kind.
    pub kind: Option<Kind>,
}

/// The reports of all hosts.
pub(super) struct Reports {
    folder: PathBuf,
    keep: Span,
    /// By host, then by kind and job.
    shelves: Mutex<BTreeMap<String, BTreeMap<String, Shelf>>>,
}

impl Reports {
    /// Those below a hub's directory.
    pub(super) fn new(data: &Path, keep: Option<Span>) -> Self {
        Self { folder: data.join(FOLDER), keep: keep.unwrap_or(Span::days(DAYS)), shelves: Mutex::default() }
    }

    /// Takes a report. One that came before, such as while the run was under way, is replaced.
    pub(super) fn receive(&self, (host, role): (&str, Role), repository: &str, bytes: &[u8], now: Timestamp) -> Result<Reported, Refusal> {
        if !is_name(host) {
            return Err(refusal(Reason::Malformed, "whose report it is cannot be told"));
        }
        let reason = if bytes.len() > LARGEST { Reason::TooLarge } else { Reason::Malformed };
        let report = Report::parse(bytes).map_err(|error| refusal(reason, error.to_string()))?;
        if !role.may_report(report.kind) {
            return Err(refusal(Reason::Forbidden, format!("a {role} reports drills and mirrors, and no {}", report.kind)));
        }
        let slot = slot(report.kind, &report.job);
        let name = format!("{}-{}.json", stamp(now), report.id);
        let kept = Kept { received: now, host: host.to_owned(), repository: repository.to_owned(), report };
        let text = serde_json::to_vec(&kept).map_err(|error| refusal(Reason::Failed, error.to_string()))?;
        let folder = self.folder.join(host).join(&slot);
        if kept.report.refused {
            return self.pass_over(host, &slot, &kept.report.id, now);
        }
        // Whoever closes what it takes for dead may know less than the run, which had told the hub and could not write it down.
        if (kept.report.closed || kept.report.outcome == Outcome::Killed)
            && let Some(earlier) = self.ended(host, &slot, &kept.report.id)
        {
            return Ok(Reported { received: earlier });
        }
        // Nobody waits meanwhile: disks are slow, and hosts are many.
        durable::replace(&folder.join(&name), &text).map_err(|error| disk_failed(&folder, &error))?;
        let mut shelves = self.lock();
        let own = shelves.entry(host.to_owned()).or_default();
        self.look(host, own).map_err(|error| disk_failed(&self.folder, &error))?;
        if let Some(shelf) = own.get_mut(&slot) {
            let earlier: Vec<String> = shelf.names().filter(|other| **other < name && id_of(other) == id_of(&name)).cloned().collect();
            earlier.iter().for_each(|name| shelf.remove(name));
        }
        self.bound(own);
        tracing::debug!("{host} reports of {slot} in {repository}: {}", kept.report.outcome);
        Ok(Reported { received: now })
    }

    /// Of a run that never began nothing stays, as it says nothing; nor of what it may have said before.
    fn pass_over(&self, host: &str, slot: &str, id: &str, now: Timestamp) -> Result<Reported, Refusal> {
        let mut shelves = self.lock();
        let own = shelves.entry(host.to_owned()).or_default();
        self.look(host, own).map_err(|error| disk_failed(&self.folder, &error))?;
        if let Some(shelf) = own.get_mut(slot) {
            let earlier: Vec<String> = shelf.names().filter(|name| is_of(name, id)).cloned().collect();
            earlier.iter().for_each(|name| shelf.remove(name));
        }
        Ok(Reported { received: now })
    }

    /// When a run told how it ended, if it did.
    fn ended(&self, host: &str, slot: &str, id: &str) -> Option<Timestamp> {
        let mut shelves = self.lock();
        let own = shelves.entry(host.to_owned()).or_default();
        self.look(host, own).ok()?;
        let shelf = own.get(slot)?;
        let mut known = shelf.names().filter(|name| is_of(name, id));
        let entry = known.find_map(|name| shelf.entry(name).filter(|entry| entry.report.outcome != Outcome::Running))?;
        Some(entry.received)
    }

    /// Removes what is too much: the oldest go.
    fn bound(&self, own: &mut BTreeMap<String, Shelf>) {
        for shelf in own.values_mut() {
            shelf.keep_newest(REPORTS);
        }
        while own.len() > JOBS {
            let stalest = own.iter().min_by_key(|(_, shelf)| shelf.newest().cloned()).map(|(slot, _)| slot.clone());
            let Some(stalest) = stalest else { break };
            if let Some(shelf) = own.remove(&stalest) {
                shelf.clear();
            }
        }
        while own.values().map(Shelf::bytes).sum::<u64>() > BYTES {
            let Some(largest) = own.values_mut().filter(|shelf| shelf.len() > 1).max_by_key(|shelf| shelf.bytes()) else { break };
            largest.keep_newest(largest.len() - 1);
        }
    }

    /// Looks what there is of a host by now.
    fn look(&self, host: &str, own: &mut BTreeMap<String, Shelf>) -> io::Result<()> {
        let folder = self.folder.join(host);
        let slots = folders(&folder)?;
        own.retain(|slot, _| slots.contains(slot));
        let oldest = stamp(self.keep.before(Timestamp::now(), &TimeZone::UTC));
        for slot in slots {
            let shelf = own.entry(slot.clone()).or_insert_with(|| Shelf::new(folder.join(&slot)));
            shelf.look(&oldest)?;
        }
        own.retain(|_, shelf| shelf.len() > 0);
        Ok(())
    }

    fn look_at_all(&self, shelves: &mut BTreeMap<String, BTreeMap<String, Shelf>>) -> Result<(), Refusal> {
        let mut look = || -> io::Result<()> {
            let hosts = folders(&self.folder)?;
            shelves.retain(|host, _| hosts.contains(host));
            hosts.iter().filter(|host| is_name(host)).try_for_each(|host| self.look(host, shelves.entry(host.clone()).or_default()))
        };
        look().map_err(|error| disk_failed(&self.folder, &error))
    }

    /// Whether a host ever reported anything.
    pub(super) fn knows(&self, host: &str) -> bool {
        self.lock().get(host).is_some_and(|own| !own.is_empty())
    }

    /// The histories of all jobs that were ever reported through a repository, or of all.
    pub(super) fn histories(&self, repository: Option<&str>) -> Result<Vec<History>, Refusal> {
        let mut shelves = self.lock();
        self.look_at_all(&mut shelves)?;
        let mut found = Vec::new();
        for (host, own) in shelves.iter() {
            for shelf in own.values() {
                let runs = enough(shelf.entries().filter(|entry| repository.is_none_or(|name| entry.repository == name)));
                if !runs.is_empty() {
                    found.push(History { host: host.clone(), runs });
                }
            }
        }
        Ok(found)
    }

    /// Whole reports, the newest first: at most `limit`, and no more behind the one with which they have more than `largest` bytes. And how many bytes they have.
    pub(super) fn read(&self, wanted: &Wanted, limit: usize, largest: u64) -> Result<(Vec<Kept>, u64), Refusal> {
        let mut shelves = self.lock();
        self.look_at_all(&mut shelves)?;
        let own = shelves.iter().filter(|(host, _)| wanted.host.as_ref().is_none_or(|name| name == *host));
        let mut all: Vec<(&String, &Shelf)> =
            own.flat_map(|(_, own)| own.values()).flat_map(|shelf| shelf.names().map(move |name| (name, shelf))).collect();
        all.sort_unstable_by(|(one, _), (other, _)| other.cmp(one));
        let (mut found, mut bytes) = (Vec::new(), 0);
        for (name, shelf) in all {
            let Some(entry) = shelf.entry(name) else { continue };
            let is_meant = wanted.repository.as_ref().is_none_or(|repository| entry.repository == *repository)
                && wanted.job.as_ref().is_none_or(|job| entry.report.job == *job)
                && wanted.kind.is_none_or(|kind| entry.report.kind == kind);
            if is_meant && let Some(kept) = shelf.read(name) {
                bytes += shelf.size(name);
                found.push(kept);
                if found.len() >= limit || bytes > largest {
                    break;
                }
            }
        }
        Ok((found, bytes))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, BTreeMap<String, Shelf>>> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A time as names of files have it, which sort by it.
fn stamp(time: Timestamp) -> String {
    time.strftime("%Y%m%dT%H%M%S%.3fZ").to_string()
}

fn is_of(name: &str, id: &str) -> bool {
    id_of(name).and_then(|other| other.strip_suffix(".json")) == Some(id)
}

fn id_of(name: &str) -> Option<&str> {
    name.split_once('-').map(|(_, id)| id)
}

/// The names of the folders in one; none if it is not there.
fn folders(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir()
            && let Ok(name) = entry.file_name().into_string()
        {
            names.push(name);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests;
