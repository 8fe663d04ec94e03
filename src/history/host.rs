//! Reports on the machine whose runs they are of.
//!
//! ```text
//!   STATE/reports/KIND-NAME/STARTED-ID.json   from the beginning of a run on, replaced while it is under way
//!   STATE/reports/KIND-NAME/ID.lock           held by the run; of a report that says `running` and whose lock is free the process is dead.
//!                                             It also keeps the room for the run's last word on a disk that is full
//!   STATE/reports/KIND-NAME/refused.json      the last run that did not begin, as another one was under way
//! ```

use std::cmp::Reverse;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::{Entry, History, enough};
use crate::model::report::{Kind, LARGEST, Outcome, Report, slot};
use crate::model::span::Span;
use crate::store::durable;

/// How many reports of one name stay.
const MOST: usize = 400;
/// How long they do unless the configuration says otherwise, in days.
const DAYS: u32 = 400;
/// Bytes that a run that is under way keeps for its last word.
const ROOM: usize = 64 << 10;
/// How old a lock without a report must be to be of a run that was killed before it could write one.
const LOST: Duration = Duration::from_secs(3600);
/// The file with the last run that was refused. It sorts behind all others, and is not one of them.
const REFUSED: &str = "refused.json";
/// How far ahead of the clock a report may be and still count as new. Others are of a time when the clock was wrong.
const AHEAD: SignedDuration = SignedDuration::from_hours(24);

/// The reports of a machine's own runs.
#[derive(Debug, Clone)]
pub struct Reports {
    folder: PathBuf,
    keep: Span,
}

/// That a run is under way, for as long as this is held.
#[derive(Debug)]
pub struct Hold {
    path: PathBuf,
    file: File,
}

impl Hold {
    /// Gives back the room that is kept for the last word of the run, on a disk that is full.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn give_room(&self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.sync_all()
    }
}

/// A report that says `running`, of a run that is not.
#[derive(Debug, Clone)]
pub struct Abandoned {
    /// What it said last.
    pub report: Report,
    /// When it said that.
    pub last_sign: Timestamp,
}

impl Reports {
    /// Those below a machine's state, of which each stays for so long; 400 days if nothing is said.
    pub fn new(state: &Path, keep: Option<Span>) -> Self {
        Self { folder: state.join("reports"), keep: keep.unwrap_or(Span::days(DAYS)) }
    }

    fn slot(&self, kind: Kind, name: &str) -> PathBuf {
        self.folder.join(slot(kind, name))
    }

    /// Writes a report, also over what it said before; and removes those of its name that are too old or too many.
    ///
    /// # Errors
    /// If the disk refuses, or the report cannot be written at all.
    pub fn write(&self, report: &Report) -> io::Result<()> {
        let folder = self.slot(report.kind, &report.job);
        let bytes = report.to_bytes().map_err(io::Error::other)?;
        durable::replace(&self.path(report), &bytes)?;
        self.clear(&folder, report.started.min(Timestamp::now()))
    }

    /// Says that a run is under way.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn hold(&self, report: &Report) -> io::Result<Hold> {
        let folder = self.slot(report.kind, &report.job);
        fs::create_dir_all(&folder)?;
        let path = lock_of(&folder, &report.id);
        let mut file = File::create(&path)?;
        file.lock()?;
        // Best effort; and if there is not enough it is left for the first word.
        if file.write_all(&noise()).is_err() {
            file.set_len(0)?;
        }
        Ok(Hold { path, file })
    }

    /// Reports of one name that say `running` while no process does; newest first.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn abandoned(&self, kind: Kind, name: &str) -> io::Result<Vec<Abandoned>> {
        let folder = self.slot(kind, name);
        let mut found = Vec::new();
        for file in names(&folder)?.iter().rev() {
            let Some(report) = read(&folder.join(file)) else { continue };
            if report.outcome != Outcome::Running || is_held(&lock_of(&folder, &report.id)) {
                continue;
            }
            // It may have ended between the two looks.
            let Some(report) = read(&folder.join(file)).filter(|report| report.outcome == Outcome::Running) else { continue };
            let changed = fs::metadata(folder.join(file)).and_then(|metadata| metadata.modified()).unwrap_or(SystemTime::now());
            let last_sign = Timestamp::try_from(changed).unwrap_or(report.started);
            found.push(Abandoned { report, last_sign });
        }
        Ok(found)
    }

    /// Writes how an abandoned run ended, and that it is not under way.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn close(&self, report: &Report) -> io::Result<()> {
        let lock = lock_of(&self.slot(report.kind, &report.job), &report.id);
        // The room that the run kept for its last word is for this one. A lock that is not there counts as free.
        durable::remove(&lock)?;
        self.write(report)
    }

    /// Keeps the report of a run that did not begin because another one was under way: only the last of them, and in no history.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn refuse(&self, report: &Report) -> io::Result<()> {
        let folder = self.slot(report.kind, &report.job);
        let bytes = report.to_bytes().map_err(io::Error::other)?;
        durable::remove(&self.path(report))?;
        durable::replace(&folder.join(REFUSED), &bytes)
    }

    /// The last run that was refused.
    pub fn refused(&self, kind: Kind, name: &str) -> Option<Report> {
        read(&self.slot(kind, name).join(REFUSED))
    }

    fn path(&self, report: &Report) -> PathBuf {
        self.slot(report.kind, &report.job).join(format!("{}-{}.json", stamp(report.started), report.id))
    }

    /// The newest reports of one name, newest first.
    ///
    /// # Errors
    /// If the disk refuses; one that cannot be read is left out and told in the log.
    pub fn newest(&self, kind: Kind, name: &str, most: usize) -> io::Result<Vec<Report>> {
        let folder = self.slot(kind, name);
        Ok(names(&folder)?.iter().rev().filter_map(|file| read(&folder.join(file))).take(most).collect())
    }

    /// The histories of everything that ever ran here. Runs that are dead and not closed yet count as killed.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn histories(&self) -> io::Result<Vec<History>> {
        let mut slots = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<PathBuf>>>()?,
        };
        slots.sort_unstable();
        let now = Timestamp::now();
        let mut found = Vec::new();
        for folder in slots.iter().filter(|path| path.is_dir()) {
            let files = names(folder)?;
            let entries = files.iter().rev().filter_map(|file| read(&folder.join(file)));
            let mut runs = enough(entries.map(|report| {
                let report =
                    if report.outcome == Outcome::Running && !is_held(&lock_of(folder, &report.id)) { killed(report) } else { report };
                Arc::new(Entry::new(report.ended.unwrap_or(report.started).min(now), String::new(), report))
            }));
            runs.sort_by_key(|entry| Reverse(order(entry, now)));
            if let Some(newest) = runs.first() {
                found.push(History { host: newest.report.host.clone(), runs });
            }
        }
        Ok(found)
    }

    fn clear(&self, folder: &Path, now: Timestamp) -> io::Result<()> {
        let files = names(folder)?;
        let oldest = stamp(self.keep.before(now, &TimeZone::UTC));
        let surplus = files.len().saturating_sub(MOST);
        // The newest stays however old it is, so that silence is noticed.
        for (rank, file) in files.iter().enumerate().take(files.len().saturating_sub(1)) {
            if rank < surplus || file.as_str() < oldest.as_str() {
                durable::remove(&folder.join(file))?;
            }
        }
        remove_lost_locks(folder, &files)
    }
}

/// Removes locks of runs that were killed before they could write a word.
fn remove_lost_locks(folder: &Path, files: &[String]) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let Some(id) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".lock")) else { continue };
        let age = fs::metadata(&path).and_then(|lock| lock.modified()).ok().and_then(|made| made.elapsed().ok());
        if age.is_some_and(|age| age > LOST) && !files.iter().any(|file| file.contains(id)) && !is_held(&path) {
            durable::remove(&path)?;
        }
    }
    Ok(())
}

/// Bytes that no filesystem makes smaller.
fn noise() -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    (0..ROOM).map(|_| next()).collect()
}

impl Drop for Hold {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// The report of a run that ended without a word, as far as is known.
fn killed(mut report: Report) -> Report {
    report.outcome = Outcome::Killed;
    report.ended = Some(report.started);
    report
}

/// Of two at once that which ended last knows best, whenever it began; at a hub reports lie in that order. What is of the future is none of today.
fn order(entry: &Entry, now: Timestamp) -> Timestamp {
    let is_of_today = entry.report.started <= now.saturating_add(AHEAD).unwrap_or(Timestamp::MAX);
    match entry.report.outcome {
        _ if !is_of_today => Timestamp::MIN,
        Outcome::Running => Timestamp::MAX,
        _ => entry.received,
    }
}

fn lock_of(folder: &Path, id: &str) -> PathBuf {
    folder.join(format!("{id}.lock"))
}

/// Whether somebody holds a lock; what cannot be found out counts as held, so that nothing alive is called dead.
fn is_held(path: &Path) -> bool {
    match File::open(path).map(|file| file.try_lock()) {
        Ok(Ok(())) => false,
        Ok(Err(TryLockError::WouldBlock | TryLockError::Error(_))) => true,
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

/// The names of the reports in a folder, oldest first; one that another run is writing is called otherwise. What claims to be of the future is not
/// newer than what is known to be of today.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(
            entry?.file_name().into_string().ok().filter(|name| name.ends_with(".json") && !name.starts_with('.') && name != REFUSED),
        );
    }
    let latest = stamp(Timestamp::now().saturating_add(AHEAD).unwrap_or(Timestamp::MAX));
    names.sort_unstable_by(|one, other| (*one <= latest, one).cmp(&(*other <= latest, other)));
    Ok(names)
}

fn read(path: &Path) -> Option<Report> {
    let parsed = match durable::read(path, LARGEST as u64) {
        Ok(Some(bytes)) => Report::parse(&bytes).map_err(|error| error.to_string()),
        // Too old a moment ago.
        Ok(None) => return None,
        Err(error) => Err(error.to_string()),
    };
    parsed.inspect_err(|error| tracing::warn!("the report {} cannot be read: {error}", path.display())).ok()
}

/// A time as names of files have it, which sort by it.
fn stamp(time: Timestamp) -> String {
    time.strftime("%Y%m%dT%H%M%S%.3fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(started: &str, outcome: Outcome) -> Report {
        let text = serde_json::json!({
            "version": 1, "id": format!("{:0>32}", started.bytes().filter(u8::is_ascii_digit).map(char::from).collect::<String>()),
            "program": "1", "host": "q", "kind": "backup", "job": "state", "started": started, "outcome": outcome,
            "ended": (outcome != Outcome::Running).then_some(started),
        });
        Report::parse(text.to_string().as_bytes()).unwrap()
    }

    fn files(state: &Path) -> Vec<String> {
        names(&state.join("reports/backup-state")).unwrap()
    }

    #[test]
    fn reports_that_are_too_old_or_too_many_go_and_the_newest_stay() {
        let state = tempfile::tempdir().unwrap();
        let reports = Reports::new(state.path(), None);
        let write = |started: &str| reports.write(&report(started, Outcome::Success)).unwrap();
        write("2025-01-01T00:00:00Z");
        write("2026-01-01T00:00:00Z");
        assert_eq!(files(state.path()).len(), 2, "365 days");
        write("2026-06-01T00:00:00Z");
        assert!(files(state.path())[0].starts_with("20260101T000000.000Z-"));
        let first: Timestamp = "2026-06-01T00:00:00Z".parse().unwrap();
        for minute in 1..=MOST as i64 {
            write(&(first + SignedDuration::from_mins(minute)).to_string());
        }
        assert_eq!((files(state.path()).len(), files(state.path())[0].starts_with("20260601T0001")), (MOST, true));
        let short = Reports::new(state.path(), Some("1h".parse().unwrap()));
        short.write(&report("2027-01-01T00:00:00Z", Outcome::Success)).unwrap();
        assert_eq!(files(state.path()).len(), 1);
    }

    #[test]
    fn a_run_is_under_way_as_long_as_its_process_holds_it_and_dead_from_then_on() {
        let state = tempfile::tempdir().unwrap();
        let reports = Reports::new(state.path(), None);
        let running = report("2026-06-01T00:00:00Z", Outcome::Running);
        let hold = reports.hold(&running).unwrap();
        reports.write(&running).unwrap();
        let abandoned = || reports.abandoned(Kind::Backup, "state").unwrap();
        let outcome = || reports.histories().unwrap()[0].runs[0].report.outcome;
        assert_eq!((abandoned().len(), outcome()), (0, Outcome::Running));
        // As the kernel does with the file of a process that is killed: the lock is gone, the file stays.
        let lock = lock_of(&state.path().join("reports/backup-state"), &running.id);
        drop(hold);
        File::create(&lock).unwrap();
        assert_eq!((abandoned().len(), outcome()), (1, Outcome::Killed));
        reports.close(&killed(running)).unwrap();
        assert_eq!((abandoned().len(), lock.exists()), (0, false));
        assert_eq!(reports.newest(Kind::Backup, "state", 9).unwrap().len(), 1, "it is the same report");
    }

    #[test]
    fn reports_of_the_future_hide_none_of_today_and_are_the_first_to_go() {
        let state = tempfile::tempdir().unwrap();
        let reports = Reports::new(state.path(), None);
        reports.write(&report("2099-01-01T00:00:00Z", Outcome::Success)).unwrap();
        let only = &reports.histories().unwrap()[0].runs[0];
        assert!(only.received <= Timestamp::now(), "nothing has succeeded in the future");
        let now = Timestamp::now();
        reports.write(&report(&now.to_string(), Outcome::Failure)).unwrap();
        let outcomes = |found: &[Report]| found.iter().map(|report| report.outcome).collect::<Vec<_>>();
        assert_eq!(outcomes(&reports.newest(Kind::Backup, "state", 9).unwrap()), [Outcome::Failure, Outcome::Success]);
        assert_eq!(reports.histories().unwrap()[0].runs[0].report.outcome, Outcome::Failure);
        for minute in 1..MOST as i64 {
            reports.write(&report(&(now - SignedDuration::from_mins(minute)).to_string(), Outcome::Success)).unwrap();
        }
        assert!(!files(state.path()).iter().any(|name| name.starts_with("2099")));
    }

    #[test]
    fn runs_that_were_refused_push_out_none_that_was_a_run() {
        let state = tempfile::tempdir().unwrap();
        let reports = Reports::new(state.path(), None);
        reports.write(&report("2026-06-01T00:00:00Z", Outcome::Success)).unwrap();
        for hour in 1..9 {
            let refused = Report { refused: true, ..report(&format!("2026-06-01T0{hour}:00:00Z"), Outcome::Failure) };
            reports.write(&Report { outcome: Outcome::Running, ended: None, refused: false, ..refused.clone() }).unwrap();
            reports.refuse(&refused).unwrap();
        }
        assert_eq!(files(state.path()).len(), 1);
        let histories = reports.histories().unwrap();
        assert_eq!((histories[0].runs.len(), histories[0].runs[0].report.outcome), (1, Outcome::Success));
        let last = reports.refused(Kind::Backup, "state").unwrap();
        assert_eq!(last.started.to_string(), "2026-06-01T08:00:00Z");
    }

    #[test]
    fn a_report_that_is_none_is_left_out() {
        let state = tempfile::tempdir().unwrap();
        let reports = Reports::new(state.path(), None);
        assert!(reports.histories().unwrap().is_empty());
        reports.write(&report("2026-06-01T00:00:00Z", Outcome::Success)).unwrap();
        fs::write(state.path().join("reports/backup-state/20260602T000000.000Z-x.json"), "{").unwrap();
        assert_eq!(reports.newest(Kind::Backup, "state", 9).unwrap().len(), 1);
        assert_eq!(reports.histories().unwrap()[0].runs.len(), 1);
    }
}
