//! Stores of other services of the library: `opendal+SERVICE://AUTHORITY/PATH?option=value`.
//!
//! Services, options and what authority and path mean are the library's; nothing is known of any of them here but its name, and which feature
//! of the build brings it. Secrets have no place in a URL: they are options from the file with credentials.

use std::collections::BTreeMap;
use std::fmt;

use opendal::{Operator, OperatorUri};
use serde_json::Value;

use super::credentials::{Credentials, CredentialsError};
use crate::store::StoreError;

/// Each service, and the feature of the build that brings it.
const SERVICES: [(&str, &str); 3] = [("webdav", "webdav"), ("gcs", "gcs"), ("azblob", "azure")];

/// A store at a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    name: &'static str,
    /// The server, the bucket or the container: what the library takes it for. Empty if an option says it.
    authority: String,
    /// Without slashes around.
    path: String,
    options: BTreeMap<String, String>,
}

/// Why a service cannot be reached by a URL.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// No such service.
    #[error("`opendal+{0}` is no service that this program can know; there are {known}", known = known())]
    Unknown(String),
    /// A service that this build does not know.
    #[error(
        "this program was built without {name}; build it with `cargo build --release --features {feature}`, \
         or with `--features all-services` for all"
    )]
    NotBuilt {
        /// The service.
        name: &'static str,
        /// What brings it.
        feature: &'static str,
    },
    /// A secret.
    #[error(
        "a URL ends up in logs and lists of processes and must not hold `{0}`; put lines such as `password=...` into a file and name \
         it with --credentials-file or as `credentials` in the configuration, and take a new secret, as this one may have been seen"
    )]
    Secret(String),
    /// A part of the URL that may be read in two ways.
    #[error("`{0}` cannot be part of the URL; write it with %20 and the like, without empty parts, `.` and `..`")]
    Unreadable(String),
    /// An option that is given twice.
    #[error("`{0}` is given twice, in the URL or in the file with credentials")]
    Twice(String),
    /// An option that the service does not have.
    #[error("{name} has no option `{option}`; it has {known}")]
    UnknownOption {
        /// The service.
        name: &'static str,
        /// What was written.
        option: String,
        /// What is possible.
        known: String,
    },
    /// An option that something else in the URL says too.
    #[error(
        "the URL says `{0}` twice: as an option, and by its host or path; leave one of them out (opendal+webdav:///PATH?endpoint=... has no host)"
    )]
    Overruled(String),
    /// What the library finds wrong.
    #[error("cannot use {location}: {why}")]
    Wrong {
        /// The URL.
        location: String,
        /// What the library says.
        why: String,
    },
    /// The file with credentials holds others.
    #[error("the credentials do not fit {location}: {error}")]
    Credentials {
        /// The URL.
        location: String,
        /// What is wrong with them.
        error: CredentialsError,
    },
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn known() -> String {
    let names: Vec<_> = SERVICES.iter().map(|(name, _)| format!("opendal+{name}://")).collect();
    format!("{}; buckets of the S3 protocol are s3://BUCKET/PREFIX", names.join(", "))
}

/// Makes a client of what the library reads in a URL, once it has been looked through; it knows nothing of the prefix, which stands beside it.
type Build = fn(&OperatorUri, &dyn Fn(&Value) -> Result<(), ServiceError>) -> opendal::Result<Result<(Operator, String), ServiceError>>;

/// The services of this build.
fn build_of(name: &str) -> Option<Build> {
    match name {
        #[cfg(feature = "webdav")]
        "webdav" => Some(build::<opendal::services::WebdavConfig>),
        #[cfg(feature = "gcs")]
        "gcs" => Some(build::<opendal::services::GcsConfig>),
        #[cfg(feature = "azure")]
        "azblob" => Some(build::<opendal::services::AzblobConfig>),
        _ => None,
    }
}

#[cfg(any(feature = "webdav", feature = "gcs", feature = "azure"))]
fn build<C: opendal::Configurator>(
    uri: &OperatorUri,
    look_through: &dyn Fn(&Value) -> Result<(), ServiceError>,
) -> opendal::Result<Result<(Operator, String), ServiceError>> {
    let unreadable = |error| opendal::Error::new(opendal::ErrorKind::ConfigInvalid, "read the options").set_source(error);
    let mut config = serde_json::to_value(C::from_uri(uri)?).map_err(unreadable)?;
    if let Err(error) = look_through(&config) {
        return Ok(Err(error));
    }
    let root = config.get_mut("root").map(Value::take);
    let operator = Operator::from_config(serde_json::from_value::<C>(config).map_err(unreadable)?)?;
    Ok(Ok((operator, root.and_then(|root| Some(root.as_str()?.to_owned())).unwrap_or_default())))
}

impl Service {
    /// Reads what stands between `opendal+` and `://`, and what follows that.
    ///
    /// # Errors
    /// If no service of this build is named, or the URL is not understood or holds a secret.
    pub fn parse(name: &str, rest: &str) -> Result<Self, ServiceError> {
        let known = SERVICES.iter().find(|(known, _)| *known == name);
        let (name, feature) = *known.ok_or_else(|| ServiceError::Unknown(name.to_owned()))?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = place.split_once('/').unwrap_or((place, ""));
        if authority.contains('@') {
            return Err(ServiceError::Secret("user:password@".into()));
        }
        let path = path.trim_end_matches('/');
        let plain = |text: &str, more: &str| {
            text.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.:".contains(letter) || more.contains(letter))
        };
        let step = |step: &str| !["", ".", ".."].contains(&step) && plain(step, "~=+@%,;!$'()*");
        if !plain(authority, "[]") {
            return Err(ServiceError::Unreadable(authority.to_owned()));
        }
        if !path.is_empty() && !path.split('/').all(step) {
            return Err(ServiceError::Unreadable(path.to_owned()));
        }
        let options = options(query)?;
        if build_of(name).is_none() {
            return Err(ServiceError::NotBuilt { name, feature });
        }
        Ok(Self { name, authority: authority.to_owned(), path: path.to_owned(), options })
    }

    /// The server, or what stands for it, as a URL.
    pub fn server(&self) -> String {
        self.options.get("endpoint").cloned().unwrap_or_else(|| format!("{}://{}", self.name, self.authority))
    }

    /// A client of the library for all that is there, and the prefix of the repository in it.
    pub(super) fn operator(&self, credentials: Option<&Credentials>) -> Result<(Operator, String), ServiceError> {
        let location = || self.to_string();
        let mut options = self.options.clone();
        if let Some(credentials) = credentials {
            let secrets = credentials.of_service().map_err(|error| ServiceError::Credentials { location: location(), error })?;
            for (name, value) in secrets {
                if options.insert(name.to_owned(), value.to_owned()).is_some() {
                    return Err(ServiceError::Twice(name.to_owned()));
                }
            }
        }
        let look_through = |config: &Value| self.look_through(&options, config);
        let wrong = |error: opendal::Error| ServiceError::Wrong { location: location(), why: said(&error) };
        let uri = OperatorUri::new(&format!("{}://{}/{}", self.name, self.authority, self.path), options.clone()).map_err(wrong)?;
        let build = build_of(self.name).ok_or_else(|| ServiceError::Unknown(self.name.to_owned()))?;
        build(&uri, &look_through).map_err(wrong)?
    }

    /// Whether the service has every option, and took it: the library leaves out in silence what it does not know.
    fn look_through(&self, options: &BTreeMap<String, String>, config: &Value) -> Result<(), ServiceError> {
        for (option, given) in options {
            match config.get(option) {
                None => {
                    let known: Vec<_> = config.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
                    return Err(ServiceError::UnknownOption { name: self.name, option: option.clone(), known: known.join(", ") });
                }
                Some(Value::String(taken)) if taken != given => return Err(ServiceError::Overruled(option.clone())),
                Some(_) => {}
            }
        }
        Ok(())
    }
}

/// What the library finds wrong, without its context, which may hold what it was given.
fn said(error: &opendal::Error) -> String {
    use std::error::Error as _;
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{}{cause}", error.message())
}

/// The options of a URL. Which there are, only the library knows.
fn options(query: &str) -> Result<BTreeMap<String, String>, ServiceError> {
    let mut found = BTreeMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let lower = name.to_lowercase();
        let secret = ["key", "secret", "token", "password", "credential"].iter().any(|word| lower.contains(word));
        if secret || (value.contains("://") && value.contains('@')) {
            return Err(ServiceError::Secret(name.to_owned()));
        }
        if value.is_empty() || value.chars().any(|letter| letter.is_control() || " #\"\\".contains(letter)) {
            return Err(ServiceError::Unreadable(pair.to_owned()));
        }
        if found.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(ServiceError::Twice(name.to_owned()));
        }
    }
    Ok(found)
}

/// The URL again, without the id of the repository.
impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "opendal+{}://{}/{}", self.name, self.authority, self.path)?;
        for (rank, (name, value)) in self.options.iter().enumerate() {
            write!(f, "{}{name}={value}", if rank == 0 { '?' } else { '&' })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(name: &str, rest: &str) -> String {
        Service::parse(name, rest).unwrap_err().to_string()
    }

    #[test]
    fn services_are_refused_by_name_or_by_the_feature_that_is_missing() {
        assert!(error("dropbox", "a/b").contains("there are opendal+webdav://"));
        for (name, feature, built) in [
            ("webdav", "webdav", cfg!(feature = "webdav")),
            ("gcs", "gcs", cfg!(feature = "gcs")),
            ("azblob", "azure", cfg!(feature = "azure")),
        ] {
            match Service::parse(name, "a/b") {
                Ok(service) => assert!(built && service.to_string() == format!("opendal+{name}://a/b")),
                Err(error) => assert!(!built && error.to_string().contains(&format!("--features {feature}")), "{error}"),
            }
        }
    }

    #[test]
    fn secrets_are_refused_and_not_repeated() {
        let urls = ["me:hidden@nas/a", "nas/a?password=hidden", "nas/a?account_key=hidden", "/a?endpoint=http://me:hidden@nas"];
        for url in urls {
            let text = error("webdav", url);
            assert!(text.contains("--credentials-file") && !text.contains("hidden"), "{text}");
        }
    }

    #[test]
    fn what_may_be_read_in_two_ways_is_refused() {
        for url in ["nas/a/../b", "nas//a", "nas/a b", "nas/a#b", "n%20s/a", "nas/a?username=a#b", "nas/a?username=", "nas/a?a=1&a=2"] {
            assert!(Service::parse("webdav", url).is_err_and(|error| !matches!(error, ServiceError::NotBuilt { .. })), "{url}");
        }
    }

    #[cfg(feature = "webdav")]
    #[test]
    fn options_are_the_service_s_own_and_each_has_an_effect() {
        let refused = |rest: &str, file: &str| {
            let credentials = Credentials::parse(file).unwrap();
            Service::parse("webdav", rest).unwrap().operator(Some(&credentials)).unwrap_err().to_string()
        };
        let text = refused("nas/a?usrname=me", "password=hidden");
        assert!(text.contains("webdav has no option `usrname`") && text.contains("username"), "{text}");
        assert!(refused("nas/a", "passwort=hidden").contains("`passwort`"));
        assert!(refused("nas/a?endpoint=http://other", "password=hidden").contains("`endpoint` twice"));
        assert!(refused("nas/a?username=me", "username=you").contains("given twice"));
        assert!(refused("/a", "password=hidden").contains("endpoint is empty"));
        assert!(refused("nas/a", "AWS_ACCESS_KEY_ID=a\nAWS_SECRET_ACCESS_KEY=hidden").contains("do not fit"));
        let service = Service::parse("webdav", "/a?endpoint=http://nas:8080&username=me").unwrap();
        assert_eq!(service.server(), "http://nas:8080");
        service.operator(Some(&Credentials::parse("password=hidden").unwrap())).unwrap();
    }

    #[cfg(all(feature = "webdav", feature = "gcs", feature = "azure"))]
    #[test]
    fn urls_and_secrets_of_the_documentation_are_understood() {
        for (name, url, file) in [
            ("webdav", "cloud.example/remote.php/dav/files/me@example.org/backup?username=me", "password=app-password"),
            ("webdav", "/PATH?endpoint=http://HOST:8080&username=NAME", "token=abc"),
            ("gcs", "my-bucket/hosts/q", "credential_path=/etc/hearth-backup/google.json"),
            ("gcs", "my-bucket", "credential=e30="),
            ("azblob", "container/q?endpoint=https://me.blob.core.windows.net&account_name=me", "account_key=c2VjcmV0"),
            ("azblob", "container/q?endpoint=https://me.blob.core.windows.net&account_name=me", "sas_token=sv=1&sig=abc"),
        ] {
            let credentials = Credentials::parse(file).unwrap();
            let service = Service::parse(name, url).unwrap();
            let (operator, prefix) = service.operator(Some(&credentials)).unwrap_or_else(|error| panic!("{url}: {error}"));
            let path = url.split('?').next().unwrap().split_once('/').map_or("", |(_, path)| path);
            assert_eq!((operator.info().root().as_ref(), prefix.trim_matches('/')), ("/", path));
        }
    }
}
