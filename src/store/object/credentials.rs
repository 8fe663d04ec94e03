//! What lets us into a bucket or another service, and how many connections may be open.

use std::fmt;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use zeroize::Zeroizing;

use super::address::Defaults;
use crate::model::pace::Pace;
use crate::store::exposure::warn_if_exposed;
use crate::store::line::{Line, Paces};
use crate::store::ssh::SshOptions;

/// Connections, if nobody says how many.
const CONNECTIONS: usize = 8;

/// How to reach stores, and how fast they may be written to and read.
#[derive(Debug, Clone, Default)]
pub struct Access {
    credentials: Option<Credentials>,
    connections: Option<usize>,
    defaults: Defaults,
    ssh: SshOptions,
    /// In bytes a second, for each store that is opened.
    upload: Option<u64>,
    download: Option<u64>,
    /// What all stores share besides.
    uploads: Option<Arc<Pace>>,
    /// A hub's.
    token: Option<Zeroizing<String>>,
    plain_http: bool,
    /// What ends all paces.
    stop: Option<Arc<AtomicUsize>>,
}

impl Access {
    /// As the machine says where a URL leaves something open.
    pub fn new(defaults: Defaults) -> Self {
        Self { defaults, ..Self::default() }
    }

    /// With these credentials; else they are those of the standard variables and files of AWS.
    #[must_use]
    pub fn with_credentials(self, credentials: Option<impl Into<Credentials>>) -> Self {
        Self { credentials: credentials.map(Into::into).or(self.credentials), ..self }
    }

    /// With at most so many requests at once.
    #[must_use]
    pub fn with_connections(self, connections: Option<usize>) -> Self {
        Self { connections: connections.or(self.connections), ..self }
    }

    /// A hub knows us by this token.
    #[must_use]
    pub fn with_token(self, token: Option<String>) -> Self {
        Self { token: token.map(Zeroizing::new).or(self.token), ..self }
    }

    /// Whether hubs beyond this machine may be spoken to without encryption, token included.
    #[must_use]
    pub fn allowing_plain_http(self, allowed: bool) -> Self {
        Self { plain_http: allowed, ..self }
    }

    /// The token for a hub.
    pub(in crate::store) fn token(&self) -> Option<&str> {
        self.token.as_deref().map(String::as_str)
    }

    /// Whether hubs may be spoken to without encryption.
    pub(in crate::store) fn allows_plain_http(&self) -> bool {
        self.plain_http
    }

    /// Other machines are reached so.
    #[must_use]
    pub fn with_ssh(self, ssh: SshOptions) -> Self {
        Self { ssh, ..self }
    }

    /// With at most so many bytes a second to and from each repository, unless that was said before.
    #[must_use]
    pub fn with_limits(self, upload: Option<u64>, download: Option<u64>) -> Self {
        Self { upload: self.upload.or(upload), download: self.download.or(download), ..self }
    }

    /// Whose limits end once this number is not zero: what is under way shall end soon.
    #[must_use]
    pub fn stopping_by(self, signal: Arc<AtomicUsize>) -> Self {
        Self { stop: Some(signal), ..self }
    }

    /// With a pace that all stores share that are written to.
    #[must_use]
    pub fn with_uploads_at(self, pace: Option<Arc<Pace>>) -> Self {
        Self { uploads: pace.or(self.uploads), ..self }
    }

    /// Whether each store has a limit of its own for what is written to it.
    pub fn limits_uploads(&self) -> bool {
        self.upload.is_some()
    }

    /// The paces of a store that is opened now.
    pub fn line(&self) -> Line {
        let own = |rate: Option<u64>| rate.map(|rate| Arc::new(Pace::new(rate).released_by(self.stop.clone())));
        Line { up: Paces::new(own(self.upload).into_iter().chain(self.uploads.clone())), down: Paces::new(own(self.download)) }
    }

    /// How to reach other machines.
    pub fn ssh(&self) -> &SshOptions {
        &self.ssh
    }

    /// The credentials, if they were given.
    pub fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }

    /// Most requests at once.
    pub fn connections(&self) -> usize {
        self.connections.unwrap_or(CONNECTIONS)
    }

    /// What the machine says.
    pub fn defaults(&self) -> &Defaults {
        &self.defaults
    }
}

/// What a file with credentials holds.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// The access key of a bucket.
    Bucket(BucketCredentials),
    /// Options of another service.
    Service(ServiceSecrets),
}

/// Options of a service that are secret, by their names in lower case.
#[derive(Clone)]
pub struct ServiceSecrets(Vec<(String, Zeroizing<String>)>);

impl fmt::Debug for ServiceSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl From<BucketCredentials> for Credentials {
    fn from(credentials: BucketCredentials) -> Self {
        Self::Bucket(credentials)
    }
}

impl Credentials {
    /// Reads a file, as [`Self::parse`].
    ///
    /// # Errors
    /// If it cannot be read or holds nothing.
    pub fn read(path: &Path) -> Result<Self, CredentialsFileError> {
        let shown = || path.display().to_string();
        let mut text = Zeroizing::new(String::new());
        let file = std::fs::File::open(path).map_err(|error| CredentialsFileError::Unreadable(shown(), error))?;
        file.take(LARGEST).read_to_string(&mut text).map_err(|error| CredentialsFileError::Unreadable(shown(), error))?;
        warn_if_exposed(path);
        Self::parse(&text).map_err(|error| CredentialsFileError::Wrong(shown(), error))
    }

    /// Lines `name=value` without a section, none of which is of AWS, are options of a service; anything else is an access key.
    ///
    /// # Errors
    /// If it holds neither.
    pub fn parse(text: &str) -> Result<Self, CredentialsError> {
        let mut sections = sections(text)?;
        match sections.as_mut_slice() {
            [only] if only.name.is_empty() && !only.values.is_empty() && !only.values.iter().any(|(name, _)| name.starts_with("aws_")) => {
                Ok(Self::Service(ServiceSecrets(std::mem::take(&mut only.values))))
            }
            _ => BucketCredentials::parse(text, PROFILE).map(Self::Bucket),
        }
    }

    /// The access key of a bucket.
    ///
    /// # Errors
    /// If they are something else.
    pub fn of_bucket(&self) -> Result<&BucketCredentials, CredentialsError> {
        match self {
            Self::Bucket(credentials) => Ok(credentials),
            Self::Service(_) => Err(CredentialsError::Missing("aws_access_key_id")),
        }
    }

    /// The options of another service.
    ///
    /// # Errors
    /// If they are a bucket's.
    pub fn of_service(&self) -> Result<impl Iterator<Item = (&str, &str)>, CredentialsError> {
        match self {
            Self::Service(secrets) => Ok(secrets.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))),
            Self::Bucket(_) => Err(CredentialsError::OfBucket),
        }
    }
}

/// An access key of a bucket's service.
#[derive(Clone)]
pub struct BucketCredentials {
    id: String,
    secret: Zeroizing<String>,
    token: Option<Zeroizing<String>>,
}

/// A file from which no credentials can be had.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsFileError {
    /// It cannot be read.
    #[error("cannot read the credentials in {0}: {1}")]
    Unreadable(String, std::io::Error),
    /// It holds none.
    #[error("{0} holds no credentials: {1}")]
    Wrong(String, CredentialsError),
}

/// Why a text holds no credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// A line that is neither a section nor a value.
    #[error("line {0} is neither `[profile]` nor `name = value`")]
    Line(usize),
    /// No key.
    #[error("`{0}` is missing; the file is like ~/.aws/credentials, or has lines AWS_ACCESS_KEY_ID=... and AWS_SECRET_ACCESS_KEY=...")]
    Missing(&'static str),
    /// Several profiles, and no word which.
    #[error("it has no profile `{0}`, but several others; name the profile `default`, or leave one only")]
    Profile(String),
    /// Those of a bucket, where another service is named.
    #[error("they are an access key of a bucket; for other services, write lines such as `password=...` with the service's own names")]
    OfBucket,
}

impl fmt::Debug for BucketCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BucketCredentials({})", self.id)
    }
}

/// Bytes of a file that are read.
const LARGEST: u64 = 1 << 20;
/// The profile that counts in a file with several.
const PROFILE: &str = "default";

impl BucketCredentials {
    /// Reads a text: INI as `~/.aws/credentials`, of which the profile counts, or the only one there is; or lines `KEY=VALUE`
    /// as in environment files.
    ///
    /// # Errors
    /// If it holds no key.
    pub fn parse(text: &str, profile: &str) -> Result<Self, CredentialsError> {
        let sections = sections(text)?;
        let found = match sections.as_slice() {
            [only] => only,
            several => {
                several.iter().find(|section| section.name == profile).ok_or_else(|| CredentialsError::Profile(profile.to_owned()))?
            }
        };
        let value = |name: &str| found.values.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        let id = value("aws_access_key_id").ok_or(CredentialsError::Missing("aws_access_key_id"))?;
        let secret = value("aws_secret_access_key").ok_or(CredentialsError::Missing("aws_secret_access_key"))?;
        Ok(Self { id: id.to_string(), secret, token: value("aws_session_token") })
    }

    /// The access key's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The secret.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// What temporary keys have besides.
    pub fn token(&self) -> Option<&str> {
        self.token.as_ref().map(|token| token.as_str())
    }
}

#[derive(Default)]
struct Section<'a> {
    name: &'a str,
    values: Vec<(String, Zeroizing<String>)>,
}

/// The sections that hold something.
fn sections(text: &str) -> Result<Vec<Section<'_>>, CredentialsError> {
    let mut sections = vec![Section::default()];
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            sections.push(Section { name: name.trim(), values: Vec::new() });
            continue;
        }
        let (name, value) = line.strip_prefix("export ").unwrap_or(line).split_once('=').ok_or(CredentialsError::Line(number))?;
        let value = unquoted(value.trim());
        if let Some(section) = sections.last_mut().filter(|_| !value.is_empty()) {
            section.values.push((name.trim().to_lowercase(), Zeroizing::new(value.to_owned())));
        }
    }
    if sections.len() > 1 {
        sections.retain(|section| !section.values.is_empty());
    }
    if sections.is_empty() {
        return Err(CredentialsError::Missing("aws_access_key_id"));
    }
    Ok(sections)
}

fn unquoted(value: &str) -> &str {
    let inside = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
    inside('"').or_else(|| inside('\'')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(String, String, Option<String>), CredentialsError> {
        let read = BucketCredentials::parse(text, "default")?;
        Ok((read.id().into(), read.secret().into(), read.token().map(str::to_owned)))
    }

    #[test]
    fn both_kinds_of_files_are_read() {
        let expected = Ok(("A".to_owned(), "s=/+".to_owned(), None));
        assert_eq!(parse("[default]\naws_access_key_id = A\naws_secret_access_key = s=/+\nregion = x\n"), expected);
        assert_eq!(parse("# mine\nexport AWS_ACCESS_KEY_ID=A\nAWS_SECRET_ACCESS_KEY=\"s=/+\"\n"), expected);
        assert_eq!(parse("[backup]\naws_access_key_id=A\naws_secret_access_key=s=/+"), expected);
        let several = "[a]\naws_access_key_id=X\naws_secret_access_key=y\n\n[default]\naws_access_key_id=A\naws_secret_access_key=s=/+\n";
        assert_eq!(parse(several), expected);
        let token = "AWS_ACCESS_KEY_ID=A\nAWS_SECRET_ACCESS_KEY=s\nAWS_SESSION_TOKEN='t'";
        assert_eq!(parse(token).unwrap().2.as_deref(), Some("t"));
    }

    #[test]
    fn a_file_is_a_bucket_s_or_a_service_s() {
        let service = Credentials::parse("# NAS\nUsername=me\npassword='s=1'\n").unwrap();
        let options: Vec<_> = service.of_service().unwrap().collect();
        assert_eq!(options, [("username", "me"), ("password", "s=1")]);
        assert_eq!(service.of_bucket().err(), Some(CredentialsError::Missing("aws_access_key_id")));
        assert!(!format!("{service:?}").contains("s=1"));
        let bucket = Credentials::parse("AWS_ACCESS_KEY_ID=A\nAWS_SECRET_ACCESS_KEY=s").unwrap();
        assert_eq!(bucket.of_bucket().unwrap().id(), "A");
        assert_eq!(bucket.of_service().err(), Some(CredentialsError::OfBucket));
        assert!(Credentials::parse("").is_err() && Credentials::parse("[default]\npassword=s\n").is_err());
    }

    #[test]
    fn what_holds_no_key_is_refused_without_being_shown() {
        assert_eq!(parse("[default]\naws_access_key_id = A\n"), Err(CredentialsError::Missing("aws_secret_access_key")));
        assert_eq!(parse(""), Err(CredentialsError::Missing("aws_access_key_id")));
        assert_eq!(parse("AWS_ACCESS_KEY_ID=A\nhidden\n"), Err(CredentialsError::Line(2)));
        let several = "[a]\naws_access_key_id=X\n[b]\naws_access_key_id=Y\n";
        assert_eq!(parse(several), Err(CredentialsError::Profile("default".into())));
        let read = BucketCredentials::parse("AWS_ACCESS_KEY_ID=A\nAWS_SECRET_ACCESS_KEY=hidden", "default").unwrap();
        assert_eq!(format!("{read:?}"), "BucketCredentials(A)");
    }
}
