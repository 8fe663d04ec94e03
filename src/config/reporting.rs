//! Whom a host tells what became of its runs, and who may start one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::secret::SecretFile;

/// The hub that is told of every run, and whose wishes the host's agent hears.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Reporting {
    /// The host's repository there: `https://HUB/NAME` or `ssh://USER@HUB/NAME`.
    pub url: String,
    /// The file with the token that the hub knows this host by; not for `ssh://`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<SecretFile>,
    /// The private key for `ssh://`, instead of those that `ssh` finds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<SecretFile>,
    /// Speak to a hub on another machine by `http://`; whoever listens learns the token.
    #[serde(default)]
    pub allow_plain_http: bool,
    /// The jobs that the hub may have started by `hearth-backup agent`; all if absent, none if empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jobs: Option<Vec<String>>,
}

/// The key that is wrong, and why.
pub(super) fn check(reporting: &Reporting) -> Option<(&'static str, &'static str)> {
    let schemes = ["https://", "http://", "ssh://"];
    if !schemes.iter().any(|scheme| reporting.url.starts_with(scheme)) {
        return Some(("url", "must be a repository at a hub: https://HUB/NAME or ssh://USER@HUB/NAME"));
    }
    match (reporting.url.starts_with("ssh://"), reporting.token.is_some(), reporting.identity.is_some()) {
        (true, true, _) => Some(("token", "is not needed for ssh://, where the key decides; leave it out")),
        (false, false, _) => Some(("token", "is missing; the hub knows this host by it")),
        (false, _, true) => Some(("identity", "is for ssh://, and the url names none; leave it out")),
        _ => None,
    }
}
