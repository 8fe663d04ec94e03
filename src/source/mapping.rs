//! Places that the snapshot shows elsewhere than they lie: state that outlives a start of the machine below a directory of its own,
//! because the root directory does not.
//!
//! ```text
//!   /var/lib <- /persist/var/lib       the mapping
//!   /var/lib/app  --> locate           /persist/var/lib/app if it is there, else /var/lib/app
//!   /var          --> Reading          /var, in it /var/lib <- /persist/var/lib, and beside its entries those that only /var/lib has
//!                       --> views
//! ```
//!
//! The innermost mapping wins where it has something. Nothing is mapped twice.

mod pattern;
mod reading;

use std::collections::BTreeMap;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::view::below;
use super::walk::absolute;
pub use pattern::PlacedPattern;
pub use reading::Reading;

/// How often one link may lead to the next.
const LINKS: usize = 40;

/// Something that is there: what the snapshot calls it, and where it is read. Both are absolute and without links but for the last name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// What the snapshot shows.
    pub at: PathBuf,
    /// What is read.
    pub from: PathBuf,
}

impl Place {
    /// Something that is shown where it lies.
    pub fn own(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self { from: path.clone(), at: path }
    }
}

/// A place that is mapped.
#[derive(Debug, Clone)]
struct Mapped {
    /// As it was written.
    written: PathBuf,
    /// Without links.
    at: PathBuf,
    /// Without links.
    from: PathBuf,
}

impl Mapped {
    /// What of a path lies within the place.
    fn rest<'p>(&self, path: &'p Path) -> Option<&'p Path> {
        path.strip_prefix(&self.written).or_else(|_| path.strip_prefix(&self.at)).ok()
    }
}

/// Which places are read elsewhere.
#[derive(Debug, Clone, Default)]
pub struct Mapping {
    /// Those that can be read, innermost first.
    places: Vec<Mapped>,
    /// The others, with what is to be said of them.
    unusable: Vec<(PathBuf, String)>,
}

/// What a path leads to.
enum Step {
    Found(Place),
    /// A link on its way leads to this.
    Elsewhere(PathBuf),
}

impl Mapping {
    /// From the places that are shown to those that are read.
    pub fn new(read_from: &BTreeMap<String, PathBuf>) -> Self {
        let mut mapping = Self::default();
        for (written, from) in read_from {
            let written = PathBuf::from(written);
            match readable(&written, from) {
                Ok(from) => {
                    let at = absolute(&written).unwrap_or_else(|_| written.clone());
                    mapping.places.push(Mapped { written, at, from });
                }
                Err(error) => {
                    let why = format!("is read at its own place, as {} cannot be read for it ({error})", from.display());
                    mapping.unusable.push((written, why));
                }
            }
        }
        mapping.places.sort_by_key(|mapped| std::cmp::Reverse(mapped.at.components().count()));
        mapping
    }

    /// Mapped places that cannot be read elsewhere, and why, so far as they concern a path.
    pub fn unusable_for<'m>(&'m self, path: &'m Path) -> impl Iterator<Item = (&'m Path, &'m str)> {
        let concerned = self.unusable.iter().filter(move |(at, _)| at.starts_with(path) || path.starts_with(at));
        concerned.map(|(at, why)| (at.as_path(), why.as_str()))
    }

    /// Where a path is read: in the innermost mapped place that has it, else where it lies. Links on its way are followed, but not one that it
    /// is itself, unless it ends with a `/`.
    ///
    /// # Errors
    /// If it is in none of these places, or one of them cannot be looked into.
    pub fn locate(&self, path: &Path) -> io::Result<Place> {
        let mut path = path.to_owned();
        for _ in 0..LINKS {
            match self.step(&path)? {
                Step::Found(place) => return Ok(place),
                Step::Elsewhere(next) => path = next,
            }
        }
        Err(io::Error::other("links on its way lead in a circle"))
    }

    fn step(&self, path: &Path) -> io::Result<Step> {
        let mut looked = Vec::new();
        for (mapped, rest) in self.holding(path) {
            let candidate = below(&mapped.from, rest);
            // A `/` at the end says that a link is meant to be followed, and is lost among components.
            let candidate = if path.as_os_str().as_bytes().ends_with(b"/") { candidate.join("") } else { candidate };
            match existing(&candidate) {
                Ok(found) if found == candidate => return Ok(Step::Found(Place { at: below(&mapped.at, rest), from: found })),
                Ok(found) => {
                    return Ok(Step::Elsewhere(found.strip_prefix(&mapped.from).map_or(found.clone(), |rest| below(&mapped.at, rest))));
                }
                Err(error) if is_absence(&error) => looked.push(candidate),
                Err(error) => return Err(io::Error::new(error.kind(), format!("{error}, at {}", candidate.display()))),
            }
        }
        match existing(path) {
            Ok(found) if found == path => Ok(Step::Found(Place::own(found))),
            Ok(found) => Ok(Step::Elsewhere(found)),
            Err(error) if is_absence(&error) && !looked.is_empty() => {
                let looked: Vec<String> = looked.iter().map(|place| place.display().to_string()).collect();
                Err(io::Error::new(error.kind(), format!("{error}, nor at {}", looked.join(" or "))))
            }
            Err(error) => Err(error),
        }
    }

    /// Mapped places that hold a path, innermost first, each with what of the path lies within.
    fn holding<'p>(&self, path: &'p Path) -> impl Iterator<Item = (&Mapped, &'p Path)> {
        self.places.iter().filter_map(move |mapped| Some((mapped, mapped.rest(path)?)))
    }
}

/// A place to be read, without links.
fn readable(at: &Path, from: &Path) -> io::Result<PathBuf> {
    let from = from.canonicalize()?;
    // The walk reads a file in another directory, but under its own name.
    if !from.is_dir() && from.file_name() != at.file_name() {
        return Err(io::Error::other("it is a file with another name"));
    }
    Ok(from)
}

/// A path without links on its way, if something is there.
fn existing(path: &Path) -> io::Result<PathBuf> {
    let path = absolute(path)?;
    path.symlink_metadata().map(|_| path)
}

fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests;
