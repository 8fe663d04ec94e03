//! What is wrong with a configuration, where, and what was probably meant.

use std::io;

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration {file} cannot be read")]
    Unreadable {
        /// The file.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// It is not JSON or TOML, or says something that is not understood.
    #[error("{file}:{line}: {path}{why}{advice}")]
    NotUnderstood {
        /// The file.
        file: String,
        /// The line, counted from 1.
        line: usize,
        /// Where in the structure, such as `jobs.state: `; may be empty.
        path: String,
        /// What is wrong.
        why: String,
        /// What to do, after a semicolon; may be empty.
        advice: String,
    },
    /// Each part is right, but they do not fit together.
    #[error("{file}: {path}: {why}")]
    Contradiction {
        /// The file.
        file: String,
        /// Where in the structure.
        path: String,
        /// What is wrong and what to do.
        why: String,
    },
    /// A job was asked for that is not configured.
    #[error("there is no job `{name}`{advice}")]
    NoJob {
        /// The name.
        name: String,
        /// What to do, after a semicolon; may be empty.
        advice: String,
    },
    /// A mirror was asked for that is not configured.
    #[error("there is no mirror `{name}`{advice}")]
    NoMirror {
        /// The name.
        name: String,
        /// What to do, after a semicolon; may be empty.
        advice: String,
    },
    /// A drill was asked for that is not configured.
    #[error("there is no drill `{name}`{advice}")]
    NoDrill {
        /// The name.
        name: String,
        /// What to do, after a semicolon; may be empty.
        advice: String,
    },
    /// A repository was asked for that is not configured.
    #[error("there is no repository `{name}`{advice}")]
    NoRepository {
        /// The name.
        name: String,
        /// What to do, after a semicolon; may be empty.
        advice: String,
    },
}

/// How much two names must have in common for one to be taken for a misspelling of the other, 0 to 1.
const ALIKE: f64 = 0.75;

/// "; did you mean `x`?", or the list of what there is, or nothing.
pub(super) fn advice<'a>(wrong: &str, known: impl Iterator<Item = &'a str>, list: &str) -> String {
    let known: Vec<&str> = known.collect();
    let plain = |name: &str| name.replace(['_', '-'], "").to_lowercase();
    let likeness = |name: &&&str| strsim::jaro_winkler(&plain(name), &plain(wrong));
    let near = known.iter().filter(|name| likeness(name) >= ALIKE).max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match near {
        Some(name) => format!("; did you mean `{name}`?"),
        None if known.is_empty() => String::new(),
        None => format!("; {list}: {}", known.join(", ")),
    }
}
