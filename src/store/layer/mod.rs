//! Decorators: stores that wrap another store and keep its contract.

pub mod count;
pub mod discard;
pub mod fault;
pub mod paced;
pub mod read_only;

pub use count::{Call, CountingStore, Operation};
pub use discard::DiscardStore;
pub use fault::{Damage, FaultStore, Moment};
pub use paced::PacedStore;
pub use read_only::ReadOnlyStore;
