//! Arguments that several commands share.

use std::ffi::OsStr;
use std::path::PathBuf;

use clap::builder::TypedValueParser;
use clap::{Arg, Args, Command};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::model::rate::{RateError, parse_rate};
use crate::model::shell::quoted;
use crate::model::size::parse_size;
use crate::model::span::Span;

/// Options of every command.
#[derive(Debug, Clone, Default, Args)]
pub struct Global {
    /// Where the repository is: a directory, https://HUB/NAME, sftp://user@host/path or s3://BUCKET/PREFIX, with #hb1... at the end to say which one it must be
    #[arg(long, short, global = true, env = "HEARTH_REPO", hide_env_values = true, value_name = "REPO", help_heading = "Common options")]
    pub repo: Option<String>,

    /// Key file: a writer key to back up, a restore key to read; `passphrase` asks for one
    #[arg(long, short, global = true, env = "HEARTH_KEY", hide_env_values = true, value_name = "FILE", help_heading = "Common options")]
    pub key: Option<PathBuf>,

    /// sftp://: a private key, beside those that ssh finds
    #[arg(long, global = true, env = "HEARTH_IDENTITY", hide_env_values = true, value_name = "FILE", help_heading = "Common options")]
    pub identity: Option<PathBuf>,

    /// sftp://: the command instead of `ssh`, with its first arguments, such as `ssh -F FILE`
    #[arg(long, global = true, env = "HEARTH_SSH", hide_env_values = true, value_name = "COMMAND", help_heading = "Common options")]
    pub ssh: Option<String>,

    /// Where this machine keeps its caches and what it has seen of repositories [default: /var/lib/hearth-backup for root, else ~/.local/state/hearth-backup]
    #[arg(long, global = true, env = "HEARTH_CACHE", hide_env_values = true, value_name = "DIR", help_heading = "Common options")]
    pub state: Option<PathBuf>,

    /// File with the access key of the repository's bucket, like ~/.aws/credentials or with lines AWS_ACCESS_KEY_ID=..., or with the secret options of another service
    #[arg(
        long,
        global = true,
        env = "HEARTH_CREDENTIALS_FILE",
        hide_env_values = true,
        value_name = "FILE",
        help_heading = "Common options"
    )]
    pub credentials_file: Option<PathBuf>,

    /// https://: file with the token that the hub knows this machine by
    #[arg(long, global = true, env = "HEARTH_TOKEN_FILE", hide_env_values = true, value_name = "FILE", help_heading = "Common options")]
    pub token_file: Option<PathBuf>,

    /// http://: speak to a hub on another machine without encryption; whoever listens learns the token
    #[arg(long, global = true, help_heading = "Common options")]
    pub allow_plain_http: bool,

    /// Requests to the repository's server at the same time [default: 8]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256), help_heading = "Common options")]
    pub connections: Option<u16>,

    /// Write at most so much to a repository in a second, such as 500kB, 2MB or 2MiB
    #[arg(long, global = true, value_name = "RATE", value_parser = rate, help_heading = "Common options")]
    pub limit_upload: Option<u64>,

    /// Read at most so much from a repository in a second, such as 500kB, 2MB or 2MiB
    #[arg(long, global = true, value_name = "RATE", value_parser = rate, help_heading = "Common options")]
    pub limit_download: Option<u64>,

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
    #[arg(id = "snapshot-path", long = "path", value_name = "PATH")]
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

/// A size argument that is one second's, for clap.
///
/// # Errors
/// If it is not a size, nothing at all, or so few bytes that a unit was forgotten.
pub fn rate(text: &str) -> Result<u64, RateError> {
    parse_rate(text)
}

/// A percentage argument from 0 to 100, with or without `%`, for clap.
///
/// # Errors
/// If it is not one.
pub fn percent(text: &str) -> Result<u8, String> {
    let number = text.trim().trim_end_matches('%');
    number.parse().ok().filter(|percent| *percent <= 100).ok_or_else(|| "a whole number from 0 to 100 is needed".to_owned())
}

/// A percentage for clap, of an option that may also stand alone. It takes the next word, whatever was meant by that; so the error says how
/// the two are kept apart.
#[derive(Debug, Clone, Copy)]
pub struct OptionalPercent;

impl TypedValueParser for OptionalPercent {
    type Value = u8;

    fn parse_ref(&self, command: &Command, option: Option<&Arg>, value: &OsStr) -> Result<u8, clap::Error> {
        let name = option.and_then(Arg::get_long).unwrap_or_default().to_owned();
        let takes_words = command.get_positionals().next().is_some();
        let parse = move |text: &str| percent(text).map_err(|why| format!("{why}{}", instead(text, &name, takes_words)));
        parse.parse_ref(command, option, value)
    }
}

/// What to write instead of a word behind an option that takes it for a percentage; nothing of what looks like a number.
fn instead(text: &str, option: &str, takes_words: bool) -> String {
    if !text.contains(|letter: char| letter.is_alphabetic() || letter == '/') {
        return String::new();
    }
    let word = quoted(text);
    if takes_words {
        format!(", and the next word is taken for it; write `--{option}=100 {word}`, or `{word} --{option}`")
    } else {
        format!(", and the next word is taken for it; write `--{option}=100`, and a repository as `--repo {word}`")
    }
}

/// A moment in the past for clap: a date, with a time if wanted, by this machine's clock or with an offset; or how long ago.
///
/// # Errors
/// If it is none, or lies in the future.
pub fn moment(text: &str) -> Result<Timestamp, String> {
    let now = Timestamp::now();
    let moment = moment_by(text, now, &TimeZone::system())?;
    if moment > now { Err(format!("{moment} is in the future")) } else { Ok(moment) }
}

fn moment_by(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Timestamp, String> {
    let text = text.trim();
    if let Ok(span) = text.parse::<Span>() {
        return Ok(span.before(now, zone));
    }
    let local = || text.parse::<DateTime>().ok()?.to_zoned(zone.clone()).ok().map(|zoned| zoned.timestamp());
    // With an offset it is not a local time, though it parses as one.
    let moment = text.parse::<Timestamp>().ok().or_else(local);
    moment.ok_or_else(|| "write `2026-11-20`, `2026-11-20 14:00`, `2026-11-20T14:00:00Z`, or how long ago: `36h`, `3d`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_dates_times_and_spans() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let now = "2026-11-21T12:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("2026-11-20", "2026-11-19T22:00:00Z"),
            ("2026-11-20 14:00", "2026-11-20T12:00:00Z"),
            ("2026-11-20T14:00:30", "2026-11-20T12:00:30Z"),
            ("2026-11-20T14:00:00Z", "2026-11-20T14:00:00Z"),
            ("2026-11-20 14:00:00-05:00", "2026-11-20T19:00:00Z"),
            ("36h", "2026-11-20T00:00:00Z"),
            ("1d", "2026-11-20T12:00:00Z"),
        ] {
            assert_eq!(moment_by(text, now, &zone).unwrap(), expected.parse().unwrap(), "{text}");
        }
        for text in ["", "yesterday", "2026", "14:00", "2026-13-01", "-3d"] {
            let error = moment_by(text, now, &zone).unwrap_err();
            assert!(error.contains("36h"), "{text}: {error}");
        }
        assert!(moment("2999-01-01").unwrap_err().contains("future"));
    }
}
