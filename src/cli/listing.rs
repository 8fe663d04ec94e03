//! Snapshots with their labels, and which of them an argument means.

use std::os::unix::ffi::OsStrExt as _;

use age::x25519;
use anyhow::bail;

use super::args::SnapshotFilter;
use super::context::Context;
use super::exit::UsageError;
use super::keys::Key;
use super::render::text;
use crate::content::ContentError;
use crate::content::payload::{self, Payload};
use crate::content::vault::{self, Vault};
use crate::model::human;
use crate::sealed::repository::Repository;
use crate::sealed::snapshots::{Snapshot, Snapshots};
use crate::store::Folder;

/// What opens snapshots' labels.
#[derive(Default)]
pub struct Opener(Vec<x25519::Identity>);

impl Opener {
    /// Opens all labels.
    pub fn of_vault(vault: &Vault) -> Self {
        Self(vault.keys().identities.clone())
    }

    /// A writer key opens its own labels, a restore key all, no key none.
    ///
    /// # Errors
    /// If a restore key does not fit the repository.
    pub fn new(repository: &Repository, key: Option<&Key>) -> anyhow::Result<Self> {
        Ok(Self(match key {
            None => Vec::new(),
            Some(Key::Writer(key)) => vec![key.identity.clone()],
            Some(Key::Restore(key)) => vault::unlock(repository, key)?.identities,
        }))
    }

    /// A snapshot's labels, if they can be opened.
    fn labels(&self, repository: &Repository, snapshot: &Snapshot) -> Option<Payload> {
        if self.0.is_empty() {
            return None;
        }
        let identities: Vec<_> = self.0.iter().map(|identity| identity as &dyn age::Identity).collect();
        match payload::open(repository.store(), &snapshot.id, &identities) {
            Ok(payload) => Some(payload),
            Err(ContentError::Locked { .. }) => None,
            Err(error) => {
                tracing::warn!("{error}");
                None
            }
        }
    }
}

/// A snapshot with what is known of it.
pub struct Listed {
    /// What anyone sees.
    pub snapshot: Snapshot,
    /// What a key opens.
    pub labels: Option<Payload>,
    /// The writer's name by the newest statement, or the start of its id.
    pub writer: String,
}

impl Listed {
    fn matches(&self, filter: &SnapshotFilter) -> bool {
        let Some(labels) = &self.labels else { return filter.is_empty() };
        let host = filter.host.as_ref().is_none_or(|host| labels.host == *host);
        let job = filter.job.as_ref().is_none_or(|job| labels.job == *job);
        let tags = filter.tags.iter().all(|tag| labels.tags.contains(tag));
        let path = filter.path.as_ref().is_none_or(|path| {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            labels.paths.iter().any(|saved| saved.0 == path.as_os_str().as_bytes())
        });
        host && job && tags && path
    }

    /// When it was made, by its writer's clock.
    pub fn made(&self) -> jiff::Timestamp {
        self.snapshot.envelope.started
    }

    /// What it is called in messages.
    pub fn describe(&self) -> String {
        let age = human::age(self.made(), jiff::Timestamp::now());
        let from = self.labels.as_ref().map_or(self.writer.as_str(), |labels| labels.host.as_str());
        format!("{} ({from}, {}, {age})", self.snapshot.id.short(), text::moment(self.made()))
    }
}

impl SnapshotFilter {
    /// Whether everything matches.
    pub fn is_empty(&self) -> bool {
        self.host.is_none() && self.job.is_none() && self.path.is_none() && self.tags.is_empty()
    }
}

/// All snapshots, or all forgotten ones, that match, oldest first; damaged ones are warned about.
///
/// # Errors
/// If the store fails, or the filter needs labels that no key opens.
pub fn load(repository: &Repository, folder: Folder, opener: &Opener, filter: &SnapshotFilter) -> anyhow::Result<Vec<Listed>> {
    if !filter.is_empty() && opener.0.is_empty() {
        return Err(UsageError::new("hosts, jobs, paths and tags are sealed: choosing by them needs a key, give one with --key"));
    }
    let found = Snapshots::load(repository, folder)?;
    for (_, error) in &found.unreadable {
        tracing::warn!("{error}");
    }
    let list = found.list.into_iter().map(|snapshot| {
        let writer = repository.statement().writer(&snapshot.envelope.writer);
        let writer = writer.map_or_else(|| snapshot.envelope.writer.short(), |writer| writer.name.clone());
        let labels = if folder == Folder::Snapshots { opener.labels(repository, &snapshot) } else { None };
        Listed { snapshot, labels, writer }
    });
    Ok(list.filter(|listed| listed.matches(filter)).collect())
}

/// The snapshot that `text` means: `latest`, an id, or the start of one.
///
/// # Errors
/// If there is none, or more than one; names the candidates.
pub fn resolve<'a>(list: &'a [Listed], text: &str) -> anyhow::Result<&'a Listed> {
    if text == "latest" {
        let counted = list.iter().filter(|listed| listed.snapshot.counts());
        let latest = counted.max_by_key(|listed| (listed.snapshot.received, listed.snapshot.envelope.sequence));
        return latest.ok_or_else(|| anyhow::anyhow!("there is no complete snapshot{}", candidates(list)));
    }
    let text = text.to_lowercase();
    if text.is_empty() || !text.chars().all(|c| c.is_ascii_hexdigit()) {
        return Err(UsageError::new(format!("`{text}` is not a snapshot: write `latest` or the id that `snapshots` shows, or its start")));
    }
    let found: Vec<&Listed> = list.iter().filter(|listed| listed.snapshot.id.to_string().starts_with(&text)).collect();
    match found.as_slice() {
        [one] => Ok(one),
        [] => bail!("there is no snapshot {text}{}", candidates(list)),
        several => bail!("`{text}` may be any of these snapshots; write more of the id: {}", join(several.iter().copied())),
    }
}

/// Opens the content with the restore key, and finds the snapshot that `text` means among those that match.
///
/// # Errors
/// If there is no restore key, it does not fit, or there is not exactly one such snapshot.
pub fn open_content(context: &Context, text: &str, filter: &SnapshotFilter) -> anyhow::Result<(Vault, Listed)> {
    let vault = context.vault()?;
    let mut list = load(vault.repository(), Folder::Snapshots, &Opener::of_vault(&vault), filter)?;
    let id = resolve(&list, text)?.snapshot.id;
    let position = list.iter().position(|listed| listed.snapshot.id == id).unwrap_or(0);
    let listed = list.swap_remove(position);
    if !listed.snapshot.counts() {
        tracing::warn!("snapshot {} is incomplete or from an unknown or closed writer; take what it holds with care", id.short());
    }
    Ok((vault, listed))
}

/// As many as help.
const SHOWN: usize = 5;

fn candidates(list: &[Listed]) -> String {
    if list.is_empty() { "; there are none that match".into() } else { format!("; the newest are: {}", join(list.iter().rev())) }
}

fn join<'a>(list: impl Iterator<Item = &'a Listed>) -> String {
    list.take(SHOWN).map(Listed::describe).collect::<Vec<_>>().join(", ")
}
