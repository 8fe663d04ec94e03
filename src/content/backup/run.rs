//! One run: from a locked state directory to a committed snapshot.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::assemble::{Assembled, Assembler};
use super::catalogue::{self, Reader};
use super::estimate::estimate;
use super::feed::feed;
use super::past::Past;
use super::publish::{Publisher, content_recipient, index_recipient, put_refs};
use super::read::{FileReader, ReadOptions};
use super::state::{GroupState, State, save_bytes};
use super::sync;
use super::upload::{Recipients, Upload, UploadOptions, Uploaded};
use crate::content::ContentError;
use crate::content::chunker::Chunker;
use crate::content::compress;
use crate::content::dedup::ChunkIndex;
use crate::content::keys::WriterKey;
use crate::content::payload::{Payload, Statistics};
use crate::content::secret::group_id;
use crate::content::tree::Bytes;
use crate::model::event::{Event, Monitor};
use crate::model::id::{BlockId, GroupId, SnapshotId};
use crate::sealed::envelope::Sizes;
use crate::sealed::repository::Repository;
use crate::sealed::snapshots;
use crate::sealed::{SealedError, limits};
use crate::source::exclude::Excludes;
use crate::source::stream::VirtualFile;
use crate::source::view::View;
use crate::source::walk::{Walk, WalkOptions};
use crate::store::layer::DiscardStore;
use crate::store::{Folder, ObjectName, Store};

/// After so long everything is read again, in case a change did not show in a file's status.
const FULL_READ: Duration = Duration::from_secs(30 * 24 * 3600);
/// Least budget for rewriting sparse blocks, in bytes.
const REWRITE: u64 = 64 << 20;
/// How often a snapshot is made anew because prune took what it needs.
const ATTEMPTS: usize = 3;

/// How to back up.
pub struct BackupOptions {
    /// Files and directories, made absolute by [`crate::source::walk::absolute`].
    pub paths: Vec<PathBuf>,
    /// Streams, saved as files.
    pub streams: Vec<VirtualFile>,
    /// Directories that are read from elsewhere, such as from a filesystem's snapshot.
    pub views: Vec<View>,
    /// What to leave out.
    pub excludes: Excludes,
    /// Do not descend into other filesystems than each path's.
    pub one_file_system: bool,
    /// Directories whose content is left out, such as the repository itself.
    pub skip: Vec<PathBuf>,
    /// Labels.
    pub tags: Vec<String>,
    /// The machine's name.
    pub host: String,
    /// The job's name; may be empty.
    pub job: String,
    /// zstd level.
    pub level: i32,
    /// Store nothing, only count.
    pub dry_run: bool,
    /// Make no snapshot if nothing changed since the group's last.
    pub skip_if_unchanged: bool,
    /// Read everything, whatever the catalogue says.
    pub read_all: bool,
    /// Whether a changed inode number means a changed file.
    pub trust_inodes: bool,
    /// Count what a first run will read, so that it can be told how much is left.
    pub estimate: bool,
}

impl Default for BackupOptions {
    fn default() -> Self {
        Self {
            paths: Vec::new(),
            streams: Vec::new(),
            views: Vec::new(),
            excludes: Excludes::default(),
            one_file_system: false,
            skip: Vec::new(),
            tags: Vec::new(),
            host: String::new(),
            job: String::new(),
            level: compress::DEFAULT_LEVEL,
            dry_run: false,
            skip_if_unchanged: false,
            read_all: false,
            trust_inodes: true,
            estimate: false,
        }
    }
}

/// What a run did.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// The snapshot; absent in a dry run and when nothing changed.
    pub snapshot: Option<SnapshotId>,
    /// The group's previous snapshot.
    pub parent: Option<SnapshotId>,
    /// Whether no snapshot was made because nothing changed.
    pub unchanged: bool,
    /// What was counted.
    pub statistics: Statistics,
    /// Whole seconds and fraction that it took.
    pub seconds: f64,
    /// What looks suspicious, in words.
    pub anomalies: Vec<String>,
}

struct Run<'a> {
    repository: &'a Repository,
    key: &'a WriterKey,
    options: &'a mut BackupOptions,
    state: &'a State,
    monitor: &'a dyn Monitor,
    group: GroupId,
    previous: GroupState,
    threads: usize,
}

/// Makes a snapshot.
///
/// # Errors
/// If the store, the key or the state do not serve, or the run is asked to stop. Sources that cannot be read are
/// warnings, counted in [`Statistics::warnings`].
pub fn backup(
    repository: &Repository,
    key: &WriterKey,
    mut options: BackupOptions,
    state: &State,
    monitor: &dyn Monitor,
) -> Result<Summary, ContentError> {
    let begun = Instant::now();
    repository.may_write()?;
    check_writer(repository, key)?;
    let _lock = state.lock(monitor)?;
    monitor.event(Event::Phase("prepare"));
    let group = group_id(key.signing.seed(), &options.host, &options.job);
    let past = Past::load(repository, key)?;
    let mut previous = state.group(&group);
    previous.last = past.confirm(previous.last, monitor);
    let threads = thread::available_parallelism().map_or(2, usize::from).clamp(1, 16);
    let mut publisher = Publisher::new(repository, key, state, group, past.sequence);
    publisher.parent = previous.last;
    if !options.dry_run {
        settle_earlier(&publisher, repository, monitor)?;
        guard_keys(repository, state, monitor)?;
    }
    let mut index = ChunkIndex::open(&state.chunks(), repository.id())?;
    sync::sync(&mut index, repository, key, monitor)?;
    let mut run = Run { repository, key, options: &mut options, state, monitor, group, previous, threads };
    for attempt in 1..=ATTEMPTS {
        if attempt > 1 {
            index.begin_run()?;
        }
        let done = run.attempt(&mut index, &publisher)?;
        if let Some(mut summary) = done {
            summary.seconds = begun.elapsed().as_secs_f64();
            return Ok(summary);
        }
        if run.options.streams.iter().any(|stream| !stream.source.opens_again()) {
            break;
        }
    }
    Err(ContentError::Other(
        "a prune took away what the snapshot needs while it was made, several times; run prune less often or with a longer --grace, then back up again".into(),
    ))
}

fn check_writer(repository: &Repository, key: &WriterKey) -> Result<(), ContentError> {
    let wrong = |why: &str| Err(ContentError::Key { file: key.name.clone(), why: why.into() });
    match repository.statement().writer(&key.writer) {
        None => wrong("the repository does not know this writer; add it with `key add-writer`"),
        Some(writer) if writer.closed.is_some() => {
            wrong("this writer was closed with `key close-writer`; make a new key with `key add-writer`")
        }
        Some(writer) if writer.verify_key != key.signing.verify_key() => wrong("the repository names another signing key for this writer"),
        Some(_) => Ok(()),
    }
}

/// Drops snapshots that a killed run made visible but did not verify: this run makes a new one.
fn settle_earlier(publisher: &Publisher<'_>, repository: &Repository, monitor: &dyn Monitor) -> Result<(), ContentError> {
    for id in publisher.undecided() {
        match repository.store().stat(&snapshots::name(Folder::Commits, &id)) {
            Ok(_) => publisher.commit(&id)?,
            Err(error) if error.is_not_found() => {
                monitor.event(Event::info(
                    format!("snapshot {}", id.short()),
                    "an earlier run ended before it had verified this snapshot; it is replaced",
                ));
                publisher.withdraw(&id)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Keeps copies of the `keys/` objects on the host, and puts them back where they are missing.
fn guard_keys(repository: &Repository, state: &State, monitor: &dyn Monitor) -> Result<(), ContentError> {
    let store = repository.store();
    for entry in &repository.statement().keys {
        let name = ObjectName::of_id(Folder::Keys, entry.id.as_bytes());
        let copy = state.key_copy(&entry.id.to_string())?;
        let kept = std::fs::read(&copy).ok().filter(|bytes| crate::model::id::KeysId::of(bytes) == entry.id);
        match (store.stat(&name), kept) {
            (Ok(_), Some(_)) => {}
            (Ok(_), None) => {
                let bytes = store.get(&name, limits::PAYLOAD)?;
                if crate::model::id::KeysId::of(&bytes) == entry.id {
                    save_bytes(&copy, &bytes)?;
                } else {
                    monitor.event(Event::warning(name.to_string(), "its bytes were changed; restore keys may not open this repository"));
                }
            }
            (Err(error), Some(bytes)) if error.is_not_found() => {
                store.put_new(&name, &bytes)?;
                monitor.event(Event::warning(name.to_string(), "was missing and has been put back from this host's copy"));
            }
            (Err(error), None) if error.is_not_found() => {
                let message = format!(
                    "is missing and this host has no copy: who restores with {} cannot open new backups; restore it from a mirror",
                    entry.recipient
                );
                monitor.event(Event::warning(name.to_string(), message));
            }
            (Err(error), _) => return Err(error.into()),
        }
    }
    Ok(())
}

impl Run<'_> {
    fn read_options(&self) -> ReadOptions {
        let secret = &self.key.chunk_secret;
        ReadOptions {
            chunker: Chunker::new(secret, self.repository.statement().chunking),
            keys: secret.chunk_keys(),
            larger_than: self.options.excludes.larger_than(),
            trust_inodes: self.options.trust_inodes,
        }
    }

    /// One scan. `None` if what the snapshot needs was taken away meanwhile.
    fn attempt(&mut self, index: &mut ChunkIndex, publisher: &Publisher<'_>) -> Result<Option<Summary>, ContentError> {
        sync::refresh_live(index, self.repository.store())?;
        index.avoid(&self.blocks_to_rewrite());
        self.monitor.event(Event::Phase("scan"));
        self.monitor.event(Event::Expect { files: self.previous.files, bytes: self.previous.bytes });
        let (assembled, uploaded) = self.scan(index, publisher)?;
        let mut statistics = assembled.statistics;
        statistics.bytes_stored = uploaded.bytes;
        let root = crate::model::id::hex(&assembled.identity);
        let unchanged = self.options.skip_if_unchanged && self.previous.root.as_deref() == Some(&root) && self.previous.last.is_some();
        let anomalies = self.anomalies(&statistics);
        let mut summary = Summary { snapshot: None, parent: publisher.parent, unchanged, statistics, seconds: 0.0, anomalies };
        if self.options.dry_run {
            return Ok(Some(summary));
        }
        for stored in uploaded.indexes {
            index.stored(stored.id, stored.list, &stored.ordinals);
        }
        if !unchanged {
            self.monitor.event(Event::Phase("commit"));
            let Some(id) = self.publish(index, publisher, &assembled, statistics)? else { return Ok(None) };
            summary.snapshot = Some(id);
            self.previous.last = Some(id);
        }
        let state = GroupState {
            last: self.previous.last,
            root: Some(root),
            files: statistics.files,
            bytes: statistics.bytes,
            bytes_new: statistics.bytes_new,
            sparse: index.sparse_blocks(),
        };
        assembled.catalogue.finish().map_err(|error| ContentError::file("write", self.state.dir(), error))?;
        index.save()?;
        self.state.save_group(&self.group, &state)?;
        Ok(Some(summary))
    }

    /// Blocks of which the last snapshot used less than half, as many as the budget allows.
    fn blocks_to_rewrite(&self) -> HashSet<BlockId> {
        let mut budget = REWRITE.max(self.previous.bytes_new / 4);
        let mut chosen = HashSet::new();
        for (block, used) in &self.previous.sparse {
            match budget.checked_sub(u64::from(*used)) {
                Some(rest) => budget = rest,
                None => break,
            }
            chosen.insert(*block);
        }
        chosen
    }

    fn anomalies(&self, now: &Statistics) -> Vec<String> {
        let mut found = Vec::new();
        if self.previous.last.is_some() && self.previous.bytes > 1 << 20 && now.bytes < self.previous.bytes / 2 {
            found.push(format!(
                "the source shrank from {} to {} bytes; was something deleted or not mounted?",
                self.previous.bytes, now.bytes
            ));
        }
        if self.previous.last.is_some() && now.files > 100 && now.bytes_new > now.bytes / 10 * 9 {
            found.push("nearly all content is new; was everything rewritten or encrypted?".into());
        }
        for anomaly in &found {
            self.monitor.event(Event::info("anomaly", anomaly.as_str()));
        }
        found
    }

    fn catalogue(&self) -> Result<(Option<Reader>, catalogue::Writer), ContentError> {
        let path = self.state.catalogue(&self.group)?;
        let now = jiff::Timestamp::now().as_second();
        let due = |read: &Reader| now - read.full_read >= FULL_READ.as_secs().cast_signed();
        let reader = if self.options.read_all { None } else { Reader::open(&path, &self.repository.id()).filter(|reader| !due(reader)) };
        let full_read = reader.as_ref().map_or(now, |reader| reader.full_read);
        let writer = catalogue::Writer::create(&path, &self.repository.id(), full_read)
            .map_err(|error| ContentError::file("write", &path, error))?;
        Ok((reader, writer))
    }

    fn scan(&mut self, index: &mut ChunkIndex, publisher: &Publisher<'_>) -> Result<(Assembled, Uploaded), ContentError> {
        let (known, writer) = self.catalogue()?;
        let real = self.repository.store();
        let discard = DiscardStore::new(real.location());
        let store: &dyn Store = if self.options.dry_run { &discard } else { real };
        let reader = FileReader::new(self.read_options());
        let options = UploadOptions {
            recipients: Recipients { content: content_recipient(self.repository)?, index: index_recipient(self.repository)? },
            level: self.options.level,
            threads: self.threads,
            buffers: reader.buffers(),
        };
        let dry_run = self.options.dry_run;
        let on_checkpoint = |indexes: &[_]| if dry_run { Ok(()) } else { publisher.checkpoint(indexes) };
        let counted = self.options.estimate && self.previous.files == 0;
        let ended = AtomicBool::new(false);
        let (assembled, uploaded) = thread::scope(|scope| {
            let upload = Upload::start(scope, store, &options, &on_checkpoint)?;
            let mut assembler = Assembler::new(index, reader.keys(), upload.blocks(), writer, reader.clone(), self.monitor);
            let options = WalkOptions {
                excludes: self.options.excludes.clone(),
                one_file_system: self.options.one_file_system,
                skip: inodes_of(self.options.skip.iter().map(PathBuf::as_path).chain([self.state.dir()])),
                streams: self.options.streams.clone(),
                views: self.options.views.clone(),
            };
            let walk = || Walk::new(&self.options.paths, options.clone()).map_err(|error| ContentError::file("read", "/", error));
            if counted {
                let (walk, larger_than, monitor, ended) = (walk()?, options.excludes.larger_than(), self.monitor, &ended);
                scope.spawn(move || estimate(walk, larger_than, ended, monitor));
            }
            let fed = feed(scope, &mut assembler, &reader, walk()?, known, self.threads, self.monitor);
            ended.store(true, Ordering::Relaxed);
            if fed.is_err() {
                // Nobody takes the rest; whoever still reads must not wait for more.
                self.options.streams.iter().for_each(|stream| stream.source.stop());
            }
            let assembled = match fed {
                Ok(()) => assembler.finish(),
                Err(error) => assembler.abandon().and(Err(error)),
            };
            let uploaded = upload.finish();
            // If the upload failed, that is the cause of whatever the assembler met.
            Ok::<_, ContentError>((assembled, uploaded?))
        })?;
        match assembled {
            Ok(assembled) => Ok((assembled, uploaded)),
            Err(error) => {
                if !dry_run {
                    publisher.checkpoint(&uploaded.indexes)?;
                    for stored in uploaded.indexes {
                        index.stored(stored.id, stored.list, &stored.ordinals);
                    }
                    index.save()?;
                }
                Err(error)
            }
        }
    }

    /// The paths that the snapshot tells: those of streams are relative, as they are on no disk.
    fn labels(&self) -> Vec<Bytes> {
        let paths = self.options.paths.iter().map(|path| Bytes(path.as_os_str().as_bytes().to_vec()));
        let streams = self.options.streams.iter().map(|stream| Bytes(stream.path.join(&b'/')));
        paths.chain(streams).collect()
    }

    /// Makes the snapshot visible, verifies it, and commits it; `None` if something it needs is gone.
    fn publish(
        &mut self,
        index: &mut ChunkIndex,
        publisher: &Publisher<'_>,
        assembled: &Assembled,
        statistics: Statistics,
    ) -> Result<Option<SnapshotId>, ContentError> {
        let store = self.repository.store();
        let refs = index.refs();
        let refs_id = put_refs(store, &refs)?;
        let blocks = refs.indexes.values().map(|bitmap| bitmap.count() as u64).sum();
        let mut payload = Payload {
            writer: self.key.writer,
            sequence: 0,
            group: self.group,
            host: self.options.host.clone(),
            job: self.options.job.clone(),
            paths: self.labels(),
            tags: self.options.tags.clone(),
            root: assembled.root.clone(),
            statistics,
            program: concat!("hearth-backup ", env!("CARGO_PKG_VERSION")).into(),
        };
        let id = publisher.snapshot(&mut payload, refs_id, Sizes { added: statistics.bytes_stored, blocks })?;
        let missing = sync::missing(index, store, &refs_id, &refs)?;
        if missing.is_empty() {
            publisher.commit(&id)?;
            return Ok(Some(id));
        }
        let message =
            format!("a prune took {} meanwhile ({} objects); storing it again", missing.first().map_or("", String::as_str), missing.len());
        self.monitor.event(Event::info(format!("snapshot {}", id.short()), message));
        publisher.withdraw(&id)?;
        Ok(None)
    }
}

fn inodes_of<'a>(paths: impl Iterator<Item = &'a std::path::Path>) -> HashSet<(u64, u64)> {
    paths.filter_map(|path| std::fs::metadata(path).ok()).map(|metadata| (metadata.dev(), metadata.ino())).collect()
}

/// Opens a repository for a writer: its id and the newest statement seen are known from the key and the state.
///
/// # Errors
/// As [`Repository::open`].
pub fn open_for_writer(store: Arc<dyn Store>, key: &WriterKey, state: &State) -> Result<Repository, SealedError> {
    let mut seen = key.seen;
    if let Some(statement) = state.seen().statement
        && statement.0 >= seen.0
    {
        seen = statement;
    }
    let trust = crate::sealed::repository::Trust { expected: Some(key.repository), seen: Some(seen) };
    Repository::open(store, &trust)
}
