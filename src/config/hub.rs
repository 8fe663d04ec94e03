//! A hub on this machine: where it listens and keeps everything, who may come, and how it keeps house.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::listen::Listen;
use super::notify::{self, Notify};
use super::percent::Percent;
use super::rate::ByteRate;
use super::repository::{Pruning, Repository};
use super::retention::Retention;
use super::secret::SecretFile;
use super::size::ByteSize;
use super::span::TimeSpan;
use super::watch::{self, Watch};

/// What stands for the name of a repository in the place of a mirror.
pub const REPOSITORY: &str = "{repository}";

/// The server that keeps the backups of other machines.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Hub {
    /// Where it keeps tokens, repositories and reports.
    pub data_dir: PathBuf,
    /// Where it listens: `ADDRESS:PORT`, `unix:PATH` or `systemd`.
    #[serde(default = "listen")]
    pub listen: Vec<Listen>,
    /// Its certificate, if it speaks TLS itself and not through a proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Listen without TLS at addresses that other machines reach.
    #[serde(default)]
    pub plain_http: bool,
    /// Show status, metrics and the page without a token: for a proxy that asks who it is, or a network that may see them.
    #[serde(default)]
    pub open_status: bool,
    /// Hosts and people who may come, by name; `hub token add` lets in others.
    #[serde(default)]
    pub hosts: BTreeMap<String, HubHost>,
    /// What is special about repositories, by name.
    #[serde(default)]
    pub repositories: BTreeMap<String, HubRepository>,
    /// How many bytes each repository may take; no bound if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<ByteSize>,
    /// How many objects each repository may have; no bound if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_objects: Option<u64>,
    /// How much of a quota may be used before hosts and people are warned; 80 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_warning: Option<Percent>,
    /// Which snapshots stay in each group of each repository, by the time that the hub received them; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
    /// How much of a group one run may forget; 90 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_forget: Option<Percent>,
    /// How space is given back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prune: Option<Pruning>,
    /// In which time every stored byte is read and hashed once; `30d` if absent, never if `0d`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify_within: Option<TimeSpan>,
    /// Copies of repositories in other places, by name.
    #[serde(default)]
    pub mirrors: BTreeMap<String, HubMirror>,
    /// How long reports of runs stay; `400d` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_reports: Option<TimeSpan>,
    /// Who is told what becomes of the hub's maintenance and mirrors, by `notify --hub`, and of what it watches over, by `hub watch`, instead of those whom the configuration names for all.
    #[serde(default)]
    pub notify: Option<Notify>,
    /// Of what `hub watch` tells.
    #[serde(default, skip_serializing_if = "watch::is_absent")]
    pub watch: Watch,
}

fn listen() -> Vec<Listen> {
    vec![Listen::Tcp(std::net::SocketAddr::from(([127, 0, 0, 1], 8420)))]
}

impl Hub {
    /// A hub that keeps everything below a directory and has nothing else said of it.
    pub fn at(data_dir: PathBuf) -> Self {
        Self {
            data_dir,
            listen: listen(),
            tls: None,
            plain_http: false,
            open_status: false,
            hosts: BTreeMap::new(),
            repositories: BTreeMap::new(),
            quota: None,
            quota_objects: None,
            quota_warning: None,
            retention: None,
            max_forget: None,
            prune: None,
            verify_within: None,
            mirrors: BTreeMap::new(),
            keep_reports: None,
            notify: None,
            watch: Watch::default(),
        }
    }
}

/// A certificate in files, which are read again when they change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Tls {
    /// The certificate in PEM, with those between it and its authority.
    pub certificate: PathBuf,
    /// Its key in PEM.
    pub key: SecretFile,
}

/// Somebody who may come.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct HubHost {
    /// What is known of the token, as `hub token hash` prints it; it is no secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_hash: Option<String>,
    /// A file that holds that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_hash_file: Option<SecretFile>,
    /// What it permits; `writer` if absent.
    #[serde(default)]
    pub role: HubRole,
    /// The repository; the host's own name if absent. `viewer` and `operator` have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
}

/// What a token permits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum HubRole {
    /// A host: adds backups to its repository.
    #[default]
    Writer,
    /// Reads a repository.
    Reader,
    /// Does everything in a repository.
    Maintainer,
    /// Sees the status of all hosts, and nothing of any repository.
    Viewer,
    /// Sees the status of all hosts, and asks them to run jobs.
    Operator,
}

/// What is special about a repository.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct HubRepository {
    /// How many bytes it may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<ByteSize>,
    /// How many objects it may have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota_objects: Option<u64>,
    /// Which snapshots stay in each of its groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
}

/// Copies of repositories in another place.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct HubMirror {
    /// Where to, with `{repository}` for the repository's name: a directory, `sftp://`, `s3://`, `https://` or `ssh://`.
    pub url: String,
    /// The repositories that are copied; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repositories: Option<Vec<String>>,
    /// The file with the access key of its bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<SecretFile>,
    /// The private key for `sftp://` and `ssh://`, instead of those that `ssh` finds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<SecretFile>,
    /// The file with the token for another hub, of a maintainer there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<SecretFile>,
    /// How many bytes may be written there in a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_upload: Option<ByteRate>,
    /// Which snapshots stay there; all that were ever brought if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
    /// Whether space is given back there.
    #[serde(default)]
    pub prune: bool,
    /// How much of what is there is read back and hashed each time, others every day.
    #[serde(default)]
    pub verify: Percent,
    /// Whether it lies in another building.
    #[serde(default)]
    pub offsite: bool,
    /// What it lies on, such as `hdd` or `cloud`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media: Option<String>,
}

impl HubMirror {
    /// Whether a repository is copied there.
    pub fn takes(&self, repository: &str) -> bool {
        self.repositories.as_ref().is_none_or(|names| names.iter().any(|name| name == repository))
    }

    /// Where a repository is copied to.
    pub fn url_of(&self, repository: &str) -> String {
        self.url.replace(REPOSITORY, repository)
    }

    /// The same, with what is needed to reach it.
    pub fn place(&self, repository: &str) -> Repository {
        Repository {
            credentials: self.credentials.clone(),
            identity: self.identity.clone(),
            token: self.token.clone(),
            limit_upload: self.limit_upload,
            ..Repository::at(self.url_of(repository))
        }
    }
}

/// The key that is wrong, and why.
pub(super) fn check(hub: &Hub) -> Option<(String, String)> {
    let wrong = |key: String, why: &str| Some((key, why.to_owned()));
    if !hub.data_dir.is_absolute() {
        return wrong("dataDir".into(), "must be absolute; services run in no particular directory");
    }
    if let (None, false, Some(address)) = (&hub.tls, hub.plain_http, hub.listen.iter().find_map(Listen::reached_by_others)) {
        let why = format!(
            "{address} is reached from other machines, and tokens would go there in clear: give `tls`, listen at 127.0.0.1 behind a proxy, or \
             set `plainHttp` if the line is protected otherwise"
        );
        return Some(("listen".into(), why));
    }
    if hub.listen.is_empty() {
        return wrong("listen".into(), "names no place; 127.0.0.1:8420 is the usual one");
    }
    for (name, host) in &hub.hosts {
        let path = |key: &str| format!("hosts.{name}.{key}");
        match (&host.token_hash, &host.token_hash_file) {
            (None, None) => return wrong(path("tokenHash"), "is missing; `hearth-backup hub token new` makes a token and prints it"),
            (Some(_), Some(_)) => return wrong(path("tokenHash"), "and tokenHashFile are two answers to one question; leave one out"),
            _ => {}
        }
        if matches!(host.role, HubRole::Viewer | HubRole::Operator) && host.repository.is_some() {
            return wrong(path("repository"), "is not for viewers and operators, who see the whole hub; leave it out");
        }
    }
    let retentions = hub.repositories.iter().map(|(name, repository)| (format!("repositories.{name}.retention"), &repository.retention));
    let mirrors = hub.mirrors.iter().map(|(name, mirror)| (format!("mirrors.{name}.retention"), &mirror.retention));
    let all = retentions.chain(mirrors).chain([("retention".to_owned(), &hub.retention)]);
    if let Some((path, _)) = all.into_iter().find(|(_, retention)| retention.as_ref().is_some_and(Retention::is_empty)) {
        return wrong(path, super::check::KEEPS_NOTHING);
    }
    for (name, mirror) in &hub.mirrors {
        let path = |key: &str| format!("mirrors.{name}.{key}");
        if mirror.url.is_empty() {
            return wrong(path("url"), "is empty; give a place such as s3://BUCKET/{repository}");
        }
        let one = mirror.repositories.as_ref().is_some_and(|names| names.len() == 1);
        if !one && !mirror.url.contains(REPOSITORY) {
            return wrong(
                path("url"),
                "must hold {repository}, as each repository needs a place of its own; or name one in `repositories`",
            );
        }
        if mirror.token.is_some() && !["https://", "http://"].iter().any(|scheme| mirror.url.starts_with(scheme)) {
            return wrong(path("token"), "is for hubs (https://...), and the url names none; leave it out");
        }
    }
    let spans =
        [("keepReports", hub.keep_reports), ("verifyWithin", hub.verify_within), ("prune.grace", hub.prune.and_then(|prune| prune.grace))];
    for (key, span) in spans {
        if let Some(Err(error)) = span.map(|span| span.0.to_duration()) {
            return Some((key.into(), error.to_string()));
        }
    }
    notify::check_own(hub.notify.as_ref())
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Format};
    use super::*;

    const GOOD: &str = r#"
        [hub]
        dataDir = "/tank/hearth"
        quota = "500GB"
        retention = { daily = 14 }
        [hub.hosts.q]
        tokenHash = "hbh_x"
        [hub.mirrors.cloud]
        url = "s3://fort/{repository}"
        prune = true
    "#;

    fn error(text: &str) -> String {
        Config::parse(text, Format::Toml, "hub.toml").unwrap_err().to_string()
    }

    #[test]
    fn a_short_hub_listens_at_this_machine_and_takes_writers() {
        let hub = Config::parse(GOOD, Format::Toml, "hub.toml").unwrap().hub.unwrap();
        assert_eq!(hub.listen[0].to_string(), "127.0.0.1:8420");
        assert_eq!(hub.hosts["q"].role, HubRole::Writer);
        assert_eq!(hub.mirrors["cloud"].url_of("q"), "s3://fort/q");
        assert!(hub.mirrors["cloud"].takes("anything"));
    }

    #[test]
    fn what_cannot_work_at_a_hub_is_told_with_what_to_do() {
        for (change, expected) in [
            (("dataDir = \"/tank/hearth\"", "dataDir = \"tank\""), "hub.dataDir: must be absolute"),
            (("quota = \"500GB\"", "listen = [\"0.0.0.0:8420\"]"), "hub.listen: 0.0.0.0:8420 is reached from other machines"),
            (("quota = \"500GB\"", "listen = []"), "hub.listen: names no place"),
            (("tokenHash = \"hbh_x\"", ""), "hub.hosts.q.tokenHash: is missing; `hearth-backup hub token new`"),
            (("tokenHash = \"hbh_x\"", "tokenHash = \"x\"\ntokenHashFile = \"/x\""), "hub.hosts.q.tokenHash: and tokenHashFile are two"),
            (
                ("tokenHash = \"hbh_x\"", "tokenHash = \"x\"\nrole = \"viewer\"\nrepository = \"a\""),
                "hub.hosts.q.repository: is not for viewers",
            ),
            (("{ daily = 14 }", "{}"), "hub.retention: keeps nothing"),
            (("{repository}", "all"), "hub.mirrors.cloud.url: must hold {repository}"),
            (("prune = true", "token = \"/t\""), "hub.mirrors.cloud.token: is for hubs"),
            (("quota = \"500GB\"", "notify.ntfy = { url = \"ntfy\", topic = \"t\" }"), "hub.notify.ntfy.url: must begin with"),
        ] {
            let message = error(&GOOD.replace(change.0, change.1));
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn whom_a_host_reports_to_must_be_a_hub_that_knows_it() {
        for (text, expected) in [
            ("url = \"/srv\"", "reportTo.url: must be a repository at a hub"),
            ("url = \"https://h/q\"", "reportTo.token: is missing"),
            ("url = \"ssh://h/q\"\ntoken = \"/t\"", "reportTo.token: is not needed"),
            ("url = \"https://h/q\"\ntoken = \"/t\"\nidentity = \"/i\"", "reportTo.identity: is for ssh://"),
        ] {
            let message = error(&format!("[reportTo]\n{text}\n"));
            assert!(message.contains(expected), "{message}");
        }
    }
}
