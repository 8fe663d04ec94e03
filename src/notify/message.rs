//! What receivers are told: a line, a few more, figures, and the end of the log.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use super::ending::Outcome;
use super::run::Run;
use super::subject::Subject;
use crate::config::Occasion;
use crate::model::human;
use crate::model::report::{Kind, Report};

/// Warnings that are listed; the log has all.
const WARNINGS: usize = 5;
/// Letters of a warning and of an error that are told.
const WIDTH: usize = 500;

/// What receivers are told.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// What it is about.
    pub subject: Subject,
    /// What became of the run.
    pub occasion: Occasion,
    /// The machine.
    pub host: String,
    /// The unit, if one is known.
    pub unit: Option<String>,
    /// How the run ended, in one word for programs.
    pub result: &'static str,
    /// One line.
    pub title: String,
    /// What happened, why, and what to do: some lines.
    pub(super) head: String,
    /// What the end of the log is called, and its lines.
    pub(super) log: Option<(&'static str, Vec<String>)>,
    /// Exit status of the run, if it had one.
    pub(super) exit_status: Option<u8>,
    /// Why it failed, in one line.
    pub(super) error: Option<String>,
    /// What the run said of itself.
    pub(super) report: Option<Report>,
}

impl Message {
    /// That a run begins.
    pub fn start(host: &str, subject: Subject, unit: Option<String>) -> Self {
        let (start, _, short) = subject.words();
        let head = format!("{start} on host {host} begins.\n{}", unit_line(unit.as_deref(), &subject));
        let title = format!("{host}: {short} begins");
        Self { title, head, ..Self::empty(host, subject, Occasion::Start, unit, "running") }
    }

    /// That nothing happened: somebody tries whether messages arrive.
    pub fn test(host: &str, subject: Subject, occasion: Occasion) -> Self {
        let (_, middle, _) = subject.words();
        let word = occasion.as_str();
        let head = format!(
            "Somebody on host {host} tries whether messages about {middle} arrive (hearth-backup notify --test). Nothing has happened.\n\
             This one looks as one of kind `{word}` does.\n"
        );
        let log = Some(("The end of a log would stand here:", vec!["a line".to_owned(), "another line".to_owned()]));
        let title = format!("{host}: test of messages about {middle}");
        Self { title, head, log, ..Self::empty(host, subject, occasion, None, "test") }
    }

    /// Something that no run is the reason of: a line, and some more.
    pub fn news(host: &str, subject: Subject, occasion: Occasion, title: &str, lines: &[String]) -> Self {
        let head = lines.iter().map(|line| super::journal::plain(line).chars().take(WIDTH).chain(['\n']).collect::<String>()).collect();
        let result = if occasion == Occasion::Recovery { "recovery" } else { "news" };
        Self { title: format!("{host}: {}", super::journal::plain(title)), head, ..Self::empty(host, subject, occasion, None, result) }
    }

    /// What became of a run.
    pub fn end(host: &str, subject: Subject, run: &Run, occasion: Occasion) -> Self {
        let report = run.report.as_ref();
        let unit = run.unit.clone();
        let own = unit.as_ref().is_none_or(|unit| subject.is_run_by(unit));
        let (start, middle, short) = subject.words();
        // It may run it by another name, or look after one of its repositories.
        let (start, short) = match unit.as_deref().filter(|_| !own) {
            Some(unit) => {
                let name = unit.strip_suffix(".service").unwrap_or(unit);
                (name.to_owned(), name.to_owned())
            }
            // If it is not even known which one ended, it is not guessed.
            None if !run.by_itself && unit.is_none() && report.is_none() && subject.kind() == "job" => {
                (format!("{start}, or what looks after its repositories,"), short)
            }
            None => (start, short),
        };
        let ended = match occasion {
            Occasion::Recovery => "works again".to_owned(),
            Occasion::Warning => "finished with warnings".to_owned(),
            Occasion::Success | Occasion::Start => "succeeded".to_owned(),
            Occasion::Failure if run.outcome == Outcome::Damage => "found damage".to_owned(),
            Occasion::Failure => "failed".to_owned(),
        };
        let mut lines = vec![sentence(&start, host, run, occasion)];
        lines.extend(since(run, occasion));
        lines.extend(report.and_then(took));
        let error = report
            .and_then(|report| report.error.as_deref())
            .map(|error| super::journal::plain(error).chars().take(WIDTH).collect::<String>());
        lines.extend(error.as_ref().filter(|_| !run.outcome.is_good()).map(|error| format!("Why: {error}")));
        lines.extend(report.map(figures).filter(|figures| !figures.is_empty()));
        lines.extend(report.map(suspicions).filter(|suspicions| !suspicions.is_empty()));
        lines.extend(report.map(warnings).filter(|warnings| !warnings.is_empty()));
        lines.extend(advice(&subject, run, occasion));
        lines.extend(report.and_then(|report| report.next).map(|next| format!("Next run: {}", moment(next))));
        let mut head = lines.join("\n") + "\n";
        match &unit {
            Some(unit) if !own => head.push_str(&format!("Unit: {unit}, told for {middle}\n")),
            None if report.is_none() && !run.by_itself => head.push_str("Unit: systemd did not say which; see: systemctl --failed\n"),
            unit => head.push_str(&unit_line(unit.as_deref(), &subject)),
        }
        let log = match &run.log {
            Ok(lines) => Some(("The end of its log:", lines.clone())),
            Err(why) => {
                let unit = unit.as_deref().unwrap_or("'hearth-backup*'");
                if occasion == Occasion::Failure || report.is_none() {
                    head.push_str(&format!("\nIts log cannot be shown here ({why}); see: journalctl -u {unit}\n"));
                }
                None
            }
        };
        let exit_status = report.and_then(|report| report.exit_status).filter(|_| !run.outcome.is_good()).or_else(|| run.outcome.status());
        Self {
            title: format!("{host}: {short} {ended}"),
            head,
            log,
            exit_status,
            error,
            report: run.report.clone(),
            ..Self::empty(host, subject, occasion, unit, run.outcome.word())
        }
    }

    fn empty(host: &str, subject: Subject, occasion: Occasion, unit: Option<String>, result: &'static str) -> Self {
        Self {
            subject,
            occasion,
            host: host.to_owned(),
            unit,
            result,
            title: String::new(),
            head: String::new(),
            log: None,
            exit_status: None,
            error: None,
            report: None,
        }
    }

    /// All of it in at most so many bytes: the end of the log as far as there is room.
    pub fn text(&self, most: usize) -> String {
        let mut text = self.head.clone();
        if text.len() > most {
            text.truncate(text.floor_char_boundary(most.saturating_sub("…\n".len())));
            text.push_str("…\n");
        }
        if let Some((title, lines)) = &self.log {
            let room = most.saturating_sub(text.len() + title.len() + 2);
            let lines: Vec<&str> = last_that_fit(lines, room).collect();
            if !lines.is_empty() {
                text.push_str(&format!("\n{title}\n"));
                text.extend(lines.into_iter().flat_map(|line| [line, "\n"]));
            }
        }
        text
    }

    /// What happened, in one line.
    pub(super) fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    /// What [`crate::config::PLACEHOLDERS`] stand for, but the text and the whole; null is what is not known.
    pub(super) fn values(&self) -> Map<String, Value> {
        let report = self.report.as_ref();
        let sum = |figure: fn(&crate::model::report::RepositoryRun) -> u64| {
            report.map(|report| report.repositories.iter().map(figure).sum::<u64>())
        };
        let most = |figure: fn(&crate::model::report::RepositoryRun) -> u64| {
            report.and_then(|report| report.repositories.iter().map(figure).max())
        };
        let values = json!({
            "bytes": most(|run| run.bytes),
            "bytes_added": sum(|run| run.bytes_added),
            "bytes_read": most(|run| run.bytes_read),
            "bytes_stored": sum(|run| run.bytes_stored),
            "ended": report.and_then(|report| report.ended),
            "error": self.error,
            "event": self.occasion.as_str(),
            "exit_status": self.exit_status,
            "files": most(|run| run.files),
            "host": self.host,
            "kind": self.subject.kind(),
            "name": self.subject.name(),
            "next": report.and_then(|report| report.next),
            "outcome": self.result,
            "run": report.map(|report| report.id.as_str()),
            "seconds": self.duration().map(|time| time.as_secs()),
            "started": report.map(|report| report.started),
            "title": self.title,
            "unit": self.unit,
            "warnings": report.map(|report| report.warning_count),
        });
        match values {
            Value::Object(values) => values,
            _ => Map::new(),
        }
    }

    /// How long the run took.
    pub(super) fn duration(&self) -> Option<Duration> {
        self.report.as_ref().and_then(Report::duration)
    }
}

/// `Job state on host rex failed.`
fn sentence(start: &str, host: &str, run: &Run, occasion: Occasion) -> String {
    let warnings = run.report.as_ref().map_or(0, |report| report.warning_count);
    let ended = match (occasion, &run.outcome) {
        (Occasion::Recovery, Outcome::Incomplete) => "works again, with warnings".to_owned(),
        (Occasion::Recovery, _) => "works again".to_owned(),
        (_, Outcome::Incomplete) if warnings > 0 => format!("finished with {}", counted(warnings, "warning")),
        (_, outcome) => outcome.to_string(),
    };
    format!("{start} on host {host} {ended}.")
}

/// How things were before.
fn since(run: &Run, occasion: Occasion) -> Option<String> {
    let before = &run.before;
    let last = before.last_good.map(|good| format!("; the last run that was good ended {}", moment(good))).unwrap_or_default();
    let failures = counted(before.failures as u64, "run");
    match (occasion, before.failing_since) {
        (Occasion::Failure, None) => before.last_good.map(|good| format!("The run before was good; it ended {}.", moment(good))),
        (Occasion::Failure, Some(since)) => {
            Some(format!("It has been failing since {} ({failures} before this one){last}.", moment(since)))
        }
        (_, Some(since)) if run.outcome.is_good() => Some(format!("It had failed since {} ({failures}){last}.", moment(since))),
        _ => None,
    }
}

/// `Began 2026-11-22 02:00 UTC, took 4 min 10 s`
fn took(report: &Report) -> Option<String> {
    let time = report.duration()?;
    Some(format!("Began {}, took {}.", moment(report.started), human::duration(time)))
}

/// What a run did, in figures of its kind.
fn figures(report: &Report) -> String {
    let of_repository = |run: &crate::model::report::RepositoryRun| {
        let failed = run
            .error
            .as_ref()
            .filter(|_| report.repositories.len() > 1)
            .map(|error| format!("{}: {}", run.outcome, super::journal::plain(error)));
        let done = || {
            let (files, bytes, stored) = (counted(run.files, "file"), human::size(run.bytes), human::size(run.bytes_stored));
            format!("{files}, {bytes}; {stored} added")
        };
        match (report.kind, failed) {
            (_, Some(failed)) => Some(format!("{}: {failed}", run.name)),
            (Kind::Backup, None) if run.outcome.is_success() => Some(format!("{}: {}", run.name, done())),
            _ => None,
        }
    };
    let mut lines: Vec<String> = report.repositories.iter().filter_map(of_repository).collect();
    let counts = report.counts.iter().filter(|(_, count)| **count > 0).map(|(name, count)| match name.strip_prefix("bytes_") {
        Some(name) => format!("{} {}", human::size(*count), name.replace('_', " ")),
        None => format!("{}: {count}", name.replace('_', " ")),
    });
    let counts: Vec<String> = counts.collect();
    if !counts.is_empty() {
        lines.push(counts.join(", "));
    }
    lines.join("\n")
}

/// What looks suspicious in the snapshots.
fn suspicions(report: &Report) -> String {
    let of_repository = |there: &crate::model::report::RepositoryRun| {
        let texts = there.anomalies.iter().map(|anomaly| format!("Suspicious in {}: {}", there.name, super::journal::plain(&anomaly.text)));
        texts.collect::<Vec<_>>()
    };
    report.repositories.iter().flat_map(of_repository).collect::<Vec<_>>().join("\n")
}

fn warnings(report: &Report) -> String {
    let told = report.warnings.iter().take(WARNINGS);
    let mut lines: Vec<String> = told.map(|warning| format!("- {}", super::journal::plain(warning))).collect();
    let more = report.warning_count.saturating_sub(lines.len() as u64);
    if lines.is_empty() {
        return String::new();
    }
    lines.insert(0, by_source(report));
    if more > 0 {
        lines.push(format!("- and {more} more"));
    }
    lines.join("\n")
}

/// `Warnings (3 of /srv, 1 of postgresql database app):`
fn by_source(report: &Report) -> String {
    let sources: Vec<String> = report
        .warnings_by_source
        .iter()
        .take(WARNINGS)
        .map(|of| format!("{} of {}", of.warnings, super::journal::plain(&of.source)))
        .collect();
    if sources.len() < 2 { "Warnings:".to_owned() } else { format!("Warnings ({}):", sources.join(", ")) }
}

/// What to do about it.
fn advice(subject: &Subject, run: &Run, occasion: Occasion) -> Option<String> {
    if occasion != Occasion::Failure {
        return None;
    }
    let again = match &run.unit {
        Some(unit) => format!("To try again: systemctl start {unit}"),
        None => format!("To try again: {}", subject.command()),
    };
    Some(match &run.outcome {
        Outcome::Timeout => {
            format!("It goes on where it ended; if it needs more time, raise limits.time (TimeoutStartSec= of the unit). {again}")
        }
        Outcome::Memory => format!("Raise limits.memory (MemoryMax= of the unit), or lower limits.threads. {again}"),
        Outcome::Status(number) if NOT_STARTED.contains(number) => {
            let unit = run.unit.as_deref().unwrap_or("the unit");
            format!("systemctl status {unit} says what keeps it from being started. {again}")
        }
        Outcome::Vanished => format!("Nothing that was stored is lost. {again}"),
        _ => again,
    })
}

/// Exit statuses by which systemd says that it did not get so far as to run the program.
const NOT_STARTED: std::ops::RangeInclusive<i32> = 200..=243;

fn unit_line(unit: Option<&str>, subject: &Subject) -> String {
    match unit {
        Some(unit) => format!("Unit: {unit}\n"),
        None => format!("Started by hand or by a program: {}\n", subject.command()),
    }
}

/// A time as people here read it.
fn moment(time: Timestamp) -> String {
    time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M %Z").to_string()
}

fn counted(number: u64, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
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
pub(super) mod tests;
