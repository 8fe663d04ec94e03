//! A small repository in memory, and how prune's tests look into it.

use std::sync::Arc;
use std::time::Duration;

use crate::model::event::Silent;
use crate::model::id::{CondemnedId, IndexId, PackId, SnapshotId};
use crate::sealed::fixture::{self, Random, refs_to};
use crate::sealed::gc::{self, Options, Outcome};
use crate::sealed::marks::{self, Condemned};
use crate::sealed::pack::{self, Class, StoredPack};
use crate::sealed::presence;
use crate::sealed::refs;
use crate::sealed::repository::Repository;
use crate::sealed::snapshots;
use crate::store::{Folder, MemoryStore, ObjectName, Store};

pub const DAY: Duration = Duration::from_secs(86_400);
/// A block, in bytes.
pub const BLOCK: usize = 1000;

/// A repository with two writers, and what is put into it.
pub struct Vault {
    pub memory: MemoryStore,
    pub repository: Repository,
    random: Random,
    pub sequence: u64,
}

/// A snapshot with what it was made of.
pub struct Made {
    pub id: SnapshotId,
    pub index: IndexId,
    pub pack: StoredPack,
}

impl Vault {
    /// An empty repository.
    pub fn new() -> Self {
        let memory = MemoryStore::new();
        fixture::create(&memory, 2);
        let repository = fixture::open(Arc::new(memory.clone()));
        Self { memory, repository, random: Random(1), sequence: 0 }
    }

    /// A pack and its index object.
    pub fn pack(&mut self, blocks: usize) -> (StoredPack, IndexId) {
        let blocks: Vec<_> = (0..blocks).map(|_| self.random.bytes(BLOCK)).collect();
        let pack = fixture::put_pack(&self.memory, Class::Data, &blocks).unwrap();
        let index = fixture::put_index(&self.memory, std::slice::from_ref(&pack), &self.random.bytes(8)).unwrap().0;
        (pack, index)
    }

    /// An uncommitted snapshot of some of an index object's blocks.
    pub fn draft(&mut self, writer: u8, index: IndexId, blocks: usize, positions: &[usize]) -> SnapshotId {
        self.sequence += 1;
        let refs = refs_to(index, blocks, positions.iter().copied());
        let refs = fixture::put_refs(&self.memory, &refs, &self.random.bytes(16)).unwrap();
        fixture::put_snapshot(&self.repository, writer, self.sequence, refs).unwrap()
    }

    /// A committed snapshot that needs the given blocks of a new pack.
    pub fn snapshot(&mut self, blocks: usize, positions: &[usize]) -> Made {
        let (pack, index) = self.pack(blocks);
        let id = self.draft(0, index, blocks, positions);
        fixture::put_commit(&self.memory, &id).unwrap();
        Made { id, index, pack }
    }

    /// With the default options.
    pub fn prune(&self) -> Outcome {
        gc::prune(&self.repository, &Options::default(), &Silent).unwrap()
    }

    /// Without a grace period.
    pub fn prune_at_once(&self) -> Outcome {
        gc::prune(&self.repository, &Options { grace: Duration::ZERO, ..Options::default() }, &Silent).unwrap()
    }

    pub fn has_pack(&self, pack: &StoredPack) -> bool {
        self.memory.stat(&pack::name(&pack.id)).is_ok()
    }

    pub fn packs(&self) -> usize {
        self.memory.list(Folder::Packs).unwrap().len()
    }

    pub fn count(&self, folder: Folder) -> usize {
        self.memory.list(folder).unwrap().len()
    }

    /// Whether nothing that a snapshot needs is absent.
    pub fn is_whole(&self, id: &SnapshotId) -> bool {
        let list = snapshots::Snapshots::load(&self.repository, Folder::Snapshots).unwrap().list;
        let Some(snapshot) = list.iter().find(|snapshot| snapshot.id == *id) else { return false };
        let refs = refs::read(&self.memory, &snapshot.envelope.refs).unwrap();
        presence::absent(&self.memory, &snapshot.envelope.refs, &refs).unwrap().is_empty()
    }

    /// Says of packs that they are to go.
    pub fn condemn(&self, packs: impl IntoIterator<Item = PackId>) -> CondemnedId {
        let bytes = marks::encode_condemned(&Condemned { packs: packs.into_iter().collect(), ..Condemned::default() }).unwrap();
        let id = CondemnedId::of(&bytes);
        self.memory.put_new(&ObjectName::of_id(Folder::Condemned, id.as_bytes()), &bytes).unwrap();
        id
    }
}
