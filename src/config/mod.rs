//! The configuration file of a host: repositories, and jobs that say what is saved to them.
//!
//! ```text
//!   JSON (from Nix) or TOML (by hand) --> parse: unknown keys refused, with line, path and the near miss
//!                                           --> Config --> check: names that must fit together --> job
//! ```
//!
//! May import: `model`. The types are the schema: `hearth-backup config schema` prints it, and
//! `docs/config.schema.json` is that text. Keys are written as Nix writes them, in camelCase.

mod check;
mod database;
mod drill;
mod error;
mod hook;
mod hub;
mod job;
mod limits;
mod listen;
mod mirror;
mod monitoring;
mod notify;
mod parse;
mod percent;
mod quiesce;
mod rate;
mod read_from;
mod recipient;
mod reporting;
mod repository;
mod retention;
mod secret;
mod size;
mod snapshot;
mod span;
mod sqlite;
mod stream;
mod watch;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use database::{Databases, DumpFormat, Mariadb, Postgresql};
pub use drill::{Drill, DrillAmount, DrillServer, DrillSnapshot, DrillSqlite, Smoke};
pub use error::ConfigError;
pub use hook::{Hook, Hooks};
pub use hub::{Hub, HubHost, HubMirror, HubRepository, HubRole, Tls};
pub use job::{Job, Preset};
pub use limits::{IoClass, Limits, TimeOfDay, Window};
pub use listen::Listen;
pub use mirror::Mirror;
pub use monitoring::{Monitoring, Pushgateway};
pub use notify::{
    Email, EmailTls, Healthchecks, HttpMethod, Notify, Ntfy, Occasion, PLACEHOLDERS, Part, UptimeKuma, Webhook, WithWarnings, parts,
};
pub use percent::Percent;
pub use quiesce::{ContainerEngine, ContainerQuiesce, Containers, Quiesce};
pub use rate::ByteRate;
pub use recipient::Recipient;
pub use reporting::Reporting;
pub use repository::{Checking, CopyKind, Pruning, Repository};
pub use retention::Retention;
pub use secret::{Credentials, SecretError, SecretFile};
pub use size::ByteSize;
pub use snapshot::{FilesystemSnapshots, Room, SnapshotKind, SnapshotOptions};
pub use span::TimeSpan;
pub use sqlite::{IntegrityCheck, Sqlite};
pub use stream::{CommandStream, Device, StreamFormat};
pub use watch::{Cause, Watch};

/// Largest file that is read, in bytes.
const LARGEST: u64 = 16 << 20;

/// A host's configuration.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Config {
    /// Name of the machine in snapshots; its host name if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Where jobs keep caches and what was seen of repositories.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_dir: Option<PathBuf>,
    /// Who shall be able to restore: every run warns of a repository that says otherwise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<Recipient>,
    /// Places that all jobs read elsewhere: from what the snapshot shows, such as `/var/lib`, to what is read, such as
    /// `/persist/var/lib`. What is not there is read at its own place.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub read_from: BTreeMap<String, PathBuf>,
    /// Where backups go, by name.
    pub repositories: BTreeMap<String, Repository>,
    /// What is saved, by name.
    pub jobs: BTreeMap<String, Job>,
    /// Which repositories are copied to other places, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub mirrors: BTreeMap<String, Mirror>,
    /// Which restores are tried, and how they are tested, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub drills: BTreeMap<String, Drill>,
    /// Who is told what becomes of runs, wherever a job, a mirror, a repository or the hub has no `notify` of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify: Option<Notify>,
    /// The hub that is told of every run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report_to: Option<Reporting>,
    /// How runs are watched over.
    #[serde(skip_serializing_if = "monitoring::is_absent")]
    pub monitoring: Monitoring,
    /// The hub that runs on this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hub: Option<Hub>,
}

impl Config {
    /// Reads and checks a file: TOML if its name ends so, else JSON.
    ///
    /// # Errors
    /// If it cannot be read, says something that is not understood, or contradicts itself.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let failed = |source| ConfigError::Unreadable { file: path.display().to_string(), source };
        let size = std::fs::metadata(path).map_err(failed)?.len();
        if size > LARGEST {
            return Err(failed(std::io::Error::other(format!("it has {size} bytes; a configuration has at most {LARGEST}"))));
        }
        let text = std::fs::read_to_string(path).map_err(failed)?;
        let format = if path.extension().is_some_and(|extension| extension == "toml") { Format::Toml } else { Format::Json };
        Self::parse(&text, format, &path.display().to_string())
    }

    /// Reads and checks a text; errors call it `name`.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn parse(text: &str, format: Format, name: &str) -> Result<Self, ConfigError> {
        let config: Self = parse::parse(text, format, name)?;
        check::check(&config, name)?;
        Ok(config)
    }

    /// A job by name.
    ///
    /// # Errors
    /// If there is none; names the nearest one.
    pub fn job(&self, name: &str) -> Result<&Job, ConfigError> {
        self.jobs.get(name).ok_or_else(|| ConfigError::NoJob {
            name: name.to_owned(),
            advice: error::advice(name, self.jobs.keys().map(String::as_str), "there are"),
        })
    }

    /// A repository by name.
    ///
    /// # Errors
    /// If there is none; names the nearest one.
    pub fn repository(&self, name: &str) -> Result<&Repository, ConfigError> {
        self.repositories.get(name).ok_or_else(|| ConfigError::NoRepository {
            name: name.to_owned(),
            advice: error::advice(name, self.repositories.keys().map(String::as_str), "there are"),
        })
    }

    /// A mirror by name.
    ///
    /// # Errors
    /// If there is none; names the nearest one.
    pub fn mirror(&self, name: &str) -> Result<&Mirror, ConfigError> {
        self.mirrors.get(name).ok_or_else(|| ConfigError::NoMirror {
            name: name.to_owned(),
            advice: error::advice(name, self.mirrors.keys().map(String::as_str), "there are"),
        })
    }

    /// A drill by name.
    ///
    /// # Errors
    /// If there is none; names the nearest one.
    pub fn drill(&self, name: &str) -> Result<&Drill, ConfigError> {
        self.drills.get(name).ok_or_else(|| ConfigError::NoDrill {
            name: name.to_owned(),
            advice: error::advice(name, self.drills.keys().map(String::as_str), "there are"),
        })
    }

    /// The JSON schema of the file, as text.
    pub fn schema() -> String {
        let schema = schemars::schema_for!(Config);
        serde_json::to_string_pretty(&schema).unwrap_or_default()
    }
}

/// How a configuration is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON, as Nix makes it.
    Json,
    /// TOML, by hand.
    Toml,
}

#[cfg(test)]
mod tests;
