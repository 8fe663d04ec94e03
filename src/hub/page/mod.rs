//! The pages of the hub, for people: what [`Status`](super::status::Status) and the reports of hosts say, as HTML that needs no script.
//!
//! ```text
//!   Status  ----> cluster ---+
//!   reports ----> host ------+--> frame (head, style, policy) --> one document, which loads nothing
//!   Refusal ----> error -----+
//! ```
//!
//! Everything that a host says is foreign: `maud` escapes it, [`text::shown`] takes out what would turn or hide letters, every list has a bound, and the
//! policy lets a browser run no script and load nothing, whatever a page holds. Links are relative, as anything may stand before the hub's paths behind a proxy.

mod cluster;
mod copies;
mod error;
mod first_steps;
mod frame;
mod host;
mod jobs;
mod mark;
mod repositories;
mod runs;
mod sparkline;
mod text;
mod warnings;

pub(in crate::hub) use self::cluster::cluster;
pub(in crate::hub) use self::error::refused;
pub(in crate::hub) use self::frame::policy;
pub(in crate::hub) use self::host::{HostRuns, host};

#[cfg(test)]
mod tests;
