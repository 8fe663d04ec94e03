//! The time of day in which a job may run: outside of it nothing is done, and at its end a run stops as it does for a signal. The
//! next one continues from what is stored.

use std::sync::atomic::{AtomicBool, Ordering};

use jiff::civil::Time;
use jiff::{Timestamp, ToSpan as _, Zoned};

use crate::config::Window;
use crate::model::event::{Event, Monitor};

/// When the window that holds `now` ends; none if none does.
pub(super) fn end(window: &Window, now: &Zoned) -> Option<Timestamp> {
    let (from, to, time) = (window.from.0, window.to.0, now.time());
    let around_midnight = from > to;
    let inside = if around_midnight { time >= from || time < to } else { time >= from && time < to };
    let tomorrow = around_midnight && time >= from;
    let day = if tomorrow { now.date().checked_add(1.day()).ok()? } else { now.date() };
    // A time that is left out or comes twice, as clocks are put forward or back, is taken as jiff takes it.
    let end = at(to, day, now)?;
    inside.then_some(end)
}

fn at(time: Time, day: jiff::civil::Date, like: &Zoned) -> Option<Timestamp> {
    day.to_datetime(time).to_zoned(like.time_zone().clone()).ok().map(|moment| moment.timestamp())
}

/// A monitor that asks the run to stop at a moment.
pub(super) struct Until<'a> {
    monitor: &'a dyn Monitor,
    end: Option<Timestamp>,
    clock: &'a (dyn Fn() -> Zoned + Sync),
    ended: AtomicBool,
}

impl<'a> Until<'a> {
    /// Passes everything on to `monitor`; never asks to stop by itself if there is no end.
    pub(super) fn new(monitor: &'a dyn Monitor, end: Option<Timestamp>, clock: &'a (dyn Fn() -> Zoned + Sync)) -> Self {
        Self { monitor, end, clock, ended: AtomicBool::new(false) }
    }

    /// Whether it has asked the run to stop.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }
}

impl Monitor for Until<'_> {
    fn event(&self, event: Event) {
        self.monitor.event(event);
    }

    fn cancelled(&self) -> bool {
        if self.monitor.cancelled() {
            return true;
        }
        if self.end.is_some_and(|end| (self.clock)().timestamp() >= end) {
            self.ended.store(true, Ordering::Relaxed);
        }
        self.has_ended()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::Silent;
    use std::sync::Mutex;

    fn window(from: &str, to: &str) -> Window {
        Window { from: from.parse().unwrap(), to: to.parse().unwrap() }
    }

    fn utc(moment: &str) -> Zoned {
        moment.parse::<Timestamp>().unwrap().to_zoned(jiff::tz::TimeZone::UTC)
    }

    fn ends(window: &Window, now: &str) -> Option<String> {
        end(window, &utc(now)).map(|end| end.to_string())
    }

    #[test]
    fn a_window_lies_within_a_day_or_around_midnight() {
        let day = window("08:00", "17:30");
        assert_eq!(ends(&day, "2026-11-21T07:59:59Z"), None);
        assert_eq!(ends(&day, "2026-11-21T08:00:00Z").unwrap(), "2026-11-21T17:30:00Z");
        assert_eq!(ends(&day, "2026-11-21T17:30:00Z"), None);
        let night = window("22:00", "06:00");
        assert_eq!(ends(&night, "2026-11-21T21:59:00Z"), None);
        assert_eq!(ends(&night, "2026-11-21T22:00:00Z").unwrap(), "2026-11-22T06:00:00Z");
        assert_eq!(ends(&night, "2026-11-22T05:59:00Z").unwrap(), "2026-11-22T06:00:00Z");
        assert_eq!(ends(&night, "2026-11-22T06:00:00Z"), None);
    }

    #[test]
    fn a_window_follows_the_clock_when_it_is_put_forward() {
        // In Berlin 02:00 became 03:00 that night: seven hours, not eight.
        let zone = jiff::tz::TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let now = "2026-03-28T21:00:00Z".parse::<Timestamp>().unwrap().to_zoned(zone);
        assert_eq!(end(&window("22:00", "06:00"), &now).unwrap().to_string(), "2026-03-29T04:00:00Z");
    }

    #[test]
    fn a_run_is_asked_to_stop_when_its_window_ends_and_not_before() {
        let now = Mutex::new(utc("2026-11-21T23:00:00Z"));
        let clock = || now.lock().unwrap().clone();
        let until = Until::new(&Silent, end(&window("22:00", "06:00"), &clock()), &clock);
        assert!(!until.cancelled() && !until.has_ended());
        *now.lock().unwrap() = utc("2026-11-22T05:59:59Z");
        assert!(!until.cancelled());
        *now.lock().unwrap() = utc("2026-11-22T06:00:00Z");
        assert!(until.cancelled() && until.has_ended());
        assert!(!Until::new(&Silent, None, &clock).cancelled(), "without a window there is no end");
    }
}
