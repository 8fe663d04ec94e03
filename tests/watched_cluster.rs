//! What a user relies on: a hub, two hosts and a machine that tries restores are watched over by a real Prometheus with the alert rules of the documents,
//! and by the hub itself. One host falls silent, a job fails, a snapshot shrinks, a mirror rots, and a dump can no longer be loaded. Each is noticed within one
//! cycle by what is there for it, and nothing else rings.
//!
//! Says SKIPPED without Prometheus, faketime (for a host that fell silent hours ago), PostgreSQL, root or bubblewrap.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod cli_common;
#[path = "servers/postgresql.rs"]
mod postgresql;
#[path = "hub/raw.rs"]
mod raw;

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cli_common::{Bench, expect};
use postgresql::Cluster;
use serde_json::{Value, json};

const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";
/// The longest that anything here may take, on a machine with much else to do.
const PATIENCE: Duration = Duration::from_secs(240);

/// When something happens.
#[derive(Clone, Copy, PartialEq)]
enum When {
    HoursAgo,
    Now,
}

/// A server that ends with the test.
struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Scene {
    bench: Bench,
    port: u16,
    source: Cluster,
}

fn skipped() -> Option<&'static str> {
    let has = |program: &str, arguments: &[&str]| {
        Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    if !has("prometheus", &["--version"]) {
        return Some("no prometheus");
    }
    if !Path::new(FAKETIME).exists() {
        return Some("no libfaketime (Debian: faketime)");
    }
    (!has("bwrap", &["--unshare-all", "--unshare-user", "--ro-bind", "/", "/", "true"]))
        .then_some("no sandbox: bubblewrap and user namespaces")
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Scene {
    /// A hub with a mirror, hosts `quince` and `rowan`, and a machine `vault` that tries restores; nothing has run yet.
    fn new() -> Option<Self> {
        if let Some(why) = skipped() {
            println!("SKIPPED: {why}");
            return None;
        }
        let scene = Self { source: Cluster::start()?, bench: Bench::new(), port: free_port() };
        let bench = &scene.bench;
        scene.source.ask("postgres", "create database shop");
        scene.source.ask("shop", "create table prices (cents int); insert into prices select generate_series(1, 1000)");
        bench.write("quince/file", b"one");
        bench.write("apps/file", b"two");
        for number in 0..8 {
            bench.write(&format!("photos/{number}"), &raw::noise(number, 1_000_000));
        }
        scene.configure();
        let add = |name: &str, role: &str, repository: Option<&str>| {
            let data = scene.path("data");
            let output = scene.path(&format!("{name}.token"));
            let mut arguments = vec!["hub", "token", "add", name, "--role", role, "--data", &data, "--output", &output];
            arguments.extend(repository.iter().flat_map(|repository| ["--repository", *repository]));
            bench.ok(&arguments);
        };
        for host in ["quince", "rowan"] {
            add(host, "writer", None);
            add(&format!("{host}-admin"), "maintainer", Some(host));
            add(&format!("vault-{host}"), "reader", Some(host));
        }
        add("prometheus", "viewer", None);
        Some(scene)
    }

    fn path(&self, name: &str) -> String {
        self.bench.path(name).to_str().unwrap().to_owned()
    }

    fn configure(&self) {
        let base = format!("http://127.0.0.1:{}", self.port);
        let heard = format!("(echo \"$HEARTH_EVENT: $HEARTH_TITLE\"; cat) >> {}", self.path("heard"));
        let hub = json!({
            "host": "ursula",
            "hub": {
                "dataDir": self.path("data"), "listen": [format!("127.0.0.1:{}", self.port)],
                "mirrors": { "friend": { "url": format!("{}/{{repository}}", self.path("friend")), "verify": 100, "offsite": true, "media": "hdd" } },
                "notify": { "command": ["sh", "-c", heard] },
                // The disk of whoever runs the tests may be full.
                "watch": { "tell": ["silent", "failing", "warnings", "suspicious", "integrity", "upkeep", "mirror", "unverified", "untried"], "drillWithin": "30d" },
            },
        });
        let repository = |host: &str| {
            json!({
                "url": format!("{base}/{host}"), "writerKey": self.path(&format!("{host}.writer")), "token": self.path(&format!("{host}.token")),
                "copy": { "media": "ssd" },
            })
        };
        let job = |paths: &[&str]| {
            let paths: Vec<String> = paths.iter().map(|path| self.path(path)).collect();
            json!({ "paths": paths, "repositories": ["hub"], "every": "1h" })
        };
        let quince = json!({ "host": "quince", "stateDir": self.path("state-quince"), "repositories": { "hub": repository("quince") }, "jobs": { "state": job(&["quince"]) } });
        let mut databases = job(&[]);
        databases["postgresql"] = json!({ "databases": ["shop"], "host": self.source.socket() });
        let rowan = json!({
            "host": "rowan", "stateDir": self.path("state-rowan"), "repositories": { "hub": repository("rowan") },
            "jobs": { "apps": job(&["apps"]), "photos": job(&["photos"]), "databases": databases },
        });
        let read = |host: &str| json!({ "url": format!("{base}/{host}"), "token": self.path(&format!("vault-{host}.token")) });
        let drill =
            |host: &str| json!({ "repository": host, "key": self.path(&format!("{host}.restore")), "scratch": self.path("scratch") });
        let mut of_databases = drill("rowan");
        of_databases["job"] = json!("databases");
        of_databases["postgresql"] = json!({ "databases": ["shop"], "assertions": { "shop": ["select count(*) = 1000 from prices"] } });
        let vault = json!({
            "host": "vault", "stateDir": self.path("state-vault"), "repositories": { "quince": read("quince"), "rowan": read("rowan") },
            "drills": { "quince": drill("quince"), "shop": of_databases },
        });
        // What lies at the friend's is tried there.
        let of_friend = |host: &str| {
            let mut tried = drill(host);
            (tried["mirror"], tried["scratch"]) = (json!("friend"), json!(self.path("scratch-friend")));
            tried
        };
        let there = |host: &str| json!({ "url": self.path(&format!("friend/{host}")) });
        let friend = json!({
            "host": "vault", "stateDir": self.path("state-friend"), "repositories": { "quince": there("quince"), "rowan": there("rowan") },
            "reportTo": { "url": format!("{base}/quince"), "token": self.path("vault-quince.token") },
            "drills": { "friend-quince": of_friend("quince"), "friend-rowan": of_friend("rowan") },
        });
        for (name, config) in [("hub", hub), ("quince", quince), ("rowan", rowan), ("vault", vault), ("friend", friend)] {
            self.bench.write(&format!("{name}.json"), config.to_string().as_bytes());
        }
    }

    fn command(&self, when: When, arguments: &[&str]) -> Command {
        let mut command = self.bench.command(arguments);
        command.env_remove("HEARTH_REPO");
        if when == When::HoursAgo {
            command.env("LD_PRELOAD", FAKETIME).env("FAKETIME", "-3h").env("DONT_FAKE_MONOTONIC", "1").env("NO_FAKE_STAT", "1");
        }
        command
    }

    fn ends(&self, when: When, arguments: &[&str], code: i32) {
        expect(self.command(when, arguments).output().unwrap(), code, arguments);
    }

    /// The hub, which answers already.
    fn hub(&self, when: When) -> Served {
        let log = fs::File::options().create(true).append(true).open(self.bench.path("hub.log")).unwrap();
        let mut command = self.command(when, &["hub", "serve", "--config", "hub.json"]);
        let hub = Served(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
        wait_for("the hub", || TcpStream::connect(("127.0.0.1", self.port)).is_ok().then_some(()));
        hub
    }

    fn init(&self, when: When) {
        for host in ["quince", "rowan"] {
            let url = format!("http://127.0.0.1:{}/{host}", self.port);
            let (writer, restore) = (self.path(&format!("{host}.writer")), self.path(&format!("{host}.restore")));
            let token = self.path(&format!("{host}-admin.token"));
            self.ends(when, &["init", "--repo", &url, "--token-file", &token, "--writer-key", &writer, "--restore-key", &restore], 0);
        }
    }

    /// A real Prometheus with the rules, which has looked at everything.
    fn alerts(&self) -> BTreeSet<String> {
        let rules = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/monitoring/hearth-backup.rules.yml")).unwrap();
        // Alerts wait for a while until they ring; whether they come is seen without that.
        let rules: String = rules.lines().filter(|line| !line.trim_start().starts_with("for: ")).flat_map(|line| [line, "\n"]).collect();
        self.bench.write("prometheus/rules.yml", rules.as_bytes());
        let config = json!({
            "global": { "scrape_interval": "1s", "evaluation_interval": "1s" },
            "rule_files": ["rules.yml"],
            "scrape_configs": [{
                "job_name": "hearth-backup", "honor_labels": true, "authorization": { "credentials_file": self.path("prometheus.token") },
                "static_configs": [{ "targets": [format!("127.0.0.1:{}", self.port)] }],
            }],
        });
        // YAML takes JSON.
        self.bench.write("prometheus/prometheus.yml", config.to_string().as_bytes());
        let port = free_port();
        let log = fs::File::create(self.bench.path("prometheus.log")).unwrap();
        let _prometheus = Served(
            Command::new("prometheus")
                .arg(format!("--config.file={}", self.path("prometheus/prometheus.yml")))
                .arg(format!("--storage.tsdb.path={}", self.path("prometheus/data")))
                .arg(format!("--web.listen-address=127.0.0.1:{port}"))
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()
                .unwrap(),
        );
        let seen = || -> Option<()> {
            let answer = get(port, "/api/v1/query?query=hearth_backup_hub_info")?;
            (!answer["data"]["result"].as_array()?.is_empty()).then_some(())
        };
        wait_for("Prometheus", seen);
        // Recorded series stand on each other, over three evaluations of each group.
        let evaluations = || -> Option<f64> {
            let answer = get(port, "/api/v1/query?query=min(prometheus_rule_group_iterations_total)")?;
            if let Some(count) = answer["data"]["result"][0]["value"][1].as_str() {
                return count.parse().ok();
            }
            // It does not scrape itself: its own page says it.
            let page = page(port, "/metrics")?;
            let counts = page.lines().filter(|line| line.starts_with("prometheus_rule_group_iterations_total{"));
            counts.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).reduce(f64::min)
        };
        let begun = wait_for("rules", evaluations);
        wait_for("a cycle of the rules", || evaluations().filter(|count| *count >= begun + 4.0));
        let answer = get(port, "/api/v1/alerts").unwrap();
        let alerts = answer["data"]["alerts"].as_array().unwrap().iter().map(|alert| {
            let label = |name: &str| alert["labels"][name].as_str().unwrap_or_default().to_owned();
            let about = ["host", "job", "drill", "mirror", "repository"].map(label).into_iter().filter(|text| !text.is_empty());
            format!("{} {}", label("alertname"), about.collect::<Vec<_>>().join("/"))
        });
        // The disk of whoever runs the tests may be full.
        alerts.filter(|alert| !alert.starts_with("HearthBackupDisk")).collect()
    }

    /// What the hub tells people of at its next look.
    fn told(&self) -> Vec<String> {
        let _ = fs::remove_file(self.bench.path("heard"));
        self.ends(When::Now, &["hub", "watch", "--config", "hub.json"], 0);
        fs::read_to_string(self.bench.path("heard")).unwrap_or_default().lines().map(str::to_owned).collect()
    }
}

fn wait_for<T>(what: &str, mut there: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = there() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "{what} did not come");
        std::thread::yield_now();
    }
}

fn page(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text.split_once("\r\n\r\n")?.1.to_owned())
}

fn get(port: u16, path: &str) -> Option<Value> {
    serde_json::from_str(&page(port, path)?).ok()
}

#[test]
fn whatever_becomes_wrong_in_a_cluster_is_noticed_by_what_is_there_for_it_and_nothing_else_rings() {
    let Some(scene) = Scene::new() else { return };
    let run = |when, host: &str, job: &str, code| scene.ends(when, &["run", job, "--config", &format!("{host}.json")], code);
    let drill = |when, name: &str, code| scene.ends(when, &["drill", name, "--config", "vault.json"], code);
    let maintain = |when, code| scene.ends(when, &["hub", "maintain", "--config", "hub.json", "--verify-all"], code);
    // Three hours ago all is well.
    let hub = scene.hub(When::HoursAgo);
    scene.init(When::HoursAgo);
    run(When::HoursAgo, "quince", "state", 0);
    for job in ["apps", "photos", "databases"] {
        run(When::HoursAgo, "rowan", job, 0);
    }
    for name in ["quince", "shop"] {
        drill(When::HoursAgo, name, 0);
    }
    maintain(When::HoursAgo, 0);
    for name in ["friend-quince", "friend-rowan"] {
        scene.ends(When::HoursAgo, &["drill", name, "--config", "friend.json"], 0);
    }
    drop(hub);
    // Since then quince is silent. Of rowan one job fails, photos have gone, and the index of a table needs what a restore does not have.
    let _hub = scene.hub(When::Now);
    fs::remove_dir_all(scene.bench.path("apps")).unwrap();
    (1..8).for_each(|number| fs::remove_file(scene.bench.path(format!("photos/{number}"))).unwrap());
    scene.source.ask("shop", "create table rates (rate int); insert into rates values (2)");
    scene.source.ask(
        "shop",
        "create function rated(cents int) returns int immutable language plpgsql as 'begin return cents * (select rate from rates); end'",
    );
    scene.source.ask("shop", "create index on prices (rated(cents))");
    run(When::Now, "rowan", "apps", 1);
    run(When::Now, "rowan", "photos", 0);
    run(When::Now, "rowan", "databases", 0);
    drill(When::Now, "shop", 1);
    // A byte of quince's mirror has changed on the friend's disk.
    let pack = find_pack(&scene.bench.path("friend/quince/packs"));
    let mut bytes = fs::read(&pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&pack, bytes).unwrap();
    scene.ends(When::Now, &["hub", "maintain", "--config", "hub.json"], 3);

    let rang = scene.alerts();
    let expected = [
        "HearthBackupStale quince/state",
        "HearthBackupFailed rowan/apps",
        "HearthBackupSnapshotShrunk rowan/photos",
        "HearthBackupMirrorFailed friend/quince",
        "HearthBackupDrillFailed vault-rowan/shop/rowan",
    ];
    assert_eq!(
        rang,
        expected.into_iter().map(str::to_owned).collect(),
        "{}",
        fs::read_to_string(scene.bench.path("prometheus.log")).unwrap()
    );

    let told = scene.told();
    assert_eq!(told[0], "failure: ursula: 5 problems", "{told:#?}");
    for (begin, holds) in [
        ("job state of quince: no run was reported since ", "the last success was 3 hours ago"),
        ("job apps of rowan: the last run ended with failure", "nothing"),
        ("job photos of rowan: the newest snapshot in hub: the source shrank from 7.6 MiB to ", "not mounted"),
        ("repository quince: mirror friend: ", "pack"),
        ("drill shop of vault-rowan: the last run ended with failure: postgresql shop: ", "the last success was 3 hours ago"),
    ] {
        let line = told.iter().find(|line| line.starts_with(begin)).unwrap_or_else(|| panic!("{begin} in {told:#?}"));
        assert!(line.contains(holds), "{holds} in {line}");
    }
    assert_eq!(told.len(), 6, "{told:#?}");
    assert!(scene.told().is_empty(), "once");

    // Where a host looks at itself, it says the same.
    scene.ends(When::Now, &["status", "--config", "quince.json"], 1);
    scene.ends(When::Now, &["status", "--config", "rowan.json"], 1);
    scene.ends(When::Now, &["status", "--config", "vault.json"], 1);
}

/// Some pack of a repository in a directory.
fn find_pack(folder: &Path) -> std::path::PathBuf {
    let below = |folder: &Path| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    below(folder).iter().flat_map(|folder| below(folder)).max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap()
}
