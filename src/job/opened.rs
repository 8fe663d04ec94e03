//! A repository of the configuration, opened with this host's writer key.

use std::path::Path;
use std::sync::Arc;

use super::JobError;
use crate::config::{Credentials, Repository as Configured};
use crate::content::backup::open_for_writer;
use crate::content::backup::state::State;
use crate::content::keys::WriterKey;
use crate::keep::reach::access_to;
use crate::model::pace::Pace;
use crate::sealed::repository::Repository;
use crate::store::{Access, open};

/// A repository that this host may write to.
pub(super) struct Opened {
    /// The repository.
    pub repository: Repository,
    /// This host's key to it.
    pub key: WriterKey,
    /// What this host keeps for it.
    pub state: State,
}

impl Opened {
    /// Opens it; what is written goes at the pace of `upload` too, and what the host keeps lies below `base`.
    ///
    /// # Errors
    /// If the key or the repository is not there, is another one, or shows an older state than was seen before.
    pub(super) fn open(
        configured: &Configured,
        base: &Path,
        credentials: &Credentials,
        access: &Access,
        upload: Option<Arc<Pace>>,
    ) -> Result<Self, JobError> {
        let file = configured.writer_key.as_ref().ok_or_else(|| JobError::NoWriterKey { url: configured.url.clone() })?;
        let key = WriterKey::read(&file.locate(credentials)?)?;
        let access = access_to(configured, credentials, access)?.with_uploads_at(upload);
        let location = open::open(&configured.url, &access)?;
        if let Some(url) = location.expected_id.filter(|id| *id != key.repository) {
            return Err(JobError::OtherRepository { key: key.repository.to_bech32(), url: url.to_bech32() });
        }
        let state = State::open(base, &key.repository)?;
        let repository = open_for_writer(location.store, &key, &state)?;
        Ok(Self { repository, key, state })
    }
}
