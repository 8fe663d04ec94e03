//! An object under construction that is sent once its name is known: until then its bytes stay here, so that they can be sent again.

use std::sync::Arc;

use super::pieces::{Collected, Memory, Whole};
use super::{ObjectName, Put, StagedObject, StoreError};

/// A store to which objects are sent whole.
pub(super) trait Upload: Clone + Send {
    /// What its objects under construction share.
    fn memory(&self) -> &Arc<Memory>;

    /// Stores all bytes of an object unless the name is taken.
    ///
    /// # Errors
    /// If the store cannot promise that they are there.
    fn upload(&self, name: &ObjectName, whole: Whole) -> Result<Put, StoreError>;
}

/// What will be an object.
pub(super) struct Staged<S> {
    store: S,
    bytes: Collected,
}

impl<S: Upload> Staged<S> {
    /// An empty one.
    pub(super) fn new(store: &S) -> Self {
        Self { store: store.clone(), bytes: Collected::new(store.memory()) }
    }
}

impl<S: Upload> StagedObject for Staged<S> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.bytes.add(bytes)
    }

    fn commit(self: Box<Self>, name: &ObjectName) -> Result<Put, StoreError> {
        let Self { store, bytes } = *self;
        let whole = bytes.whole();
        // A file gives no memory back.
        let _sending = matches!(whole, Whole::Pieces(_)).then(|| store.memory().sending());
        store.upload(name, whole)
    }
}
