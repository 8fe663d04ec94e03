//! Views: directories that are read from elsewhere than where the snapshot shows them.
//!
//! ```text
//!   /srv/data  (shown)  <--  /srv/.hearth-backup/NAME/data  (read: it stands still)
//!   /@lvm/vg0/web       <--  where a logical volume is mounted for the run
//! ```
//!
//! Excludes, messages and the catalogue know only the place that is shown.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// A place in the snapshot, and the one that it is read from. Both are absolute and without symbolic links, `.` and `..`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// What the snapshot shows.
    pub at: PathBuf,
    /// What is read. If it is no directory, its name must be that of `at`.
    pub from: PathBuf,
    /// Whether `at` is on no disk, such as `/@lvm/vg0/web`. Other views take the place of what is there.
    pub detached: bool,
}

impl View {
    /// A view in the place of what is there.
    pub fn new(at: impl Into<PathBuf>, from: impl Into<PathBuf>) -> Self {
        Self { at: at.into(), from: from.into(), detached: false }
    }

    /// A view where no disk has anything.
    pub fn detached(at: impl Into<PathBuf>, from: impl Into<PathBuf>) -> Self {
        Self { detached: true, ..Self::new(at, from) }
    }
}

/// Where a path is read: through the innermost view that holds it, else at its own place.
pub fn read_from(views: &[View], path: &Path) -> PathBuf {
    let holding = views.iter().filter_map(|view| Some((view, path.strip_prefix(&view.at).ok()?)));
    match holding.max_by_key(|(view, _)| view.at.components().count()) {
        // Joining nothing would add a `/`, which follows links.
        Some((view, rest)) if rest.as_os_str().is_empty() => view.from.clone(),
        Some((view, rest)) => view.from.join(rest),
        None => path.to_owned(),
    }
}

/// Views, ready to be asked for each name of a walk.
#[derive(Debug, Clone, Default)]
pub(super) struct Views {
    root: Option<PathBuf>,
    /// By the directory that shows them, then by name.
    by_place: HashMap<Vec<u8>, HashMap<Vec<u8>, PathBuf>>,
}

impl Views {
    /// Those of `views` that take the place of something.
    pub(super) fn new(views: &[View]) -> Self {
        let mut found = Self::default();
        for view in views.iter().filter(|view| !view.detached) {
            match (view.at.parent(), view.at.file_name()) {
                (Some(parent), Some(name)) => {
                    let named = found.by_place.entry(parent.as_os_str().as_bytes().to_vec()).or_default();
                    named.insert(name.as_bytes().to_vec(), view.from.clone());
                }
                _ => found.root = Some(view.from.clone()),
            }
        }
        found
    }

    /// Where the root directory is read.
    pub(super) fn root(&self) -> &Path {
        self.root.as_deref().unwrap_or(Path::new("/"))
    }

    /// Where the entry `name` of the directory `place` is read, unless that is its own place.
    pub(super) fn of(&self, place: &[u8], name: &[u8]) -> Option<&Path> {
        if self.by_place.is_empty() {
            return None;
        }
        self.by_place.get(place)?.get(name).map(PathBuf::as_path)
    }
}

/// The names of an absolute path, from the root directory on.
pub(super) fn names_of(path: &Path) -> Vec<Vec<u8>> {
    path.iter().filter(|name| *name != OsStr::new("/")).map(|name| name.as_bytes().to_vec()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_through_the_innermost_view_that_holds_it() {
        let views = [View::new("/", "/frozen/root"), View::new("/srv", "/srv"), View::new("/srv/data", "/frozen/data")];
        for (path, from) in [
            ("/etc/passwd", "/frozen/root/etc/passwd"),
            ("/srv/www", "/srv/www"),
            ("/srv/data", "/frozen/data"),
            ("/srv/data/a/b", "/frozen/data/a/b"),
            ("/srv/database", "/srv/database"),
        ] {
            assert_eq!(read_from(&views, Path::new(path)), Path::new(from), "{path}");
        }
        assert_eq!(read_from(&[], Path::new("/etc")), Path::new("/etc"));
    }
}
