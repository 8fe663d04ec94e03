//! What a hub says of itself and of all its hosts, outside of any repository.

use std::time::Duration;

use super::answer::{Failure, explain};
use super::client::Client;
use super::{HubAddressError, Way};
use crate::store::attempt::Attempts;
use crate::store::{Access, StoreError};

/// Most bytes of an answer.
const LONGEST: usize = 64 << 20;
/// How long a question may take, whatever is tried again.
const PATIENCE: Duration = Duration::from_secs(60);

/// A hub that is asked how everything fares.
pub struct Overview {
    way: Way,
    attempts: Attempts<Failure>,
    client: Client,
}

/// Why a hub cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum OverviewError {
    /// The URL is none of a hub.
    #[error(transparent)]
    Address(#[from] HubAddressError),
    /// It cannot be reached, or does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Overview {
    /// The hub at `https://HUB`, with whatever its proxy puts before its paths, or at `ssh://USER@HOST/NAME`, which shows that repository. Nothing is asked yet.
    ///
    /// # Errors
    /// If the URL is none, or no client can be made of what is given.
    pub fn new(url: &str, access: &Access) -> Result<Self, OverviewError> {
        let (way, repository) = Way::parse(url, access.allows_plain_http())?;
        let failed = |error| StoreError::io("use the hub", way.to_string(), error);
        let attempts = Attempts::new(1).map_err(failed)?;
        let client = Client::of_hub(&way, repository.as_deref().unwrap_or_default(), access).map_err(failed)?;
        Ok(Self { way, attempts, client })
    }

    /// The answer to `GET PATH`, such as `/status`.
    ///
    /// # Errors
    /// If it is none, or longer than any.
    pub fn get(&self, path: &str) -> Result<Vec<u8>, StoreError> {
        let ask = |_| async {
            let mut answer = self.client.get(path, None).await?;
            let mut said = Vec::new();
            while let Some(piece) = answer.next().await? {
                said.extend_from_slice(&piece);
                if said.len() > LONGEST {
                    return Err(Failure::Strange("its answer has no end".to_owned()));
                }
            }
            Ok(said)
        };
        let answer = self.attempts.run_within(PATIENCE, 0, ask);
        answer.map_err(|failure| explain("ask for", path.to_owned(), &self.way.to_string(), &failure))
    }
}
