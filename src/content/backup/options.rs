//! What to back up and how, and what came of it.

use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

use crate::content::compress;
use crate::content::payload::Statistics;
use crate::model::id::SnapshotId;
use crate::model::pace::Pace;
use crate::model::report::Anomaly;
use crate::source::database::sqlite::{Checked, Databases};
use crate::source::exclude::Excludes;
use crate::source::stream::VirtualFile;
use crate::source::view::View;

/// How to back up.
pub struct BackupOptions {
    /// Files and directories, made absolute by [`crate::source::walk::absolute`].
    pub paths: Vec<PathBuf>,
    /// Streams, saved as files.
    pub streams: Vec<VirtualFile>,
    /// Directories that are read from elsewhere, such as from a filesystem's snapshot.
    pub views: Vec<View>,
    /// Which files are SQLite databases.
    pub databases: Option<Arc<Databases>>,
    /// What to leave out.
    pub excludes: Excludes,
    /// Do not descend into other filesystems than each path's.
    pub one_file_system: bool,
    /// Directories whose content is left out, such as the repository itself.
    pub skip: Vec<PathBuf>,
    /// Labels.
    pub tags: Vec<String>,
    /// The machine's name.
    pub host: String,
    /// The job's name; may be empty.
    pub job: String,
    /// zstd level.
    pub level: i32,
    /// Store nothing, only count.
    pub dry_run: bool,
    /// Make no snapshot if nothing changed since the group's last.
    pub skip_if_unchanged: bool,
    /// Read everything, whatever the catalogue says.
    pub read_all: bool,
    /// Whether a changed inode number means a changed file.
    pub trust_inodes: bool,
    /// How fast the sources are read.
    pub pace: Option<Arc<Pace>>,
    /// Count what a first run will read, so that it can be told how much is left.
    pub estimate: bool,
}

impl Default for BackupOptions {
    fn default() -> Self {
        Self {
            paths: Vec::new(),
            streams: Vec::new(),
            views: Vec::new(),
            databases: None,
            excludes: Excludes::default(),
            one_file_system: false,
            skip: Vec::new(),
            tags: Vec::new(),
            host: String::new(),
            job: String::new(),
            level: compress::DEFAULT_LEVEL,
            dry_run: false,
            skip_if_unchanged: false,
            read_all: false,
            trust_inodes: true,
            pace: None,
            estimate: false,
        }
    }
}

impl BackupOptions {
    /// What makes runs of this host one group, in which retention thins out: the job, or without one the paths. A name of a job has no
    /// byte 0, and this has one behind each path.
    pub(super) fn group_label(&self) -> Vec<u8> {
        if !self.job.is_empty() {
            return self.job.as_bytes().to_vec();
        }
        let mut paths: Vec<Vec<u8>> = self.paths.iter().map(|path| path.as_os_str().as_bytes().to_vec()).collect();
        paths.extend(self.streams.iter().map(|stream| [&b"/"[..], &stream.path.join(&b'/')].concat()));
        paths.sort_unstable();
        paths.dedup();
        paths.into_iter().flat_map(|path| path.into_iter().chain([0])).collect()
    }
}

/// What a run did.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// The snapshot; absent in a dry run and when nothing changed.
    pub snapshot: Option<SnapshotId>,
    /// The group's previous snapshot.
    pub parent: Option<SnapshotId>,
    /// Whether no snapshot was made because nothing changed.
    pub unchanged: bool,
    /// What was counted.
    pub statistics: Statistics,
    /// Whole seconds and fraction that it took.
    pub seconds: f64,
    /// What looks suspicious, in words.
    pub anomalies: Vec<Anomaly>,
    /// What became of SQLite databases.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<Checked>,
}
