//! Reading: a repository opened with a restore key, and the chunks of one snapshot.
//!
//! ```text
//!   chunk id --(index objects that the refs name)--> block, rank --(packs, maps, footers)--> sealed bytes --> chunk
//! ```

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use crate::content::dedup::Prefix;
use crate::content::keys::{ContentKeys, RestoreKey};
use crate::content::payload::{self, Payload};
use crate::content::seal::{self, BlockOpener, OpenBlock, OpenFailure};
use crate::content::secret::ChunkKeys;
use crate::content::tree::TreeSource;
use crate::content::{ContentError, chunk_list};
use crate::model::id::{BlockId, ChunkId, IndexId, KeysId, SnapshotId};
use crate::sealed::index::BlockList;
use crate::sealed::locations::{Location, Locations, PackListing, read_block};
use crate::sealed::pack::Class;
use crate::sealed::refs::{self, Refs};
use crate::sealed::repository::Repository;
use crate::sealed::{SealedError, index, limits, marks};
use crate::store::layer::ListedStore;
use crate::store::{Folder, Forward, ObjectName};

/// Opens one of the `keys/` objects that the statement names, and checks that it belongs to the repository.
///
/// # Errors
/// If no object opens with the key, or what opens is another repository's.
pub fn unlock(repository: &Repository, key: &RestoreKey) -> Result<ContentKeys, ContentError> {
    let mut reasons = Vec::new();
    for entry in &repository.statement().keys {
        let name = ObjectName::of_id(Folder::Keys, entry.id.as_bytes());
        let sealed = match repository.store().get(&name, limits::PAYLOAD) {
            Ok(sealed) => sealed,
            Err(error) => {
                reasons.push(error.to_string());
                continue;
            }
        };
        if KeysId::of(&sealed) != entry.id {
            reasons.push(format!("{name} is damaged: its bytes do not match its name"));
            continue;
        }
        match seal::open(&sealed, &key.as_identities()) {
            Ok(plain) => return believe(repository, &name, plain),
            Err(OpenFailure::NoIdentity) => {}
            Err(failure) => reasons.push(format!("{name}: {failure}")),
        }
    }
    let named: Vec<&str> = repository.statement().keys.iter().map(|entry| entry.recipient.as_str()).collect();
    reasons.insert(0, format!("it does not open this repository, which can be restored with: {}", named.join(", ")));
    Err(ContentError::Key { file: key.origin.clone(), why: reasons.join("; ") })
}

fn believe(repository: &Repository, name: &ObjectName, plain: Vec<u8>) -> Result<ContentKeys, ContentError> {
    let text = zeroize::Zeroizing::new(String::from_utf8(plain).map_err(|_| ContentError::damaged(name, "it holds no key file"))?);
    let keys = ContentKeys::parse(&text).map_err(|why| ContentError::damaged(name, why))?;
    if keys.repository != repository.id() {
        return Err(ContentError::damaged(name, format!("it belongs to repository {}", keys.repository.to_bech32())));
    }
    if keys.root.verify_key() != repository.statement().root_key {
        return Err(ContentError::damaged(name, "its root key is not the one that signs this repository's statements"));
    }
    Ok(keys)
}

/// A repository with the key to its content.
#[derive(Clone)]
pub struct Vault {
    repository: Repository,
    keys: Arc<ContentKeys>,
}

impl Vault {
    /// Opens the content.
    ///
    /// # Errors
    /// As [`unlock`].
    pub fn open(repository: Repository, key: &RestoreKey) -> Result<Self, ContentError> {
        let keys = Arc::new(unlock(&repository, key)?);
        Ok(Self { repository, keys })
    }

    /// The repository.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The administrator's keys.
    pub fn keys(&self) -> &ContentKeys {
        &self.keys
    }

    /// What names chunks.
    pub fn chunk_keys(&self) -> ChunkKeys {
        self.keys.chunk_secret.chunk_keys()
    }

    fn identities(&self) -> Vec<&dyn age::Identity> {
        self.keys.identities.iter().map(|identity| identity as &dyn age::Identity).collect()
    }

    /// An opener of blocks, for one thread.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn opener(&self) -> Result<BlockOpener, ContentError> {
        BlockOpener::new(self.keys.identities.clone())
    }

    /// A snapshot's payload.
    ///
    /// # Errors
    /// As [`payload::open`].
    pub fn payload(&self, id: &SnapshotId) -> Result<Payload, ContentError> {
        payload::open(self.repository.store(), id, &self.identities())
    }

    /// The chunk list of an index object.
    ///
    /// # Errors
    /// If it is missing or damaged.
    pub fn index(&self, id: &IndexId) -> Result<(BlockList, ChunkLists), ContentError> {
        let name = index::name(id);
        let bytes = index::read(self.repository.store(), id)?;
        let (list, sealed) = index::parse(&bytes).map_err(|why| SealedError::malformed(&name, why))?;
        let chunks = chunk_list::open(sealed, list.len(), &self.identities()).map_err(|why| ContentError::damaged(&name, why))?;
        Ok((list, chunks))
    }
}

/// Per block of an index object, its chunks.
pub type ChunkLists = Vec<Vec<(Prefix, u32)>>;

/// Where a chunk stands: a block of a [`ChunkMap`], and its rank in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChunkPlace {
    /// The block's number in the map.
    pub block: u32,
    /// The chunk's rank in the block.
    pub rank: u32,
}

#[derive(Clone, Copy)]
struct ChunkRecord {
    prefix: Prefix,
    place: ChunkPlace,
}

/// Where the chunks of one or more snapshots are.
pub struct ChunkMap {
    chunks: Vec<ChunkRecord>,
    blocks: Vec<(BlockId, Class)>,
    locations: Locations,
    listing: PackListing,
    /// Where blocks lie by the packs' own footers; read when a place that a list or map names turns out wrong.
    footers: OnceLock<Locations>,
    /// Index objects and packs that could not be read.
    pub damage: Vec<String>,
}

impl ChunkMap {
    /// Collects the chunks of the blocks that `refs` name, for the snapshots concerned. Index objects that are missing
    /// or damaged are made up for by opening every block that no list covers.
    ///
    /// # Errors
    /// If the store fails, or lets us read no packs.
    pub fn load(vault: &Vault, refs: &Refs) -> Result<Self, ContentError> {
        // Else each file would be told as damaged.
        vault.repository.store().may_read_packs()?;
        let mut map = Self {
            chunks: Vec::new(),
            blocks: Vec::new(),
            locations: Locations::default(),
            listing: PackListing::default(),
            footers: OnceLock::new(),
            damage: Vec::new(),
        };
        let mut lists = Vec::new();
        let mut incomplete = false;
        for (id, bitmap) in &refs.indexes {
            match vault.index(id) {
                Ok((list, chunks)) => {
                    for (position, ((_, class, _, entry), chunks)) in list.blocks().zip(&chunks).enumerate() {
                        if bitmap.contains(position) {
                            map.add_block(entry.id, class, chunks.iter().map(|(prefix, _)| *prefix));
                        }
                    }
                    lists.push(list);
                }
                Err(ContentError::Sealed(SealedError::Store(error))) if !error.is_not_found() => return Err(error.into()),
                Err(error) => {
                    map.damage.push(error.to_string());
                    incomplete = true;
                }
            }
        }
        let store = &ListedStore::list(vault.repository.shared_store(), &[Folder::Condemned, Folder::Maps, Folder::Packs])?;
        let listing = PackListing::for_reading(store)?;
        let (maps, _) = marks::read_maps(store)?;
        let all = || lists.iter().chain(maps.iter().map(|(_, list)| list));
        let (locations, _) = Locations::collect(store, &listing, all(), false)?;
        let unplaced = map.blocks.iter().any(|(id, _)| !locations.contains(id));
        map.locations = locations;
        if unplaced || incomplete {
            let (locations, damage) = Locations::collect(store, &listing, all(), true)?;
            map.locations = locations;
            map.damage.extend(damage.iter().map(ToString::to_string));
        }
        map.listing = listing;
        if incomplete {
            map.open_unlisted(vault)?;
        }
        map.chunks.sort_unstable_by_key(|chunk| (chunk.prefix, chunk.place));
        Ok(map)
    }

    fn add_block(&mut self, id: BlockId, class: Class, chunks: impl Iterator<Item = Prefix>) {
        let block = u32::try_from(self.blocks.len()).unwrap_or(u32::MAX);
        self.blocks.push((id, class));
        let records = chunks.zip(0_u32..).map(|(prefix, rank)| ChunkRecord { prefix, place: ChunkPlace { block, rank } });
        self.chunks.extend(records);
    }

    /// Learns the chunks of blocks that no readable index object lists, from the blocks themselves.
    fn open_unlisted(&mut self, vault: &Vault) -> Result<(), ContentError> {
        let known: std::collections::HashSet<BlockId> = self.blocks.iter().map(|(id, _)| *id).collect();
        let mut opener = vault.opener()?;
        let keys = vault.chunk_keys();
        let mut buffer = Vec::new();
        let unlisted: Vec<_> = self.locations.iter().filter(|(id, _)| !known.contains(*id)).map(|(id, place)| (*id, *place)).collect();
        for (id, place) in unlisted {
            if read_block(vault.repository.store(), &id, &place, &mut buffer).is_err() {
                continue;
            }
            if let Ok(open) = opener.open(&buffer) {
                let prefixes: Vec<Prefix> = (0..open.ranges.len())
                    .filter_map(|rank| open.chunk(rank))
                    .map(|chunk| Prefix::of(&keys.id(place.class, chunk)))
                    .collect();
                self.add_block(id, place.class, prefixes.into_iter());
            }
        }
        Ok(())
    }

    /// The places that claim to hold a chunk.
    pub fn find(&self, id: &ChunkId) -> impl Iterator<Item = ChunkPlace> + '_ {
        let prefix = Prefix::of(id);
        let start = self.chunks.partition_point(|chunk| chunk.prefix < prefix);
        self.chunks.get(start..).unwrap_or_default().iter().take_while(move |chunk| chunk.prefix == prefix).map(|chunk| chunk.place)
    }

    /// How many blocks there are.
    pub fn block_count(&self) -> usize {
        self.blocks.len()
    }

    /// A block's id.
    pub fn block_id(&self, block: u32) -> Option<BlockId> {
        self.blocks.get(block as usize).map(|(id, _)| *id)
    }

    /// Where a block is read first.
    pub fn place(&self, block: u32) -> Option<Location> {
        self.block_id(block).and_then(|id| self.locations.of(&id).next().copied())
    }

    /// Orders blocks as they lie in packs, so that reading goes forwards.
    pub fn reading_order(&self, block: u32) -> (crate::model::id::PackId, u64) {
        self.place(block).map_or((crate::model::id::PackId::from_bytes([255; 32]), u64::MAX), |place| (place.pack, place.offset))
    }

    /// Reads and opens a block from the first place that has it whole.
    ///
    /// # Errors
    /// If it is nowhere, or damaged everywhere; the error names each place.
    pub fn open_block(
        &self,
        vault: &Vault,
        block: u32,
        forward: &mut Forward<'_>,
        opener: &mut BlockOpener,
        buffer: &mut Vec<u8>,
    ) -> Result<OpenBlock, ContentError> {
        let id = self.block_id(block).ok_or_else(|| ContentError::Other("no such block".into()))?;
        let mut reasons = Vec::new();
        for place in self.locations.of(&id) {
            match open_at(forward, &id, place, opener, buffer) {
                Ok(open) => return Ok(open),
                Err(reason) => reasons.push(reason),
            }
        }
        for place in self.by_footers(vault).of(&id).filter(|place| !self.locations.of(&id).any(|tried| tried == *place)) {
            match open_at(forward, &id, place, opener, buffer) {
                Ok(open) => return Ok(open),
                Err(reason) => reasons.push(reason),
            }
        }
        if reasons.is_empty() {
            reasons.push("no pack holds it".into());
        }
        Err(ContentError::damaged(format!("block {}", id.short()), reasons.join("; ")))
    }

    fn by_footers(&self, vault: &Vault) -> &Locations {
        self.footers.get_or_init(|| {
            let lists = std::iter::empty();
            Locations::collect(vault.repository.store(), &self.listing, lists, true).map(|(locations, _)| locations).unwrap_or_default()
        })
    }
}

/// Opens a block at one place. The age tags and the chunk ids are checked by whoever uses it, so hashing the sealed
/// bytes too would only cost time; it tells which of the two is wrong once something is.
fn open_at(
    forward: &mut Forward<'_>,
    id: &BlockId,
    place: &Location,
    opener: &mut BlockOpener,
    buffer: &mut Vec<u8>,
) -> Result<OpenBlock, String> {
    let name = crate::sealed::pack::name(&place.pack);
    forward.get_range(&name, place.offset, place.length as usize, buffer).map_err(|error| error.to_string())?;
    opener.open(buffer).map_err(|failure| explain(id, &name, buffer, &failure))
}

fn explain(id: &BlockId, name: &ObjectName, sealed: &[u8], failure: &OpenFailure) -> String {
    if BlockId::of(sealed) == *id {
        format!("{name}: its bytes are as they were stored, but {failure}")
    } else {
        format!("{name}: its stored bytes have changed")
    }
}

/// Tree blocks kept open; walks go back and forth between few of them.
const OPEN_BLOCKS: usize = 10;

/// Reads the trees of a snapshot.
pub struct TreeReader<'a> {
    vault: &'a Vault,
    map: &'a ChunkMap,
    keys: ChunkKeys,
    forward: Forward<'a>,
    opener: BlockOpener,
    buffer: Vec<u8>,
    open: HashMap<u32, (u64, Arc<OpenBlock>)>,
    clock: u64,
}

impl<'a> TreeReader<'a> {
    /// A reader over the chunks of `map`.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn new(vault: &'a Vault, map: &'a ChunkMap) -> Result<Self, ContentError> {
        let (keys, opener) = (vault.chunk_keys(), vault.opener()?);
        let forward = Forward::new(vault.repository.store());
        Ok(Self { vault, map, keys, forward, opener, buffer: Vec::new(), open: HashMap::new(), clock: 0 })
    }

    fn block(&mut self, block: u32) -> Result<Arc<OpenBlock>, ContentError> {
        self.clock += 1;
        if let Some((used, open)) = self.open.get_mut(&block) {
            *used = self.clock;
            return Ok(Arc::clone(open));
        }
        let open = Arc::new(self.map.open_block(self.vault, block, &mut self.forward, &mut self.opener, &mut self.buffer)?);
        if self.open.len() >= OPEN_BLOCKS
            && let Some(oldest) = self.open.iter().min_by_key(|(_, (used, _))| *used).map(|(block, _)| *block)
        {
            self.open.remove(&oldest);
        }
        self.open.insert(block, (self.clock, Arc::clone(&open)));
        Ok(open)
    }

    /// The plaintext of a chunk of either class, verified.
    ///
    /// # Errors
    /// If no block has it whole.
    pub fn chunk(&mut self, class: Class, id: &ChunkId) -> Result<Vec<u8>, ContentError> {
        let mut reason = format!("no block of the snapshot holds chunk {}", id.short());
        let places: Vec<ChunkPlace> = self.map.find(id).collect();
        for place in places {
            match self.block(place.block) {
                Ok(open) => match open.chunk(place.rank as usize).filter(|bytes| self.keys.id(class, bytes) == *id) {
                    Some(bytes) => return Ok(bytes.to_vec()),
                    None => reason = format!("the block that should hold chunk {} holds something else", id.short()),
                },
                Err(error) => reason = error.to_string(),
            }
        }
        Err(ContentError::damaged("the snapshot", reason))
    }
}

impl TreeSource for TreeReader<'_> {
    type Error = ContentError;

    fn tree(&mut self, id: &ChunkId) -> Result<Arc<Vec<u8>>, ContentError> {
        self.chunk(Class::Tree, id).map(Arc::new)
    }
}

impl From<crate::sealed::codec::FormatError> for ContentError {
    fn from(error: crate::sealed::codec::FormatError) -> Self {
        ContentError::damaged("a tree", error)
    }
}

/// The refs of a snapshot.
///
/// # Errors
/// If they are missing or damaged.
pub fn refs_of(vault: &Vault, envelope: &crate::sealed::envelope::Envelope) -> Result<Refs, ContentError> {
    Ok(refs::read(vault.repository.store(), &envelope.refs)?)
}
