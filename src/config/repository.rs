//! Where backups go, and how house is kept there.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::notify::Notify;
use super::percent::Percent;
use super::rate::ByteRate;
use super::secret::SecretFile;
use super::span::TimeSpan;

/// A repository that jobs and mirrors name.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Repository {
    /// Where it lies: a directory, a hub's `https://HUB/NAME` or `ssh://user@hub/NAME`, `sftp://user@host:port/path`, `s3://BUCKET/PREFIX?...` or `opendal+SERVICE://...`, with `#hb1...` at the end to say which one it must be.
    pub url: String,
    /// The file with the access key of its bucket, for which else the standard variables and files of AWS speak, or the secret options of its service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<SecretFile>,
    /// Requests to its server at the same time; 8 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<u16>,
    /// How many bytes may be written to it in a second, such as `10MB`; no limit if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_upload: Option<ByteRate>,
    /// How many bytes may be read from it in a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_download: Option<ByteRate>,
    /// The file with this host's writer key. Only a mirror can do without: whoever keeps it needs no key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writer_key: Option<SecretFile>,
    /// The file with the token that a hub (`https://...`) knows this host by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<SecretFile>,
    /// Speak to a hub on another machine by `http://`; whoever listens learns the token.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_plain_http: bool,
    /// The private key for `sftp://` and `ssh://`, instead of those that `ssh` finds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<SecretFile>,
    /// What kind of copy it is, to count copies, media and places.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy: Option<CopyKind>,
    /// How `maintain` gives back the space of what is no longer needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prune: Option<Pruning>,
    /// How deep `maintain` checks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<Checking>,
    /// Who is told what becomes of keeping house there, by `notify --maintain`, instead of those whom the configuration names for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<Notify>,
}

impl Repository {
    /// A place of which nothing else is said.
    pub fn at(url: String) -> Self {
        Self {
            url,
            credentials: None,
            connections: None,
            limit_upload: None,
            limit_download: None,
            writer_key: None,
            token: None,
            allow_plain_http: false,
            identity: None,
            copy: None,
            prune: None,
            check: None,
            notify: None,
        }
    }
}

/// What kind of copy a repository is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct CopyKind {
    /// What it lies on, such as `ssd`, `hdd`, `tape` or `cloud`; equal words are one medium.
    pub media: String,
    /// Whether it lies in another building.
    #[serde(default)]
    pub offsite: bool,
}

/// How space is given back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Pruning {
    /// How long what is no longer needed stays before it is deleted; `24h` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace: Option<TimeSpan>,
    /// How much of the packs that stay may be unused; 10 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_unused: Option<Percent>,
}

/// How deep a repository is checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Checking {
    /// How much of the packs is read and hashed, others every day; 0 looks only whether all is there.
    pub read_packs: Percent,
}
