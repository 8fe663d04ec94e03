//! What receivers are told.

use super::failure::{Failure, Outcome};
use super::journal::Journal;

/// Bytes of a text: ntfy makes an attachment of what has more than 4096.
const LONGEST: usize = 3800;

/// What receivers are told of a run that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The job.
    pub job: String,
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
    pub fn new(host: &str, job: &str, failure: &Failure, journal: &Journal) -> Self {
        let Failure { unit, outcome, .. } = failure.clone();
        let end = if outcome == Outcome::Incomplete { "is not complete" } else { "failed" };
        let own = format!("hearth-backup-{job}.service");
        let (title, mut text) = match &unit {
            Some(unit) if *unit == own => {
                (format!("{host}: backup {job} {end}"), format!("Job {job} on host {host} {outcome}.\nUnit: {unit}\n"))
            }
            // It may run the job, or look after one of its repositories.
            Some(unit) => {
                let name = unit.strip_suffix(".service").unwrap_or(unit);
                let (end, more) = match outcome {
                    Outcome::Incomplete => ("ended with warnings", ", or is not as it should be"),
                    _ => ("failed", ""),
                };
                (format!("{host}: {name} {end}"), format!("{name} on host {host} {outcome}{more}.\nUnit: {unit}, told for job {job}\n"))
            }
            None => {
                let text = format!("Job {job} on host {host}, or what looks after its repositories, {outcome}.\n");
                (format!("{host}: backup {job} {end}"), text + "Unit: systemd did not say which; see: systemctl --failed\n")
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
        Self { job: job.to_owned(), unit, outcome, title, text }
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
        Message::new("rex", "state", &failure, &Journal::default())
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
