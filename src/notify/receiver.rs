//! Who is told, and how often it is tried.

use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::command::Program;
use super::message::Message;
use super::ntfy::Topic;
use crate::config::{Credentials, Notify};
use crate::model::event::{Event, Monitor};

/// Someone or something that is told.
pub trait Receiver: Send + Sync {
    /// What messages call it, without secrets.
    fn name(&self) -> String;

    /// Tells it, once. Whatever happens, that takes little longer than `time`.
    ///
    /// # Errors
    /// If it was not told. No secret is in the reason.
    fn tell(&self, message: &Message, time: Duration) -> Result<(), Trouble>;
}

/// Why a receiver was not told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// It may be over soon.
    #[error("{0}")]
    Passing(String),
    /// To try again is useless.
    #[error("{0}")]
    Lasting(String),
}

/// How it is tried to tell a receiver.
pub struct Tries<'a> {
    /// How long each may take.
    pub time: Duration,
    /// How long to wait between them; there is one more than pauses.
    pub pauses: &'a [Duration],
    /// Waits; [`thread::sleep`], but for tests.
    pub wait: &'a (dyn Fn(Duration) + Sync),
}

impl Default for Tries<'_> {
    fn default() -> Self {
        const PAUSES: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(8)];
        Self { time: Duration::from_secs(20), pauses: &PAUSES, wait: &thread::sleep }
    }
}

/// What became of a receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its name.
    pub receiver: String,
    /// Why it was not told, if it was not.
    pub trouble: Option<Trouble>,
}

/// The receivers that a job or a mirror names.
pub fn receivers(notify: &Notify, credentials: &Credentials) -> Vec<Box<dyn Receiver>> {
    let mut found: Vec<Box<dyn Receiver>> = Vec::new();
    if let Some(ntfy) = &notify.ntfy {
        found.push(Box::new(Topic::new(ntfy, credentials)));
    }
    if !notify.command.is_empty() {
        found.push(Box::new(Program::new(&notify.command)));
    }
    found
}

/// Tells all receivers at once; who was not told is an error that is told to the monitor. In the receivers' order.
pub fn tell(receivers: &[Box<dyn Receiver>], message: &Message, tries: &Tries<'_>, monitor: &dyn Monitor) -> Vec<Told> {
    let told = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for (rank, receiver) in receivers.iter().enumerate() {
            let told = &told;
            scope.spawn(move || {
                let trouble = tell_one(receiver.as_ref(), message, tries, monitor).err();
                let receiver = receiver.name();
                monitor.event(match &trouble {
                    None => Event::info(receiver.as_str(), "has been told"),
                    Some(trouble) => Event::error(receiver.as_str(), format!("could not be told: {trouble}")),
                });
                told.lock().unwrap_or_else(PoisonError::into_inner).push((rank, Told { receiver, trouble }));
            });
        }
    });
    let mut told = told.into_inner().unwrap_or_else(PoisonError::into_inner);
    told.sort_by_key(|(rank, _)| *rank);
    told.into_iter().map(|(_, told)| told).collect()
}

fn tell_one(receiver: &dyn Receiver, message: &Message, tries: &Tries<'_>, monitor: &dyn Monitor) -> Result<(), Trouble> {
    for pause in tries.pauses {
        match receiver.tell(message, tries.time) {
            Err(Trouble::Passing(why)) if !monitor.cancelled() => {
                monitor.event(Event::info(receiver.name(), format!("{why}; it is tried again in {} seconds", pause.as_secs())));
                (tries.wait)(*pause);
            }
            result => return result,
        }
    }
    receiver.tell(message, tries.time)
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::model::event::{Collect, Severity};
    use crate::notify::failure::Failure;
    use crate::notify::journal::Journal;
    use crate::notify::message::Subject;

    /// A message about job `state` of host `rex`.
    pub(in crate::notify) fn message() -> Message {
        let failure = Failure { unit: Some("hearth-backup-state.service".into()), ..Failure::default() };
        Message::new("rex", Subject::Job("state".into()), &failure, &Journal::default())
    }

    /// Fails so often, in passing or not.
    struct Fails(&'static str, usize, AtomicUsize, fn(String) -> Trouble);

    impl Receiver for Fails {
        fn name(&self) -> String {
            self.0.to_owned()
        }

        fn tell(&self, _: &Message, _: Duration) -> Result<(), Trouble> {
            let tried = self.2.fetch_add(1, Ordering::Relaxed) + 1;
            if tried > self.1 { Ok(()) } else { Err((self.3)(format!("try {tried} failed"))) }
        }
    }

    #[test]
    fn whoever_cannot_be_told_at_once_is_tried_again_and_keeps_nobody_else_from_being_told() {
        let fails = |name, often, kind| -> Box<dyn Receiver> { Box::new(Fails(name, often, AtomicUsize::new(0), kind)) };
        let all = [fails("dead", 9, Trouble::Passing), fails("closed", 1, Trouble::Lasting), fails("slow", 2, Trouble::Passing)];
        let waited = Mutex::new(Vec::new());
        let tries = Tries { wait: &|pause| waited.lock().unwrap().push(pause.as_secs()), ..Tries::default() };
        let heard = Collect::default();
        let told = tell(&all, &message(), &tries, &heard);
        let troubles: Vec<Option<String>> = told.iter().map(|told| told.trouble.as_ref().map(ToString::to_string)).collect();
        assert_eq!(troubles, [Some("try 3 failed".to_owned()), Some("try 1 failed".to_owned()), None]);
        let mut waited = waited.into_inner().unwrap();
        waited.sort_unstable();
        assert_eq!(waited, [2, 2, 8, 8]);
        assert_eq!(heard.findings(Severity::Error).len(), 2);
    }
}
