//! The standard output of a program as a stream. Its exit status is part of its content: a program that fails makes
//! the last read fail.
//!
//! A program that can be stopped leads a process group of its own, so that what it started is stopped with it:
//!
//! ```text
//!   stop --> SIGTERM to the group --> it ends, or after GRACE: SIGKILL --> its output ends, or is given up --> its reader gets an error
//! ```

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::{Pid, User, geteuid};

use super::confined::{Confined, Held};
use super::stream::StreamSource;

/// Bytes of what a program says on standard error that are kept, from the end.
const KEPT: usize = 4096;
/// Bytes that a program may write ahead of us: the most that the kernel grants everyone.
const PIPE: i32 = 1 << 20;
/// How long a program that is asked to end may take for it, with all that it has started.
const GRACE: Duration = Duration::from_secs(5);
/// So often it is looked whether a silent program has ended or is to be ended, in milliseconds.
const TICK: u8 = 100;
/// How long what a program has left running may keep us from what it said on standard error.
const LAST_WORDS: Duration = Duration::from_secs(1);

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
    /// Where it runs; where we do if absent.
    pub directory: Option<PathBuf>,
    /// What messages call it; the program's name if absent.
    pub shown: Option<String>,
    /// Whether its output ends with it, also if something that it has left running holds it open. Otherwise what that writes belongs to it.
    pub leaves_others: bool,
    /// How it is shut in; not at all if absent.
    pub confined: Option<Confined>,
}

impl Program {
    /// A command that runs as we do and succeeds by exit status 0.
    pub fn new(command: Vec<String>) -> Self {
        Self {
            command,
            success: vec![0],
            minimum_size: 0,
            user: None,
            environment: Vec::new(),
            input: None,
            directory: None,
            shown: None,
            leaves_others: false,
            confined: None,
        }
    }

    /// What messages call it.
    fn title(&self) -> &str {
        self.shown.as_deref().or(self.command.first().map(String::as_str)).unwrap_or_default()
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

    /// Runs it to its end; what it writes, as text. Nobody can stop it but who stops us: it belongs to our process group.
    ///
    /// # Errors
    /// As [`CommandSource::text`].
    pub fn output(&self, limit: u64) -> io::Result<String> {
        CommandSource { leads: false, ..CommandSource::from(self.clone()) }.text(limit)
    }
}

impl Program {
    /// Runs it and gives it input; what it writes is not wanted, and the end of what it says on standard error is given. If the input cannot be had to its end, the program is ended
    /// before it could take a part for the whole.
    ///
    /// # Errors
    /// Those of `give`, or if the program cannot be started or fails.
    pub fn feed<E: From<io::Error>>(&self, give: impl FnOnce(&mut dyn Write) -> Result<(), E>) -> Result<String, E> {
        let (mut command, name) = self.command()?;
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| not_started(name, &error))?;
        let held = self.hold(&child);
        let complaints = child.stderr.take().map(Complaints::read);
        let mut input = Input { pipe: child.stdin.take(), refused: false };
        let given = give(&mut input);
        let refused = input.refused;
        if given.is_err() && !refused {
            child.kill()?;
        }
        drop(input);
        held.map_or(Ok(()), Held::until_ended)?;
        let status = child.wait()?;
        // A program that ends early refuses the rest of its input; why it ended is what matters.
        if refused {
            self.judge(status, complaints)?;
            return given.map(|()| String::new());
        }
        given?;
        Ok(self.judge(status, complaints)?)
    }

    /// The command, ready to be started, and the program's name.
    fn command(&self) -> io::Result<(Command, &str)> {
        let outer = self.confined.as_ref().map_or(&[][..], |confined| &confined.words);
        let mut words = outer.iter().chain(&self.command);
        let name = words.next().ok_or_else(|| io::Error::other("no program was given"))?;
        let mut command = Command::new(name);
        command.args(words).envs(self.environment.iter().map(|(name, value)| (name, value)));
        self.switch_user(&mut command)?;
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        Ok((command, self.title()))
    }

    fn hold(&self, child: &Child) -> Option<Held> {
        self.confined.as_ref().map(|confined| confined.leash.hold(Pid::from_raw(child.id().cast_signed())))
    }

    /// What it said if it ended well, else that as an error.
    fn judge(&self, status: ExitStatus, complaints: Option<Complaints>) -> io::Result<String> {
        let said = complaints.map(Complaints::last).unwrap_or_default();
        if status.code().is_some_and(|code| self.success.contains(&code)) {
            return Ok(said);
        }
        let name = self.title();
        if self.confined.as_ref().is_some_and(|confined| confined.leash.has_ended()) {
            return Err(io::Error::other(format!("`{name}` was stopped{}", after_colon(&said))));
        }
        Err(io::Error::other(format!("`{name}` ended with {status}{}", after_colon(&said))))
    }
}

fn after_colon(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(": {said}") }
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
    running: Arc<Mutex<Vec<Started>>>,
    /// Whether each leads a process group.
    leads: bool,
}

/// A process that runs.
#[derive(Debug)]
struct Started {
    pid: Pid,
    /// Since when it has been asked to end.
    asked: Option<Instant>,
}

impl Started {
    fn is_overdue(&self) -> bool {
        self.asked.is_some_and(|asked| asked.elapsed() >= GRACE)
    }
}

impl From<Program> for CommandSource {
    fn from(program: Program) -> Self {
        Self { program, running: Arc::default(), leads: true }
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
        let name = self.program.title();
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
        if self.leads {
            command.process_group(0);
        }
        let mut child = command.spawn().map_err(|error| not_started(name, &error))?;
        let pid = Pid::from_raw(child.id().cast_signed());
        let held = self.program.hold(&child);
        lock(&self.running).push(Started { pid, asked: None });
        let output = child.stdout.take();
        let complaints = child.stderr.take().map(Complaints::read);
        let running = Running { source: self.clone(), child, pid, held, output, complaints, read: 0 };
        if let Some(pipe) = &running.output {
            // Dumps come in pieces of 4 KiB; with more room both sides are woken less often. Without it, it is slower and no more.
            let _ = fcntl(pipe, FcntlArg::F_SETPIPE_SZ(PIPE));
            fcntl(pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        }
        Ok(Box::new(running))
    }

    fn stop(&self) {
        for started in lock(&self.running).iter_mut() {
            if started.asked.is_none() {
                started.asked = Some(Instant::now());
                self.signal(started.pid, Signal::SIGTERM);
            } else if started.is_overdue() {
                self.signal(started.pid, Signal::SIGKILL);
            }
        }
    }
}

impl CommandSource {
    /// Signals a process that nobody has waited for yet, and those that it has started.
    fn signal(&self, pid: Pid, signal: Signal) {
        let _ = if self.leads { killpg(pid, signal) } else { nix::sys::signal::kill(pid, signal) };
    }

    /// Whether it should have ended by now. It is ended then, with all that is left of its group.
    fn end_overdue(&self, pid: Pid) -> bool {
        let overdue = lock(&self.running).iter().any(|started| started.pid == pid && started.is_overdue());
        if overdue {
            self.signal(pid, Signal::SIGKILL);
        }
        overdue
    }
}

/// The last of what a program says; all of it is read, or the program would wait for us.
struct Complaints {
    kept: Arc<Mutex<Vec<u8>>>,
    /// Hangs up at the end.
    end: Receiver<()>,
}

impl Complaints {
    fn read(mut stderr: ChildStderr) -> Self {
        let (reading, end) = channel::<()>();
        let kept = Arc::new(Mutex::new(Vec::new()));
        let to = Arc::clone(&kept);
        std::thread::spawn(move || {
            let _reading = reading;
            let mut piece = [0; KEPT];
            while let Ok(read @ 1..) = stderr.read(&mut piece) {
                let mut kept = lock(&to);
                kept.extend_from_slice(piece.get(..read).unwrap_or_default());
                let over = kept.len().saturating_sub(KEPT);
                kept.drain(..over);
            }
        });
        Self { kept, end }
    }

    /// What was said by a program that has ended. What it left running may say more, and is not waited for.
    fn last(self) -> String {
        let _ = self.end.recv_timeout(LAST_WORDS);
        String::from_utf8_lossy(&lock(&self.kept)).trim().to_owned()
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Running {
    source: CommandSource,
    child: Child,
    pid: Pid,
    held: Option<Held>,
    output: Option<ChildStdout>,
    complaints: Option<Complaints>,
    read: u64,
}

impl Read for Running {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.next(buffer)?;
        self.read += read as u64;
        if read == 0 && !buffer.is_empty() && self.output.take().is_some() {
            self.finish()?;
        }
        Ok(read)
    }
}

impl Running {
    /// The next piece of output; nothing at its end, or if it is not to be waited for.
    fn next(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(output) = &mut self.output else { return Ok(0) };
        let mut ended = false;
        loop {
            match output.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
            let overdue = self.source.end_overdue(self.pid);
            // It had ended before the pipe was found empty, so that all that it wrote is read.
            if ended && (overdue || self.source.program.leaves_others) {
                return Ok(0);
            }
            match poll(&mut [PollFd::new(output.as_fd(), PollFlags::POLLIN)], PollTimeout::from(TICK)) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
            ended = has_ended(self.pid)?;
        }
    }

    /// Waits for the program; how it ended, and whether it was asked to. Its number is forgotten before it is free for another process.
    fn wait(&mut self) -> io::Result<(ExitStatus, bool)> {
        // It has closed its output, so it is at its end, as a rule.
        let mut pause = Duration::from_micros(100);
        while !has_ended(self.pid)? {
            self.source.end_overdue(self.pid);
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(TICK.into()));
        }
        let asked = {
            let mut running = lock(&self.source.running);
            let place = running.iter().position(|started| started.pid == self.pid);
            place.is_some_and(|place| running.swap_remove(place).asked.is_some())
        };
        self.held = None;
        Ok((self.child.wait()?, asked))
    }

    /// The program has closed its output: whether it ended well.
    fn finish(&mut self) -> io::Result<()> {
        let program = self.source.program.clone();
        let name = program.title();
        let (status, asked) = self.wait()?;
        let said = after_colon(&program.judge(status, self.complaints.take())?);
        if asked {
            return Err(io::Error::other(format!("`{name}` was stopped{said}")));
        }
        if self.read < program.minimum_size {
            let why = format!("`{name}` gave {} bytes, and at least {} are expected{said}", self.read, program.minimum_size);
            return Err(io::Error::other(why));
        }
        Ok(())
    }
}

/// Whether a process of ours has ended; its status is left to be collected.
fn has_ended(pid: Pid) -> io::Result<bool> {
    let status = waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT | WaitPidFlag::WNOHANG)?;
    Ok(status != WaitStatus::StillAlive)
}

impl Drop for Running {
    /// Nobody wants the rest: the program is ended and its status collected.
    fn drop(&mut self) {
        if self.output.take().is_some() {
            self.source.signal(self.pid, Signal::SIGKILL);
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
        program.feed(give).map(drop).map_err(|error: io::Error| error.to_string())
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
        let pid = lock(&source.running)[0].pid;
        drop(stream);
        assert!(lock(&source.running).is_empty() && killpg(pid, None).is_err(), "it is still there");
    }

    fn shell(script: &str) -> CommandSource {
        CommandSource::from(Program::new(["sh", "-c", script].map(str::to_owned).to_vec()))
    }

    #[test]
    fn what_a_stopped_program_has_started_is_stopped_with_it() {
        let source = shell("sleep 1000 & echo started; wait");
        let mut stream = source.open().unwrap();
        stream.read_exact(&mut [0; 8]).unwrap();
        source.stop();
        let error = stream.read(&mut [0; 10]).unwrap_err().to_string();
        assert!(error.contains("signal: 15"), "{error}");
    }

    #[test]
    fn what_a_program_left_running_belongs_to_its_output_until_it_is_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let script = format!("mkfifo {0}; (read line < {0}; echo late) & echo early; echo > {0}", folder.path().join("fifo").display());
        assert_eq!(run(&script, |_| {}).unwrap(), "early\nlate\n");
        // Out of our reach by its own session.
        let pid = folder.path().join("pid");
        let source = shell(&format!("setsid sh -c 'echo $$ > {}; exec sleep 1000' &", pid.display()));
        let mut stream = source.open().unwrap();
        let ended = std::thread::scope(|scope| {
            let reader = scope.spawn(|| stream.read(&mut [0; 10]));
            while !std::fs::read_to_string(&pid).is_ok_and(|text| text.ends_with('\n')) {
                std::thread::yield_now();
            }
            source.stop();
            reader.join().unwrap()
        });
        let held: i32 = std::fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
        assert!(ended.is_err(), "a part is not taken for the whole");
        killpg(Pid::from_raw(held), Signal::SIGKILL).unwrap();
    }
}
