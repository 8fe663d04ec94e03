//! Who is told, and how often it is tried.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::command::Program;
use super::email::Letter;
use super::healthchecks::Check;
use super::message::Message;
use super::ntfy::Topic;
use super::uptime_kuma::PushMonitor;
use super::webhook::Hook;
use crate::config::{Credentials, Healthchecks, Notify, Occasion, UptimeKuma};
use crate::model::event::{Event, Monitor};

/// How much longer than it should a try may take until it is given up from outside.
const GRACE: Duration = Duration::from_secs(1);

/// Someone or something that is told.
pub trait Receiver: Send + Sync {
    /// Its key in the configuration.
    fn kind(&self) -> &'static str;

    /// What messages call it, without secrets.
    fn name(&self) -> String;

    /// Tells it, once. It should not take longer than `time`.
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

impl Trouble {
    /// The same for another reason.
    pub(super) fn map(self, change: impl FnOnce(String) -> String) -> Self {
        match self {
            Self::Passing(why) => Self::Passing(change(why)),
            Self::Lasting(why) => Self::Lasting(change(why)),
        }
    }
}

/// How it is tried to tell a receiver.
pub struct Tries<'a> {
    /// How long all of it may take for one receiver.
    pub total: Duration,
    /// How long each try may take.
    pub time: Duration,
    /// How long to wait between them; there is one more than pauses.
    pub pauses: &'a [Duration],
    /// Waits; [`thread::sleep`], but for tests.
    pub wait: &'a (dyn Fn(Duration) + Sync),
}

impl Default for Tries<'_> {
    fn default() -> Self {
        const PAUSES: [Duration; 3] = [Duration::from_secs(2), Duration::from_secs(8), Duration::from_secs(20)];
        Self { total: Duration::from_mins(1), time: Duration::from_secs(20), pauses: &PAUSES, wait: &thread::sleep }
    }
}

impl Tries<'_> {
    /// As the configuration says.
    pub fn of(notify: &Notify) -> Self {
        let usual = Self::default();
        let total = notify.timeout.and_then(|span| span.0.to_duration().ok()).unwrap_or(usual.total);
        Self { total, ..usual }
    }
}

/// What became of a receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its key in the configuration.
    pub kind: &'static str,
    /// Its name.
    pub receiver: String,
    /// Of what it was told.
    pub occasion: Occasion,
    /// Why it was not told, if it was not.
    pub trouble: Option<Trouble>,
}

/// A receiver, and of what it wants to be told.
pub(super) struct Addressee {
    pub(super) receiver: Arc<dyn Receiver>,
    pub(super) on: Vec<Occasion>,
    /// Whether it is one of those that watch over runs.
    pub(super) is_service: bool,
}

/// The receivers that a job or something else names.
pub(super) fn addressees(notify: &Notify, credentials: &Credentials) -> Vec<Addressee> {
    let mut found: Vec<Addressee> = Vec::new();
    let mut add = |receiver: Arc<dyn Receiver>, on: Option<&Vec<Occasion>>, usual: &[Occasion]| {
        let on = on.map_or(usual, Vec::as_slice).to_vec();
        let is_service = ["healthchecks", "uptimeKuma"].contains(&receiver.kind());
        found.push(Addressee { receiver, on, is_service });
    };
    if let Some(ntfy) = &notify.ntfy {
        add(Arc::new(Topic::new(ntfy, credentials)), ntfy.on.as_ref(), notify.occasions());
    }
    if let Some(check) = &notify.healthchecks {
        add(Arc::new(Check::new(check, credentials)), check.on.as_ref(), &Healthchecks::OCCASIONS);
    }
    if let Some(kuma) = &notify.uptime_kuma {
        add(Arc::new(PushMonitor::new(kuma, credentials)), kuma.on.as_ref(), &UptimeKuma::OCCASIONS);
    }
    if let Some(email) = &notify.email {
        add(Arc::new(Letter::new(email, credentials)), email.on.as_ref(), notify.occasions());
    }
    if let Some(hook) = &notify.webhook {
        add(Arc::new(Hook::new(hook, credentials)), hook.on.as_ref(), notify.occasions());
    }
    if !notify.command.is_empty() {
        add(Arc::new(Program::new(&notify.command)), None, notify.occasions());
    }
    found
}

/// A receiver, and what it is told.
pub(super) type Errand = (Arc<dyn Receiver>, Arc<Message>);

/// Tells all receivers at once; who was not told is an error that is told to the monitor. In the receivers' order.
pub(super) fn tell(errands: &[Errand], tries: &Tries<'_>, monitor: &dyn Monitor) -> Vec<Told> {
    let told = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for (rank, errand) in errands.iter().enumerate() {
            let told = &told;
            scope.spawn(move || {
                let trouble = tell_one(errand, tries, monitor).err();
                let (receiver, message) = errand;
                let (kind, name, occasion) = (receiver.kind(), receiver.name(), message.occasion);
                monitor.event(match &trouble {
                    None => Event::info(name.as_str(), "has been told"),
                    Some(trouble) => Event::error(name.as_str(), format!("could not be told: {trouble}")),
                });
                told.lock().unwrap_or_else(PoisonError::into_inner).push((rank, Told { kind, receiver: name, occasion, trouble }));
            });
        }
    });
    let mut told = told.into_inner().unwrap_or_else(PoisonError::into_inner);
    told.sort_by_key(|(rank, _)| *rank);
    told.into_iter().map(|(_, told)| told).collect()
}

fn tell_one(errand: &Errand, tries: &Tries<'_>, monitor: &dyn Monitor) -> Result<(), Trouble> {
    let begun = Instant::now();
    let left = || tries.total.saturating_sub(begun.elapsed());
    let mut pauses = tries.pauses.iter();
    loop {
        let trouble = match within(errand, tries.time.min(left())) {
            Err(Trouble::Passing(why)) => why,
            result => return result,
        };
        match pauses.next() {
            Some(pause) if *pause < left() && !monitor.cancelled() => {
                monitor.event(Event::info(errand.0.name(), format!("{trouble}; it is tried again in {} seconds", pause.as_secs())));
                (tries.wait)(*pause);
            }
            _ => return Err(Trouble::Passing(trouble)),
        }
    }
}

/// One try, that is given up from outside if it does not end: looking up a name, or a server that says a letter a minute.
fn within(errand: &Errand, time: Duration) -> Result<(), Trouble> {
    let (sender, told) = channel();
    let (receiver, message) = (Arc::clone(&errand.0), Arc::clone(&errand.1));
    // Not joined: it ends with the process at the latest.
    thread::spawn(move || sender.send(receiver.tell(&message, time)));
    told.recv_timeout(time + GRACE)
        .unwrap_or_else(|_| Err(Trouble::Passing(format!("it took longer than {} seconds", time.as_secs().max(1)))))
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::json;

    use super::*;
    use crate::model::event::{Collect, Severity};
    use crate::notify::message::tests::message_of;
    use crate::notify::reports::tests::keep;

    /// A message about a run of job `state` of host `rex` that failed after five minutes.
    pub(in crate::notify) fn message() -> Message {
        let state = tempfile::tempdir().unwrap();
        keep(state.path(), 1, "failure", &json!({ "error": "no route", "log": ["first", "no route"] }));
        message_of(state.path(), Some(1), None, Some("hearth-backup-state.service"))
    }

    /// A minute for each try, and no waiting.
    pub(in crate::notify) fn patient(wait: &(dyn Fn(Duration) + Sync)) -> Tries<'_> {
        Tries { total: Duration::from_mins(10), time: Duration::from_mins(1), wait, ..Tries::default() }
    }

    /// Fails so often, in passing or not.
    struct Fails(&'static str, usize, AtomicUsize, fn(String) -> Trouble);

    impl Receiver for Fails {
        fn kind(&self) -> &'static str {
            "fails"
        }

        fn name(&self) -> String {
            self.0.to_owned()
        }

        fn tell(&self, _: &Message, _: Duration) -> Result<(), Trouble> {
            let tried = self.2.fetch_add(1, Ordering::Relaxed) + 1;
            if tried > self.1 { Ok(()) } else { Err((self.3)(format!("try {tried} failed"))) }
        }
    }

    fn fails(name: &'static str, often: usize, kind: fn(String) -> Trouble) -> Errand {
        (Arc::new(Fails(name, often, AtomicUsize::new(0), kind)), Arc::new(message()))
    }

    #[test]
    fn whoever_cannot_be_told_at_once_is_tried_again_and_keeps_nobody_else_from_being_told() {
        let all = [fails("dead", 9, Trouble::Passing), fails("closed", 1, Trouble::Lasting), fails("slow", 2, Trouble::Passing)];
        let waited = Mutex::new(Vec::new());
        let wait = |pause: Duration| waited.lock().unwrap().push(pause.as_secs());
        let heard = Collect::default();
        let told = tell(&all, &patient(&wait), &heard);
        let troubles: Vec<Option<String>> = told.iter().map(|told| told.trouble.as_ref().map(ToString::to_string)).collect();
        assert_eq!(troubles, [Some("try 4 failed".to_owned()), Some("try 1 failed".to_owned()), None]);
        let mut waited = waited.into_inner().unwrap();
        waited.sort_unstable();
        assert_eq!(waited, [2, 2, 8, 8, 20]);
        assert_eq!(heard.findings(Severity::Error).len(), 2);
    }

    #[test]
    fn when_the_time_is_over_it_is_not_tried_again() {
        let waited = Mutex::new(0);
        let wait = |_: Duration| *waited.lock().unwrap() += 1;
        let tries = Tries { total: Duration::from_secs(5), ..patient(&wait) };
        let told = tell(&[fails("dead", 9, Trouble::Passing)], &tries, &Collect::default());
        // Two seconds fit, eight do not.
        assert_eq!((told[0].trouble.clone(), *waited.lock().unwrap()), (Some(Trouble::Passing("try 2 failed".into())), 1));
    }

    /// Never comes back.
    struct Hangs;

    impl Receiver for Hangs {
        fn kind(&self) -> &'static str {
            "hangs"
        }

        fn name(&self) -> String {
            "hangs".to_owned()
        }

        fn tell(&self, _: &Message, _: Duration) -> Result<(), Trouble> {
            loop {
                thread::park();
            }
        }
    }

    #[test]
    fn a_receiver_that_never_comes_back_is_given_up() {
        let tries = Tries { total: Duration::ZERO, ..patient(&|_| {}) };
        let told = tell(&[(Arc::new(Hangs), Arc::new(message()))], &tries, &Collect::default());
        assert!(matches!(&told[0].trouble, Some(Trouble::Passing(why)) if why.contains("took longer")), "{told:?}");
    }

    #[test]
    fn people_hear_of_what_matters_and_watchers_of_every_run_unless_they_say_otherwise() {
        let table = json!({
            "on": ["failure"], "ntfy": { "url": "https://a", "topic": "b" }, "healthchecks": { "url": "https://a" }, "uptimeKuma": { "url": "https://a" },
            "email": { "server": "a", "from": "a@b", "to": ["a@b"], "on": ["start"] }, "webhook": { "url": "https://a" }, "command": ["x"],
        });
        let notify: Notify = serde_json::from_value(table).unwrap();
        let credentials = Credentials { directory: None, service: "x".into() };
        let found = addressees(&notify, &credentials);
        let found: Vec<(&str, usize)> = found.iter().map(|found| (found.receiver.kind(), found.on.len())).collect();
        assert_eq!(found, [("ntfy", 1), ("healthchecks", 4), ("uptimeKuma", 3), ("email", 1), ("webhook", 1), ("command", 1)]);
        assert!(addressees(&Notify::default(), &credentials).is_empty());
    }
}
