//! Buckets behind bad networks and at servers that are not as they should be: what comes back is what was saved, and what
//! cannot go on says why and goes on later.
//!
//! `HEARTH_NETWORK_SEED` breaks the requests of a failure again, as far as their order is the same.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod bucket;
mod cli_common;
#[path = "bucket/cloud.rs"]
mod cloud;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bucket::proxy::{Fate, Proxy, Weather};
use bucket::{Refusal, Server, location};
use cloud::{Cloud, noise};

/// Requests that must have been broken before a network counts as survived.
const ENOUGH: u64 = 8;

fn seed() -> u64 {
    let given = std::env::var("HEARTH_NETWORK_SEED").ok().map(|text| text.parse().unwrap());
    let seed = given.unwrap_or_else(|| u64::from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos()));
    // The harness shows it if the test fails.
    println!("HEARTH_NETWORK_SEED={seed}");
    seed
}

/// Backs up, checks and restores through a network and without it; the same comes out.
fn survives(weather: Weather) {
    let weather = Weather { seed: seed(), ..weather };
    let server = Server::start();
    let proxy = Proxy::in_weather(server.address(), weather);
    let cloud = Cloud::at(location(proxy.address(), "hosts/bench"));
    let clear = Cloud::at(server.location("hosts/undisturbed"));
    let large = noise(1, 2_500_000);
    for cloud in [&cloud, &clear] {
        cloud.ends(&["init"], 0);
        cloud.bench.write("source/large", &large);
    }
    let mut rounds = 0;
    while rounds == 0 || weather.share > 0 && proxy.counts().1 < ENOUGH {
        rounds += 1;
        assert!(rounds < 50, "the network is too good: {:?}", proxy.counts());
        let reports = [&cloud, &clear].map(|cloud| {
            cloud.bench.write(&format!("source/{rounds}"), &noise(rounds, 5000));
            cloud.backup()
        });
        let [disturbed, clear] = reports.each_ref().map(|report| &report["statistics"]);
        for count in ["files", "bytes", "files_read", "bytes_read"] {
            assert_eq!(disturbed[count], clear[count], "{count} of {disturbed}");
        }
        cloud.restores_the_source(&format!("out{rounds}"));
    }
    cloud.is_sound();
    // What arrived is sound without the network, too.
    cloud.ends(&["check", "--read-data", "--key", "hearth-restore.key", "--repo", &server.location("hosts/bench")], 0);
}

#[test]
fn a_slow_network_changes_nothing() {
    survives(Weather { latency: Duration::from_millis(20), ..Weather::default() });
}

#[test]
fn a_narrow_network_changes_nothing() {
    survives(Weather { bandwidth: 2_000_000, ..Weather::default() });
}

#[test]
fn connections_that_break_change_nothing() {
    survives(Weather { share: 8, fates: &[Fate::Reset, Fate::Lost], ..Weather::default() });
}

#[test]
fn answers_that_end_early_change_nothing() {
    survives(Weather { share: 6, fates: &[Fate::Cut], ..Weather::default() });
}

#[test]
fn a_server_that_is_overloaded_now_and_then_changes_nothing() {
    survives(Weather { share: 5, burst: true, fates: &[Fate::Busy], ..Weather::default() });
}

#[test]
fn one_request_of_twenty_may_fail() {
    survives(Weather { share: 20, ..Weather::default() });
}

/// What the server answers when a key was deleted.
const REVOKED: Refusal = Refusal("InvalidAccessKeyId", "The key is not known.", 403);

#[test]
fn a_key_that_is_revoked_half_way_costs_nothing_that_was_stored() {
    let server = Server::start();
    let cloud = Cloud::with_repository(&server);
    // Two packs and a bit.
    cloud.bench.write("source/large", &noise(1, 140 << 20));
    server.refuse_after(2, REVOKED);
    let error = cloud.backup_fails();
    assert!(error.contains("the server does not know this access key id; check the credentials"), "{error}");
    assert!(error.contains("403 InvalidAccessKeyId"), "{error}");
    assert!(server.files().join("hosts/bench/packs").exists(), "nothing was stored before");
    server.relent();
    let stored = cloud.backup()["statistics"]["bytes_stored"].as_u64().unwrap();
    assert!(stored < 80 << 20, "{stored} bytes were stored again");
    cloud.is_sound();
    cloud.restores_the_source("out");
}

#[test]
fn what_a_server_refuses_is_told_with_what_to_do() {
    let server = Server::start();
    let cloud = Cloud::with_repository(&server);
    for (refusal, advice) in [
        (REVOKED, "the server does not know this access key"),
        (Refusal("ExpiredToken", "The provided token has expired.", 400), "the credentials have expired; bring new ones"),
        (Refusal("RequestTimeTooSkewed", "The difference is too large.", 403), "the clock of this machine is wrong; set it"),
        (Refusal("AccessDenied", "Access Denied.", 403), "the credentials do not permit this"),
        (Refusal("InsufficientStorage", "The disk is full.", 507), "no space left; free some or raise the quota"),
        (Refusal("NoSuchBucket", "It is gone.", 404), "there is no such bucket"),
    ] {
        for puts in [0, 1] {
            server.refuse_after(puts, refusal);
            cloud.bench.write("source/new", format!("{advice} {puts}").as_bytes());
            let error = cloud.backup_fails();
            assert!(error.contains(advice) && error.contains(&format!("{} {}", refusal.2, refusal.0)), "{puts}: {error}");
            server.relent();
        }
        cloud.backup();
    }
    cloud.is_sound();
    cloud.restores_the_source("out");
}

#[test]
fn a_read_only_bucket_is_told_and_can_be_restored_from() {
    let server = Server::start();
    let cloud = Cloud::with_repository(&server);
    cloud.backup();
    server.set_read_only(true);
    cloud.is_sound();
    cloud.restores_the_source("out");
    cloud.ends(&["forget", "latest", "--dry-run"], 0);
    let error = cloud.fails(&["forget", "latest"]);
    assert!(error.contains("403 AccessDenied"), "{error}");
}

#[test]
fn a_server_that_ignores_conditions_replaces_nothing_that_counts() {
    let server = Server::ignoring_conditions();
    let cloud = Cloud::with_repository(&server);
    cloud.backup();
    let error = cloud.fails(&["init", "--writer-key", "w", "--restore-key", "r"]);
    assert!(error.contains("holds a repository already"), "{error}");
    cloud.bench.write("source/new", b"new");
    cloud.backup();
    cloud.is_sound();
    cloud.restores_the_source("out");
}

#[test]
fn listings_that_lag_hide_and_show_nothing_for_good() {
    const LAG: Duration = Duration::from_secs(1);
    let server = Server::lagging(LAG);
    let cloud = Cloud::at(format!("{}&listingLag={}", server.location("hosts/bench"), LAG.as_secs()));
    cloud.ends(&["init"], 0);
    let mut last = String::new();
    for round in 1..=3 {
        cloud.bench.write("source/large", &noise(round, 200_000));
        last = cloud.backup()["snapshot"].as_str().unwrap().to_owned();
        // A run that does not see the one before warns that it was taken away.
        server.settle();
    }
    let first = cloud.json(&["snapshots"])["snapshots"][0]["id"].as_str().unwrap().to_owned();
    assert_ne!(first, last);
    cloud.ends(&["forget", &first], 0);
    cloud.ends(&["prune", "--grace", "0"], 0);
    cloud.ends(&["restore", &last, "--key", "hearth-restore.key", "--target", "out", "--verify"], 0);
    cloud.holds_the_source("out", "source");
    server.settle();
    cloud.is_sound();
    assert_eq!(cloud.json(&["snapshots"])["snapshots"].as_array().unwrap().len(), 2);
}
