//! What is stopped for a job goes on whatever happens to the job.
//!
//! systemd and container engines are played by stand-ins (`tests/stand_ins`), which answer in the formats of the real ones.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod cli_common;
mod stand_ins;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use cli_common::{Bench, expect};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use stand_ins::{StandIns, kill_hard, lasting, started};

const RUN: [&str; 4] = ["run", "state", "--config", "config.json"];
const SETTLE: [&str; 4] = ["settle", "state", "--config", "config.json"];

/// A bench whose job stops services, and systemd's stand-in.
struct Services {
    bench: Bench,
    systemd: StandIns,
}

impl Services {
    fn new(job: &Value) -> Self {
        let services = Self { bench: Bench::with_repository(), systemd: StandIns::new("systemctl.py", &["systemctl"]) };
        services.systemd.set(&json!({ "units": { "a.service": "active", "b.service": "active", "idle.service": "inactive" } }));
        let mut whole = json!({ "quiesce": { "services": ["a.service", "idle.service", "b.service"] } });
        whole.as_object_mut().unwrap().extend(job.as_object().unwrap().clone());
        services.bench.configure(&whole);
        services
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.bench.command(arguments);
        self.systemd.on(&mut command);
        command
    }

    fn ends(&self, arguments: &[&str], code: i32) -> (String, String) {
        expect(self.command(arguments).output().unwrap(), code, arguments)
    }

    fn state(&self, unit: &str) -> String {
        self.systemd.state()["units"][unit].as_str().unwrap().to_owned()
    }

    /// What was stopped and started, without questions.
    fn deeds(&self) -> Vec<String> {
        self.systemd.asked().into_iter().filter(|line| !line.starts_with("show")).collect()
    }

    fn journal(&self) -> bool {
        self.bench.path("state/jobs/state/quiesced").exists()
    }
}

#[test]
fn services_that_run_are_stopped_before_the_copy_and_started_after_it() {
    let services = Services::new(&json!({ "commands": { "states": { "command": ["sh", "-c", "cat $STAND_IN/state.json"] } } }));
    services.ends(&RUN, 0);
    let during: Value = serde_json::from_str(&services.bench.saved("/@commands/states")).unwrap();
    assert_eq!(during["units"], json!({ "a.service": "inactive", "b.service": "inactive", "idle.service": "inactive" }));
    assert_eq!(services.deeds(), ["stop a.service", "stop b.service", "start b.service", "start a.service"]);
    assert_eq!((services.state("a.service").as_str(), services.state("idle.service").as_str()), ("active", "inactive"));
    assert!(!services.journal());
}

#[test]
fn a_dry_run_stops_nothing() {
    let services = Services::new(&json!({}));
    services.ends(&[&RUN[..], &["--dry-run"]].concat(), 0);
    assert!(services.deeds().is_empty());
}

#[test]
fn services_start_again_when_the_copy_fails() {
    let services = Services::new(&json!({}));
    // Where packs would go there is a file.
    services.bench.write("repo/packs", b"no folder");
    services.ends(&RUN, 1);
    assert_eq!(services.deeds().len(), 4);
    assert_eq!(services.state("a.service"), "active");
    let services = Services::new(&json!({ "paths": [services.bench.path("absent")] }));
    services.ends(&RUN, 1);
    assert_eq!(services.state("a.service"), "active");
}

#[test]
fn nothing_is_stopped_for_a_repository_that_is_not_there() {
    let services = Services::new(&json!({}));
    fs::rename(services.bench.path("repo"), services.bench.path("unplugged")).unwrap();
    services.ends(&RUN, 1);
    assert!(services.deeds().is_empty());
}

#[test]
fn a_unit_that_does_not_exist_is_an_error_before_anything_is_stopped() {
    let services = Services::new(&json!({ "quiesce": { "services": ["a.service", "typo.service"] } }));
    let (_, error) = services.ends(&RUN, 1);
    assert!(error.contains("there is no unit `typo.service`") && error.contains("nothing was saved"), "{error}");
    assert!(services.deeds().is_empty());
}

#[test]
fn a_signal_in_the_middle_starts_services_again() {
    let services = Services::new(&json!({}));
    let note = services.bench.path("note");
    services.bench.configure(&json!({ "quiesce": { "services": ["a.service"] }, "commands": { "silent": lasting(&note) } }));
    let (mut run, _) = started(&mut services.command(&RUN), &note);
    assert_eq!(services.state("a.service"), "inactive");
    kill(Pid::from_raw(run.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(143));
    assert_eq!(services.state("a.service"), "active");
    assert!(!services.journal());
}

/// Kills a run while its services are stopped.
fn killed() -> Services {
    let services = Services::new(&json!({}));
    let note = services.bench.path("note");
    let quiesce = json!({ "services": ["a.service", "b.service"] });
    services.bench.configure(&json!({ "quiesce": quiesce, "commands": { "silent": lasting(&note) } }));
    let (run, command) = started(&mut services.command(&RUN), &note);
    services.ends(&SETTLE, 0);
    assert_eq!(services.state("a.service"), "inactive", "settle does nothing while the job runs");
    kill_hard(run, command);
    assert_eq!(services.state("b.service"), "inactive");
    assert!(services.journal());
    services.bench.configure(&json!({ "quiesce": quiesce }));
    services.deeds();
    services
}

#[test]
fn after_a_kill_settle_starts_services_at_once() {
    let services = killed();
    let (_, said) = services.ends(&SETTLE, 0);
    assert!(said.contains("an earlier run ended"), "{said}");
    assert_eq!(services.deeds(), ["start b.service", "start a.service"]);
    assert!(!services.journal());
    services.ends(&SETTLE, 0);
    assert!(services.deeds().is_empty());
}

#[test]
fn after_a_kill_the_next_run_starts_services_first() {
    let services = killed();
    services.ends(&RUN, 0);
    let deeds = services.deeds();
    assert_eq!(deeds[..3], ["start b.service", "start a.service", "stop a.service"]);
    assert_eq!((services.state("a.service"), services.state("b.service")), ("active".into(), "active".into()));
}

#[test]
fn a_service_that_does_not_start_is_an_error_that_is_not_forgotten() {
    let services = Services::new(&json!({}));
    let mut state = services.systemd.state();
    state["broken"] = json!(["a.service"]);
    services.systemd.set(&state);
    let (_, error) = services.ends(&RUN, 3);
    assert!(
        error.contains("a.service") && error.contains("control process exited") && error.contains("systemctl status a.service"),
        "{error}"
    );
    assert_eq!(services.state("b.service"), "active", "the others start all the same");
    services.ends(&RUN, 3);
    services.ends(&SETTLE, 1);
    services.systemd.set(&json!({ "units": services.systemd.state()["units"] }));
    services.ends(&SETTLE, 0);
    assert_eq!(services.state("a.service"), "active");
    assert!(!services.journal());
}

#[test]
fn what_was_frozen_is_thawed_and_the_report_tells_of_every_command() {
    let bench = Bench::with_repository();
    let log = bench.path("log");
    let say = |what: &str| json!({ "command": ["sh", "-c", format!("echo {what}; echo {what} >> {}", log.display())] });
    let quiesce = json!({ "freeze": [say("freeze")], "thaw": [say("thaw"), say("again")] });
    bench.configure(&json!({ "quiesce": quiesce, "hooks": { "before": [say("before")], "afterSuccess": [say("good")] } }));
    let report = bench.json(&RUN);
    assert_eq!(fs::read_to_string(&log).unwrap(), "before\nfreeze\nthaw\nagain\ngood\n");
    let hooks = report["hooks"].as_array().unwrap();
    let told: Vec<_> =
        hooks.iter().map(|hook| [&hook["when"], &hook["outcome"], &hook["output"]].map(|text| text.as_str().unwrap())).collect();
    assert_eq!(told[0], ["before", "success", "before\n"]);
    assert_eq!(told[1], ["quiesce", "success", "freeze\n"]);
    assert_eq!(told[4], ["afterSuccess", "success", "good\n"]);
    assert!(hooks.iter().all(|hook| hook["seconds"].is_f64() && hook["command"][0] == "sh"));

    fs::remove_file(&log).unwrap();
    let failing = json!({ "command": ["sh", "-c", "echo halfway; echo no guest agent >&2; exit 1"] });
    bench.configure(&json!({ "quiesce": { "freeze": [failing], "thaw": [say("thaw")] } }));
    let report = bench.json_ends(&RUN, 1);
    assert_eq!(fs::read_to_string(&log).unwrap(), "thaw\n");
    assert!(report["error"].as_str().unwrap().contains("nothing was saved"), "{report}");
    assert_eq!((&report["hooks"][0]["outcome"], &report["hooks"][0]["output"]), (&json!("failure"), &json!("halfway\n")));
    assert!(report["hooks"][0]["error"].as_str().unwrap().contains("no guest agent"), "{report}");
}

#[test]
fn a_second_run_of_a_job_says_who_runs_it_or_waits() {
    let bench = Bench::with_repository();
    let (fifo, note) = (bench.path("fifo"), bench.path("note"));
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let script = format!("echo $$ > {}; cat {}", note.display(), fifo.display());
    bench.configure(&json!({ "commands": { "waits": { "command": ["sh", "-c", script] } } }));
    let (mut first, _) = started(&mut bench.command(&RUN), &note);
    let error = bench.fails(&RUN, 1);
    assert!(error.contains(&format!("job `state` is being run by process {} since", first.id())) && error.contains("--wait"), "{error}");

    let mut second = bench.command(&[&RUN[..], &["--wait"]].concat()).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let said = BufReader::new(second.stderr.take().unwrap());
    let mut said = said.lines().map(Result::unwrap);
    assert!(said.any(|line| line.contains("waiting for it to end")));
    let reading = std::thread::spawn(move || said.count());
    assert!(!note.exists(), "the second has not begun");
    fs::OpenOptions::new().write(true).open(&fifo).unwrap().write_all(b"first").unwrap();
    assert!(first.wait().unwrap().success());
    fs::OpenOptions::new().write(true).open(&fifo).unwrap().write_all(b"second").unwrap();
    assert!(second.wait().unwrap().success());
    reading.join().unwrap();
    assert_eq!(bench.snapshots().len(), 2);
    assert_eq!(bench.saved("/@commands/waits"), "second");
}

/// A time of day so many hours from now, by the machine's clock.
fn hours_ahead(hours: i64) -> String {
    let later = jiff::Zoned::now().checked_add(jiff::SignedDuration::from_hours(hours)).unwrap();
    later.strftime("%H:%M").to_string()
}

#[test]
fn outside_of_its_window_a_job_does_nothing_and_says_so() {
    let services = Services::new(&json!({}));
    let window =
        |from, to| json!({ "quiesce": { "services": ["a.service"] }, "window": { "from": hours_ahead(from), "to": hours_ahead(to) } });
    services.bench.configure(&window(2, 4));
    let (_, said) = services.ends(&RUN, 3);
    assert!(said.contains(&format!("from {} to {} only", hours_ahead(2), hours_ahead(4))) && said.contains("--now"), "{said}");
    assert!(services.deeds().is_empty() && services.bench.snapshots().is_empty());
    services.ends(&[&RUN[..], &["--now"]].concat(), 0);
    assert_eq!(services.bench.snapshots().len(), 1);
    services.bench.configure(&window(-2, 2));
    services.ends(&RUN, 0);
    assert_eq!(services.bench.snapshots().len(), 2);
}

#[test]
fn what_a_job_starts_is_bound_by_its_limits() {
    let bench = Bench::with_repository();
    let limits = json!({ "nice": 5, "io": "idle", "threads": 1 });
    bench.configure(&json!({ "limits": limits, "commands": { "bounds": { "command": ["sh", "-c", "nice; ionice; nproc"] } } }));
    bench.ends(&RUN, 0);
    assert_eq!(bench.saved("/@commands/bounds"), "5\nidle\n1\n");
}

/// A bench with volumes of containers, and the engine's stand-in.
fn containers(engine: &str, options: &Value) -> (Bench, StandIns) {
    let bench = Bench::with_repository();
    let engines = StandIns::new("containers.py", &["docker", "podman"]);
    let volume = |name: &str, labels: Value| {
        bench.write(&format!("volumes/{name}/_data/file"), name.as_bytes());
        json!({ "Name": name, "Driver": "local", "Labels": labels, "Mountpoint": bench.path(format!("volumes/{name}/_data")), "Options": null })
    };
    let volumes = [volume("web-db", json!({ "backup": "true" })), volume("web-files", json!({})), volume("cache", Value::Null)];
    let container =
        |id: &str, name: &str, state: &str, volumes: &[&str]| json!({ "id": id, "name": name, "state": state, "volumes": volumes });
    engines.set(&json!({
        "engines": [engine],
        "volumes": volumes,
        "containers": [
            container("c1", "db", "running", &["web-db"]),
            container("c2", "app", "running", &["web-db", "web-files"]),
            container("c3", "old", "exited", &["web-db"]),
            container("c4", "other", "running", &["cache"]),
        ],
    }));
    bench.configure(&json!({ "paths": [], "containers": options }));
    (bench, engines)
}

fn run_with(bench: &Bench, stand_ins: &StandIns, arguments: &[&str], code: i32) -> (String, String) {
    expect(stand_ins.on(&mut bench.command(arguments)).output().unwrap(), code, arguments)
}

fn states(engines: &StandIns) -> Vec<String> {
    let state = engines.state();
    state["containers"].as_array().unwrap().iter().map(|one| one["state"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn volumes_of_containers_are_found_by_name_and_label_and_saved_at_their_places() {
    for engine in ["docker", "podman"] {
        let (bench, engines) = containers(engine, &json!({ "volumes": ["web-f*"], "labels": ["backup=true"] }));
        let (_, said) = run_with(&bench, &engines, &RUN, 0);
        assert!(!said.contains("is new"), "{said}");
        assert_eq!(bench.saved(bench.path("volumes/web-db/_data/file")), "web-db");
        assert_eq!(bench.saved(bench.path("volumes/web-files/_data/file")), "web-files");
        bench.fails(&["dump", "latest", bench.path("volumes/cache/_data/file").to_str().unwrap(), "--key", "hearth-restore.key"], 1);
        assert_eq!(states(&engines), ["running", "running", "exited", "running"], "nothing was stopped");
        let mut state = engines.state();
        let mut volumes = state["volumes"].as_array().unwrap().clone();
        volumes.retain(|volume| volume["Name"] != "web-files");
        bench.write("volumes/web-fresh/_data/file", b"x");
        volumes.push(json!({ "Name": "web-fresh", "Labels": {}, "Mountpoint": bench.path("volumes/web-fresh/_data"), "Options": {} }));
        state["volumes"] = json!(volumes);
        engines.set(&state);
        let (_, said) = run_with(&bench, &engines, &RUN, 0);
        assert!(said.contains("web-fresh/_data: is new") && said.contains("web-files/_data: has gone"), "{said}");
    }
}

#[test]
fn containers_that_use_the_volumes_are_halted_and_go_on() {
    for (quiesce, halted, verbs) in [("pause", "paused", ["pause", "unpause"]), ("stop", "exited", ["stop", "start"])] {
        let (bench, engines) = containers("docker", &json!({ "volumes": ["web-*"], "quiesce": quiesce }));
        let note = bench.path("note");
        let options = json!({ "volumes": ["web-*"], "quiesce": quiesce });
        bench.configure(&json!({ "paths": [], "containers": options, "commands": { "silent": lasting(&note) } }));
        let (run, command) = started(engines.on(&mut bench.command(&RUN)), &note);
        assert_eq!(states(&engines), [halted, halted, "exited", "running"]);
        kill_hard(run, command);
        engines.asked();
        run_with(&bench, &engines, &SETTLE, 0);
        assert_eq!(states(&engines), ["running", "running", "exited", "running"]);
        let undone: Vec<_> = engines.asked().into_iter().filter(|line| line.contains(verbs[1])).collect();
        assert_eq!(undone, [format!("docker {} c2", verbs[1]), format!("docker {} c1", verbs[1])]);

        bench.configure(&json!({ "paths": [], "containers": options }));
        run_with(&bench, &engines, &RUN, 0);
        assert_eq!(states(&engines), ["running", "running", "exited", "running"]);
        let asked = engines.asked();
        let deeds: Vec<_> = asked.iter().filter(|line| verbs.iter().any(|verb| line.starts_with(&format!("docker {verb} ")))).collect();
        assert_eq!(deeds.len(), 4, "{asked:?}");
    }
}

#[test]
fn without_an_engine_the_rest_of_the_job_is_saved_and_it_is_told() {
    let (bench, engines) = containers("none", &json!({}));
    bench.configure(&json!({ "containers": { "volumes": ["*"] } }));
    let (_, error) = run_with(&bench, &engines, &RUN, 3);
    assert!(error.contains("containers: ") && error.contains("Cannot connect") && error.contains("no volume of a container"), "{error}");
    assert_eq!(bench.saved(bench.path("source/a.txt")), "first");
}

#[test]
fn a_volume_that_is_mounted_on_demand_is_told_when_it_is_not() {
    let (bench, engines) = containers("docker", &json!({ "volumes": ["cache", "absent*"] }));
    let mut state = engines.state();
    state["volumes"][2]["Options"] = json!({ "device": ":/media", "o": "addr=nas", "type": "nfs" });
    engines.set(&state);
    let (_, said) = run_with(&bench, &engines, &RUN, 3);
    assert!(said.contains("volume cache: is mounted only while a container uses it"), "{said}");
    assert!(said.contains("absent*: matches no volume"), "{said}");
}

/// Docker or Podman themselves, where one answers: a volume is made, saved, and removed.
#[test]
fn a_real_engine_is_understood_where_there_is_one() {
    let answers = |engine: &&str| Command::new(engine).args(["volume", "ls"]).output().is_ok_and(|output| output.status.success());
    let Some(engine) = ["docker", "podman"].into_iter().find(answers) else {
        println!("SKIPPED: neither docker nor podman answers here; stand-ins are used in the other tests");
        return;
    };
    println!("asked: the real {engine}");
    let name = format!("hearth-test-{}", std::process::id());
    let output = |arguments: &[&str]| expect(Command::new(engine).args(arguments).output().unwrap(), 0, arguments).0;
    output(&["volume", "create", &name]);
    let place = output(&["volume", "inspect", "--format", "{{.Mountpoint}}", &name]);
    let bench = Bench::with_repository();
    bench.configure(&json!({ "paths": [], "containers": { "engine": engine, "volumes": [name], "quiesce": "pause" } }));
    let written = fs::write(format!("{}/file", place.trim()), b"x");
    let saved = written.map(|()| (bench.run(&RUN), bench.run(&["ls", "latest", place.trim(), "--key", "hearth-restore.key"])));
    output(&["volume", "rm", &name]);
    let (run, list) = saved.unwrap();
    expect(run, 0, RUN);
    assert!(expect(list, 0, "ls").0.contains("file"));
}
