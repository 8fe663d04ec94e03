//! Views: directories that are read from elsewhere than where the snapshot shows them.
//!
//! ```text
//!   /srv/data  (shown)  <--  /srv/.hearth-backup/NAME/data  (read: it stands still)
//!   /@lvm/vg0/web       <--  where a logical volume is mounted for the run
//!   /var/lib/app        <--  /persist/var/lib/app (see `mapping`), and of that again a snapshot
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
    /// How it fits into what lies around it.
    pub kind: Kind,
}

/// How a view fits into what lies around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// In the place of what is there.
    Replacing,
    /// The same, and it belongs to the filesystem around it whatever it lies on.
    Joined,
    /// `at` is on no disk, such as `/@lvm/vg0/web`. Other views take the place of what is there.
    Detached,
    /// A directory that is nowhere, and shown for the views within it.
    Hollow,
}

impl View {
    /// A view in the place of what is there.
    pub fn new(at: impl Into<PathBuf>, from: impl Into<PathBuf>) -> Self {
        Self { at: at.into(), from: from.into(), kind: Kind::Replacing }
    }

    /// A view that belongs to the filesystem around it.
    pub fn joined(at: impl Into<PathBuf>, from: impl Into<PathBuf>) -> Self {
        Self { kind: Kind::Joined, ..Self::new(at, from) }
    }

    /// A view where no disk has anything.
    pub fn detached(at: impl Into<PathBuf>, from: impl Into<PathBuf>) -> Self {
        Self { kind: Kind::Detached, ..Self::new(at, from) }
    }

    /// A directory that is nowhere.
    pub fn hollow(at: impl Into<PathBuf>) -> Self {
        let at = at.into();
        Self { kind: Kind::Hollow, from: at.clone(), at }
    }
}

/// Where a path is read: through the innermost view that holds it, else at its own place.
pub fn read_from(views: &[View], path: &Path) -> PathBuf {
    let holding = views.iter().filter_map(|view| Some((view, path.strip_prefix(&view.at).ok()?)));
    match holding.max_by_key(|(view, _)| view.at.components().count()) {
        Some((view, rest)) => below(&view.from, rest),
        None => path.to_owned(),
    }
}

/// The views that show what `shown` shows, but read it from where `still` has it.
pub fn compose(shown: &[View], still: &[View]) -> Vec<View> {
    let mut all = still.to_vec();
    for view in shown.iter().filter(|view| view.kind != Kind::Hollow) {
        let within = still.iter().filter(|inner| inner.at != view.from && inner.kind != Kind::Detached);
        let moved = within.filter_map(|inner| Some((below(&view.at, inner.at.strip_prefix(&view.from).ok()?), inner)));
        // What another view within this one shows is not read here.
        let moved = moved.filter(|(at, inner)| read_from(shown, at) == inner.at);
        all.extend(moved.map(|(at, inner)| View { at, ..inner.clone() }));
    }
    // Last, as of two views of one place the last one counts.
    all.extend(shown.iter().map(|view| match view.kind {
        Kind::Hollow => view.clone(),
        _ => View { from: read_from(still, &view.from), ..view.clone() },
    }));
    all
}

/// Joining nothing would add a `/`, which follows links.
pub(super) fn below(top: &Path, rest: &Path) -> PathBuf {
    if rest.as_os_str().is_empty() { top.to_owned() } else { top.join(rest) }
}

/// Views, ready to be asked for each name of a walk.
#[derive(Debug, Clone, Default)]
pub(super) struct Views {
    root: Option<PathBuf>,
    /// By the directory that shows them, then by name.
    by_place: HashMap<Vec<u8>, HashMap<Vec<u8>, View>>,
}

impl Views {
    /// Those of `views` that take the place of something.
    pub(super) fn new(views: &[View]) -> Self {
        let mut found = Self::default();
        for view in views.iter().filter(|view| view.kind != Kind::Detached) {
            match (view.at.parent(), view.at.file_name()) {
                (Some(parent), Some(name)) => {
                    let named = found.by_place.entry(parent.as_os_str().as_bytes().to_vec()).or_default();
                    named.insert(name.as_bytes().to_vec(), view.clone());
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

    /// The view of the entry `name` of the directory `place`, if it has one.
    pub(super) fn of(&self, place: &[u8], name: &[u8]) -> Option<&View> {
        if self.by_place.is_empty() {
            return None;
        }
        self.by_place.get(place)?.get(name)
    }

    /// The names of all views in the directory `place`.
    pub(super) fn names_in(&self, place: &[u8]) -> impl Iterator<Item = &[u8]> {
        self.by_place.get(place).into_iter().flat_map(|named| named.keys().map(Vec::as_slice))
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

    #[test]
    fn what_is_shown_elsewhere_is_read_from_where_it_stands_still() {
        let shown = [View::joined("/var/lib", "/persist/lib"), View::new("/var/lib/own", "/var/lib/own"), View::hollow("/gone")];
        let still = [
            View::new("/persist", "/frozen/persist"),
            View::new("/persist/lib/app/media", "/frozen/media"),
            View::new("/persist/lib/own/hidden", "/frozen/hidden"),
            View::new("/var/lib/app/media", "/frozen/other"),
        ];
        let views = compose(&shown, &still);
        for (path, from) in [
            ("/var/lib/app", "/frozen/persist/lib/app"),
            ("/var/lib/app/media/film", "/frozen/media/film"),
            ("/var/lib/own/hidden", "/var/lib/own/hidden"),
            ("/persist/lib/app", "/frozen/persist/lib/app"),
            ("/gone/x", "/gone/x"),
        ] {
            assert_eq!(read_from(&views, Path::new(path)), Path::new(from), "{path}");
        }
    }
}
