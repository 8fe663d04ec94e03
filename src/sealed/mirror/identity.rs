//! Statements and keys: what makes the mirror the same repository.
//!
//! Keys come before the statement that names them (I6), statements in their order, and in a new mirror `repo/0` last of all (I8): it is
//! what makes a store a repository. The source's chain must go on from the mirror's. So an older state of the source that
//! somebody has put back is refused, as it is by everybody who has seen a newer one.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::model::event::{Event, Monitor};
use crate::model::id::{KeysId, StatementId};
use crate::sealed::removal::remove_all;
use crate::sealed::repository::{Repository, Trust};
use crate::sealed::statement;
use crate::sealed::{SealedError, limits};
use crate::store::{Folder, ObjectName, Store};

/// A mirror whose statements and keys are those of the source.
pub struct Followed {
    /// The mirror.
    pub repository: Repository,
    /// Whether it was made by this run.
    pub created: bool,
    /// Statements copied, a count.
    pub statements: u64,
    /// `keys/` objects copied, a count.
    pub keys: u64,
}

/// The mirror as it is; none if the store holds no repository.
pub(super) fn open(source: &Repository, store: &Arc<dyn Store>) -> Result<Option<Repository>, SealedError> {
    source.may_keep()?;
    let Some(found) = Repository::claimed_id(store.as_ref())? else {
        refuse_remains(store.as_ref())?;
        return Ok(None);
    };
    if found != source.id() {
        let (found, expected) = (found.to_bech32(), source.id().to_bech32());
        return Err(SealedError::OtherRepository { location: store.location(), found, expected });
    }
    let mirror = Repository::open(Arc::clone(store), &Trust { expected: Some(found), seen: None })?;
    mirror.may_keep()?;
    let (seen, shown) = (mirror.seen().0, source.seen().0);
    if seen > shown {
        return Err(SealedError::RolledBack { location: source.store().location(), shown, seen });
    }
    Ok(Some(mirror))
}

/// A store without `repo/0` that holds backups is a damaged repository, and nothing to write another one into.
fn refuse_remains(store: &dyn Store) -> Result<(), SealedError> {
    for folder in [Folder::Snapshots, Folder::Index, Folder::Packs] {
        if !store.list(folder)?.is_empty() {
            let why =
                format!("it is missing, but {} has {folder}/: this was a repository; `repair` brings statements back", store.location());
            return Err(SealedError::damaged(statement::name(0), why));
        }
    }
    Ok(())
}

/// Ids of all statements, by number, and every `keys/` object that any of them names.
struct Chain {
    ids: Vec<StatementId>,
    keys: BTreeSet<KeysId>,
}

/// The source's chain. It was verified when the source was opened; from the newest on each names the one before it.
fn chain(source: &Repository) -> Result<Chain, SealedError> {
    let (newest, mut expected) = source.seen();
    let mut chain = Chain { ids: Vec::new(), keys: BTreeSet::new() };
    for number in (0..=newest).rev() {
        let bytes = read_statement(source.store(), number, &expected)?;
        let signed = statement::parse(&bytes).map_err(|why| SealedError::malformed(statement::name(number), why))?;
        chain.keys.extend(signed.statement.keys.iter().map(|entry| entry.id));
        chain.ids.push(expected);
        expected = signed.statement.previous.unwrap_or(expected);
    }
    chain.ids.reverse();
    Ok(chain)
}

fn read_statement(store: &dyn Store, number: u64, id: &StatementId) -> Result<Vec<u8>, SealedError> {
    let name = statement::name(number);
    let bytes = store.get(&name, limits::PAYLOAD)?;
    if StatementId::of(&bytes) != *id {
        return Err(SealedError::damaged(name, "it is not the statement that was there a moment ago"));
    }
    Ok(bytes)
}

/// Brings statements and keys up to date.
pub(super) fn follow(source: &Repository, store: &Arc<dyn Store>, monitor: &dyn Monitor) -> Result<Followed, SealedError> {
    let before = open(source, store)?;
    let chain = chain(source)?;
    refuse_fork(&chain, store.as_ref())?;
    let keys = copy_keys(source, store.as_ref(), monitor)?;
    let have = before.as_ref().map(|mirror| mirror.seen().0);
    let mut missing: Vec<(u64, &StatementId)> =
        (0..).zip(&chain.ids).filter(|(number, _)| have.is_none_or(|have| *number > have)).collect();
    if have.is_none() {
        // The first one last: before it there is no repository.
        missing.reverse();
    }
    for (number, id) in &missing {
        store.put_new(&statement::name(*number), &read_statement(source.store(), *number, id)?)?;
    }
    let repository = Repository::open(Arc::clone(store), &Trust { expected: Some(source.id()), seen: Some(source.seen()) })?;
    remove_retired_keys(&repository, &chain, monitor)?;
    Ok(Followed { repository, created: have.is_none(), statements: missing.len() as u64, keys })
}

/// Statements that the mirror has and the source has otherwise: two chains from one root, or remains of another repository.
fn refuse_fork(chain: &Chain, store: &dyn Store) -> Result<(), SealedError> {
    for info in store.list(Folder::Repo)? {
        let Some(id) = info.name.leaf().parse::<usize>().ok().and_then(|number| chain.ids.get(number)) else { continue };
        if StatementId::of(&store.get(&info.name, limits::PAYLOAD)?) != *id {
            let why = format!("{} has another statement of this number than the repository that it shall mirror", store.location());
            return Err(SealedError::Forged { object: info.name.to_string(), why });
        }
    }
    Ok(())
}

fn copy_keys(source: &Repository, store: &dyn Store, monitor: &dyn Monitor) -> Result<u64, SealedError> {
    let there: BTreeSet<ObjectName> = store.list(Folder::Keys)?.into_iter().map(|info| info.name).collect();
    let mut copied = 0;
    for entry in &source.statement().keys {
        let name = ObjectName::of_id(Folder::Keys, entry.id.as_bytes());
        if there.contains(&name) {
            continue;
        }
        let why = match source.store().get(&name, limits::PAYLOAD) {
            Ok(bytes) if KeysId::of(&bytes) == entry.id => {
                store.put_new(&name, &bytes)?;
                copied += 1;
                continue;
            }
            Ok(_) => "its bytes do not match its name",
            Err(error) if error.is_not_found() => "it is missing",
            Err(error) => return Err(error.into()),
        };
        let message =
            format!("{why}: {} cannot restore from there or from the mirror; the next backup of any host puts it back", entry.recipient);
        monitor.event(Event::error(name.to_string(), message));
    }
    Ok(copied)
}

/// Keys that an older statement named and the newest does not.
fn remove_retired_keys(mirror: &Repository, chain: &Chain, monitor: &dyn Monitor) -> Result<(), SealedError> {
    let valid: BTreeSet<KeysId> = mirror.statement().keys.iter().map(|entry| entry.id).collect();
    let there = mirror.store().list(Folder::Keys)?;
    let retired = |id: &KeysId| chain.keys.contains(id) && !valid.contains(id);
    let names: Vec<_> = there.into_iter().map(|info| info.name).filter(|name| name.leaf().parse().is_ok_and(|id| retired(&id))).collect();
    remove_all(mirror.store(), &names, monitor).map(drop)
}
