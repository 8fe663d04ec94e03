//! How a place of the configuration is reached: files with secrets become an [`Access`].

use crate::config::{ByteRate, Credentials, Repository as Configured, SecretError};
use crate::store::Access;
use crate::store::hub::{TokenFileError, read_token};
use crate::store::object::{Credentials as StoreCredentials, CredentialsFileError};
use crate::store::ssh::SshOptions;

/// Why a place cannot be reached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReachError {
    /// A file with a secret is not there.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The keys to a bucket are not to be had.
    #[error(transparent)]
    Bucket(#[from] CredentialsFileError),
    /// The token for a hub is not to be had.
    #[error(transparent)]
    Token(#[from] TokenFileError),
}

/// What is needed to reach a repository: what the configuration says of it, else what holds for all. Limits that hold for all come first.
///
/// # Errors
/// If a credential is missing, or holds none.
pub fn access_to(configured: &Configured, credentials: &Credentials, access: &Access) -> Result<Access, ReachError> {
    let file = configured.credentials.as_ref().map(|file| file.locate(credentials)).transpose()?;
    let keys = file.map(|file| StoreCredentials::read(&file)).transpose()?;
    let connections = configured.connections.map(usize::from);
    let identity = configured.identity.as_ref().map(|identity| identity.locate(credentials)).transpose()?;
    let identity = identity.or_else(|| access.ssh().identity.clone());
    let ssh = SshOptions { identity, ..access.ssh().clone() };
    let rate = |rate: Option<ByteRate>| rate.map(ByteRate::get);
    let token = configured.token.as_ref().map(|file| file.locate(credentials)).transpose()?;
    let token = token.map(|file| read_token(&file)).transpose()?;
    let access = access.clone().with_limits(rate(configured.limit_upload), rate(configured.limit_download));
    let access = if configured.allow_plain_http { access.allowing_plain_http(true) } else { access };
    Ok(access.with_token(token).with_ssh(ssh).with_credentials(keys).with_connections(connections))
}
