//! Programs that are shut in, and ended together.
//!
//! What came out of a repository may have a client run anything, also something that never ends. A [`Leash`] ends all programs that were started on
//! it, whoever waits for them, and lets no other one start:
//!
//! ```text
//!   Program --starts--> process on the leash --ends--> off it, before its number is free for another process
//!   end()   --SIGKILL-> all that are on it; those that come later end at once
//! ```

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

/// How programs are shut in.
#[derive(Debug, Clone, Default)]
pub struct Confined {
    /// Words before a program and its arguments. What they start must end with them.
    pub words: Vec<String>,
    /// Ends them.
    pub leash: Leash,
}

/// Ends programs that others wait for. Clones are the same leash.
#[derive(Debug, Clone, Default)]
pub struct Leash(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    ended: bool,
    held: Vec<Pid>,
}

impl Leash {
    /// Ends all programs on it, now and from now on.
    pub fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        state.held.iter().for_each(|pid| end(*pid));
    }

    /// Whether [`Self::end`] was called.
    pub fn has_ended(&self) -> bool {
        self.lock().ended
    }

    /// Takes a process that nobody has waited for yet; it is let go when the result is dropped, which must be before somebody does.
    pub(super) fn hold(&self, pid: Pid) -> Held {
        let mut state = self.lock();
        state.held.push(pid);
        if state.ended {
            end(pid);
        }
        Held { leash: self.clone(), pid }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn end(pid: Pid) {
    // It may have ended by itself; its number is still its own.
    let _ = kill(pid, Signal::SIGKILL);
}

/// A process on a leash.
#[derive(Debug)]
pub(super) struct Held {
    leash: Leash,
    pid: Pid,
}

impl Held {
    /// Waits for its end, and lets it go.
    pub(super) fn until_ended(self) -> io::Result<()> {
        loop {
            match waitid(Id::Pid(self.pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
                Err(Errno::EINTR) => {}
                waited => return Ok(waited.map(drop)?),
            }
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.leash.lock().held.retain(|pid| *pid != self.pid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::command::Program;

    fn on(leash: &Leash, script: &str) -> Program {
        let command = ["-c", script].map(str::to_owned).to_vec();
        Program { confined: Some(Confined { words: vec!["sh".into()], leash: leash.clone() }), ..Program::new(command) }
    }

    fn feed(program: &Program) -> Result<String, String> {
        program.feed(|input| input.write_all(b"hello")).map_err(|error: io::Error| error.to_string())
    }

    #[test]
    fn programs_that_others_wait_for_end_when_it_is_said_and_no_other_one_begins() {
        let folder = tempfile::tempdir().unwrap();
        let leash = Leash::default();
        let begun = |name: &str| folder.path().join(name);
        let script = |name: &str| format!("touch {}; exec sleep 1000", begun(name).display());
        std::thread::scope(|scope| {
            let fed = scope.spawn(|| feed(&on(&leash, &script("fed"))));
            let read = scope.spawn(|| on(&leash, &script("read")).output(100).map_err(|error| error.to_string()));
            while !begun("fed").exists() || !begun("read").exists() {
                std::thread::yield_now();
            }
            leash.end();
            assert!(fed.join().unwrap().unwrap_err().contains("was stopped"));
            assert!(read.join().unwrap().unwrap_err().contains("was stopped"));
        });
        assert!(feed(&on(&leash, "sleep 1000")).is_err());
        assert!(leash.lock().held.is_empty(), "whose number may be another's now");
    }

    #[test]
    fn a_leash_does_not_change_how_programs_end() {
        let leash = Leash::default();
        assert_eq!(on(&leash, "printf hello").output(100).unwrap(), "hello");
        assert_eq!(feed(&on(&leash, "cat >/dev/null; echo said >&2")).unwrap(), "said");
        assert!(feed(&on(&leash, "exit 3")).unwrap_err().contains("exit status: 3"));
        assert!(leash.lock().held.is_empty());
    }
}
