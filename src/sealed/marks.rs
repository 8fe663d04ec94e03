//! Small clear objects that state one fact each: committed, condemned, moved, received, pinned, forgotten, pruning.

use std::collections::BTreeSet;
use std::time::SystemTime;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::model::id::{CheckpointId, CondemnedId, IndexId, MapId, PackId, RefsId, SnapshotId};
use crate::sealed::codec::{FormatError, Reader};
use crate::sealed::index::BlockList;
use crate::sealed::{SealedError, limits};
use crate::store::layer::ListedStore;
use crate::store::{Folder, ObjectInfo, ObjectName, Store, StoreErrorKind};

const COMMIT: &[u8; 8] = b"hbcmit01";
const CONDEMNED: &[u8; 8] = b"hbcond01";
const MAP: &[u8; 8] = b"hbmaps01";
const RECEIVED: &[u8; 8] = b"hbrcvd01";
const PIN: &[u8; 8] = b"hbpins01";
const PRUNE: &[u8; 8] = b"hbprun01";

/// Objects that will be deleted, irrevocably.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condemned {
    /// Packs.
    #[serde(default)]
    pub packs: BTreeSet<PackId>,
    /// Index objects.
    #[serde(default)]
    pub indexes: BTreeSet<IndexId>,
    /// Refs objects.
    #[serde(default)]
    pub refs: BTreeSet<RefsId>,
    /// Checkpoints.
    #[serde(default)]
    pub checkpoints: BTreeSet<CheckpointId>,
    /// Maps whose packs are gone or listed by a newer map.
    #[serde(default)]
    pub maps: BTreeSet<MapId>,
    /// Sealed bytes in `packs` that were still needed when this was written: what its sweep expects to copy.
    #[serde(default)]
    pub needed: u64,
}

impl Condemned {
    /// Whether it names nothing.
    pub fn is_empty(&self) -> bool {
        self.packs.is_empty() && self.indexes.is_empty() && self.refs.is_empty() && self.checkpoints.is_empty() && self.maps.is_empty()
    }

    /// Adds all that `other` names.
    pub fn extend(&mut self, other: Condemned) {
        self.packs.extend(other.packs);
        self.indexes.extend(other.indexes);
        self.refs.extend(other.refs);
        self.checkpoints.extend(other.checkpoints);
        self.maps.extend(other.maps);
        self.needed = self.needed.saturating_add(other.needed);
    }
}

/// A condemned object and when it was stored.
#[derive(Debug, Clone)]
pub struct Sentence {
    /// Its id.
    pub id: CondemnedId,
    /// What it names.
    pub condemned: Condemned,
    /// The store's time of the object.
    pub stored: SystemTime,
}

/// When and where a keeper received a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// The keeper's clock (RFC 3339).
    pub received: jiff::Timestamp,
    /// Through which door: the token's name, or the mirror's source.
    pub door: String,
    /// Whether a mirror brought it here. Such a record outlives its snapshot: what was forgotten here is not brought again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mirrored: bool,
}

/// An announcement of a running prune.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// Host name and process id, for people.
    pub by: String,
}

fn json<T: Serialize>(magic: &[u8; 8], value: &T) -> Result<Vec<u8>, FormatError> {
    let mut bytes = magic.to_vec();
    serde_json::to_writer(&mut bytes, value).map_err(|error| FormatError::new(error.to_string()))?;
    Ok(bytes)
}

fn from_json<T: DeserializeOwned>(magic: &[u8; 8], bytes: &[u8]) -> Result<T, FormatError> {
    let mut reader = Reader::new(bytes);
    reader.magic(magic)?;
    serde_json::from_slice(reader.rest()).map_err(|error| FormatError::new(format!("its text does not parse ({error})")))
}

/// The commit object of a snapshot: magic and the snapshot's id.
pub fn encode_commit(snapshot: &SnapshotId) -> Vec<u8> {
    [COMMIT.as_slice(), snapshot.as_bytes()].concat()
}

/// Parses a commit object.
///
/// # Errors
/// If it is not one.
pub fn parse_commit(bytes: &[u8]) -> Result<SnapshotId, FormatError> {
    let mut reader = Reader::new(bytes);
    reader.magic(COMMIT)?;
    let id = SnapshotId::from_bytes(reader.array("the snapshot's id")?);
    reader.end()?;
    Ok(id)
}

/// The pin object of a snapshot: magic and the snapshot's id.
pub fn encode_pin(snapshot: &SnapshotId) -> Vec<u8> {
    [PIN.as_slice(), snapshot.as_bytes()].concat()
}

/// Builds a condemned object.
///
/// # Errors
/// If it cannot be serialised.
pub fn encode_condemned(condemned: &Condemned) -> Result<Vec<u8>, FormatError> {
    json(CONDEMNED, condemned)
}

/// Parses a condemned object.
///
/// # Errors
/// If it is not one.
pub fn parse_condemned(bytes: &[u8]) -> Result<Condemned, FormatError> {
    from_json(CONDEMNED, bytes)
}

/// Parses an announcement.
///
/// # Errors
/// If it is not one.
pub fn parse_announcement(bytes: &[u8]) -> Result<Announcement, FormatError> {
    from_json(PRUNE, bytes)
}

/// Builds a map object: where blocks are now.
pub fn encode_map(list: &BlockList) -> Vec<u8> {
    [MAP.as_slice(), &list.encode()].concat()
}

/// Parses a map object.
///
/// # Errors
/// If it is not one.
pub fn parse_map(bytes: &[u8]) -> Result<BlockList, FormatError> {
    let mut reader = Reader::new(bytes);
    reader.magic(MAP)?;
    BlockList::decode(reader.rest())
}

/// Builds a received record.
///
/// # Errors
/// If it cannot be serialised.
pub fn encode_received(received: &Received) -> Result<Vec<u8>, FormatError> {
    json(RECEIVED, received)
}

/// Parses a received record.
///
/// # Errors
/// If it is not one.
pub fn parse_received(bytes: &[u8]) -> Result<Received, FormatError> {
    from_json(RECEIVED, bytes)
}

/// The received record of a snapshot; none if there is none, or it cannot be read.
///
/// # Errors
/// If the store fails otherwise.
pub fn read_received(store: &dyn Store, id: &SnapshotId) -> Result<Option<Received>, SealedError> {
    match store.get(&ObjectName::of_id(Folder::Received, id.as_bytes()), limits::PAYLOAD) {
        Ok(bytes) => Ok(parse_received(&bytes).ok()),
        Err(error) if error.is_not_found() || error.kind == StoreErrorKind::TooLarge => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Builds an announcement.
///
/// # Errors
/// If it cannot be serialised.
pub fn encode_announcement(announcement: &Announcement) -> Result<Vec<u8>, FormatError> {
    json(PRUNE, announcement)
}

/// Reads every object of a folder; one that vanishes meanwhile is skipped.
fn read_all(store: &dyn Store, folder: Folder) -> Result<Vec<(ObjectInfo, Vec<u8>)>, SealedError> {
    let mut all = Vec::new();
    for info in store.list(folder)? {
        match store.get(&info.name, limits::LIST) {
            Ok(bytes) => all.push((info, bytes)),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(all)
}

/// All condemned objects.
///
/// # Errors
/// If one cannot be read: what is condemned must never be overlooked.
pub fn read_condemned(store: &dyn Store) -> Result<Vec<Sentence>, SealedError> {
    let mut all = Vec::new();
    for (info, bytes) in read_all(store, Folder::Condemned)? {
        let id = CondemnedId::of(&bytes);
        if id.to_string() != info.name.leaf() {
            return Err(SealedError::damaged(info.name, "its bytes do not match its name"));
        }
        let condemned = parse_condemned(&bytes).map_err(|why| SealedError::malformed(&info.name, why))?;
        all.push(Sentence { id, condemned, stored: info.stored });
    }
    Ok(all)
}

/// Packs that readable condemned objects name. For readers, who only prefer other copies: a damaged object must not keep
/// them from restoring. Prune and writers use [`all_condemned`].
///
/// # Errors
/// If the store fails.
pub fn packs_said_condemned(store: &dyn Store) -> Result<BTreeSet<PackId>, SealedError> {
    let all = read_all(store, Folder::Condemned)?;
    Ok(all.iter().filter_map(|(_, bytes)| parse_condemned(bytes).ok()).flat_map(|condemned| condemned.packs).collect())
}

/// Everything condemned so far, as one set.
///
/// # Errors
/// As [`read_condemned`].
pub fn all_condemned(store: &dyn Store) -> Result<Condemned, SealedError> {
    Ok(sum(read_condemned(store)?))
}

/// The same from a listing that was taken before, with the packs: none if what it shows has been deleted meanwhile. Packs may be gone
/// then that it shows, and nothing tells of them any more; whoever relies on it lists again.
///
/// # Errors
/// As [`read_condemned`].
pub fn all_condemned_as_listed(store: &ListedStore) -> Result<Option<Condemned>, SealedError> {
    let sentences = read_condemned(store)?;
    Ok((sentences.len() == store.list(Folder::Condemned)?.len()).then(|| sum(sentences)))
}

fn sum(sentences: Vec<Sentence>) -> Condemned {
    let mut sum = Condemned::default();
    for sentence in sentences {
        sum.extend(sentence.condemned);
    }
    sum
}

/// All readable maps. They are hints, so a damaged one is skipped and named in the second value.
///
/// # Errors
/// If the store fails.
#[allow(clippy::type_complexity)]
pub fn read_maps(store: &dyn Store) -> Result<(Vec<(MapId, BlockList)>, Vec<ObjectName>), SealedError> {
    let mut maps = Vec::new();
    let mut damaged = Vec::new();
    for (info, bytes) in read_all(store, Folder::Maps)? {
        let id = MapId::of(&bytes);
        match parse_map(&bytes) {
            Ok(list) if id.to_string() == info.name.leaf() => maps.push((id, list)),
            _ => damaged.push(info.name),
        }
    }
    Ok((maps, damaged))
}

#[cfg(test)]
mod listed {
    use std::sync::Arc;

    use super::*;
    use crate::store::MemoryStore;

    #[test]
    fn a_condemned_object_that_goes_between_listing_and_reading_makes_the_listing_worthless() {
        let memory = MemoryStore::new();
        let condemned = Condemned { packs: BTreeSet::from([PackId::from_bytes([1; 32])]), ..Condemned::default() };
        let bytes = encode_condemned(&condemned).unwrap();
        let name = ObjectName::of_id(Folder::Condemned, CondemnedId::of(&bytes).as_bytes());
        memory.put_new(&name, &bytes).unwrap();
        let listed = ListedStore::list(Arc::new(memory.clone()), &[Folder::Condemned, Folder::Packs]).unwrap();
        assert_eq!(all_condemned_as_listed(&listed).unwrap(), Some(condemned));
        memory.delete(&name).unwrap();
        assert_eq!(all_condemned_as_listed(&listed).unwrap(), None);
    }
}
