//! An object under construction.

use opendal::Buffer;

use super::ObjectStore;
use crate::store::pieces::{Collected, Whole};
use crate::store::{ObjectName, Put, StagedObject, StoreError};

/// What will be an object.
pub(super) struct Staged {
    store: ObjectStore,
    bytes: Collected,
}

impl Staged {
    /// An empty one.
    pub(super) fn new(store: ObjectStore) -> Self {
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
            Whole::File(file, size) => store.put_parts(name, &file, size),
            Whole::Pieces(pieces) => {
                let _sending = store.0.memory.sending();
                store.put(name, pieces.into_iter().collect::<Buffer>())
            }
        }
    }
}
