//! The real program is killed at random moments, round after round in one repository. After each kill the repository checks
//! clean, the next backup succeeds, and the newest snapshot restores to what the source holds.
//!
//! The delay before a kill only chooses the moment; nothing waits for it. `HEARTH_CRASH_ROUNDS` makes more rounds,
//! `HEARTH_CRASH_SEED` makes the draws of a failure again.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod cli_common;

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use cli_common::{Bench, tree};

/// Kills of an ordinary run.
const ROUNDS: u64 = 16;
/// Files of the source, and the most bytes of one.
const FILES: u64 = 12;
const LARGEST: u64 = 600_000;
/// Where restores are killed.
const INTERRUPTED: &str = "interrupted";
/// SIGKILL.
const KILLED: i32 = 9;

#[test]
fn whatever_is_killed_the_repository_stays_sound_and_the_next_backup_restores() {
    let seed = from_environment("HEARTH_CRASH_SEED").unwrap_or_else(fresh_seed);
    let rounds = from_environment("HEARTH_CRASH_ROUNDS").unwrap_or(ROUNDS);
    // The harness shows it if the test fails.
    println!("HEARTH_CRASH_SEED={seed} HEARTH_CRASH_ROUNDS={rounds}");
    let mut victim = Victim::new(seed);
    let mut killed = 0;
    for round in 0..rounds {
        let action = Action::ALL[usize::try_from(round).unwrap() % Action::ALL.len()];
        victim.change_source();
        if action == Action::Prune {
            victim.forget_all_but_the_newest();
        }
        killed += u64::from(victim.kill_in(action));
        println!("round {round}: {action:?}");
        victim.assert_sound();
    }
    assert!(killed * 4 >= rounds, "only {killed} of {rounds} runs were killed before they ended");
}

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Backup,
    Forget,
    Prune,
    Restore,
}

impl Action {
    const ALL: [Self; 6] = [Self::Backup, Self::Forget, Self::Backup, Self::Prune, Self::Backup, Self::Restore];
}

/// A repository, its source, and how long things take there.
struct Victim {
    bench: Bench,
    random: Random,
    /// Of the last undisturbed run of each action.
    durations: [Duration; 4],
}

impl Victim {
    fn new(seed: u64) -> Self {
        let bench = Bench::with_repository();
        let mut victim = Self { bench, random: Random(seed), durations: [Duration::ZERO; 4] };
        (0..FILES).for_each(|_| victim.change_source());
        victim.measure(Action::Backup);
        for _ in 0..4 {
            victim.change_source();
            victim.measure(Action::Backup);
        }
        victim.measure(Action::Restore);
        victim.measure(Action::Forget);
        victim.forget_all_but_the_newest();
        victim.measure(Action::Prune);
        victim
    }

    /// Runs an action to its end.
    fn measure(&mut self, action: Action) {
        let arguments = self.arguments(action);
        let begun = Instant::now();
        self.bench.ok(&text(&arguments));
        self.durations[action as usize] = begun.elapsed();
        let _ = fs::remove_dir_all(self.bench.path(INTERRUPTED));
    }

    fn arguments(&self, action: Action) -> Vec<String> {
        let source = self.bench.source();
        let own = |arguments: &[&str]| arguments.iter().map(|argument| (*argument).to_owned()).collect();
        match action {
            Action::Backup => own(&["backup", "--key", "hearth-writer.key", &source]),
            Action::Restore => own(&["restore", "latest", "--key", "hearth-restore.key", "--target", INTERRUPTED]),
            Action::Prune => own(&["prune", "--grace", "0"]),
            Action::Forget => {
                let ids = self.bench.snapshots();
                let first = ids.first().map(String::as_str).unwrap();
                own(&["forget", first])
            }
        }
    }

    /// Writes, lengthens, shortens or removes a file.
    fn change_source(&mut self) {
        let file = format!("source/made/{}", self.random.below(FILES));
        if self.random.below(5) == 0 && self.bench.path(&file).exists() {
            fs::remove_file(self.bench.path(&file)).unwrap();
            return;
        }
        let length = self.random.below(LARGEST);
        let content = self.random.bytes(usize::try_from(length).unwrap());
        self.bench.write(&file, &content);
    }

    fn forget_all_but_the_newest(&self) {
        let mut ids = self.bench.snapshots();
        ids.pop();
        if !ids.is_empty() {
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            self.bench.ok(&[&["forget"], ids.as_slice()].concat());
        }
    }

    /// Starts the program and kills it at some moment; whether it was still running then.
    fn kill_in(&mut self, action: Action) -> bool {
        let arguments = self.arguments(action);
        let longest = u64::try_from(self.durations[action as usize].as_micros()).unwrap();
        let moment = Duration::from_micros(self.random.below(longest + 1));
        let mut command = self.bench.command(&text(&arguments));
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(moment);
        child.kill().unwrap();
        let status = child.wait().unwrap();
        println!("{arguments:?} was killed after {moment:?}: {status}");
        status.signal() == Some(KILLED)
    }

    fn assert_sound(&self) {
        let bench = &self.bench;
        bench.ok(&["check", "--read-packs"]);
        bench.backup(&[]);
        let source = tree(&bench.path("source"));
        // A restore that was killed is completed, though the snapshot is another by now.
        for target in ["fresh", INTERRUPTED] {
            bench.ok(&["restore", "latest", "--key", "hearth-restore.key", "--target", target, "--verify", "--delete"]);
            let restored = bench.path(target).join(bench.path("source").strip_prefix("/").unwrap());
            assert!(tree(&restored) == source, "what was restored to {target} differs from the source");
            fs::remove_dir_all(bench.path(target)).unwrap();
        }
        bench.ok(&["check", "--read-packs"]);
    }
}

fn text(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

fn from_environment(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} must be a number, not `{value}`")))
}

fn fresh_seed() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos().into()
}

/// Draws from a seed.
struct Random(u64);

impl Random {
    /// Bytes that do not compress, others at each call.
    fn bytes(&mut self, length: usize) -> Vec<u8> {
        self.0 = self.0.wrapping_add(1);
        let mut bytes = vec![0; length];
        blake3::Hasher::new().update(&self.0.to_le_bytes()).finalize_xof().fill(&mut bytes);
        bytes
    }

    /// A number below `bound`, which is not 0.
    fn below(&mut self, bound: u64) -> u64 {
        let bytes = self.bytes(8);
        bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte)) % bound
    }
}
