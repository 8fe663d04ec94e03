//! A store in a bucket of an S3-compatible service, or at another service that the library knows.
//!
//! ```text
//!   Store (synchronous) --> attempt (retries, time-outs, connections) --> opendal --> transport (HTTP, counts) --> server
//! ```
//!
//! An object is uploaded by one request once its name is known: packs stay in memory until then. So every object
//! costs one request, nothing half-done is ever visible, and there is nothing to sweep. The other ways cost more: parts sent
//! in parallel take five or more requests a pack, and what is sent to a temporary key must be copied and deleted. Only objects
//! larger than packs are go in parts, from a local file.
//!
//! A put asks the server not to replace anything (`If-None-Match: *`). A server that does not know this may be told to store what it
//! has, and says that it created it: that does no harm where a name settles the bytes, as a hash of them does. Where it does not, as
//! with the numbered statements in `repo/`, the object is looked up first.
//!
//! What another service can do, its capabilities in the library say: see [`renamed`] for those that know no conditions, and [`listing`] for those
//! whose listings begin at the beginning.

mod address;
mod answer;
mod credentials;
mod listing;
mod renamed;
mod service;
mod transport;

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::StreamExt as _;
use opendal::services::S3;
use opendal::{Buffer, BufferStream, ErrorKind, Metadata, OperationContext, Operator};

pub use self::address::{AddressError, Bucket, Checksum, Defaults};
use self::answer::Failure;
pub use self::credentials::{Access, BucketCredentials, Credentials, CredentialsError, CredentialsFileError};
use self::renamed::TEMPORARY;
pub use self::service::{Service, ServiceError};
use self::transport::Transport;
use super::attempt::{Attempts, Failing as _};
use super::download::{self, Download, Stretch};
use super::pieces::{self, Memory, Whole};
use super::requests::Requests;
use super::upload::{Staged, Upload};
use super::{Folder, ObjectInfo, ObjectName, Packing, Put, StagedObject, Store, StoreError};

/// Objects that one request deletes; the protocol allows no more.
const BATCH: usize = 1000;
/// A pack in a bucket, in bytes: it is sent from memory by one request, while another is sent and a third filled.
const PACK: u64 = 40 << 20;
/// Packs on their way at once.
const AT_ONCE: usize = 2;
/// What larger objects are sent in, and how many at once.
const PART: usize = 16 << 20;
const PARTS_AT_ONCE: usize = 2;

/// Why no repository is made where one is around it, or something else is.
const WITHIN: &str = "a repository must not lie within another one";
const STRANGERS: &str = "the place is not empty";

/// A store in a bucket. Clones share connections and counts.
#[derive(Clone)]
pub struct ObjectStore(Arc<Inner>);

struct Inner {
    place: Place,
    operator: Operator,
    attempts: Attempts<Failure>,
    transport: Transport,
    /// Whether the server refuses replacements by itself.
    conditional: AtomicBool,
    /// Whether objects get their names by a move, which the server refuses where a name is taken.
    renames: bool,
    /// Whether what earlier runs left was cleared away.
    swept: Once,
    memory: Arc<Memory>,
}

/// Where a store is, and what is said of its server.
struct Place {
    /// For people.
    location: String,
    /// As a URL.
    server: String,
    /// What all keys of the repository begin with: nothing, or a prefix with its `/`. The library is not told of it, as it would cut so many
    /// bytes off whatever name a server lists, and die of one that is shorter.
    root: String,
    /// Whether the server is believed to refuse replacements when it is asked to.
    conditional: bool,
    listing_lag: Duration,
}

impl Drop for Inner {
    fn drop(&mut self) {
        tracing::debug!("requests to {}: {}", self.place.server, self.transport.requests());
    }
}

impl ObjectStore {
    /// Connects to a bucket; nothing is asked of the server yet.
    ///
    /// # Errors
    /// If no client can be made of what is given.
    pub fn new(bucket: Bucket, access: &Access) -> Result<Self, StoreError> {
        let place = Place {
            location: bucket.to_string(),
            server: bucket.endpoint().to_owned(),
            root: root(bucket.prefix()),
            conditional: bucket.conditional_writes(),
            listing_lag: bucket.listing_lag(),
        };
        let failed = |why: String| StoreError::io("use the bucket", bucket.to_string(), std::io::Error::other(why));
        let builder = builder(&bucket, access).map_err(|error| failed(error.to_string()))?;
        let operator = Operator::new(builder).map_err(|error| failed(error.to_string()))?;
        Self::over(operator, place, access)
    }

    /// Connects to another service; nothing is asked of the server yet.
    ///
    /// # Errors
    /// If the service does not know what is given, or no client can be made of it.
    pub fn at_service(service: &Service, access: &Access) -> Result<Self, ServiceError> {
        let (operator, prefix) = service.operator(access.credentials())?;
        let conditional = operator.info().capability().write_with_if_not_exists;
        let (location, server, root) = (service.to_string(), service.server(), root(&prefix));
        let place = Place { location, server, root, conditional, listing_lag: Duration::ZERO };
        Ok(Self::over(operator, place, access)?)
    }

    fn over(operator: Operator, place: Place, access: &Access) -> Result<Self, StoreError> {
        let failed = |error| StoreError::io("use", &place.location, error);
        let attempts = Attempts::new(access.connections()).map_err(failed)?;
        let transport = Transport::new(&place.server, access.line()).map_err(failed)?;
        let operator = operator.with_context(OperationContext::new().with_http_transport(transport.erased()));
        let can = operator.info().capability();
        let (conditional, renames) = (AtomicBool::new(place.conditional), !can.write_with_if_not_exists && can.rename);
        let (swept, memory) = (Once::new(), Arc::default());
        Ok(Self(Arc::new(Inner { place, operator, attempts, transport, conditional, renames, swept, memory })))
    }

    /// Opens a bucket for a new repository.
    ///
    /// # Errors
    /// If the server cannot be reached or does not let us in, or if the prefix holds something else.
    pub fn create(bucket: Bucket, access: &Access) -> Result<Self, StoreError> {
        let store = Self::new(bucket.clone(), access)?.unless_used()?;
        for above in bucket.above() {
            // A key that may not look there is no reason to refuse.
            if Self::new(above.clone(), access)?.holds_repository() {
                let why = format!("it lies in the repository at {above}; give the repository a prefix of its own");
                return Err(StoreError::io("create a repository in", &bucket, std::io::Error::other(why)).advising(WITHIN));
            }
        }
        Ok(store)
    }

    fn holds_repository(&self) -> bool {
        ObjectName::new(Folder::Repo, "0").is_some_and(|first| self.exists(&first).unwrap_or(false))
    }

    /// Opens another service for a new repository.
    ///
    /// # Errors
    /// As [`Self::at_service`] and [`Self::create`].
    pub fn create_at_service(service: &Service, access: &Access) -> Result<Self, ServiceError> {
        Ok(Self::at_service(service, access)?.unless_used()?)
    }

    fn unless_used(self) -> Result<Self, StoreError> {
        let strangers = self.unknown_folders()?;
        if let Some(stranger) = strangers.first() {
            let why = format!("it holds `{stranger}/`, which no repository has; give the repository a prefix of its own");
            return Err(StoreError::io("create a repository in", self.location(), std::io::Error::other(why)).advising(STRANGERS));
        }
        Ok(self)
    }

    fn error(&self, action: &'static str, object: impl std::fmt::Display, failure: &Failure) -> StoreError {
        answer::explain(action, format!("{object} in {}", self.location()), &self.0.place.server, failure)
    }

    /// The key of an object.
    fn key(&self, name: &ObjectName) -> String {
        self.below(&name.path())
    }

    /// The key of what has this path in the repository.
    fn below(&self, path: &str) -> String {
        format!("{}{path}", self.0.place.root)
    }

    /// Stores `bytes` unless the name is taken.
    fn put(&self, name: &ObjectName, bytes: Buffer) -> Result<Put, StoreError> {
        let failed = |failure: &Failure| self.error("store", name, failure);
        // A statement is not named by its hash: a server that ignores conditions must not replace one.
        if matches!(name.folder(), Folder::Repo | Folder::Received) && self.exists(name)? {
            return Ok(Put::Exists);
        }
        if self.0.renames {
            return self.put_renamed(name, &bytes);
        }
        loop {
            let conditional = self.0.conditional.load(Ordering::Relaxed);
            if !conditional && name.folder() == Folder::Prunes && self.exists(name)? {
                return Ok(Put::Exists);
            }
            let size = bytes.len() as u64;
            let path = self.key(name);
            let (operator, path, bytes) = (&self.0.operator, &path, &bytes);
            let write = |attempt| async move {
                // An earlier attempt may have come through. A server that knows it from the head of a request need not read the
                // body; it then breaks the connection while we send, and its answer is lost each time.
                if attempt > 1 && operator.stat(path).await.is_ok() {
                    return Err(opendal::Error::new(ErrorKind::ConditionNotMatch, "it is there by now"));
                }
                operator.write_with(path, bytes.clone()).if_not_exists(conditional).await
            };
            let (result, attempts) = self.0.attempts.run(size, write);
            match result {
                Ok(_) => return Ok(Put::Created),
                Err(Failure::Answer(error)) if error.kind() == ErrorKind::ConditionNotMatch => {
                    // The first attempt may have come through although its answer was lost.
                    let ours = attempts > 1 && self.holds(name, bytes)?;
                    return Ok(if ours { Put::Created } else { Put::Exists });
                }
                Err(Failure::Answer(error)) if conditional && answer::is_unknown_condition(&error) => {
                    self.0.conditional.store(false, Ordering::Relaxed);
                }
                Err(failure) => return Err(failed(&failure)),
            }
        }
    }

    /// Deletes by one request. If the server leaves some of them, the library does not tell which; they are then asked for one by one.
    fn delete_batch(&self, names: &[ObjectName]) -> Vec<Result<(), StoreError>> {
        let delete = |_| self.0.operator.delete_iter(names.iter().map(|name| self.key(name)).collect::<Vec<_>>());
        match self.0.attempts.run(0, delete).0 {
            Ok(()) => names.iter().map(|_| Ok(())).collect(),
            Err(failure) if failure.may_pass() || failure.is_refusal() => {
                names.iter().map(|name| Err(self.error("delete", name, &failure))).collect()
            }
            Err(failure) => {
                tracing::debug!("{} objects could not be deleted by one request: {failure}", names.len());
                names.iter().map(|name| self.delete(name)).collect()
            }
        }
    }

    /// Stores the bytes of a file in parts unless the name is taken.
    fn put_parts(&self, name: &ObjectName, file: &File, size: u64) -> Result<Put, StoreError> {
        if self.exists(name)? {
            return Ok(Put::Exists);
        }
        let path = self.key(name);
        let failed = |error: std::io::Error| opendal::Error::new(ErrorKind::Unexpected, "read a temporary file").set_source(error);
        let write = |_| async {
            pieces::rewind(file).map_err(failed)?;
            let mut writer = self.0.operator.writer_with(&path).chunk(PART).concurrent(PARTS_AT_ONCE).await?;
            let mut rest = file;
            loop {
                let part = pieces::next_part(&mut rest, PART).map_err(failed)?;
                if part.is_empty() {
                    return writer.close().await;
                }
                if let Err(error) = writer.write(part).await {
                    // What was sent would stay, and be billed, for as long as the bucket's rules say.
                    let _ = writer.abort().await;
                    return Err(error);
                }
            }
        };
        let (result, _) = self.0.attempts.run(size, write);
        result.map(|_| Put::Created).map_err(|failure| self.error("store", name, &failure))
    }

    fn exists(&self, name: &ObjectName) -> Result<bool, StoreError> {
        match self.stat(name) {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether an object is what we wanted to store. Only small ones are compared; large ones are named by their hash.
    fn holds(&self, name: &ObjectName, bytes: &Buffer) -> Result<bool, StoreError> {
        const SMALL: usize = 1 << 20;
        if bytes.len() > SMALL {
            return Ok(true);
        }
        Ok(self.get(name, bytes.len() as u64).is_ok_and(|found| found == bytes.to_vec()))
    }

    fn head(&self, path: &str) -> Result<Metadata, Failure> {
        self.0.attempts.run(0, |_| self.0.operator.stat(path)).0
    }
}

impl Upload for ObjectStore {
    fn memory(&self) -> &Arc<Memory> {
        &self.0.memory
    }

    fn upload(&self, name: &ObjectName, whole: Whole) -> Result<Put, StoreError> {
        match whole {
            Whole::File(file, size) => self.put_parts(name, &file, size),
            Whole::Pieces(pieces) => self.put(name, pieces.into_iter().collect()),
        }
    }
}

impl Download for ObjectStore {
    type Failure = Failure;
    type Answer = BufferStream;

    fn attempts(&self) -> &Attempts<Failure> {
        &self.0.attempts
    }

    fn not_read(&self, name: &ObjectName, failure: &Failure) -> StoreError {
        self.error("read", name, failure)
    }

    async fn ask(&self, name: &ObjectName, range: Option<Range<u64>>) -> Result<BufferStream, Failure> {
        let reader = self.0.operator.reader(&self.key(name)).await?;
        Ok(match range {
            Some(range) => reader.into_stream(range).await?,
            None => reader.into_stream(..).await?,
        })
    }

    /// The library keeps it to itself.
    fn announced(_: &BufferStream) -> Option<u64> {
        None
    }

    async fn next(answer: &mut BufferStream) -> Result<Option<Bytes>, Failure> {
        Ok(answer.next().await.transpose()?.map(|piece| piece.to_bytes()))
    }
}

/// What keys below a prefix begin with.
fn root(prefix: &str) -> String {
    prefix.split('/').filter(|part| !part.is_empty()).map(|part| format!("{part}/")).collect()
}

/// Size and time of an object; whole seconds, as answers about single objects tell no more.
fn info(name: ObjectName, metadata: &Metadata) -> ObjectInfo {
    let seconds = metadata.last_modified().map_or(0, |time| time.into_inner().as_second());
    let stored = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    ObjectInfo { name, size: metadata.content_length(), stored }
}

fn builder(bucket: &Bucket, access: &Access) -> Result<S3, CredentialsError> {
    let mut builder = S3::default().bucket(bucket.name()).endpoint(bucket.endpoint()).region(bucket.region());
    if bucket.is_virtual_style() {
        builder = builder.enable_virtual_host_style();
    }
    if let Some(class) = bucket.storage_class() {
        builder = builder.default_storage_class(class);
    }
    if let Some(algorithm) = bucket.checksum().algorithm() {
        builder = builder.checksum_algorithm(algorithm);
    }
    if let Some(credentials) = access.credentials().map(Credentials::of_bucket).transpose()? {
        builder = builder.access_key_id(credentials.id()).secret_access_key(credentials.secret()).disable_config_load();
        if let Some(token) = credentials.token() {
            builder = builder.session_token(token);
        }
    }
    // Machines elsewhere would wait for a service that only machines of Amazon have.
    Ok(if bucket.is_amazon() { builder } else { builder.disable_ec2_metadata() })
}

impl Store for ObjectStore {
    fn location(&self) -> String {
        self.0.place.location.clone()
    }

    fn put_new(&self, name: &ObjectName, bytes: &[u8]) -> Result<Put, StoreError> {
        self.put(name, Buffer::from(bytes.to_vec()))
    }

    fn stage(&self) -> Result<Box<dyn StagedObject>, StoreError> {
        Ok(Box::new(Staged::new(self)))
    }

    fn get(&self, name: &ObjectName, limit: u64) -> Result<Vec<u8>, StoreError> {
        download::get(self, name, limit)
    }

    fn get_range(&self, name: &ObjectName, offset: u64, length: usize, buffer: &mut Vec<u8>) -> Result<(), StoreError> {
        download::get_range(self, name, offset, length, buffer)
    }

    fn stream<'a>(&'a self, name: &ObjectName, range: Range<u64>) -> Option<Box<dyn Read + Send + 'a>> {
        Some(Box::new(Stretch::new(self, name, range)))
    }

    fn list(&self, folder: Folder) -> Result<Vec<ObjectInfo>, StoreError> {
        self.list_folders(&[folder])
    }

    fn list_folders(&self, folders: &[Folder]) -> Result<Vec<ObjectInfo>, StoreError> {
        self.sweep(folders).map_err(|(folder, failure)| self.error("list", folder, &failure))
    }

    fn stat(&self, name: &ObjectName) -> Result<ObjectInfo, StoreError> {
        let metadata = self.head(&self.key(name)).map_err(|failure| self.error("look up", name, &failure))?;
        Ok(info(name.clone(), &metadata))
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        let path = self.key(name);
        let (result, _) = self.0.attempts.run(0, |_| self.0.operator.delete(&path));
        match result {
            Err(Failure::Answer(error)) if error.kind() == ErrorKind::NotFound => Ok(()),
            result => result.map_err(|failure| self.error("delete", name, &failure)),
        }
    }

    /// A request for every thousand, if the service knows such.
    fn delete_many(&self, names: &[ObjectName]) -> Vec<Result<(), StoreError>> {
        let most = self.0.operator.info().capability().delete_max_size.unwrap_or(1).clamp(1, BATCH);
        let batches = names.chunks(most).map(|batch| match batch {
            [name] => vec![self.delete(name)],
            batch => self.delete_batch(batch),
        });
        batches.flatten().collect()
    }

    fn unknown_folders(&self) -> Result<Vec<String>, StoreError> {
        self.strangers().map_err(|failure| self.error("list", "the top", &failure))
    }

    /// The time that the server puts into each answer. It is what its dates of objects are made from; a probe object would
    /// cost three requests and a right to delete.
    fn now(&self) -> Result<SystemTime, StoreError> {
        let failed = |failure: &Failure| self.error("read the clock", "the server", failure);
        match self.head(&self.below("repo/0")) {
            Err(failure) if !failure.is_absence() => return Err(failed(&failure)),
            _ => {}
        }
        let untold = || std::io::Error::other("its answers tell no time (the Date header is missing)");
        self.0.transport.date().ok_or_else(|| StoreError::io("read the clock of", self.location(), untold()))
    }

    fn listing_lag(&self) -> Duration {
        self.0.place.listing_lag
    }

    fn packing(&self) -> Packing {
        Packing { size: PACK, at_once: self.0.attempts.connections().min(AT_ONCE) }
    }

    fn requests(&self) -> Option<Requests> {
        Some(self.0.transport.requests())
    }
}
