//! Looking around: snapshots, ls, find, diff, dump, stats; and restore.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod cli_common;

use std::fs;
use std::process::{Command, Stdio};

use cli_common::{Bench, expect, tree};
use serde_json::Value;

const KEY: [&str; 2] = ["--key", "hearth-restore.key"];

fn with_key(bench: &Bench, arguments: &[&str]) -> String {
    bench.ok(&[arguments, &KEY].concat())
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn snapshots_show_what_the_key_allows() {
    let bench = Bench::with_repository();
    bench.backup(&["--host", "alpha", "--job", "home", "--tag", "weekly"]);
    let sealed = bench.ok(&["snapshots"]);
    assert!(!sealed.contains("alpha") && !sealed.contains("source") && sealed.contains("sealed"), "{sealed}");
    for key in ["hearth-writer.key", "hearth-restore.key"] {
        let text = bench.ok(&["snapshots", "--key", key]);
        for wanted in ["alpha", "home", "weekly", "source", "just now", "1 snapshot"] {
            assert!(text.contains(wanted), "{text}");
        }
    }
    bench.backup(&["--host", "beta"]);
    let list = bench.json(&[&["snapshots", "--host", "alpha", "--tag", "weekly"][..], &KEY].concat());
    assert_eq!(list["snapshots"].as_array().unwrap().len(), 1);
    let error = bench.fails(&["snapshots", "--host", "alpha"], 2);
    assert!(error.contains("sealed"), "{error}");
}

#[test]
fn snapshots_are_named_by_latest_or_the_start_of_an_id() {
    let bench = Bench::with_repository();
    let error = bench.fails(&[&["ls", "latest"][..], &KEY].concat(), 1);
    assert!(error.contains("no complete snapshot"), "{error}");
    bench.backup(&["--host", "alpha"]);
    bench.write("source/new", b"x");
    bench.backup(&["--host", "beta"]);
    let ids = bench.snapshots();
    assert!(!with_key(&bench, &["ls", &ids[0][..8]]).contains("/new"));
    assert!(with_key(&bench, &["ls", "latest"]).contains("/new"));
    assert!(!with_key(&bench, &["ls", "latest", "--host", "alpha"]).contains("/new"));
    let error = bench.fails(&[&["ls", "ffffffffffff"][..], &KEY].concat(), 1);
    assert!(error.contains(&ids[1][..8]), "the candidates are named: {error}");
    let error = bench.fails(&[&["ls", "newest"][..], &KEY].concat(), 2);
    assert!(error.contains("latest"), "{error}");
}

#[test]
fn an_ambiguous_start_names_the_candidates() {
    let bench = Bench::with_repository();
    // With 17 snapshots two share their first digit.
    let mut ids = Vec::new();
    for number in 0..17 {
        bench.write("source/number", number.to_string().as_bytes());
        ids.push(bench.backup(&[])["snapshot"].as_str().unwrap().to_owned());
    }
    let twice = |digit: &char| ids.iter().filter(|id| id.starts_with(*digit)).count() > 1;
    let digit = "0123456789abcdef".chars().find(twice).unwrap();
    let error = bench.fails(&[&["ls", &digit.to_string()][..], &KEY].concat(), 1);
    assert!(error.contains("may be any of these"), "{error}");
}

#[test]
fn ls_lists_directories_files_and_everything() {
    let bench = Bench::with_repository();
    bench.backup(&[]);
    let source = bench.source();
    let top = with_key(&bench, &["ls", "latest", &source]);
    assert_eq!(top, format!("{source}/a.txt\n{source}/b.conf\n{source}/sub/\n"));
    assert!(with_key(&bench, &["ls", "latest", &source, "-R"]).contains("sub/d.log"));
    let file = lines(&with_key(&bench, &["ls", "latest", &format!("{source}/sub/d.log"), "--json"]));
    assert_eq!((&file[0]["kind"], &file[0]["size"]), (&Value::from("file"), &Value::from(200_000)));
    assert!(with_key(&bench, &["ls", "latest", "-l"]).contains("-rw-r--r--"));
    let error = bench.fails(&[&["ls", "latest", "/nowhere"][..], &KEY].concat(), 1);
    assert!(error.contains("/nowhere is not in"), "{error}");
}

#[test]
fn find_and_diff_tell_what_is_where() {
    let bench = Bench::with_repository();
    bench.backup(&[]);
    bench.write("source/new.txt", b"x");
    bench.write("source/a.txt", b"changed");
    fs::remove_file(bench.path("source/b.conf")).unwrap();
    bench.backup(&[]);
    bench.backup(&[]);
    let ids = bench.snapshots();
    let found = lines(&with_key(&bench, &["find", "new.txt", "--json"]));
    // Other tests make the temporary directory's time differ between snapshots, so the second may be searched too.
    assert!((1..=2).contains(&found.len()), "the file is in the last two snapshots");
    assert_eq!(found[0]["snapshot"], ids[2]);
    let found = with_key(&bench, &["find", "*.conf"]);
    assert!(found.contains("b.conf") && found.contains(&ids[0][..8]));
    assert!(!found.contains(&ids[1][..8]) && !found.contains(&ids[2][..8]), "snapshots without it are not named: {found}");
    assert!(!with_key(&bench, &["find", "*.conf", "--snapshot", "latest"]).contains("b.conf"));
    let diff = with_key(&bench, &["diff", &ids[0], "latest"]);
    for line in ["M /", "+ /", "- /", "1 added, 1 removed, 1 changed"] {
        assert!(diff.contains(line), "{diff}");
    }
    let changes = lines(&with_key(&bench, &["diff", &ids[0], &ids[1], "--json", "--content-only"]));
    assert_eq!(changes.len(), 3);
    let same = with_key(&bench, &["diff", &ids[1], &ids[2], "--content-only"]);
    assert!(same.starts_with("0 added"), "{same}");
}

#[test]
fn dump_writes_a_file_and_stats_count() {
    let bench = Bench::with_repository();
    bench.backup(&[]);
    let path = format!("{}/a.txt", bench.source());
    assert_eq!(with_key(&bench, &["dump", "latest", &path]), "first");
    bench.fails(&[&["dump", "latest", &bench.source()][..], &KEY].concat(), 1);
    bench.fails(&[&["dump", "latest", "/nowhere"][..], &KEY].concat(), 1);
    let stats = bench.json(&["stats"]);
    assert_eq!((&stats["snapshots"], &stats["content_files"]), (&Value::from(1), &Value::from(0)));
    let stats = bench.json(&[&["stats"][..], &KEY].concat());
    assert_eq!(stats["content_files"], 4);
    assert!(stats["bytes"].as_u64().unwrap() > 0);
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let bench = Bench::with_repository();
    for number in 0..3000 {
        bench.write(&format!("source/many/{number:0100}"), b"");
    }
    bench.backup(&[]);
    for command in [&["ls", "latest"][..], &["snapshots"]] {
        let mut child = bench.command(&[command, &KEY].concat()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(matches!(output.status.code(), Some(0 | 141)), "{output:?}");
        assert!(error.is_empty(), "{error}");
    }
    let mut head = Command::new("sh");
    let script = "\"$0\" ls latest --key hearth-restore.key | head -1";
    head.args(["-c", script, env!("CARGO_BIN_EXE_hearth-backup")]).current_dir(bench.path(""));
    head.env("HEARTH_REPO", bench.path("repo")).env("HEARTH_CACHE", bench.path("state"));
    let (out, error) = expect(head.output().unwrap(), 0, "ls | head");
    assert_eq!((out.lines().count(), error.as_str()), (1, ""));
}

#[test]
fn restore_selects_repeats_and_removes() {
    let bench = Bench::with_repository();
    bench.backup(&[]);
    let restore = |arguments: &[&str]| bench.json(&[&["restore", "latest", "--target", "out"][..], arguments, &KEY].concat());
    let dry = restore(&["--dry-run"]);
    assert_eq!(dry["files"], 4);
    assert!(!bench.path("out").exists());
    let some = restore(&["--include", "*.txt", "--exclude", "c.txt"]);
    assert_eq!(some["files"], 1);
    let all = restore(&["--verify"]);
    assert_eq!((&all["files"], &all["unchanged"]), (&Value::from(3), &Value::from(1)));
    assert_eq!(all["differences"].as_array().unwrap().len(), 0);
    let restored = bench.path("out").join(bench.path("source").strip_prefix("/").unwrap());
    assert_eq!(tree(&restored), tree(&bench.path("source")));
    fs::write(restored.join("extra"), b"x").unwrap();
    fs::write(bench.path("out/beside"), b"x").unwrap();
    let again = restore(&["--delete"]);
    assert_eq!((&again["files"], &again["removed"]), (&Value::from(0), &Value::from(1)));
    assert!(bench.path("out/beside").exists());
    let error = bench.fails(&[&["restore", "latest", "--target", "out", "--in-place"][..], &KEY].concat(), 2);
    assert!(error.contains("--in-place"), "{error}");
}

#[test]
fn an_include_that_matches_nothing_is_a_warning() {
    let bench = Bench::with_repository();
    bench.backup(&[]);
    let restore = |include: &[&str], code| bench.ends(&[&["restore", "latest", "--target", "out"], include, &KEY].concat(), code);
    let (_, error) = restore(&["--include", "/nothere", "--include", "a.txt"], 3);
    assert!(error.contains("--include /nothere") && !error.contains("a.txt"), "{error}");
    restore(&["--include", "/nothere", "--dry-run"], 3);
    restore(&["--include", "a.txt", "--include", &bench.source()], 0);
    let report = bench.json_ends(&[&["restore", "latest", "--target", "out", "--include", "/nothere"][..], &KEY].concat(), 3);
    assert_eq!(report["unmatched"], serde_json::json!(["/nothere"]));
}

#[test]
fn restore_in_place_brings_files_back() {
    let bench = Bench::with_repository();
    bench.backup(&[]);
    let before = tree(&bench.path("source"));
    fs::remove_dir_all(bench.path("source/sub")).unwrap();
    bench.write("source/a.txt", b"overwritten");
    bench.write("source/extra", b"x");
    let (text, error) = bench.ends(&[&["restore", "latest", "--in-place", "--delete"][..], &KEY].concat(), 0);
    assert!(error.contains("just now"), "the age of what is restored is said: {error}");
    assert!(text.contains("Removed"), "{text}");
    assert_eq!(tree(&bench.path("source")), before);
    assert!(bench.path("repo/repo/0").exists() && bench.path("hearth-writer.key").exists());
}

#[test]
fn damage_costs_only_what_it_hits() {
    let bench = Bench::with_repository();
    bench.write("source/large", &(0..400_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect::<Vec<u8>>());
    bench.backup(&[]);
    let packs = tree(&bench.path("repo/packs"));
    let (largest, bytes) = packs.iter().max_by_key(|(_, bytes)| bytes.len()).unwrap();
    let mut bytes = bytes.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let path = bench.path("repo/packs").join(largest);
    fs::remove_file(&path).unwrap();
    fs::write(&path, bytes).unwrap();
    let (text, _) = bench.ends(&[&["restore", "latest", "--target", "out"][..], &KEY].concat(), 3);
    assert!(text.contains("Lost"), "{text}");
    let (text, error) = bench.ends(&["check", "--read-packs"], 3);
    assert!(text.contains("problem") && error.contains(&bench.snapshots()[0][..8]), "{text}{error}");
    let (text, error) = bench.ends(&[&["check", "--read-data"][..], &KEY].concat(), 3);
    assert!(text.contains("problem") && error.contains("source"), "the files are named: {text}{error}");
    // Lengths are right, so that a look at the structure finds nothing.
    bench.ok(&["check"]);
}

#[test]
fn check_needs_no_key_but_for_content_and_mends_lists() {
    let bench = Bench::with_repository();
    bench.backup(&[]);
    assert_eq!(bench.json(&["check", "--read-packs"])["structure"]["packs_read"], 2);
    assert!(bench.ok(&["check", "--read-packs=50"]).contains("Verdict"));
    bench.fails(&["check", "--read-packs=200"], 2);
    let error = bench.fails(&["check", "--read-data"], 2);
    assert!(error.contains("restore key"), "{error}");
    fs::remove_dir_all(bench.path("repo/index")).unwrap();
    let report = bench.json_ends(&["check"], 3);
    assert_eq!(report["clean"], false);
    assert!(report["problems"][0]["subject"].as_str().unwrap().starts_with("index/"), "{report}");
    let mended = bench.json(&[&["check", "--repair-index", "--read-data"][..], &KEY].concat());
    assert_eq!((&mended["clean"], &mended["repaired"]["indexes"]), (&Value::from(true), &Value::from(1)));
    bench.restore("hearth-restore.key", "latest", "out");
    bench.backup(&[]);
    bench.ok(&["prune", "--grace", "0"]);
    bench.ok(&[&["check", "--read-data"][..], &KEY].concat());
}

#[test]
fn lists_are_mended_after_a_prune_that_copied() {
    let bench = Bench::with_repository();
    for number in 0..10 {
        bench.write("source/tag", format!("{number}").as_bytes());
        bench.backup(&[]);
    }
    for id in &bench.snapshots()[1..9] {
        bench.ok(&["forget", id]);
    }
    assert!(bench.json(&["prune", "--grace", "0"])["packs_deleted"].as_u64().unwrap() > 0);
    bench.ok(&[&["check", "--read-data"][..], &KEY].concat());
    fs::remove_dir_all(bench.path("repo/index")).unwrap();
    let mended = bench.json(&[&["check", "--repair-index", "--read-data"][..], &KEY].concat());
    assert_eq!(mended["clean"], true, "{mended}");
}

#[test]
fn the_path_that_is_looked_at_is_not_the_path_of_the_snapshot() {
    let bench = Bench::with_repository();
    bench.write("other/file", b"of the other");
    let other = bench.path("other").to_str().unwrap().to_owned();
    bench.ok(&["backup", "--key", "hearth-writer.key", &bench.source()]);
    bench.ok(&["backup", "--key", "hearth-writer.key", &other]);
    let key = ["--key", "hearth-restore.key"];
    let text = bench.ok(&[&["ls", "latest", &format!("{}/sub", bench.source()), "--path", &bench.source()][..], &key].concat());
    assert!(text.contains("c.txt") || !text.trim().is_empty(), "{text}");
    let file = format!("{}/a.txt", bench.source());
    assert_eq!(bench.ok(&[&["dump", "latest", &file, "--path", &bench.source()][..], &key].concat()), "first");
    bench.fails(&[&["dump", "latest", &file, "--path", &other][..], &key].concat(), 1);
}

#[test]
fn stats_estimates_what_a_repository_costs_without_a_key() {
    let bench = Bench::with_repository();
    bench.backup(&[]);
    let all = bench.json(&["stats", "--cost"]);
    assert!(all["bills"].as_array().unwrap().len() >= 8, "{all}");
    assert_eq!(all["backups_a_month"], 30, "one in a day that was seen");
    assert!(all["prices"].as_str().unwrap().contains("general knowledge"));

    let own = r#"{ "known": "by me", "providers": [{ "name": "x", "title": "My shelf", "currency": "EUR", "bytesPerGb": 1,
        "storagePerGb": 2, "egressPerGb": 3 }] }"#;
    bench.write("prices.json", own.as_bytes());
    let cost = ["stats", "--cost", "--prices", "prices.json"];
    let one = bench.json(&[&cost[..], &["--as", "x"]].concat());
    let (bytes, restore) = (one["bytes"].as_f64().unwrap(), one["restore_bytes"].as_f64().unwrap());
    assert!(bytes > restore && restore > 0.0);
    assert_eq!((one["bills"][0]["storage"].as_f64(), one["bills"][0]["restore"].as_f64()), (Some(bytes * 2.0), Some(restore * 3.0)));
    let text = bench.ok(&cost);
    assert!(!text.contains("-0.00") && text.contains("My shelf") && text.contains("EUR") && text.contains("by me"), "{text}");

    assert_eq!(bench.ok(&[&cost[..], &["--print-prices"]].concat()), own);
    let printed = bench.ok(&["stats", "--cost", "--print-prices"]);
    bench.write("prices.json", printed.as_bytes());
    assert!(bench.ok(&[&cost[..], &["--as", "wasabi"]].concat()).contains("90 days at least"));
    assert!(bench.fails(&["stats", "--cost", "--as", "nobody"], 1).contains("there are b2, wasabi"));
    bench.write("prices.json", b"{}");
    assert!(bench.fails(&cost, 1).contains("--print-prices"));
}
