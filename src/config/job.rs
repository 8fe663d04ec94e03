//! What is saved.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::database::{Mariadb, Postgresql};
use super::hook::Hooks;
use super::limits::{Limits, Window};
use super::notify::Notify;
use super::quiesce::{Containers, Quiesce};
use super::retention::Retention;
use super::size::ByteSize;
use super::snapshot::FilesystemSnapshots;
use super::span::TimeSpan;
use super::sqlite::Sqlite;
use super::stream::{CommandStream, Device};

/// A job: sources, what to leave out of them, and where they go.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Job {
    /// Files and directories. A path with `*`, `?` or `[` stands for all that match; what such a pattern finds new, or no
    /// longer, is reported.
    pub paths: Vec<String>,
    /// The same, but that nothing is there is no warning.
    pub optional_paths: Vec<String>,
    /// Patterns of what to leave out, as in `backup --exclude`.
    pub exclude: Vec<String>,
    /// Files with such patterns, one a line.
    pub exclude_from: Vec<PathBuf>,
    /// Collections of patterns.
    pub exclude_presets: Vec<Preset>,
    /// Leave out directories that hold a file of such a name.
    pub exclude_if_present: Vec<String>,
    /// Leave out files that are larger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclude_larger_than: Option<ByteSize>,
    /// Do not descend into other filesystems.
    pub one_file_system: bool,
    /// Commands whose output is saved, by the name of the file.
    pub commands: BTreeMap<String, CommandStream>,
    /// Block devices, by the name of the file that holds their content in the snapshot.
    pub devices: BTreeMap<String, Device>,
    /// A PostgreSQL server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub postgresql: Option<Postgresql>,
    /// A MariaDB server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mariadb: Option<Mariadb>,
    /// A MySQL server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mysql: Option<Mariadb>,
    /// SQLite databases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sqlite: Option<Sqlite>,
    /// LVM volumes whose files are saved, each from a snapshot: names or patterns of them, with the volume group and a `/` before
    /// if wanted. One that begins with `!` leaves out again; the last that matches decides.
    pub lvm_volumes: Vec<String>,
    /// Volumes of containers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub containers: Option<Containers>,
    /// Whether the paths are read from filesystem snapshots: `"auto"`, `"off"`, or a table.
    pub filesystem_snapshots: FilesystemSnapshots,
    /// What is stopped while the job copies, and started again whatever happens.
    #[serde(skip_serializing_if = "is_default")]
    pub quiesce: Quiesce,
    /// Commands that run before and after.
    #[serde(skip_serializing_if = "is_default")]
    pub hooks: Hooks,
    /// Who is told what becomes of its runs, instead of those whom the configuration names for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify: Option<Notify>,
    /// How much of the machine the job may take.
    #[serde(skip_serializing_if = "is_default")]
    pub limits: Limits,
    /// The time of day in which the job may run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// How often it shall run, for those who watch over it; without it the job's systemd timer says when it runs next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<TimeSpan>,
    /// Names of repositories.
    pub repositories: Vec<String>,
    /// Which of its snapshots stay when `maintain` keeps house; all if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
    /// Labels of the snapshots.
    pub tags: Vec<String>,
    /// zstd level, 1 to 22.
    #[serde(default = "level")]
    #[schemars(range(min = 1, max = 22))]
    pub compression: i32,
    /// Make no snapshot if nothing has changed.
    pub skip_if_unchanged: bool,
    /// Do not take another inode number for a change; for filesystems that have no lasting ones.
    pub ignore_inode: bool,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn level() -> i32 {
    3
}

/// A collection of patterns of what hardly anyone wants back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Preset {
    /// Directories that carry a CACHEDIR.TAG, and those that are called `.cache`.
    Caches,
    /// `*.tmp`, `*.swp`, editors' and downloads' leftovers.
    Temporary,
    /// Images and layers of Docker and Podman; not their volumes.
    ContainerLayers,
    /// `*.log`, rotated logs and the journal.
    Logs,
}

impl Preset {
    /// The patterns, as `backup --exclude` takes them.
    pub fn patterns(self) -> &'static [&'static str] {
        match self {
            Preset::Caches => &[".cache/"],
            Preset::Temporary => &["*.tmp", "*.temp", "*.swp", "*.swo", "*~", ".#*", "*.part", "*.crdownload", "lost+found/"],
            Preset::ContainerLayers => &[
                "/var/lib/docker/{overlay2,image,buildkit,containers,tmp}/",
                "/var/lib/containers/storage/{overlay,overlay-images,overlay-layers,overlay-containers,vfs,tmp}/",
                ".local/share/containers/storage/{overlay,overlay-images,overlay-layers,overlay-containers,vfs,tmp}/",
            ],
            Preset::Logs => &["*.log", "*.log.*", "/var/log/journal/"],
        }
    }
}
