//! Arguments that several commands share.

use std::path::PathBuf;

use clap::Args;

use crate::model::size::parse_size;

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Where the repository is: a directory, with #hb1... at the end to say which one it must be
    #[arg(long, short, global = true, env = "HEARTH_REPO", hide_env_values = true, value_name = "REPO", help_heading = "Common options")]
    pub repo: Option<String>,

    /// Key file: a writer key to back up, a restore key to read; `passphrase` asks for one
    #[arg(long, short, global = true, env = "HEARTH_KEY", hide_env_values = true, value_name = "FILE", help_heading = "Common options")]
    pub key: Option<PathBuf>,

    /// Where this machine keeps its caches and what it has seen of repositories
    #[arg(long, global = true, env = "HEARTH_CACHE", hide_env_values = true, value_name = "DIR", help_heading = "Common options")]
    pub state: Option<PathBuf>,

    /// Machine-readable output on standard output
    #[arg(long, global = true, help_heading = "Common options")]
    pub json: bool,

    /// Say only what went wrong
    #[arg(long, short, global = true, help_heading = "Common options")]
    pub quiet: bool,

    /// Say more; for finding out why
    #[arg(long, short, global = true, conflicts_with = "quiet", help_heading = "Common options")]
    pub verbose: bool,

    /// Do not show progress
    #[arg(long, global = true, help_heading = "Common options")]
    pub no_progress: bool,

    /// Take the repository that is found for the right one, and remember it
    #[arg(long, global = true, help_heading = "Common options")]
    pub trust_new_repository: bool,
}

/// Which snapshots are meant, by what they are labelled with.
#[derive(Debug, Clone, Default, Args)]
pub struct SnapshotFilter {
    /// Only snapshots of this host
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,

    /// Only snapshots of this job
    #[arg(long, value_name = "JOB")]
    pub job: Option<String>,

    /// Only snapshots that were made of this path
    #[arg(long = "path", value_name = "PATH")]
    pub path: Option<PathBuf>,

    /// Only snapshots with all these tags
    #[arg(long = "tag", value_name = "TAG")]
    pub tags: Vec<String>,
}

/// A size argument, for clap.
///
/// # Errors
/// If it is not a size.
pub fn size(text: &str) -> Result<u64, crate::model::size::SizeError> {
    parse_size(text)
}

/// A percentage argument from 0 to 100, with or without `%`, for clap.
///
/// # Errors
/// If it is not one.
pub fn percent(text: &str) -> Result<u8, String> {
    let number = text.trim().trim_end_matches('%');
    number.parse().ok().filter(|percent| *percent <= 100).ok_or_else(|| "a whole number from 0 to 100 is needed".to_owned())
}
