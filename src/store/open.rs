//! From the location that a person writes to the store it names.

use std::path::PathBuf;
use std::sync::Arc;

use super::hub::{HubAddress, HubAddressError};
use super::layer::PacedStore;
use super::object::{Access, AddressError, Bucket, ObjectStore, Service, ServiceError};
use super::sftp::{SftpAddress, SftpAddressError};
use super::{DirectoryStore, HubStore, SftpStore, Store, StoreError, StoreErrorKind};
use crate::model::id::{ParseRepositoryIdError, RepositoryId};

/// A location as it was written: a place, and which repository is expected there.
///
/// `/path`, `./path` and `file:///path` name directories, `sftp://user@host:port/path` those of other machines, `s3://bucket/prefix?endpoint=...`
/// buckets, `opendal+webdav://host/path` and the like stores of other services. `#hb1...` at the end says which repository it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The place.
    pub place: Place,
    /// The repository that must be there, if it was said.
    pub expected_id: Option<RepositoryId>,
}

/// Where a repository lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a directory.
    Directory(PathBuf),
    /// In a directory of another machine.
    Server(SftpAddress),
    /// In a bucket.
    Bucket(Box<Bucket>),
    /// At another service.
    Service(Box<Service>),
    /// At a hub.
    Hub(HubAddress),
}

/// What schemes of other services begin with.
const SERVICES: &str = "opendal+";

/// What to do where a server has no repository.
const ABSENT: &str = "there is no repository; check the path and that its disk is mounted, or make one with `hearth-backup init`";
/// What to do where a server lets none be made.
const UNFIT: &str = "no repository can be made there; choose a new or an empty directory in which the account may write";

/// An opened store, and which repository is expected in it.
#[derive(Debug)]
pub struct Location {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The repository that must be there, if it was said.
    pub expected_id: Option<RepositoryId>,
}

/// Why a location cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LocationError {
    /// Nothing was written.
    #[error("the repository's location is empty; write a directory such as /srv/backup, sftp://HOST/PATH or s3://BUCKET/PREFIX")]
    Empty,
    /// A kind of store that does not exist in this build.
    #[error(
        "`{location}`: repositories lie in directories (/path, file:///path), on servers (sftp://host/path), in buckets (s3://bucket/prefix) and at other services (such as opendal+webdav://host/path) and at hubs (https://host/name), not at {scheme}"
    )]
    Unsupported {
        /// What was written.
        location: String,
        /// The kind of store.
        scheme: String,
    },
    /// A home directory that no shell has filled in.
    #[error("`{0}`: `~` is not expanded here; write it without quotes, the whole path, or ./{0} for a directory of that name")]
    Tilde(String),
    /// A `file` URL that does not name a directory of this machine.
    #[error("`{0}` does not name a directory; write file:///path, with three slashes, or the plain path")]
    FileUrl(String),
    /// An `sftp` URL that does not name a directory.
    #[error(transparent)]
    Sftp(#[from] SftpAddressError),
    /// An `s3` URL that does not name a bucket.
    #[error(transparent)]
    Bucket(#[from] AddressError),
    /// A URL of another service that it cannot be reached by.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// A URL of a hub that names no repository there.
    #[error(transparent)]
    Hub(#[from] HubAddressError),
    /// What follows `#` is not a repository id.
    #[error(transparent)]
    Id(#[from] ParseRepositoryIdError),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Opens the store at a location.
///
/// # Errors
/// If the location is not understood, or no repository is there.
pub fn open(location: &str, access: &Access) -> Result<Location, LocationError> {
    let Address { place, expected_id } = Address::parse(location, access)?;
    let store: Arc<dyn Store> = match place {
        Place::Directory(path) => local(DirectoryStore::open(path)?, access),
        Place::Server(address) => {
            let store = SftpStore::open(address, access.ssh().clone(), access.line());
            Arc::new(store.map_err(|error| if error.is_not_found() { error.advising(ABSENT) } else { error })?)
        }
        Place::Bucket(bucket) => Arc::new(ObjectStore::new(*bucket, access)?),
        Place::Service(service) => Arc::new(ObjectStore::at_service(&service, access)?),
        Place::Hub(address) => Arc::new(HubStore::new(address, access)?),
    };
    Ok(Location { store, expected_id })
}

/// Makes an empty store at a location, for a new repository.
///
/// # Errors
/// If the location is not understood, or holds something else.
pub fn create(location: &str, access: &Access) -> Result<Location, LocationError> {
    let Address { place, expected_id } = Address::parse(location, access)?;
    let store: Arc<dyn Store> = match place {
        Place::Directory(path) => local(DirectoryStore::create(path)?, access),
        Place::Server(address) => {
            let store = SftpStore::create(address, access.ssh().clone(), access.line());
            Arc::new(store.map_err(|error| if error.kind == StoreErrorKind::Refused { error.advising(UNFIT) } else { error })?)
        }
        Place::Bucket(bucket) => Arc::new(ObjectStore::create(*bucket, access)?),
        Place::Service(service) => Arc::new(ObjectStore::create_at_service(&service, access)?),
        Place::Hub(address) => Arc::new(HubStore::new(address, access)?),
    };
    Ok(Location { store, expected_id })
}

/// Stores of this machine know nothing of paces.
fn local(directory: DirectoryStore, access: &Access) -> Arc<dyn Store> {
    let line = access.line();
    if line.is_free() { Arc::new(directory) } else { Arc::new(PacedStore::new(Arc::new(directory), line)) }
}

impl Address {
    /// Reads a location; `access` says what URLs of buckets leave open, and whether hubs may be reached by plain HTTP.
    ///
    /// # Errors
    /// If it is not understood.
    pub fn parse(location: &str, access: &Access) -> Result<Self, LocationError> {
        let (place, id) = match location.rsplit_once('#') {
            Some((place, id)) if id.starts_with("hb1") => (place, Some(id)),
            _ => (location, None),
        };
        let place = match place.split_once("://") {
            Some(("s3", rest)) => Place::Bucket(Box::new(Bucket::parse(rest, access.defaults())?)),
            Some((scheme @ ("https" | "http" | "ssh"), rest)) => Place::Hub(HubAddress::parse(scheme, rest, access.allows_plain_http())?),
            Some(("sftp", rest)) => Place::Server(rest.parse()?),
            Some((scheme, rest)) if scheme.starts_with(SERVICES) => {
                Place::Service(Box::new(Service::parse(scheme.trim_start_matches(SERVICES), rest)?))
            }
            _ => Place::Directory(directory(place)?),
        };
        let expected_id = id.map(RepositoryId::from_bech32).transpose()?;
        Ok(Self { place, expected_id })
    }

    /// The directory, if it is one of this machine.
    pub fn into_directory(self) -> Option<PathBuf> {
        match self.place {
            Place::Directory(path) => Some(path),
            Place::Server(_) | Place::Bucket(_) | Place::Service(_) | Place::Hub(_) => None,
        }
    }
}

fn directory(place: &str) -> Result<PathBuf, LocationError> {
    if place.is_empty() {
        return Err(LocationError::Empty);
    }
    if let Some(rest) = place.strip_prefix("file:") {
        return url_path(rest).map(PathBuf::from).ok_or_else(|| LocationError::FileUrl(place.to_owned()));
    }
    if place == "~" || place.starts_with("~/") {
        return Err(LocationError::Tilde(place.to_owned()));
    }
    match foreign_scheme(place) {
        Some(scheme) => Err(LocationError::Unsupported { location: without_password(place), scheme }),
        None => Ok(PathBuf::from(place)),
    }
}

/// The path in `///path` or `//localhost/path`, with `%20` and the like read as what they stand for.
fn url_path(rest: &str) -> Option<String> {
    let rest = rest.strip_prefix("//")?;
    let path = rest.strip_prefix("localhost").unwrap_or(rest);
    if !path.starts_with('/') {
        return None;
    }
    let mut bytes = Vec::new();
    let mut parts = path.split('%');
    bytes.extend_from_slice(parts.next()?.as_bytes());
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend_from_slice(part.get(2..)?.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

/// The scheme of `scheme://...`, or of the `host:path` that `ssh` users write: a colon before any slash.
fn foreign_scheme(place: &str) -> Option<String> {
    if let Some((scheme, _)) = place.split_once("://") {
        return (!scheme.contains('/')).then(|| format!("{scheme}://"));
    }
    let first = place.split('/').next()?;
    let (host, _) = first.split_once(':')?;
    Some(format!("another machine such as `{host}` (a directory whose name has a colon is written ./{first})"))
}

/// The location without what stands between a user's name and the `@`.
fn without_password(place: &str) -> String {
    let Some((scheme, rest)) = place.split_once("://") else { return place.to_owned() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    match authority.rsplit_once('@') {
        Some((user, host)) => format!("{scheme}://{}@{host}{path}", user.split(':').next().unwrap_or_default()),
        None => place.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn parse(location: &str) -> Result<Address, LocationError> {
        Address::parse(location, &Access::default())
    }

    fn path(location: &str) -> PathBuf {
        parse(location).unwrap().into_directory().unwrap()
    }

    fn error(location: &str) -> String {
        parse(location).unwrap_err().to_string()
    }

    #[test]
    fn paths_and_file_urls_name_directories() {
        assert_eq!(path("/srv/backup"), Path::new("/srv/backup"));
        assert_eq!(path("./backup"), Path::new("./backup"));
        assert_eq!(path("backup#1"), Path::new("backup#1"));
        assert_eq!(path("./a:b"), Path::new("./a:b"));
        assert_eq!(path("file:///srv/my%20disk"), Path::new("/srv/my disk"));
        assert_eq!(path("file://localhost/srv"), Path::new("/srv"));
    }

    #[test]
    fn the_expected_repository_is_split_off_and_checked() {
        let id = RepositoryId::from_bytes([7; 32]);
        let address = parse(&format!("/srv/#1#{}", id.to_bech32())).unwrap();
        assert_eq!(address, Address { place: Place::Directory("/srv/#1".into()), expected_id: Some(id) });
        let bucket = parse(&format!("s3://bkt/a?provider=garage#{}", id.to_bech32())).unwrap();
        assert_eq!(bucket.expected_id, Some(id));
        assert_eq!(bucket.into_directory(), None);
        assert!(error("/srv#hb1wrong").contains("hb1wrong"));
        assert!(error(&format!("#{}", id.to_bech32())).contains("empty"));
    }

    #[test]
    fn other_kinds_of_stores_are_refused_by_name_and_without_their_passwords() {
        for scheme in ["ftp", "rsync"] {
            let text = error(&format!("{scheme}://user:secret@host/a"));
            assert!(text.contains(&format!("not at {scheme}://")), "{text}");
            assert!(text.contains("user@host/a") && !text.contains("secret"), "{text}");
        }
        assert!(error("root@nas:/srv").contains("another machine"));
        assert!(error("").contains("empty"));
        for place in ["~", "~/backup"] {
            assert!(error(place).contains(&format!("./{place} for a directory of that name")), "a shell has not expanded it");
        }
        assert_eq!(path("~backup"), Path::new("~backup"));
        assert!(error("s3://user:secret@bucket/a").contains("--credentials-file"));
        for url in ["file://nas/srv", "file:srv", "file:///a%zz", "file:///a%f"] {
            assert!(error(url).contains("three slashes"), "{url}");
        }
    }

    #[test]
    fn a_created_store_can_be_opened() {
        let folder = tempfile::tempdir().unwrap();
        let location = folder.path().join("repository");
        let location = location.to_str().unwrap();
        assert!(open(location, &Access::default()).err().unwrap().to_string().contains("hearth-backup init"));
        create(location, &Access::default()).unwrap();
        assert_eq!(open(location, &Access::default()).unwrap().store.location(), location);
    }
}
