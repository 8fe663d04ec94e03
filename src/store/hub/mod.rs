//! A store at a hub: the hub's protocol over HTTP (`docs/hub-protocol.md`).
//!
//! ```text
//!   Store (synchronous) --> attempts (retries, time-outs, connections) --> client (counts, paces) --> wire (HTTP, or ssh) --> hub
//! ```
//!
//! An object is uploaded by one request once its name is known: packs stay in memory until then, so that they can be sent again if the line
//! breaks. The hub takes an object whole or not at all.

mod address;
mod answer;
mod client;
pub mod listing;
pub mod order;
mod orders;
mod overview;
pub mod protocol;
mod wire;

use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::Method;

pub use self::address::{HubAddress, HubAddressError, Way, is_name};
use self::answer::{Failure, explain};
use self::client::{Arriving, Client, Content};
pub use self::orders::{Listening, OrderClient, Trigger};
pub use self::overview::{Overview, OverviewError};
use self::protocol::{About, Deleted, Reason, Reported, Stored};
use super::attempt::{Attempts, LISTING};
use super::download::{self, Download, Stretch};
use super::pieces::{Memory, Whole};
use super::requests::{RequestKind, Requests};
use super::upload::{Staged, Upload};
use super::{Access, Folder, ObjectInfo, ObjectName, Packing, Put, StagedObject, Store, StoreError, StoreErrorKind};

/// A pack at a hub, in bytes: it is sent from memory by one request, while another is sent and a third filled.
const PACK: u64 = 40 << 20;
/// Packs on their way at once.
const AT_ONCE: usize = 2;
/// Bytes of a file with a token that are read.
const LONGEST_TOKEN: u64 = 4096;

/// The role that adds, as the hub calls it.
const WRITER: &str = "writer";

/// A store at a hub. Clones share connections and counts.
#[derive(Clone)]
pub struct HubStore(Arc<Inner>);

struct Inner {
    address: HubAddress,
    attempts: Attempts<Failure>,
    client: Client,
    memory: Arc<Memory>,
    /// What the token permits, once that was asked.
    role: OnceLock<String>,
    /// What the hub warned of.
    warned: OnceLock<()>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        tracing::debug!("requests to {}: {}", self.address.way, self.client.requests());
    }
}

/// Why a file holds no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    /// It cannot be read.
    #[error("the file with the hub's token, {0}, cannot be read: {1}")]
    Unreadable(PathBuf, std::io::Error),
    /// It holds something else.
    #[error("{0} holds no token of a hub; it has one line, as `hearth-backup hub token add` prints it")]
    NoToken(PathBuf),
}

/// Reads a token.
///
/// # Errors
/// If the file cannot be read, or holds something else.
pub fn read_token(path: &Path) -> Result<String, TokenFileError> {
    let failed = |error| TokenFileError::Unreadable(path.to_owned(), error);
    let mut text = String::new();
    std::fs::File::open(path).map_err(failed)?.take(LONGEST_TOKEN).read_to_string(&mut text).map_err(failed)?;
    super::warn_if_exposed(path);
    let token = text.trim();
    let whole = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    if whole { Ok(token.to_owned()) } else { Err(TokenFileError::NoToken(path.to_owned())) }
}

impl HubStore {
    /// Connects to a hub; nothing is asked of it yet.
    ///
    /// # Errors
    /// If no client can be made of what is given.
    pub fn new(address: HubAddress, access: &Access) -> Result<Self, StoreError> {
        let failed = |error| StoreError::io("use the hub", address.to_string(), error);
        let attempts = Attempts::new(access.connections()).map_err(failed)?;
        let client = Client::new(&address, access).map_err(failed)?;
        Ok(Self(Arc::new(Inner { address, attempts, client, memory: Arc::default(), role: OnceLock::new(), warned: OnceLock::new() })))
    }

    /// What the hub says of the repository.
    ///
    /// # Errors
    /// If it cannot be asked, or has no such repository for this token.
    pub fn about(&self) -> Result<About, StoreError> {
        let ask = |_| async { self.0.client.json(RequestKind::Head, Method::GET, "", Content::Empty).await };
        let about: About = self.0.attempts.run(0, ask).0.map_err(|failure| self.failed("ask about", self.location(), &failure))?;
        self.warn(about.warning.as_deref());
        Ok(about)
    }

    /// Hands on what the hub warns of, once.
    fn warn(&self, warning: Option<&str>) {
        if let Some(warning) = warning
            && self.0.warned.set(()).is_ok()
        {
            tracing::warn!("the hub says: {warning}");
        }
    }

    /// Tells the hub what became of a run: the bytes of a [`Report`](crate::model::report::Report). It takes at most so much time.
    ///
    /// # Errors
    /// If the hub cannot be asked in that time, or does not take it.
    pub fn report(&self, report: &[u8], within: Duration) -> Result<(), StoreError> {
        let content = Content::Pieces(vec![Bytes::copy_from_slice(report)]);
        let tell = |_| async { self.0.client.json::<Reported>(RequestKind::Put, Method::POST, "/reports", content.again()?).await };
        let told = self.0.attempts.run_within(within, report.len() as u64, tell);
        told.map(|_| ()).map_err(|failure| self.failed("report to", self.location(), &failure))
    }

    fn failed(&self, action: &'static str, object: impl ToString, failure: &Failure) -> StoreError {
        explain(action, object.to_string(), &self.0.address.way.to_string(), failure)
    }

    fn put(&self, name: &ObjectName, content: &Content<'_>, size: u64) -> Result<Put, StoreError> {
        let path = object_path(name);
        let put = |_| async { self.0.client.json::<Stored>(RequestKind::Put, Method::PUT, &path, content.again()?).await };
        let (result, attempts) = self.0.attempts.run(size, put);
        if let Ok(stored) = &result {
            self.warn(stored.warning.as_deref());
        }
        match result {
            Ok(Stored { created: true, .. }) => Ok(Put::Created),
            // The first attempt may have come through although its answer was lost.
            Ok(Stored { created: false, .. }) if attempts > 1 && self.is_ours(name, content, size)? => Ok(Put::Created),
            Ok(Stored { created: false, .. }) => Ok(Put::Exists),
            Err(failure) => Err(self.failed("store", name, &failure)),
        }
    }

    /// Whether what is there is what we sent: names that are hashes say so, the others are small.
    fn is_ours(&self, name: &ObjectName, content: &Content<'_>, size: u64) -> Result<bool, StoreError> {
        match content {
            Content::Pieces(pieces) if size <= 1 << 20 => Ok(self.get(name, size)? == pieces.concat()),
            _ => Ok(true),
        }
    }
}

/// The path of an object below its repository.
fn object_path(name: &ObjectName) -> String {
    format!("/objects/{}", name.path())
}

impl Upload for HubStore {
    fn memory(&self) -> &Arc<Memory> {
        &self.0.memory
    }

    fn upload(&self, name: &ObjectName, whole: Whole) -> Result<Put, StoreError> {
        match whole {
            Whole::File(file, size) => self.put(name, &Content::File(&file, size), size),
            Whole::Pieces(pieces) => {
                let size = pieces.iter().map(|piece| piece.len() as u64).sum();
                self.put(name, &Content::Pieces(pieces), size)
            }
        }
    }
}

impl Download for HubStore {
    type Failure = Failure;
    type Answer = Arriving;

    fn attempts(&self) -> &Attempts<Failure> {
        &self.0.attempts
    }

    fn not_read(&self, name: &ObjectName, failure: &Failure) -> StoreError {
        self.failed("read", name, failure)
    }

    async fn ask(&self, name: &ObjectName, range: Option<Range<u64>>) -> Result<Arriving, Failure> {
        self.0.client.get(&object_path(name), range).await
    }

    fn announced(answer: &Arriving) -> Option<u64> {
        answer.length()
    }

    async fn next(answer: &mut Arriving) -> Result<Option<Bytes>, Failure> {
        answer.next().await
    }
}

impl Store for HubStore {
    fn location(&self) -> String {
        self.0.address.to_string()
    }

    fn put_new(&self, name: &ObjectName, bytes: &[u8]) -> Result<Put, StoreError> {
        self.upload(name, Whole::Pieces(vec![Bytes::copy_from_slice(bytes)]))
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
        let folders = super::name::by_name(folders);
        let named = || folders.iter().map(|folder| folder.as_str()).collect::<Vec<_>>();
        if folders.is_empty() {
            return Ok(Vec::new());
        }
        let path = format!("/objects?folders={}", named().join(","));
        let list = |_| async {
            let mut found = self.0.client.list(&path).await?;
            found.retain(|info| folders.contains(&info.name.folder()));
            Ok::<_, Failure>(found)
        };
        self.0.attempts.run(LISTING, list).0.map_err(|failure| {
            let object = format!("{} in {}", named().join(", "), self.location());
            self.failed("list", object, &failure)
        })
    }

    fn stat(&self, name: &ObjectName) -> Result<ObjectInfo, StoreError> {
        let path = object_path(name);
        let (result, _) = self.0.attempts.run(0, |_| self.0.client.head(&path));
        match result {
            Ok((size, stored)) => Ok(ObjectInfo { name: name.clone(), size, stored }),
            Err(failure) => Err(self.failed("look up", name, &failure)),
        }
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        self.delete_many(std::slice::from_ref(name)).into_iter().collect()
    }

    fn delete_many(&self, names: &[ObjectName]) -> Vec<Result<(), StoreError>> {
        names.chunks(protocol::DELETIONS).flat_map(|some| self.delete_some(some)).collect()
    }

    fn unknown_folders(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.about()?.unknown_folders)
    }

    fn now(&self) -> Result<SystemTime, StoreError> {
        Ok(self.about()?.now.into())
    }

    fn may_read_packs(&self) -> Result<(), StoreError> {
        let role = match self.0.role.get() {
            Some(role) => role,
            None => self.0.role.get_or_init({
                let role = self.about()?.role;
                || role
            }),
        };
        if role != WRITER {
            return Ok(());
        }
        let error = StoreError::new(StoreErrorKind::Refused, "read backups at", self.location());
        Err(error.advising(
            "this token belongs to a host, which may only add to them; take one for a reader, from `hearth-backup hub token add`",
        ))
    }

    fn packing(&self) -> Packing {
        Packing { size: PACK, at_once: self.0.attempts.connections().min(AT_ONCE) }
    }

    fn requests(&self) -> Option<Requests> {
        Some(self.0.client.requests())
    }
}

impl HubStore {
    fn delete_some(&self, names: &[ObjectName]) -> Vec<Result<(), StoreError>> {
        let paths: Vec<_> = names.iter().map(ObjectName::path).collect();
        let Ok(body) = serde_json::to_vec(&paths) else { return Vec::new() };
        let content = Content::Pieces(vec![body.into()]);
        let ask = |_| async { self.0.client.json(RequestKind::Delete, Method::POST, "/delete", content.again()?).await };
        let answered: Vec<Deleted> = match self.0.attempts.run(0, ask).0 {
            Ok(answered) => answered,
            Err(failure) => return names.iter().map(|name| Err(self.failed("delete", name, &failure))).collect(),
        };
        let strange = || Failure::Strange("its answer does not name the object".to_owned());
        let each = names.iter().zip(&paths).enumerate().map(|(number, (name, path))| match answered.get(number) {
            Some(Deleted { object, error: None }) if object == path => Ok(()),
            Some(Deleted { object, error: Some(refusal) }) if object == path && refusal.error != Reason::NotFound => {
                let status =
                    if refusal.error == Reason::Forbidden { http::StatusCode::FORBIDDEN } else { http::StatusCode::INTERNAL_SERVER_ERROR };
                Err(self.failed("delete", name, &Failure::Answer(status, refusal.clone())))
            }
            Some(Deleted { object, .. }) if object == path => Ok(()),
            _ => Err(self.failed("delete", name, &strange())),
        });
        each.collect()
    }
}
