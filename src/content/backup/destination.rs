//! One repository that a run goes to: what it knows already, what it takes from the scan, and its snapshot.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::assemble::{Assembled, Assembler};
use super::catalogue::{self, Reader};
use super::chorus::Voice;
use super::cut::Cutter;
use super::feed::Line;
use super::options::{BackupOptions, Summary};
use super::past::Past;
use super::prepare::{check_writer, guard_keys, settle_earlier};
use super::publish::{Publisher, content_recipient, index_recipient, put_refs};
use super::read::FileReader;
use super::run::Share;
use super::state::{GroupState, RunLock, State};
use super::suspicion::anomalies;
use super::sync;
use super::upload::{Recipients, StoredIndex, Upload, UploadOptions};
use crate::content::ContentError;
use crate::content::chunker::Chunker;
use crate::content::dedup::ChunkIndex;
use crate::content::keys::WriterKey;
use crate::content::payload::{Payload, Statistics};
use crate::content::secret::group_id;
use crate::content::tree::Bytes;
use crate::model::event::{Event, Monitor};
use crate::model::id::{BlockId, GroupId, SnapshotId};
use crate::model::report::Anomaly;
use crate::sealed::envelope::Sizes;
use crate::sealed::repository::Repository;
use crate::store::layer::{DiscardStore, ListedStore};
use crate::store::{Folder, Store};

/// After so long everything is read again, in case a change did not show in a file's status.
const FULL_READ: Duration = Duration::from_secs(30 * 24 * 3600);
/// Least budget for rewriting sparse blocks, in bytes.
const REWRITE: u64 = 64 << 20;

/// What is looked at before a run; one listing of all is cheaper than one of each.
const PREPARED: [Folder; 9] = [
    Folder::Checkpoints,
    Folder::Commits,
    Folder::Condemned,
    Folder::Forgotten,
    Folder::Index,
    Folder::Keys,
    Folder::Packs,
    Folder::Pins,
    Folder::Snapshots,
];

/// A repository, and what this host keeps for it.
#[derive(Clone, Copy)]
pub struct Destination<'a> {
    /// The repository.
    pub repository: &'a Repository,
    /// What the host holds of it.
    pub key: &'a WriterKey,
    /// Where the host keeps its caches.
    pub state: &'a State,
    /// The lock of the state, which the caller took: whoever takes several takes them in an order of its own.
    pub lock: &'a RunLock,
}

/// What a destination gets of one scan.
pub(super) struct Scan<'a> {
    /// What was read, in path order.
    pub(super) line: Line,
    /// The catalogue that this scan writes.
    pub(super) catalogue: catalogue::Writer,
    /// Reads again what the repository lost.
    pub(super) reader: FileReader,
    /// Told when no more is taken.
    pub(super) share: Share<'a>,
    /// Threads that seal.
    pub(super) threads: usize,
}

/// A run, as far as it concerns one repository.
pub(super) struct Run<'a> {
    repository: Repository,
    /// As it was before this run, for the first scan.
    before: Option<Arc<ListedStore>>,
    key: &'a WriterKey,
    options: &'a BackupOptions,
    state: &'a State,
    monitor: &'a Voice<'a>,
    group: GroupId,
    previous: GroupState,
    publisher: Publisher<'a>,
    index: ChunkIndex,
    /// Nobody else writes to the repository from here while this lives.
    _lock: &'a RunLock,
}

impl<'a> Run<'a> {
    /// Settles what an earlier run left, and learns what the repository has.
    pub(super) fn prepare(destination: &Destination<'a>, options: &'a BackupOptions, monitor: &'a Voice<'a>) -> Result<Self, ContentError> {
        let Destination { repository, key, state, lock } = *destination;
        repository.may_write()?;
        check_writer(repository, key)?;
        monitor.event(Event::Phase("prepare"));
        let group = group_id(key.signing.seed(), &options.host, &options.group_label());
        let repository = state.with_copies(repository);
        let listed = Arc::new(ListedStore::list(repository.shared_store(), &PREPARED)?);
        let before = &repository.through(listed.clone());
        let past = Past::load(before, key)?;
        let mut previous = state.group(&group);
        previous.last = past.confirm(previous.last, before.store(), monitor);
        let mut publisher = Publisher::new(repository.clone(), key, state, group, past.sequence);
        publisher.parent = previous.last;
        if !options.dry_run {
            settle_earlier(&publisher, before, monitor)?;
            guard_keys(before, state, monitor)?;
        }
        let mut index = ChunkIndex::open(&state.chunks(), repository.id())?;
        let late = (!options.dry_run).then(|| state.late());
        let delivered = sync::sync(&mut index, before, key, late.as_deref(), monitor)?;
        publisher.unfinished = past.unfinished(&group, before.store(), &index);
        publisher.unfinished.extend(delivered);
        Ok(Self { repository, before: Some(listed), key, options, state, monitor, group, previous, publisher, index, _lock: lock })
    }

    /// Where the host keeps what belongs to this repository.
    pub(super) fn state_dir(&self) -> &Path {
        self.state.dir()
    }

    /// Whether there is no earlier snapshot to tell how much is to be expected.
    pub(super) fn is_first(&self) -> bool {
        self.previous.files == 0
    }

    /// Who is told.
    pub(super) fn monitor(&self) -> &'a Voice<'a> {
        self.monitor
    }

    /// How this repository's chunks are cut and named.
    pub(super) fn cutter(&self) -> Cutter {
        let secret = &self.key.chunk_secret;
        Cutter { chunker: Chunker::new(secret, self.repository.statement().chunking), keys: secret.chunk_keys() }
    }

    /// Makes ready for a scan, the first or a later one.
    pub(super) fn begin(&mut self, attempt: usize) -> Result<(), ContentError> {
        if attempt > 1 {
            self.index.begin_run()?;
        }
        match self.before.take() {
            Some(before) => sync::refresh_live(&mut self.index, before.as_ref())?,
            None => sync::refresh_live(&mut self.index, self.repository.store())?,
        }
        self.index.avoid(&self.blocks_to_rewrite());
        self.monitor.event(Event::Phase("scan"));
        self.monitor.event(Event::Expect { files: self.previous.files, bytes: self.previous.bytes });
        Ok(())
    }

    /// The catalogue of the previous run, and the one that this scan writes.
    pub(super) fn catalogue(&self) -> Result<(Option<Reader>, catalogue::Writer), ContentError> {
        let path = self.state.catalogue(&self.group)?;
        let now = jiff::Timestamp::now().as_second();
        let due = |read: &Reader| now - read.full_read >= FULL_READ.as_secs().cast_signed();
        let discovered = self.options.databases.as_ref().is_some_and(|databases| databases.discovers());
        let known = || Reader::open(&path, &self.repository.id(), discovered).filter(|reader| !due(reader));
        let reader = if self.options.read_all { None } else { known() };
        let full_read = reader.as_ref().map_or(now, |reader| reader.full_read);
        let writer = catalogue::Writer::create(&path, &self.repository.id(), full_read, discovered)
            .map_err(|error| ContentError::file("write", &path, error))?;
        Ok((reader, writer))
    }

    /// Takes one scan and makes a snapshot of it. `None` if what the snapshot needs was taken away meanwhile.
    pub(super) fn attempt(&mut self, scan: Scan<'_>) -> Result<Option<Summary>, ContentError> {
        let (assembled, indexes, bytes_stored) = self.take(scan)?;
        let mut statistics = assembled.statistics;
        statistics.bytes_stored = bytes_stored;
        let root = crate::model::id::hex(&assembled.identity);
        let unchanged = self.options.skip_if_unchanged && self.previous.root.as_deref() == Some(&root) && self.previous.last.is_some();
        let anomalies = self.anomalies(&statistics);
        let databases = self.options.databases.as_ref().map(|databases| databases.checked()).unwrap_or_default();
        let mut summary =
            Summary { snapshot: None, parent: self.publisher.parent, unchanged, statistics, seconds: 0.0, anomalies, databases };
        if self.options.dry_run {
            return Ok(Some(summary));
        }
        for stored in indexes {
            self.index.stored(stored.id, stored.list, &stored.ordinals);
        }
        if !unchanged {
            self.monitor.event(Event::Phase("commit"));
            let published = self.publish(&assembled, statistics);
            if published.is_err() {
                // All is stored but the snapshot: the next run finds it.
                self.go_on_later(Vec::new());
            }
            let Some(id) = published? else { return Ok(None) };
            summary.snapshot = Some(id);
            self.previous.last = Some(id);
        }
        let state = GroupState {
            last: self.previous.last,
            root: Some(root),
            files: statistics.files,
            bytes: statistics.bytes,
            bytes_new: statistics.bytes_new,
            sparse: self.index.sparse_blocks(),
        };
        assembled.catalogue.finish().map_err(|error| ContentError::file("write", self.state.dir(), error))?;
        self.index.save()?;
        self.state.save_group(&self.group, &state)?;
        Ok(Some(summary))
    }

    /// Assembles and uploads what the scan brings; returns also the index objects written, and how many bytes were stored.
    fn take(&mut self, scan: Scan<'_>) -> Result<(Assembled, Vec<StoredIndex>, u64), ContentError> {
        let Scan { line, catalogue, reader, share, threads } = scan;
        let real = self.repository.store();
        let discard = DiscardStore::new(real.location());
        let dry_run = self.options.dry_run;
        let store: &dyn Store = if dry_run { &discard } else { real };
        let options = UploadOptions {
            recipients: Recipients { content: content_recipient(&self.repository)?, index: index_recipient(&self.repository)? },
            level: self.options.level,
            threads,
            buffers: reader.buffers(),
            late: self.state.late(),
        };
        let (publisher, index, monitor) = (&self.publisher, &mut self.index, self.monitor);
        let keys = self.key.chunk_secret.chunk_keys();
        let on_checkpoint = |indexes: &[_]| if dry_run { Ok(()) } else { publisher.checkpoint(indexes) };
        let (assembled, uploaded) = thread::scope(|scope| {
            let upload = Upload::start(scope, store, &options, &on_checkpoint)?;
            let mut assembler = Assembler::new(index, keys, upload.blocks(), catalogue, reader, monitor);
            let drained = line.drain(&mut assembler, monitor);
            share.end(drained.is_ok());
            let assembled = match drained {
                Ok(()) => assembler.finish(),
                Err(error) => assembler.abandon().and(Err(error)),
            };
            Ok::<_, ContentError>((assembled, upload.finish()))
        })?;
        // If the upload failed, that is the cause of whatever the assembler met.
        let error = match (uploaded.failure, assembled) {
            (None, Ok(assembled)) => return Ok((assembled, uploaded.indexes, uploaded.bytes)),
            (Some(failure), _) | (None, Err(failure)) => failure,
        };
        if !dry_run {
            self.go_on_later(uploaded.indexes);
        }
        Err(error)
    }

    /// Keeps what a run that failed has stored for the next one.
    fn go_on_later(&mut self, indexes: Vec<StoredIndex>) {
        // Against a prune long from now; a server that refuses it has refused more before, which is what the run tells.
        if let Err(error) = self.publisher.checkpoint(&indexes) {
            tracing::debug!("no checkpoint: {error}");
        }
        for stored in indexes {
            self.index.stored(stored.id, stored.list, &stored.ordinals);
        }
        if let Err(error) = self.index.save() {
            tracing::warn!("what was stored will be stored again: {error}");
        }
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

    fn anomalies(&self, now: &Statistics) -> Vec<Anomaly> {
        let found = if self.previous.last.is_some() { anomalies((self.previous.files, self.previous.bytes), now) } else { Vec::new() };
        for anomaly in &found {
            self.monitor.event(Event::info("anomaly", anomaly.text.as_str()));
        }
        found
    }

    /// The paths that the snapshot tells: those of streams are relative, as they are on no disk.
    fn labels(&self) -> Vec<Bytes> {
        let paths = self.options.paths.iter().map(|path| Bytes(path.as_os_str().as_bytes().to_vec()));
        let streams = self.options.streams.iter().map(|stream| Bytes(stream.path.join(&b'/')));
        paths.chain(streams).collect()
    }

    /// Makes the snapshot visible, verifies it, and commits it; `None` if something it needs is gone.
    fn publish(&mut self, assembled: &Assembled, statistics: Statistics) -> Result<Option<SnapshotId>, ContentError> {
        let refs = self.index.refs();
        let refs_id = put_refs(self.repository.store(), &refs)?;
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
        let id = self.publisher.snapshot(&mut payload, refs_id, Sizes { added: statistics.bytes_stored, blocks })?;
        let missing = sync::missing(&mut self.index, self.repository.shared_store(), &refs_id, &refs)?;
        if missing.is_empty() {
            self.publisher.commit(&id)?;
            return Ok(Some(id));
        }
        let message =
            format!("a prune took {} meanwhile ({} objects); storing it again", missing.first().map_or("", String::as_str), missing.len());
        self.monitor.event(Event::info(format!("snapshot {}", id.short()), message));
        self.publisher.withdraw(&id)?;
        Ok(None)
    }
}
