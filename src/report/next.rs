//! When a job is due again: as the configuration says, else as the timer that starts it does.
//!
//! While the service of a timer runs, systemd has no next time for it yet. So the timer's calendar is read, and `systemd-analyze` says when that comes next.

use std::io;
use std::time::Duration;

use jiff::Timestamp;

use crate::config::TimeSpan;
use crate::model::report::NextBy;
use crate::source::command::Program;

/// Bytes of an answer that are read.
const ANSWER: u64 = 1 << 16;
/// What is asked of a timer.
const PROPERTIES: [&str; 4] = ["NextElapseUSecRealtime", "TimersCalendar", "RandomizedDelayUSec", "AccuracyUSec"];
/// Calendars of a timer that are looked at.
const CALENDARS: usize = 16;

/// By how often the configuration says; none if that is no time at all.
pub(super) fn by_configuration(started: Timestamp, every: TimeSpan) -> Option<(Timestamp, NextBy)> {
    let every = every.0.to_duration().ok().filter(|every| !every.is_zero())?;
    Some((started.checked_add(every).ok()?, NextBy::Every))
}

/// By the first of some timers of systemd that is there and knows.
pub(super) fn by_timers(timers: &[String]) -> Option<(Timestamp, NextBy)> {
    timers.iter().find_map(|timer| by_timer(timer))
}

/// The timer called as the service in which this process runs: its unit may be called as anybody likes.
pub(super) fn own_timer() -> Option<String> {
    timer_of(&std::fs::read_to_string("/proc/self/cgroup").ok()?)
}

/// From the lines of `/proc/self/cgroup` (cgroups(7)), of which the last part may be a service.
fn timer_of(groups: &str) -> Option<String> {
    let mut services = groups.lines().filter_map(|line| line.rsplit('/').next()?.strip_suffix(".service"));
    services.next_back().filter(|service| !service.is_empty()).map(|service| format!("{service}.timer"))
}

/// By a timer of systemd; none if there is no such timer, or no systemd.
fn by_timer(timer: &str) -> Option<(Timestamp, NextBy)> {
    let properties = PROPERTIES.map(|name| format!("--property={name}"));
    let asked: Vec<&str> =
        ["systemctl", "show", "--timestamp=unix"].into_iter().chain(properties.iter().map(String::as_str)).chain([timer]).collect();
    let answer = output(&asked).ok()?;
    let value = |name: &str| answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let now = Timestamp::now();
    let next = value("NextElapseUSecRealtime").and_then(unix).filter(|next| *next > now);
    let next = next.or_else(|| {
        let calendars = answer.lines().filter_map(|line| calendar(line.strip_prefix("TimersCalendar=")?));
        // It may come later by chance, and is called late only after that.
        let later = ["RandomizedDelayUSec", "AccuracyUSec"].into_iter().filter_map(value).filter_map(span).sum::<Duration>();
        calendars.take(CALENDARS).filter_map(elapses).min().and_then(|next| next.checked_add(later).ok())
    });
    Some((next?, NextBy::Timer))
}

fn output(command: &[&str]) -> io::Result<String> {
    Program::new(command.iter().map(|&word| word.to_owned()).collect()).output(ANSWER)
}

/// A time as systemctl shows it: `1h 30min`. Weeks and months are more than anybody puts off a backup by.
fn span(text: &str) -> Option<Duration> {
    let units = [("d", 86_400.0), ("h", 3600.0), ("min", 60.0), ("ms", 0.001), ("us", 0.000_001), ("s", 1.0)];
    let part = |part: &str| {
        let (unit, seconds) = units.into_iter().find(|(unit, _)| part.ends_with(unit))?;
        Duration::try_from_secs_f64(part.strip_suffix(unit)?.parse::<f64>().ok()? * seconds).ok()
    };
    text.split_whitespace().map(part).sum()
}

/// A time as `--timestamp=unix` has it: `@1764000000`.
fn unix(text: &str) -> Option<Timestamp> {
    Timestamp::from_second(text.trim().strip_prefix('@')?.parse().ok().filter(|seconds| *seconds > 0)?).ok()
}

/// The expression in `{ OnCalendar=*-*-* 02:00:00 ; next_elapse=... }`.
fn calendar(value: &str) -> Option<&str> {
    let expression = value.trim().strip_prefix('{')?.trim_start().strip_prefix("OnCalendar=")?;
    expression.split(" ; ").next().map(str::trim).filter(|expression| !expression.is_empty() && !expression.starts_with('-'))
}

/// When a calendar's time comes next.
fn elapses(calendar: &str) -> Option<Timestamp> {
    let answer = output(&["systemd-analyze", "calendar", "--iterations=1", calendar]).ok()?;
    utc(&answer)
}

/// The line `(in UTC): Mon 2026-11-23 02:00:00 UTC`, else `Next elapse: Mon 2026-11-23 02:00:00 UTC`, which is there alone where the clock is UTC.
fn utc(answer: &str) -> Option<Timestamp> {
    let after = |name: &str| answer.lines().find_map(|line| line.trim().strip_prefix(name)).map(str::trim);
    let time = after("(in UTC):").or_else(|| after("Next elapse:"))?.strip_suffix(" UTC")?;
    let (_, time) = time.split_once(' ')?;
    format!("{}Z", time.replace(' ', "T")).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_added_to_the_start() {
        let started = "2026-11-20T02:00:00Z".parse().unwrap();
        let every = |text: &str| by_configuration(started, TimeSpan(text.parse().unwrap())).map(|(next, _)| next.to_string());
        assert_eq!(every("24h").as_deref(), Some("2026-11-21T02:00:00Z"));
        assert_eq!((every("0"), every("1m")), (None, None));
    }

    #[test]
    fn the_timer_of_a_service_is_called_as_the_service() {
        let group = "0::/system.slice/system-nightly.slice/nightly@state.service\n";
        assert_eq!(timer_of(group).as_deref(), Some("nightly@state.timer"));
        assert_eq!((timer_of("0::/user.slice/user-0.slice/session-1.scope\n"), timer_of(""), timer_of("0::/.service")), (None, None, None));
    }

    #[test]
    fn what_systemd_says_is_read() {
        assert_eq!(unix("@1764000000").unwrap().to_string(), "2025-11-24T16:00:00Z");
        assert_eq!((unix(""), unix("@0"), unix("n/a")), (None, None, None));
        let seconds = |text| span(text).map(|span| span.as_secs_f64());
        assert_eq!(
            [seconds("1h 30min"), seconds("15min"), seconds("1min"), seconds("2d 500ms"), seconds("0")].map(Option::unwrap_or_default),
            [5400.0, 900.0, 60.0, 172_800.5, 0.0]
        );
        assert_eq!((seconds("infinity"), seconds("1month")), (None, None));
        let line = "{ OnCalendar=*-*-* 02:00:00 ; next_elapse=Mon 2026-11-23 02:00:00 UTC }";
        assert_eq!(calendar(line), Some("*-*-* 02:00:00"));
        assert_eq!(calendar("{ OnUnitActiveUSec=1h ; next_elapse=0 }"), None);
        let berlin = "  Original form: 02:00\nNormalized form: *-*-* 02:00:00\n    Next elapse: Mon 2026-11-23 02:00:00 CET\n       (in UTC): Mon 2026-11-23 01:00:00 UTC\n       From now: 9h left\n";
        assert_eq!(utc(berlin).unwrap().to_string(), "2026-11-23T01:00:00Z");
        let london = "    Next elapse: Mon 2026-11-23 02:00:00 UTC\n       From now: 9h left\n";
        assert_eq!(utc(london).unwrap().to_string(), "2026-11-23T02:00:00Z");
        assert_eq!((utc(""), utc("Next elapse: never"), utc("Next elapse: Mon 2026-99-23 02:00:00 UTC")), (None, None, None));
    }
}
