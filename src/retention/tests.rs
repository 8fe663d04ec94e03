use std::collections::BTreeSet;

use jiff::SignedDuration;
use proptest::prelude::*;

use super::*;

const BERLIN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";
/// Until 2011 Newfoundland set its clocks back at 00:01, to the day before.
const ST_JOHNS: &str = "NST3:30NDT,M3.2.0/0:01,M11.1.0/0:01";

fn zone(posix: &str) -> TimeZone {
    TimeZone::posix(posix).unwrap()
}

fn candidate(number: usize, counted_at: Timestamp) -> Candidate {
    Candidate { id: SnapshotId::of(&number.to_le_bytes()), counted_at, pinned: false, trusted: true }
}

fn candidates(times: &[&str]) -> Vec<Candidate> {
    times.iter().enumerate().map(|(number, time)| candidate(number, time.parse().unwrap())).collect()
}

fn decide(policy: Policy, group: &[Candidate], zone: &TimeZone) -> Vec<Decision> {
    policy.decide(group, zone, Timestamp::MAX).unwrap()
}

/// What is kept of snapshots at these times, and why.
fn kept(policy: Policy, zone: &TimeZone, times: &[&str]) -> Vec<(String, String)> {
    let decisions = decide(policy, &candidates(times), zone);
    let line = |(time, decision): (&&str, Decision)| {
        let reasons: Vec<String> = decision.reasons.iter().map(Reason::to_string).collect();
        decision.keep.then(|| (time.to_string(), reasons.join("; ")))
    };
    times.iter().zip(decisions).filter_map(line).collect()
}

fn assert_kept(policy: Policy, zone: &TimeZone, table: &[(&str, &str)]) {
    let times: Vec<&str> = table.iter().map(|(time, _)| *time).collect();
    let expected: Vec<_> = table.iter().filter(|(_, why)| !why.is_empty()).map(|(time, why)| (time.to_string(), why.to_string())).collect();
    assert_eq!(kept(policy, zone, &times), expected);
}

const NONE: Policy = Policy { last: 0, hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0, within: None };

#[test]
fn each_day_keeps_its_first_and_its_last() {
    assert_kept(
        Policy { daily: 2, ..NONE },
        &TimeZone::UTC,
        &[
            ("2026-11-17T12:00:00Z", ""),
            ("2026-11-18T01:00:00Z", "daily 2026-11-18 (only)"),
            ("2026-11-20T00:00:00Z", "daily 2026-11-20 (first)"),
            ("2026-11-20T12:00:00Z", ""),
            ("2026-11-20T23:59:59Z", "daily 2026-11-20 (last)"),
        ],
    );
}

#[test]
fn weeks_months_and_years_have_their_own_first_and_last() {
    assert_kept(
        Policy { weekly: 2, monthly: 2, yearly: 2, ..NONE },
        &TimeZone::UTC,
        &[
            ("2024-06-01T03:00:00Z", ""),
            ("2025-02-01T03:00:00Z", "yearly 2025 (first)"),
            ("2025-11-30T03:00:00Z", ""),
            ("2025-12-01T03:00:00Z", "monthly 2025-12 (first)"),
            ("2025-12-28T03:00:00Z", ""),
            ("2025-12-29T03:00:00Z", "weekly 2026-W01 (first)"),
            ("2025-12-31T03:00:00Z", "monthly 2025-12 (last); yearly 2025 (last)"),
            ("2026-01-01T03:00:00Z", "monthly 2026-01 (first); yearly 2026 (first)"),
            ("2026-01-04T03:00:00Z", "weekly 2026-W01 (last)"),
            ("2026-01-05T03:00:00Z", "weekly 2026-W02 (only); monthly 2026-01 (last); yearly 2026 (last)"),
        ],
    );
}

#[test]
fn last_counts_a_burst_within_an_hour_once() {
    assert_kept(
        Policy { last: 3, ..NONE },
        &TimeZone::UTC,
        &[
            ("2026-11-17T03:00:00Z", ""),
            ("2026-11-18T03:00:00Z", "last, hour 2026-11-18 03:00 (only)"),
            ("2026-11-19T03:00:00Z", "last, hour 2026-11-19 03:00 (only)"),
            ("2026-11-20T03:00:00Z", "last, hour 2026-11-20 03:00 (first)"),
            ("2026-11-20T03:10:00Z", ""),
            ("2026-11-20T03:20:00Z", "last (3 of 3)"),
            ("2026-11-20T03:30:00Z", "last (2 of 3)"),
            ("2026-11-20T03:40:00Z", "last (1 of 3)"),
        ],
    );
}

#[test]
fn within_looks_back_from_the_newest_snapshot() {
    let policy = Policy { within: Some("2d".parse().unwrap()), ..NONE };
    assert_kept(
        policy,
        &TimeZone::UTC,
        &[
            ("2026-11-18T02:59:59Z", ""),
            ("2026-11-18T03:00:00Z", "within 2d"),
            ("2026-11-19T03:00:00Z", "within 2d"),
            ("2026-11-20T03:00:00Z", "within 2d"),
        ],
    );
    let group = candidates(&["2026-11-18T02:00:00Z", "2026-11-20T03:00:00Z"]);
    let earlier = policy.decide(&group, &TimeZone::UTC, "2026-11-20T01:00:00Z".parse().unwrap()).unwrap();
    assert!(earlier.iter().all(|decision| decision.keep), "a clock that is behind keeps more, not less");
}

#[test]
fn days_are_those_of_the_time_zone() {
    let times = ["2026-11-19T22:59:59Z", "2026-11-19T23:00:00Z", "2026-11-20T22:59:59Z"];
    let policy = Policy { daily: 1, ..NONE };
    assert_eq!(kept(policy, &zone(BERLIN), &times).len(), 2);
    assert_eq!(kept(policy, &TimeZone::UTC, &times), [(times[2].to_owned(), "daily 2026-11-20 (only)".to_owned())]);
}

#[test]
fn the_repeated_hour_in_autumn_is_two_hours() {
    assert_kept(
        Policy { hourly: 2, ..NONE },
        &zone(BERLIN),
        &[
            ("2026-10-24T23:30:00Z", ""),
            ("2026-10-25T00:30:00Z", "hourly 2026-10-25 02:00 (only)"),
            ("2026-10-25T01:30:00Z", "hourly 2026-10-25 02:00 (only)"),
        ],
    );
}

#[test]
fn a_day_that_returns_after_midnight_is_one_day() {
    assert_kept(
        Policy { daily: 2, ..NONE },
        &zone(ST_JOHNS),
        &[
            ("2010-11-06T12:00:00Z", "daily 2010-11-06 (first)"),
            ("2010-11-07T02:30:30Z", "daily 2010-11-07 (first)"),
            ("2010-11-07T02:40:00Z", ""),
            ("2010-11-07T03:00:00Z", "daily 2010-11-06 (last)"),
            ("2010-11-07T04:00:00Z", "daily 2010-11-07 (last)"),
        ],
    );
}

#[test]
fn pins_and_strangers_stay_and_only_strangers_do_not_count() {
    let mut group = candidates(&["2026-11-18T03:00:00Z", "2026-11-19T03:00:00Z", "2026-11-20T03:00:00Z", "2026-11-21T03:00:00Z"]);
    group[0].pinned = true;
    group[3].trusted = false;
    let decisions = decide(Policy { daily: 1, ..NONE }, &group, &TimeZone::UTC);
    let reasons: Vec<String> = decisions.iter().flat_map(|decision| &decision.reasons).map(Reason::to_string).collect();
    assert_eq!(reasons, ["pinned", "daily 2026-11-20 (only)", "unknown writer, left alone"]);
    assert!(!decisions[1].keep);
    assert_eq!(decisions.iter().map(|decision| decision.id).collect::<Vec<_>>(), group.iter().map(|of| of.id).collect::<Vec<_>>());
}

#[test]
fn a_policy_of_nothing_is_empty_and_refuses() {
    assert!(NONE.is_empty());
    assert!(Policy { within: Some(Span::ZERO), ..NONE }.is_empty());
    assert!(!Policy { yearly: 1, ..NONE }.is_empty());
    assert!(!Policy { within: Some(Span::days(1)), ..NONE }.is_empty());
    assert_eq!(NONE.decide(&[], &TimeZone::UTC, Timestamp::UNIX_EPOCH), Err(Guard::EmptyPolicy));
}

#[test]
fn two_years_of_daily_runs_keep_what_was_promised() {
    let policy = Policy { daily: 7, weekly: 4, monthly: 6, ..NONE };
    let start: Timestamp = "2024-01-01T00:20:00Z".parse().unwrap();
    let mut group = Vec::new();
    for hour in 0..2 * 365 * 24 {
        group.push(candidate(hour, start + SignedDuration::from_hours(hour as i64)));
        if hour % 24 == 23 {
            let decisions = decide(policy, &group, &TimeZone::UTC);
            group = group.into_iter().zip(decisions).filter(|(_, decision)| decision.keep).map(|(of, _)| of).collect();
        }
    }
    let days: BTreeSet<_> = group.iter().map(|of| TimeZone::UTC.to_datetime(of.counted_at).date().to_string()).collect();
    for day in
        ["2025-12-30", "2025-12-29", "2025-12-24", "2025-12-22", "2025-12-15", "2025-12-08", "2025-12-01", "2025-07-01", "2025-07-31"]
    {
        assert!(days.contains(day), "{day} is missing in {days:?}");
    }
    assert!(!days.contains("2025-06-30") && group.len() <= 2 * (7 + 4 + 6), "{days:?}");
}

/// A slow and simple judge: names every period by text, and looks at all pairs.
fn oracle(policy: Policy, group: &[Candidate], zone: &TimeZone, now: Timestamp) -> Vec<bool> {
    let counted: Vec<Candidate> = group.iter().filter(|of| of.trusted).copied().collect();
    let order = |of: &Candidate| (of.counted_at, of.id);
    let formats = [
        (policy.last, "%Y-%m-%d %H %z"),
        (policy.hourly, "%Y-%m-%d %H %z"),
        (policy.daily, "%Y-%m-%d"),
        (policy.weekly, "%G-%V"),
        (policy.monthly, "%Y-%m"),
        (policy.yearly, "%Y"),
    ];
    let edge = |of: &Candidate, count: u32, format: &str| {
        let name = |of: &Candidate| of.counted_at.to_zoned(zone.clone()).strftime(format).to_string();
        let peers: Vec<&Candidate> = counted.iter().filter(|peer| name(peer) == name(of)).collect();
        let newest = peers.iter().map(|peer| order(peer)).max().unwrap();
        let later: BTreeSet<String> = counted.iter().filter(|other| order(other) > newest).map(name).collect();
        let outermost = order(of) == newest || peers.iter().all(|peer| order(peer) >= order(of));
        outermost && later.len() < count as usize
    };
    let keep = |of: &Candidate| {
        let newer = counted.iter().filter(|other| order(other) > order(of)).count();
        let young = policy.within.filter(|span| !span.is_zero()).is_some_and(|span| {
            let newest = counted.iter().map(|of| of.counted_at).max().unwrap();
            of.counted_at >= span.before(newest.min(now), zone)
        });
        newer < policy.last as usize || young || formats.iter().any(|(count, format)| edge(of, *count, format))
    };
    group.iter().map(|of| !of.trusted || of.pinned || keep(of)).collect()
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let count = || prop_oneof![3 => Just(0_u32), 5 => 1..6_u32, 1 => Just(u32::MAX)];
    let within = prop::option::weighted(0.3, prop::sample::select(vec!["0", "5h", "3d", "2w", "1m", "1y"]));
    (count(), count(), count(), count(), count(), count(), within)
        .prop_map(|(last, hourly, daily, weekly, monthly, yearly, within)| {
            let within = within.map(|text| text.parse().unwrap());
            Policy { last, hourly, daily, weekly, monthly, yearly, within }
        })
        .prop_filter("keeps something", |policy| !policy.is_empty())
}

/// Groups at several densities, with equal times, around the days on which clocks change.
fn any_group() -> impl Strategy<Value = Vec<Candidate>> {
    let step = prop_oneof![Just(60_i64), Just(1200), Just(3600), Just(5 * 3600), Just(86_400), Just(20 * 86_400)];
    let one = (0..40_i64, prop::bool::weighted(0.1), prop::bool::weighted(0.9));
    let origin = prop::sample::select(vec!["2026-10-23T20:00:00Z", "2026-03-28T00:00:00Z", "2010-11-06T23:59:00Z", "2025-12-27T00:00:00Z"]);
    (origin, step, prop::collection::vec(one, 0..40)).prop_map(|(origin, step, all)| {
        let origin: Timestamp = origin.parse().unwrap();
        let build = |(number, (place, pinned, trusted))| Candidate {
            pinned,
            trusted,
            ..candidate(number, origin + SignedDuration::from_secs(step * place))
        };
        all.into_iter().enumerate().map(build).collect()
    })
}

fn any_zone() -> impl Strategy<Value = TimeZone> {
    prop::sample::select(vec!["UTC0", BERLIN, ST_JOHNS, "IST-5:30"]).prop_map(zone)
}

fn keeps(policy: Policy, group: &[Candidate], zone: &TimeZone) -> Vec<bool> {
    decide(policy, group, zone).iter().map(|decision| decision.keep).collect()
}

/// The items for which `wanted` is true.
fn only<T: Copy>(items: &[T], wanted: &[bool]) -> Vec<T> {
    items.iter().zip(wanted).filter(|(_, wanted)| **wanted).map(|(item, _)| *item).collect()
}

proptest! {
    #[test]
    fn decisions_agree_with_the_oracle(policy in any_policy(), group in any_group(), zone in any_zone(), back in 0..100_i64) {
        let newest = group.iter().map(|of| of.counted_at).max().unwrap_or_default();
        let now = newest + SignedDuration::from_hours(30 - back);
        let decisions = policy.decide(&group, &zone, now).unwrap();
        prop_assert!(decisions.iter().all(|decision| decision.keep != decision.reasons.is_empty()));
        let keeps: Vec<bool> = decisions.iter().map(|decision| decision.keep).collect();
        prop_assert_eq!(keeps, oracle(policy, &group, &zone, now));
    }

    #[test]
    fn a_second_run_forgets_nothing_more(policy in any_policy(), group in any_group(), zone in any_zone()) {
        let left = only(&group, &keeps(policy, &group, &zone));
        prop_assert!(keeps(policy, &left, &zone).iter().all(|keep| *keep));
    }

    #[test]
    fn the_newest_the_pinned_and_strangers_always_stay(policy in any_policy(), group in any_group(), zone in any_zone()) {
        let newest = group.iter().filter(|of| of.trusted).max_by_key(|of| (of.counted_at, of.id)).map(|of| of.id);
        for (of, keep) in group.iter().zip(keeps(policy, &group, &zone)) {
            prop_assert!(keep || !(of.pinned || !of.trusted || Some(of.id) == newest));
        }
    }

    #[test]
    fn strangers_change_nothing_for_the_others(policy in any_policy(), group in any_group(), zone in any_zone()) {
        let trusted: Vec<bool> = group.iter().map(|of| of.trusted).collect();
        let with_strangers = only(&keeps(policy, &group, &zone), &trusted);
        prop_assert_eq!(with_strangers, keeps(policy, &only(&group, &trusted), &zone));
    }

    #[test]
    fn the_order_of_the_input_does_not_matter(policy in any_policy(), group in any_group(), zone in any_zone()) {
        let turned: Vec<Candidate> = group.iter().rev().copied().collect();
        let mut expected = decide(policy, &group, &zone);
        expected.reverse();
        prop_assert_eq!(decide(policy, &turned, &zone), expected);
    }

    #[test]
    fn asking_for_more_never_forgets_more(policy in any_policy(), group in any_group(), zone in any_zone(), rule in 0..6, more in 1..5_u32) {
        let mut larger = policy;
        let field = [&mut larger.last, &mut larger.hourly, &mut larger.daily, &mut larger.weekly, &mut larger.monthly, &mut larger.yearly];
        for (index, count) in (0..).zip(field) {
            *count = if index == rule { count.saturating_add(more) } else { *count };
        }
        for (before, after) in keeps(policy, &group, &zone).iter().zip(keeps(larger, &group, &zone)) {
            prop_assert!(after || !before);
        }
    }

    #[test]
    fn a_flood_within_the_newest_hour_pushes_no_other_hour_out(
        policy in any_policy(), group in any_group(), zone in any_zone(), flood in 1..60_usize,
    ) {
        let policy = Policy { last: policy.last.max(1), within: None, ..policy };
        let hour = |of: &Candidate| Period::of(Unit::Hour, of.counted_at, &zone);
        let counted: Vec<Candidate> = group.iter().filter(|of| of.trusted).copied().collect();
        prop_assume!(!counted.is_empty());
        let newest = *counted.iter().max_by_key(|of| (of.counted_at, of.id)).unwrap();
        let forged = (0..flood).map(|number| candidate(1000 + number, newest.counted_at + SignedDuration::from_nanos(1 + number as i64)));
        let flooded: Vec<Candidate> = counted.iter().copied().chain(forged).collect();
        let after = keeps(policy, &flooded, &zone);
        for ((of, before), after) in counted.iter().zip(keeps(policy, &counted, &zone)).zip(after) {
            let alone = counted.iter().filter(|other| hour(other) == hour(of)).count() == 1;
            let first = counted.iter().all(|other| hour(other) != hour(of) || (of.counted_at, of.id) <= (other.counted_at, other.id));
            prop_assert!(after || !before || !(alone || hour(of) == hour(&newest) && first));
        }
    }
}
