//! A connection: the user's own `ssh` with its configuration, keys, agent and known hosts, and the SFTP subsystem of the server behind it.

use std::collections::BTreeSet;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use openssh_sftp_client::{Sftp, SftpOptions};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::process::ChildStdout;
use tokio::runtime::Runtime;

use super::Layout;
use super::address::SftpAddress;
use super::files::make_dir;
use crate::store::ObjectName;
use crate::store::line::Line;
use crate::store::ssh::{Ssh, SshOptions, Tunnel};

/// When a server was last heard.
#[derive(Clone)]
struct Heard(Arc<Mutex<Instant>>);

impl Heard {
    fn now() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn last(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What comes from a server, noting when.
struct Listened {
    output: ChildStdout,
    heard: Heard,
}

impl AsyncRead for Listened {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.output).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.heard.note();
        }
        polled
    }
}

/// A connection that is open.
pub(super) struct Session {
    pub(super) sftp: Sftp,
    ssh: Ssh,
    heard: Heard,
    patience: Duration,
    line: Line,
}

impl Session {
    /// Connects.
    pub(super) async fn open(address: &SftpAddress, options: &SshOptions, line: Line) -> io::Result<Self> {
        let Tunnel { input, output, mut ssh } = Tunnel::open(&address.host, options, &["-s"], &["sftp"]).await?;
        let (heard, patience) = (Heard::now(), options.patience);
        let output = Listened { output, heard: heard.clone() };
        let opened = tokio::time::timeout(patience, Sftp::new(input, output, SftpOptions::new())).await;
        match opened {
            Ok(Ok(sftp)) => Ok(Self { sftp, ssh, heard, patience, line }),
            Ok(Err(error)) => Err(io::Error::other(ssh.last_words(error.to_string()).await)),
            Err(_) => {
                let said = ssh.said();
                let text = format!("no answer within {} seconds", patience.as_secs_f32());
                Err(io::Error::new(io::ErrorKind::TimedOut, if said.is_empty() { text } else { said }))
            }
        }
    }

    /// Waits for an operation as long as the server says something, or a pace holds back what it is to be asked.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] if it is silent for too long.
    pub(super) async fn answered<T>(&self, operation: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        let begin = Instant::now();
        let mut operation = pin!(operation);
        loop {
            let left = self.patience.saturating_sub(self.heard.last().max(begin).elapsed());
            if left.is_zero() {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("it said nothing for {} seconds", self.patience.as_secs_f32()),
                ));
            }
            if let Ok(result) = tokio::time::timeout(left, operation.as_mut()).await {
                return result;
            }
        }
    }

    /// Waits until so many bytes may be sent.
    pub(super) async fn hold_upload(&self, bytes: usize) {
        self.line.up.hold(bytes, |_| self.heard.note()).await;
    }

    /// Waits until so many bytes may be asked for.
    pub(super) async fn hold_download(&self, bytes: usize) {
        self.line.down.hold(bytes, |_| self.heard.note()).await;
    }

    /// The paces of both directions.
    pub(super) fn line(&self) -> &Line {
        &self.line
    }

    /// What `ssh` said, if anything: why a connection broke.
    pub(super) fn said(&self) -> String {
        self.ssh.said()
    }
}

/// Connections made anew when one breaks.
pub(super) struct Sessions {
    pub(super) runtime: Runtime,
    pub(super) address: SftpAddress,
    options: SshOptions,
    line: Line,
    open: Mutex<Option<Arc<Session>>>,
    /// Directories that are known to be there.
    folders: Mutex<BTreeSet<String>>,
}

impl Sessions {
    pub(super) fn new(address: SftpAddress, options: SshOptions, line: Line) -> io::Result<Self> {
        options.check()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().thread_name("sftp").build()?;
        Ok(Self { runtime, address, options, line, open: Mutex::new(None), folders: Mutex::default() })
    }

    /// The open connection, or a new one.
    pub(super) fn get(&self) -> io::Result<Arc<Session>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = open.as_ref() {
            return Ok(Arc::clone(session));
        }
        let session = Arc::new(self.runtime.block_on(Session::open(&self.address, &self.options, self.line.clone()))?);
        *open = Some(Arc::clone(&session));
        Ok(session)
    }

    /// Makes the directories in which an object lies, unless they are there.
    pub(super) async fn make_folder(&self, sftp: &Sftp, layout: &Layout, name: &ObjectName) -> io::Result<()> {
        let path = name.path();
        let ends = path.match_indices('/').map(|(end, _)| end);
        for folder in ends.filter_map(|end| path.get(..end)) {
            if self.folders.lock().unwrap_or_else(PoisonError::into_inner).contains(folder) {
                continue;
            }
            make_dir(sftp, &layout.at(folder)).await?;
            self.folders.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.to_owned());
        }
        Ok(())
    }

    /// Gives a broken connection up, unless somebody has done so already.
    pub(super) fn give_up(&self, broken: &Arc<Session>) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.as_ref().is_some_and(|session| Arc::ptr_eq(session, broken)) {
            *open = None;
        }
    }
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sessions({})", self.address)
    }
}
