//! Looking around in snapshots: walking trees, listing, comparing, dumping. Needs a restore key.
//!
//! ```text
//!   payload root --pages--> TreeWalk --> ls, find, diff, restore, check
//! ```

mod diff;
mod snapshot;
mod walk;

pub use diff::{Change, diff};
pub use snapshot::OpenSnapshot;
pub use walk::{Step, TreeWalk};
