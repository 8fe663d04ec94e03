//! SQLite: a saved copy takes the place of the live file.
//!
//! ```text
//!   copy --> NAME.restoring --> integrity_check --> services stop --> nobody has NAME open? --> its log goes --> renamed to NAME
//!                                                                                               services start, whatever happened
//! ```

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use crate::content::ContentError;
use crate::content::browse::OpenSnapshot;
use crate::job::JobError;
use crate::job::quiet::service;
use crate::model::entry::{Entry, Kind};
use crate::model::event::{Event, Monitor};
use crate::source::database::sqlite::{self, Depth, Integrity};

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
    pub fn run(&self, snapshot: &OpenSnapshot<'_>, monitor: &dyn Monitor) -> Result<(), JobError> {
        let path = self.path.as_os_str().as_bytes();
        let found = snapshot.find(path)?.filter(|entry| matches!(entry.kind, Kind::File { .. }));
        let entry =
            found.ok_or_else(|| JobError::NoDump { database: self.path.display().to_string(), path: self.path.display().to_string() })?;
        let there = self.target.metadata().ok();
        if there.as_ref().is_some_and(|there| there.len() > 0) && !self.replace {
            return Err(self.failed(
                "replace",
                io::Error::other("it is there already; --replace puts the saved one in its place, --to takes another path"),
            ));
        }
        let fresh = beside(&self.target, ".restoring");
        let restored = self.write(snapshot, &entry, there.as_ref(), &fresh).and_then(|()| self.swap(&fresh, monitor));
        if restored.is_err() {
            let _ = fs::remove_file(&fresh);
        }
        restored
    }

    fn failed(&self, action: &'static str, error: io::Error) -> JobError {
        ContentError::file(action, &self.target, error).into()
    }

    /// Writes the copy beside its place and checks it.
    fn write(&self, snapshot: &OpenSnapshot<'_>, entry: &Entry, there: Option<&fs::Metadata>, fresh: &Path) -> Result<(), JobError> {
        let failed = |error| JobError::from(ContentError::file("write", fresh, error));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(fresh).map_err(failed)?;
        snapshot.dump(entry, &mut file)?;
        let (mode, owner) = match there {
            Some(there) => {
                use std::os::unix::fs::MetadataExt as _;
                (there.permissions().mode(), (there.uid(), there.gid()))
            }
            None => (entry.metadata.mode, (entry.metadata.uid, entry.metadata.gid)),
        };
        if nix::unistd::geteuid().is_root() {
            chown(fresh, Some(owner.0), Some(owner.1)).map_err(failed)?;
        }
        file.set_permissions(fs::Permissions::from_mode(mode & 0o7777)).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        drop(file);
        let integrity = sqlite::check(fresh, Depth::Full).map_err(|error| self.failed("restore", io::Error::other(error.to_string())))?;
        match integrity {
            Integrity::Failed { findings } => {
                let why = format!("the saved database is damaged: {}; `restore` brings the file back as it is", findings.join("; "));
                Err(self.failed("restore", io::Error::other(why)))
            }
            _ => Ok(()),
        }
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
        let folder = self.target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}
