//! Decorators: stores that wrap another store and keep its contract.

pub mod count;
pub mod discard;
pub mod fault;
pub mod kept;
pub mod listed;
pub mod paced;
pub mod read_only;

pub use count::{Call, CountingStore, Operation};
pub use discard::DiscardStore;
pub use fault::{Damage, FaultStore, Moment};
pub use kept::KeptStore;
pub use listed::ListedStore;
pub use paced::PacedStore;
pub use read_only::ReadOnlyStore;
