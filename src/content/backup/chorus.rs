//! Who is told what when one scan feeds several destinations: progress by the first of them that is still at work, and what several
//! find by the first that finds it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::model::event::{Event, Monitor};

/// The monitor of a run, shared by its destinations.
pub struct Chorus<'a> {
    monitor: &'a dyn Monitor,
    silent: Vec<AtomicBool>,
    told: Mutex<HashSet<[u8; 32]>>,
}

impl<'a> Chorus<'a> {
    /// A chorus of so many destinations.
    pub fn new(monitor: &'a dyn Monitor, destinations: usize) -> Self {
        let silent = (0..destinations).map(|_| AtomicBool::new(false)).collect();
        Self { monitor, silent, told: Mutex::default() }
    }

    /// The monitor of one destination.
    pub fn voice(&self, rank: usize) -> Voice<'_> {
        Voice { chorus: self, rank }
    }

    /// A destination has ended; another one tells how far the run is.
    pub fn retire(&self, rank: usize) {
        if let Some(silent) = self.silent.get(rank) {
            silent.store(true, Ordering::Relaxed);
        }
    }

    fn leads(&self, rank: usize) -> bool {
        self.silent.iter().position(|silent| !silent.load(Ordering::Relaxed)).is_none_or(|first| first == rank)
    }

    fn is_news(&self, subject: &str, message: &str) -> bool {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(subject.len() as u64).to_le_bytes()).update(subject.as_bytes()).update(message.as_bytes());
        self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(*hasher.finalize().as_bytes())
    }
}

/// What one destination tells.
pub struct Voice<'a> {
    chorus: &'a Chorus<'a>,
    rank: usize,
}

impl Voice<'_> {
    /// Says no more of how far the run is.
    pub fn retire(&self) {
        self.chorus.retire(self.rank);
    }

    /// Whether this one tells how far the run is.
    fn leads(&self) -> bool {
        self.chorus.leads(self.rank)
    }
}

impl Monitor for Voice<'_> {
    fn event(&self, event: Event) {
        let chorus = self.chorus;
        let passes = chorus.silent.len() == 1
            || match &event {
                Event::Finding { subject, message, .. } => chorus.is_news(subject, message),
                _ => self.leads(),
            };
        if passes {
            chorus.monitor.event(event);
        }
    }

    fn cancelled(&self) -> bool {
        self.chorus.monitor.cancelled()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::{Collect, Severity};

    #[derive(Default)]
    struct Bytes(Mutex<u64>);

    impl Monitor for Bytes {
        fn event(&self, event: Event) {
            if let Event::Progress { bytes, .. } = event {
                *self.0.lock().unwrap() += bytes;
            }
        }
    }

    #[test]
    fn what_several_find_is_told_once() {
        let heard = Collect::default();
        let chorus = Chorus::new(&heard, 2);
        for rank in [1, 0] {
            chorus.voice(rank).event(Event::warning("/a", "cannot be read"));
        }
        chorus.voice(0).event(Event::warning("/b", "cannot be read"));
        assert_eq!(heard.findings(Severity::Info), ["/a: cannot be read", "/b: cannot be read"]);
    }

    #[test]
    fn a_single_voice_may_say_a_thing_twice() {
        let heard = Collect::default();
        let chorus = Chorus::new(&heard, 1);
        for _ in 0..2 {
            chorus.voice(0).event(Event::info("/a", "is new"));
        }
        assert_eq!(heard.findings(Severity::Info).len(), 2);
    }

    #[test]
    fn the_first_that_is_at_work_tells_how_far_the_run_is() {
        let heard = Bytes::default();
        let chorus = Chorus::new(&heard, 2);
        let progress = |bytes| Event::Progress { files: 0, bytes };
        chorus.voice(0).event(progress(1));
        chorus.voice(1).event(progress(10));
        chorus.retire(0);
        chorus.voice(1).event(progress(100));
        assert_eq!(*heard.0.lock().unwrap(), 101);
    }
}
