//! The user's own `ssh`, with its configuration, keys, agent and known hosts: what SFTP and a hub behind SSH are reached by.

mod host;

use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::fcntl::{FcntlArg, fcntl};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

pub use self::host::{SshHost, SshHostError};
use crate::model::shell::quoted;

/// How long a server may say nothing while it is asked something, if nobody says how long.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a pipe to `ssh` should hold, in bytes: as much as every user may ask Linux for (pipe(7), pipe-max-size).
const PIPE: i32 = 1 << 20;
/// How long `ssh` may take to tell its configuration.
const QUESTION: Duration = Duration::from_secs(10);
/// How long the last words of a `ssh` that ended are waited for.
const LAST_WORDS: Duration = Duration::from_secs(5);
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
    pub identity: Option<PathBuf>,
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

impl SshOptions {
    /// Whether the private key is there: `ssh` would only say so if not, and try other keys.
    ///
    /// # Errors
    /// If it is not.
    pub fn check(&self) -> io::Result<()> {
        let Some(identity) = &self.identity else { return Ok(()) };
        let failed = |error| io::Error::other(format!("the private key {} cannot be used: {error}", identity.display()));
        std::fs::metadata(identity).map(drop).map_err(failed)
    }
}

/// A `ssh` that runs, and the pipes to what it has started at the other end.
pub(super) struct Tunnel {
    pub(super) input: ChildStdin,
    pub(super) output: ChildStdout,
    pub(super) ssh: Ssh,
}

/// A `ssh` that runs. It ends with this.
pub(super) struct Ssh {
    _child: Child,
    said: Arc<Mutex<Vec<u8>>>,
    listening: tokio::task::JoinHandle<()>,
    introduction: String,
}

impl Tunnel {
    /// Starts `ssh` with these arguments behind the host's name; `before` stands before it.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(super) async fn open(host: &SshHost, options: &SshOptions, before: &[&str], remote: &[&str]) -> io::Result<Self> {
        let defaults = defaults(host, options).await;
        let mut command = command(host, options, &defaults);
        let mut child = command.args(before).args(["--", &host.name]).args(remote).spawn().map_err(|error| {
            let program = options.program.first().map_or("ssh", String::as_str);
            io::Error::new(error.kind(), format!("`{program}` cannot be started: {error}"))
        })?;
        let (Some(input), Some(output), Some(errors)) = (child.stdin.take(), child.stdout.take(), child.stderr.take()) else {
            return Err(io::Error::other("ssh has no pipes"));
        };
        widen(&input);
        widen(&output);
        let said = Arc::default();
        let listening = tokio::spawn(listen(errors, Arc::clone(&said)));
        let ssh = Ssh { _child: child, said, listening, introduction: introduction(host, options) };
        Ok(Self { input, output, ssh })
    }
}

impl Ssh {
    /// What it said, if anything: why a connection broke.
    pub(super) fn said(&self) -> String {
        words(&self.said)
    }

    /// What it said before it ended, or else this error; with how the host is made known if it is not.
    pub(super) async fn last_words(&mut self, error: String) -> String {
        let _ = tokio::time::timeout(LAST_WORDS, &mut self.listening).await;
        let said = self.said();
        let said = if said.is_empty() { error } else { said };
        if is_unknown_host(&said) { format!("{said}; {}", self.introduction) } else { said }
    }
}

async fn listen(mut errors: ChildStderr, said: Arc<Mutex<Vec<u8>>>) {
    let mut buffer = [0; 512];
    while let Ok(length @ 1..) = errors.read(&mut buffer).await {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        let room = SAID.saturating_sub(said.len());
        said.extend_from_slice(buffer.get(..length.min(room)).unwrap_or_default());
    }
}

/// Lets more wait in a pipe than 64 KiB: `ssh` and this program wake each other less often. A refusal costs only speed.
fn widen(pipe: &impl AsFd) {
    let _ = fcntl(pipe, FcntlArg::F_SETPIPE_SZ(PIPE));
}

/// The command, but for what it shall do: it never trusts a host that it does not know.
fn command(host: &SshHost, options: &SshOptions, defaults: &[&str]) -> Command {
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
    if let Some(port) = host.port {
        command.arg("-p").arg(port.to_string());
    }
    if let Some(user) = &host.user {
        command.arg("-l").arg(user);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// The options of [`DEFAULTS`] of which the user's configuration says nothing. An option of the command line would overrule it, so
/// `ssh -G` is asked first; a program that does not know that gets them all.
async fn defaults(host: &SshHost, options: &SshOptions) -> Vec<&'static str> {
    let mut told = Vec::new();
    let mut question = command(host, options, &[]);
    question.args(["-G", "--", &host.name]).stdin(Stdio::null()).stderr(Stdio::null());
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

/// Whether `ssh` knows no key of the host at all. One that has another key than the known one is a different matter.
fn is_unknown_host(said: &str) -> bool {
    said.contains("host key is known for")
}

/// How a host is made known, by whoever can tell whether its key is the right one.
fn introduction(host: &SshHost, options: &SshOptions) -> String {
    let mut words: Vec<String> = options.program.clone();
    if let Some(port) = host.port {
        words.extend(["-p".to_owned(), port.to_string()]);
    }
    words.push(host.user.as_ref().map_or_else(|| host.name.clone(), |user| format!("{user}@{}", host.name)));
    let command = words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
    format!("to make the host known, run `{command}` once, by hand and as the same user, and compare the key that it shows")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_that_makes_a_host_known_fits_the_location() {
        let command = |host: &str, program: &[&str]| {
            let program = program.iter().map(|word| (*word).to_owned()).collect();
            introduction(&host.parse().unwrap(), &SshOptions { program, ..SshOptions::default() })
        };
        assert!(command("me@friend.example:2222", &["ssh"]).contains("`ssh -p 2222 me@friend.example`"));
        assert!(command("friend", &["ssh", "-F", "my config"]).contains("`ssh -F 'my config' friend`"));
    }

    #[test]
    fn what_the_users_configuration_says_is_left_alone() {
        assert_eq!(missing("host a\nserveraliveinterval 0\nconnecttimeout none\n"), ["ServerAliveInterval=20", "ConnectTimeout=30"]);
        assert_eq!(missing("serveraliveinterval 5\nserveralivecountmax 2\nconnecttimeout none\n"), ["ConnectTimeout=30"]);
        assert_eq!(missing(""), ["ServerAliveInterval=20", "ConnectTimeout=30"]);
    }
}
