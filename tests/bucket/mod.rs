//! An S3 server in this process: a directory behind the crate `s3s`, with the faults that a test wants.

#![allow(dead_code, reason = "each suite uses a part")]
#![allow(clippy::unwrap_used, reason = "tests")]

pub mod proxy;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use hearth_backup::store::object::{Bucket, BucketCredentials, Defaults};
use hearth_backup::store::{Access, ObjectStore};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::{S3Auth, SecretKey};
use s3s::dto::*;
use s3s::service::S3ServiceBuilder;
use s3s::{S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result};
use s3s_fs::FileSystem;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::RwLock;

/// The access key that the server knows.
pub const KEY: (&str, &str) = ("AKIDTEST", "secret/of+the=test");
/// The bucket that there is.
pub const BUCKET: &str = "backups";

/// Serves all servers of a test program.
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap());

/// A server with one bucket. It goes on until the program ends; its directory goes with this.
pub struct Server {
    directory: tempfile::TempDir,
    address: SocketAddr,
    mood: Arc<Mood>,
}

/// What the server refuses, and how else it is not as it should be.
#[derive(Default)]
struct Mood {
    read_only: AtomicBool,
    /// Nothing can be deleted.
    locked: AtomicBool,
    /// What keys these contain cannot be deleted.
    kept: Mutex<Vec<String>>,
    /// By which header each upload told a checksum.
    checksums: Mutex<Vec<String>>,
    conditions: Conditions,
    /// Bytes that still fit; none if there is no limit.
    room: Option<AtomicI64>,
    /// How it refuses every request.
    refusal: Mutex<Option<Refusal>>,
    /// Puts until it refuses every request as `refusal` says; for ever if negative.
    puts_left: AtomicI64,
    /// For how long its listings do not show what is new, and still show what is gone.
    lag: Duration,
    changes: Mutex<HashMap<String, Change>>,
}

/// What the server makes of `If-None-Match`.
#[derive(Default, PartialEq, Eq)]
enum Conditions {
    #[default]
    Kept,
    /// It says that it does not know them.
    Unknown,
    Ignored,
}

/// What a server says instead of doing what it is asked: its word, a sentence, and the number of the answer.
#[derive(Clone, Copy)]
pub struct Refusal(pub &'static str, pub &'static str, pub u16);

/// The last that happened to an object.
struct Change {
    at: Instant,
    /// Its size before it was deleted.
    deleted: Option<i64>,
}

impl Server {
    /// A server that does what it is asked.
    pub fn start() -> Self {
        Self::in_mood(Mood::default())
    }

    /// A server with room for so many bytes.
    pub fn with_room(bytes: i64) -> Self {
        Self::in_mood(Mood { room: Some(AtomicI64::new(bytes)), ..Mood::default() })
    }

    /// A server that does not know `If-None-Match`.
    pub fn without_conditions() -> Self {
        Self::in_mood(Mood { conditions: Conditions::Unknown, ..Mood::default() })
    }

    /// A server that replaces objects although it is asked not to.
    pub fn ignoring_conditions() -> Self {
        Self::in_mood(Mood { conditions: Conditions::Ignored, ..Mood::default() })
    }

    /// A server whose listings show what happened only after a while.
    pub fn lagging(lag: Duration) -> Self {
        Self::in_mood(Mood { lag, ..Mood::default() })
    }

    fn in_mood(mood: Mood) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join(BUCKET)).unwrap();
        let mood = Arc::new(mood);
        let files = FileSystem::new(directory.path()).unwrap();
        let mut service = S3ServiceBuilder::new(Moody {
            directory: directory.path().to_owned(),
            files,
            mood: Arc::clone(&mood),
            order: RwLock::default(),
        });
        service.set_auth(Keys(Arc::clone(&mood)));
        let service = service.build();
        let listener = RUNTIME.block_on(TcpListener::bind(("127.0.0.1", 0))).unwrap();
        let address = listener.local_addr().unwrap();
        RUNTIME.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let _ = socket.set_nodelay(true);
                let service = service.clone();
                tokio::spawn(async move {
                    let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), service).await;
                });
            }
        });
        Self { directory, address, mood }
    }

    /// Refuses writes from now on, or takes them again.
    pub fn set_read_only(&self, read_only: bool) {
        self.mood.read_only.store(read_only, Ordering::Relaxed);
    }

    /// Refuses to delete anything from now on, as to a key without that right, or does it again.
    pub fn set_locked(&self, locked: bool) {
        self.mood.locked.store(locked, Ordering::Relaxed);
    }

    /// Refuses to delete what has this in its key.
    pub fn keep(&self, part: &str) {
        self.mood.kept.lock().unwrap().push(part.to_owned());
    }

    /// By which header each upload so far told a checksum; `none` for one that told none.
    pub fn checksums(&self) -> Vec<String> {
        self.mood.checksums.lock().unwrap().clone()
    }

    /// Refuses every request after so many more puts.
    pub fn refuse_after(&self, puts: i64, refusal: Refusal) {
        self.mood.puts_left.store(puts, Ordering::SeqCst);
        *self.mood.refusal.lock().unwrap() = Some(refusal);
    }

    /// Does what it is asked again.
    pub fn relent(&self) {
        *self.mood.refusal.lock().unwrap() = None;
    }

    /// Waits until its listings show everything.
    pub fn settle(&self) {
        let recent = || self.mood.changes.lock().unwrap().values().any(|change| change.at.elapsed() < self.mood.lag);
        while recent() {
            std::thread::yield_now();
        }
    }

    /// Makes room for so many bytes.
    pub fn set_room(&self, bytes: i64) {
        self.mood.room.as_ref().unwrap().store(bytes, Ordering::Relaxed);
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the bucket's objects lie.
    pub fn files(&self) -> PathBuf {
        self.directory.path().join(BUCKET)
    }

    /// The location of a repository with this prefix.
    pub fn location(&self, prefix: &str) -> String {
        location(self.address, prefix)
    }

    /// A store with this prefix.
    pub fn store(&self, prefix: &str) -> ObjectStore {
        store(&self.location(prefix))
    }
}

/// The location of a repository behind this address.
pub fn location(address: SocketAddr, prefix: &str) -> String {
    format!("s3://{BUCKET}/{prefix}?endpoint=http://{address}")
}

/// The store at a location.
pub fn store(location: &str) -> ObjectStore {
    let bucket = Bucket::parse(location.strip_prefix("s3://").unwrap(), &Defaults::default()).unwrap();
    ObjectStore::new(bucket, &access()).unwrap()
}

/// With the key that the server knows.
pub fn access() -> Access {
    let text = format!("AWS_ACCESS_KEY_ID={}\nAWS_SECRET_ACCESS_KEY={}\n", KEY.0, KEY.1);
    Access::default().with_credentials(Some(BucketCredentials::parse(&text, "default").unwrap()))
}

/// Knows one key, as long as the server is in the mood to.
struct Keys(Arc<Mood>);

#[async_trait::async_trait]
impl S3Auth for Keys {
    async fn get_secret_key(&self, id: &str) -> S3Result<SecretKey> {
        if self.0.puts_left.load(Ordering::SeqCst) <= 0
            && let Some(Refusal(code, message, status)) = *self.0.refusal.lock().unwrap()
        {
            return Err(refused(code, message, status));
        }
        if id != KEY.0 {
            return Err(refused("InvalidAccessKeyId", "The key is not known.", 403));
        }
        Ok(SecretKey::from(KEY.1))
    }
}

/// The directory as an S3 service. That looks first and writes then; real servers do both at once, so writes here wait for each other.
struct Moody {
    directory: PathBuf,
    files: FileSystem,
    mood: Arc<Mood>,
    order: RwLock<()>,
}

fn refused(code: &'static str, message: &'static str, status: u16) -> S3Error {
    let code = S3ErrorCode::from_bytes(code.as_bytes()).unwrap();
    let mut error = S3Error::with_message(code, message);
    error.set_status_code(hyper::StatusCode::from_u16(status).unwrap());
    error
}

impl Mood {
    /// Notes that an object was stored, or deleted with this size.
    fn note(&self, key: &str, deleted: Option<i64>) {
        if !self.lag.is_zero() {
            self.changes.lock().unwrap().insert(key.to_owned(), Change { at: Instant::now(), deleted });
        }
    }

    /// Makes a listing what it would have been before the latest changes. Good for listings of one page.
    fn look_back(&self, prefix: &str, after: &str, listed: &mut ListObjectsV2Output) {
        let changes = self.changes.lock().unwrap();
        let new = |key: &str| changes.get(key).is_some_and(|change| change.at.elapsed() < self.lag);
        let Some(contents) = &mut listed.contents else { return };
        contents.retain(|object| !object.key.as_deref().is_some_and(new));
        for (key, change) in changes.iter().filter(|(key, _)| key.starts_with(prefix) && key.as_str() > after && new(key)) {
            let Some(size) = change.deleted else { continue };
            let last_modified = Some(std::time::SystemTime::now().into());
            contents.push(Object { key: Some(key.clone()), size: Some(size), last_modified, ..Object::default() });
        }
        contents.sort_by(|first, second| first.key.cmp(&second.key));
    }
}

impl Moody {
    fn size(&self, key: &str) -> Option<i64> {
        let size = std::fs::metadata(self.directory.join(BUCKET).join(key)).ok()?.len();
        i64::try_from(size).ok()
    }

    fn may_write(&self) -> S3Result<()> {
        if self.mood.read_only.load(Ordering::Relaxed) {
            return Err(refused("AccessDenied", "Access Denied.", 403));
        }
        Ok(())
    }

    fn may_delete(&self, key: &str) -> S3Result<()> {
        let kept = self.mood.kept.lock().unwrap().iter().any(|part| key.contains(part.as_str()));
        if kept || self.mood.locked.load(Ordering::Relaxed) {
            return Err(refused("AccessDenied", "Access Denied because object protected by object lock.", 403));
        }
        self.may_write()
    }

    fn take_room(&self, bytes: Option<i64>) -> S3Result<()> {
        let Some(room) = &self.mood.room else { return Ok(()) };
        let bytes = bytes.unwrap_or(0);
        if room.fetch_sub(bytes, Ordering::Relaxed) < bytes {
            room.store(0, Ordering::Relaxed);
            return Err(refused("QuotaExceeded", "Bucket size quota is reached.", 403));
        }
        Ok(())
    }
}

#[async_trait::async_trait]
impl S3 for Moody {
    async fn put_object(&self, mut request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        self.may_write()?;
        match self.mood.conditions {
            Conditions::Unknown if request.input.if_none_match.is_some() => {
                return Err(refused("NotImplemented", "A header you provided implies functionality that is not implemented.", 501));
            }
            Conditions::Ignored => request.input.if_none_match = None,
            _ => {}
        }
        self.take_room(request.input.content_length)?;
        let told = ["content-md5", "x-amz-checksum-crc32c"].into_iter().find(|name| request.headers.contains_key(*name));
        self.mood.checksums.lock().unwrap().push(told.unwrap_or("none").to_owned());
        let _order = self.order.write().await;
        self.mood.puts_left.fetch_sub(1, Ordering::SeqCst);
        self.mood.note(&request.input.key, None);
        self.files.put_object(request).await
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let _order = self.order.read().await;
        self.files.get_object(request).await
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let _order = self.order.read().await;
        self.files.head_object(request).await
    }

    async fn delete_object(&self, request: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        self.may_delete(&request.input.key)?;
        let _order = self.order.write().await;
        let size = self.size(&request.input.key);
        self.mood.note(&request.input.key, size);
        self.files.delete_object(request).await
    }

    async fn delete_objects(&self, mut request: S3Request<DeleteObjectsInput>) -> S3Result<S3Response<DeleteObjectsOutput>> {
        self.may_write()?;
        let _order = self.order.write().await;
        // What cannot be deleted is told beside what was.
        let asked = std::mem::take(&mut request.input.delete.objects);
        let (may, not): (Vec<_>, Vec<_>) = asked.into_iter().partition(|object| self.may_delete(&object.key).is_ok());
        for object in &may {
            self.mood.note(&object.key, self.size(&object.key));
        }
        let errors = not.into_iter().map(|object| Error {
            code: Some("AccessDenied".into()),
            key: Some(object.key),
            message: Some("Access Denied.".into()),
            version_id: None,
        });
        request.input.delete.objects = may;
        let mut response = self.files.delete_objects(request).await?;
        response.output.errors = Some(errors.collect());
        Ok(response)
    }

    async fn list_objects_v2(&self, request: S3Request<ListObjectsV2Input>) -> S3Result<S3Response<ListObjectsV2Output>> {
        let _order = self.order.read().await;
        let prefix = request.input.prefix.clone().unwrap_or_default();
        let after = request.input.start_after.clone().unwrap_or_default();
        let mut listed = self.files.list_objects_v2(request).await?;
        self.mood.look_back(&prefix, &after, &mut listed.output);
        Ok(listed)
    }
}
