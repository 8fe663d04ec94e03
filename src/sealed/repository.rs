//! A repository as a party without keys knows it: its id and the newest statement that chains from it.

use std::sync::Arc;

use crate::model::id::{RepositoryId, StatementId};
use crate::sealed::statement::{self, SignedStatement, Statement};
use crate::sealed::{SealedError, limits};
use crate::store::{Folder, Store};

/// What a party knows before it looks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Trust {
    /// The id it expects; `None` takes what is found, which only a person may decide.
    pub expected: Option<RepositoryId>,
    /// The newest statement it has ever seen; an older state is refused.
    pub seen: Option<(u64, StatementId)>,
}

/// An opened repository.
#[derive(Clone)]
pub struct Repository {
    store: Arc<dyn Store>,
    id: RepositoryId,
    statement: Statement,
    newest: StatementId,
}

/// Features that this version knows; all others stop whom they concern.
const KNOWN_FEATURES: &[&str] = &[];

impl Repository {
    /// Reads and verifies the chain of statements.
    ///
    /// # Errors
    /// If there is no repository, another one than expected, an older state than seen before, a forged or damaged
    /// statement, or one that needs a feature for reading that is not known here.
    pub fn open(store: Arc<dyn Store>, trust: &Trust) -> Result<Self, SealedError> {
        let location = store.location();
        let first = match store.get(&statement::name(0), limits::PAYLOAD) {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() => return Err(SealedError::NoRepository { location }),
            Err(error) => return Err(error.into()),
        };
        let id = RepositoryId::from_bytes(*StatementId::of(&first).as_bytes());
        if let Some(expected) = trust.expected
            && expected != id
        {
            return Err(SealedError::OtherRepository { location, found: id.to_bech32(), expected: expected.to_bech32() });
        }
        let mut chain = Chain::start(&first, id)?;
        let last = newest_number(store.as_ref())?;
        for number in 1..=last {
            let bytes = store.get(&statement::name(number), limits::PAYLOAD)?;
            chain.follow(number, &bytes, trust.seen)?;
        }
        if let Some((seen, _)) = trust.seen
            && seen > last
        {
            return Err(SealedError::RolledBack { location, shown: last, seen });
        }
        let repository = Self { store, id, statement: chain.statement, newest: chain.hash };
        repository.check_features(&repository.statement.features.read)?;
        Ok(repository)
    }

    /// The id of what claims to be a repository in `store`, unverified; `None` if nothing does.
    ///
    /// # Errors
    /// If the store fails.
    pub fn claimed_id(store: &dyn Store) -> Result<Option<RepositoryId>, SealedError> {
        match store.get(&statement::name(0), limits::PAYLOAD) {
            Ok(first) => Ok(Some(RepositoryId::from_bytes(*StatementId::of(&first).as_bytes()))),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn check_features(&self, features: &[String]) -> Result<(), SealedError> {
        match features.iter().find(|feature| !KNOWN_FEATURES.contains(&feature.as_str())) {
            None => Ok(()),
            Some(unknown) => Err(SealedError::TooNew {
                object: statement::name(self.statement.number).to_string(),
                what: format!("the feature `{unknown}`"),
            }),
        }
    }

    /// Whether this version may write here.
    ///
    /// # Errors
    /// If a feature for writing is not known.
    pub fn may_write(&self) -> Result<(), SealedError> {
        self.check_features(&self.statement.features.write)
    }

    /// Whether this version may forget, prune and mirror here.
    ///
    /// # Errors
    /// If a feature for keeping is not known.
    pub fn may_keep(&self) -> Result<(), SealedError> {
        self.check_features(&self.statement.features.keep)
    }

    /// Where its objects lie.
    pub fn store(&self) -> &dyn Store {
        self.store.as_ref()
    }

    /// The same repository, with its objects reached through another store, such as a layer over its own.
    pub fn through(&self, store: Arc<dyn Store>) -> Self {
        Self { store, ..self.clone() }
    }

    /// Where its objects lie, to share with threads.
    pub fn shared_store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store)
    }

    /// Its id.
    pub fn id(&self) -> RepositoryId {
        self.id
    }

    /// The newest statement.
    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    /// Number and hash of the newest statement, to be remembered as [`Trust::seen`].
    pub fn seen(&self) -> (u64, StatementId) {
        (self.statement.number, self.newest)
    }
}

/// Asks for one statement after the other: what was stored just now may not be listed yet.
fn newest_number_unlisted(store: &dyn Store) -> Result<u64, SealedError> {
    for number in 0..=limits::STATEMENTS as u64 {
        match store.stat(&statement::name(number)) {
            Ok(_) => {}
            Err(error) if error.is_not_found() => return Ok(number.saturating_sub(1)),
            Err(error) => return Err(error.into()),
        }
    }
    Err(SealedError::damaged("repo/", "it holds more statements than the format allows"))
}

fn newest_number(store: &dyn Store) -> Result<u64, SealedError> {
    if !store.listing_lag().is_zero() {
        return newest_number_unlisted(store);
    }
    let numbers = store.list(Folder::Repo)?;
    if numbers.len() > limits::STATEMENTS {
        return Err(SealedError::damaged("repo/", "it holds more statements than the format allows"));
    }
    let canonical = |leaf: &str| leaf.parse::<u64>().ok().filter(|number| number.to_string() == leaf);
    let mut numbers: Vec<u64> = numbers.iter().filter_map(|info| canonical(info.name.leaf())).collect();
    numbers.sort_unstable();
    for (expected, found) in (0..).zip(&numbers) {
        if *found != expected {
            let why = format!(
                "there is no statement {expected} before it; if nobody of you made it, somebody put it there, and it can be deleted"
            );
            return Err(forged(*found, why));
        }
    }
    Ok(numbers.last().copied().unwrap_or(0))
}

/// The chain as far as it is verified.
struct Chain {
    id: RepositoryId,
    statement: Statement,
    hash: StatementId,
}

fn parse(number: u64, bytes: &[u8]) -> Result<SignedStatement, SealedError> {
    let object = statement::name(number);
    let signed = statement::parse(bytes).map_err(|why| SealedError::malformed(&object, why))?;
    if signed.statement.number != number {
        return Err(forged(number, format!("it calls itself statement {}", signed.statement.number)));
    }
    Ok(signed)
}

fn forged(number: u64, why: impl Into<String>) -> SealedError {
    SealedError::Forged { object: statement::name(number).to_string(), why: why.into() }
}

impl Chain {
    fn start(bytes: &[u8], id: RepositoryId) -> Result<Self, SealedError> {
        let signed = parse(0, bytes)?;
        if !signed.signed_by(&signed.statement.root_key, &id) {
            return Err(forged(0, "its own root key did not sign it"));
        }
        Ok(Self { id, statement: signed.statement, hash: StatementId::of(bytes) })
    }

    fn follow(&mut self, number: u64, bytes: &[u8], seen: Option<(u64, StatementId)>) -> Result<(), SealedError> {
        let signed = parse(number, bytes)?;
        if signed.statement.previous != Some(self.hash) {
            return Err(forged(number, "it does not follow the statement before it"));
        }
        if !signed.signed_by(&self.statement.root_key, &self.id) {
            return Err(forged(number, "the root key named before it did not sign it"));
        }
        if signed.statement.chunking != self.statement.chunking {
            return Err(forged(number, "it changes the chunk sizes, which never change"));
        }
        let hash = StatementId::of(bytes);
        if let Some((seen_number, seen_hash)) = seen
            && seen_number == number
            && seen_hash != hash
        {
            return Err(forged(number, "another statement of this number was seen before"));
        }
        self.statement = signed.statement;
        self.hash = hash;
        Ok(())
    }
}
