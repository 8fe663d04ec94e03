//! Looking around in snapshots: walking trees, listing, comparing, dumping. Needs a restore key.
//!
//! ```text
//!   payload root --pages--> TreeWalk --> ls, find, diff, restore, check
//! ```

mod archive;
mod diff;
mod snapshot;
mod walk;

pub use archive::write_archive;
pub use diff::{Change, diff};
pub use snapshot::{OpenSnapshot, Stretch};
pub use walk::{Step, TreeWalk};
