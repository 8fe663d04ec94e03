//! One restore.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};
use serde::Serialize;

use super::plan::Position;
use super::target::{self, DirId, Target, TargetError};
use super::write::{Batch, BatchWriter, FileJob, Tally, Want, settle};
use crate::content::ContentError;
use crate::content::browse::{OpenSnapshot, Step, TreeWalk};
use crate::content::tree;
use crate::content::vault::{TreeReader, Vault};
use crate::model::entry::{Element, Entry, Kind, LinkId};
use crate::model::event::{Event, Monitor};
use crate::source::exclude::{Selection, Verdict};

/// How much content, in bytes and wants, is sorted into reading order at once.
const BATCH_BYTES: u64 = 512 << 20;
const BATCH_WANTS: usize = 50_000;

/// How to restore.
#[derive(Debug, Clone, Default)]
pub struct RestoreOptions {
    /// Below which directory; paths of the snapshot are kept under it.
    pub target: PathBuf,
    /// Which entries.
    pub selection: Selection,
    /// Remove what the snapshot does not have from directories that are restored whole.
    pub delete: bool,
    /// Write nothing, only count.
    pub dry_run: bool,
    /// How owners are set, and what may be replaced.
    pub owners_by_name: bool,
}

/// What a restore did.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RestoreSummary {
    /// Files written.
    pub files: u64,
    /// Bytes of content written.
    pub bytes: u64,
    /// Directories made or completed.
    pub directories: u64,
    /// Links, nodes, pipes, sockets.
    pub others: u64,
    /// Entries that were there already.
    pub unchanged: u64,
    /// Entries removed.
    pub removed: u64,
    /// What could not be restored: path and reason.
    pub lost: Vec<(String, String)>,
    /// Metadata that could not be restored, in words.
    pub incomplete: Vec<String>,
    /// Includes that nothing in the snapshot matches, or only what is excluded.
    pub unmatched: Vec<String>,
    /// Seconds that it took.
    pub seconds: f64,
}

/// Restores a snapshot.
///
/// # Errors
/// If the target cannot be used, the disk is full, or the run is asked to stop. What is damaged in the repository is
/// listed in [`RestoreSummary::lost`]; the rest is restored.
pub fn restore(
    vault: &Vault,
    snapshot: &OpenSnapshot<'_>,
    options: &RestoreOptions,
    monitor: &dyn Monitor,
) -> Result<RestoreSummary, ContentError> {
    let begun = Instant::now();
    monitor.event(Event::Phase("restore"));
    let statistics = &snapshot.payload.statistics;
    if options.selection.is_everything() {
        monitor.event(Event::Expect { files: statistics.files, bytes: statistics.bytes });
    }
    let mut summary = if options.dry_run { rehearse(snapshot, options, monitor)? } else { perform(vault, snapshot, options, monitor)? };
    summary.lost.extend(snapshot.map.damage.iter().map(|damage| ("repository".to_owned(), damage.clone())));
    summary.unmatched = options.selection.unmatched();
    summary.seconds = begun.elapsed().as_secs_f64();
    Ok(summary)
}

/// Counts what a restore would do.
fn rehearse(snapshot: &OpenSnapshot<'_>, options: &RestoreOptions, monitor: &dyn Monitor) -> Result<RestoreSummary, ContentError> {
    let mut summary = RestoreSummary::default();
    let mut reader = snapshot.reader()?;
    let mut walk = TreeWalk::new(&mut reader, &snapshot.payload.root);
    let mut position = Position::new(&options.selection, options.delete, snapshot.payload.paths.iter().map(|path| path.0.clone()));
    while let Some(step) = walk.step() {
        match step {
            Step::Enter(entry) => {
                let path = walk.path().to_vec();
                let verdict = position.judge(&path, &entry, true);
                position.enter(entry, verdict);
                if verdict == Verdict::No {
                    walk.skip();
                }
                summary.directories += u64::from(verdict == Verdict::Yes);
            }
            Step::Leave => {
                if let Some(keep) = position.keep() {
                    summary.removed += rehearse_removal(&below(&options.target, walk.path()), keep, monitor);
                }
                position.leave(None).map_err(other)?;
            }
            Step::Entry(entry) => {
                let path = walk.path().to_vec();
                if position.judge(&path, &entry, false) != Verdict::Yes {
                    continue;
                }
                let there = std::fs::symlink_metadata(below(&options.target, &path)).ok();
                count_rehearsed(&mut summary, &entry, there.as_ref());
                monitor.event(Event::Progress { files: 1, bytes: 0 });
            }
            Step::Damaged(error) => {
                position.keep_all();
                summary.lost.push((String::from_utf8_lossy(walk.path()).into_owned(), error.to_string()));
            }
        }
    }
    Ok(summary)
}

/// Where a path of the snapshot is in the target.
fn below(target: &Path, path: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt as _;
    target.join(std::ffi::OsStr::from_bytes(path.get(1..).unwrap_or_default()))
}

/// Names what would be removed from a directory, and counts it with all that is in it.
fn rehearse_removal(directory: &Path, keep: &HashSet<Vec<u8>>, monitor: &dyn Monitor) -> u64 {
    use std::os::unix::ffi::OsStrExt as _;
    let mut removed = 0;
    let mut pending = vec![directory.to_owned()];
    while let Some(inner) = pending.pop() {
        // Links are removed and never followed; what is not there loses nothing.
        if !std::fs::symlink_metadata(&inner).is_ok_and(|there| there.is_dir()) {
            continue;
        }
        for entry in std::fs::read_dir(&inner).into_iter().flatten().flatten() {
            if inner == directory {
                if keep.contains(entry.file_name().as_bytes()) {
                    continue;
                }
                monitor.event(Event::info(entry.path().to_string_lossy(), "would be removed"));
            }
            removed += 1;
            pending.push(entry.path());
        }
    }
    removed
}

fn count_rehearsed(summary: &mut RestoreSummary, entry: &Entry, there: Option<&std::fs::Metadata>) {
    use std::os::unix::fs::MetadataExt as _;
    let same_time = |there: &std::fs::Metadata| {
        (there.mtime(), there.mtime_nsec()) == (entry.metadata.mtime.seconds, i64::from(entry.metadata.mtime.nanoseconds))
    };
    match &entry.kind {
        Kind::File { size, .. } if there.is_some_and(|there| there.is_file() && there.len() == *size && same_time(there)) => {
            summary.unchanged += 1
        }
        Kind::File { size, .. } => {
            summary.files += 1;
            summary.bytes += size;
        }
        _ => summary.others += 1,
    }
}

fn other(error: TargetError) -> ContentError {
    ContentError::Other(error.to_string())
}

fn perform(
    vault: &Vault,
    snapshot: &OpenSnapshot<'_>,
    options: &RestoreOptions,
    monitor: &dyn Monitor,
) -> Result<RestoreSummary, ContentError> {
    let target_options =
        target::Options { numeric_owner: !options.owners_by_name, replace_directories: options.delete, ..target::Options::default() };
    let target = Target::open(&options.target, target_options).map_err(other)?;
    let tally = Tally::default();
    // Where there is a server, one answer brings all that is wanted of a pack.
    let at_once = vault.repository().store().packing().at_once;
    let threads = thread::available_parallelism().map_or(2, usize::from).clamp(1, 16).max(at_once);
    let summary = thread::scope(|scope| {
        let (batches, to_write) = bounded::<Arc<Batch>>(threads);
        for _ in 0..threads {
            let mut writer = BatchWriter::new(vault, &snapshot.map, &target, &tally, monitor)?;
            let to_write: Receiver<Arc<Batch>> = to_write.clone();
            scope.spawn(move || to_write.iter().for_each(|batch| writer.run(&batch)));
        }
        let planner = Planner {
            snapshot,
            options,
            target: &target,
            tally: &tally,
            monitor,
            batches,
            threads,
            by_pack: at_once > 1,
            lists: snapshot.reader()?,
            wants: Vec::new(),
            bytes: 0,
            links: HashMap::new(),
            later_links: Vec::new(),
            summary: RestoreSummary::default(),
        };
        planner.run()
    });
    let (mut summary, finished, links) = summary?;
    if let Some(fatal) = tally.fatal.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        return Err(fatal);
    }
    if monitor.cancelled() {
        return Err(ContentError::Cancelled);
    }
    summary.lost.extend(tally.lost.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner));
    summary.files += tally.files.load(Ordering::Relaxed);
    summary.bytes += tally.bytes.load(Ordering::Relaxed);
    for link in links {
        match target.hard_link((link.from.0, &link.from.1), (link.to.0, &link.to.1)) {
            Ok(()) => summary.files += 1,
            Err(error) => {
                let first = target.path_of(link.from.0, &link.from.1);
                let lost = summary.lost.iter().any(|(path, _)| *path == first);
                let reason = if lost { format!("it is another name of {first}, which is lost") } else { error.to_string() };
                tell(monitor, &mut summary, target.path_of(link.to.0, &link.to.1), reason);
            }
        }
    }
    for directory in finished {
        complete(&target, directory, &mut summary);
    }
    summary.incomplete = target.incomplete().iter().map(ToString::to_string).collect();
    Ok(summary)
}

/// Notes a path that was not restored.
fn tell(monitor: &dyn Monitor, summary: &mut RestoreSummary, path: String, reason: String) {
    monitor.event(Event::error(path.as_str(), reason.as_str()));
    summary.lost.push((path, reason));
}

fn complete(target: &Target, directory: super::plan::Finished, summary: &mut RestoreSummary) {
    if let Some(keep) = directory.keep {
        match target.remove_extra(directory.id, |name| keep.contains(name)) {
            Ok(removal) => {
                summary.removed += removal.removed;
                summary.lost.extend(removal.failed.into_iter().map(|error| ("removal".to_owned(), error.to_string())));
            }
            Err(error) => summary.lost.push(("removal".to_owned(), error.to_string())),
        }
    }
    summary.directories += 1;
    if let Some(metadata) = directory.metadata
        && let Err(error) = target.finish_dir(directory.id, &metadata)
    {
        summary.lost.push(("directory".to_owned(), error.to_string()));
    }
}

type Place = (DirId, Vec<u8>);

/// A further name of a file, made when all files are complete.
struct Link {
    from: Place,
    to: Place,
}

/// Walks the trees, makes directories and nodes, and collects what files want.
struct Planner<'a> {
    snapshot: &'a OpenSnapshot<'a>,
    options: &'a RestoreOptions,
    target: &'a Target,
    tally: &'a Tally,
    monitor: &'a dyn Monitor,
    batches: Sender<Arc<Batch>>,
    threads: usize,
    by_pack: bool,
    lists: TreeReader<'a>,
    wants: Vec<Want>,
    bytes: u64,
    links: HashMap<LinkId, Place>,
    later_links: Vec<Link>,
    summary: RestoreSummary,
}

type Planned = (RestoreSummary, Vec<super::plan::Finished>, Vec<Link>);

impl Planner<'_> {
    fn run(mut self) -> Result<Planned, ContentError> {
        let mut reader = self.snapshot.reader()?;
        let mut walk = TreeWalk::new(&mut reader, &self.snapshot.payload.root);
        let mut position =
            Position::new(&self.options.selection, self.options.delete, self.snapshot.payload.paths.iter().map(|path| path.0.clone()));
        while let Some(step) = walk.step() {
            if self.tally.is_fatal() || self.monitor.cancelled() {
                break;
            }
            match step {
                Step::Enter(entry) => {
                    let verdict = position.judge(walk.path(), &entry, true);
                    position.enter(entry, verdict);
                    if verdict == Verdict::No {
                        walk.skip();
                    }
                }
                Step::Leave => {
                    if let Err(error) = position.leave(Some(self.target)) {
                        self.lose(walk.path(), &error)?;
                    }
                }
                Step::Entry(entry) => {
                    if position.judge(walk.path(), &entry, false) == Verdict::Yes {
                        let done = position.directory(self.target).and_then(|parent| self.entry(parent, entry));
                        if let Err(error) = done {
                            self.lose(walk.path(), &error)?;
                        }
                    }
                }
                Step::Damaged(error) => {
                    position.keep_all();
                    self.tally.lose(self.monitor, display(walk.path()), format!("part of its listing is lost: {error}"));
                }
            }
        }
        self.flush();
        drop(self.batches);
        Ok((self.summary, position.finished, self.later_links))
    }

    /// Notes a failure of the target; a full disk ends the restore.
    fn lose(&self, path: &[u8], error: &TargetError) -> Result<(), ContentError> {
        if error.is_full() {
            return Err(ContentError::Other(error.to_string()));
        }
        self.tally.lose(self.monitor, display(path), error.to_string());
        Ok(())
    }

    fn entry(&mut self, parent: DirId, entry: Entry) -> Result<(), TargetError> {
        let there = !self.target.is_fresh(parent) && self.target.unchanged(parent, &entry);
        if there {
            self.target.apply_metadata(parent, &entry.name, &entry.metadata)?;
            self.summary.unchanged += 1;
            self.monitor.event(Event::Progress { files: 1, bytes: 0 });
            if let Some(link) = entry.metadata.link {
                self.links.entry(link).or_insert((parent, entry.name));
            }
            return Ok(());
        }
        match entry.kind {
            Kind::File { size, content } => self.file(parent, entry.name, entry.metadata, size, &content),
            _ => {
                self.target.make_node(parent, &entry)?;
                self.summary.others += 1;
                Ok(())
            }
        }
    }

    fn file(
        &mut self,
        parent: DirId,
        name: Vec<u8>,
        metadata: crate::model::entry::Metadata,
        size: u64,
        content: &[Element],
    ) -> Result<(), TargetError> {
        if let Some(link) = metadata.link {
            if let Some(first) = self.links.get(&link) {
                self.later_links.push(Link { from: first.clone(), to: (parent, name) });
                return Ok(());
            }
            self.links.insert(link, (parent, name.clone()));
        }
        let job = Arc::new(FileJob::new(parent, name, metadata, size));
        let mut offset = 0;
        let simple = !content.iter().any(|element| matches!(element, Element::List { .. }));
        let walked = if simple {
            content.iter().for_each(|element| self.want(&job, element, &mut offset));
            Ok(())
        } else {
            self.walk_lists(&job, content, &mut offset)
        };
        if let Err(error) = walked {
            job.fail(format!("its list of chunks is lost: {error}"));
        }
        settle(&job, self.target, self.tally, self.monitor);
        if self.bytes >= BATCH_BYTES || self.wants.len() >= BATCH_WANTS {
            self.flush();
        }
        Ok(())
    }

    fn walk_lists(&mut self, job: &Arc<FileJob>, content: &[Element], offset: &mut u64) -> Result<(), ContentError> {
        let mut pending: Vec<(Element, u32)> = content.iter().rev().map(|element| (*element, 0)).collect();
        while let Some((element, depth)) = pending.pop() {
            match element {
                Element::List { .. } if depth > 6 => return Err(ContentError::damaged("a tree", "list nodes nest too deep")),
                Element::List { id, size, .. } => {
                    let nested = tree::parse_list(&tree::TreeSource::tree(&mut self.lists, &id)?)?;
                    if tree::total(&nested) != Some(size) {
                        return Err(ContentError::damaged("a tree", "a list node does not add up to its size"));
                    }
                    pending.extend(nested.into_iter().rev().map(|element| (element, depth + 1)));
                }
                _ => self.want(job, &element, offset),
            }
            if self.wants.len() >= BATCH_WANTS {
                self.flush();
            }
        }
        Ok(())
    }

    fn want(&mut self, job: &Arc<FileJob>, element: &Element, offset: &mut u64) {
        if let Element::Chunk { id, length } = element {
            match self.snapshot.map.find(id).next() {
                Some(place) => {
                    job.remaining.fetch_add(1, Ordering::Relaxed);
                    self.wants.push(Want { place, id: *id, length: *length, offset: *offset, file: Arc::clone(job) });
                    self.bytes += u64::from(*length);
                }
                None => job.fail(format!("chunk {} is in no block of the snapshot", id.short())),
            }
        }
        *offset += element.size();
    }

    /// Hands the wants to the writing threads.
    fn flush(&mut self) {
        let batch = Arc::new(Batch::new(std::mem::take(&mut self.wants), &self.snapshot.map, self.by_pack));
        self.bytes = 0;
        for _ in 0..self.threads {
            let _ = self.batches.send(Arc::clone(&batch));
        }
    }
}

fn display(path: &[u8]) -> String {
    // The root has no name.
    String::from_utf8_lossy(if path.is_empty() { b"/" } else { path }).into_owned()
}
