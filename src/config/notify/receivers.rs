//! Receivers, one table each.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Occasion;
use crate::config::secret::SecretFile;
use crate::config::size::ByteSize;

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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<SecretFile>,
    /// How urgent a failure is: from 1, which is hardly noticed, to 5.
    #[serde(default = "high")]
    #[schemars(range(min = 1, max = 5))]
    pub priority: u8,
    /// How urgent something else is, or a failure: a start and a success 2, a warning and a recovery 3 if absent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub priorities: BTreeMap<Occasion, u8>,
    /// Further tags; those that ntfy knows as names of emoji are shown as such.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Of what it is told, instead of what stands beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<Vec<Occasion>>,
}

fn high() -> u8 {
    4
}

impl Ntfy {
    /// How urgent something is, from 1 to 5.
    pub fn priority_of(&self, occasion: Occasion) -> u8 {
        self.priorities.get(&occasion).copied().unwrap_or(match occasion {
            Occasion::Start | Occasion::Success => 2,
            Occasion::Warning | Occasion::Recovery => 3,
            Occasion::Failure => self.priority,
        })
    }
}

/// What a run that was done with warnings counts as where there are only good and bad ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum WithWarnings {
    /// As failed, so that somebody looks.
    #[default]
    Failure,
    /// As done.
    Success,
}

/// A check of Healthchecks.io, or of a server that is like it: by its URL, or by its slug and the project's ping key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Healthchecks {
    /// The check's URL, such as `https://hc-ping.com/UUID`. Whoever knows it can tell the check anything; it is not shown in messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// A file that holds the check's URL and nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url_file: Option<SecretFile>,
    /// Where the slug is known: `https://hc-ping.com`, or for one's own server such as `https://checks.example/ping`.
    #[serde(default = "hc_ping")]
    pub server: String,
    /// The check's slug.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[a-z0-9_-]{1,100}$"))]
    pub slug: Option<String>,
    /// A file that holds the project's ping key and nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ping_key_file: Option<SecretFile>,
    /// Whether a check of the slug is made if there is none.
    #[serde(default)]
    pub create: bool,
    /// What a run with warnings counts as.
    #[serde(default)]
    pub warnings: WithWarnings,
    /// Of what it is told: start, success, warning and failure if absent. A recovery is a success to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<Vec<Occasion>>,
}

fn hc_ping() -> String {
    "https://hc-ping.com".to_owned()
}

impl Healthchecks {
    /// What it is told of unless it says otherwise: it watches over every run.
    pub const OCCASIONS: [Occasion; 4] = [Occasion::Start, Occasion::Success, Occasion::Warning, Occasion::Failure];
}

/// A monitor of Uptime Kuma, of the type `Push`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct UptimeKuma {
    /// The push URL that Kuma shows, such as `https://kuma.example/api/push/TOKEN`; what follows a `?` is left out. Whoever knows it can tell
    /// the monitor anything; it is not shown in messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// A file that holds the push URL and nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url_file: Option<SecretFile>,
    /// What a run with warnings counts as.
    #[serde(default)]
    pub warnings: WithWarnings,
    /// Of what it is told: success, warning and failure if absent. A recovery is a success to it; it knows nothing of starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<Vec<Occasion>>,
}

impl UptimeKuma {
    /// What it is told of unless it says otherwise.
    pub const OCCASIONS: [Occasion; 3] = [Occasion::Success, Occasion::Warning, Occasion::Failure];
}

/// How a connection to a mail server is protected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EmailTls {
    /// It begins in clear and must become TLS before anything is said; port 587.
    #[default]
    Starttls,
    /// It is TLS from the beginning; port 465.
    Implicit,
    /// Not at all; port 25. Only to this machine, unless `allowPlain` is set.
    None,
}

impl EmailTls {
    /// The port that is usual for it.
    pub const fn port(self) -> u16 {
        match self {
            Self::Starttls => 587,
            Self::Implicit => 465,
            Self::None => 25,
        }
    }
}

/// People, by e-mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Email {
    /// The mail server that takes it, by name or address.
    pub server: String,
    /// Its port: 587, 465 or 25, by `tls`, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// How the connection is protected.
    #[serde(default)]
    pub tls: EmailTls,
    /// Speak without TLS to another machine; whoever listens reads the text, and the password.
    #[serde(default)]
    pub allow_plain: bool,
    /// A file with certificates (PEM) that sign the server's, besides those that the system trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The name to log in with; nobody logs in if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// A file that holds the password and nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<SecretFile>,
    /// Who writes: `backup@example.org`, or `Backups <backup@example.org>`.
    pub from: String,
    /// Who gets it.
    pub to: Vec<String>,
    /// Of what they are told, instead of what stands beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<Vec<Occasion>>,
}

/// How a request is made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum HttpMethod {
    /// `GET`, without a body.
    Get,
    /// `POST`.
    #[default]
    Post,
    /// `PUT`.
    Put,
}

/// Any other service that takes requests of HTTP. `{title}`, `{text}` and others stand for what there is to tell, in the URL, in the values of
/// headers and in the body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Webhook {
    /// Where to. It is not shown in messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// A file that holds the URL and nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url_file: Option<SecretFile>,
    /// How it is asked.
    #[serde(default)]
    pub method: HttpMethod,
    /// Headers, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Headers whose values are secret: for each name a file that holds the value and nothing else.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub header_files: BTreeMap<String, SecretFile>,
    /// The body as JSON: any value, in whose texts `{title}` and others are replaced. A text that is nothing but `{seconds}` or another figure
    /// becomes a number. Everything there is to tell if there is neither this nor `body`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<serde_json::Value>,
    /// The body as plain text, in which `{title}` and others are replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Most bytes of `{text}`; what the service takes, such as 1900 for Discord. 3800 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longest_text: Option<ByteSize>,
    /// Of what it is told, instead of what stands beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<Vec<Occasion>>,
}
