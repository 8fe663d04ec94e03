//! One run: one scan of the sources feeds every destination, each of which succeeds or fails by itself.
//!
//! ```text
//!   prepare each --> walk + catalogues --> readers --> a line for each --> assemble, upload, publish (a thread for each)
//!                        ^                                                     |
//!                        +---- once more, for those from which a prune took something meanwhile
//! ```

use std::collections::{BTreeMap, HashSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use super::chorus::Chorus;
use super::destination::{Destination, Run, Scan};
use super::estimate::estimate;
use super::feed;
use super::options::{BackupOptions, Summary};
use super::read::{FileReader, ReadOptions};
use super::state::State;
use crate::content::ContentError;
use crate::content::keys::WriterKey;
use crate::model::event::Monitor;
use crate::sealed::repository::Repository;
use crate::source::stream::VirtualFile;
use crate::source::walk::{Walk, WalkOptions};

/// Where copies of databases lie while they are read, in the state directory of the first repository.
const SCRATCH: &str = "scratch";
/// How often a snapshot is made anew because prune took what it needs.
const ATTEMPTS: usize = 3;

/// Makes a snapshot.
///
/// # Errors
/// If the store, the key or the state do not serve, or the run is asked to stop. Sources that cannot be read are
/// warnings, counted in [`crate::content::payload::Statistics::warnings`].
pub fn backup(
    repository: &Repository,
    key: &WriterKey,
    options: BackupOptions,
    state: &State,
    monitor: &dyn Monitor,
) -> Result<Summary, ContentError> {
    let lock = state.lock(monitor)?;
    let mut results = backup_to(&[Destination { repository, key, state, lock: &lock }], &options, monitor);
    results.pop().unwrap_or_else(|| Err(ContentError::Other("there is nowhere to back up to".into())))
}

/// Makes a snapshot in each destination from one scan of the sources; a result for each, as [`backup`] gives it. Each is another repository.
pub fn backup_to(destinations: &[Destination<'_>], options: &BackupOptions, monitor: &dyn Monitor) -> Vec<Result<Summary, ContentError>> {
    let begun = Instant::now();
    let chorus = Chorus::new(monitor, destinations.len());
    let voices: Vec<_> = (0..destinations.len()).map(|rank| chorus.voice(rank)).collect();
    let mut results: BTreeMap<usize, Result<Summary, ContentError>> = BTreeMap::new();
    let mut runs = Vec::new();
    for (rank, (destination, voice)) in destinations.iter().zip(&voices).enumerate() {
        match Run::prepare(destination, options, voice) {
            Ok(run) => runs.push((rank, run)),
            Err(error) => {
                voice.retire();
                results.insert(rank, Err(error));
            }
        }
    }
    for attempt in 1..=ATTEMPTS {
        let again = attempt < ATTEMPTS && options.streams.iter().all(|stream| stream.source.opens_again());
        let (ranks, made): (Vec<usize>, Vec<Run<'_>>) = runs.into_iter().unzip();
        runs = Vec::new();
        for (rank, (run, result)) in ranks.into_iter().zip(scan(made, options, attempt)) {
            let result = match result {
                Ok(None) if again => {
                    runs.push((rank, run));
                    continue;
                }
                Ok(None) => Err(pruned()),
                Ok(Some(summary)) => Ok(Summary { seconds: begun.elapsed().as_secs_f64(), ..summary }),
                Err(error) => Err(error),
            };
            chorus.retire(rank);
            results.insert(rank, result);
        }
        if runs.is_empty() {
            break;
        }
    }
    results.into_values().collect()
}

fn pruned() -> ContentError {
    ContentError::Other(
        "a prune took away what the snapshot needs while it was made, several times; run prune less often or with a longer --grace, then back up again".into(),
    )
}

/// What became of a destination: `None` if what its snapshot needs was taken away meanwhile.
type Scanned<'a> = (Run<'a>, Result<Option<Summary>, ContentError>);

/// Scans the sources once, for all these destinations.
fn scan<'a>(runs: Vec<Run<'a>>, options: &BackupOptions, attempt: usize) -> Vec<Scanned<'a>> {
    let skip = options.skip.iter().map(PathBuf::as_path).chain(runs.iter().map(Run::state_dir));
    let walk_options = WalkOptions {
        excludes: options.excludes.clone(),
        one_file_system: options.one_file_system,
        skip: inodes_of(skip),
        streams: options.streams.clone(),
        views: options.views.clone(),
        databases: options.databases.clone(),
    };
    let mut done = Vec::new();
    let mut ready = Vec::new();
    let mut walk = None;
    for (place, mut run) in runs.into_iter().enumerate() {
        let begun = run.begin(attempt).and_then(|()| {
            if walk.is_none() {
                walk = Some(Walk::new(&options.paths, walk_options.clone()).map_err(|error| ContentError::file("read", "/", error))?);
            }
            run.catalogue()
        });
        match begun {
            Ok((known, catalogue)) => ready.push((place, run, known, catalogue)),
            Err(error) => {
                run.monitor().retire();
                done.push((place, (run, Err(error))));
            }
        }
    }
    let Some(walk) = walk else { return done.into_iter().map(|(_, scanned)| scanned).collect() };
    let to_count = ready.first().filter(|(_, run, ..)| options.estimate && run.is_first()).map(|(_, run, ..)| run.monitor());
    // Also what a run that was killed left there, which may have had another order: we hold the locks.
    let scratches: Vec<PathBuf> = ready.iter().map(|(_, run, ..)| run.state_dir().join(SCRATCH)).collect();
    let clear = || scratches.iter().for_each(|scratch| drop(std::fs::remove_dir_all(scratch)));
    clear();
    let read_options = ReadOptions {
        larger_than: options.excludes.larger_than(),
        trust_inodes: options.trust_inodes,
        databases: options.databases.clone(),
        scratch: scratches.first().cloned().unwrap_or_default(),
        pace: options.pace.clone(),
    };
    let reader = FileReader::new(read_options, ready.iter().map(|(_, run, ..)| run.cutter()).collect());
    let threads = thread::available_parallelism().map_or(2, usize::from).clamp(1, 16);
    let (ended, at_work) = (AtomicBool::new(false), AtomicUsize::new(ready.len()));
    let worked = thread::scope(|scope| {
        if let Some(monitor) = to_count
            && let Ok(walk) = Walk::new(&options.paths, walk_options)
        {
            let (larger_than, ended) = (options.excludes.larger_than(), &ended);
            scope.spawn(move || estimate(walk, larger_than, ended, monitor));
        }
        let mut catalogues = Vec::new();
        let mut runs = Vec::new();
        for (place, run, known, catalogue) in ready {
            catalogues.push(known);
            runs.push((place, run, catalogue));
        }
        let lines = feed::start(scope, &reader, walk, catalogues, threads);
        let mut working = Vec::new();
        for (rank, ((place, mut run, catalogue), line)) in runs.into_iter().zip(lines).enumerate() {
            let share = Share { ended: &ended, at_work: &at_work, streams: &options.streams, well: false };
            let scan = Scan { line, catalogue, reader: reader.only(rank), share, threads };
            working.push(scope.spawn(move || {
                let result = run.attempt(scan);
                if result.is_err() {
                    run.monitor().retire();
                }
                (place, (run, result))
            }));
        }
        let ends = working.into_iter().map(|work| work.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        ends.collect::<Vec<_>>()
    });
    clear();
    done.extend(worked);
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, scanned)| scanned).collect()
}

/// A destination's share in a scan, until it takes no more.
pub(super) struct Share<'a> {
    ended: &'a AtomicBool,
    at_work: &'a AtomicUsize,
    streams: &'a [VirtualFile],
    well: bool,
}

impl Share<'_> {
    /// No more is taken: because there is no more, or because the destination failed.
    pub(super) fn end(mut self, well: bool) {
        self.well = well;
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if self.at_work.fetch_sub(1, Ordering::Relaxed) == 1 && !self.well {
            // Nobody takes the rest; whoever still reads must not wait for more.
            self.streams.iter().for_each(|stream| stream.source.stop());
        }
    }
}

fn inodes_of<'a>(paths: impl Iterator<Item = &'a Path>) -> HashSet<(u64, u64)> {
    paths.filter_map(|path| std::fs::metadata(path).ok()).map(|metadata| (metadata.dev(), metadata.ino())).collect()
}
