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
use crate::sealed::index::{self, BlockList};
use crate::sealed::locations::PackListing;
use crate::sealed::marks;
use crate::sealed::refs::Bitmap;
use crate::store::Store;

/// Keeps the bytes of an index object that could not be stored.
///
/// # Errors
/// If they cannot be written.
pub(super) fn keep(dir: &Path, id: &IndexId, bytes: &[u8]) -> Result<(), ContentError> {
    save_bytes(&dir.join(id.to_string()), bytes)
}

/// Stores what earlier runs could not, if its packs are still there for good, and tells the chunk index of it. Returns the index objects
/// with all their blocks. Each is kept until a run knows it from the chunk index, so that nothing is lost if this one is killed.
///
/// # Errors
/// If the store fails.
pub(super) fn deliver(
    dir: &Path,
    chunks: &mut ChunkIndex,
    store: &dyn Store,
    key: &WriterKey,
    monitor: &dyn Monitor,
) -> Result<Vec<(IndexId, Bitmap)>, ContentError> {
    let mut delivered = Vec::new();
    let kept = kept(dir);
    if kept.is_empty() {
        return Ok(delivered);
    }
    let condemned = marks::all_condemned(store)?;
    let listing = PackListing::list(store, condemned.packs.into_iter().collect())?;
    for (path, id) in kept {
        if chunks.known().iter().any(|known| known.id == id) || condemned.indexes.contains(&id) {
            forget(&path);
            continue;
        }
        let name = index::name(&id);
        match list_in(&path, &id) {
            Some((bytes, list)) if list.packs.iter().all(|(pack, contents)| listing.is_live(pack, contents)) => {
                store.put_new(&name, &bytes)?;
                if let Err(error) = learn_from(chunks, &id, &bytes, key) {
                    monitor.event(Event::warning(name.to_string(), format!("{error}; its blocks are not reused")));
                    forget(&path);
                    continue;
                }
                let message = format!("an earlier run that failed stored {} packs; this one goes on there", list.packs.len());
                monitor.event(Event::info(name.to_string(), message));
                delivered.push((id, Bitmap::full(list.len())));
            }
            _ => forget(&path),
        }
    }
    Ok(delivered)
}

/// What was kept, if it is whole.
fn list_in(path: &Path, id: &IndexId) -> Option<(Vec<u8>, BlockList)> {
    let bytes = std::fs::read(path).ok().filter(|bytes| IndexId::of(bytes) == *id)?;
    let (list, _) = index::parse(&bytes).ok()?;
    Some((bytes, list))
}

/// What waits in a directory. What else lies there was left by a crash.
fn kept(dir: &Path) -> Vec<(PathBuf, IndexId)> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut kept = Vec::new();
    for path in entries.flatten().map(|entry| entry.path()) {
        match path.file_name().and_then(|name| name.to_str()?.parse().ok()) {
            Some(id) => kept.push((path, id)),
            None => forget(&path),
        }
    }
    kept
}

/// If it stays, the next run finds it again.
fn forget(path: &Path) {
    let _ = std::fs::remove_file(path);
}
