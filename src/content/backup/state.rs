//! State on the host: caches that may be deleted, and the little that must not be forgotten.
//!
//! ```text
//!   <state>/<repository>/lock                one run at a time per host and repository
//!                        chunks/             the chunk index (cache)
//!                        copies/             small objects of the repository (cache)
//!                        groups/<group>/     catalogue (cache), group.json
//!                        late/               index objects that could not be stored
//!                        keys/               copies of the repository's keys/ objects
//!                        journal.json        the last sequence, and snapshots not yet decided
//!                        seen.json           newest statement and sequences seen
//! ```

use std::fs::{self, File};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::fcntl::{Flock, FlockArg};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::content::ContentError;
use crate::model::event::{Event, Monitor};
use crate::model::id::{BlockId, GroupId, RepositoryId, SnapshotId, StatementId};
use crate::sealed::repository::Repository;
use crate::store::durable;
use crate::store::layer::KeptStore;

/// How often one who waits for another run looks whether it has ended.
const PATIENCE: std::time::Duration = std::time::Duration::from_millis(200);

/// What a host remembers of a group between runs.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct GroupState {
    /// The last committed snapshot.
    pub last: Option<SnapshotId>,
    /// What identifies its content, to notice that nothing changed.
    pub root: Option<String>,
    /// Files in it.
    pub files: u64,
    /// Bytes in it.
    pub bytes: u64,
    /// Bytes that run added before compression.
    pub bytes_new: u64,
    /// Blocks of which it uses less than half, sparsest first, with the bytes used.
    pub sparse: Vec<(BlockId, u32)>,
}

/// What must survive a crash.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Journal {
    /// The last sequence number given.
    pub sequence: u64,
    /// Snapshots that became visible but were not yet verified.
    pub undecided: Vec<SnapshotId>,
}

/// What was seen of a repository.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Seen {
    /// Newest statement.
    pub statement: Option<(u64, StatementId)>,
    /// Highest sequence of committed snapshots per writer, by writer id.
    pub sequences: std::collections::BTreeMap<String, u64>,
}

/// A repository's state directory.
pub struct State {
    dir: PathBuf,
}

/// The lock of a run; released when dropped.
pub struct RunLock(#[allow(dead_code)] Flock<File>);

fn create_dir(path: &Path) -> Result<(), ContentError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| ContentError::file("create", path, error))
}

impl State {
    /// Opens the state of `repository` under `base`, creating it where needed.
    ///
    /// # Errors
    /// If the directory cannot be used.
    pub fn open(base: &Path, repository: &RepositoryId) -> Result<Self, ContentError> {
        let dir = base.join(&repository.to_string()[..16]);
        create_dir(&dir)?;
        Ok(Self { dir })
    }

    /// The directory itself, to be left out of backups.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Waits until no other run of this host works on the repository.
    ///
    /// # Errors
    /// If the lock file cannot be used, or the run is asked to stop.
    pub fn lock(&self, monitor: &dyn Monitor) -> Result<RunLock, ContentError> {
        let path = self.dir.join("lock");
        let failed = |error: std::io::Error| ContentError::file("lock", &path, error);
        let open = || fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(failed);
        let mut file = open()?;
        let mut told = false;
        loop {
            file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => return Ok(RunLock(lock)),
                Err((file, nix::errno::Errno::EWOULDBLOCK)) => file,
                Err((_, error)) => return Err(failed(error.into())),
            };
            if !told {
                monitor.event(Event::info("lock", "another run of this host writes to this repository; waiting for it to end"));
                told = true;
            }
            if monitor.cancelled() {
                return Err(ContentError::Cancelled);
            }
            std::thread::sleep(PATIENCE);
        }
    }

    /// Where the chunk index lies.
    pub fn chunks(&self) -> PathBuf {
        self.dir.join("chunks")
    }

    /// The repository with small objects read from copies that this host keeps: for whoever uses it, not for whoever checks it.
    pub fn with_copies(&self, repository: &Repository) -> Repository {
        repository.through(Arc::new(KeptStore::new(repository.shared_store(), self.dir.join("copies"))))
    }

    /// Where index objects wait that could not be stored.
    pub fn late(&self) -> PathBuf {
        self.dir.join("late")
    }

    fn group_dir(&self, group: &GroupId) -> PathBuf {
        self.dir.join("groups").join(&group.to_string()[..16])
    }

    /// Where a group's catalogue lies.
    ///
    /// # Errors
    /// If its directory cannot be created.
    pub fn catalogue(&self, group: &GroupId) -> Result<PathBuf, ContentError> {
        let dir = self.group_dir(group);
        create_dir(&dir)?;
        Ok(dir.join("catalogue"))
    }

    /// What is remembered of a group; nothing if that is damaged.
    pub fn group(&self, group: &GroupId) -> GroupState {
        self.load(&self.group_dir(group).join("group.json"))
    }

    /// Remembers a group.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn save_group(&self, group: &GroupId, state: &GroupState) -> Result<(), ContentError> {
        save(&self.group_dir(group).join("group.json"), state)
    }

    /// The journal.
    pub fn journal(&self) -> Journal {
        self.load(&self.dir.join("journal.json"))
    }

    /// Writes the journal durably.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn save_journal(&self, journal: &Journal) -> Result<(), ContentError> {
        save(&self.dir.join("journal.json"), journal)
    }

    /// What was seen.
    pub fn seen(&self) -> Seen {
        self.load(&self.dir.join("seen.json"))
    }

    /// Remembers what was seen.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn save_seen(&self, seen: &Seen) -> Result<(), ContentError> {
        save(&self.dir.join("seen.json"), seen)
    }

    /// Where the copy of a `keys/` object lies.
    ///
    /// # Errors
    /// If the directory cannot be created.
    pub fn key_copy(&self, name: &str) -> Result<PathBuf, ContentError> {
        let dir = self.dir.join("keys");
        create_dir(&dir)?;
        Ok(dir.join(name))
    }

    fn load<T: DeserializeOwned + Default>(&self, path: &Path) -> T {
        fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }
}

/// Writes a file so that after a crash there is the old one or the new one.
///
/// # Errors
/// If it cannot be made durable.
pub fn save_bytes(path: &Path, bytes: &[u8]) -> Result<(), ContentError> {
    durable::replace(path, bytes).map_err(|error| ContentError::file("write", path, error))
}

fn save<T: Serialize>(path: &Path, value: &T) -> Result<(), ContentError> {
    let text = serde_json::to_vec_pretty(value).map_err(|error| ContentError::Other(error.to_string()))?;
    save_bytes(path, &text)
}
