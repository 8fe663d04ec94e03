//! SQLite: a saved copy takes the place of the live file.
//!
//! ```text
//!   copy --> a directory of ours beside NAME --> integrity_check --> services stop --> nobody has NAME open? --> its log goes --> renamed to NAME
//!                                                                                                            services start, whatever happened
//! ```
//!
//! NAME's directory often belongs to a service, which must not lead root elsewhere by what it puts there: nothing is written to, or read from, a
//! name that somebody else could have made.

use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use crate::content::ContentError;
use crate::content::browse::OpenSnapshot;
use crate::job::JobError;
use crate::job::quiet::service;
use crate::model::entry::{Entry, Kind};
use crate::model::event::{Event, Monitor};
use crate::source::database::sqlite::{self, Depth, Integrity};

/// What the name of the directory begins with in which a copy is made.
const PREFIX: &str = ".hearth-backup-";
/// The copy in it.
const COPY: &str = "copy.db";

/// A SQLite database to bring back.
#[derive(Debug, Clone)]
pub struct SqliteRestore {
    /// Its path when it was saved.
    pub path: PathBuf,
    /// Where it goes.
    pub target: PathBuf,
    /// Whether a database that is there may be replaced.
    pub replace: bool,
    /// systemd's units to stop meanwhile.
    pub services: Vec<String>,
}

impl SqliteRestore {
    /// Does it.
    ///
    /// # Errors
    /// If the snapshot has no such file, the copy is damaged, or the database is there and in use or not to be replaced; then it is as before.
    pub fn run(mut self, snapshot: &OpenSnapshot<'_>, monitor: &dyn Monitor) -> Result<(), JobError> {
        let path = self.path.as_os_str().as_bytes();
        let found = snapshot.find(path)?.filter(|entry| matches!(entry.kind, Kind::File { .. }));
        let entry =
            found.ok_or_else(|| JobError::NoDump { database: self.path.display().to_string(), path: self.path.display().to_string() })?;
        // A link on the way there is followed once, now.
        if let Some(name) = self.target.file_name() {
            let folder = self.folder().canonicalize().map_err(|error| self.failed("find the directory of", error))?;
            self.target = folder.join(name);
        }
        let there = self.target.symlink_metadata().ok();
        if there.as_ref().is_some_and(|there| !there.is_file()) {
            return Err(self.failed("replace", io::Error::other("it is not a file; name the file itself, not a link to it")));
        }
        if there.as_ref().is_some_and(|there| there.len() > 0) && !self.replace {
            return Err(self.failed(
                "replace",
                io::Error::other("it is there already; --replace puts the saved one in its place, --to takes another path"),
            ));
        }
        // Removed with all that is in it, however this ends.
        let place = tempfile::Builder::new()
            .prefix(PREFIX)
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(self.folder())
            .map_err(|error| self.failed("make a directory beside", error))?;
        let fresh = place.path().join(COPY);
        self.write(snapshot, &entry, there.as_ref(), &fresh, monitor)?;
        self.swap(&fresh, monitor)
    }

    /// The directory of its place.
    fn folder(&self) -> &Path {
        self.target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    fn failed(&self, action: &'static str, error: io::Error) -> JobError {
        ContentError::file(action, &self.target, error).into()
    }

    /// Writes the copy and checks it.
    fn write(
        &self,
        snapshot: &OpenSnapshot<'_>,
        entry: &Entry,
        there: Option<&fs::Metadata>,
        fresh: &Path,
        monitor: &dyn Monitor,
    ) -> Result<(), JobError> {
        let failed = |error| JobError::from(ContentError::file("write", fresh, error));
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(fresh).map_err(failed)?;
        snapshot.dump(entry, &mut file)?;
        let integrity = sqlite::check(fresh, Depth::Full, &|| monitor.cancelled())
            .map_err(|error| self.failed("restore", io::Error::other(error.to_string())))?;
        if let Integrity::Failed { findings } = integrity {
            let why = format!("the saved database is damaged: {}; `restore` brings the file back as it is", findings.join("; "));
            return Err(self.failed("restore", io::Error::other(why)));
        }
        let (mode, uid, gid) = match there {
            Some(there) => (there.mode(), there.uid(), there.gid()),
            None => (entry.metadata.mode, entry.metadata.uid, entry.metadata.gid),
        };
        if nix::unistd::geteuid().is_root() {
            fchown(&file, Some(uid), Some(gid)).map_err(failed)?;
        }
        file.set_permissions(fs::Permissions::from_mode(mode & 0o7777)).map_err(failed)?;
        file.sync_all().map_err(failed)
    }

    /// Puts it in its place while its services stand still.
    fn swap(&self, fresh: &Path, monitor: &dyn Monitor) -> Result<(), JobError> {
        let mut stopped = Vec::new();
        let mut result = Ok(());
        for unit in &self.services {
            result = service::stop(unit).map(|ran| {
                if ran {
                    stopped.push(unit);
                }
            });
            if result.is_err() {
                break;
            }
        }
        let result = result.and_then(|()| self.replace_file(fresh)).map_err(|error| self.failed("replace", error));
        for unit in stopped {
            if let Err(error) = service::start(unit) {
                let message = format!("does not start again ({error}); `systemctl status {unit}` tells why");
                monitor.event(Event::error(unit.as_str(), message));
            }
        }
        result
    }

    fn replace_file(&self, fresh: &Path) -> io::Result<()> {
        if self.target.exists() {
            sqlite::retire(&self.target)?;
        }
        fs::rename(fresh, &self.target)?;
        File::open(self.folder())?.sync_all()
    }
}
