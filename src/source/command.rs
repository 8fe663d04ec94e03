//! The standard output of a program as a stream. Its exit status is part of its content: a program that fails makes
//! the last read fail.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::{Pid, User, geteuid};

use super::stream::StreamSource;

/// Bytes of what a program says on standard error that are kept, from the end.
const KEPT: usize = 4096;
/// Bytes that a program may write ahead of us: the most that the kernel grants everyone.
const PIPE: i32 = 1 << 20;

/// A program to run.
#[derive(Debug, Clone)]
pub struct Program {
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
    /// What it finds as its standard input, unless it is fed; nothing if absent.
    pub input: Option<Arc<File>>,
}

impl Program {
    /// A command that runs as we do and succeeds by exit status 0.
    pub fn new(command: Vec<String>) -> Self {
        Self { command, success: vec![0], minimum_size: 0, user: None, environment: Vec::new(), input: None }
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

    /// Runs it to its end; what it writes, as text.
    ///
    /// # Errors
    /// As [`CommandSource::text`].
    pub fn output(&self, limit: u64) -> io::Result<String> {
        CommandSource::from(self.clone()).text(limit)
    }
}

impl Program {
    /// Runs it and gives it input; what it writes is not wanted. If the input cannot be had to its end, the program is ended
    /// before it could take a part for the whole.
    ///
    /// # Errors
    /// Those of `give`, or if the program cannot be started or fails.
    pub fn feed<E: From<io::Error>>(&self, give: impl FnOnce(&mut dyn Write) -> Result<(), E>) -> Result<(), E> {
        let (mut command, name) = self.command()?;
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| not_started(name, &error))?;
        let complaints = child.stderr.take().map(|stderr| std::thread::spawn(move || tail(stderr)));
        let mut input = Input { pipe: child.stdin.take(), refused: false };
        let given = give(&mut input);
        let refused = input.refused;
        if given.is_err() && !refused {
            child.kill()?;
        }
        drop(input);
        let status = child.wait()?;
        // A program that ends early refuses the rest of its input; why it ended is what matters.
        if given.is_err() && !refused {
            return given;
        }
        self.judge(status, complaints)?;
        given
    }

    /// The command, ready to be started, and the program's name.
    fn command(&self) -> io::Result<(Command, &str)> {
        let (name, arguments) = self.command.split_first().ok_or_else(|| io::Error::other("no program was given"))?;
        let mut command = Command::new(name);
        command.args(arguments).envs(self.environment.iter().map(|(name, value)| (name, value)));
        self.switch_user(&mut command)?;
        Ok((command, name))
    }

    /// Whether it ended well, and if not what it said.
    fn judge(&self, status: ExitStatus, complaints: Option<JoinHandle<String>>) -> io::Result<String> {
        let said = complaints.and_then(|reader| reader.join().ok()).filter(|said| !said.is_empty());
        let said = said.map_or(String::new(), |said| format!(": {said}"));
        if status.code().is_some_and(|code| self.success.contains(&code)) {
            return Ok(said);
        }
        let name = self.command.first().map_or("", String::as_str);
        Err(io::Error::other(format!("`{name}` ended with {status}{said}")))
    }
}

fn not_started(name: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("`{name}` cannot be started: {error}"))
}

/// A program's standard input.
struct Input {
    pipe: Option<ChildStdin>,
    refused: bool,
}

impl Write for Input {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(pipe) = &mut self.pipe else { return Err(io::ErrorKind::BrokenPipe.into()) };
        pipe.write(bytes).inspect_err(|_| self.refused = true)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A program whose output is saved.
#[derive(Debug, Clone)]
pub struct CommandSource {
    program: Program,
    /// The processes that run now.
    running: Arc<Mutex<Vec<Pid>>>,
}

impl From<Program> for CommandSource {
    fn from(program: Program) -> Self {
        Self { program, running: Arc::default() }
    }
}

impl CommandSource {
    /// Runs the program to its end; what it writes, as text.
    ///
    /// # Errors
    /// If it cannot be started, fails, or writes more than `limit` bytes or no text.
    pub fn text(&self, limit: u64) -> io::Result<String> {
        let mut text = String::new();
        let mut stream = self.open()?;
        stream.by_ref().take(limit).read_to_string(&mut text)?;
        let name = self.program.command.first().map_or("", String::as_str);
        match stream.read(&mut [0])? {
            0 => Ok(text),
            _ => Err(io::Error::other(format!("`{name}` writes more than {limit} bytes"))),
        }
    }
}

impl StreamSource for CommandSource {
    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        let (mut command, name) = self.program.command()?;
        let input = self.program.input.as_ref().map(|file| file.try_clone()).transpose()?;
        command.stdin(input.map_or_else(Stdio::null, Stdio::from)).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| not_started(name, &error))?;
        let pid = Pid::from_raw(child.id().cast_signed());
        lock(&self.running).push(pid);
        let output = child.stdout.take();
        if let Some(pipe) = &output {
            // Dumps come in pieces of 4 KiB; with more room both sides are woken less often. Without it, it is slower and no more.
            let _ = fcntl(pipe, FcntlArg::F_SETPIPE_SZ(PIPE));
        }
        let complaints = child.stderr.take().map(|stderr| std::thread::spawn(move || tail(stderr)));
        Ok(Box::new(Running { source: self.clone(), child, pid, output, complaints, read: 0 }))
    }

    fn stop(&self) {
        for pid in lock(&self.running).iter() {
            let _ = kill(*pid, Signal::SIGTERM);
        }
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

fn lock(running: &Mutex<Vec<Pid>>) -> MutexGuard<'_, Vec<Pid>> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Running {
    source: CommandSource,
    child: Child,
    pid: Pid,
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
    /// Waits for the program. Its number is forgotten before it is free for another process.
    fn wait(&mut self) -> io::Result<ExitStatus> {
        let ended = waitid(Id::Pid(self.pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT);
        lock(&self.source.running).retain(|pid| *pid != self.pid);
        ended?;
        self.child.wait()
    }

    /// The program has closed its output: whether it ended well.
    fn finish(&mut self) -> io::Result<()> {
        let status = self.wait()?;
        let program = &self.source.program;
        let said = program.judge(status, self.complaints.take())?;
        if self.read < program.minimum_size {
            let name = program.command.first().map_or("", String::as_str);
            let why = format!("`{name}` gave {} bytes, and at least {} are expected{said}", self.read, program.minimum_size);
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
            let _ = self.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str, change: impl FnOnce(&mut Program)) -> Result<String, String> {
        let command = ["sh", "-c", script].map(str::to_owned).to_vec();
        let mut program = Program::new(command);
        change(&mut program);
        program.output(1 << 20).map_err(|error| error.to_string())
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

    fn fed(script: &str, give: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), String> {
        let program = Program::new(["sh", "-c", script].map(str::to_owned).to_vec());
        program.feed(give).map_err(|error: io::Error| error.to_string())
    }

    #[test]
    fn a_program_is_given_its_input_and_judged_by_how_it_ends() {
        fed("test \"$(cat)\" = hello", |input| input.write_all(b"hello")).unwrap();
        let error = fed("cat >/dev/null; echo no such table >&2; exit 1", |input| input.write_all(b"hello")).unwrap_err();
        assert!(error.contains("no such table"), "{error}");
        let error = fed("echo no room >&2; exit 2", |input| input.write_all(&vec![0; 10_000_000])).unwrap_err();
        assert!(error.contains("no room"), "the reason, not that it hung up: {error}");
    }

    #[test]
    fn a_program_whose_input_breaks_off_is_ended_before_it_takes_a_part_for_the_whole() {
        let folder = tempfile::tempdir().unwrap();
        let done = folder.path().join("done");
        let script = format!("cat >/dev/null; touch {}", done.display());
        let error = fed(&script, |input| {
            input.write_all(b"part")?;
            Err(io::Error::other("a chunk is lost"))
        });
        assert!(error.unwrap_err().contains("a chunk is lost"));
        assert!(!done.exists());
    }

    #[test]
    fn more_text_than_expected_is_an_error() {
        let program = Program::new(vec!["printf".into(), "12345".into()]);
        assert_eq!(program.output(5).unwrap(), "12345");
        assert!(program.output(4).unwrap_err().to_string().contains("more than 4 bytes"));
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
    fn a_program_that_is_stopped_is_an_error_for_its_reader() {
        let source = CommandSource::from(Program::new(vec!["sleep".into(), "1000".into()]));
        let mut stream = source.open().unwrap();
        source.stop();
        let error = stream.read(&mut [0; 10]).unwrap_err().to_string();
        assert!(error.contains("signal: 15"), "{error}");
        assert!(lock(&source.running).is_empty());
    }

    #[test]
    fn a_stream_that_is_dropped_ends_its_program() {
        let source = CommandSource::from(Program::new(vec!["cat".into(), "/dev/zero".into()]));
        let mut stream = source.open().unwrap();
        stream.read_exact(&mut [0; 100]).unwrap();
        let pid = lock(&source.running)[0];
        drop(stream);
        assert!(lock(&source.running).is_empty() && kill(pid, None).is_err(), "it is still there");
    }
}
