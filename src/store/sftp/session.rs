//! A connection: the user's own `ssh` with its configuration, keys, agent and known hosts, and the SFTP subsystem of the server behind it.

use std::collections::BTreeSet;
use std::io;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openssh_sftp_client::{Sftp, SftpOptions};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use tokio::runtime::Runtime;

use super::Layout;
use super::address::SftpAddress;
use super::files::make_dir;
use crate::store::ObjectName;

/// How long a server may take to answer at all, and how long to wait for it when a connection ends.
const PATIENCE: Duration = Duration::from_secs(60);
/// Most of what `ssh` says that is repeated, in bytes.
const SAID: usize = 2000;

/// How to reach a server.
#[derive(Debug, Clone)]
pub struct SftpOptionsOfUser {
    /// The program, and what stands before its other arguments: `ssh`, or one that behaves so.
    pub program: Vec<String>,
    /// A private key, instead of those that `ssh` finds.
    pub identity: Option<std::path::PathBuf>,
    /// Whether `ssh` may ask on the terminal.
    pub interactive: bool,
}

impl Default for SftpOptionsOfUser {
    fn default() -> Self {
        Self { program: vec!["ssh".into()], identity: None, interactive: false }
    }
}

/// A connection that is open.
pub(super) struct Session {
    pub(super) sftp: Sftp,
    /// Ends with it.
    _ssh: Child,
    said: Arc<Mutex<Vec<u8>>>,
}

impl Session {
    /// Connects.
    pub(super) async fn open(address: &SftpAddress, options: &SftpOptionsOfUser) -> io::Result<Self> {
        let mut ssh = command(address, options).spawn().map_err(|error| {
            let program = options.program.first().map_or("ssh", String::as_str);
            io::Error::new(error.kind(), format!("`{program}` cannot be started: {error}"))
        })?;
        let (Some(input), Some(output), Some(mut errors)) = (ssh.stdin.take(), ssh.stdout.take(), ssh.stderr.take()) else {
            return Err(io::Error::other("ssh has no pipes"));
        };
        let said = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&said);
        let listening = tokio::spawn(async move {
            let mut buffer = [0; 512];
            while let Ok(length @ 1..) = errors.read(&mut buffer).await {
                let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
                let room = SAID.saturating_sub(heard.len());
                heard.extend_from_slice(buffer.get(..length.min(room)).unwrap_or_default());
            }
        });
        let opened = tokio::time::timeout(PATIENCE, Sftp::new(input, output, SftpOptions::new())).await;
        match opened {
            Ok(Ok(sftp)) => Ok(Self { sftp, _ssh: ssh, said }),
            Ok(Err(error)) => {
                let _ = tokio::time::timeout(Duration::from_secs(5), listening).await;
                Err(io::Error::other(with_words(error.to_string(), &said)))
            }
            Err(_) => {
                let text = format!("no answer within {} seconds", PATIENCE.as_secs());
                Err(io::Error::new(io::ErrorKind::TimedOut, with_words(text, &said)))
            }
        }
    }

    /// What `ssh` said, if anything: why a connection broke.
    pub(super) fn said(&self) -> String {
        words(&self.said)
    }
}

/// The command: it never trusts a host that it does not know.
fn command(address: &SftpAddress, options: &SftpOptionsOfUser) -> Command {
    let mut words = options.program.iter();
    let mut command = Command::new(words.next().map_or("ssh", String::as_str));
    command.args(words).args(["-o", "StrictHostKeyChecking=yes", "-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=4"]);
    command.args(["-o", "ClearAllForwardings=yes", "-o", if options.interactive { "BatchMode=no" } else { "BatchMode=yes" }]);
    if let Some(identity) = &options.identity {
        command.arg("-i").arg(identity).args(["-o", "IdentitiesOnly=yes"]);
    }
    if let Some(port) = address.port {
        command.arg("-p").arg(port.to_string());
    }
    if let Some(user) = &address.user {
        command.arg("-l").arg(user);
    }
    command.args(["-s", "--", &address.host, "sftp"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

fn words(said: &Mutex<Vec<u8>>) -> String {
    let said = said.lock().unwrap_or_else(PoisonError::into_inner);
    let text = String::from_utf8_lossy(&said);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("; ")
}

fn with_words(error: String, said: &Mutex<Vec<u8>>) -> String {
    let words = words(said);
    if words.is_empty() { error } else { words }
}

/// Connections made anew when one breaks.
pub(super) struct Sessions {
    pub(super) runtime: Runtime,
    pub(super) address: SftpAddress,
    options: SftpOptionsOfUser,
    open: Mutex<Option<Arc<Session>>>,
    /// Directories that are known to be there.
    folders: Mutex<BTreeSet<String>>,
}

impl Sessions {
    pub(super) fn new(address: SftpAddress, options: SftpOptionsOfUser) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().thread_name("sftp").build()?;
        Ok(Self { runtime, address, options, open: Mutex::new(None), folders: Mutex::default() })
    }

    /// The open connection, or a new one.
    pub(super) fn get(&self) -> io::Result<Arc<Session>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = open.as_ref() {
            return Ok(Arc::clone(session));
        }
        let session = Arc::new(self.runtime.block_on(Session::open(&self.address, &self.options))?);
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
