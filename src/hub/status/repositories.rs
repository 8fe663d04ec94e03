//! What the hub knows of its repositories by itself. Their snapshots are read again when something has changed there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use crate::hub::repository::{Kept, Repositories};
use crate::model::id::{RepositoryId, SnapshotId};
use crate::sealed::snapshots::Snapshots;
use crate::store::Folder;
use crate::store::hub::protocol::Refusal;

/// How coarse a folder's time may be.
const YOUNG: Duration = Duration::from_secs(2);
/// The folders by which snapshots count or do not.
const FOLDERS: [Folder; 5] = [Folder::Repo, Folder::Snapshots, Folder::Commits, Folder::Received, Folder::Pins];

/// Its snapshots, counted.
#[derive(Debug, Clone, Default)]
pub(super) struct Counted {
    pub(super) id: Option<RepositoryId>,
    pub(super) counting: u64,
    pub(super) others: u64,
    pub(super) newest: Option<(Timestamp, SnapshotId)>,
}

/// When each folder was changed; none where there is none.
type Changed = [Option<SystemTime>; FOLDERS.len()];

/// What was counted, and when.
#[derive(Default)]
pub(in crate::hub) struct Counts(Mutex<HashMap<String, (Changed, Arc<Counted>)>>);

impl Counts {
    /// Counts a repository's snapshots, unless nothing has changed since that was last done.
    pub(super) fn of(&self, repositories: &Repositories, kept: &Kept) -> Result<Arc<Counted>, Refusal> {
        let path = repositories.path(&kept.name);
        let changed = FOLDERS.map(|folder| std::fs::metadata(path.join(folder.as_str())).and_then(|metadata| metadata.modified()).ok());
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, counted)) = lock().get(&kept.name)
            && *known == changed
        {
            return Ok(Arc::clone(counted));
        }
        let counted = Arc::new(count(kept));
        // A change within the same moment would not be seen.
        let settled = changed.iter().flatten().all(|time| time.elapsed().is_ok_and(|age| age > YOUNG));
        if settled {
            lock().insert(kept.name.clone(), (changed, Arc::clone(&counted)));
        }
        Ok(counted)
    }
}

fn count(kept: &Kept) -> Counted {
    // Before `init` there is none.
    let Ok(repository) = kept.repository() else { return Counted::default() };
    let mut counted = Counted { id: Some(repository.id()), ..Counted::default() };
    let found = match Snapshots::load(&repository, Folder::Snapshots) {
        Ok(found) => found,
        Err(error) => {
            tracing::error!("the snapshots in `{}` cannot be counted: {error}", kept.name);
            return counted;
        }
    };
    for snapshot in &found.list {
        if snapshot.counts() {
            counted.counting += 1;
            counted.newest = counted.newest.max(Some((snapshot.received_at(), snapshot.id)));
        } else {
            counted.others += 1;
        }
    }
    counted.others += found.unreadable.len() as u64;
    counted
}
