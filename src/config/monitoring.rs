//! Whom the figures of a host's runs are told, and how long they are kept.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::secret::SecretFile;
use super::span::TimeSpan;

/// How this host's runs are watched over.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Monitoring {
    /// A file, ending in `.prom`, that is written after every run, in the directory that node_exporter's textfile collector reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub textfile: Option<PathBuf>,
    /// A Pushgateway that is told after every run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pushgateway: Option<Pushgateway>,
    /// How long reports of runs stay on this host; `400d` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_reports: Option<TimeSpan>,
    /// In which time a restore of each repository shall have been tried: `status` complains of what is older. It asks for none if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drill_within: Option<TimeSpan>,
    /// State of this host that no job saves, for `status` to show; the NixOS module finds it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub uncovered: Vec<String>,
}

/// A Pushgateway of Prometheus.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Pushgateway {
    /// Its address, such as `http://127.0.0.1:9091`.
    pub url: String,
    /// A file with `USER:PASSWORD`, if it asks for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<SecretFile>,
    /// How long a run waits for it at most; `10s` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<TimeSpan>,
}

/// Whether nothing is said of it.
pub(super) fn is_absent(monitoring: &Monitoring) -> bool {
    *monitoring == Monitoring::default()
}

/// How long a Pushgateway may take if nothing is said.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest that anybody may make a run wait for it.
const LONGEST: Duration = Duration::from_secs(300);

impl Pushgateway {
    /// How long a run waits for it.
    pub fn patience(&self) -> Duration {
        let given = self.timeout.and_then(|timeout| timeout.0.to_duration().ok());
        given.unwrap_or(PATIENCE).min(LONGEST)
    }
}

/// The key that is wrong, and why.
pub(super) fn check(monitoring: &Monitoring) -> Option<(&'static str, &'static str)> {
    if monitoring.textfile.as_ref().is_some_and(|file| !file.is_absolute() || file.extension().is_none_or(|extension| extension != "prom"))
    {
        return Some(("textfile", "must be the absolute path of a file that ends in `.prom`: node_exporter reads no others"));
    }
    let gateway = monitoring.pushgateway.as_ref()?;
    let server = gateway.url.strip_prefix("https://").or_else(|| gateway.url.strip_prefix("http://"));
    if server.is_none_or(|server| server.starts_with('/') || server.is_empty()) {
        return Some(("pushgateway.url", "must begin with https:// or http:// and name a server"));
    }
    if gateway.url.contains('@') {
        return Some((
            "pushgateway.url",
            "must not hold a user or password, as urls are shown in messages; put them into the file that `credentials` names",
        ));
    }
    if gateway.url.contains(['?', '#']) || gateway.url.contains(|letter: char| !letter.is_ascii_graphic()) {
        return Some(("pushgateway.url", "must be the address of a server, such as http://127.0.0.1:9091, without spaces, `?` and `#`"));
    }
    if gateway.timeout.is_some_and(|timeout| timeout.0.to_duration().map_or(true, |time| time.is_zero())) {
        return Some(("pushgateway.timeout", "must be a time of seconds or minutes, and more than none"));
    }
    None
}
