//! Who is told when a run of a job, of a mirror or of the hub has failed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::secret::SecretFile;

/// The longest name of a topic.
const TOPIC: usize = 64;

/// Who is told that a run of the job, of the mirror or of the hub has failed, by `hearth-backup notify`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Notify {
    /// A topic of an ntfy server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ntfy: Option<Ntfy>,
    /// A program and its arguments; no shell is involved. It gets the text as its standard input, and `HEARTH_JOB` or
    /// `HEARTH_MIRROR` (of the hub neither), `HEARTH_RESULT` and `HEARTH_UNIT` in its environment.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
}

/// A topic of an ntfy server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Ntfy {
    /// The server, such as `https://ntfy.sh`.
    pub url: String,
    /// The topic. Without a token, whoever knows it can read it.
    #[schemars(regex(pattern = "^[-_A-Za-z0-9]{1,64}$"))]
    pub topic: String,
    /// A file that holds an access token and nothing else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<SecretFile>,
    /// From 1, which is hardly noticed, to 5.
    #[serde(default = "high")]
    #[schemars(range(min = 1, max = 5))]
    pub priority: u8,
}

fn high() -> u8 {
    4
}

/// The key that is wrong, and why.
pub(super) fn check(notify: &Notify) -> Option<(&'static str, &'static str)> {
    if notify.command.first().is_some_and(String::is_empty) {
        return Some(("command", "must begin with a program"));
    }
    let ntfy = notify.ntfy.as_ref()?;
    let server = ntfy.url.strip_prefix("https://").or_else(|| ntfy.url.strip_prefix("http://"));
    if server.is_none_or(|server| server.starts_with('/') || server.is_empty()) {
        return Some(("ntfy.url", "must begin with https:// or http:// and name a server"));
    }
    if ntfy.url.contains('@') {
        return Some(("ntfy.url", "must not hold a user or password, as urls are shown in messages; put an access token into tokenFile"));
    }
    if ntfy.url.contains(['?', '#']) || ntfy.url.contains(|letter: char| !letter.is_ascii_graphic()) {
        return Some(("ntfy.url", "must be the address of a server, such as https://ntfy.sh, without spaces, `?` and `#`"));
    }
    let letters = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
    if ntfy.topic.is_empty() || ntfy.topic.len() > TOPIC || !ntfy.topic.chars().all(letters) {
        return Some(("ntfy.topic", "must consist of at most 64 letters, digits, `-` and `_`"));
    }
    if !(1..=5).contains(&ntfy.priority) {
        return Some(("ntfy.priority", "must be from 1 to 5"));
    }
    None
}
