//! Numbers as people read them. All functions are pure; machine output uses plain numbers instead.

use std::time::Duration;

use jiff::Timestamp;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A number of things: `1 file`, `2 files`.
pub fn count(number: u64, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}

/// A size in bytes with one decimal of a power of 1024: `999 B`, `1.2 GiB`.
pub fn size(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let bytes = u128::from(bytes);
    let (mut tenths, mut unit) = (0, "");
    for (power, name) in (1..).zip(["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]) {
        let scale = 1_u128 << (10 * power);
        (tenths, unit) = ((bytes * 10 + scale / 2) / scale, name);
        if tenths < 10_240 {
            break;
        }
    }
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

/// How long something took, in its two largest units: `35 ms`, `3.2 s`, `4 min 10 s`, `2 h 5 min`, `3 d 4 h`.
pub fn duration(time: Duration) -> String {
    let millis = rounded(time.as_micros(), 1000);
    if millis < 1000 {
        return format!("{millis} ms");
    }
    let tenths = rounded(time.as_millis(), 100);
    if tenths < 600 {
        return format!("{}.{} s", tenths / 10, tenths % 10);
    }
    let seconds = time.as_secs().max(MINUTE);
    let (large, small) = match seconds {
        ..HOUR => ((MINUTE, "min"), (1, "s")),
        HOUR..DAY => ((HOUR, "h"), (MINUTE, "min")),
        DAY.. => ((DAY, "d"), (HOUR, "h")),
    };
    let rest = seconds % large.0 / small.0;
    let first = format!("{} {}", seconds / large.0, large.1);
    if rest == 0 { first } else { format!("{first} {rest} {}", small.1) }
}

/// The same of what is known in whole seconds: 0 is not nothing.
pub fn seconds(seconds: u64) -> String {
    if seconds == 0 { "under 1 s".to_owned() } else { duration(Duration::from_secs(seconds)) }
}

/// Bytes per second: `120.0 MiB/s`; `-` if no time has passed.
pub fn rate(bytes: u64, time: Duration) -> String {
    let per_second = (u128::from(bytes) * 1_000_000_000).checked_div(time.as_nanos());
    per_second.map_or_else(|| "-".to_owned(), |rate| format!("{}/s", size(u64::try_from(rate).unwrap_or(u64::MAX))))
}

/// How long ago something was: `just now` within a minute, `3 days ago`, `2 hours from now`. Months have 30 days here.
pub fn age(then: Timestamp, now: Timestamp) -> String {
    let elapsed = now.duration_since(then);
    let seconds = elapsed.as_secs().unsigned_abs();
    // From this age on, the length of the unit, its name.
    let units = [
        (365 * DAY, 365 * DAY, "year"),
        (60 * DAY, 30 * DAY, "month"),
        (2 * DAY, DAY, "day"),
        (HOUR, HOUR, "hour"),
        (MINUTE, MINUTE, "minute"),
    ];
    let unit = units.into_iter().find(|(from, ..)| seconds >= *from);
    let Some((_, length, unit)) = unit else {
        return "just now".to_owned();
    };
    let count = seconds / length;
    let plural = if count == 1 { "" } else { "s" };
    let side = if elapsed.is_negative() { "from now" } else { "ago" };
    format!("{count} {unit}{plural} {side}")
}

fn rounded(value: u128, unit: u128) -> u128 {
    (value + unit / 2) / unit
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use proptest::prelude::*;

    use super::*;
    use crate::model::size::parse_size;

    #[test]
    fn sizes_have_one_decimal() {
        for (bytes, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (1_048_524, "1023.9 KiB"),
            (1_048_525, "1.0 MiB"),
            (1_288_490_189, "1.2 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(size(bytes), expected);
        }
    }

    #[test]
    fn durations_have_their_two_largest_units() {
        for (millis, expected) in [
            (0, "0 ms"),
            (35, "35 ms"),
            (999, "999 ms"),
            (1000, "1.0 s"),
            (3249, "3.2 s"),
            (59_949, "59.9 s"),
            (59_950, "1 min"),
            (60_000, "1 min"),
            (250_000, "4 min 10 s"),
            (3_599_999, "59 min 59 s"),
            (7_500_000, "2 h 5 min"),
            (7_200_000, "2 h"),
            (273_600_000, "3 d 4 h"),
        ] {
            assert_eq!(duration(Duration::from_millis(millis)), expected, "{millis}");
        }
        assert_eq!(duration(Duration::from_micros(999_600)), "1.0 s");
    }

    #[test]
    fn rates_need_time() {
        assert_eq!(rate(120 << 20, Duration::from_secs(1)), "120.0 MiB/s");
        assert_eq!(rate(100, Duration::from_secs(3)), "33 B/s");
        assert_eq!(rate(0, Duration::from_secs(1)), "0 B/s");
        assert_eq!(rate(100, Duration::ZERO), "-");
        assert_eq!(rate(u64::MAX, Duration::from_nanos(1)), "16.0 EiB/s");
    }

    #[test]
    fn ages_have_one_unit() {
        let now: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
        for (seconds, expected) in [
            (0, "just now"),
            (59, "just now"),
            (-59, "just now"),
            (60, "1 minute ago"),
            (3599, "59 minutes ago"),
            (3600, "1 hour ago"),
            (47 * 3600, "47 hours ago"),
            (3 * 86400, "3 days ago"),
            (59 * 86400, "59 days ago"),
            (60 * 86400, "2 months ago"),
            (364 * 86400, "12 months ago"),
            (365 * 86400, "1 year ago"),
            (800 * 86400, "2 years ago"),
            (-7200, "2 hours from now"),
        ] {
            assert_eq!(age(now - SignedDuration::from_secs(seconds), now), expected, "{seconds}");
        }
        assert!(age(Timestamp::MIN, Timestamp::MAX).ends_with("years ago"));
    }

    proptest! {
        #[test]
        fn a_size_read_back_is_near(bytes: u64) {
            // The largest sizes round up to 2^64, which does not fit.
            if let Ok(back) = parse_size(&size(bytes)) {
                prop_assert!(back.abs_diff(bytes) <= bytes / 20);
            }
        }

        #[test]
        fn every_duration_and_rate_can_be_shown(bytes: u64, time: Duration) {
            prop_assert!(!duration(time).is_empty() && !rate(bytes, time).is_empty());
        }
    }
}
