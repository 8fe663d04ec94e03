//! What a backup leaves out, and what a restore takes.
//!
//! ```text
//!   --exclude, --exclude-from        -> pattern set --\
//!   --exclude-if-present, --exclude-caches -> markers --> Excludes   asked by the walk, entry by entry
//!   --exclude-larger-than            -> size --------/
//!   --include, --exclude of restore  -> two pattern sets -> Selection, asked by restore, ls and dump
//! ```
//!
//! Patterns are those of gitignore, with absolute paths:
//!
//! | pattern | leaves out |
//! |---|---|
//! | `*.o` | every entry with such a name, at any depth |
//! | `node_modules/` | every directory of that name, with all below it |
//! | `/var/cache` | that path only |
//! | `.cache/fontconfig` | that path below any directory |
//! | `/srv/**/tmp` | `tmp` at any depth below `/srv` |
//! | `/srv/cache/**` | everything below `/srv/cache`, but not the directory itself |
//! | `!keep.o` | takes back what an earlier pattern left out; the last pattern that matches decides |
//!
//! `*` and `?` never match a `/`; `[a-z]`, `[!a-z]` and `{one,two}` work; a backslash makes the next character literal. Matching is
//! by bytes and case sensitive, so names that are not UTF-8 match like any other, and `?` is one byte, as in git. What lies
//! below a directory that is left out is never looked at, so `!` cannot bring it back: write `/home/*` and `!/home/me`
//! rather than `/home` and `!/home/me`.

mod error;
mod file;
mod marker;
mod pattern;
mod selection;

use std::ffi::OsStr;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

pub use error::ExcludeError;
pub use marker::{Marker, MarkerError};
pub use selection::{Selection, Verdict};

use pattern::{Pattern, PatternSet};

/// What a backup leaves out. The default leaves out nothing.
#[derive(Debug, Clone, Default)]
pub struct Excludes {
    patterns: PatternSet,
    markers: Vec<Marker>,
    larger_than: Option<u64>,
}

impl Excludes {
    /// Starts a list of rules. Patterns count in the order in which they are added.
    pub fn builder() -> ExcludesBuilder {
        ExcludesBuilder::default()
    }

    /// Whether the patterns leave out the entry at the absolute `path`, whose last component is `name`.
    ///
    /// Never the root `/`. `is_dir` is false for symbolic links to directories. The caller does not descend into a directory that is left out. If
    /// [`needs_path`](Self::needs_path) says no, `path` may be empty.
    #[inline]
    pub fn matches(&self, path: &[u8], name: &[u8], is_dir: bool) -> bool {
        !self.patterns.is_empty() && self.patterns.decide(path, name, is_dir) == Some(true)
    }

    /// Whether the patterns leave out the directory `inner`, or one between it and `top`, which holds it.
    pub fn leaves_out_within(&self, top: &Path, inner: &Path) -> bool {
        let between = inner.ancestors().take_while(|place| *place != top);
        let mut named = between.filter_map(|place| Some((place, place.file_name()?)));
        named.any(|(place, name)| self.matches(place.as_os_str().as_bytes(), name.as_bytes(), true))
    }

    /// Whether [`matches`](Self::matches) looks at the path; if not, a walk need not build it.
    pub fn needs_path(&self) -> bool {
        self.patterns.needs_path()
    }

    /// Regular files of more than so many bytes are left out. The length counts, not what a sparse file occupies.
    pub fn larger_than(&self) -> Option<u64> {
        self.larger_than
    }

    /// Files whose presence leaves out the rest of their directory.
    pub fn markers(&self) -> &[Marker] {
        &self.markers
    }

    /// The marker that leaves out the content of the opened directory `dir`, in which `names` were listed.
    ///
    /// The directory itself and the marker are kept. Without markers, and in directories that list none, this costs no system call.
    ///
    /// # Errors
    /// If a marker is there but its header cannot be read, and no other marker decides; the directory is then to be kept.
    pub fn marker_in<'n>(&self, dir: BorrowedFd<'_>, names: impl IntoIterator<Item = &'n [u8]>) -> Result<Option<&Marker>, MarkerError> {
        if self.markers.is_empty() {
            return Ok(None);
        }
        let mut unreadable = None;
        for name in names {
            for marker in self.markers.iter().filter(|marker| marker.name() == name) {
                match marker.is_present_in(dir) {
                    Ok(true) => return Ok(Some(marker)),
                    Ok(false) => {}
                    Err(error) => unreadable = Some(error),
                }
            }
        }
        unreadable.map_or(Ok(None), Err)
    }
}

/// Collects the rules of [`Excludes`].
#[derive(Debug, Default)]
pub struct ExcludesBuilder {
    patterns: Vec<Pattern>,
    markers: Vec<Marker>,
    larger_than: Option<u64>,
}

impl ExcludesBuilder {
    /// Adds one pattern (`--exclude GLOB`).
    ///
    /// # Errors
    /// If the pattern is malformed or could never match.
    pub fn pattern(mut self, text: impl AsRef<OsStr>) -> Result<Self, ExcludeError> {
        self.patterns.push(Pattern::parse(text.as_ref())?);
        Ok(self)
    }

    /// Adds the patterns of a file (`--exclude-from FILE`): one a line; blank lines and lines that start with `#` are skipped,
    /// spaces at the end too unless a backslash precedes them; `\#` and `\!` start a pattern with that character.
    ///
    /// # Errors
    /// If the file cannot be read, or one of its lines is malformed; the error names file and line.
    pub fn patterns_from(mut self, path: impl AsRef<Path>) -> Result<Self, ExcludeError> {
        self.patterns.extend(file::read(path.as_ref())?);
        Ok(self)
    }

    /// Leaves out the content of directories that hold such a file (`--exclude-if-present NAME[:HEADER]`).
    ///
    /// # Errors
    /// If the name is not that of one file, or the header after the colon is empty.
    pub fn if_present(mut self, text: impl AsRef<OsStr>) -> Result<Self, ExcludeError> {
        self.markers.push(Marker::parse(text.as_ref())?);
        Ok(self)
    }

    /// Leaves out the content of directories tagged as caches (`--exclude-caches`, see bford.info/cachedir).
    #[must_use]
    pub fn caches(mut self) -> Self {
        self.markers.push(Marker::cache());
        self
    }

    /// Leaves out regular files of more than so many bytes (`--exclude-larger-than SIZE`).
    #[must_use]
    pub fn larger_than(mut self, bytes: u64) -> Self {
        self.larger_than = Some(bytes);
        self
    }

    /// Compiles the rules.
    ///
    /// # Errors
    /// If the patterns together are too large to compile.
    pub fn build(self) -> Result<Excludes, ExcludeError> {
        Ok(Excludes { patterns: PatternSet::new(self.patterns)?, markers: self.markers, larger_than: self.larger_than })
    }
}

#[cfg(test)]
mod tests;
