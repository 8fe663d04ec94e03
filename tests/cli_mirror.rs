//! Mirrors by the real program: made, brought up to date, restored from, with rules of their own, and repaired from.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod cli_common;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use cli_common::{Bench, tree};
use serde_json::{Value, json};

const DAY: u64 = 86_400;
const TO: [&str; 3] = ["mirror", "--to", "copy"];

fn mirror(bench: &Bench, more: &[&str]) -> Value {
    bench.json(&[&TO, more].concat())
}

/// The ids of the snapshots in a repository, oldest first.
fn snapshots(bench: &Bench, repository: &str) -> Vec<String> {
    let list = bench.json(&["snapshots", "--repo", repository]);
    list["snapshots"].as_array().unwrap().iter().map(|snapshot| snapshot["id"].as_str().unwrap().to_owned()).collect()
}

fn ids(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect()
}

/// A repository with so many snapshots of a growing source, a day apart, the last of yesterday.
fn days(count: u64) -> (Bench, Vec<String>) {
    let bench = Bench::with_repository();
    let made = |day: u64| {
        bench.write(&format!("source/day-{day}"), &noise(day));
        bench.backup(&[])["snapshot"].as_str().unwrap().to_owned()
    };
    let ids: Vec<String> = (0..count).map(made).collect();
    for (id, age) in ids.iter().rev().zip(1..) {
        let time = SystemTime::now() - Duration::from_secs(age * DAY);
        fs::File::options().write(true).open(bench.path(format!("repo/snapshots/{id}"))).unwrap().set_modified(time).unwrap();
    }
    (bench, ids)
}

fn noise(seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; 100_000];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

#[test]
fn a_mirror_is_checked_and_restored_from_like_the_original() {
    let (bench, made) = days(3);
    let (said, _) = bench.ends(&TO, 0);
    assert!(said.contains("Made a mirror of") && said.contains("3 snapshots"), "{said}");
    assert_eq!(snapshots(&bench, "copy"), made);
    let report = bench.json(&["check", "--repo", "copy", "--read-packs"]);
    assert_eq!(report["clean"], true, "{report}");
    for folder in ["packs", "index", "refs", "snapshots", "commits", "keys", "repo"] {
        assert!(tree(&bench.path("repo").join(folder)) == tree(&bench.path("copy").join(folder)), "{folder}");
    }
    fs::rename(bench.path("repo"), bench.path("burnt")).unwrap();
    bench.ok(&["restore", "latest", "--repo", "copy", "--key", "hearth-restore.key", "--target", "back", "--verify"]);
    assert!(tree(&bench.path("back").join(bench.source().trim_start_matches('/'))) == tree(&bench.path("source")));
}

#[test]
fn later_runs_bring_what_is_new_and_end_what_was_interrupted() {
    let (bench, made) = days(2);
    assert_eq!(ids(&mirror(&bench, &[])["snapshots"]), made);
    let again = mirror(&bench, &["--verify"]);
    assert_eq!((&again["packs"], &again["bytes"], &again["created"]), (&json!(0), &json!(0), &json!(false)));
    assert_eq!((&again["verify"]["outcome"], &again["verify"]["clean"]), (&json!("done"), &json!(true)), "{again}");
    bench.write("source/new", &noise(77));
    let new = bench.backup(&[])["snapshot"].as_str().unwrap().to_owned();
    assert_eq!(ids(&mirror(&bench, &[])["snapshots"]), [new.as_str()]);
    // As a run leaves it that is killed before the end.
    for folder in ["received", "commits"] {
        fs::remove_file(bench.path(format!("copy/{folder}/{new}"))).unwrap();
    }
    assert_eq!(ids(&mirror(&bench, &[])["snapshots"]), [new.as_str()]);
    let (said, _) = bench.ends(&TO, 0);
    assert!(said.contains("has all that it shall have"), "{said}");
}

#[test]
fn a_mirror_keeps_other_snapshots_than_the_original() {
    let (bench, made) = days(5);
    // What its rules would not keep is not brought.
    let report = mirror(&bench, &["--keep-daily", "2"]);
    assert_eq!(ids(&report["snapshots"]), made[3..]);
    assert_eq!(report["passed_over"], 3);
    // What the original forgets stays.
    bench.ok(&["forget", &made[3]]);
    assert_eq!(mirror(&bench, &["--keep-daily", "2"])["forget"]["forgotten"], json!([]));
    assert_eq!(snapshots(&bench, "copy"), made[3..]);
    // What the mirror forgets does not come back, by its rules or by hand.
    bench.ok(&["forget", "--repo", "copy", &made[4]]);
    let report = mirror(&bench, &["--prune"]);
    assert_eq!((&report["forgotten_before"], &report["prune"]["outcome"]), (&json!(1), &json!("done")), "{report}");
    assert_eq!(ids(&report["snapshots"]), made[..3], "without rules the mirror gets all");
    let left = [&made[..3], &made[3..4]].concat();
    assert_eq!(snapshots(&bench, "copy"), left);
    let report = mirror(&bench, &["--keep-last", "1"]);
    assert_eq!(ids(&report["forget"]["forgotten"]), left[..3], "{report}");
    assert_eq!(mirror(&bench, &[])["forgotten_before"], 4);
    assert_eq!(snapshots(&bench, "copy"), made[3..4]);
    assert_eq!(bench.json(&["check", "--repo", "copy", "--read-packs"])["clean"], true);
}

#[test]
fn an_original_is_not_thinned_out_by_the_rules_of_a_mirror() {
    let (bench, made) = days(3);
    mirror(&bench, &[]);
    for more in [["--prune"].as_slice(), &["--prune", "--dry-run"]] {
        let swapped = [&["mirror", "--from", "copy", "--to", "repo", "--keep-last", "1", "--max-forget", "100"], more].concat();
        let said = bench.fails(&swapped, 1);
        assert!(said.contains("is no mirror yet") && said.contains("--from") && said.contains("forget --repo"), "{said}");
    }
    assert_eq!(bench.snapshots(), made);
    bench.json(&["mirror", "--from", "copy", "--to", "repo", "--keep-daily", "9"]);
    mirror(&bench, &["--keep-last", "1", "--max-forget", "100"]);
    assert_eq!(snapshots(&bench, "copy"), made[2..]);
}

#[test]
fn a_share_to_be_read_back_is_given_with_or_without_a_sign() {
    let (bench, _) = days(1);
    for share in [["--verify=10"].as_slice(), &["--verify", "10"], &["--verify"]] {
        assert_eq!(mirror(&bench, share)["verify"]["outcome"], "done");
    }
    bench.ok(&["check", "--read-packs", "10"]);
    bench.ok(&["repair", "--from", "copy", "--read-packs", "10", "--dry-run"]);
    let said = bench.fails(&[&TO[..], &["--verify", "110%"]].concat(), 2);
    assert!(said.contains("from 0 to 100") && !said.contains("next word"), "{said}");
}

#[test]
fn a_word_that_is_taken_for_a_share_is_told_apart() {
    let bench = Bench::with_repository();
    let said = bench.fails(&["mirror", "--verify", "cloud"], 2);
    assert!(said.contains("from 0 to 100") && said.contains("`--verify=100 cloud`, or `cloud --verify`"), "{said}");
    for command in [["check"].as_slice(), &["repair", "--from", "copy"]] {
        let said = bench.fails(&[command, &["--read-packs", "a repo"]].concat(), 2);
        assert!(said.contains("`--read-packs=100`") && said.contains("`--repo 'a repo'`"), "{said}");
    }
}

#[test]
fn a_dry_run_says_what_would_be_copied_and_changes_nothing() {
    let (bench, made) = days(2);
    let report = mirror(&bench, &["--dry-run", "--keep-last", "1"]);
    assert!(!bench.path("copy").exists());
    assert_eq!((&report["wanted"], &report["passed_over"]), (&json!(1), &json!(1)));
    assert!(report["estimate"]["bytes"].as_u64().unwrap() > 200_000, "{report}");
    mirror(&bench, &[]);
    let before = tree(&bench.path("copy"));
    let (said, _) = bench.ends(&[&TO[..], &["--dry-run", "--keep-last", "1", "--prune"]].concat(), 0);
    for wanted in ["nothing was copied", "1 to be forgotten", &made[0][..8], "Would copy  0 snapshots"] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    assert!(tree(&bench.path("copy")) == before);
}

#[test]
fn wrong_places_are_refused() {
    let (bench, _) = days(1);
    let said = bench.fails(&["mirror", "--to", "repo"], 1);
    assert!(said.contains("place of its own"), "{said}");
    let init = ["init", "--repo", "other", "--writer-key", "o.key", "--restore-key", "r.key"];
    bench.ok(&init);
    let said = bench.fails(&["mirror", "--to", "other"], 1);
    assert!(said.contains("was expected"), "{said}");
    let said = bench.fails(&["mirror", "--to", "source"], 1);
    assert!(said.contains("source"), "{said}");
    let said = bench.fails(&["mirror", "--to", "repo/below"], 1);
    assert!(said.contains("lies in the repository at") && !bench.path("repo/below").exists(), "{said}");
    bench.fails(&["mirror"], 2);
    let another = bench.json(&["snapshots", "--repo", "other", "--trust-new-repository"])["repository"].as_str().unwrap().to_owned();
    let said = bench.fails(&["mirror", "--to", &format!("copy#{another}")], 1);
    assert!(said.contains("another repository than the one to be copied") && !bench.path("copy").exists(), "{said}");
    // A disk that is not mounted is no empty place.
    mirror(&bench, &[]);
    fs::rename(bench.path("copy"), bench.path("elsewhere")).unwrap();
    let said = bench.fails(&TO, 1);
    assert!(said.contains("when this machine looked last") && !bench.path("copy").exists(), "{said}");
    assert!(said.contains("copy is empty or not there") && !said.contains("init"), "nothing new shall be made: {said}");
    mirror(&bench, &["--trust-new-repository"]);
}

#[test]
fn damage_at_the_source_is_not_copied_and_gives_exit_code_3() {
    let (bench, made) = days(2);
    let pack = largest_pack(&bench, "repo");
    flip(&bench, &pack);
    let report = bench.json_ends(&TO, 3);
    assert!(!report["failed"].as_array().unwrap().is_empty(), "{report}");
    let (_, told) = bench.ends(&TO, 3);
    assert!(told.contains("do not match its name") && told.contains("it is not copied"), "{told}");
    flip(&bench, &pack);
    mirror(&bench, &[]);
    assert_eq!(snapshots(&bench, "copy"), made);
}

#[test]
fn an_older_state_of_the_source_is_noticed() {
    let (bench, _) = days(1);
    let state = |name: &str| bench.path(name);
    std::process::Command::new("cp").args(["-a", "repo", "older"]).current_dir(state("")).status().unwrap();
    bench.backup(&[]);
    mirror(&bench, &[]);
    // Another machine, as this one has seen the newer state itself.
    let said = ["mirror", "--from", "older", "--to", "copy", "--keep-last", "1", "--state", "fresh", "--trust-new-repository"];
    let report = bench.json_ends(&said, 3);
    assert_eq!((&report["rolled_back"], &report["forget"]["outcome"]), (&json!(true), &json!("skipped")), "{report}");
    assert_eq!(snapshots(&bench, "copy").len(), 2);
    bench.ok(&["key", "add-writer", "second", "--writer-key", "second.key", "--key", "hearth-restore.key"]);
    mirror(&bench, &[]);
    let told = bench.fails(&said, 1);
    assert!(told.contains("statement") && told.contains("older state"), "{told}");
}

#[test]
fn a_mirror_of_the_configuration_follows_it() {
    let (bench, made) = days(4);
    let config = |mirror: Value| {
        let repositories = json!({
            "hub": { "url": bench.path("repo"), "writerKey": bench.path("hearth-writer.key") },
            "cloud": { "url": bench.path("copy"), "prune": { "grace": "0" } },
        });
        let config =
            json!({ "stateDir": bench.path("own-state"), "repositories": repositories, "jobs": {}, "mirrors": { "offsite": mirror } });
        bench.write("config.json", config.to_string().as_bytes());
    };
    let run = ["mirror", "offsite", "--config", "config.json"];
    config(json!({ "from": "hub", "to": "cloud", "retention": { "last": 2 }, "prune": true, "verify": "100%" }));
    assert!(bench.ok(&["config", "check", "--config", "config.json"]).contains("Mirrors       offsite"));
    let report = bench.json(&run);
    assert_eq!(ids(&report["snapshots"]), made[2..]);
    assert_eq!((&report["prune"]["grace_seconds"], &report["verify"]["clean"]), (&json!(0), &json!(true)), "{report}");
    assert_eq!(bench.json(&[&run[..], &["--verify=0"]].concat())["verify"], Value::Null, "the command line comes first");
    let known = fs::read_to_string(bench.path("own-state/known-repositories.json")).unwrap();
    assert!(known.contains("/copy\""), "what it has seen is remembered where the configuration says: {known}");
    let said = bench.fails(&["mirror", "ofsite", "--config", "config.json"], 1);
    assert!(said.contains("did you mean `offsite`?"), "{said}");
    for (mirror, wanted) in [
        (json!({ "from": "hub", "to": "clowd" }), "mirrors.offsite.to: there is no repository `clowd`; did you mean `cloud`?"),
        (json!({ "from": "hub", "to": "hub" }), "mirrors.offsite.to: is the repository itself"),
        (json!({ "from": "hub", "to": "cloud", "retention": {} }), "mirrors.offsite.retention: keeps nothing"),
        (json!({ "from": "hub", "to": "cloud", "purge": true }), "unknown key `purge`"),
        (
            json!({ "from": "hub", "to": "cloud", "notify": { "command": [""] } }),
            "mirrors.offsite.notify.command: must begin with a program",
        ),
    ] {
        config(mirror);
        let said = bench.fails(&run, 1);
        assert!(said.contains(wanted), "{said}");
    }
}

/// The path of the largest pack, below the bench.
fn largest_pack(bench: &Bench, repository: &str) -> PathBuf {
    let packs = bench.path(repository).join("packs");
    let largest = tree(&packs).into_iter().max_by_key(|(_, bytes)| bytes.len()).unwrap().0;
    packs.join(largest)
}

/// Changes a byte in the middle of a file; twice is not at all.
fn flip(bench: &Bench, path: &PathBuf) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(bench.path(path), bytes).unwrap();
}

#[test]
fn what_is_deleted_or_flipped_is_repaired_from_the_mirror() {
    let (bench, made) = days(3);
    mirror(&bench, &[]);
    let whole = objects(&bench);
    let first = |folder: &str| {
        let folder = bench.path("repo").join(folder);
        folder.join(tree(&folder).into_iter().next().unwrap().0)
    };
    let repair = ["repair", "--from", "copy", "--read-packs"];
    let victims =
        [largest_pack(&bench, "repo"), first("index"), first("refs"), bench.path(format!("repo/snapshots/{}", made[1])), first("keys")];
    for victim in &victims {
        let name = victim.file_name().unwrap().to_str().unwrap();
        for delete in [true, false] {
            if delete {
                fs::remove_file(victim).unwrap();
            } else {
                flip(&bench, victim);
            }
            let before = objects(&bench);
            let report = bench.json(&[&repair[..], &["--dry-run"]].concat());
            assert!(report["objects"][0]["object"].as_str().unwrap().ends_with(name), "{report}");
            assert!(objects(&bench) == before);
            let report = bench.json(&repair);
            assert_eq!((&report["objects"][0]["fate"], &report["clean"]), (&json!("healed"), &json!(true)), "{report}");
            assert!(objects(&bench) == whole, "{name}");
        }
    }
    for victim in &victims {
        fs::remove_file(victim).unwrap();
    }
    let (said, _) = bench.ends(&repair, 0);
    assert!(said.contains("Healed  5 objects"), "{said}");
    assert!(objects(&bench) == whole);
    let (said, _) = bench.ends(&repair, 0);
    assert!(said.contains("Nothing is damaged or missing"), "{said}");
    assert!(tree(&bench.restore("hearth-restore.key", "latest", "out")) == tree(&bench.path("source")));
}

#[test]
fn what_the_mirror_does_not_have_whole_is_listed_and_nothing_false_is_written() {
    let (bench, _) = days(2);
    mirror(&bench, &[]);
    let pack = largest_pack(&bench, "repo");
    let name = pack.file_name().unwrap().to_str().unwrap().to_owned();
    flip(&bench, &pack);
    flip(&bench, &largest_pack(&bench, "copy"));
    let before = objects(&bench);
    let report = bench.json_ends(&["repair", "--from", "copy", "--read-packs"], 3);
    assert_eq!((&report["objects"][0]["fate"], &report["clean"]), (&json!("left"), &json!(false)), "{report}");
    assert!(report["objects"][0]["object"].as_str().unwrap().ends_with(&name));
    assert!(objects(&bench) == before);
    assert!(bench.fails(&["repair", "--from", "repo"], 1).contains("place of its own"));
}

/// What is in the repository, but for records of when it was received.
fn objects(bench: &Bench) -> cli_common::Tree {
    tree(&bench.path("repo")).into_iter().filter(|(name, _)| !name.starts_with("received")).collect()
}
