//! What receivers are told.

use super::failure::{Failure, Outcome};
use super::journal::Journal;

/// Bytes of a text: ntfy makes an attachment of what has more than 4096.
const LONGEST: usize = 3800;

/// Whose run failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A job's, or that of what looks after its repositories.
    Job(String),
    /// A mirror's.
    Mirror(String),
    /// The hub's.
    Hub,
}

impl Subject {
    /// Its key in the configuration.
    pub fn key(&self) -> String {
        match self {
            Self::Job(name) => format!("jobs.{name}"),
            Self::Mirror(name) => format!("mirrors.{name}"),
            Self::Hub => "hub".to_owned(),
        }
    }

    /// The job, if it is one.
    pub fn job(&self) -> Option<&str> {
        match self {
            Self::Job(name) => Some(name),
            Self::Mirror(_) | Self::Hub => None,
        }
    }

    /// The mirror, if it is one.
    pub fn mirror(&self) -> Option<&str> {
        match self {
            Self::Job(_) | Self::Hub => None,
            Self::Mirror(name) => Some(name),
        }
    }

    /// The name, without `.service`, of the unit that does something for it, or with no `task` of the one that runs it.
    pub fn unit_for(&self, task: &str) -> String {
        match self {
            Self::Job(name) => format!("hearth-backup-{task}{name}"),
            Self::Mirror(name) => format!("hearth-backup-{task}mirror-{name}"),
            // What it does without anybody asking; its server does not end.
            Self::Hub => format!("hearth-backup-{task}hub{}", if task.is_empty() { "-maintain" } else { "" }),
        }
    }

    /// Its variable in the environment of a program, and the value; there is one hub only.
    pub(super) fn variable(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::Job(name) => Some(("HEARTH_JOB", name)),
            Self::Mirror(name) => Some(("HEARTH_MIRROR", name)),
            Self::Hub => None,
        }
    }

    /// What it is called at the beginning of a sentence, in its middle, and in a title.
    fn words(&self) -> (String, String, String) {
        match self {
            Self::Job(name) => (format!("Job {name}"), format!("job {name}"), format!("backup {name}")),
            Self::Mirror(name) => (format!("Mirror {name}"), format!("mirror {name}"), format!("mirror {name}")),
            Self::Hub => ("The hub".to_owned(), "the hub".to_owned(), "hub".to_owned()),
        }
    }
}

/// What receivers are told of a run that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Whose run it was.
    pub subject: Subject,
    /// The unit that failed, if systemd said which.
    pub unit: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// One line.
    pub title: String,
    /// All of it.
    pub text: String,
}

impl Message {
    /// What is to be said of a run, with the end of its journal.
    pub fn new(host: &str, subject: Subject, failure: &Failure, journal: &Journal) -> Self {
        let Failure { unit, outcome, .. } = failure.clone();
        let end = if outcome == Outcome::Incomplete { "is not complete" } else { "failed" };
        let own = format!("{}.service", subject.unit_for(""));
        let (start, middle, short) = subject.words();
        let others = if subject.job().is_some() { ", or what looks after its repositories," } else { "" };
        // A mirror that has all it can have, but of an original that is damaged.
        let also = if outcome == Outcome::Incomplete && subject.mirror().is_some() { ", or is not as it should be" } else { "" };
        let (title, mut text) = match &unit {
            Some(unit) if *unit == own => {
                (format!("{host}: {short} {end}"), format!("{start} on host {host} {outcome}{also}.\nUnit: {unit}\n"))
            }
            // It may run it by another name, or look after one of its repositories.
            Some(unit) => {
                let name = unit.strip_suffix(".service").unwrap_or(unit);
                let (end, more) = match outcome {
                    Outcome::Incomplete => ("ended with warnings", ", or is not as it should be"),
                    _ => ("failed", ""),
                };
                (format!("{host}: {name} {end}"), format!("{name} on host {host} {outcome}{more}.\nUnit: {unit}, told for {middle}\n"))
            }
            None => {
                let text = format!("{start} on host {host}{others} {outcome}.\n");
                (format!("{host}: {short} {end}"), text + "Unit: systemd did not say which; see: systemctl --failed\n")
            }
        };
        match journal.end_of(failure) {
            Ok(lines) => {
                text.push_str("\nThe end of its journal:\n");
                let room = LONGEST.saturating_sub(text.len());
                text.extend(last_that_fit(&lines, room).flat_map(|line| [line, "\n"]));
            }
            Err(why) => {
                let unit = unit.as_deref().unwrap_or("'hearth-backup*'");
                text.push_str(&format!("\nIts journal cannot be shown here ({why}); see: journalctl -u {unit}\n"));
            }
        }
        Self { subject, unit, outcome, title, text }
    }
}

/// The last lines that have room.
fn last_that_fit(lines: &[String], mut room: usize) -> impl Iterator<Item = &str> {
    let fitting = lines.iter().rev().take_while(|line| {
        let fits = line.len() < room;
        room = room.saturating_sub(line.len() + 1);
        fits
    });
    let first = lines.len() - fitting.count();
    lines.iter().skip(first).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(unit: Option<&str>, outcome: Outcome) -> Message {
        let failure = Failure { unit: unit.map(str::to_owned), outcome, ..Failure::default() };
        Message::new("rex", Subject::Job("state".into()), &failure, &Journal::default())
    }

    #[test]
    fn of_the_hub_it_is_said_what_failed() {
        let of = |unit: &str| {
            let failure = Failure { unit: Some(unit.to_owned()), outcome: Outcome::Failed, ..Failure::default() };
            Message::new("ursula", Subject::Hub, &failure, &Journal::default())
        };
        assert_eq!(of("hearth-backup-hub-maintain.service").title, "ursula: hub failed");
        let mirror = of("hearth-backup-hub-mirror-b2.service");
        assert_eq!(mirror.title, "ursula: hearth-backup-hub-mirror-b2 failed");
        assert!(mirror.text.contains("told for the hub"), "{}", mirror.text);
    }

    #[test]
    fn a_mirror_is_called_one() {
        let of = |unit: Option<&str>, outcome| {
            let failure = Failure { unit: unit.map(str::to_owned), outcome, ..Failure::default() };
            Message::new("rex", Subject::Mirror("usb".into()), &failure, &Journal::default())
        };
        let message = of(Some("hearth-backup-mirror-usb.service"), Outcome::Incomplete);
        assert_eq!(message.title, "rex: mirror usb is not complete");
        assert!(message.text.starts_with("Mirror usb on host rex finished, but something could not be read, or is not as it should be.\n"));
        let message = of(None, Outcome::Timeout);
        assert!(message.text.starts_with("Mirror usb on host rex took longer"), "{}", message.text);
    }

    #[test]
    fn a_message_says_what_happened_where_and_why_there_is_no_journal() {
        let message = of(Some("hearth-backup-state.service"), Outcome::Signal("KILL".into()));
        assert_eq!(message.title, "rex: backup state failed");
        assert!(message.text.starts_with("Job state on host rex was ended by signal KILL.\nUnit: hearth-backup-state.service\n"));
        assert!(message.text.contains("(systemd did not say which run it was); see: journalctl -u hearth-backup-state.service"));
    }

    #[test]
    fn a_unit_that_is_not_the_jobs_own_is_called_by_its_name_and_one_that_is_not_known_is_not_guessed() {
        let message = of(Some("hearth-backup-check-disk.service"), Outcome::Incomplete);
        assert_eq!(message.title, "rex: hearth-backup-check-disk ended with warnings");
        assert!(message.text.contains(" could not be read, or is not as it should be.\n"), "{}", message.text);
        assert!(message.text.contains("\nUnit: hearth-backup-check-disk.service, told for job state\n"), "{}", message.text);
        let message = of(None, Outcome::Failed);
        assert!(message.text.starts_with("Job state on host rex, or what looks after its repositories, failed.\n"), "{}", message.text);
        assert!(message.text.contains("systemctl --failed") && message.unit.is_none(), "{}", message.text);
    }

    #[test]
    fn of_a_long_journal_the_last_lines_are_shown() {
        let lines: Vec<String> = (0..20).map(|number| format!("{number:03}")).collect();
        assert_eq!(last_that_fit(&lines, 9).collect::<Vec<_>>(), ["018", "019"]);
        assert_eq!(last_that_fit(&lines, 1000).count(), 20);
        assert_eq!(last_that_fit(&lines, 0).count(), 0);
    }
}
