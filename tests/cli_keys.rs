//! Keys: of the wrong kind, of another repository, of all kinds, rotated, closed; and which repository is trusted.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod cli_common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use cli_common::{Bench, expect, tree};

#[test]
fn a_key_in_the_wrong_place_is_explained() {
    let bench = Bench::with_repository();
    bench.backup(&[]);
    let error = bench.fails(&["backup", "--key", "hearth-restore.key", &bench.source()], 1);
    assert!(error.contains("restore key, but a writer key is needed"), "{error}");
    for command in [&["ls", "latest"][..], &["restore", "latest", "--target", "out"], &["dump", "latest", "x"], &["find", "x"]] {
        let error = bench.fails(&[command, &["--key", "hearth-writer.key"]].concat(), 2);
        assert!(error.contains("cannot read them") && error.contains("restore key"), "{error}");
    }
    bench.write("not-a-key", b"hello\n");
    let error = bench.fails(&["ls", "latest", "--key", "not-a-key"], 1);
    assert!(error.contains("not a restore key"), "{error}");
    let error = bench.fails(&["ls", "latest", "--key", "missing.key"], 1);
    assert!(error.contains("missing.key"), "{error}");
}

#[test]
fn keys_of_another_repository_are_refused_before_anything_is_written() {
    let bench = Bench::with_repository();
    bench.backup(&[]);
    bench.ok(&["init", "--repo", "other", "--writer-key", "other-writer", "--restore-key", "other-restore"]);
    let before = tree(&bench.path("repo"));
    for arguments in [&["backup", "--key", "other-writer", "source"][..], &["ls", "latest", "--key", "other-restore"]] {
        let error = bench.fails(arguments, 1);
        assert!(error.contains("was expected"), "{error}");
    }
    assert_eq!(tree(&bench.path("repo")), before);
    // A restore key that names no repository reaches the keys/ objects, and none opens.
    let bare = fs::read_to_string(bench.path("other-restore")).unwrap();
    let bare: String = bare.lines().filter(|line| line.starts_with("AGE-SECRET-KEY")).collect();
    bench.write("bare", bare.as_bytes());
    let error = bench.fails(&["ls", "latest", "--key", "bare"], 1);
    assert!(error.contains("does not open this repository"), "{error}");
}

#[test]
fn inspect_says_what_a_key_is_for_and_no_secret() {
    let bench = Bench::with_repository();
    for (file, word) in [("hearth-writer.key", "cannot read content"), ("hearth-restore.key", "keep it off the hosts")] {
        let text = bench.ok(&["key", "inspect", file]) + &bench.ok(&["key", "inspect", file, "--json"]);
        assert!(text.contains(word) && text.contains("hb1"), "{text}");
        assert!(!text.contains("SECRET"), "{text}");
        for secret in fs::read_to_string(bench.path(file)).unwrap().split('"').filter(|part| part.len() == 43) {
            assert!(!text.contains(secret));
        }
    }
}

#[test]
fn a_key_that_others_can_read_is_used_with_a_warning_that_says_how_to_mend_it() {
    let bench = Bench::with_repository();
    let set = |path: &str, mode| fs::set_permissions(bench.path(path), PermissionsExt::from_mode(mode)).unwrap();
    let backup = ["backup", "--key", "hearth-writer.key", &bench.source()];
    set("hearth-writer.key", 0o644);
    set("hearth-restore.key", 0o644);
    set("", 0o700);
    let (_, error) = bench.ends(&backup, 0);
    assert!(!error.contains("chmod"), "nobody else can enter the directory: {error}");
    set("", 0o755);
    let (_, error) = bench.ends(&backup, 0);
    assert_eq!(error.matches("chmod 600 hearth-writer.key").count(), 1, "{error}");
    let (_, error) = bench.ends(&["ls", "latest", "--key", "hearth-restore.key"], 0);
    assert_eq!(error.matches("chmod 600 hearth-restore.key").count(), 1, "{error}");
    bench.write("hub.token", b"secret");
    set("hub.token", 0o644);
    let (_, error) = bench.ends(&["snapshots", "--key", "hearth-writer.key", "--token-file", "hub.token"], 0);
    assert_eq!(error.matches("chmod 600 hub.token").count(), 1, "{error}");
    set("hearth-writer.key", 0o600);
    assert!(!bench.ends(&backup, 0).1.contains("chmod"));
}

#[test]
fn an_ssh_key_restores() {
    let bench = Bench::new();
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(bench.path("id")).status();
    if !made.is_ok_and(|status| status.success()) {
        return;
    }
    let public = fs::read_to_string(bench.path("id.pub")).unwrap();
    bench.ok(&["init", "--recipient", public.trim()]);
    assert!(!bench.path("hearth-restore.key").exists());
    bench.backup(&[]);
    let restored = bench.restore("id", "latest", "out");
    assert_eq!(tree(&restored), tree(&bench.path("source")));
    // The same from the file, as a second recipient of another repository.
    bench.ok(&["init", "--repo", "second", "--writer-key", "w", "--restore-key", "r"]);
    bench.ok(&["key", "add-recipient", "id.pub", "--repo", "second", "--key", "r"]);
    bench.ok(&["ls", "--repo", "second", "--key", "id", "--help"]);
    bench.ok(&["key", "add-recipient", "--repo", "second", "--key", "id", &age_recipient(&bench)]);
}

fn age_recipient(bench: &Bench) -> String {
    bench.ok(&["init", "--repo", "third", "--writer-key", "w3", "--restore-key", "r3"]);
    bench.json(&["key", "inspect", "r3"])["public_key"].as_str().unwrap().to_owned()
}

#[test]
fn a_passphrase_restores() {
    let bench = Bench::new();
    bench.write("secret", b"correct horse\n");
    bench.write("wrong", b"battery staple\n");
    let run = |arguments: &[&str], file: &str, code: i32| {
        let output = bench.command(arguments).env("HEARTH_PASSPHRASE_FILE", bench.path(file)).output().unwrap();
        expect(output, code, arguments)
    };
    run(&["init", "--recipient", "passphrase"], "secret", 0);
    bench.backup(&[]);
    run(&["restore", "latest", "--target", "out", "--verify", "--key", "passphrase"], "secret", 0);
    let (_, error) = run(&["ls", "latest", "--key", "passphrase"], "wrong", 1);
    assert!(error.contains("passphrase"), "{error}");
    // Nobody can be asked here.
    let error = bench.fails(&["ls", "latest", "--key", "passphrase"], 1);
    assert!(error.contains("HEARTH_PASSPHRASE_FILE"), "{error}");
    // A rotation asks for it again.
    run(&["key", "rotate", "--key", "passphrase"], "secret", 0);
    run(&["ls", "latest", "--key", "passphrase"], "secret", 0);
}

#[test]
fn after_a_rotation_old_and_new_backups_open() {
    let bench = Bench::with_repository();
    bench.backup(&[]);
    let rotated = bench.json(&["key", "rotate", "--key", "hearth-restore.key"]);
    assert_eq!(rotated["generation"], 1);
    bench.write("source/later", b"after the rotation");
    bench.backup(&[]);
    let ids = bench.snapshots();
    bench.restore("hearth-restore.key", &ids[0], "old");
    let restored = bench.restore("hearth-restore.key", &ids[1], "new");
    assert_eq!(tree(&restored), tree(&bench.path("source")));
    bench.ok(&["check", "--read-data", "--key", "hearth-restore.key"]);
    assert_eq!(tree(&bench.path("repo/keys")).len(), 1, "the old object is removed");
    // Once more: the root key was replaced too, and the chain of statements goes on.
    bench.ok(&["key", "rotate", "--key", "hearth-restore.key"]);
    bench.restore("hearth-restore.key", &ids[0], "again");
}

#[test]
fn recipients_come_and_go() {
    let bench = Bench::with_repository();
    bench.backup(&[]);
    let second = age_recipient(&bench);
    let error = bench.fails(&["key", "add-recipient", &second, "--key", "hearth-writer.key"], 2);
    assert!(error.contains("restore key"), "{error}");
    bench.ok(&["key", "add-recipient", &second, "--key", "hearth-restore.key"]);
    let error = bench.fails(&["key", "add-recipient", &second, "--key", "hearth-restore.key"], 1);
    assert!(error.contains("already"), "{error}");
    let secret = fs::read_to_string(bench.path("r3")).unwrap();
    let secret: String = secret.lines().filter(|line| line.starts_with("AGE-SECRET-KEY")).collect();
    bench.write("second", secret.as_bytes());
    bench.restore("second", "latest", "out");
    let first = bench.json(&["key", "inspect", "hearth-restore.key"])["public_key"].as_str().unwrap().to_owned();
    bench.ok(&["key", "remove-recipient", &first, "--key", "second"]);
    let error = bench.fails(&["ls", "latest", "--key", "hearth-restore.key"], 1);
    assert!(error.contains("does not open"), "{error}");
    let error = bench.fails(&["key", "remove-recipient", &second, "--key", "second"], 1);
    assert!(error.contains("only recipient"), "{error}");
    assert!(bench.ok(&["key", "recipients"]).contains(&second));
    bench.restore("second", "latest", "out2");
}

#[test]
fn a_lost_keys_object_is_noticed_and_put_back_by_the_host() {
    let bench = Bench::with_repository();
    bench.backup(&[]);
    let keys = tree(&bench.path("repo/keys"));
    fs::remove_file(bench.path("repo/keys").join(&keys[0].0)).unwrap();
    let (text, _) = bench.ends(&["key", "recipients"], 3);
    assert!(text.contains("missing"), "{text}");
    let (_, error) = bench.ends(&["backup", "--key", "hearth-writer.key", &bench.source()], 3);
    assert!(error.contains("put back"), "{error}");
    assert_eq!(tree(&bench.path("repo/keys")), keys);
    bench.restore("hearth-restore.key", "latest", "out");
}

#[test]
fn writers_are_added_and_closed() {
    let bench = Bench::with_repository();
    bench.backup(&[]);
    let key = ["--key", "hearth-restore.key"];
    bench.ok(&[&["key", "add-writer", "laptop", "--writer-key", "laptop.key"][..], &key].concat());
    let error = bench.fails(&[&["key", "add-writer", "laptop", "--writer-key", "x"][..], &key].concat(), 1);
    assert!(error.contains("already") && !bench.path("x").exists(), "{error}");
    let error = bench.fails(&[&["key", "add-writer", "desk", "--writer-key", "laptop.key"][..], &key].concat(), 1);
    assert!(error.contains("never overwritten"), "{error}");
    bench.ok(&["backup", "--key", "laptop.key", &bench.source()]);
    // Each writer reads its own labels only.
    let list = bench.json(&["snapshots", "--key", "laptop.key"]);
    let hosts: Vec<bool> = list["snapshots"].as_array().unwrap().iter().map(|snapshot| snapshot["host"].is_string()).collect();
    assert_eq!(hosts, [false, true]);
    let closed = bench.json(&[&["key", "close-writer", "laptop"][..], &key].concat());
    assert_eq!(closed["accepted"].as_array().unwrap().len(), 1);
    let error = bench.fails(&["backup", "--key", "laptop.key", &bench.source()], 1);
    assert!(error.contains("closed"), "{error}");
    bench.restore("hearth-restore.key", "latest", "out");
    bench.backup(&[]);
    assert_eq!(bench.snapshots().len(), 3);
    let writers = bench.json(&["key", "writers"]);
    assert_eq!(writers["writers"][1]["closed"], true);
}

#[test]
fn of_a_host_that_was_broken_into_only_what_came_before_is_accepted() {
    let bench = Bench::with_repository();
    bench.backup(&[]);
    bench.write("source/bad", b"since the break-in");
    bench.backup(&[]);
    let ids = bench.snapshots();
    // The hub's record counts, whatever the host says.
    bench.write(&format!("repo/received/{}", ids[0]), br#"hbrcvd01{"received":"2020-01-01T00:00:00Z","door":"test"}"#);
    fn close<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
        [&["key", "close-writer", "--key", "hearth-restore.key"], arguments].concat()
    }
    let name = bench.json(&["key", "writers"])["writers"][0]["id"].as_str().unwrap().to_owned();
    bench.fails(&close(&[&name, "--since", "some day"]), 2);
    bench.fails(&close(&[&name, "--since", "2999-01-01"]), 2);
    let closed = bench.json(&close(&[&name]));
    assert_eq!((closed["accepted"].as_array().unwrap().len(), closed["refused"].as_array().unwrap().len()), (2, 0));
    let error = bench.fails(&close(&[&name]), 1);
    assert!(error.contains("--since"), "{error}");
    let closed = bench.json(&close(&[&name, "--since", "1h"]));
    assert_eq!(closed["accepted"], serde_json::json!([ids[0]]));
    assert_eq!(closed["refused"], serde_json::json!([ids[1]]));
    let (text, _) = bench.ends(&["check"], 0);
    assert!(text.contains(", 1 of closed writers") && !text.contains("unknown writers"), "{text}");
    let restored = bench.restore("hearth-restore.key", "latest", "out");
    assert!(!restored.join("bad").exists());
    let (text, _) = bench.ends(&close(&[&name, "--since", "2019-12-31 23:00"]), 0);
    assert!(text.contains("1 snapshot received since 2019-12-31 23:00 no longer count"), "{text}");
    bench.fails(&["restore", "latest", "--key", "hearth-restore.key", "--target", "none"], 1);
}

#[test]
fn a_repository_that_nobody_vouches_for_is_not_opened() {
    let bench = Bench::with_repository();
    let id = bench.json(&["snapshots"])["repository"].as_str().unwrap().to_owned();
    let fresh = |arguments: &[&str], code| bench.ends(&[arguments, &["--state", "elsewhere"]].concat(), code);
    for arguments in [&["snapshots"][..], &["snapshots", "--json"], &["prune"], &["key", "recipients"]] {
        let (_, error) = fresh(arguments, 1);
        assert!(error.contains(&id) && error.contains("--trust-new-repository"), "{error}");
    }
    let named = format!("{}#{id}", bench.path("repo").display());
    fresh(&["snapshots", "--repo", &named], 0);
    fresh(&["snapshots"], 0);
    bench.ends(&["snapshots", "--state", "third", "--trust-new-repository"], 0);
    bench.ends(&["snapshots", "--state", "third"], 0);
}

#[test]
fn a_replaced_repository_is_noticed() {
    let bench = Bench::with_repository();
    bench.backup(&[]);
    let id = bench.json(&["snapshots"])["repository"].as_str().unwrap().to_owned();
    fs::rename(bench.path("repo"), bench.path("moved")).unwrap();
    let init = ["init", "--writer-key", "w2", "--restore-key", "r2", "--state", "attacker"];
    bench.ok(&init);
    for arguments in
        [&["snapshots"][..], &["backup", "--key", "hearth-writer.key", "source"], &["ls", "latest", "--key", "hearth-restore.key"]]
    {
        let error = bench.fails(arguments, 1);
        assert!(error.contains(&id) && error.contains("was expected"), "{error}");
    }
    let error = bench.fails(&["snapshots"], 1);
    assert!(error.contains("this machine has seen here"), "{error}");
    let wrong = format!("{}#{id}", bench.path("repo").display());
    bench.fails(&["snapshots", "--repo", &wrong, "--trust-new-repository"], 1);
    bench.ok(&["snapshots", "--trust-new-repository"]);
}

#[test]
fn an_older_state_of_the_repository_is_noticed() {
    let bench = Bench::with_repository();
    bench.backup(&[]);
    bench.ok(&["key", "add-writer", "second", "--writer-key", "s", "--key", "hearth-restore.key"]);
    bench.ok(&["snapshots"]);
    fs::remove_file(bench.path("repo/repo/2")).unwrap();
    for arguments in
        [&["snapshots"][..], &["backup", "--key", "hearth-writer.key", "source"], &["ls", "latest", "--key", "hearth-restore.key"]]
    {
        let error = bench.fails(arguments, 1);
        assert!(error.contains("older state"), "{error}");
    }
}

#[test]
fn a_host_notices_that_its_last_snapshot_is_withheld() {
    let bench = Bench::with_repository();
    bench.backup(&[]);
    bench.write("source/new", b"x");
    bench.backup(&[]);
    let last = bench.snapshots().remove(1);
    for folder in ["snapshots", "commits"] {
        fs::remove_file(bench.path("repo").join(folder).join(&last)).unwrap();
    }
    let run = ["backup", "--key", "hearth-writer.key", "--skip-if-unchanged", &bench.source()];
    let (_, error) = bench.ends(&run, 3);
    assert!(error.contains(&last[..8]) && error.contains("older state"), "{error}");
    assert_eq!(bench.snapshots().len(), 2, "it is replaced, although nothing has changed");
    bench.ends(&run, 0);
    // Forgotten by hand is another matter, as long as it shows.
    bench.ok(&["forget", "latest"]);
    bench.ends(&run, 0);
    assert_eq!(bench.snapshots().len(), 2);
}
