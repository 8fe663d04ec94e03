//! A connection: the user's own `ssh` with its configuration, keys, agent and known hosts, and the SFTP subsystem of the server behind it.

use std::collections::BTreeSet;
use std::future::Future;
use std::io;
use std::os::fd::AsFd;
use std::pin::{Pin, pin};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, fcntl};
use openssh_sftp_client::{Sftp, SftpOptions};
use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};
use tokio::process::{Child, ChildStdout, Command};
use tokio::runtime::Runtime;

use super::Layout;
use super::address::SftpAddress;
use super::files::make_dir;
use crate::model::shell::quoted;
use crate::store::ObjectName;
use crate::store::line::Line;

/// How long a server may say nothing while it is asked something, if nobody says how long.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a pipe to `ssh` should hold, in bytes: as much as every user may ask Linux for (pipe(7), pipe-max-size).
const PIPE: i32 = 1 << 20;
/// How long `ssh` may take to tell its configuration.
const QUESTION: Duration = Duration::from_secs(10);
/// Bytes of a configuration that are read.
const CONFIGURATION: u64 = 1 << 20;
/// What `ssh` is told where the user's configuration says nothing: a line on which nothing comes back for a minute (three times this
/// interval) is dead.
const DEFAULTS: [(&str, &str); 2] = [("serveraliveinterval 0", "ServerAliveInterval=20"), ("connecttimeout none", "ConnectTimeout=30")];
/// Most of what `ssh` says that is repeated, in bytes.
const SAID: usize = 2000;

/// How to reach a server.
#[derive(Debug, Clone)]
pub struct SshOptions {
    /// The program, and what stands before its other arguments: `ssh`, or one that behaves so.
    pub program: Vec<String>,
    /// A private key that is offered besides those that the user's configuration of `ssh` names.
    pub identity: Option<std::path::PathBuf>,
    /// Whether `ssh` may ask on the terminal.
    pub interactive: bool,
    /// How long a server may say nothing while it is asked something.
    pub patience: Duration,
}

impl Default for SshOptions {
    fn default() -> Self {
        Self { program: vec!["ssh".into()], identity: None, interactive: false, patience: PATIENCE }
    }
}

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
    /// Ends with it.
    _ssh: Child,
    said: Arc<Mutex<Vec<u8>>>,
    heard: Heard,
    patience: Duration,
    line: Line,
}

/// Lets more wait in a pipe than 64 KiB: `ssh` and this program wake each other less often. A refusal costs only speed.
fn widen(pipe: &impl AsFd) {
    let _ = fcntl(pipe, FcntlArg::F_SETPIPE_SZ(PIPE));
}

impl Session {
    /// Connects.
    pub(super) async fn open(address: &SftpAddress, options: &SshOptions, line: Line) -> io::Result<Self> {
        let defaults = defaults(address, options).await;
        let mut ssh = command(address, options, &defaults).args(["-s", "--", &address.host, "sftp"]).spawn().map_err(|error| {
            let program = options.program.first().map_or("ssh", String::as_str);
            io::Error::new(error.kind(), format!("`{program}` cannot be started: {error}"))
        })?;
        let (Some(input), Some(output), Some(mut errors)) = (ssh.stdin.take(), ssh.stdout.take(), ssh.stderr.take()) else {
            return Err(io::Error::other("ssh has no pipes"));
        };
        widen(&input);
        widen(&output);
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
        let (heard, patience) = (Heard::now(), options.patience);
        let output = Listened { output, heard: heard.clone() };
        let opened = tokio::time::timeout(patience, Sftp::new(input, output, SftpOptions::new())).await;
        match opened {
            Ok(Ok(sftp)) => Ok(Self { sftp, _ssh: ssh, said, heard, patience, line }),
            Ok(Err(error)) => {
                let _ = tokio::time::timeout(Duration::from_secs(5), listening).await;
                let said = with_words(error.to_string(), &said);
                Err(io::Error::other(if is_unknown_host(&said) { format!("{said}; {}", introduction(address, options)) } else { said }))
            }
            Err(_) => {
                let text = format!("no answer within {} seconds", patience.as_secs_f32());
                Err(io::Error::new(io::ErrorKind::TimedOut, with_words(text, &said)))
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
        words(&self.said)
    }
}

/// The command, but for what it shall do: it never trusts a host that it does not know.
fn command(address: &SftpAddress, options: &SshOptions, defaults: &[&str]) -> Command {
    let mut words = options.program.iter();
    let mut command = Command::new(words.next().map_or("ssh", String::as_str));
    command.args(words).args(["-o", "StrictHostKeyChecking=yes", "-o", "ClearAllForwardings=yes"]);
    command.args(["-o", if options.interactive { "BatchMode=no" } else { "BatchMode=yes" }]);
    for option in defaults {
        command.args(["-o", option]);
    }
    if let Some(identity) = &options.identity {
        command.arg("-i").arg(identity).args(["-o", "IdentitiesOnly=yes"]);
    }
    if let Some(port) = address.port {
        command.arg("-p").arg(port.to_string());
    }
    if let Some(user) = &address.user {
        command.arg("-l").arg(user);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// The options of [`DEFAULTS`] of which the user's configuration says nothing. An option of the command line would overrule it, so
/// `ssh -G` is asked first; a program that does not know that gets them all.
async fn defaults(address: &SftpAddress, options: &SshOptions) -> Vec<&'static str> {
    let mut told = Vec::new();
    let mut question = command(address, options, &[]);
    question.args(["-G", "--", &address.host]).stdin(Stdio::null()).stderr(Stdio::null());
    if let Ok(mut ssh) = question.spawn()
        && let Some(output) = ssh.stdout.take()
    {
        let mut output = output.take(CONFIGURATION);
        let _ = tokio::time::timeout(QUESTION.min(options.patience), output.read_to_end(&mut told)).await;
    }
    missing(&String::from_utf8_lossy(&told))
}

/// The options that a configuration, as `ssh -G` prints it, leaves open.
fn missing(configuration: &str) -> Vec<&'static str> {
    let open = |unset: &str| {
        let name = unset.split(' ').next().unwrap_or(unset);
        !configuration.lines().any(|line| line.starts_with(name) && line.trim() != unset)
    };
    DEFAULTS.iter().filter(|(unset, _)| open(unset)).map(|(_, option)| *option).collect()
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

/// Whether `ssh` knows no key of the host at all. One that has another key than the known one is a different matter.
fn is_unknown_host(said: &str) -> bool {
    said.contains("host key is known for")
}

/// How a host is made known, by whoever can tell whether its key is the right one.
fn introduction(address: &SftpAddress, options: &SshOptions) -> String {
    let mut words: Vec<String> = options.program.clone();
    if let Some(port) = address.port {
        words.extend(["-p".to_owned(), port.to_string()]);
    }
    words.push(address.user.as_ref().map_or_else(|| address.host.clone(), |user| format!("{user}@{}", address.host)));
    let command = words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
    format!("to make the host known, run `{command}` once, by hand and as the same user, and compare the key that it shows")
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
        // ssh would only say so, and try other keys.
        if let Some(identity) = &options.identity
            && let Err(error) = std::fs::metadata(identity)
        {
            return Err(io::Error::other(format!("the private key {} cannot be used: {error}", identity.display())));
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_that_makes_a_host_known_fits_the_location() {
        let command = |address: &str, program: &[&str]| {
            let program = program.iter().map(|word| (*word).to_owned()).collect();
            introduction(&address.parse().unwrap(), &SshOptions { program, ..SshOptions::default() })
        };
        assert!(command("me@friend.example:2222/srv/q", &["ssh"]).contains("`ssh -p 2222 me@friend.example`"));
        assert!(command("friend/srv/q", &["ssh", "-F", "my config"]).contains("`ssh -F 'my config' friend`"));
    }

    #[test]
    fn what_the_users_configuration_says_is_left_alone() {
        assert_eq!(missing("host a\nserveraliveinterval 0\nconnecttimeout none\n"), ["ServerAliveInterval=20", "ConnectTimeout=30"]);
        assert_eq!(missing("serveraliveinterval 5\nserveralivecountmax 2\nconnecttimeout none\n"), ["ConnectTimeout=30"]);
        assert_eq!(missing(""), ["ServerAliveInterval=20", "ConnectTimeout=30"]);
    }
}
