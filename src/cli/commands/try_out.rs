//! `try`: the whole of it on real files, without configuration: back up, again, check, restore, compare, prune.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::progress::Progress;
use crate::cli::render::text;
use crate::content::admin::{InitOptions, NewRepository};
use crate::content::backup::state::State;
use crate::content::backup::{BackupOptions, Input, Summary, backup};
use crate::content::browse::OpenSnapshot;
use crate::content::check::{self, DataReport};
use crate::content::keys::{RestoreKey, WriterKey, write_key_file};
use crate::content::restore::{Difference, RestoreOptions, RestoreSummary, compare, restore};
use crate::content::vault::Vault;
use crate::model::human;
use crate::sealed::repository::Repository;
use crate::sealed::snapshots::Snapshots;
use crate::sealed::{forget, gc};
use crate::source::exclude::Selection;
use crate::source::walk;
use crate::store::{Folder, open};

/// Try everything on real files: back up, check, restore, compare, in a throw-away repository
#[derive(Debug, Args)]
pub struct Try {
    /// What to try it on
    #[arg(value_name = "PATH", default_value = "/usr/share/doc")]
    path: PathBuf,

    /// Keep repository, keys and restored files in this new directory
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// What was done and found.
#[derive(Debug, Serialize)]
struct Trial {
    path: String,
    first: Summary,
    second: Summary,
    check: DataReport,
    check_seconds: f64,
    restore: RestoreSummary,
    compare_seconds: f64,
    differences: Vec<Difference>,
    pruned_bytes: u64,
    repository_bytes: u64,
    kept: Option<String>,
    equal: bool,
}

/// Where the trial takes place; deleted at the end unless it is kept.
enum Place {
    Kept(PathBuf),
    Temporary(tempfile::TempDir),
}

impl Place {
    fn path(&self) -> &Path {
        match self {
            Place::Kept(path) => path,
            Place::Temporary(dir) => dir.path(),
        }
    }
}

impl Try {
    /// Runs the command.
    ///
    /// # Errors
    /// If a step cannot be done.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let source = walk::absolute(&self.path).with_context(|| format!("cannot read {}", self.path.display()))?;
        std::fs::symlink_metadata(&source).with_context(|| format!("cannot read {}", source.display()))?;
        let place = match &self.keep {
            Some(dir) => {
                std::fs::create_dir(dir).with_context(|| format!("cannot make {}; name a directory that does not exist", dir.display()))?;
                Place::Kept(dir.canonicalize()?)
            }
            None => Place::Temporary(tempfile::Builder::new().prefix("hearth-backup-try-").tempdir()?),
        };
        context.say(&format!("Trying hearth-backup on {}\n\n", text::path(source.as_os_str().as_encoded_bytes())))?;
        let trial = self.steps(context, &source, place.path())?;
        context.document(&trial)?;
        context.say(&closing(&trial, place.path()))?;
        Ok(if trial.equal { Exit::Done } else { Exit::Failed })
    }

    fn steps(&self, context: &Context, source: &Path, place: &Path) -> anyhow::Result<Trial> {
        let (repository, writer, restore_key) = make_repository(place)?;
        let state = State::open(&place.join("state"), &repository.id())?;
        let run = |progress: &Progress| {
            let options = BackupOptions {
                input: Input::Paths(vec![source.to_owned()]),
                host: super::backup::host_name()?,
                job: "try".into(),
                skip: vec![place.to_owned()],
                ..BackupOptions::default()
            };
            anyhow::Ok(backup(&repository, &writer, options, &state, progress)?)
        };
        let first = step(context, &run)?;
        context.say(&line("Back up", first.seconds, &backed_up(&first)))?;
        let second = step(context, &run)?;
        context.say(&line("Again", second.seconds, &again(&second)))?;

        let vault = Vault::open(repository.clone(), &restore_key)?;
        let begun = Instant::now();
        let report = step(context, &|progress| Ok(check::read_data(&vault, progress)?))?;
        let check_seconds = begun.elapsed().as_secs_f64();
        context.say(&line("Check", check_seconds, &checked(&report)))?;

        let snapshots = Snapshots::load(&repository, Folder::Snapshots)?.list;
        let newest = snapshots.last().context("the snapshot is not there")?;
        let open = OpenSnapshot::open(&vault, newest)?;
        let options = RestoreOptions { target: place.join("restored"), ..RestoreOptions::default() };
        let restored = step(context, &|progress| Ok(restore(&vault, &open, &options, progress)?))?;
        context.say(&line("Restore", restored.seconds, &restored_text(&restored)))?;
        let begun = Instant::now();
        // Directories above the source are not compared: our own files may lie in them.
        let only = (source != Path::new("/")).then(|| escape(source));
        let below = Selection::new(only, std::iter::empty::<&str>())?;
        let differences = step(context, &|progress| {
            let mut found = compare(&vault, &open, &options.target, &below, progress)?;
            found.retain(|difference| !excused(difference, &restored));
            let live = compare(&vault, &open, Path::new("/"), &below, progress)?;
            found.extend(live.into_iter().map(|difference| Difference { path: format!("{} (source)", difference.path), ..difference }));
            Ok(found)
        })?;
        let compare_seconds = begun.elapsed().as_secs_f64();
        context.say(&line("Compare", compare_seconds, &compared(&differences)))?;

        let begun = Instant::now();
        if let Some(first) = &first.snapshot {
            forget::forget(&repository, first)?;
        }
        let now = gc::Options { grace: Duration::ZERO, ..gc::Options::default() };
        let (_, outcome) = step(context, &|progress| Ok(gc::prune(&repository, &now, progress)?))?;
        let freed = format!("one of two snapshots forgotten, {} freed", human::size(outcome.bytes_freed));
        context.say(&line("Prune", begun.elapsed().as_secs_f64(), &freed))?;
        let sound = check::read_data(&vault, &crate::model::event::Silent)?.problems.is_empty();

        Ok(Trial {
            path: text::path(source.as_os_str().as_encoded_bytes()),
            equal: differences.is_empty() && report.problems.is_empty() && restored.lost.is_empty() && sound,
            repository_bytes: first.statistics.bytes_stored,
            first,
            second,
            check: report,
            check_seconds,
            restore: restored,
            compare_seconds,
            differences,
            pruned_bytes: outcome.bytes_freed,
            kept: self.keep.as_ref().map(|_| place.display().to_string()),
        })
    }
}

/// Whether only root could have restored this, and a restore by somebody else has said so.
fn excused(difference: &Difference, restored: &RestoreSummary) -> bool {
    let privileged = difference.what.starts_with("has mode") || difference.what.starts_with("has other extended attributes");
    privileged && !restored.incomplete.is_empty() && !nix::unistd::geteuid().is_root()
}

/// A path as a pattern that matches only itself.
fn escape(path: &Path) -> OsString {
    let special = |byte: &u8| b"\\*?[]{}!# ".contains(byte);
    let bytes = path.as_os_str().as_bytes().iter().flat_map(|byte| if special(byte) { vec![b'\\', *byte] } else { vec![*byte] });
    OsString::from_vec(bytes.collect())
}

fn make_repository(place: &Path) -> anyhow::Result<(Repository, WriterKey, RestoreKey)> {
    let options = InitOptions { writer: super::backup::host_name()?, ..InitOptions::default() };
    let new = NewRepository::generate(&options, Vec::new())?;
    let restore_file = place.join("restore.key");
    let restore_text = new.restore_key_text().context("no restore key was made")?;
    let repository = place.join("repository").display().to_string();
    let (repository, writer) = new.publish(open::create(&repository)?.store, &mut |writer| {
        write_key_file(&restore_file, &restore_text)?;
        write_key_file(&place.join("writer.key"), &writer.to_text()?)
    })?;
    Ok((repository, writer, RestoreKey::read(&restore_file, age::NoCallbacks)?))
}

/// Runs a step with its own progress display.
fn step<T>(context: &Context, act: &dyn Fn(&Progress) -> anyhow::Result<T>) -> anyhow::Result<T> {
    let progress = context.progress()?;
    let result = act(&progress);
    progress.finish();
    result
}

fn line(name: &str, seconds: f64, what: &str) -> String {
    format!("  {name:<8} {:>8}   {what}\n", human::duration(Duration::from_secs_f64(seconds)))
}

fn backed_up(summary: &Summary) -> String {
    let counted = &summary.statistics;
    let rate = human::rate(counted.bytes, Duration::from_secs_f64(summary.seconds));
    let warnings = if counted.warnings > 0 { format!(", {} not readable", counted.warnings) } else { String::new() };
    let files = text::count(counted.files, "file");
    format!("{files}, {} at {rate}, stored as {}{warnings}", human::size(counted.bytes), human::size(counted.bytes_stored))
}

fn again(summary: &Summary) -> String {
    match summary.statistics.bytes_stored {
        0 => "nothing changed, nothing was read or stored".into(),
        bytes => format!("{} read, {} stored", text::count(summary.statistics.files_read, "file"), human::size(bytes)),
    }
}

fn checked(report: &DataReport) -> String {
    match report.problems.len() {
        0 => format!("every byte opened: {} in {}, all sound", text::count(report.chunks, "chunk"), text::count(report.blocks, "block")),
        problems => format!("{} found", text::count(problems as u64, "problem")),
    }
}

fn restored_text(summary: &RestoreSummary) -> String {
    let rate = human::rate(summary.bytes, Duration::from_secs_f64(summary.seconds));
    let lost = if summary.lost.is_empty() { String::new() } else { format!(", {} LOST", summary.lost.len()) };
    format!("{}, {} at {rate}{lost}", text::count(summary.files, "file"), human::size(summary.bytes))
}

fn compared(differences: &[Difference]) -> String {
    if differences.is_empty() {
        return "source, snapshot and restored files are equal in content and metadata".into();
    }
    let shown = differences.iter().take(10).map(|difference| format!("\n             {} {}", difference.path, difference.what));
    format!("{} found{}", text::count(differences.len() as u64, "difference"), shown.collect::<String>())
}

fn closing(trial: &Trial, place: &Path) -> String {
    let verdict = if trial.equal {
        "\nAll came back as it was: encrypted to a key that a backed-up host does not need to have.\n"
    } else {
        "\nSomething differs; see above. Please report it.\n"
    };
    let next = match &trial.kept {
        Some(_) => format!(
            "Kept in {0}:\n  repository/  restored/  restore.key  writer.key\n\nLook around:\n  hearth-backup ls --repo {0}/repository --key {0}/restore.key latest\n",
            place.display()
        ),
        None => "The repository was thrown away; --keep DIR keeps it to look around.\n\n\
                 Next, for real:\n  hearth-backup init --repo /mnt/backups/this-host\n  hearth-backup backup --repo /mnt/backups/this-host --key hearth-writer.key /home /etc\n"
            .to_owned(),
    };
    format!("{verdict}{next}")
}
