//! Mark: one object that names what may go, once and for all.

use std::collections::BTreeMap;

use super::Outcome;
use super::plan::Decision;
use super::survey::Survey;
use crate::model::event::{Event, Monitor};
use crate::model::id::{CondemnedId, MapId, PackId};
use crate::sealed::index::BlockList;
use crate::sealed::marks::{self, Sentence};
use crate::sealed::pack::Contents;
use crate::sealed::{SealedError, limits};
use crate::store::{Folder, ObjectName, Store};

/// Writes the condemned object, and before it the merged maps; none if there is nothing to condemn.
pub(super) fn write(
    store: &dyn Store,
    survey: &Survey,
    decision: &Decision,
    monitor: &dyn Monitor,
    outcome: &mut Outcome,
) -> Result<Option<Sentence>, SealedError> {
    let mut condemned = decision.condemned.clone();
    if !decision.merge_maps.is_empty() {
        condemned.maps.extend(merge_maps(store, survey, decision)?);
    }
    if condemned.is_empty() {
        return Ok(None);
    }
    monitor.event(Event::Phase("mark"));
    let bytes = marks::encode_condemned(&condemned).map_err(|why| SealedError::PruneRefused(why.to_string()))?;
    let id = CondemnedId::of(&bytes);
    let name = ObjectName::of_id(Folder::Condemned, id.as_bytes());
    store.put_new(&name, &bytes)?;
    let sizes = condemned.packs.iter().filter_map(|pack| survey.packs.get(pack)).map(|entry| entry.size);
    outcome.packs_condemned += condemned.packs.len() as u64;
    outcome.bytes_condemned += sizes.sum::<u64>();
    let stored = store.stat(&name)?.stored;
    Ok(Some(Sentence { id, condemned, stored }))
}

/// Writes what many small maps say into few; returns those that are superfluous then.
fn merge_maps(store: &dyn Store, survey: &Survey, decision: &Decision) -> Result<Vec<MapId>, SealedError> {
    let (maps, _) = marks::read_maps(store)?;
    let (old, lists): (Vec<MapId>, Vec<BlockList>) = maps.into_iter().filter(|(id, _)| decision.merge_maps.contains(id)).unzip();
    let stays = |pack: &PackId, contents: &Contents| {
        survey.packs.get(pack).is_some_and(|entry| !entry.condemned && entry.size == contents.pack_size())
            && !decision.condemned.packs.contains(pack)
    };
    let packs: BTreeMap<PackId, Contents> =
        lists.into_iter().flat_map(|list| list.packs).filter(|(id, contents)| stays(id, contents)).collect();
    let mut merged = BlockList::default();
    for (pack, contents) in packs {
        if merged.len() + contents.blocks.len() > limits::INDEX_BLOCKS {
            put_map(store, &std::mem::take(&mut merged))?;
        }
        merged.packs.push((pack, contents));
    }
    put_map(store, &merged)?;
    Ok(old)
}

fn put_map(store: &dyn Store, list: &BlockList) -> Result<(), SealedError> {
    if !list.is_empty() {
        let bytes = marks::encode_map(list);
        store.put_new(&ObjectName::of_id(Folder::Maps, MapId::of(&bytes).as_bytes()), &bytes)?;
    }
    Ok(())
}
