//! Keeping house by the configuration: whose snapshots go, what a failed step keeps from running, and where secrets come from.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod cli_common;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use cli_common::{Bench, expect, tree};
use serde_json::{Value, json};

const DAY: u64 = 86_400;
const RESTORE: [&str; 2] = ["--key", "hearth-restore.key"];

/// Writes a configuration in which the jobs `state` and `media` save the source to `main`; `change` completes it.
fn configure(bench: &Bench, file: &str, change: impl FnOnce(&mut Value)) {
    let job = json!({ "paths": [bench.source()], "repositories": ["main"] });
    let mut config = json!({
        "host": "hearth",
        "repositories": { "main": { "url": bench.path("repo"), "writerKey": bench.path("hearth-writer.key") } },
        "jobs": { "state": job, "media": job },
    });
    change(&mut config);
    bench.write(file, config.to_string().as_bytes());
}

fn maintain(more: &[&'static str]) -> Vec<&'static str> {
    [&["maintain", "main", "--config", "config.json"], more].concat()
}

/// Runs a job; returns the snapshot.
fn run(bench: &Bench, job: &str, config: &str) -> String {
    let report = bench.json(&["run", job, "--config", config]);
    report["repositories"][0]["snapshot"].as_str().unwrap().to_owned()
}

/// Runs a job so often, and makes the snapshots a day apart, the last of them of yesterday; oldest first.
fn days(bench: &Bench, job: &str, config: &str, count: u64) -> Vec<String> {
    let ids: Vec<String> = (0..count).map(|_| run(bench, job, config)).collect();
    for (id, age) in ids.iter().rev().zip(1..) {
        set_time(bench, id, SystemTime::now() - Duration::from_secs(age * DAY));
    }
    ids
}

/// Gives the object of a snapshot another time: that of its store counts for retention.
fn set_time(bench: &Bench, id: &str, time: SystemTime) {
    let object = files(&bench.path("repo/snapshots")).into_iter().find(|path| path.file_name().unwrap() == id).unwrap();
    fs::File::options().write(true).open(object).unwrap().set_modified(time).unwrap();
}

fn files(dir: &Path) -> Vec<PathBuf> {
    tree(dir).into_iter().map(|(name, _)| dir.join(name)).collect()
}

fn forgotten(report: &Value, job: &str) -> Vec<String> {
    let jobs = report["forget"]["jobs"].as_array().unwrap();
    let of_job = jobs.iter().find(|record| record["job"] == job).unwrap_or_else(|| panic!("nothing of {job}: {report}"));
    of_job["forgotten"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_retention_of_a_job_concerns_only_its_own_snapshots_of_this_host() {
    let bench = Bench::with_repository();
    bench.ok(&[&["key", "add-writer", "other", "--writer-key", "other.key"][..], &RESTORE].concat());
    configure(&bench, "config.json", |config| {
        config["jobs"]["state"]["retention"] = json!({ "daily": 2 });
        config["jobs"]["media"]["retention"] = json!({ "within": "60h" });
        config["jobs"]["all"] = config["jobs"]["state"].clone();
        config["jobs"]["all"].as_object_mut().unwrap().remove("retention");
    });
    // Another host that has the same key, and another writer that says it were this host.
    configure(&bench, "second.json", |config| config["host"] = json!("second"));
    configure(&bench, "claim.json", |config| config["repositories"]["main"]["writerKey"] = json!(bench.path("other.key")));
    let (state, media) = (days(&bench, "state", "config.json", 4), days(&bench, "media", "config.json", 4));
    let others = [("all", "config.json"), ("state", "second.json"), ("media", "claim.json"), ("state", "claim.json")];
    let others: Vec<String> = others.iter().flat_map(|(job, config)| days(&bench, job, config, 3)).collect();
    let report = bench.json(&maintain(&["--only", "forget"]));
    assert_eq!(forgotten(&report, "state"), state[..2]);
    assert_eq!(forgotten(&report, "media"), media[..1]);
    assert_eq!(report["forget"]["outcome"], "done");
    assert!(report["prune"].is_null() && report["check"].is_null(), "{report}");
    let left = bench.snapshots();
    assert!([&state[2..], &media[1..], &others].concat().iter().all(|id| left.contains(id)));
    assert_eq!(left.len(), 2 + 3 + 12);
    // What is forgotten can be brought back, and the next time there is nothing to do.
    assert_eq!(forgotten(&bench.json(&maintain(&["--only", "forget"])), "state").len(), 0);
    bench.ok(&["forget", "--undo", &state[0]]);
    assert!(bench.snapshots().contains(&state[0]));
}

#[test]
fn without_a_retention_all_snapshots_stay() {
    let bench = Bench::with_repository();
    configure(&bench, "config.json", |_| {});
    days(&bench, "state", "config.json", 3);
    let said = bench.ok(&maintain(&[]));
    assert!(said.contains("No job that goes to main has a retention: all snapshots stay"), "{said}");
    assert_eq!(bench.snapshots().len(), 3);
}

#[test]
fn house_is_kept_in_one_go_and_all_that_stays_can_be_restored() {
    let bench = Bench::with_repository();
    configure(&bench, "config.json", |config| {
        config["repositories"]["main"]["prune"] = json!({ "grace": "0", "maxUnused": 0 });
        config["repositories"]["main"]["check"] = json!({ "readPacks": 100 });
        config["jobs"]["state"]["retention"] = json!({ "last": 1 });
    });
    let noise: Vec<u8> = (0..6_000_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    bench.write("source/large", &noise);
    let old = run(&bench, "state", "config.json");
    set_time(&bench, &old, SystemTime::now() - Duration::from_secs(DAY));
    fs::remove_file(bench.path("source/large")).unwrap();
    run(&bench, "state", "config.json");
    let (said, told) = bench.ends(&maintain(&[]), 0);
    for wanted in ["Job state: 1 kept, 1 forgotten", "Pruned", "Freed", "Checked", "every stored byte is as it was written"] {
        assert!(said.contains(wanted), "{said}");
    }
    assert!(told.contains("nobody else may write"), "{told}");
    let stored: usize = tree(&bench.path("repo/packs")).iter().map(|(_, bytes)| bytes.len()).sum();
    assert!(stored < 1_000_000, "{stored}");
    let report = bench.json(&maintain(&[]));
    assert_eq!((&report["prune"]["outcome"], &report["prune"]["grace_seconds"]), (&json!("done"), &json!(0)));
    assert_eq!((&report["check"]["clean"], &report["warnings"]), (&json!(true), &json!(0)));
    assert!(report["check"]["structure"]["packs_read"].as_u64().unwrap() > 0, "{report}");
    assert_eq!(tree(&bench.restore("hearth-restore.key", "latest", "out")), tree(&bench.path("source")));
}

#[test]
fn a_dry_run_explains_and_changes_nothing() {
    let bench = Bench::with_repository();
    configure(&bench, "config.json", |config| config["jobs"]["state"]["retention"] = json!({ "daily": 2 }));
    let ids = days(&bench, "state", "config.json", 3);
    let before = tree(&bench.path("repo"));
    let said = bench.ok(&maintain(&["--dry-run"]));
    let title = "Job state: 2 kept, 1 to be forgotten";
    for wanted in [title, "no rule keeps it", "nothing was forgotten", "nothing was changed", "Checked"] {
        assert!(said.contains(wanted), "{said}");
    }
    let report = bench.json(&maintain(&["-n", "--only", "forget"]));
    assert_eq!(forgotten(&report, "state").len(), 0);
    let decisions = report["forget"]["jobs"][0]["snapshots"].as_array().unwrap();
    let going: Vec<_> = decisions.iter().filter(|decision| decision["keep"] == false).map(|decision| &decision["id"]).collect();
    assert_eq!(going, [&ids[0]]);
    assert_eq!(tree(&bench.path("repo")), before);
    assert!(bench.json(&maintain(&["-n", "--only", "prune"]))["prune"]["dry_run"].as_bool().unwrap());
}

#[test]
fn what_would_forget_too_much_of_a_job_is_refused_and_then_nothing_is_pruned() {
    let bench = Bench::with_repository();
    configure(&bench, "config.json", |config| {
        config["jobs"]["state"]["retention"] = json!({ "last": 1 });
        config["jobs"]["media"]["retention"] = json!({ "last": 2 });
    });
    let (state, media) = (days(&bench, "state", "config.json", 3), days(&bench, "media", "config.json", 3));
    let report = bench.json_ends(&maintain(&["--max-forget", "50"]), 1);
    let jobs = &report["forget"]["jobs"];
    assert!(jobs[1]["error"].as_str().unwrap().contains("2 of 3 snapshots would be forgotten, more than 50%"), "{report}");
    assert_eq!((jobs[1]["job"].as_str(), forgotten(&report, "media")), (Some("state"), media[..1].to_vec()));
    assert_eq!(report["prune"]["outcome"], "skipped");
    assert!(report["prune"]["why"].as_str().unwrap().contains("after a forget that failed"), "{report}");
    assert_eq!((&report["check"]["outcome"], &report["check"]["clean"]), (&json!("done"), &json!(true)));
    assert!(state.iter().all(|id| bench.snapshots().contains(id)));
    let (said, _) = bench.ends(&maintain(&["-n", "--max-forget", "50"]), 3);
    assert!(said.contains("This would be refused: 2 of 3") && said.contains("Prune does not run"), "{said}");
    let (said, told) = bench.ends(&maintain(&["--max-forget", "50"]), 1);
    assert!(said.contains("Job state: 2 of 3") && told.contains("forget, job state: 2 of 3"), "{said}{told}");
    assert_eq!(bench.json(&maintain(&["--max-forget", "50", "--only", "prune"]))["prune"]["outcome"], "done");
    assert_eq!(forgotten(&bench.json(&maintain(&[])), "state"), state[..2]);
}

#[test]
fn a_clock_that_is_behind_a_snapshot_forgets_nothing_until_a_person_accepts_it() {
    let bench = Bench::with_repository();
    configure(&bench, "config.json", |config| {
        config["jobs"]["state"]["retention"] = json!({ "last": 1 });
        config["jobs"]["media"]["retention"] = json!({ "last": 1 });
    });
    let ids = days(&bench, "state", "config.json", 2);
    let future = run(&bench, "all-of-another-host", &{
        configure(&bench, "second.json", |config| {
            config["jobs"] = json!({ "all-of-another-host": config["jobs"]["state"] });
        });
        "second.json".to_owned()
    });
    set_time(&bench, &future, SystemTime::now() + Duration::from_secs(3600));
    for _ in 0..2 {
        let error = bench.fails(&maintain(&["--only", "forget"]), 1);
        assert!(error.contains("forget, job state: the clock says") && error.contains("--accept-clock"), "{error}");
    }
    assert_eq!(forgotten(&bench.json(&maintain(&["--only", "forget", "--accept-clock"])), "state"), ids[..1]);
}

#[test]
fn a_damaged_pack_is_found_where_packs_are_read() {
    let bench = Bench::with_repository();
    configure(&bench, "config.json", |_| {});
    let id = run(&bench, "state", "config.json");
    let pack = files(&bench.path("repo/packs")).into_iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    let mut bytes = fs::read(&pack).unwrap();
    bytes[100] ^= 1;
    fs::remove_file(&pack).unwrap();
    fs::write(&pack, bytes).unwrap();
    // The structure alone does not tell.
    assert_eq!(bench.json(&maintain(&["--only", "check"]))["check"]["structure"]["packs_read"], 0);
    configure(&bench, "config.json", |config| config["repositories"]["main"]["check"] = json!({ "readPacks": 100 }));
    let report = bench.json_ends(&maintain(&["--only", "check"]), 3);
    assert_eq!((&report["check"]["outcome"], &report["check"]["clean"]), (&json!("done"), &json!(false)));
    assert_eq!(report["check"]["problems"][0]["snapshots"], json!([id]));
    assert!(report["forget"].is_null(), "{report}");
    let (said, told) = bench.ends(&maintain(&["--only", "check"]), 3);
    assert!(said.contains("1 problem, listed above") && told.contains("have changed"), "{said}{told}");
}

#[test]
fn a_writer_key_can_be_a_credential_of_the_service() {
    let bench = Bench::with_repository();
    bench.write("credentials/disk.key", &fs::read(bench.path("hearth-writer.key")).unwrap());
    configure(&bench, "config.json", |config| config["repositories"]["main"]["writerKey"] = json!("credential:disk.key"));
    let with = |arguments: &[&str], directory: Option<&str>, code: i32| {
        let mut command = bench.command(arguments);
        command.envs(directory.map(|directory| ("CREDENTIALS_DIRECTORY", bench.path(directory))));
        expect(command.output().unwrap(), code, arguments)
    };
    const RUN: [&str; 4] = ["run", "state", "--config", "config.json"];
    with(&["config", "check", "--config", "config.json"], None, 0);
    let (_, error) = with(&RUN, None, 1);
    assert!(error.contains("`credential:disk.key` is a credential of a systemd service"), "{error}");
    assert!(error.contains("`systemctl start hearth-backup-state`, or name a file"), "{error}");
    let (_, error) = with(&maintain(&[]), None, 1);
    assert!(error.contains("`systemctl start hearth-backup-forget-main`"), "{error}");
    let (_, error) = with(&RUN, Some("source"), 1);
    assert!(error.contains("no credential `disk.key`") && error.contains("LoadCredential=disk.key:"), "{error}");
    with(&RUN, Some("credentials"), 0);
    with(&maintain(&[]), Some("credentials"), 0);
    assert_eq!(bench.snapshots().len(), 1);
}

#[test]
fn a_password_that_is_a_credential_costs_only_its_server_if_it_is_not_there() {
    let bench = Bench::with_repository();
    for (server, options) in [("postgresql", json!({ "user": "" })), ("mariadb", json!({})), ("mysql", json!({}))] {
        configure(&bench, "config.json", |config| {
            config["jobs"]["state"][server] = options;
            config["jobs"]["state"][server]["passwordFile"] = json!("credential:db.password");
        });
        let (_, error) = bench.ends(&["run", "state", "--config", "config.json"], 3);
        assert!(error.contains(&format!("{server}: `credential:db.password` is a credential of a systemd service")), "{error}");
        assert!(error.contains("systemctl start hearth-backup-state"), "{error}");
    }
    assert_eq!(bench.snapshots().len(), 3);
}

#[test]
fn a_run_warns_of_who_cannot_restore_and_of_who_can_though_nobody_said_so() {
    let bench = Bench::with_repository();
    let recipient = |file: &str| bench.json(&["key", "inspect", file])["public_key"].as_str().unwrap().to_owned();
    bench.ok(&["init", "--repo", "second", "--writer-key", "w", "--restore-key", "friend.key"]);
    let (own, friend) = (recipient("hearth-restore.key"), recipient("friend.key"));
    let list = |recipients: Value| {
        configure(&bench, "config.json", |config| config["recipients"] = recipients);
        let report = bench.run(&["run", "state", "--config", "config.json"]);
        (report.status.code().unwrap(), String::from_utf8(report.stderr).unwrap())
    };
    assert_eq!(list(json!([])).0, 0);
    assert_eq!(list(json!([own.to_uppercase()])).0, 0);
    let (code, said) = list(json!([own, friend]));
    assert_eq!(code, 3, "{said}");
    assert!(said.contains(&format!("repository main: `{friend}` cannot restore from it; `hearth-backup key add-recipient`")), "{said}");
    assert!(!said.contains(&own), "{said}");
    let (code, said) = list(json!([friend]));
    assert_eq!(code, 3, "{said}");
    assert!(said.contains(&format!("`{own}` can restore from it though the configuration does not list it")), "{said}");
    bench.ok(&[&["key", "add-recipient", &friend][..], &RESTORE].concat());
    assert_eq!(list(json!([friend, own])).0, 0);
    assert_eq!(bench.snapshots().len(), 5, "a warning is no failure");
}

#[test]
fn the_comment_of_an_ssh_key_makes_nobody_else_of_its_owner() {
    let bench = Bench::new();
    let made = std::process::Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(bench.path("id")).status();
    if !made.is_ok_and(|status| status.success()) {
        return;
    }
    let public = fs::read_to_string(bench.path("id.pub")).unwrap();
    bench.ok(&["init", "--recipient", public.trim()]);
    let key: Vec<&str> = public.split_whitespace().take(2).collect();
    configure(&bench, "config.json", |config| config["recipients"] = json!([format!("{} me@elsewhere", key.join("  "))]));
    run(&bench, "state", "config.json");
}

#[test]
fn a_repository_or_step_that_is_not_there_is_told_with_the_near_miss() {
    let bench = Bench::with_repository();
    configure(&bench, "config.json", |_| {});
    let error = bench.fails(&["maintain", "mian", "--config", "config.json"], 1);
    assert!(error.contains("there is no repository `mian`; did you mean `main`?"), "{error}");
    let error = bench.fails(&maintain(&["--only", "prnue"]), 2);
    assert!(error.contains("prune"), "{error}");
    fs::rename(bench.path("repo"), bench.path("unplugged")).unwrap();
    bench.fails(&maintain(&[]), 1);
}

#[test]
fn house_is_kept_where_only_the_repository_and_the_state_can_be_written() {
    let bench = Bench::with_repository();
    configure(&bench, "config.json", |config| {
        config["stateDir"] = json!(bench.path("state"));
        config["repositories"]["main"]["prune"] = json!({ "grace": "0" });
        config["jobs"]["state"]["retention"] = json!({ "daily": 1 });
    });
    let ids = days(&bench, "state", "config.json", 2);
    // As systemd does for ProtectSystem=strict with two ReadWritePaths=.
    let script = "mount --make-rprivate / && mount --bind . . && cd \"$PWD\" && mount --bind repo repo && mount --bind state state \
                  && mount -o remount,bind,ro . && mount -o remount,bind,ro / && ! touch beside 2>/dev/null && exec \"$0\" \"$@\"";
    let confined = |program: &str, arguments: &[&str]| {
        let mut command = std::process::Command::new("unshare");
        command.args(["--mount", "sh", "-c", script, program]).args(arguments).current_dir(bench.path(""));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).output()
    };
    if !confined("true", &[]).is_ok_and(|output| output.status.success()) {
        return;
    }
    let (said, _) = expect(confined(env!("CARGO_BIN_EXE_hearth-backup"), &maintain(&[])).unwrap(), 0, "maintain in a unit");
    assert!(said.contains("1 kept, 1 forgotten"), "{said}");
    assert_eq!(bench.snapshots(), ids[1..]);
}
