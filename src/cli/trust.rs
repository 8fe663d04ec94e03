//! Which repository it must be, and that it is not older than what this machine has seen.
//!
//! The id comes from the URL, the key, or this machine's memory of the location, in this order. Without any of them the id that
//! is found is shown, and a person decides.

use anyhow::{Context as _, bail};

use super::context::Context;
use super::exit::UsageError;
use crate::content::backup::state::{Seen, State};
use crate::model::id::{RepositoryId, StatementId};
use crate::model::shell::quoted;
use crate::sealed::SealedError;
use crate::sealed::repository::{Repository, Trust};
use crate::store::Location;

/// Opens a repository that is vouched for.
///
/// # Errors
/// If nobody vouches for it, or it is not what it should be.
pub fn open(
    context: &Context,
    location: Location,
    from_key: Option<RepositoryId>,
    key_seen: Option<(u64, StatementId)>,
) -> anyhow::Result<Repository> {
    let place = location.store.location();
    if let (Some(url), Some(key)) = (location.expected_id, from_key)
        && url != key
    {
        return Err(UsageError::new(format!(
            "the key is for repository {}, but the location names {}; one of them is the wrong one",
            key.to_bech32(),
            url.to_bech32()
        )));
    }
    let mut known = context.known()?;
    let remembered = known.get(&place).filter(|_| !context.global.trust_new_repository);
    let expected = location.expected_id.or(from_key).or(remembered);
    let state = expected.and_then(|id| quiet_state(context, &id));
    let seen = newest(key_seen, state.as_ref().map(State::seen).unwrap_or_default());
    let opened = Repository::open(location.store, &Trust { expected, seen });
    let repository = match opened {
        Err(error @ SealedError::OtherRepository { .. }) if expected == remembered && location.expected_id.or(from_key).is_none() => {
            return Err(error).context(
                "this is not the repository that this machine has seen here; if you replaced it yourself, add --trust-new-repository",
            );
        }
        opened => opened?,
    };
    if expected.is_none() {
        ask(context, &place, &repository)?;
    }
    known.remember(&place, repository.id());
    remember(context, &repository);
    Ok(repository)
}

/// The state of a repository; readers do without if it cannot be used.
fn quiet_state(context: &Context, id: &RepositoryId) -> Option<State> {
    let state = context.state(id);
    if let Err(error) = &state {
        tracing::debug!("no state is kept: {error:#}");
    }
    state.ok()
}

fn newest(key: Option<(u64, StatementId)>, state: Seen) -> Option<(u64, StatementId)> {
    // The state first: of two with the same number it is the one that was verified here.
    [state.statement, key].into_iter().flatten().reduce(|best, next| if next.0 > best.0 { next } else { best })
}

fn remember(context: &Context, repository: &Repository) {
    let Some(state) = quiet_state(context, &repository.id()) else { return };
    let mut seen = state.seen();
    if seen.statement.is_none_or(|known| known.0 < repository.seen().0) {
        seen.statement = Some(repository.seen());
        if let Err(error) = state.save_seen(&seen) {
            tracing::debug!("what was seen is not remembered: {error}");
        }
    }
}

fn ask(context: &Context, place: &str, repository: &Repository) -> anyhow::Result<()> {
    if context.global.trust_new_repository {
        return Ok(());
    }
    let id = repository.id().to_bech32();
    let whole = format!("{place}#{id}");
    let advice = format!("give it as --repo {} if that is the id you expect, or add --trust-new-repository once", quoted(&whole));
    if context.global.json {
        bail!("{place} is repository {id}, which this machine has not seen before; {advice}");
    }
    let question = format!("{place} is repository {id}, which this machine has not seen before.\nIs that the one you expect?");
    match context.prompt().yes(&question) {
        Some(true) => Ok(()),
        Some(false) => bail!("not opened"),
        None => bail!("{place} is repository {id}, which this machine has not seen before, and there is no terminal to ask; {advice}"),
    }
}
