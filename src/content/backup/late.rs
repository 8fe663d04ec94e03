//! Index objects that could not be stored although the packs they list were: the server refused, or the line was cut.
//!
//! The host keeps them, and the next run stores them before anything else. So it continues where this one stopped.

use std::path::{Path, PathBuf};

use super::state::save_bytes;
use super::sync::learn_from;
use crate::content::ContentError;
use crate::content::dedup::ChunkIndex;
use crate::content::keys::WriterKey;
use crate::model::event::{Event, Monitor};
use crate::model::id::IndexId;
use crate::sealed::locations::PackListing;
use crate::sealed::{SealedError, index};
use crate::store::Store;

/// Keeps the bytes of an index object that could not be stored.
///
/// # Errors
/// If they cannot be written.
pub(super) fn keep(dir: &Path, id: &IndexId, bytes: &[u8]) -> Result<(), ContentError> {
    save_bytes(&dir.join(id.to_string()), bytes)
}

/// Stores what an earlier run could not, if its packs are still there for good, and tells the chunk index of it.
///
/// # Errors
/// If the store fails.
pub(super) fn deliver(
    dir: &Path,
    chunks: &mut ChunkIndex,
    store: &dyn Store,
    key: &WriterKey,
    monitor: &dyn Monitor,
) -> Result<(), ContentError> {
    let kept = kept(dir);
    if kept.is_empty() {
        return Ok(());
    }
    let listing = PackListing::load(store)?;
    for (path, id) in kept {
        let Some(bytes) = std::fs::read(&path).ok().filter(|bytes| IndexId::of(bytes) == id) else {
            forget(&path);
            continue;
        };
        let (list, _) = index::parse(&bytes).map_err(|why| SealedError::malformed(index::name(&id), why))?;
        if list.packs.iter().all(|(pack, contents)| listing.is_live(pack, contents)) {
            store.put_new(&index::name(&id), &bytes)?;
            learn_from(chunks, &id, &bytes, key)?;
            let packs = list.packs.len();
            monitor.event(Event::info(
                index::name(&id).to_string(),
                format!("an earlier run that failed stored {packs} packs; this one goes on there"),
            ));
        }
        forget(&path);
    }
    Ok(())
}

fn kept(dir: &Path) -> Vec<(PathBuf, IndexId)> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let id = |path: &Path| path.file_name()?.to_str()?.parse().ok();
    entries.flatten().map(|entry| entry.path()).filter_map(|path| id(&path).map(|id| (path, id))).collect()
}

/// If it stays, the next run finds it again, which does no harm.
fn forget(path: &Path) {
    let _ = std::fs::remove_file(path);
}
