//! The hub's repositories: a directory each, what is in it, and what may be in it.
//!
//! ```text
//!   DATA/repositories/NAME/   a repository like any other on a disk: every command of this program works on it
//! ```

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Semaphore;

use super::quota::{Quota, Quotas};
use crate::model::human;
use crate::sealed::SealedError;
use crate::sealed::repository::{Repository, Trust};
use crate::store::hub::is_name;
use crate::store::hub::protocol::{Reason, Refusal, Usage};
use crate::store::owner;
use crate::store::{DirectoryStore, Folder, ObjectName, Store as _, StoreError, StoreErrorKind};

const FOLDER: &str = "repositories";
/// How long a count is believed: others, such as maintenance, may change the directory meanwhile.
const COUNTED: Duration = Duration::from_secs(3600);
/// How long a count is believed that would refuse an upload.
const COUNTED_WHEN_FULL: Duration = Duration::from_secs(60);
/// Uploads, listings and downloads of one repository at the same time; others wait. Each holds memory for its client: whoever takes all of
/// them, and takes them slowly, holds up nobody else's repository.
const UPLOADS: usize = 32;
const LISTS: usize = 8;
const READS: usize = 64;

/// All repositories below a directory.
pub struct Repositories {
    folder: PathBuf,
    quotas: Quotas,
    open: Mutex<HashMap<String, Arc<Kept>>>,
}

impl Repositories {
    /// Those of a hub.
    pub fn new(data: &Path, quotas: impl Into<Quotas>) -> Self {
        Self { folder: data.join(FOLDER), quotas: quotas.into(), open: Mutex::default() }
    }

    /// The names of all that there are, in their order.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let entries = match std::fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            if let Ok(name) = entry.file_name().into_string()
                && is_name(&name)
                && entry.path().is_dir()
            {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// What a repository may take.
    pub fn quota(&self, name: &str) -> Quota {
        self.quotas.get(name)
    }

    /// Where a repository lies.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Makes an empty one, unless it is there.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn make(&self, name: &str) -> Result<(), StoreError> {
        let path = self.path(name);
        // Also where root makes it: everything here belongs to whoever the hub runs as.
        owner::make_folder(&path).map_err(|error| StoreError::io("make the directory", path.display(), error))?;
        DirectoryStore::create(path).map(|_| ())
    }

    /// Makes the place for all of them, by which it is seen that there is a hub.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn prepare(&self) -> io::Result<()> {
        owner::make_folder(&self.folder)
    }

    /// Opens one. This reads the disk.
    pub(super) fn get(&self, name: &str) -> Result<Arc<Kept>, Refusal> {
        let unknown = || refusal(Reason::NoRepository, "there is no such repository; the administrator makes it with `hub token add`");
        if !is_name(name) {
            return Err(unknown());
        }
        let identity = identity(&self.path(name));
        if let Some(kept) = lock(&self.open).get(name).filter(|kept| kept.identity == identity) {
            return Ok(Arc::clone(kept));
        }
        let store = DirectoryStore::open(self.path(name)).map_err(|error| match error.kind {
            StoreErrorKind::NotFound => unknown(),
            _ => failed(&error),
        })?;
        let kept = Arc::new(Kept {
            name: name.to_owned(),
            identity,
            store: Arc::new(store),
            quota: self.quotas.get(name),
            warning: self.quotas.warning(),
            room: Mutex::default(),
            uploads: Arc::new(Semaphore::new(UPLOADS)),
            lists: Arc::new(Semaphore::new(LISTS)),
            reads: Arc::new(Semaphore::new(READS)),
            swept: Mutex::new(Instant::now()),
            statements: Mutex::default(),
        });
        let mut open = lock(&self.open);
        let first = open.entry(name.to_owned()).or_insert_with(|| Arc::clone(&kept));
        if first.identity != identity {
            *first = kept;
        }
        Ok(Arc::clone(first))
    }
}

/// Device, number and birth of a directory: numbers are given out again.
type Identity = (u64, u64, Option<SystemTime>);

/// What tells a directory from one that took its place, such as a repository that came back from a mirror; none if there is none.
fn identity(path: &Path) -> Option<Identity> {
    std::fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino(), metadata.created().ok()))
}

/// One repository.
pub(super) struct Kept {
    pub(super) name: String,
    /// Of the directory that was opened.
    identity: Option<Identity>,
    pub(super) store: Arc<DirectoryStore>,
    pub(super) quota: Quota,
    /// From which share of the quota somebody is warned, in percent.
    warning: u64,
    room: Mutex<Room>,
    /// Turns of uploads, lists and downloads.
    pub(super) uploads: Arc<Semaphore>,
    pub(super) lists: Arc<Semaphore>,
    pub(super) reads: Arc<Semaphore>,
    /// When what crashes left was last cleared away.
    swept: Mutex<Instant>,
    /// As it was when it had so many statements.
    statements: Mutex<Option<(u64, Repository)>>,
}

#[derive(Default)]
struct Room {
    counted: Option<Instant>,
    used: Usage,
    /// Promised to uploads that run.
    promised: Usage,
    /// Whether the hub has said that the quota is nearly used up.
    warned: bool,
}

impl Kept {
    /// What its objects take.
    pub(super) fn usage(&self) -> Result<Usage, Refusal> {
        let mut room = lock(&self.room);
        self.count(&mut room, COUNTED)?;
        Ok(room.used)
    }

    /// What is said of a quota that is nearly used up.
    pub(super) fn warning(&self, used: Usage) -> Option<String> {
        let share = self.quota.used(used).filter(|share| *share >= self.warning)?;
        let most = self.quota.bytes.map(|most| format!(" of {}", human::size(most))).unwrap_or_default();
        Some(format!(
            "{share}% of the quota of the repository `{}` is used: {}{most} in {} objects; what does not fit is refused",
            self.name,
            human::size(used.bytes),
            used.objects
        ))
    }

    /// The same, of what is known without counting anew.
    pub(super) fn warning_now(&self) -> Option<String> {
        let used = lock(&self.room).used;
        self.warning(used)
    }

    fn count(&self, room: &mut Room, young: Duration) -> Result<(), Refusal> {
        if room.counted.is_some_and(|counted| counted.elapsed() < young) {
            return Ok(());
        }
        let objects = self.store.list_folders(&Folder::ALL).map_err(|error| failed(&error))?;
        room.used = Usage { bytes: objects.iter().map(|info| info.size).sum(), objects: objects.len() as u64 };
        room.counted = Some(Instant::now());
        Ok(())
    }

    /// Promises room for an object before a byte of it is accepted.
    pub(super) fn promise(self: &Arc<Self>, bytes: u64) -> Result<Promise, Refusal> {
        self.sweep(COUNTED);
        let mut room = lock(&self.room);
        let with = |room: &Room| Usage {
            bytes: room.used.bytes.saturating_add(room.promised.bytes).saturating_add(bytes),
            objects: room.used.objects + room.promised.objects + 1,
        };
        if self.quota != Quota::default() {
            self.count(&mut room, COUNTED)?;
            if !self.quota.holds(with(&room)) {
                self.count(&mut room, COUNTED_WHEN_FULL)?;
            }
            if !self.quota.holds(with(&room)) {
                let used = room.used;
                let message = format!(
                    "the repository `{}` has used {} bytes in {} objects, and may use no more",
                    self.name, used.bytes, used.objects
                );
                return Err(refusal(Reason::Quota, message));
            }
        }
        let warning = self.warning(with(&room));
        if warning.is_some() != room.warned {
            room.warned = warning.is_some();
            warning.into_iter().for_each(|warning| tracing::warn!("{warning}"));
        }
        room.promised.bytes += bytes;
        room.promised.objects += 1;
        Ok(Promise { kept: Arc::clone(self), bytes })
    }

    /// Clears away what crashes left, if that was not done for so long.
    fn sweep(&self, old: Duration) {
        let mut swept = lock(&self.swept);
        if swept.elapsed() >= old {
            *swept = Instant::now();
            drop(swept);
            self.store.sweep();
        }
    }

    /// The hub's clock. A disk that is full or may not be written tells no time, and what lies there can be read nonetheless.
    pub(super) fn now(&self) -> SystemTime {
        self.store.now().unwrap_or_else(|error| {
            tracing::debug!("{error}");
            SystemTime::now()
        })
    }

    /// Deletes an object.
    pub(super) fn delete(&self, name: &ObjectName) -> Result<(), Refusal> {
        let found = self.store.stat(name).ok();
        self.store.delete(name).map_err(|error| failed(&error))?;
        let mut room = lock(&self.room);
        if let Some(info) = found {
            room.used.bytes = room.used.bytes.saturating_sub(info.size);
            room.used.objects = room.used.objects.saturating_sub(1);
        }
        if name.folder() == Folder::Repo {
            *lock(&self.statements) = None;
        }
        Ok(())
    }

    /// The repository as its newest statement has it.
    pub(super) fn repository(&self) -> Result<Repository, Refusal> {
        let newest = self.store.list(Folder::Repo).map_err(|error| failed(&error))?.len() as u64;
        let mut statements = lock(&self.statements);
        if let Some((number, repository)) = statements.as_ref()
            && *number == newest
        {
            return Ok(repository.clone());
        }
        let store = Arc::clone(&self.store);
        let repository = Repository::open(store, &Trust::default()).map_err(|error| match error {
            SealedError::NoRepository { .. } => {
                refusal(Reason::Incomplete, "there is no repository yet; run `hearth-backup init` with a maintainer's token")
            }
            error => refusal(Reason::Failed, format!("the repository's statements cannot be read: {error}")),
        })?;
        *statements = Some((newest, repository.clone()));
        Ok(repository)
    }
}

/// Room for one object, given back unless it is taken.
pub(super) struct Promise {
    kept: Arc<Kept>,
    bytes: u64,
}

impl Promise {
    /// The object is there now.
    pub(super) fn take(self) {
        let mut room = lock(&self.kept.room);
        room.used.bytes += self.bytes;
        room.used.objects += 1;
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        let mut room = lock(&self.kept.room);
        room.promised.bytes -= self.bytes;
        room.promised.objects -= 1;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A refusal with these words.
pub(super) fn refusal(error: Reason, message: impl Into<String>) -> Refusal {
    Refusal { error, message: message.into() }
}

/// What a store's failure is to a client: the hub's paths are none of its business.
pub(super) fn failed(error: &StoreError) -> Refusal {
    match error.kind {
        StoreErrorKind::NotFound => refusal(Reason::NotFound, "there is no such object"),
        StoreErrorKind::TooLarge => refusal(Reason::TooLarge, "the object is larger than any of its kind may be"),
        StoreErrorKind::Truncated => refusal(Reason::Range, "the object ends before that range"),
        StoreErrorKind::Full => {
            tracing::error!("{error}");
            refusal(Reason::Full, "the hub's disk is full; nothing stored so far is lost")
        }
        StoreErrorKind::Refused | StoreErrorKind::Temporary | StoreErrorKind::Other => {
            tracing::error!("{error}");
            refusal(Reason::Failed, "the hub's disk failed; its log says how")
        }
    }
}

/// What it is to a client that something beside the repositories cannot be read or written.
pub(super) fn disk_failed(path: &Path, error: &io::Error) -> Refusal {
    tracing::error!("cannot use {}: {error}", path.display());
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            refusal(Reason::Full, "the hub's disk is full; nothing stored so far is lost")
        }
        _ => refusal(Reason::Failed, "the hub's disk failed; its log says how"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(quota: Quota) -> (Arc<Kept>, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let repositories = Repositories::new(folder.path(), quota);
        repositories.make("home").unwrap();
        (repositories.get("home").unwrap(), folder)
    }

    #[test]
    fn what_is_promised_to_others_counts_towards_the_quota() {
        let (kept, _folder) = kept(Quota { bytes: Some(100), objects: Some(3) });
        let first = kept.promise(60).unwrap();
        assert_eq!(kept.promise(41).err().unwrap().error, Reason::Quota);
        let second = kept.promise(40).unwrap();
        drop(first);
        second.take();
        assert_eq!(kept.usage().unwrap(), Usage { bytes: 40, objects: 1 });
        kept.promise(60).unwrap();
        let _two = [kept.promise(0).unwrap(), kept.promise(0).unwrap()];
        assert_eq!(kept.promise(0).err().unwrap().error, Reason::Quota, "the fourth object");
    }

    #[test]
    fn what_is_deleted_makes_room_whatever_its_size() {
        let (kept, _folder) = kept(Quota { bytes: None, objects: Some(2) });
        let names = ["a", "b"].map(|leaf| ObjectName::new(Folder::Pins, leaf).unwrap());
        kept.store.put_new(&names[0], b"").unwrap();
        kept.store.put_new(&names[1], b"pin").unwrap();
        assert_eq!(kept.usage().unwrap(), Usage { bytes: 3, objects: 2 });
        for name in &names {
            kept.delete(name).unwrap();
            kept.delete(name).unwrap();
        }
        assert_eq!(kept.usage().unwrap(), Usage { bytes: 0, objects: 0 });
    }

    #[test]
    fn what_crashes_left_is_cleared_away_while_the_hub_runs() {
        let (kept, folder) = kept(Quota::default());
        let left = folder.path().join("repositories/home/tmp/1-2-3");
        let made = std::fs::File::create(&left).unwrap();
        made.set_modified(SystemTime::now() - Duration::from_secs(25 * 3600)).unwrap();
        drop(made);
        kept.sweep(COUNTED);
        assert!(left.exists(), "not yet");
        kept.sweep(Duration::ZERO);
        assert!(!left.exists());
    }

    #[test]
    fn a_name_that_is_none_leads_to_no_directory() {
        let folder = tempfile::tempdir().unwrap();
        let repositories = Repositories::new(folder.path(), Quota::default());
        DirectoryStore::create(folder.path().join("elsewhere")).unwrap();
        for name in ["../elsewhere", "..", "", "absent", "/"] {
            assert_eq!(repositories.get(name).err().unwrap().error, Reason::NoRepository, "{name}");
        }
    }
}
