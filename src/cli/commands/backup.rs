//! `backup`: makes a snapshot.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Args;
use serde::Serialize;

use crate::cli::args;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::keys::Key;
use crate::cli::progress::{Progress, grouped};
use crate::cli::render::text;
use crate::cli::signals::Interrupt;
use crate::content::backup::{BackupOptions, Summary, backup};
use crate::model::event::{Event, Monitor as _};
use crate::model::human;
use crate::source::database::sqlite::{Databases, Depth};
use crate::source::exclude::Excludes;
use crate::source::stream::{Once, VirtualFile};
use crate::source::walk;
use crate::store::Requests;

/// Make a snapshot of files and directories
#[derive(Debug, Args)]
pub struct Backup {
    /// What to back up
    #[arg(value_name = "PATH", required_unless_present = "stdin", conflicts_with = "stdin")]
    paths: Vec<PathBuf>,

    /// Leave out what matches, as in .gitignore; with a leading / it is the whole path. A leading ! takes back
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<OsString>,

    /// Leave out what matches a line of this file; lines count before --exclude
    #[arg(long, value_name = "FILE")]
    exclude_from: Vec<PathBuf>,

    /// Leave out the content of directories that hold such a file
    #[arg(long, value_name = "NAME[:HEADER]")]
    exclude_if_present: Vec<OsString>,

    /// Leave out the content of directories that are tagged as caches (CACHEDIR.TAG)
    #[arg(long)]
    exclude_caches: bool,

    /// Leave out larger files
    #[arg(long, value_name = "SIZE", value_parser = args::size)]
    exclude_larger_than: Option<u64>,

    /// Do not descend into other filesystems
    #[arg(long, short = 'x')]
    one_file_system: bool,

    /// Save SQLite databases, found by their header, as consistent copies of one moment
    #[arg(long)]
    sqlite: bool,

    /// Label the snapshot
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,

    /// Name of the machine [default: this host's name]
    #[arg(long, value_name = "HOST")]
    host: Option<String>,

    /// Name of the job
    #[arg(long, value_name = "JOB", default_value = "")]
    job: String,

    /// Store nothing, only count
    #[arg(long, short = 'n')]
    dry_run: bool,

    /// Make no snapshot if nothing has changed; of standard input only the content counts
    #[arg(long)]
    skip_if_unchanged: bool,

    /// Save standard input as one file
    #[arg(long, requires = "stdin_name")]
    stdin: bool,

    /// The file's name in the snapshot
    #[arg(long, value_name = "NAME", requires = "stdin")]
    stdin_name: Option<OsString>,

    /// zstd level: 1 is fast, 19 is small
    #[arg(long, value_name = "LEVEL", default_value_t = 3, value_parser = clap::value_parser!(i32).range(1..=22))]
    compression: i32,

    /// Read everything, even what seems unchanged
    #[arg(long)]
    read_all: bool,

    /// Do not take another inode number for a change; for filesystems that have no lasting ones
    #[arg(long)]
    ignore_inode: bool,
}

/// This host's name.
///
/// # Errors
/// If it has none.
pub fn host_name() -> anyhow::Result<String> {
    let name = nix::unistd::gethostname().context("this host has no name; give one")?;
    Ok(name.to_string_lossy().into_owned())
}

impl Backup {
    /// Runs the command.
    ///
    /// # Errors
    /// If no snapshot could be made.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let key = Key::Writer(Box::new(context.writer_key()?));
        let repository = context.repository(Some(&key))?;
        let Key::Writer(key) = key else { bail!("not a writer key") };
        let state = context.state(&repository.id())?;
        let progress = context.progress()?;
        let options = self.options(context, &progress)?;
        let summary = backup(&repository, &key, options, &state, &progress)?;
        progress.finish();
        context.document(&Report {
            repository: repository.id().to_bech32(),
            dry_run: self.dry_run,
            warnings: progress.warnings(),
            requests: repository.store().requests(),
            summary: &summary,
        })?;
        context.summary(&summary_text(&summary, self.dry_run, progress.warnings()))?;
        Ok(context.end(&progress))
    }

    fn options(&self, context: &Context, progress: &Progress) -> anyhow::Result<BackupOptions> {
        Ok(BackupOptions {
            paths: self.paths(progress)?,
            streams: self.stream(context)?,
            databases: self.sqlite.then(|| Arc::new(Databases::new(&[], true, Depth::Full))),
            excludes: self.excludes()?,
            one_file_system: self.one_file_system,
            skip: context.directory()?.into_iter().chain([context.state_base()?]).collect(),
            tags: self.tags.clone(),
            host: self.host.clone().map_or_else(host_name, Ok)?,
            job: self.job.clone(),
            level: self.compression,
            dry_run: self.dry_run,
            skip_if_unchanged: self.skip_if_unchanged,
            read_all: self.read_all,
            trust_inodes: !self.ignore_inode,
            estimate: progress.is_display(),
            ..BackupOptions::default()
        })
    }

    fn excludes(&self) -> anyhow::Result<Excludes> {
        let mut rules = Excludes::builder();
        for file in &self.exclude_from {
            rules = rules.patterns_from(file)?;
        }
        for pattern in &self.exclude {
            rules = rules.pattern(pattern)?;
        }
        for marker in &self.exclude_if_present {
            rules = rules.if_present(marker)?;
        }
        if self.exclude_caches {
            rules = rules.caches();
        }
        if let Some(bytes) = self.exclude_larger_than {
            rules = rules.larger_than(bytes);
        }
        Ok(rules.build()?)
    }

    fn stream(&self, context: &Context) -> anyhow::Result<Vec<VirtualFile>> {
        let Some(name) = &self.stdin_name else { return Ok(Vec::new()) };
        let standard = Box::new(Standard { interrupt: context.interrupt.clone() });
        Ok(vec![VirtualFile { path: vec![stream_name(name)?], source: Arc::new(Once::new(standard)), required: true }])
    }

    fn paths(&self, progress: &Progress) -> anyhow::Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for path in &self.paths {
            match usable(path) {
                Ok(absolute) => paths.push(absolute),
                Err(error) => progress
                    .event(Event::warning(path.display().to_string(), format!("cannot be read ({error}); it is not in this snapshot"))),
            }
        }
        anyhow::ensure!(!paths.is_empty() || self.stdin, "none of the paths can be read; no snapshot was made");
        Ok(paths)
    }
}

/// What a backup did, for people.
pub(super) fn summary_text(summary: &Summary, dry_run: bool, warnings: u64) -> String {
    let statistics = &summary.statistics;
    let what = match summary.snapshot {
        Some(id) => format!("Snapshot {}", id.short()),
        None if dry_run => "Dry run, nothing was stored".into(),
        None => "No snapshot: nothing has changed".into(),
    };
    let read = format!(
        "{} in {}, {} in directories: {}",
        human::size(statistics.bytes),
        text::count(statistics.files, "file"),
        grouped(statistics.directories),
        changed(statistics.files_read, statistics.bytes_read)
    );
    let added = format!("{} new, {} stored", human::size(statistics.bytes_new), human::size(statistics.bytes_stored));
    let time = std::time::Duration::from_secs_f64(summary.seconds.max(0.0));
    let mut rows =
        vec![("Source", read), ("Added", added), ("Time", format!("{}, {}", human::duration(time), human::rate(statistics.bytes, time)))];
    if warnings > 0 {
        rows.push(("Warnings", format!("{}: the snapshot is complete but for what is said above", grouped(warnings))));
    }
    format!("{what}\n{}", indent(&text::fields(&rows)))
}

fn changed(files: u64, bytes: u64) -> String {
    if files == 0 { "none changed".into() } else { format!("{} changed, {}", grouped(files), human::size(bytes)) }
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

#[derive(Serialize)]
struct Report<'a> {
    repository: String,
    dry_run: bool,
    warnings: u64,
    /// Requests to the repository's server.
    #[serde(skip_serializing_if = "Option::is_none")]
    requests: Option<Requests>,
    #[serde(flatten)]
    summary: &'a Summary,
}

/// The path made absolute, if it is there. That it is a link, and not what the link leads to, surprises people.
fn usable(path: &Path) -> io::Result<PathBuf> {
    let absolute = walk::absolute(path)?;
    if absolute.symlink_metadata()?.is_symlink() {
        tracing::warn!(subject = %path.display(), "is a symbolic link and is saved as such; write {}/ for what it leads to", path.display());
    }
    Ok(absolute)
}

/// A stream's name is that of one file.
fn stream_name(name: &OsString) -> anyhow::Result<Vec<u8>> {
    let bytes = name.as_bytes();
    let bad = matches!(bytes, b"" | b"." | b"..") || bytes.contains(&b'/') || bytes.contains(&0) || bytes.len() > 255;
    anyhow::ensure!(!bad, "--stdin-name must be the name of one file, such as database.sql, not `{}`", name.display());
    Ok(name.clone().into_vec())
}

/// Standard input, which ends with an error once a signal has come: the program that wrote to it was interrupted too, and what
/// looks like the end of a dump is not.
struct Standard {
    interrupt: Interrupt,
}

impl Read for Standard {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = io::stdin().lock().read(buffer);
        match self.interrupt.is_set() {
            true => Err(io::Error::other("the run was asked to stop")),
            false => read,
        }
    }
}
