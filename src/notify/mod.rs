//! Telling people, and services that watch over runs, what becomes of runs.
//!
//! ```text
//!   systemd (MONITOR_...) --> Ending --+
//!   STATE/reports/...     --> Report --+--> Run: how it ended, how things were before --> Occasions: failure, recovery, ...
//!   the journal           --> log    --+                                                     |
//!                                                                                            v
//!   Notify of the job or another --> receivers, each with what it wants to hear of --> Telling: a Message each
//!                                                                                            |
//!   STATE/notified/...: who was told of which run already <---- at once, with a few tries <--+
//! ```
//!
//! May import `history`, `config` and `model`. A receiver is one file: it implements [`Receiver`], and `addressees` makes it from the configuration.

mod command;
mod email;
mod ending;
mod healthchecks;
pub mod http;
mod journal;
mod message;
mod ntfy;
mod program;
mod receiver;
mod record;
mod reports;
mod run;
mod secret;
mod subject;
mod telling;
mod uptime_kuma;
mod webhook;

pub use ending::{Ending, Outcome};
pub use journal::Journal;
pub use message::Message;
pub use receiver::{Receiver, Told, Tries, Trouble};
pub use run::{Run, Search};
pub use subject::Subject;
pub use telling::Telling;
