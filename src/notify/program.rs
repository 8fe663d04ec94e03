//! Programs that are given a time.

use std::io::{self, Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// Bytes of what a program writes that are kept, from the end.
const KEPT: usize = 32 << 10;
/// How often it is looked whether a program has ended.
const LOOK: Duration = Duration::from_millis(10);
/// How long what a program has left running may keep us from what it wrote.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Runs a program with `input` as its standard input; the end of what it writes. With all that it has started it is ended after `time`.
pub(super) fn run(command: &[String], environment: &[(&str, &str)], input: &str, time: Duration) -> io::Result<String> {
    let (name, arguments) = command.split_first().ok_or_else(|| io::Error::other("no program was given"))?;
    let mut child = Command::new(name);
    child.args(arguments).envs(environment.iter().copied()).process_group(0);
    child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().map_err(|error| io::Error::new(error.kind(), format!("`{name}` cannot be started: {error}")))?;
    if let Some(mut pipe) = child.stdin.take() {
        let input = input.to_owned();
        // Who does not read it all is judged by how it ends.
        thread::spawn(move || drop(pipe.write_all(input.as_bytes())));
    }
    let (output, complaints) = (child.stdout.take().map(end_of), child.stderr.take().map(end_of));
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if begun.elapsed() >= time {
            let _ = killpg(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL);
            child.wait()?;
            return Err(io::Error::other(format!("`{name}` took longer than {} seconds and was ended", time.as_secs())));
        }
        thread::sleep(LOOK);
    };
    let said = |end: Option<Receiver<Vec<u8>>>| end.and_then(|end| end.recv_timeout(LAST_WORDS).ok()).unwrap_or_default();
    let (output, complaints) = (said(output), said(complaints));
    judge(name, status, &complaints).map(|()| String::from_utf8_lossy(&output).into_owned())
}

fn judge(name: &str, status: ExitStatus, complaints: &[u8]) -> io::Result<()> {
    if status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(complaints);
    let said = said.trim();
    let said = if said.is_empty() { String::new() } else { format!(": {said}") };
    Err(io::Error::other(format!("`{name}` ended with {status}{said}")))
}

/// Reads all of a pipe, or its program would wait for us, and keeps the end.
fn end_of(mut pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut kept = Vec::new();
        let mut piece = [0; 4096];
        while let Ok(read @ 1..) = pipe.read(&mut piece) {
            kept.extend_from_slice(piece.get(..read).unwrap_or_default());
            let over = kept.len().saturating_sub(KEPT);
            kept.drain(..over);
        }
        // If nobody waits for it any more, it is not needed.
        let _ = sender.send(kept);
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, input: &str, time: u64) -> Result<String, String> {
        let command = ["sh", "-c", script].map(str::to_owned);
        run(&command, &[("WORD", "said")], input, Duration::from_secs(time)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_program_gets_its_input_and_environment_and_is_judged_by_how_it_ends() {
        assert_eq!(shell("cat; echo $WORD", "heard ", 60).unwrap(), "heard said\n");
        assert_eq!(shell("echo broken >&2; exit 4", "", 60).unwrap_err(), "`sh` ended with exit status: 4: broken");
        assert_eq!(shell("exec cat > /dev/null", &"x".repeat(1 << 20), 60).unwrap(), "");
        assert!(run(&["no-such-program".into()], &[], "", Duration::ZERO).unwrap_err().to_string().contains("cannot be started"));
    }

    #[test]
    fn a_program_that_takes_too_long_is_ended_with_what_it_has_started() {
        assert_eq!(shell("trap '' TERM; sleep 1000 & wait", "", 0).unwrap_err(), "`sh` took longer than 0 seconds and was ended");
    }

    #[test]
    fn of_a_program_that_writes_much_the_end_is_kept() {
        let said = shell("head -c 1000000 /dev/zero | tr '\\0' x; echo last", "", 60).unwrap();
        assert!(said.len() == KEPT && said.ends_with("xlast\n"), "{}", said.len());
    }
}
