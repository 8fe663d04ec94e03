//! The steps of a try, as a user would take them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cli::commands::backup::host_name;
use crate::cli::progress::Progress;
use crate::content::admin::{InitOptions, NewRepository};
use crate::content::backup::state::State;
use crate::content::backup::{BackupOptions, Summary, backup};
use crate::content::browse::OpenSnapshot;
use crate::content::check::{DataReport, read_data};
use crate::content::keys::{RestoreKey, WriterKey, write_key_file};
use crate::content::restore::{Difference, RestoreOptions, RestoreSummary, compare, restore};
use crate::content::vault::Vault;
use crate::sealed::gc::{self, Outcome};
use crate::sealed::repository::{Repository, Trust};
use crate::sealed::snapshots::Snapshots;
use crate::sealed::{SealedError, forget};
use crate::source::exclude::Selection;
use crate::store::{DirectoryStore, Folder};

/// A repository to throw away, with its keys.
pub struct Bench<'a> {
    dir: PathBuf,
    source: PathBuf,
    repository: Repository,
    writer: WriterKey,
    vault: Vault,
    state: State,
    progress: &'a Progress,
}

/// A result and how long it took.
pub struct Timed<T> {
    /// The result.
    pub result: T,
    /// How long it took.
    pub time: Duration,
}

fn timed<T, E>(step: impl FnOnce() -> Result<T, E>) -> Result<Timed<T>, E> {
    let begun = Instant::now();
    step().map(|result| Timed { result, time: begun.elapsed() })
}

impl<'a> Bench<'a> {
    /// Makes the repository in `dir`.
    ///
    /// # Errors
    /// If the directory cannot be written.
    pub fn new(dir: &Path, source: &Path, progress: &'a Progress) -> anyhow::Result<Self> {
        let options = InitOptions { writer: host_name()?, ..InitOptions::default() };
        let new = NewRepository::generate(&options, Vec::new())?;
        let restore_key = dir.join("restore.key");
        let restore_text = new.restore_key_text().unwrap_or_default();
        let store = Arc::new(DirectoryStore::create(dir.join("repository"))?);
        let (repository, writer) = new.publish(store, &mut |writer| {
            write_key_file(&restore_key, &restore_text)?;
            write_key_file(&dir.join("writer.key"), &writer.to_text()?)
        })?;
        let vault = Vault::open(repository.clone(), &RestoreKey::read(&restore_key, age::NoCallbacks)?)?;
        let state = State::open(&dir.join("state"), &repository.id())?;
        Ok(Self { dir: dir.to_owned(), source: source.to_owned(), repository, writer, vault, state, progress })
    }

    /// Backs the source up.
    ///
    /// # Errors
    /// If no snapshot can be made.
    pub fn backup(&self) -> anyhow::Result<Summary> {
        let options = BackupOptions {
            paths: vec![self.source.clone()],
            skip: vec![self.dir.clone()],
            host: host_name()?,
            job: "try".into(),
            ..BackupOptions::default()
        };
        Ok(backup(&self.repository, &self.writer, options, &self.state, self.progress)?)
    }

    /// Opens every block and looks up every chunk.
    ///
    /// # Errors
    /// If the repository cannot be read.
    pub fn check(&self) -> anyhow::Result<Timed<DataReport>> {
        Ok(timed(|| read_data(&self.vault, self.progress))?)
    }

    /// Restores the newest snapshot, and compares it with what was restored and with the source.
    ///
    /// # Errors
    /// If the scratch directory cannot be written.
    pub fn restore(&self) -> anyhow::Result<(RestoreSummary, Timed<Vec<Difference>>)> {
        let list = self.snapshots()?;
        let newest = list.list.last().ok_or_else(|| anyhow::anyhow!("the snapshot just made is not there"))?;
        let snapshot = OpenSnapshot::open(&self.vault, newest)?;
        let target = self.dir.join("restored");
        let options = RestoreOptions { target: target.clone(), ..RestoreOptions::default() };
        let summary = restore(&self.vault, &snapshot, &options, self.progress)?;
        // Directories above the source are not compared: our own files may lie in them.
        let only = (self.source != Path::new("/")).then(|| escape(&self.source));
        let selection = Selection::new(only, std::iter::empty::<&str>())?;
        let differences = timed(|| {
            let mut found = compare(&self.vault, &snapshot, &target, &selection, self.progress)?;
            let lost_rights = !nix::unistd::geteuid().is_root() && !summary.incomplete.is_empty();
            found.retain(|difference| !(lost_rights && only_root_can(&difference.what)));
            let with_source = compare(&self.vault, &snapshot, Path::new("/"), &selection, self.progress)?;
            found.extend(
                with_source.into_iter().map(|difference| Difference { what: format!("the source {}", difference.what), ..difference }),
            );
            Ok::<_, crate::content::ContentError>(found)
        })?;
        Ok((summary, differences))
    }

    fn snapshots(&self) -> Result<Snapshots, SealedError> {
        let trust = Trust { expected: Some(self.repository.id()), seen: Some(self.repository.seen()) };
        Snapshots::load(&Repository::open(self.repository.shared_store(), &trust)?, Folder::Snapshots)
    }

    /// Forgets all snapshots but the newest and prunes without a grace period.
    ///
    /// # Errors
    /// If the repository cannot be pruned.
    pub fn prune(&self) -> anyhow::Result<Timed<Outcome>> {
        let mut list = self.snapshots()?.list;
        list.pop();
        for snapshot in &list {
            forget::forget(&self.repository, &snapshot.id)?;
        }
        let options = gc::Options { grace: Duration::ZERO, ..gc::Options::default() };
        Ok(timed(|| gc::prune(&self.repository, &options, self.progress))?)
    }
}

/// What an unprivileged user cannot restore.
fn only_root_can(what: &str) -> bool {
    what.starts_with("has mode") || what.starts_with("has other extended attributes")
}

/// A path as a pattern that matches only itself.
fn escape(path: &Path) -> std::ffi::OsString {
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
    let special = |byte: &u8| b"\\*?[]{}!# ".contains(byte);
    let bytes = path.as_os_str().as_bytes().iter().flat_map(|byte| if special(byte) { vec![b'\\', *byte] } else { vec![*byte] });
    std::ffi::OsString::from_vec(bytes.collect())
}
