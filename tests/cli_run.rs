//! Jobs of a configuration file: what they save, what they report, and that each repository stands for itself.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod cli_common;

use std::fs;

use cli_common::Bench;
use serde_json::{Value, json};

/// Writes a configuration with one job to `names` of repositories, which `change` completes.
fn configure(bench: &Bench, names: &[&str], change: impl FnOnce(&mut Value)) {
    let repositories: serde_json::Map<String, Value> = names
        .iter()
        .map(|name| {
            let url = if *name == "main" { bench.path("repo") } else { bench.path(name) };
            let key = if *name == "main" { bench.path("hearth-writer.key") } else { bench.path(format!("{name}.key")) };
            ((*name).to_owned(), json!({ "url": url, "writerKey": key }))
        })
        .collect();
    let mut job = json!({ "paths": [bench.source()], "repositories": names });
    change(&mut job);
    let config = json!({ "repositories": repositories, "jobs": { "state": job } });
    bench.write("config.json", serde_json::to_string_pretty(&config).unwrap().as_bytes());
}

const RUN: [&str; 4] = ["run", "state", "--config", "config.json"];

fn second_repository(bench: &Bench) {
    let place = bench.path("second");
    bench.ok(&["init", "--repo", place.to_str().unwrap(), "--writer-key", "second.key", "--restore-key", "second-restore.key"]);
}

fn dump(bench: &Bench, path: &str) -> String {
    bench.ok(&["dump", "latest", path, "--key", "hearth-restore.key", "--job", "state"])
}

#[test]
fn a_job_saves_paths_and_the_output_of_commands() {
    let bench = Bench::with_repository();
    configure(&bench, &["main"], |job| {
        job["exclude"] = json!(["*.conf"]);
        job["tags"] = json!(["nightly"]);
        job["commands"] = json!({ "list.txt": { "command": ["printf", "one\ntwo\n"], "minimumSize": 3 } });
    });
    let report = bench.json(&RUN);
    assert_eq!(report["repositories"][0]["name"], "main");
    assert_eq!(report["repositories"][0]["statistics"]["files"], 4);
    assert_eq!(dump(&bench, "/@commands/list.txt"), "one\ntwo\n");
    assert_eq!(dump(&bench, &format!("{}/a.txt", bench.source())), "first");
    let list = bench.json(&["snapshots", "--tag", "nightly", "--key", "hearth-restore.key"]);
    assert_eq!(list["snapshots"].as_array().unwrap().len(), 1, "{list}");
}

#[test]
fn a_command_that_fails_costs_only_its_own_file() {
    let bench = Bench::with_repository();
    configure(&bench, &["main"], |job| {
        job["commands"] = json!({
            "good": { "command": ["printf", "good"] },
            "bad": { "command": ["sh", "-c", "printf half; echo connection lost >&2; exit 1"] },
            "short": { "command": ["printf", "x"], "minimumSize": "1k" },
        });
    });
    let (_, error) = bench.ends(&RUN, 3);
    assert!(error.contains("/@commands/bad") && error.contains("connection lost"), "{error}");
    assert!(error.contains("/@commands/short") && error.contains("at least 1024 are expected"), "{error}");
    assert_eq!(dump(&bench, "/@commands/good"), "good");
    bench.fails(&["dump", "latest", "/@commands/bad", "--key", "hearth-restore.key"], 1);
}

#[test]
fn each_repository_of_a_job_succeeds_or_fails_by_itself() {
    let bench = Bench::with_repository();
    second_repository(&bench);
    configure(&bench, &["second", "main"], |_| {});
    let report = bench.json(&RUN);
    assert!(report["repositories"].as_array().unwrap().iter().all(|done| done["snapshot"].is_string()), "{report}");
    fs::rename(bench.path("second"), bench.path("unplugged")).unwrap();
    let report = bench.json_ends(&RUN, 3);
    assert!(report["repositories"][0]["error"].as_str().unwrap().contains("second"), "{report}");
    assert!(report["repositories"][1]["snapshot"].is_string(), "{report}");
    assert_eq!(bench.snapshots().len(), 2);
    fs::rename(bench.path("repo"), bench.path("unplugged too")).unwrap();
    bench.ends(&RUN, 1);
}

#[test]
fn a_repository_that_a_job_has_by_two_names_is_saved_to_once() {
    let bench = Bench::with_repository();
    fs::copy(bench.path("hearth-writer.key"), bench.path("twin.key")).unwrap();
    std::os::unix::fs::symlink("repo", bench.path("twin")).unwrap();
    configure(&bench, &["main", "twin"], |_| {});
    let report = bench.json_ends(&RUN, 3);
    assert!(report["repositories"][0]["snapshot"].is_string(), "{report}");
    let error = report["repositories"][1]["error"].as_str().unwrap();
    assert!(error.contains("the same repository as `main`; name it once"), "{error}");
    assert_eq!(bench.snapshots().len(), 1);
}

#[test]
fn a_run_that_failed_is_tried_again_only_where_it_failed() {
    let bench = Bench::with_repository();
    second_repository(&bench);
    fs::rename(bench.path("second"), bench.path("unplugged")).unwrap();
    // Somebody plugs the disk in after the first attempt.
    let plug = format!("mv {} {}", bench.path("unplugged").display(), bench.path("second").display());
    configure(&bench, &["second", "main"], |job| job["hooks"] = json!({ "afterFailure": [{ "command": ["sh", "-c", plug] }] }));
    let tries = [&RUN[..], &["--retries", "2", "--retry-delay", "0"]].concat();
    let report = bench.json(&tries);
    let names: Vec<_> = report["repositories"].as_array().unwrap().iter().map(|done| done["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["second", "main"]);
    assert!(report["repositories"].as_array().unwrap().iter().all(|done| done["snapshot"].is_string()), "{report}");
    assert_eq!(report["warnings"], 0);
    assert_eq!(bench.snapshots().len(), 1, "what was saved is not saved once more");

    // What an earlier attempt warned of where it succeeded still counts: here, that `passphrase` cannot restore and the key can.
    fs::rename(bench.path("second"), bench.path("unplugged")).unwrap();
    let mut config: Value = serde_json::from_str(&fs::read_to_string(bench.path("config.json")).unwrap()).unwrap();
    config["recipients"] = json!(["passphrase"]);
    bench.write("config.json", config.to_string().as_bytes());
    assert_eq!(bench.json_ends(&tries, 3)["warnings"], 4);
}

#[test]
fn tries_end_after_so_many_and_what_time_does_not_mend_is_not_tried_again() {
    let bench = Bench::with_repository();
    let count = format!("echo once >> {}", bench.path("tries").display());
    configure(&bench, &["main"], |job| job["hooks"] = json!({ "before": [{ "command": ["sh", "-c", format!("{count}; exit 1")] }] }));
    let tries = [&RUN[..], &["--retries", "2", "--retry-delay", "0"]].concat();
    let (_, error) = bench.ends(&tries, 1);
    assert_eq!(fs::read_to_string(bench.path("tries")).unwrap().lines().count(), 3, "{error}");
    assert!(error.contains("trying again in"), "{error}");
    fs::remove_file(bench.path("tries")).unwrap();
    configure(&bench, &["main"], |job| {
        job["hooks"] = json!({ "always": [{ "command": ["sh", "-c", count] }] });
        job["paths"] = json!([bench.path("source"), bench.path("nowhere")]);
    });
    bench.ends(&tries, 3);
    assert_eq!(fs::read_to_string(bench.path("tries")).unwrap().lines().count(), 1, "a file that is not there is not waited for");
}

#[test]
fn a_job_can_go_to_one_of_its_repositories_only() {
    let bench = Bench::with_repository();
    second_repository(&bench);
    configure(&bench, &["second", "main"], |_| {});
    bench.ok(&[&RUN[..], &["--only", "second"]].concat());
    assert!(bench.snapshots().is_empty());
    let error = bench.fails(&[&RUN[..], &["--only", "third"]].concat(), 2);
    assert!(error.contains("`third`") && error.contains("second, main"), "{error}");
}

#[test]
fn patterns_find_directories_and_tell_what_is_new_and_what_has_gone() {
    let bench = Bench::with_repository();
    for name in ["volumes/one/data", "volumes/two/data"] {
        bench.write(name, b"x");
    }
    let pattern = bench.path("volumes/*").to_str().unwrap().to_owned();
    configure(&bench, &["main"], |job| job["paths"] = json!([pattern]));
    let first = bench.ends(&RUN, 0).1;
    assert!(!first.contains("is new"), "{first}");
    fs::remove_dir_all(bench.path("volumes/one")).unwrap();
    bench.write("volumes/three/data", b"x");
    let second = bench.ends(&RUN, 0).1;
    assert!(second.contains("volumes/three: is new") && second.contains("volumes/one: has gone"), "{second}");
    let third = bench.ends(&RUN, 0).1;
    assert!(!third.contains("is new") && !third.contains("has gone"), "{third}");
}

#[test]
fn patterns_lead_through_links_to_where_things_are() {
    let bench = Bench::with_repository();
    bench.write("real/one/data", b"x");
    std::os::unix::fs::symlink("real", bench.path("link")).unwrap();
    configure(&bench, &["main"], |job| job["paths"] = json!([bench.path("link/*")]));
    bench.ends(&RUN, 0);
    assert_eq!(dump(&bench, bench.path("real/one/data").to_str().unwrap()), "x");
}

#[test]
fn optional_paths_may_be_missing_and_others_not() {
    let bench = Bench::with_repository();
    configure(&bench, &["main"], |job| job["optionalPaths"] = json!([bench.path("absent")]));
    bench.ends(&RUN, 0);
    configure(&bench, &["main"], |job| job["paths"] = json!([bench.source(), bench.path("absent")]));
    let (_, error) = bench.ends(&RUN, 3);
    assert!(error.contains("absent: cannot be read"), "{error}");
    configure(&bench, &["main"], |job| job["paths"] = json!([bench.path("absent")]));
    let (_, error) = bench.ends(&RUN, 1);
    assert!(error.contains("nothing to save"), "{error}");
}

#[test]
fn presets_leave_out_what_they_name() {
    let bench = Bench::with_repository();
    for name in ["source/app.log", "source/.cache/x", "source/keep.tmpl", "source/half.tmp"] {
        bench.write(name, b"x");
    }
    configure(&bench, &["main"], |job| job["excludePresets"] = json!(["caches", "logs", "temporary"]));
    bench.ends(&RUN, 0);
    let list = bench.ok(&["ls", "latest", &bench.source(), "-R", "--key", "hearth-restore.key"]);
    assert!(list.contains("keep.tmpl") && !list.contains("app.log") && !list.contains("half.tmp") && !list.contains(".cache/x"), "{list}");
}

#[test]
fn a_signal_ends_a_job_and_the_program_that_it_waits_for() {
    let bench = Bench::with_repository();
    let note = bench.path("pid");
    configure(&bench, &["main"], |job| {
        let script = format!("echo $$ > {}; exec sleep 1000", note.display());
        job["commands"] = json!({ "silent": { "command": ["sh", "-c", script] } });
    });
    let mut run = bench.command(&RUN).stderr(std::process::Stdio::null()).spawn().unwrap();
    let started = std::time::Instant::now();
    let pid = loop {
        if let Some(pid) = fs::read_to_string(&note).ok().filter(|text| text.ends_with('\n')) {
            break pid.trim().parse::<i32>().unwrap();
        }
        assert!(started.elapsed().as_secs() < 60 && run.try_wait().unwrap().is_none(), "the program was never started");
        std::thread::yield_now();
    };
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(i32::try_from(run.id()).unwrap()), nix::sys::signal::Signal::SIGTERM).unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(143));
    assert!(nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None).is_err(), "the program is still there");
    assert!(bench.snapshots().is_empty());
}

#[test]
fn hooks_run_around_a_job_and_know_how_it_ended() {
    let bench = Bench::with_repository();
    let log = bench.path("log").to_str().unwrap().to_owned();
    let say = |what: &str| json!([{ "command": ["sh", "-c", format!("echo {what} $HEARTH_JOB $HEARTH_RESULT >> {log}")] }]);
    let hooks = json!({ "before": say("before"), "afterSuccess": say("good"), "afterFailure": say("bad"), "always": say("end") });
    configure(&bench, &["main"], |job| job["hooks"] = hooks.clone());
    bench.ends(&RUN, 0);
    let said = fs::read_to_string(&log).unwrap();
    assert_eq!(said, "before state\ngood state success\nend state success\n");

    fs::remove_file(&log).unwrap();
    configure(&bench, &["main"], |job| {
        job["hooks"] = hooks.clone();
        job["hooks"]["before"] = json!([{ "command": ["false"] }]);
    });
    let (_, error) = bench.ends(&RUN, 1);
    assert!(error.contains("`false` ended with exit status: 1") && error.contains("nothing was saved"), "{error}");
    assert_eq!(fs::read_to_string(&log).unwrap(), "bad state failure\nend state failure\n");
    assert_eq!(bench.snapshots().len(), 1);
}

#[test]
fn a_configuration_is_checked_without_running_anything() {
    let bench = Bench::with_repository();
    configure(&bench, &["main"], |job| job["commands"] = json!({ "x": { "command": ["touch", bench.path("ran")] } }));
    bench.write("hub.toml", b"[hub]\ndataDir = \"/srv/hub\"\n");
    let said = bench.ok(&["config", "check", "--config", "hub.toml"]);
    assert_eq!(said, "hub.toml is right\n  Hub  /srv/hub\n", "what there is none of is not shown");
    let said = bench.ok(&["config", "check", "--config", "config.json"]);
    assert!(said.contains("Jobs          state") && said.contains("Repositories  main"), "{said}");
    assert!(!bench.path("ran").exists());
    configure(&bench, &["main"], |job| job["exlude"] = json!([]));
    let error = bench.fails(&["config", "check", "--config", "config.json"], 1);
    assert!(error.contains("did you mean `exclude`?"), "{error}");
    let error = bench.fails(&["run", "state", "--config", "absent.json"], 1);
    assert!(error.contains("absent.json"), "{error}");
}

#[test]
fn the_schema_is_printed() {
    let bench = Bench::new();
    let schema: Value = serde_json::from_str(&bench.ok(&["config", "schema"])).unwrap();
    assert!(schema["$defs"]["Job"]["properties"]["optionalPaths"]["description"].is_string());
}

#[test]
fn all_repositories_of_a_job_get_the_same_dump() {
    let bench = Bench::with_repository();
    second_repository(&bench);
    let log = bench.path("log");
    configure(&bench, &["main", "second"], |job| {
        let script = format!("echo dumped >> {}; cat /proc/sys/kernel/random/uuid", log.display());
        job["commands"] = json!({ "dump": { "command": ["sh", "-c", script] } });
    });
    bench.ends(&RUN, 0);
    assert_eq!(fs::read_to_string(&log).unwrap(), "dumped\n");
    let place = bench.path("second");
    let second = bench.ok(&[
        "dump",
        "latest",
        "/@commands/dump",
        "--repo",
        place.to_str().unwrap(),
        "--key",
        "second-restore.key",
        "--job",
        "state",
    ]);
    assert_eq!(dump(&bench, "/@commands/dump"), second);
}

#[test]
fn a_job_reads_and_writes_no_faster_than_its_limits_say() {
    let bench = Bench::with_repository();
    let noise: Vec<u8> = (0..3_000_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for limit in ["readRate", "uploadRate"] {
        bench.write("source/large", &[limit.as_bytes(), noise.as_slice()].concat());
        let mut limits = serde_json::Map::new();
        limits.insert(limit.into(), json!(if limit == "readRate" { 10_000_000 } else { 100_000 }));
        configure(&bench, &["main"], |job| job["limits"] = json!(limits));
        let done = &bench.json(&RUN)["repositories"][0];
        // Less than the limit allows is only a slow machine; more than it allows is a fault.
        let moved = done["statistics"][if limit == "readRate" { "bytes_read" } else { "bytes_stored" }].as_f64().unwrap();
        let least = moved / limits[limit].as_f64().unwrap() - 0.1;
        assert!(least > 0.0 && done["seconds"].as_f64().unwrap() >= least, "{limit}: {done}");
    }
    configure(&bench, &["main"], |job| job["limits"] = json!({ "readRate": 0 }));
    assert!(bench.fails(&RUN, 1).contains("limits.readRate: must be at least one byte a second"));
    configure(&bench, &["main"], |job| job["limits"] = json!({ "uploadRate": 50 }));
    assert!(bench.fails(&RUN, 1).contains("limits.uploadRate: that is 50 bytes a second; write the unit, such as `50kB`"));
}

#[test]
fn a_run_whose_window_ends_stops_with_what_it_has_and_the_next_one_goes_on_from_there() {
    use hearth_backup::config::Config;
    use hearth_backup::job::{HookLog, JobError, RunOptions, run};
    use hearth_backup::model::event::Silent;
    let bench = Bench::with_repository();
    let noise = |seed: u64| -> Vec<u8> {
        let words = (0..1_u64 << 20).map(|number| (number + (seed << 20)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29));
        words.flat_map(|word| word.wrapping_mul(0xbf58_476d_1ce4_e5b9).to_le_bytes()).collect()
    };
    for number in 0..20 {
        bench.write(&format!("source/noise-{number:02}"), &noise(number));
    }
    configure(&bench, &["main"], |job| job["window"] = json!({ "from": "22:00", "to": "06:00" }));
    let config = Config::read(&bench.path("config.json")).unwrap();
    let packs = bench.path("repo/packs");
    let stored = || stored_below(&packs);
    // The window closes as soon as something is stored.
    let at = |moment: &str| moment.parse::<jiff::Timestamp>().unwrap().to_zoned(jiff::tz::TimeZone::UTC);
    let closing = || at(if stored() == 0 { "2026-11-21T23:00:00Z" } else { "2026-11-22T06:00:00Z" });
    let log = HookLog::default();
    let options = |clock| RunOptions {
        config: &config,
        job: "state",
        host: "h".into(),
        state_base: bench.path("state"),
        credentials: None,
        access: hearth_backup::store::Access::default(),
        dry_run: false,
        only: Vec::new(),
        wait: false,
        now: false,
        clock,
        log: &log,
    };
    assert!(matches!(run(&options(&closing), &Silent), Err(JobError::WindowEnded { .. })));
    let first = stored();
    assert!(first > 0 && bench.snapshots().is_empty());
    let night = || at("2026-11-22T23:00:00Z");
    let outcomes = run(&options(&night), &Silent).unwrap();
    let stored_then = outcomes[0].result.as_ref().unwrap().statistics.bytes_stored;
    assert!(stored_then < 170 << 20 && stored_then > 0, "{stored_then} bytes once more");
    assert!(stored() < (180 << 20), "{} bytes in all", stored());
    assert_eq!(bench.snapshots().len(), 1);
}

/// Bytes of the files below a directory that others work in.
fn stored_below(folder: &std::path::Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| if entry.path().is_dir() { stored_below(&entry.path()) } else { entry.metadata().map_or(0, |found| found.len()) })
        .sum()
}
