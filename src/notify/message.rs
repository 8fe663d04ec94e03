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
    /// The unit that ran it.
    pub unit: String,
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
        let unit = failure.unit.clone().unwrap_or_else(|| format!("hearth-backup-{job}.service"));
        let outcome = failure.outcome.clone();
        let title = match outcome {
            Outcome::Incomplete => format!("{host}: backup {job} is not complete"),
            _ => format!("{host}: backup {job} failed"),
        };
        let mut text = format!("Job {job} on host {host} {outcome}.\nUnit: {unit}\n");
        match journal.end_of(failure) {
            Ok(lines) => {
                text.push_str("\nThe end of its journal:\n");
                let room = LONGEST.saturating_sub(text.len());
                text.extend(last_that_fit(&lines, room).flat_map(|line| [line, "\n"]));
            }
            Err(why) => text.push_str(&format!("\nIts journal cannot be shown here ({why}); see: journalctl -u {unit}\n")),
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

    #[test]
    fn a_message_says_what_happened_where_and_why_there_is_no_journal() {
        let failure = Failure { outcome: Outcome::Signal("KILL".into()), ..Failure::default() };
        let message = Message::new("rex", "state", &failure, &Journal::default());
        assert_eq!(message.title, "rex: backup state failed");
        assert!(message.text.starts_with("Job state on host rex was ended by signal KILL.\nUnit: hearth-backup-state.service\n"));
        assert!(message.text.contains("(systemd did not say which run it was); see: journalctl -u hearth-backup-state.service"));
    }

    #[test]
    fn of_a_long_journal_the_last_lines_are_shown() {
        let lines: Vec<String> = (0..20).map(|number| format!("{number:03}")).collect();
        assert_eq!(last_that_fit(&lines, 9).collect::<Vec<_>>(), ["018", "019"]);
        assert_eq!(last_that_fit(&lines, 1000).count(), 20);
        assert_eq!(last_that_fit(&lines, 0).count(), 0);
    }
}
