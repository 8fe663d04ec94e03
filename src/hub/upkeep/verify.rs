//! Reading what is stored: each run takes the part whose turn has come, so that everything is read once in the configured time.
//!
//! The ids of packs lie on a circle. A run goes on where the last one ended, and as far as the time since then is a part of the
//! configured one, less a day: so that a run that comes a little late does not make a pack wait for longer than that.

use jiff::{SignedDuration, Timestamp};

use super::record::{Turn, Verified};
use super::{House, UpkeepOptions, problems};
use crate::config;
use crate::keep::{KeepError, check};
use crate::sealed::verify::{Report, Share};

/// In which time everything is read, unless the configuration says so.
const WITHIN: SignedDuration = SignedDuration::from_hours(30 * 24);
const DAY: SignedDuration = SignedDuration::from_hours(24);
/// Parts that are remembered.
const PARTS: usize = 1000;
/// Where the circle ends.
const CIRCLE: f64 = 18_446_744_073_709_551_616.0;

/// A part of the circle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Part {
    start: u64,
    /// From 0 to 1.
    share: f64,
    when: Timestamp,
}

/// In which time every byte shall be read once; zero if that is not wanted.
pub(in crate::hub) fn within(hub: &config::Hub) -> SignedDuration {
    hub.verify_within.and_then(|span| SignedDuration::try_from(span.0.to_duration().ok()?).ok()).unwrap_or(WITHIN)
}

/// Whether anything is read at all.
pub(super) fn is_wanted(options: &UpkeepOptions<'_>) -> bool {
    options.verify_all || !within(options.hub).is_zero()
}

/// The part whose turn has come.
pub(super) fn part(options: &UpkeepOptions<'_>, turn: &Turn, now: Timestamp) -> Part {
    let within = within(options.hub);
    let target = if within > DAY * 2 { within - DAY } else { within / 2 };
    let since = turn.parts.last().map_or(DAY, |(last, _)| now.duration_since(*last).max(SignedDuration::ZERO));
    let share = if options.verify_all { 1.0 } else { (since.as_secs_f64() / target.as_secs_f64().max(1.0)).min(1.0) };
    Part { start: turn.next, share, when: now }
}

impl Part {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of the circle, from 0 to 1")]
    fn width(&self) -> u128 {
        (self.share * CIRCLE).ceil() as u128
    }

    /// Where the next one begins.
    pub(super) fn after(&self, turn: &Turn) -> Turn {
        let mut parts = turn.parts.clone();
        parts.push((self.when, self.share));
        // Those of earlier rounds say nothing any more.
        let (mut kept, mut round) = (0, 0.0);
        for (_, share) in parts.iter().rev().take(PARTS) {
            if round >= 1.0 {
                break;
            }
            (kept, round) = (kept + 1, round + share);
        }
        parts.drain(..parts.len() - kept);
        let width = u64::try_from(self.width() % (1 << 64)).unwrap_or_default();
        Turn { next: self.start.wrapping_add(width), parts }
    }
}

/// Looks whether all is there, and reads the part.
pub(super) fn verify(house: &House<'_>, part: &Part) -> Result<Report, KeepError> {
    check::check(&house.repository, Some(Share::Arc { start: part.start, width: part.width() }), house.monitor)
}

/// What is written down of it.
pub(super) fn summary(report: &Report, turn: Turn) -> (Verified, Vec<String>) {
    let found = problems(report);
    let verified = Verified { read: report.counts.bytes_read, stored: report.counts.pack_bytes, errors: found.len() as u64, turn };
    (verified, found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Credentials, Hub};
    use crate::store::Access;

    fn options(hub: &Hub, verify_all: bool) -> UpkeepOptions<'_> {
        UpkeepOptions {
            hub,
            credentials: Credentials { directory: None, service: String::new() },
            access: Access::default(),
            only: Vec::new(),
            repositories: Vec::new(),
            mirrors: Vec::new(),
            dry_run: false,
            accept_clock: false,
            max_forget: None,
            verify_all,
            remake_mirrors: false,
        }
    }

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(hour * 3600).unwrap()
    }

    #[test]
    fn daily_runs_that_jitter_read_every_place_within_the_configured_time() {
        let hub = Hub::at("/hub".into());
        let options = options(&hub, false);
        let (mut turn, mut now) = (Turn::default(), 0);
        for run in 0..120 {
            now += if run % 2 == 0 { 21 } else { 27 };
            turn = part(&options, &turn, at(now)).after(&turn);
            if now > 31 * 24 {
                let since = turn.whole_since().unwrap();
                assert!(at(now).duration_since(since) <= WITHIN, "run {run}: {since}");
            }
        }
        assert!(turn.parts.len() < 40, "earlier rounds are forgotten");
    }

    #[test]
    fn a_machine_that_was_off_makes_up_for_it_and_a_full_run_begins_a_new_round() {
        let hub = Hub::at("/hub".into());
        let first = part(&options(&hub, false), &Turn::default(), at(0)).after(&Turn::default());
        assert!((first.progress() - 1.0 / 29.0).abs() < 1e-6);
        let late = part(&options(&hub, false), &first, at(24 * 200));
        assert!((late.share - 1.0).abs() < f64::EPSILON && late.width() == 1 << 64);
        let all = part(&options(&hub, true), &first, at(1)).after(&first);
        assert_eq!((all.whole_since(), all.next, all.parts.len()), (Some(at(1)), first.next, 1));
    }

    #[test]
    fn a_clock_that_went_back_reads_the_next_pack_only() {
        let hub = Hub::at("/hub".into());
        let turn = part(&options(&hub, false), &Turn::default(), at(100)).after(&Turn::default());
        assert_eq!(part(&options(&hub, false), &turn, at(50)).width(), 0);
    }
}
