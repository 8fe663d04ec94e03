//! A store in a directory of another machine, over SFTP: nothing but an SSH account is needed there, not even a shell.
//!
//! ```text
//!   Store --> Sessions --> ssh -s host sftp (the user's own: configuration, keys, agent, known hosts) --> directory, laid out as a local one
//! ```
//!
//! The layout is that of [`DirectoryStore`](super::DirectoryStore), so that the server's owner can check and prune the same directory. Files are
//! synchronised before they get their names where the server can (`fsync@openssh.com`); directories cannot be over SFTP, so that a name may be
//! lost if the server loses its power within seconds.

mod address;
mod files;
mod session;
mod staged;

use std::collections::BTreeSet;
use std::future::Future;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::task::JoinSet;

pub use address::{SftpAddress, SftpAddressError};
use files::{Found, disk, entries, explain, is_broken, make_dir, modified, read, repository_above, status};
use session::{Session, Sessions};
use staged::StagedFile;

use super::line::Line;
use super::pieces::{Memory, Whole};
use super::ssh::SshOptions;
use super::upload::{Staged, Upload};
use super::{Folder, ObjectInfo, ObjectName, Packing, Put, StagedObject, Store, StoreError, StoreErrorKind};

/// Where files are until they have their names.
const TEMPORARY: &str = "tmp";
/// Files there that are older were left by runs that died.
const LEFT: Duration = Duration::from_secs(24 * 3600);
/// How often an operation is tried by a new connection.
const ATTEMPTS: u32 = 4;
/// How often, if the server does not answer.
const ATTEMPTS_IN_SILENCE: u32 = 2;
/// How long to wait before the first of these; then twice as long each time.
const PAUSE: Duration = Duration::from_millis(500);
/// A pack over SFTP, in bytes: it stays in memory until it is there, while another is on its way and a third is filled.
const PACK: u64 = 40 << 20;
/// Packs on their way at once.
const AT_ONCE: usize = 2;
/// Directories of packs that are listed at once.
const LISTINGS: usize = 16;
/// Bytes of a large object that are asked for at once.
const STRETCH: usize = 8 << 20;

const SILENT: &str =
    "the server does not answer; check whether it hangs, and the network, then run this again: nothing stored so far is lost";
const UNREACHED: &str = "ssh did not get through; see to what it says and run this again: nothing stored so far is lost";

/// The paths of objects on the server.
#[derive(Debug, Clone)]
struct Layout(String);

impl Layout {
    fn at(&self, relative: &str) -> String {
        format!("{}/{relative}", self.0)
    }

    fn of(&self, name: &ObjectName) -> String {
        self.at(&name.path())
    }
}

/// A word that nobody else has.
fn token() -> io::Result<String> {
    Ok(format!("{:016x}", getrandom::u64().map_err(io::Error::other)?))
}

impl Sessions {
    /// An error of an operation, as the store tells it. Not to be called from within the runtime.
    fn failed(&self, action: &'static str, object: impl std::fmt::Display, session: &Arc<Session>, error: io::Error) -> StoreError {
        let object = object.to_string();
        let object = format!("{object}{}at {}", if object.is_empty() { "" } else { " " }, self.address);
        if is_broken(&error) {
            let (said, host) = (session.said(), &self.address.host.name);
            let why = if said.is_empty() { error.to_string() } else { said };
            let failure = StoreError::new(StoreErrorKind::Temporary, action, object);
            if error.kind() == io::ErrorKind::TimedOut {
                return StoreError { source: Some(io::Error::other(format!("{host}: {why}"))), ..failure.advising(SILENT) };
            }
            return StoreError { source: Some(io::Error::other(format!("the connection to {host} broke: {why}"))), ..failure };
        }
        // Many servers say only that something failed, and tell on request how their disk is.
        let disk = (error.kind() == io::ErrorKind::Other).then(|| self.runtime.block_on(disk(&session.sftp, &self.address.path))).flatten();
        match disk {
            Some(kind) => StoreError { source: Some(error), ..StoreError::new(kind, action, object) },
            None => StoreError::io(action, object, error),
        }
    }
}

/// A store over SFTP. Clones share the connection.
#[derive(Clone)]
pub struct SftpStore {
    sessions: Arc<Sessions>,
    layout: Layout,
    memory: Arc<Memory>,
}

impl std::fmt::Debug for SftpStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SftpStore({})", self.sessions.address)
    }
}

impl SftpStore {
    /// Opens the repository at an address, and clears away what crashed runs left more than a day ago.
    ///
    /// # Errors
    /// [`StoreErrorKind::NotFound`] if there is no repository; [`StoreErrorKind::Other`] if the server cannot be reached.
    pub fn open(address: SftpAddress, options: SshOptions, line: Line) -> Result<Self, StoreError> {
        let store = Self::connect(address, options, line)?;
        store.run("open the repository", "", |session, layout| async move {
            status(&session.sftp, &layout.at(Folder::Repo.as_str())).await.map(drop)
        })?;
        // A disk that takes no writes can still be restored from.
        if let Err(error) = store.sweep() {
            tracing::debug!("what crashed runs left stays: {error}");
        }
        Ok(store)
    }

    /// Makes an empty repository, or opens one that a crashed `create` left.
    ///
    /// # Errors
    /// [`StoreErrorKind::Refused`] if the directory holds something else, or lies in another repository.
    pub fn create(address: SftpAddress, options: SshOptions, line: Line) -> Result<Self, StoreError> {
        let store = Self::connect(address, options, line)?;
        store.run("create a repository", "", |session, layout| async move {
            let sftp = &session.sftp;
            let refused = |why| Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
            if let Some(outer) = repository_above(sftp, &layout.0).await? {
                return refused(format!("it lies in the repository at {outer}; a repository needs a place of its own"));
            }
            let mut way = String::new();
            for name in layout.0.split('/') {
                way = if way.is_empty() && !name.is_empty() { name.to_owned() } else { format!("{way}/{name}") };
                if !name.is_empty() {
                    make_dir(sftp, &way).await?;
                }
            }
            let strangers = entries(sftp, &layout.0).await?.into_iter().filter(|found| !is_ours(&found.name));
            if let Some(stranger) = strangers.into_iter().next() {
                return refused(format!("it holds `{}`, which is no part of a repository; choose an empty directory", stranger.name));
            }
            make_dir(sftp, &layout.at(TEMPORARY)).await?;
            make_dir(sftp, &layout.at(Folder::Repo.as_str())).await
        })?;
        Ok(store)
    }

    fn connect(address: SftpAddress, options: SshOptions, line: Line) -> Result<Self, StoreError> {
        let layout = Layout(address.path.clone());
        let shown = address.to_string();
        let sessions = Sessions::new(address, options, line).map_err(|error| StoreError::io("connect to", shown, error))?;
        Ok(Self { sessions: Arc::new(sessions), layout, memory: Arc::default() })
    }

    /// Runs an operation that may be repeated: by a new connection if the one there is breaks.
    fn run<T, F>(
        &self,
        action: &'static str,
        object: impl std::fmt::Display,
        operation: impl Fn(Arc<Session>, Layout) -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = io::Result<T>>,
    {
        let mut pause = PAUSE;
        for attempt in 1.. {
            let session = match self.sessions.get() {
                Ok(session) => session,
                Err(error) if attempt == 1 || attempt == ATTEMPTS => {
                    return Err(StoreError::io("reach", &self.sessions.address, error).advising(UNREACHED));
                }
                Err(_) => {
                    std::thread::sleep(pause);
                    pause *= 2;
                    continue;
                }
            };
            let asked = operation(Arc::clone(&session), self.layout.clone());
            match self.sessions.runtime.block_on(session.answered(asked)) {
                Err(error) if is_broken(&error) && attempt < attempts(&error) => {
                    self.sessions.give_up(&session);
                    std::thread::sleep(pause);
                    pause *= 2;
                }
                result => return result.map_err(|error| self.sessions.failed(action, object, &session, error)),
            }
        }
        Err(StoreError::new(StoreErrorKind::Temporary, action, object))
    }

    fn try_put(&self, name: &ObjectName, whole: &Whole) -> Result<Put, StoreError> {
        let sessions = &self.sessions;
        let put = self.run("store", name, |session, layout| async move {
            if status(&session.sftp, &layout.of(name)).await.is_ok() {
                return Ok(Ok(Put::Exists));
            }
            let mut staged = StagedFile::new(sessions, &session, &layout).await?;
            let stored = match staged.append_whole(whole).await {
                Ok(()) => staged.place(name).await,
                Err(error) => Err(error),
            };
            match stored {
                Ok(put) => Ok(Ok(put)),
                Err(error) if is_broken(&error) => Err(error),
                // Whether the disk is full is asked outside of this.
                Err(error) => Ok(Err((staged, error))),
            }
        })?;
        put.map_err(|(mut staged, error)| staged.failed(&name.to_string(), error))
    }

    /// Removes what crashed runs left in `tmp/`.
    fn sweep(&self) -> Result<(), StoreError> {
        let left = self.run("list", TEMPORARY, |session, layout| async move { listed(&session, &layout.at(TEMPORARY)).await })?;
        if left.is_empty() {
            return Ok(());
        }
        let now = self.now()?;
        for old in left.iter().filter(|found| now.duration_since(found.modified).is_ok_and(|age| age > LEFT)) {
            let path = self.layout.at(&format!("{TEMPORARY}/{}", old.name));
            self.run("delete", TEMPORARY, |session, _| {
                let path = path.clone();
                async move { remove(&session, &path).await }
            })?;
        }
        Ok(())
    }
}

/// How often an operation is tried that fails so. Who is silent once will rather be silent again, and each time takes long.
fn attempts(error: &io::Error) -> u32 {
    if error.kind() == io::ErrorKind::TimedOut { ATTEMPTS_IN_SILENCE } else { ATTEMPTS }
}

fn is_ours(name: &str) -> bool {
    name == TEMPORARY || Folder::ALL.iter().any(|folder| folder.as_str() == name)
}

/// The entries of a directory; an absent one is empty.
async fn listed(session: &Session, path: &str) -> io::Result<Vec<Found>> {
    match entries(&session.sftp, path).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        result => result,
    }
}

async fn remove(session: &Session, path: &str) -> io::Result<()> {
    match session.sftp.fs().remove_file(Path::new(path)).await.map_err(explain) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Opens an object and tells its size.
async fn open(session: &Session, path: &str) -> io::Result<(openssh_sftp_client::file::File, u64)> {
    let metadata = status(&session.sftp, path).await?;
    if metadata.file_type().is_some_and(|kind| !kind.is_file()) {
        return Err(io::Error::other("it is not a regular file; move it out of the repository"));
    }
    let file = session.sftp.open(Path::new(path)).await.map_err(explain)?;
    Ok((file, metadata.len().unwrap_or_default()))
}

impl Upload for SftpStore {
    fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// If the line breaks, all of it is sent once more.
    fn upload(&self, name: &ObjectName, whole: Whole) -> Result<Put, StoreError> {
        match self.try_put(name, &whole) {
            // The server says no more than that it failed. Another object may have filled the disk, and be gone by now.
            Err(error) if error.kind == StoreErrorKind::Other => self.try_put(name, &whole),
            put => put,
        }
    }
}

impl Store for SftpStore {
    fn location(&self) -> String {
        self.sessions.address.to_string()
    }

    fn put_new(&self, name: &ObjectName, bytes: &[u8]) -> Result<Put, StoreError> {
        self.upload(name, Whole::Pieces(vec![Bytes::copy_from_slice(bytes)]))
    }

    fn stage(&self) -> Result<Box<dyn StagedObject>, StoreError> {
        Ok(Box::new(Staged::new(self)))
    }

    fn get(&self, name: &ObjectName, limit: u64) -> Result<Vec<u8>, StoreError> {
        let bytes = self.run("read", name, |session, layout| async move {
            let (file, size) = open(&session, &layout.of(name)).await?;
            if size > limit {
                return Ok(None);
            }
            let mut bytes = Vec::new();
            while (bytes.len() as u64) < size {
                let wanted = usize::try_from(size - bytes.len() as u64).unwrap_or(STRETCH).min(STRETCH);
                let more = read(&session, &file, bytes.len() as u64, wanted).await?;
                if more.is_empty() {
                    break;
                }
                bytes.extend_from_slice(&more);
            }
            Ok(Some(bytes))
        })?;
        bytes.ok_or_else(|| StoreError::new(StoreErrorKind::TooLarge, "read", name))
    }

    fn get_range(&self, name: &ObjectName, offset: u64, length: usize, buffer: &mut Vec<u8>) -> Result<(), StoreError> {
        let bytes = self.run("read", name, |session, layout| async move {
            let (file, size) = open(&session, &layout.of(name)).await?;
            match offset.checked_add(length as u64) {
                Some(end) if end <= size => read(&session, &file, offset, length).await.map(Some),
                _ => Ok(None),
            }
        })?;
        buffer.clear();
        // What ends while it is read was shorter than its server said.
        let whole = bytes.filter(|bytes| bytes.len() == length);
        *buffer = whole.ok_or_else(|| StoreError::new(StoreErrorKind::Truncated, "read", name))?;
        Ok(())
    }

    fn list(&self, folder: Folder) -> Result<Vec<ObjectInfo>, StoreError> {
        let found = self.run("list", folder, |session, layout| async move {
            let top = listed(&session, &layout.at(folder.as_str())).await?;
            if folder != Folder::Packs {
                return Ok(top);
            }
            let mut below = top.into_iter().filter(|found| found.is_dir);
            let mut listings: JoinSet<io::Result<Vec<Found>>> = JoinSet::new();
            let mut packs = Vec::new();
            loop {
                while listings.len() < LISTINGS
                    && let Some(directory) = below.next()
                {
                    let (session, path) = (Arc::clone(&session), layout.at(&format!("{folder}/{}", directory.name)));
                    listings.spawn(async move {
                        let found = listed(&session, &path).await?;
                        // A pack in another directory than its own is none.
                        Ok(found.into_iter().filter(|found| found.name.starts_with(&directory.name)).collect())
                    });
                }
                let Some(listed) = listings.join_next().await else { break };
                packs.extend(listed.map_err(io::Error::other)??);
            }
            Ok(packs)
        })?;
        let objects = found.into_iter().filter(|found| found.is_file);
        let named = objects.filter_map(|found| Some((ObjectName::new(folder, found.name)?, found.size, found.modified)));
        Ok(named.map(|(name, size, stored)| ObjectInfo { name, size, stored }).collect())
    }

    fn stat(&self, name: &ObjectName) -> Result<ObjectInfo, StoreError> {
        let metadata = self.run("look at", name, |session, layout| async move {
            let metadata = status(&session.sftp, &layout.of(name)).await?;
            match metadata.file_type().is_none_or(|kind| kind.is_file()) {
                true => Ok(metadata),
                false => Err(io::Error::other("it is not a regular file; move it out of the repository")),
            }
        })?;
        Ok(ObjectInfo { name: name.clone(), size: metadata.len().unwrap_or_default(), stored: modified(&metadata) })
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        self.run("delete", name, |session, layout| async move { remove(&session, &layout.of(name)).await })
    }

    fn unknown_folders(&self) -> Result<Vec<String>, StoreError> {
        let found = self.run("list", "the top", |session, layout| async move { entries(&session.sftp, &layout.0).await })?;
        let names: BTreeSet<String> =
            found.into_iter().filter(|found| found.is_dir && !is_ours(&found.name)).map(|found| found.name).collect();
        Ok(names.into_iter().collect())
    }

    fn now(&self) -> Result<SystemTime, StoreError> {
        self.run("ask for the time", "", |session, layout| async move {
            let probe = layout.at(&format!("{TEMPORARY}/now-{}", token()?));
            let file = session.sftp.create(Path::new(&probe)).await.map_err(explain)?;
            file.close().await.map_err(explain)?;
            let time = status(&session.sftp, &probe).await.map(|metadata| modified(&metadata));
            remove(&session, &probe).await?;
            time
        })
    }

    fn packing(&self) -> Packing {
        Packing { size: PACK, at_once: AT_ONCE }
    }
}
