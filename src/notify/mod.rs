//! Telling people: what leaves the host when a run has failed.
//!
//! ```text
//!   what systemd says of the run (MONITOR_...) --> Failure --> Message <-- the end of the run's journal
//!                                                                 |
//!   Notify of the job or the mirror --> receivers ----------------+--> tell: all at once, each with a few tries
//! ```
//!
//! May import `config` and `model`. A receiver is one file: it implements [`Receiver`], and [`receivers`] makes it from the configuration.

mod command;
mod failure;
pub mod http;
mod journal;
mod message;
mod ntfy;
mod program;
mod receiver;

pub use failure::{Failure, Outcome};
pub use journal::Journal;
pub use message::{Message, Subject};
pub use receiver::{Receiver, Told, Tries, Trouble, receivers, tell};
