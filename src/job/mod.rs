//! Jobs: what a host's configuration says shall be saved becomes snapshots.
//!
//! ```text
//!   Config, name --> lock (one run at a time); what a killed run left is settled
//!                --> hooks before
//!                --> discover (patterns become paths; what is new, what has gone)
//!                --> standstill: services stop, snapshots are taken
//!                --> run: for each repository open it, save paths and streams --> Outcome
//!                --> everything goes on; hooks after, whatever happened
//! ```
//!
//! Beside it [`maintain`] keeps house in a repository of the configuration: forget, prune, check. Each run ends in a [`report`]. [`cost`]
//! estimates what a repository costs in a bucket.
//!
//! May import everything but `cli`. Each repository of a job succeeds or fails by itself.

pub mod cost;
mod destinations;
mod discover;
mod error;
mod hooks;
mod limits;
pub mod lock;
pub mod maintain;
mod names;
mod opened;
mod quiet;
mod recipients;
mod restore_database;
mod run;
mod standstill;
mod streams;
mod window;

pub use error::JobError;
pub use hooks::{HookLog, HookReport, Timed, run_timed};
pub use restore_database::{DatabaseKind, DatabaseRestore, DumpedDatabase, MariadbRestore, PostgresqlRestore, RowCheck, SqliteRestore};
pub use run::{Outcome, RunOptions, run, settle};
