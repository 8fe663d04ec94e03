//! Jobs: what a host's configuration says shall be saved becomes snapshots.
//!
//! ```text
//!   Config, name --> hooks before
//!                --> discover (patterns become paths; what is new, what has gone)
//!                --> run: for each repository open it, save paths and streams --> Outcome
//!                --> hooks after, whatever happened
//! ```
//!
//! May import everything but `cli`. Each repository of a job succeeds or fails by itself.

mod discover;
mod error;
mod hooks;
mod restore_database;
mod run;
mod streams;

pub use error::JobError;
pub use restore_database::{DatabaseKind, DatabaseRestore, MariadbRestore, PostgresqlRestore};
pub use run::{Outcome, RunOptions, run};
