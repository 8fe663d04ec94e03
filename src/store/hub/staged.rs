//! An object under construction.

use super::HubStore;
use super::client::Content;
use crate::store::pieces::{Collected, Whole};
use crate::store::{ObjectName, Put, StagedObject, StoreError};

/// What will be an object.
pub(super) struct Staged {
    store: HubStore,
    bytes: Collected,
}

impl Staged {
    /// An empty one.
    pub(super) fn new(store: HubStore) -> Self {
        let bytes = Collected::new(&store.0.memory);
        Self { store, bytes }
    }
}

impl StagedObject for Staged {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.bytes.add(bytes)
    }

    fn commit(self: Box<Self>, name: &ObjectName) -> Result<Put, StoreError> {
        let Self { store, bytes } = *self;
        match bytes.whole() {
            Whole::File(file, size) => store.put(name, &Content::File(&file, size), size),
            Whole::Pieces(pieces) => {
                let _sending = store.0.memory.sending();
                let size = pieces.iter().map(|piece| piece.len() as u64).sum();
                store.put(name, &Content::Pieces(pieces), size)
            }
        }
    }
}
