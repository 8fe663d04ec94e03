//! The standard output of a program as a stream. Its exit status is part of its content: a program that fails makes
//! the last read fail.

use std::io::{self, Read};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;

use nix::unistd::{User, geteuid};

use super::stream::StreamSource;

/// Bytes of what a program says on standard error that are kept, from the end.
const KEPT: usize = 4096;

/// A program whose output is saved.
#[derive(Debug, Clone)]
pub struct CommandSource {
    /// The program and its arguments; no shell is involved.
    pub command: Vec<String>,
    /// Exit statuses that mean success.
    pub success: Vec<i32>,
    /// Less output than so many bytes is a failure.
    pub minimum_size: u64,
    /// The system's user as whom it runs; ours if absent. Only root may choose another.
    pub user: Option<String>,
    /// What it finds in its environment besides ours.
    pub environment: Vec<(String, String)>,
}

impl CommandSource {
    /// A command that runs as we do and succeeds by exit status 0.
    pub fn new(command: Vec<String>) -> Self {
        Self { command, success: vec![0], minimum_size: 0, user: None, environment: Vec::new() }
    }

    /// Lets the program run as another user, with that user's groups left behind and home taken on.
    fn switch_user(&self, command: &mut Command) -> io::Result<()> {
        let Some(name) = &self.user else { return Ok(()) };
        let user = User::from_name(name)?.ok_or_else(|| io::Error::other(format!("there is no user `{name}` on this system")))?;
        if user.uid == geteuid() {
            return Ok(());
        }
        // For root, the standard library drops supplementary groups along with the user.
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw()).env("HOME", user.dir).env("USER", name).env("LOGNAME", name).current_dir("/");
        Ok(())
    }
}

impl StreamSource for CommandSource {
    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        let (program, arguments) = self.command.split_first().ok_or_else(|| io::Error::other("no program was given"))?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        self.switch_user(&mut command)?;
        let mut child = command.spawn().map_err(|error| io::Error::new(error.kind(), format!("`{program}` cannot be started: {error}")))?;
        let output = child.stdout.take();
        let complaints = child.stderr.take().map(|stderr| std::thread::spawn(move || tail(stderr)));
        Ok(Box::new(Running { source: self.clone(), child, output, complaints, read: 0 }))
    }
}

/// The last of what a program says; all of it is read, or the program would wait for us.
fn tail(mut stderr: ChildStderr) -> String {
    let mut kept = Vec::new();
    let mut piece = [0; KEPT];
    while let Ok(read @ 1..) = stderr.read(&mut piece) {
        kept.extend_from_slice(piece.get(..read).unwrap_or_default());
        let over = kept.len().saturating_sub(KEPT);
        kept.drain(..over);
    }
    String::from_utf8_lossy(&kept).trim().to_owned()
}

struct Running {
    source: CommandSource,
    child: Child,
    output: Option<ChildStdout>,
    complaints: Option<JoinHandle<String>>,
    read: u64,
}

impl Read for Running {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(output) = &mut self.output else { return Ok(0) };
        let read = output.read(buffer)?;
        self.read += read as u64;
        if read == 0 && !buffer.is_empty() {
            self.output = None;
            self.finish()?;
        }
        Ok(read)
    }
}

impl Running {
    /// The program has closed its output: whether it ended well.
    fn finish(&mut self) -> io::Result<()> {
        let status = self.child.wait()?;
        let said = self.complaints.take().and_then(|reader| reader.join().ok()).filter(|said| !said.is_empty());
        let said = said.map_or(String::new(), |said| format!(": {said}"));
        let program = self.source.command.first().map_or("", String::as_str);
        if !status.code().is_some_and(|code| self.source.success.contains(&code)) {
            return Err(io::Error::other(format!("`{program}` ended with {status}{said}")));
        }
        if self.read < self.source.minimum_size {
            let why = format!("`{program}` gave {} bytes, and at least {} are expected{said}", self.read, self.source.minimum_size);
            return Err(io::Error::other(why));
        }
        Ok(())
    }
}

impl Drop for Running {
    /// Nobody wants the rest: the program is ended and its status collected.
    fn drop(&mut self) {
        if self.output.take().is_some() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str, change: impl FnOnce(&mut CommandSource)) -> Result<String, String> {
        let command = ["sh", "-c", script].map(str::to_owned).to_vec();
        let mut source = CommandSource::new(command);
        change(&mut source);
        let mut text = String::new();
        let read = source.open().and_then(|mut stream| stream.read_to_string(&mut text));
        read.map(|_| text).map_err(|error| error.to_string())
    }

    #[test]
    fn what_a_program_writes_is_read() {
        assert_eq!(run("printf hello", |_| {}).unwrap(), "hello");
        assert_eq!(run("printf hello; exit 3", |source| source.success = vec![0, 3]).unwrap(), "hello");
    }

    #[test]
    fn a_program_that_fails_is_an_error_that_says_why() {
        let error = run("printf half; echo connection lost >&2; exit 7", |_| {}).unwrap_err();
        assert!(error.contains("exit status: 7") && error.contains("connection lost"), "{error}");
        let error = run("kill -9 $$", |_| {}).unwrap_err();
        assert!(error.contains("signal: 9"), "{error}");
        let error = run("", |source| source.command = vec!["/nonexistent/program".into()]).unwrap_err();
        assert!(error.contains("/nonexistent/program") && error.contains("cannot be started"), "{error}");
    }

    #[test]
    fn too_little_output_is_an_error() {
        let error = run("printf hello", |source| source.minimum_size = 6).unwrap_err();
        assert!(error.contains("5 bytes") && error.contains("at least 6"), "{error}");
        assert!(run("printf hello", |source| source.minimum_size = 5).is_ok());
    }

    #[test]
    fn a_program_that_complains_a_lot_does_not_block() {
        let text = run("head -c 1000000 /dev/zero >&2; printf done", |_| {}).unwrap();
        assert_eq!(text, "done");
    }

    #[test]
    fn a_program_runs_as_the_user_that_is_named() {
        let error = run("true", |source| source.user = Some("no-such-user".into())).unwrap_err();
        assert!(error.contains("no user `no-such-user`"), "{error}");
        if geteuid().is_root() {
            assert_eq!(run("id -u; id -G", |source| source.user = Some("nobody".into())).unwrap(), "65534\n65534\n");
        }
    }

    #[test]
    fn a_stream_that_is_dropped_ends_its_program() {
        let source = CommandSource::new(vec!["cat".into(), "/dev/zero".into()]);
        let mut stream = source.open().unwrap();
        stream.read_exact(&mut [0; 100]).unwrap();
        drop(stream);
    }
}
