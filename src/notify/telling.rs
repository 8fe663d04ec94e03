//! Telling of one subject: which receivers hear what, who has heard it already, and what is remembered of it.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use super::message::Message;
use super::receiver::{Addressee, Errand, Told, Tries, addressees, tell};
use super::run::{Run, record};
use super::subject::Subject;
use crate::config::{Credentials, Notify, Occasion};
use crate::model::event::Monitor;

/// Whom to tell of one subject.
pub struct Telling<'a> {
    /// The machine's name.
    pub host: &'a str,
    /// What it is about.
    pub subject: &'a Subject,
    /// Who is told.
    pub notify: &'a Notify,
    /// Where secrets are found.
    pub credentials: &'a Credentials,
    /// How often it is tried.
    pub tries: Tries<'a>,
    /// Who hears how it goes.
    pub monitor: &'a dyn Monitor,
}

impl Telling<'_> {
    /// Whether anybody wants to hear of something.
    pub fn anybody_for(&self, occasion: Occasion) -> bool {
        addressees(self.notify, self.credentials).iter().any(|addressee| addressee.on.contains(&occasion))
    }

    /// That a run begins.
    pub fn start(&self, unit: Option<String>) -> Vec<Told> {
        let message = || Message::start(self.host, self.subject.clone(), unit.clone());
        self.tell(&[Occasion::Start], |_| true, |_| message())
    }

    /// What became of a run: each receiver once, whoever else tells of it too. What is remembered lies below `state`.
    pub fn end(&self, run: &Run, state: &Path) -> Vec<Told> {
        let record = record(self.subject, run.unit.as_deref(), state);
        let key = run.id.as_ref().map(|id| format!("end {id}"));
        let fresh = |addressee: &Addressee| key.as_ref().is_none_or(|key| !record.is_told(key, addressee.receiver.kind()));
        let told = self.tell(&run.occasions(), fresh, |occasion| Message::end(self.host, self.subject.clone(), run, occasion));
        for told in told.iter().filter(|told| told.trouble.is_none()) {
            if let Some(key) = &key {
                record.told(key, told.kind);
            }
        }
        match run.occasions().as_slice() {
            [] => {}
            occasions => record.ended(occasions.contains(&Occasion::Failure), run.started().unwrap_or_else(Timestamp::now)),
        }
        told
    }

    /// People, of something that no run is the reason of, in a line and some more. Services that watch over runs are not told.
    pub fn news(&self, occasion: Occasion, title: &str, lines: &[String]) -> Vec<Told> {
        let message = |occasion| Message::news(self.host, self.subject.clone(), occasion, title, lines);
        self.tell(&[occasion], |addressee| !addressee.is_service, message)
    }

    /// Everybody, as if something had happened.
    pub fn test(&self, occasion: Occasion) -> Vec<Told> {
        let message = Arc::new(Message::test(self.host, self.subject.clone(), occasion));
        let errands = addressees(self.notify, self.credentials).into_iter().map(|addressee| (addressee.receiver, Arc::clone(&message)));
        tell(&errands.collect::<Vec<Errand>>(), &self.tries, self.monitor)
    }

    /// Tells whoever wants to hear one of these occasions of the first that it wants to hear of.
    fn tell(&self, occasions: &[Occasion], wanted: impl Fn(&Addressee) -> bool, message: impl Fn(Occasion) -> Message) -> Vec<Told> {
        let mut errands: Vec<Errand> = Vec::new();
        for addressee in addressees(self.notify, self.credentials) {
            let occasion = occasions.iter().find(|occasion| addressee.on.contains(occasion));
            if let Some(occasion) = occasion.filter(|_| wanted(&addressee)) {
                errands.push((addressee.receiver, Arc::new(message(*occasion))));
            }
        }
        tell(&errands, &self.tries, self.monitor)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::event::Silent;
    use crate::notify::ending::{Ending, Outcome};
    use crate::notify::journal::Journal;
    use crate::notify::receiver::tests::patient;
    use crate::notify::reports::tests::keep;
    use crate::notify::run::Search;

    /// Tells of the run of an hour; of what the command was told, and how many were told.
    fn told(state: &Path, hour: u8, outcome: Option<Outcome>, notify: &Value) -> (String, usize) {
        let subject = Subject::Job("state".into());
        let heard = state.join("heard");
        let mut notify = notify.clone();
        notify["command"] = json!(["sh", "-c", format!("echo $HEARTH_EVENT >> {}", heard.display())]);
        let notify: Notify = serde_json::from_value(notify).unwrap();
        let journal = Journal { program: "no-such-journalctl".into(), ..Journal::default() };
        let ending = Ending { unit: Some("hearth-backup-state.service".into()), invocation: Some(format!("{hour:032x}")), outcome };
        let run = Run::find(&subject, &Search { state, ending, since: None, journal: &journal });
        let credentials = Credentials { directory: None, service: "x".into() };
        let telling = Telling {
            host: "rex",
            subject: &subject,
            notify: &notify,
            credentials: &credentials,
            tries: patient(&|_| {}),
            monitor: &Silent,
        };
        let count = telling.end(&run, state).iter().filter(|told| told.trouble.is_none()).count();
        let words = std::fs::read_to_string(&heard).unwrap_or_default();
        let _ = std::fs::remove_file(&heard);
        (words.trim_end().replace('\n', " "), count)
    }

    #[test]
    fn each_receiver_hears_once_of_a_run_what_it_wants_to_hear() {
        let state = tempfile::tempdir().unwrap();
        let usual = json!({});
        for (hour, outcome) in [(1, "failure"), (2, "success"), (3, "success"), (4, "warnings"), (5, "stopped")] {
            keep(state.path(), hour, outcome, &json!({}));
        }
        let tell = |hour| told(state.path(), hour, None, &usual);
        assert_eq!(tell(1), ("failure".to_owned(), 1));
        assert_eq!(tell(1), (String::new(), 0), "of the same run");
        assert_eq!(tell(2), ("recovery".to_owned(), 1));
        assert_eq!((tell(3).1, tell(4), tell(5).1), (0, ("warning".to_owned(), 1), 0));
        assert_eq!(told(state.path(), 3, None, &json!({ "on": ["success", "start"] })).0, "success");
        keep(state.path(), 6, "failure", &json!({}));
        keep(state.path(), 7, "warnings", &json!({}));
        assert_eq!(told(state.path(), 7, None, &json!({ "on": ["recovery"] })).0, "recovery", "even if it has warnings");
    }

    #[test]
    fn a_run_without_a_report_that_failed_is_followed_by_a_recovery() {
        let state = tempfile::tempdir().unwrap();
        assert_eq!(told(state.path(), 1, Some(Outcome::Status(203)), &json!({})).0, "failure");
        assert_eq!(told(state.path(), 2, Some(Outcome::Succeeded), &json!({})).0, "recovery");
        assert_eq!(told(state.path(), 3, Some(Outcome::Succeeded), &json!({})).0, "");
    }
}
