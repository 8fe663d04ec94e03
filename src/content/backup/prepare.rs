//! Before a run writes anything: whether the writer may, what an earlier run left undone, and copies of what opens the repository.

use std::sync::Arc;

use super::publish::Publisher;
use super::state::{State, save_bytes};
use crate::content::ContentError;
use crate::content::keys::WriterKey;
use crate::model::event::{Event, Monitor};
use crate::model::id::KeysId;
use crate::sealed::repository::{Repository, Trust};
use crate::sealed::{SealedError, limits, snapshots};
use crate::store::{Folder, ObjectName, Store};

/// Whether the repository takes what this writer signs.
pub(super) fn check_writer(repository: &Repository, key: &WriterKey) -> Result<(), ContentError> {
    let wrong = |why: &str| Err(ContentError::Key { file: key.name.clone(), why: why.into() });
    match repository.statement().writer(&key.writer) {
        None => wrong("the repository does not know this writer; add it with `key add-writer`"),
        Some(writer) if writer.closed.is_some() => {
            wrong("this writer was closed with `key close-writer`; make a new key with `key add-writer`")
        }
        Some(writer) if writer.verify_key != key.signing.verify_key() => wrong("the repository names another signing key for this writer"),
        Some(_) => Ok(()),
    }
}

/// Drops snapshots that a killed run made visible but did not verify: this run makes a new one.
pub(super) fn settle_earlier(publisher: &Publisher<'_>, repository: &Repository, monitor: &dyn Monitor) -> Result<(), ContentError> {
    for id in publisher.undecided() {
        match repository.store().stat(&snapshots::name(Folder::Commits, &id)) {
            Ok(_) => publisher.commit(&id)?,
            Err(error) if error.is_not_found() => {
                monitor.event(Event::info(
                    format!("snapshot {}", id.short()),
                    "an earlier run ended before it had verified this snapshot; it is replaced",
                ));
                publisher.withdraw(&id)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Keeps copies of the `keys/` objects on the host, and puts them back where they are missing.
pub(super) fn guard_keys(repository: &Repository, state: &State, monitor: &dyn Monitor) -> Result<(), ContentError> {
    let store = repository.store();
    for entry in &repository.statement().keys {
        let name = ObjectName::of_id(Folder::Keys, entry.id.as_bytes());
        let copy = state.key_copy(&entry.id.to_string())?;
        let kept = std::fs::read(&copy).ok().filter(|bytes| KeysId::of(bytes) == entry.id);
        match (store.stat(&name), kept) {
            (Ok(_), Some(_)) => {}
            (Ok(_), None) => {
                let bytes = store.get(&name, limits::PAYLOAD)?;
                if KeysId::of(&bytes) == entry.id {
                    save_bytes(&copy, &bytes)?;
                } else {
                    monitor.event(Event::warning(name.to_string(), "its bytes were changed; restore keys may not open this repository"));
                }
            }
            (Err(error), Some(bytes)) if error.is_not_found() => {
                store.put_new(&name, &bytes)?;
                monitor.event(Event::warning(name.to_string(), "was missing and has been put back from this host's copy"));
            }
            (Err(error), None) if error.is_not_found() => {
                let message = format!(
                    "is missing and this host has no copy: who restores with {} cannot open new backups; restore it from a mirror",
                    entry.recipient
                );
                monitor.event(Event::warning(name.to_string(), message));
            }
            (Err(error), _) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Opens a repository for a writer: its id and the newest statement seen are known from the key and the state.
///
/// # Errors
/// As [`Repository::open`].
pub fn open_for_writer(store: Arc<dyn Store>, key: &WriterKey, state: &State) -> Result<Repository, SealedError> {
    let mut seen = key.seen;
    if let Some(statement) = state.seen().statement
        && statement.0 >= seen.0
    {
        seen = statement;
    }
    let trust = Trust { expected: Some(key.repository), seen: Some(seen) };
    Repository::open(store, &trust)
}
