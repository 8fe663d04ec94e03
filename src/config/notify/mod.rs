//! Who is told what becomes of runs, and by which way.
//!
//! ```text
//!   notify (of everything) <-- replaced by -- notify of a job, a mirror, a repository or the hub
//!      |
//!      +-- on: of what people are told        ntfy, email, webhook, command
//!      +-- a receiver's own `on` comes first  healthchecks, uptimeKuma: they want to hear of every run
//! ```

mod check;
mod receivers;
mod template;

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::span::TimeSpan;

pub(super) use check::check_own;
pub use receivers::{Email, EmailTls, Healthchecks, HttpMethod, Ntfy, UptimeKuma, Webhook, WithWarnings};
pub use template::{PLACEHOLDERS, Part, parts};

/// Something that becomes of a run, of which one can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Occasion {
    /// It has begun.
    Start,
    /// All was done.
    Success,
    /// It was done, and something is to be looked at.
    Warning,
    /// It was not done.
    Failure,
    /// It was done, and the run before had failed.
    Recovery,
}

impl Occasion {
    /// Every occasion.
    pub const ALL: [Occasion; 5] = [Occasion::Start, Occasion::Success, Occasion::Warning, Occasion::Failure, Occasion::Recovery];
    /// What people are told of unless they say otherwise.
    pub const FOR_PEOPLE: [Occasion; 3] = [Occasion::Warning, Occasion::Failure, Occasion::Recovery];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Success => "success",
            Self::Warning => "warning",
            Self::Failure => "failure",
            Self::Recovery => "recovery",
        }
    }
}

impl std::str::FromStr for Occasion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::as_str).join(", ");
        Self::ALL.into_iter().find(|occasion| occasion.as_str() == text).ok_or_else(|| format!("must be one of {}", known()))
    }
}

/// Who is told what becomes of runs, by `hearth-backup notify`. A table without receivers tells nobody.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Notify {
    /// Of what receivers are told that say nothing of it themselves: warning, failure and recovery if absent. Services that watch over
    /// runs (`healthchecks`, `uptimeKuma`) hear of every run unless they say so themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on: Option<Vec<Occasion>>,
    /// How long it may take to tell a receiver, with all tries; a minute if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<TimeSpan>,
    /// A topic of an ntfy server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ntfy: Option<Ntfy>,
    /// A check of Healthchecks.io, or of a server of one's own that is like it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthchecks: Option<Healthchecks>,
    /// A monitor of Uptime Kuma, of the type `Push`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uptime_kuma: Option<UptimeKuma>,
    /// People, by e-mail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<Email>,
    /// Any other service that takes requests of HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
    /// A program and its arguments; no shell is involved. It gets the text as its standard input, and finds `HEARTH_EVENT`, `HEARTH_RESULT`,
    /// `HEARTH_HOST`, `HEARTH_UNIT`, `HEARTH_TITLE` and what it is about (`HEARTH_JOB`, `HEARTH_MIRROR`, `HEARTH_DRILL` or
    /// `HEARTH_REPOSITORY`) in its environment.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "program")]
    pub command: Vec<String>,
}

/// A program with its arguments: who writes the key down means one.
fn program<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let words = Vec::<String>::deserialize(deserializer)?;
    if words.is_empty() { Err(D::Error::custom("is empty; give a program and its arguments, or leave it out")) } else { Ok(words) }
}

impl Notify {
    /// Of what people are told who say nothing of it themselves.
    pub fn occasions(&self) -> &[Occasion] {
        self.on.as_deref().unwrap_or(&Occasion::FOR_PEOPLE)
    }
}
