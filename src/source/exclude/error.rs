//! What can be wrong with rules; each error quotes the rule and says what would be right.

use std::io;
use std::path::PathBuf;

/// A rule that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExcludeError {
    /// A malformed pattern, or one that could never match.
    #[error("pattern `{pattern}`: {problem}")]
    Pattern {
        /// The pattern as it was given.
        pattern: String,
        /// What is wrong, and what to write instead.
        problem: String,
    },
    /// A malformed line in a file of patterns.
    #[error("{}, line {line}: {source}", file.display())]
    Line {
        /// The file.
        file: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// What is wrong with it.
        source: Box<ExcludeError>,
    },
    /// A file of patterns that cannot be read.
    #[error("cannot read the patterns in {}: {source}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A malformed marker.
    #[error("marker `{marker}`: {problem}; write a file's name such as `.nobackup`, or `NAME:HEADER`")]
    Marker {
        /// The marker as it was given.
        marker: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// Patterns that cannot be compiled together.
    #[error("the patterns are too large together ({problem}); use fewer or simpler ones")]
    TooLarge {
        /// What the compiler said.
        problem: String,
    },
}

impl ExcludeError {
    /// An error about one pattern.
    pub(super) fn pattern(pattern: impl Into<String>, problem: impl ToString) -> Self {
        ExcludeError::Pattern { pattern: pattern.into(), problem: problem.to_string() }
    }
}
