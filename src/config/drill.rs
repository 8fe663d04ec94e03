//! Drills: restores that are tried and tested by the machine.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::check::misnamed;
use super::database::Databases;
use super::notify::{self, Notify};
use super::secret::SecretFile;
use super::size::ByteSize;
use super::span::TimeSpan;

/// Most files that are picked at random, or compared with the live source.
const MOST_FILES: u32 = 100_000;

/// A restore that is tried: from where, how much of it, where to, and what must hold then. Needs a restore key.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Drill {
    /// The repository that is tried, by name: any, also one that a mirror is brought to.
    pub repository: String,
    /// Which of the hub's mirrors it is, as the hub calls it, if it is one: the drill counts there for that copy, and without it for the hub's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<String>,
    /// The file with a restore key of the repository.
    pub key: SecretFile,
    /// Only snapshots of this host; of any if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Only snapshots of this job; of any if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// Which of them.
    #[serde(default)]
    pub snapshot: DrillSnapshot,
    /// How much of its files is restored: `"everything"`, `"databases"` for only what databases need, `{"files": N}` for as many at random,
    /// or `{"paths": [...]}` for patterns as in `restore --include`.
    #[serde(default)]
    pub amount: DrillAmount,
    /// The directory in which a fresh one is made for each run and removed in the end; below the state directory if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scratch: Option<PathBuf>,
    /// Restore into memory instead, into a tmpfs of at most this size, such as `4GiB`. Needs root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tmpfs: Option<ByteSize>,
    /// How many of the restored files are compared with the live ones, if those are on this machine and have not changed since.
    #[serde(default = "sample")]
    pub compare_with_source: u32,
    /// Load dumps of PostgreSQL into a throw-away server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgresql: Option<DrillServer>,
    /// Load dumps of MariaDB into a throw-away server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mariadb: Option<DrillServer>,
    /// Open SQLite databases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sqlite: Option<DrillSqlite>,
    /// A command that looks at the restored files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smoke: Option<Smoke>,
    /// Start what was restored, a whole host, in a container of systemd-nspawn. Needs root and systemd.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub full_host: bool,
    /// The target that a whole host must reach.
    #[serde(default = "multi_user")]
    pub boot_target: String,
    /// How long a whole host may take for it.
    #[serde(default = "five_minutes")]
    pub boot_timeout: TimeSpan,
    /// How long the drill may take before it has failed.
    #[serde(default = "day")]
    pub time_limit: TimeSpan,
    /// How often it shall run, for those who watch over it; without it the drill's systemd timer says when it runs next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<TimeSpan>,
    /// Who is told what becomes of its runs, by `notify --drill`, instead of those whom the configuration names for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<Notify>,
}

/// Which snapshot a drill takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum DrillSnapshot {
    /// The newest.
    #[default]
    Latest,
    /// Any.
    Random,
    /// The oldest.
    Oldest,
}

/// How much of a snapshot's files a drill restores.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum DrillAmount {
    /// All.
    #[default]
    Everything,
    /// Only what databases need.
    Databases,
    /// So many, at random.
    Files(u32),
    /// What matches these patterns.
    Paths(Vec<String>),
}

/// The forms of an amount that are not a word.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
enum Part {
    Files(u32),
    Paths(Vec<String>),
}

/// Databases of a server that are loaded from their dumps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct DrillServer {
    /// `"all"` of which the snapshot has a dump, or a list of names.
    pub databases: Databases,
    /// For a database, SQL queries that must each give one row with one value that is true or a number other than 0.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub assertions: BTreeMap<String, Vec<String>>,
    /// The directory of the server's programs, such as `/usr/lib/postgresql/17/bin`; found by itself if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub programs: Option<PathBuf>,
    /// Settings of the throw-away server by name, such as `shared_preload_libraries`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
}

impl Default for DrillServer {
    fn default() -> Self {
        Self { databases: Databases::All, assertions: BTreeMap::new(), programs: None, settings: BTreeMap::new() }
    }
}

/// SQLite databases that are opened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct DrillSqlite {
    /// Their paths in the snapshot; they are restored whatever the amount is.
    pub databases: Vec<String>,
    /// Open every restored file that begins as a database does, too.
    pub discover: bool,
    /// For a path, SQL queries that must each give one row with one value that is a number other than 0.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub assertions: BTreeMap<String, Vec<String>>,
}

/// A command that looks at the restored files, and succeeds if they are as they should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Smoke {
    /// The program and its arguments; no shell is involved. It runs in the directory that stands for `/` of the snapshot, which
    /// `HEARTH_TREE` names too.
    pub command: Vec<String>,
    /// After so long it is ended, and has failed.
    #[serde(default = "ten_minutes")]
    pub timeout: TimeSpan,
    /// Run it without network, and with nothing to write to but the restored files. `false` runs it as any other program of this machine.
    #[serde(default = "yes")]
    pub sandbox: bool,
    /// Directories that it may read in the sandbox besides the system's programs and `/etc`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub readable: Vec<PathBuf>,
}

fn sample() -> u32 {
    100
}

fn yes() -> bool {
    true
}

fn multi_user() -> String {
    "multi-user.target".into()
}

fn span(text: &str) -> TimeSpan {
    TimeSpan(text.parse().unwrap_or_default())
}

fn five_minutes() -> TimeSpan {
    span("5min")
}

fn ten_minutes() -> TimeSpan {
    span("10min")
}

fn day() -> TimeSpan {
    span("24h")
}

impl Serialize for DrillAmount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            DrillAmount::Everything => serializer.serialize_str("everything"),
            DrillAmount::Databases => serializer.serialize_str("databases"),
            DrillAmount::Files(files) => Part::Files(*files).serialize(serializer),
            DrillAmount::Paths(paths) => Part::Paths(paths.clone()).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for DrillAmount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Word(String),
            Part(Part),
        }
        let advice = "must be \"everything\", \"databases\", {\"files\": N} or {\"paths\": [...]}";
        match Form::deserialize(deserializer).map_err(|_| D::Error::custom(advice))? {
            Form::Word(word) if word == "everything" => Ok(DrillAmount::Everything),
            Form::Word(word) if word == "databases" => Ok(DrillAmount::Databases),
            Form::Word(_) => Err(D::Error::custom(advice)),
            Form::Part(Part::Files(files)) => Ok(DrillAmount::Files(files)),
            Form::Part(Part::Paths(paths)) => Ok(DrillAmount::Paths(paths)),
        }
    }
}

impl JsonSchema for DrillAmount {
    fn schema_name() -> Cow<'static, str> {
        "DrillAmount".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let one = |key: &str, value: serde_json::Value| serde_json::json!({ "type": "object", "properties": { key: value }, "required": [key], "additionalProperties": false });
        let files = one("files", serde_json::json!({ "type": "integer", "minimum": 1, "maximum": MOST_FILES }));
        let paths = one("paths", serde_json::json!({ "type": "array", "items": { "type": "string" }, "minItems": 1 }));
        json_schema!({
            "description": "How much of a snapshot's files a drill restores.",
            "anyOf": [{ "enum": ["everything", "databases"] }, files, paths],
        })
    }
}

/// The key of a drill that is wrong, and why.
pub(super) fn check(drill: &Drill) -> Option<(String, String)> {
    let wrong = |key: &str, why: &str| Some((key.to_owned(), why.to_owned()));
    if let Some(why) = drill.mirror.as_deref().and_then(misnamed) {
        return Some(("mirror".into(), why));
    }
    match &drill.amount {
        DrillAmount::Files(files) if !(1..=MOST_FILES).contains(files) => {
            return Some(("amount.files".into(), format!("must be from 1 to {MOST_FILES}")));
        }
        DrillAmount::Paths(paths) if paths.is_empty() => {
            return wrong("amount.paths", "names none; leave `amount` out to restore everything");
        }
        DrillAmount::Databases if drill.postgresql.is_none() && drill.mariadb.is_none() && drill.sqlite.is_none() => {
            return wrong("amount", "is `databases`, but there is no `postgresql`, `mariadb` or `sqlite`; nothing would be tested");
        }
        _ => {}
    }
    if drill.scratch.as_ref().is_some_and(|scratch| !scratch.is_absolute()) {
        return wrong("scratch", "must be an absolute path; services run in no particular directory");
    }
    if drill.tmpfs.is_some_and(|size| size.0 == 0) {
        return wrong("tmpfs", "has no room; give a size such as 4GiB, or leave it out to restore to a disk");
    }
    if drill.compare_with_source > MOST_FILES {
        return Some(("compareWithSource".into(), format!("must be at most {MOST_FILES}")));
    }
    for (name, server) in [("postgresql", &drill.postgresql), ("mariadb", &drill.mariadb)] {
        if let Some((key, why)) = server.as_ref().and_then(check_server) {
            return Some((format!("{name}.{key}"), why));
        }
    }
    if let Some((key, why)) = drill.sqlite.as_ref().and_then(check_sqlite) {
        return Some((format!("sqlite.{key}"), why));
    }
    if let Some((key, why)) = drill.smoke.as_ref().and_then(check_smoke) {
        return Some((format!("smoke.{key}"), why));
    }
    if drill.full_host && drill.amount != DrillAmount::Everything {
        return wrong("amount", "must be `everything` for a whole host (fullHost); leave it out");
    }
    let good = |letter: char| letter.is_ascii_alphanumeric() || "-_.@:\\".contains(letter);
    if !drill.boot_target.chars().all(good) || !drill.boot_target.ends_with(".target") || drill.boot_target.starts_with(['-', '.']) {
        return wrong("bootTarget", "must be the name of one of systemd's targets, such as multi-user.target");
    }
    let timed = [("bootTimeout", drill.boot_timeout), ("timeLimit", drill.time_limit)]
        .into_iter()
        .find_map(|(key, span)| Some((key.to_owned(), timed(span)?)));
    timed.or_else(|| notify::check_own(drill.notify.as_ref()))
}

fn timed(span: TimeSpan) -> Option<String> {
    match span.0.to_duration() {
        Ok(time) if time.is_zero() => Some("must be longer than no time at all".into()),
        Ok(_) => None,
        Err(error) => Some(error.to_string()),
    }
}

fn check_server(server: &DrillServer) -> Option<(String, String)> {
    if server.databases == Databases::Named(Vec::new()) {
        return Some(("databases".into(), "names none; \"all\" stands for all of them".into()));
    }
    if let Databases::Named(names) = &server.databases
        && let Some(stranger) = server.assertions.keys().find(|name| !names.contains(name))
    {
        return Some((format!("assertions.{stranger}"), "is not among `databases`; nobody would ask it".into()));
    }
    if server.programs.as_ref().is_some_and(|programs| !programs.is_absolute()) {
        return Some(("programs".into(), "must be an absolute path".into()));
    }
    let good = |name: &String| !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter));
    let bad = server.settings.keys().find(|name| !good(name) || name.starts_with('-'));
    bad.map(|name| (format!("settings.{name}"), "is not the name of a setting".into()))
}

fn check_sqlite(sqlite: &DrillSqlite) -> Option<(String, String)> {
    if sqlite.databases.is_empty() && !sqlite.discover {
        return Some(("databases".into(), "names none; `discover = true` opens those among the restored files".into()));
    }
    let clean = |path: &String| path.starts_with('/') && !path.ends_with('/') && !path.split('/').any(|part| [".", ".."].contains(&part));
    if let Some(rank) = sqlite.databases.iter().position(|path| !clean(path)) {
        return Some((format!("databases[{rank}]"), "must be the absolute path of a file, as the snapshot has it".into()));
    }
    let stranger = sqlite.assertions.keys().find(|path| !sqlite.databases.contains(path));
    stranger.map(|path| {
        let why = match sqlite.discover {
            true => "is not among `databases`; add it there: of those that `discover` finds none is asked",
            false => "is not among `databases`; nobody would ask it",
        };
        (format!("assertions.{path}"), why.into())
    })
}

fn check_smoke(smoke: &Smoke) -> Option<(String, String)> {
    if smoke.command.first().is_none_or(String::is_empty) {
        return Some(("command".into(), "is empty; give a program and its arguments".into()));
    }
    if let Some(rank) = smoke.readable.iter().position(|path| !path.is_absolute() || path.parent().is_none()) {
        return Some((format!("readable[{rank}]"), "must be the absolute path of a directory, and not `/`".into()));
    }
    Some(("timeout".into(), timed(smoke.timeout)?))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::config::{Config, Format};

    fn read(change: Value) -> Result<Drill, String> {
        let mut drill = json!({ "repository": "cloud", "key": "/k" });
        drill.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let config = json!({ "repositories": { "cloud": { "url": "/srv/cloud" } }, "drills": { "weekly": drill } });
        let config = Config::parse(&config.to_string(), Format::Json, "c.json").map_err(|error| error.to_string())?;
        Ok(config.drill("weekly").unwrap().clone())
    }

    #[test]
    fn a_drill_of_a_few_words_restores_the_newest_snapshot_whole() {
        let drill = read(json!({})).unwrap();
        assert_eq!((drill.snapshot, drill.amount, drill.compare_with_source), (DrillSnapshot::Latest, DrillAmount::Everything, 100));
        assert_eq!(drill.time_limit.0.to_duration().unwrap().as_secs(), 24 * 3600);
    }

    #[test]
    fn amounts_are_words_numbers_or_paths_and_come_back_as_they_were_written() {
        for (text, amount) in [
            (json!("everything"), DrillAmount::Everything),
            (json!({ "files": 7 }), DrillAmount::Files(7)),
            (json!({ "paths": ["/etc", "*.db"] }), DrillAmount::Paths(vec!["/etc".into(), "*.db".into()])),
        ] {
            let drill = read(json!({ "amount": text })).unwrap();
            assert_eq!(drill.amount, amount);
            assert_eq!(serde_json::to_value(&drill.amount).unwrap(), text);
        }
        for text in [json!("some"), json!(5), json!({ "file": 7 }), json!({ "files": -1 })] {
            assert!(read(json!({ "amount": text })).unwrap_err().contains("must be \"everything\""), "{text}");
        }
    }

    #[test]
    fn what_does_not_fit_together_is_named_with_its_key() {
        for (change, key) in [
            (json!({ "repository": "clod" }), "repository: there is no repository `clod`; did you mean `cloud`?"),
            (json!({ "mirror": "the cloud" }), "mirror: names consist of"),
            (json!({ "mirror": "" }), "mirror: names consist of"),
            (json!({ "amount": { "files": 0 } }), "amount.files"),
            (json!({ "amount": { "paths": [] } }), "amount.paths"),
            (json!({ "amount": "databases" }), "amount: is `databases`"),
            (json!({ "scratch": "here" }), "scratch"),
            (json!({ "tmpfs": 0 }), "tmpfs"),
            (json!({ "compareWithSource": 100_001 }), "compareWithSource"),
            (json!({ "postgresql": { "databases": [] } }), "postgresql.databases"),
            (json!({ "postgresql": { "databases": ["a"], "assertions": { "b": [] } } }), "postgresql.assertions.b"),
            (json!({ "mariadb": { "settings": { "a b": "1" } } }), "mariadb.settings.a b"),
            (json!({ "sqlite": {} }), "sqlite.databases"),
            (json!({ "sqlite": { "databases": ["/a/../b"] } }), "sqlite.databases[0]"),
            (
                json!({ "sqlite": { "discover": true, "assertions": { "/a": [] } } }),
                "sqlite.assertions./a: is not among `databases`; add it",
            ),
            (json!({ "smoke": { "command": [] } }), "smoke.command"),
            (json!({ "smoke": { "command": ["true"], "timeout": "0" } }), "smoke.timeout"),
            (json!({ "smoke": { "command": ["true"], "readable": ["/"] } }), "smoke.readable[0]"),
            (json!({ "fullHost": true, "amount": { "files": 3 } }), "amount: must be `everything`"),
            (json!({ "bootTarget": "x; rm" }), "bootTarget"),
            (json!({ "timeLimit": "1m" }), "timeLimit"),
            (json!({ "notify": { "command": [""] } }), "notify.command"),
            (json!({ "notify": { "command": [] } }), "notify.command: is empty"),
        ] {
            let error = read(change.clone()).unwrap_err();
            assert!(error.contains(&format!("drills.weekly.{key}")), "{change}: {error}");
        }
    }
}
