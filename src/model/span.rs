//! Spans of time as people write them: `24h`, `30d`, `2w`, `6m`, `1y6m`.
//!
//! Months and years follow the calendar, and a day is as long as the clocks of the time zone make it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// No part of a span exceeds 1000 years, which keeps all arithmetic within bounds.
const MAX_MONTHS: u64 = 1000 * 12;
const MAX_DAYS: u64 = 1000 * 365;

/// A span of time into the past: months, then days, then seconds; each part at most 1000 years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Span {
    months: u32,
    days: u32,
    seconds: u64,
}

/// Text that is not a span of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a duration: {problem}; write for example `24h`, `30d`, `2w`, `6m` (months), `1y6m`, `15min` or `90s`")]
pub struct SpanError {
    text: String,
    problem: String,
}

impl SpanError {
    fn new(text: impl fmt::Display, problem: impl Into<String>) -> Self {
        Self { text: text.to_string().chars().take(80).collect(), problem: problem.into() }
    }
}

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self { months: 0, days: 0, seconds: 0 };

    /// So many days, at most 365,000.
    pub const fn days(days: u32) -> Self {
        Self { months: 0, days: if days as u64 > MAX_DAYS { MAX_DAYS as u32 } else { days }, seconds: 0 }
    }

    /// Whether it is no time at all.
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }

    /// The moment that lies so long before `moment` by the calendar and the clocks of `zone`, or the earliest there is.
    pub fn before(&self, moment: Timestamp, zone: &TimeZone) -> Timestamp {
        let span = jiff::Span::new().try_months(self.months).and_then(|span| span.try_days(self.days));
        // Out of bounds is impossible; the earliest moment would be right for it.
        let Ok(span) = span.and_then(|span| span.try_seconds(i64::try_from(self.seconds).unwrap_or(i64::MAX))) else {
            return Timestamp::MIN;
        };
        moment.to_zoned(zone.clone()).saturating_sub(span).timestamp()
    }

    /// The same as a fixed time, with days of 24 hours.
    ///
    /// # Errors
    /// If it has months or years, whose length depends on the calendar.
    pub fn to_duration(&self) -> Result<Duration, SpanError> {
        if self.months > 0 {
            let problem = "months and years differ in length, and a fixed time is needed here (`m` means months, `min` minutes)";
            return Err(SpanError::new(self, problem));
        }
        Ok(Duration::from_secs(u64::from(self.days) * DAY + self.seconds))
    }

    /// Adds one part such as `6m`; `None` if it becomes too long.
    fn plus(self, count: u64, unit: Unit) -> Option<Self> {
        let Span { months, days, seconds } = self;
        let more = |sum: u64, scale: u64, limit: u64| sum.checked_add(count.checked_mul(scale)?).filter(|sum| *sum <= limit);
        let small = |value: u64| u32::try_from(value).ok();
        Some(match unit {
            Unit::Year => Span { months: small(more(months.into(), 12, MAX_MONTHS)?)?, ..self },
            Unit::Month => Span { months: small(more(months.into(), 1, MAX_MONTHS)?)?, ..self },
            Unit::Week => Span { days: small(more(days.into(), 7, MAX_DAYS)?)?, ..self },
            Unit::Day => Span { days: small(more(days.into(), 1, MAX_DAYS)?)?, ..self },
            Unit::Hour => Span { seconds: more(seconds, HOUR, MAX_DAYS * DAY)?, ..self },
            Unit::Minute => Span { seconds: more(seconds, MINUTE, MAX_DAYS * DAY)?, ..self },
            Unit::Second => Span { seconds: more(seconds, 1, MAX_DAYS * DAY)?, ..self },
        })
    }
}

/// Units from long to short, the order in which they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Unit {
    Year,
    Month,
    Week,
    Day,
    Hour,
    Minute,
    Second,
}

impl Unit {
    fn from_word(word: &str) -> Result<Self, String> {
        Ok(match word {
            "y" | "year" | "years" => Unit::Year,
            "m" | "mo" | "month" | "months" => Unit::Month,
            "w" | "week" | "weeks" => Unit::Week,
            "d" | "day" | "days" => Unit::Day,
            "h" | "hour" | "hours" => Unit::Hour,
            "min" | "minute" | "minutes" => Unit::Minute,
            "s" | "sec" | "second" | "seconds" => Unit::Second,
            "" => return Err("a number has no unit".to_owned()),
            _ => return Err(format!("there is no unit `{word}`")),
        })
    }
}

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        parse(text.trim()).map_err(|problem| SpanError::new(text, problem))
    }
}

fn parse(text: &str) -> Result<Span, String> {
    if text == "0" {
        return Ok(Span::ZERO);
    }
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    let (mut span, mut last, mut rest) = (Span::ZERO, None, text);
    while !rest.is_empty() {
        let (digits, after) = split(rest, |c| c.is_ascii_digit());
        let (word, after) = split(after.trim_start(), |c| !c.is_ascii_digit() && !c.is_whitespace());
        if digits.is_empty() {
            return Err(format!("a whole number is missing before `{word}`"));
        }
        let unit = Unit::from_word(word)?;
        if last.is_some_and(|last| last >= unit) {
            return Err(format!("`{word}` comes after a unit that is not longer"));
        }
        let count = digits.parse().ok();
        span = count.and_then(|count| span.plus(count, unit)).ok_or("it is longer than 1000 years")?;
        (last, rest) = (Some(unit), after.trim_start());
    }
    Ok(span)
}

/// Splits before the first character that is not `wanted`.
pub(super) fn split(text: &str, wanted: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !wanted(c)).unwrap_or(text.len()))
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_zero() {
            return f.write_str("0");
        }
        let (weeks, days) = if self.days.is_multiple_of(7) { (self.days / 7, 0) } else { (0, self.days) };
        let parts = [
            (u64::from(self.months / 12), "y"),
            (u64::from(self.months % 12), "m"),
            (u64::from(weeks), "w"),
            (u64::from(days), "d"),
            (self.seconds / HOUR, "h"),
            (self.seconds % HOUR / MINUTE, "min"),
            (self.seconds % MINUTE, "s"),
        ];
        parts.iter().filter(|(count, _)| *count > 0).try_for_each(|(count, unit)| write!(f, "{count}{unit}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn span(text: &str) -> Span {
        text.parse().unwrap()
    }

    fn before(moment: &str, text: &str, zone: &str) -> String {
        let zone = TimeZone::posix(zone).unwrap();
        span(text).before(moment.parse().unwrap(), &zone).to_string()
    }

    #[test]
    fn spans_are_read_as_people_write_them() {
        for (text, expected) in [
            ("0", "0"),
            ("0d", "0"),
            ("24h", "24h"),
            ("30d", "30d"),
            ("14d", "2w"),
            ("2w", "2w"),
            ("6m", "6m"),
            ("18m", "1y6m"),
            ("1y6m", "1y6m"),
            (" 1y 6m ", "1y6m"),
            ("2 weeks 1 day", "15d"),
            ("90s", "1min30s"),
            ("15min", "15min"),
            ("1000y", "1000y"),
        ] {
            assert_eq!(span(text).to_string(), expected, "{text}");
        }
    }

    #[test]
    fn errors_say_what_was_wrong_and_give_an_example() {
        for (text, problem) in [
            ("", "empty"),
            ("30", "no unit"),
            ("1d 30", "no unit"),
            ("h", "missing before `h`"),
            ("-3d", "missing before `-`"),
            ("1.5d", "no unit `.`"),
            ("3x", "no unit `x`"),
            ("6M", "no unit `M`"),
            ("1d1y", "not longer"),
            ("1d2d", "not longer"),
            ("1001y", "1000 years"),
            ("99999999999999999999d", "1000 years"),
            ("9999999999999999999y", "1000 years"),
            ("999y999m", "1000 years"),
        ] {
            let error = text.parse::<Span>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{text}` is not a duration")), "{error}");
            assert!(error.contains(problem) && error.contains("`30d`"), "{error}");
        }
    }

    #[test]
    fn months_and_years_follow_the_calendar() {
        assert_eq!(before("2026-03-31T12:00:00Z", "1m", "UTC0"), "2026-02-28T12:00:00Z");
        assert_eq!(before("2024-02-29T12:00:00Z", "1y", "UTC0"), "2023-02-28T12:00:00Z");
        assert_eq!(before("2026-11-20T00:00:00Z", "1y6m2d", "UTC0"), "2025-05-18T00:00:00Z");
    }

    #[test]
    fn days_follow_the_clocks_and_hours_do_not() {
        let berlin = "CET-1CEST,M3.5.0,M10.5.0/3";
        assert_eq!(before("2026-03-29T12:00:00Z", "1d", berlin), "2026-03-28T13:00:00Z");
        assert_eq!(before("2026-03-29T12:00:00Z", "24h", berlin), "2026-03-28T12:00:00Z");
    }

    #[test]
    fn before_the_beginning_is_the_beginning() {
        assert_eq!(span("1000y").before(Timestamp::MIN, &TimeZone::UTC), Timestamp::MIN);
    }

    #[test]
    fn a_fixed_time_has_no_months() {
        assert_eq!(span("2d3h").to_duration().unwrap(), Duration::from_secs(51 * 3600));
        assert_eq!(Span::days(3).to_duration().unwrap(), Duration::from_secs(72 * 3600));
        assert_eq!(Span::days(u32::MAX).to_string(), "365000d");
        let error = span("5m").to_duration().unwrap_err().to_string();
        assert!(error.contains("`5m`") && error.contains("`min` minutes"), "{error}");
    }

    proptest! {
        #[test]
        fn spans_read_back_from_their_text(months in 0..12_000u32, days in 0..365_000u32, seconds in 0..1_000_000_000u64) {
            let span = Span { months, days, seconds };
            prop_assert_eq!(span.to_string().parse::<Span>().unwrap(), span);
        }

        #[test]
        fn any_text_gives_a_span_or_an_error(text in "[0-9a-z .-]{0,12}|\\PC{0,12}") {
            if let Ok(span) = text.parse::<Span>() {
                prop_assert!(span.before(Timestamp::UNIX_EPOCH, &TimeZone::UTC) <= Timestamp::UNIX_EPOCH);
            }
        }
    }
}
