//! The store: named opaque objects. It knows no format and no keys.
//!
//! ```text
//!   sealed, content --> Store (trait) <-- DirectoryStore, ObjectStore, SftpStore, HubStore, MemoryStore
//!                          ^
//!                          +-- layer: PacedStore, KeptStore, ListedStore and others wrap any of them
//! ```
//!
//! May import: `model`. The contract stands on [`Store`]; `conformance` checks every implementation against it.

mod attempt;
#[doc(hidden)]
pub mod conformance;
pub mod directory;
mod download;
pub mod durable;
mod error;
mod exposure;
mod forward;
pub mod hub;
pub mod layer;
pub mod line;
pub mod memory;
mod name;
pub mod object;
pub mod open;
pub mod owner;
mod pieces;
pub mod requests;
pub mod sftp;
pub mod ssh;
mod tls;
mod upload;

pub use directory::DirectoryStore;
pub use error::{StoreError, StoreErrorKind};
pub use exposure::warn_if_exposed;
pub use forward::Forward;
pub use hub::HubStore;
pub use memory::MemoryStore;
pub use name::{Folder, ObjectName};
pub use object::{Access, ObjectStore};
pub use open::{Address, Location, LocationError, Place};
pub use requests::Requests;
pub use sftp::SftpStore;

use std::io::Read;
use std::ops::Range;
use std::time::SystemTime;

/// What a listing tells of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// The object's name.
    pub name: ObjectName,
    /// Length in bytes.
    pub size: u64,
    /// When the store received it, by the store's clock. Only differences to [`Store::now`] mean anything.
    pub stored: SystemTime,
}

/// How large objects are best written to a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packing {
    /// Where a pack should end, in bytes.
    pub size: u64,
    /// How many are worth writing at the same time.
    pub at_once: usize,
}

impl Default for Packing {
    fn default() -> Self {
        Self { size: 64 << 20, at_once: 1 }
    }
}

/// Whether a put created the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The object is new.
    Created,
    /// An object of that name was there; it was left as it was.
    Exists,
}

/// An object under construction whose name is not known yet. Dropping it leaves nothing visible behind.
pub trait StagedObject: Send {
    /// Appends bytes.
    ///
    /// # Errors
    /// If they cannot be stored, such as on a full disk.
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError>;

    /// Makes the bytes written so far visible under `name`, atomically and durably, unless the name is taken.
    ///
    /// # Errors
    /// If the store cannot promise that; then nothing is visible.
    fn commit(self: Box<Self>, name: &ObjectName) -> Result<Put, StoreError>;
}

/// A place for immutable named objects.
///
/// The contract, which `conformance` tests on every implementation:
///
/// 1. An object is absent or complete. Readers never see a part of one, whatever crashes when.
/// 2. A successful put is durable: it survives a power cut right after it returned.
/// 3. A put never replaces an object; when two race, exactly one is told [`Put::Created`].
/// 4. `delete` of an absent object succeeds, so that it can be repeated.
/// 5. `list` shows every object that was there during the whole call, up to the lag that
///    [`Store::listing_lag`] admits; order is not defined. Names that are not valid object names are not shown.
/// 6. Calls may come from many threads and many processes at the same time.
pub trait Store: Send + Sync {
    /// Where the objects lie, for people; holds no credentials.
    fn location(&self) -> String;

    /// Stores a small object whole.
    ///
    /// # Errors
    /// If it could not be made durable; then it is absent, or complete under contract 1.
    fn put_new(&self, name: &ObjectName, bytes: &[u8]) -> Result<Put, StoreError>;

    /// Starts a large object.
    ///
    /// # Errors
    /// If the store takes no writes.
    fn stage(&self) -> Result<Box<dyn StagedObject>, StoreError>;

    /// Reads a whole object of at most `limit` bytes.
    ///
    /// # Errors
    /// [`StoreErrorKind::NotFound`]; [`StoreErrorKind::TooLarge`] above the limit.
    fn get(&self, name: &ObjectName, limit: u64) -> Result<Vec<u8>, StoreError>;

    /// Reads `length` bytes from `offset` into `buffer`, replacing what it held.
    ///
    /// # Errors
    /// [`StoreErrorKind::NotFound`]; [`StoreErrorKind::Truncated`] if the object ends before.
    fn get_range(&self, name: &ObjectName, offset: u64, length: usize, buffer: &mut Vec<u8>) -> Result<(), StoreError>;

    /// A stretch of an object, to be read as it comes: for [`Forward`]. `None` where reading it in pieces costs no more.
    fn stream<'a>(&'a self, name: &ObjectName, range: Range<u64>) -> Option<Box<dyn Read + Send + 'a>> {
        let _ = (name, range);
        None
    }

    /// All objects of a folder; an absent folder is empty.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn list(&self, folder: Folder) -> Result<Vec<ObjectInfo>, StoreError>;

    /// All objects of several folders, as cheaply as the store can. Folders are read in the order of their names, whatever the
    /// order asked for: `commits` before `snapshots`, and `condemned` before `packs`.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn list_folders(&self, folders: &[Folder]) -> Result<Vec<ObjectInfo>, StoreError> {
        let mut all = Vec::new();
        for folder in name::by_name(folders) {
            all.extend(self.list(folder)?);
        }
        Ok(all)
    }

    /// One object's size and time.
    ///
    /// # Errors
    /// [`StoreErrorKind::NotFound`].
    fn stat(&self, name: &ObjectName) -> Result<ObjectInfo, StoreError>;

    /// Removes an object; an absent one is a success.
    ///
    /// # Errors
    /// If it is still there.
    fn delete(&self, name: &ObjectName) -> Result<(), StoreError>;

    /// Removes many objects, in fewer requests where the store can: for each, in their order, as [`Store::delete`] would tell. Nothing is
    /// said of the order in which they go.
    fn delete_many(&self, names: &[ObjectName]) -> Vec<Result<(), StoreError>> {
        names.iter().map(|name| self.delete(name)).collect()
    }

    /// Names of top-level folders that this version does not know. They are never deleted.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn unknown_folders(&self) -> Result<Vec<String>, StoreError>;

    /// The store's clock, read from a fresh probe object, to compare [`ObjectInfo::stored`] with.
    ///
    /// # Errors
    /// If a probe cannot be written.
    fn now(&self) -> Result<SystemTime, StoreError>;

    /// How long a listing may lag behind puts and deletes; zero for directories and strongly consistent services.
    fn listing_lag(&self) -> std::time::Duration {
        std::time::Duration::ZERO
    }

    /// How large objects are best written.
    fn packing(&self) -> Packing {
        Packing::default()
    }

    /// Whether packs may be read here, as far as the store can tell beforehand: a hub lets hosts add to them only.
    ///
    /// # Errors
    /// [`StoreErrorKind::Refused`], with what to do.
    fn may_read_packs(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// How many requests were made of a server; none if there is no server.
    fn requests(&self) -> Option<Requests> {
        None
    }
}

impl std::fmt::Debug for dyn Store + '_ {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({})", self.location())
    }
}
