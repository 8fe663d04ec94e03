//! The way of a user: init, backup, look, forget, prune, check, restore.

mod cli_common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use cli_common::{Bench, expect, tree};

#[test]
fn from_init_to_restore() {
    let bench = Bench::new();
    let made = bench.json(&["init"]);
    assert!(made["repository"].as_str().unwrap().starts_with("hb1"));
    let first = bench.backup(&["--tag", "one"]);
    assert_eq!(first["statistics"]["files"], 4);
    bench.write("source/new", b"more");
    let second = bench.backup(&[]);
    assert_eq!(second["statistics"]["files_read"], 1);
    assert_eq!(second["parent"], first["snapshot"]);
    assert_eq!(bench.snapshots().len(), 2);
    bench.ok(&["check", "--read-data", "--key", "hearth-restore.key"]);
    let restored = bench.restore("hearth-restore.key", "latest", "out");
    assert_eq!(tree(&restored), tree(&bench.path("source")));

    bench.ok(&["forget", &bench.snapshots()[0]]);
    assert_eq!(bench.snapshots(), [second["snapshot"].as_str().unwrap()]);
    bench.ok(&["prune", "--grace", "0"]);
    bench.ok(&["check", "--read-data", "--key", "hearth-restore.key"]);
    let restored = bench.restore("hearth-restore.key", "latest", "out2");
    assert_eq!(tree(&restored), tree(&bench.path("source")));
}

#[test]
fn a_second_backup_adds_nothing_but_its_snapshot() {
    let bench = Bench::with_repository();
    bench.backup(&[]);
    bench.undisturbed(|| {
        let packs = tree(&bench.path("repo/packs"));
        let again = bench.backup(&[]);
        assert_eq!(again["statistics"]["files_read"], 0);
        again["statistics"]["bytes_stored"] == 0 && tree(&bench.path("repo/packs")) == packs
    });
    // Directories that lead to the source change for other reasons than what is backed up.
    bench.write("beside", b"x");
    let skipped = bench.backup(&["--skip-if-unchanged"]);
    assert_eq!((skipped["unchanged"].as_bool(), skipped["snapshot"].as_str()), (Some(true), None));
    fs::set_permissions(bench.path("source"), fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(bench.backup(&["--skip-if-unchanged"])["unchanged"], false);
}

#[test]
fn a_dry_run_stores_nothing() {
    let bench = Bench::with_repository();
    let before = tree(&bench.path("repo"));
    let summary = bench.backup(&["--dry-run"]);
    assert_eq!(summary["statistics"]["files"], 4);
    assert!(summary["snapshot"].is_null());
    assert_eq!(tree(&bench.path("repo")), before);
    let (text, _) = bench.ends(&["backup", "-n", "--key", "hearth-writer.key", &bench.source()], 0);
    assert!(text.contains("nothing was stored"), "{text}");
}

#[test]
fn init_never_overwrites() {
    let bench = Bench::with_repository();
    for key in ["hearth-writer.key", "hearth-restore.key"] {
        assert_eq!(fs::metadata(bench.path(key)).unwrap().permissions().mode() & 0o7777, 0o600);
    }
    let (writer, repository) = (fs::read(bench.path("hearth-writer.key")).unwrap(), tree(&bench.path("repo")));
    let error = bench.fails(&["init", "--repo", "other"], 1);
    assert!(error.contains("hearth-restore.key exists already"), "{error}");
    assert!(!bench.path("other").exists());
    let error = bench.fails(&["init", "--writer-key", "w", "--restore-key", "r"], 1);
    assert!(error.contains("holds a repository already"), "{error}");
    assert!(!bench.path("w").exists() && !bench.path("r").exists());
    assert_eq!(fs::read(bench.path("hearth-writer.key")).unwrap(), writer);
    assert_eq!(tree(&bench.path("repo")), repository);
    bench.write("full/precious", b"x");
    let error = bench.fails(&["init", "--repo", "full", "--writer-key", "w", "--restore-key", "r"], 1);
    assert!(error.contains("full"), "{error}");
    assert!(!bench.path("w").exists());
    let error = bench.fails(&["init", "--repo", "new", "--writer-key", "w", "--restore-key", "w"], 1);
    assert!(error.contains("same name"), "{error}");
    fs::create_dir(bench.path("inside")).unwrap();
    let error = bench.fails(&["init", "--repo", "inside", "--writer-key", "inside/w", "--restore-key", "r"], 2);
    assert!(error.contains("would lie in the repository"), "{error}");
}

#[test]
fn what_an_interrupted_init_left_is_no_repository() {
    let bench = Bench::with_repository();
    fs::remove_file(bench.path("repo/repo/0")).unwrap();
    let error = bench.fails(&["snapshots"], 1);
    assert!(error.contains("no repository"), "{error}");
    bench.ok(&["init", "--writer-key", "w", "--restore-key", "r"]);
    bench.ok(&["backup", "--key", "w", &bench.source()]);
    bench.restore("r", "latest", "out");
}

#[test]
fn wrong_command_lines_end_with_2_and_failures_with_1() {
    let bench = Bench::with_repository();
    bench.fails(&["backup"], 2);
    bench.fails(&["nonsense"], 2);
    bench.fails(&["restore", "latest", "--key", "hearth-restore.key"], 2);
    bench.fails(&["backup", "--key", "hearth-writer.key", "--exclude-larger-than", "many", "source"], 2);
    let error = bench.fails(&["backup", &bench.source()], 2);
    assert!(error.contains("--key"), "{error}");
    let mut unset = bench.command(&["snapshots"]);
    let (_, error) = expect(unset.env_remove("HEARTH_REPO").output().unwrap(), 2, "no repository");
    assert!(error.contains("HEARTH_REPO"), "{error}");
    let error = bench.fails(&["snapshots", "--repo", "nowhere"], 1);
    assert!(error.contains("hearth-backup init"), "{error}");
    bench.ok(&["--version"]);
    bench.ok(&["backup", "--help"]);
}

#[test]
fn commands_that_are_shown_can_be_run_as_they_are() {
    let bench = Bench::new();
    let place = bench.path("my repo & more");
    let text = bench.ok(&["init", "--repo", place.to_str().unwrap(), "--writer-key", "w key"]);
    let next = text.lines().find_map(|line| line.strip_prefix("Next: hearth-backup ")).unwrap();
    assert!(next.contains(&format!("--repo '{}' --key 'w key'", place.display())), "{next}");
    let script = format!("\"$0\" {}", next.replace("PATH...", "source"));
    let mut shell = std::process::Command::new("sh");
    shell.args(["-euc", &script, env!("CARGO_BIN_EXE_hearth-backup")]).current_dir(bench.path("")).env("HEARTH_CACHE", bench.path("state"));
    cli_common::expect(shell.output().unwrap(), 0, &script);
    let error = bench.fails(&["snapshots", "--state", "elsewhere", "--repo", place.to_str().unwrap()], 1);
    assert!(error.contains(&format!("--repo '{}#hb1", place.display())), "{error}");
}

#[test]
fn places_that_are_no_good_for_a_repository_are_refused_with_what_to_do() {
    let bench = Bench::with_repository();
    let init = |place: &str, code| bench.fails(&["init", "--repo", place, "--writer-key", "w2.key", "--restore-key", "r2.key"], code);
    let error = init("~/backup", 1);
    assert!(error.contains("`~` is not expanded") && !bench.path("~").exists(), "{error}");
    let error = init("repo/below", 1);
    assert!(error.contains("place of its own") && !bench.path("repo/below").exists(), "{error}");
    let error = init("source", 1);
    assert!(error.contains("not empty") && !error.contains("read-only"), "{error}");
    let error = bench.fails(&["snapshots", "--identity", "nowhere.key"], 2);
    assert!(error.contains("nowhere.key") && error.contains("--identity"), "{error}");
}

#[test]
fn forget_explains_and_can_be_undone() {
    let bench = Bench::with_repository();
    for tag in ["one", "two", "three"] {
        bench.write("source/tag", tag.as_bytes());
        bench.backup(&["--tag", tag]);
    }
    let ids = bench.snapshots();
    let error = bench.fails(&["forget"], 1);
    assert!(error.contains("--keep-daily"), "{error}");
    let (text, _) = bench.ends(&["forget", "--keep-daily", "1", "--dry-run", "--key", "hearth-restore.key"], 0);
    for wanted in ["2 kept, 1 to be forgotten", "no rule keeps it", "(first)", "(last)", "nothing was forgotten"] {
        assert!(text.contains(wanted), "{text}");
    }
    assert_eq!(bench.snapshots(), ids);
    bench.ok(&["pin", &ids[1][..10]]);
    let kept = bench.json(&["forget", "--keep-daily", "1"]);
    assert_eq!(kept["forgotten"].as_array().unwrap().len(), 0);
    bench.ok(&["unpin", &ids[1]]);
    let report = bench.json(&["forget", "--keep-daily", "1"]);
    assert_eq!(report["forgotten"][0].as_str().unwrap(), ids[1]);
    assert_eq!(bench.snapshots(), [ids[0].clone(), ids[2].clone()]);
    let listed = bench.ok(&["snapshots", "--forgotten"]);
    assert!(listed.contains(&ids[1][..8]) && !listed.contains("incomplete"), "{listed}");
    let error = bench.fails(&["forget", "--undo", &ids[0][..12]], 1);
    assert!(error.contains("is not forgotten") && error.contains(&ids[0][..8]), "{error}");
    bench.ok(&["forget", "--undo", &ids[1][..12]]);
    assert_eq!(bench.snapshots().len(), 3);
    bench.restore("hearth-restore.key", &ids[1], "out");
    let error = bench.fails(&["forget", "--keep-last", "1", "--group-by", "host"], 1);
    assert!(error.contains("needs a key"), "{error}");
    let error = bench.fails(&["forget", "--keep-daily", "1", "--max-forget", "10"], 1);
    assert!(error.contains("--max-forget 100"), "{error}");
    assert_eq!(bench.snapshots().len(), 3);
}

#[test]
fn forget_and_prune_in_one_go_free_space() {
    let bench = Bench::with_repository();
    let noise: Vec<u8> = blake3::Hasher::new().finalize_xof().bytes(12_000_000);
    bench.write("source/big", &noise);
    bench.backup(&[]);
    fs::remove_file(bench.path("source/big")).unwrap();
    bench.backup(&[]);
    bench.ok(&["forget", &bench.snapshots()[0], "--prune"]);
    let (text, _) = bench.ends(&["prune"], 0);
    assert!(text.contains("Nothing to prune") && text.contains("younger than the grace period of 1 d"), "{text}");
    let plan = bench.json(&["prune", "--grace", "0", "--dry-run"]);
    assert_eq!(plan["bytes_freed"], 0);
    assert!(!plan["condemn"].as_array().unwrap().is_empty(), "{plan}");
    let (text, error) = bench.ends(&["prune", "--grace", "0"], 0);
    assert!(text.contains("Freed") && error.contains("nobody else"), "{text}{error}");
    let stored: u64 = tree(&bench.path("repo/packs")).iter().map(|(_, bytes)| bytes.len() as u64).sum();
    assert!(stored < 6_000_000, "{stored}");
    bench.ok(&["check", "--read-data", "--key", "hearth-restore.key"]);
}

#[test]
fn prune_and_stats_agree_on_what_is_stored() {
    let bench = Bench::with_repository();
    let noise: Vec<u8> = blake3::Hasher::new().finalize_xof().bytes(12_000_000);
    bench.write("source/stays", &noise[..4_000_000]);
    bench.write("source/goes", &noise[4_000_000..]);
    bench.backup(&[]);
    fs::remove_file(bench.path("source/goes")).unwrap();
    bench.backup(&[]);
    bench.ok(&["forget", &bench.snapshots()[0]]);
    let report = bench.json(&["prune", "--grace", "0"]);
    assert!(report["bytes_written"].as_u64() > Some(4_000_000), "what stays was to be rewritten: {report}");
    let stats = bench.json(&["stats"]);
    let packs = stats["folders"].as_array().unwrap().iter().find(|folder| folder["folder"] == "packs").unwrap();
    assert_eq!(report["stored_after"], packs["bytes"]);
    let before = report["stored_before"].as_u64().unwrap();
    assert_eq!(report["bytes_freed"].as_u64().unwrap(), before - packs["bytes"].as_u64().unwrap());
}

/// `OutputReader` gives no vector by itself.
trait Bytes {
    fn bytes(self, length: usize) -> Vec<u8>;
}

impl Bytes for blake3::OutputReader {
    fn bytes(mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.fill(&mut bytes);
        bytes
    }
}

#[test]
fn a_try_passes_and_can_be_kept() {
    let bench = Bench::new();
    let (text, _) = bench.ends(&["try", &bench.source(), "--keep", "kept dir [1]"], 0);
    for step in ["backup", "backup again", "check", "restore", "compare", "prune", "It works"] {
        assert!(text.contains(step), "{text}");
    }
    assert!(bench.path("kept dir [1]/repository/repo/0").exists());
    let report = bench.json(&["try", &bench.source()]);
    assert_eq!(report["passed"], true);
    assert_eq!(report["steps"].as_array().unwrap().len(), 6);
    let error = bench.fails(&["try", &bench.source(), "--keep", "source"], 2);
    assert!(error.contains("not empty"), "{error}");
}

#[test]
fn completions_and_manual_pages_are_generated() {
    let bench = Bench::new();
    for shell in ["bash", "zsh", "fish"] {
        assert!(bench.ok(&["completions", shell]).contains("hearth-backup"));
    }
    bench.ok(&["man", "pages"]);
    assert!(bench.path("pages/hearth-backup-backup.1").exists());
}
