//! Files and directories of the server, as the store needs them.

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use openssh_sftp_client::error::SftpErrorKind;
use openssh_sftp_client::file::File;
use openssh_sftp_client::fs::DirBuilder;
use openssh_sftp_client::metadata::{MetaData, Permissions};
use openssh_sftp_client::{Error, Sftp};
use tokio::io::AsyncSeekExt as _;
use tokio::task::JoinSet;

use super::session::Session;
use crate::store::StoreErrorKind;

/// Requests that are under way at once for one file.
const IN_FLIGHT: usize = 16;
/// Bytes of one request: the most that OpenSSH takes (`limits@openssh.com`); with other servers it becomes several.
const PIECE: usize = 255 << 10;
/// Bytes; a disk with less is full.
const LITTLE: u64 = 1 << 20;
/// The bit by which `statvfs@openssh.com` tells of a disk that takes no writes.
const READ_ONLY: u64 = 1;

/// An entry of a directory.
pub(super) struct Found {
    pub(super) name: String,
    pub(super) is_dir: bool,
    pub(super) is_file: bool,
    pub(super) size: u64,
    pub(super) modified: SystemTime,
}

/// What an error of the library means. A connection that is gone is [`io::ErrorKind::NotConnected`].
pub(super) fn explain(error: Error) -> io::Error {
    match error {
        Error::SftpError(SftpErrorKind::NoSuchFile, _) => io::ErrorKind::NotFound.into(),
        Error::SftpError(SftpErrorKind::PermDenied, _) => io::ErrorKind::PermissionDenied.into(),
        Error::IOError(_) | Error::AwaitableError(_) | Error::BackgroundTaskFailure(_) | Error::TaskJoinError(_) => {
            io::Error::new(io::ErrorKind::NotConnected, error.to_string())
        }
        Error::SftpError(_, message) => io::Error::other(format!("the server says: {}", message.get().0)),
        other => io::Error::other(other.to_string()),
    }
}

/// Whether a connection is gone, or nothing comes from it any more.
pub(super) fn is_broken(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, NotConnected, TimedOut, UnexpectedEof};
    matches!(error.kind(), NotConnected | BrokenPipe | UnexpectedEof | TimedOut)
}

pub(super) async fn status(sftp: &Sftp, path: &str) -> io::Result<MetaData> {
    sftp.fs().symlink_metadata(Path::new(path)).await.map_err(explain)
}

pub(super) fn modified(metadata: &MetaData) -> SystemTime {
    metadata.modified().map_or(SystemTime::UNIX_EPOCH, |time| time.as_system_time())
}

/// The entries of a directory, without `.` and `..`.
pub(super) async fn entries(sftp: &Sftp, path: &str) -> io::Result<Vec<Found>> {
    let dir = sftp.fs().open_dir(Path::new(path)).await.map_err(explain)?;
    let mut reading = Box::pin(dir.read_dir());
    let mut found = Vec::new();
    while let Some(entry) = reading.next().await {
        let entry = entry.map_err(explain)?;
        let Some(name) = entry.filename().to_str().filter(|name| !matches!(*name, "." | "..")) else { continue };
        let metadata = entry.metadata();
        let kind = entry.file_type();
        found.push(Found {
            name: name.to_owned(),
            is_dir: kind.is_some_and(|kind| kind.is_dir()),
            is_file: kind.is_some_and(|kind| kind.is_file()),
            size: metadata.len().unwrap_or_default(),
            modified: modified(&metadata),
        });
    }
    Ok(found)
}

/// The repository that a directory, which need not exist yet, lies in, as far as the account may look.
///
/// # Errors
/// If the connection breaks.
pub(super) async fn repository_above(sftp: &Sftp, path: &str) -> io::Result<Option<String>> {
    let unless_broken = |error| if is_broken(&error) { Err(error) } else { Ok(()) };
    let mut there = None;
    // Links are followed as far as there is something. What is above a path without a root is where the server begins.
    for above in Path::new(path).ancestors().skip(1) {
        let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
        match sftp.fs().canonicalize(above).await.map_err(explain) {
            Ok(found) => {
                there = Some(found);
                break;
            }
            Err(error) => unless_broken(error)?,
        }
    }
    for above in there.iter().flat_map(|there| there.ancestors()) {
        match status(sftp, &format!("{}/repo/0", above.display())).await {
            Ok(_) => return Ok(Some(above.display().to_string())),
            Err(error) => unless_broken(error)?,
        }
    }
    Ok(None)
}

/// Makes a directory unless it is there.
pub(super) async fn make_dir(sftp: &Sftp, path: &str) -> io::Result<()> {
    let mut fs = sftp.fs();
    let mut builder: DirBuilder<'_> = fs.dir_builder();
    let made = builder.permissions(Permissions::from(0o700)).create(Path::new(path)).await;
    match made {
        Ok(()) => Ok(()),
        Err(error) => match status(sftp, path).await {
            Ok(there) if there.file_type().is_some_and(|kind| kind.is_dir()) => Ok(()),
            _ => Err(explain(error)),
        },
    }
}

/// Reads a stretch of a file, with several requests under way. Shorter if the file ends before.
pub(super) async fn read(session: &Session, file: &File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let size = session.line().down.stretch(PIECE);
    let mut waiting = (0..length).step_by(size);
    let mut reading: JoinSet<io::Result<(usize, usize, BytesMut)>> = JoinSet::new();
    let mut end = length;
    loop {
        while reading.len() < IN_FLIGHT
            && let Some(start) = waiting.next()
        {
            let (file, wanted) = (file.clone(), size.min(length - start));
            session.hold_download(wanted).await;
            reading.spawn(async move { Ok((start, wanted, read_piece(file, offset + start as u64, wanted).await?)) });
        }
        let Some(done) = reading.join_next().await else { break };
        let (start, wanted, piece) = done.map_err(io::Error::other)??;
        if let Some(place) = bytes.get_mut(start..start + piece.len()) {
            place.copy_from_slice(&piece);
        }
        if piece.len() < wanted {
            end = end.min(start + piece.len());
        }
    }
    bytes.truncate(end);
    Ok(bytes)
}

/// A file that is written with several requests under way.
pub(super) struct Writing {
    file: File,
    offset: u64,
    under_way: JoinSet<io::Result<()>>,
}

impl Writing {
    pub(super) fn new(file: File) -> Self {
        Self { file, offset: 0, under_way: JoinSet::new() }
    }

    pub(super) async fn append(&mut self, session: &Session, bytes: &Bytes) -> io::Result<()> {
        // Of equal length, as a small rest costs a request like the others.
        let most = session.line().up.stretch(PIECE);
        let stretch = bytes.len().div_ceil(bytes.len().div_ceil(most).max(1)).max(1);
        for start in (0..bytes.len()).step_by(stretch) {
            let piece = bytes.slice(start..bytes.len().min(start + stretch));
            session.hold_upload(piece.len()).await;
            while self.under_way.len() >= IN_FLIGHT {
                self.join().await?;
            }
            let (mut file, offset) = (self.file.clone(), self.offset);
            self.offset += piece.len() as u64;
            self.under_way.spawn(async move {
                file.seek(io::SeekFrom::Start(offset)).await?;
                // The library's `write_all` encodes byte by byte, which takes longer than everything else.
                file.write_all_zero_copy(&mut [piece]).await.map_err(explain)
            });
        }
        Ok(())
    }

    /// Waits until all of it is there, and durable as far as the server can.
    pub(super) async fn finish(mut self, durable: bool) -> io::Result<()> {
        while !self.under_way.is_empty() {
            self.join().await?;
        }
        if durable {
            self.file.sync_all().await.map_err(explain)?;
        }
        self.file.close().await.map_err(explain)
    }

    async fn join(&mut self) -> io::Result<()> {
        self.under_way.join_next().await.map_or(Ok(()), |done| done.map_err(io::Error::other)?)
    }
}

/// Servers may give less than was asked for.
async fn read_piece(mut file: File, offset: u64, wanted: usize) -> io::Result<BytesMut> {
    let mut bytes = BytesMut::new();
    while bytes.len() < wanted {
        file.seek(io::SeekFrom::Start(offset + bytes.len() as u64)).await?;
        let left = u32::try_from(wanted - bytes.len()).unwrap_or(u32::MAX);
        match file.read(left, BytesMut::new()).await.map_err(explain)? {
            Some(all) if bytes.is_empty() && !all.is_empty() => bytes = all,
            Some(more) if !more.is_empty() => bytes.extend_from_slice(&more),
            _ => break,
        }
    }
    Ok(bytes)
}

/// What is wrong with the server's disk, as far as it says: full, or read-only.
pub(super) async fn disk(sftp: &Sftp, path: &str) -> Option<StoreErrorKind> {
    if !sftp.support_statvfs() {
        return None;
    }
    let mut fs = sftp.fs();
    let asked = tokio::time::timeout(Duration::from_secs(10), fs.statvfs(Path::new(path))).await;
    let disk = asked.ok()?.ok()?;
    if disk.flag & READ_ONLY != 0 {
        return Some(StoreErrorKind::Refused);
    }
    (disk.bavail.saturating_mul(disk.frsize) < LITTLE).then_some(StoreErrorKind::Full)
}
