//! Objects under construction: a file in `tmp/`, and its name in the end.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use openssh_sftp_client::metadata::Permissions;

use super::files::{Writing, explain, status};
use super::session::{Session, Sessions};
use super::{Layout, TEMPORARY, token};
use crate::store::pieces::{Whole, next_part, rewind};
use crate::store::{ObjectName, Put, StoreError, StoreErrorKind};

/// How long the removal of what could not be stored is waited for.
const REMOVAL: Duration = Duration::from_secs(10);

/// What is read at once of an object that is too large for memory, in bytes.
const PART: usize = 4 << 20;

/// A file that is being written.
pub(super) struct StagedFile {
    sessions: Arc<Sessions>,
    session: Arc<Session>,
    layout: Layout,
    path: String,
    /// None once it has its name or was given up.
    file: Option<Writing>,
}

impl StagedFile {
    /// A new one, by a connection that is open.
    pub(super) async fn new(sessions: &Arc<Sessions>, session: &Arc<Session>, layout: &Layout) -> io::Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let path = layout.at(&format!("{TEMPORARY}/{}-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed), token()?));
        let mut options = session.sftp.options();
        options.write(true).create_new(true);
        let mut file = options.open(Path::new(&path)).await.map_err(explain)?;
        file.set_permissions(Permissions::from(0o600)).await.map_err(explain)?;
        let file = Some(Writing::new(file));
        Ok(Self { sessions: Arc::clone(sessions), session: Arc::clone(session), layout: layout.clone(), path, file })
    }

    /// Writes all of an object.
    pub(super) async fn append_whole(&mut self, whole: &Whole) -> io::Result<()> {
        match whole {
            Whole::Pieces(pieces) => {
                for piece in pieces {
                    self.append(piece).await?;
                }
                Ok(())
            }
            Whole::File(file, _) => {
                rewind(file)?;
                let mut rest = file;
                loop {
                    let part = next_part(&mut rest, PART)?;
                    if part.is_empty() {
                        return Ok(());
                    }
                    self.append(&part).await?;
                }
            }
        }
    }

    async fn append(&mut self, bytes: &Bytes) -> io::Result<()> {
        let file = self.file.as_mut().ok_or_else(|| io::Error::other("it has its name already"))?;
        file.append(&self.session, bytes).await
    }

    /// Gives it its name.
    pub(super) async fn place(&mut self, name: &ObjectName) -> io::Result<Put> {
        let Some(file) = self.file.take() else { return Err(io::Error::other("it has its name already")) };
        let sftp = &self.session.sftp;
        file.finish(sftp.support_fsync()).await?;
        let to = self.layout.of(name);
        self.sessions.make_folder(sftp, &self.layout, name).await?;
        let put = self.link(&to).await;
        let _ = sftp.fs().remove_file(Path::new(&self.path)).await;
        put
    }

    /// A hard link refuses a name that is taken. Where the server has none, a rename comes after a look: then two that store different bytes
    /// under one name at the same moment could replace each other, and names of objects are hashes of their bytes but for statements.
    async fn link(&self, to: &str) -> io::Result<Put> {
        let sftp = &self.session.sftp;
        let (from, to_path) = (Path::new(&self.path), Path::new(to));
        if sftp.support_hardlink() {
            match sftp.fs().hard_link(from, to_path).await {
                Ok(()) => return Ok(Put::Created),
                Err(error) => match status(sftp, to).await {
                    Ok(_) => return Ok(Put::Exists),
                    // A filesystem without links, such as exFAT.
                    Err(missing) if missing.kind() == io::ErrorKind::NotFound => tracing::debug!("no link on the server: {error}"),
                    Err(missing) => return Err(missing),
                },
            }
        }
        if status(sftp, to).await.is_ok() {
            return Ok(Put::Exists);
        }
        sftp.fs().rename(from, to_path).await.map_err(explain).map(|()| Put::Created)
    }

    /// An error of writing, as the store tells it. What was written is removed: it may fill the disk.
    pub(super) fn failed(&mut self, object: &str, error: io::Error) -> StoreError {
        let told = self.sessions.failed("store", object, &self.session, error);
        self.file = None;
        if told.kind != StoreErrorKind::Temporary {
            let mut fs = self.session.sftp.fs();
            let _ = self.sessions.runtime.block_on(async { tokio::time::timeout(REMOVAL, fs.remove_file(Path::new(&self.path))).await });
        }
        told
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            let (session, path) = (Arc::clone(&self.session), self.path.clone());
            // Nobody waits: what is left is swept a day later.
            self.sessions.runtime.spawn(async move {
                let _ = session.sftp.fs().remove_file(Path::new(&path)).await;
            });
        }
    }
}
