//! A real Pushgateway is told of every run, and shows each job as itself.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod cli_common;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use cli_common::Bench;
use serde_json::{Value, json};

/// A Pushgateway of Prometheus; ended with the value.
struct Gateway {
    process: Child,
    address: String,
}

impl Gateway {
    /// None if none is installed.
    fn start(arguments: &[&str]) -> Option<Self> {
        let started = Command::new("prometheus-pushgateway")
            .args(["--web.listen-address=127.0.0.1:0", "--log.level=info"])
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut process) = started else {
            println!("SKIPPED: no prometheus-pushgateway");
            return None;
        };
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let address = lines.by_ref().map(Result::unwrap).find_map(|line| {
            let address = line.split("127.0.0.1:").nth(1)?.split('"').next()?.trim().to_owned();
            (address != "0").then(|| format!("127.0.0.1:{address}"))
        });
        // Its log is read on, or it would wait for us.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self { process, address: address.expect("it never said where it listens") })
    }

    fn shows(&self, authorization: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "GET /metrics HTTP/1.0\r\n{authorization}\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A bench whose runs tell a gateway.
fn bench(gateway: &Gateway, credentials: Option<&str>) -> Bench {
    let bench = Bench::with_repository();
    let job = json!({ "paths": [bench.source()], "repositories": ["main"], "every": "24h" });
    let mut config = json!({
        "host": "rex",
        "repositories": { "main": { "url": bench.path("repo"), "writerKey": bench.path("hearth-writer.key") } },
        "jobs": { "state": job, "photos": job },
        "monitoring": { "pushgateway": { "url": format!("http://{}", gateway.address) } },
    });
    if let Some(pair) = credentials {
        bench.write("pair", pair.as_bytes());
        config["monitoring"]["pushgateway"]["credentials"] = Value::String(bench.path("pair").to_str().unwrap().to_owned());
    }
    bench.write("config.json", config.to_string().as_bytes());
    bench
}

#[test]
fn each_job_has_a_group_of_its_own_and_what_was_pushed_is_replaced() {
    let Some(gateway) = Gateway::start(&[]) else { return };
    let bench = bench(&gateway, None);
    for _ in 0..2 {
        bench.ok(&["run", "state", "--config", "config.json"]);
    }
    bench.ok(&["run", "photos", "--config", "config.json"]);
    bench.ok(&["maintain", "main", "--only", "check", "--config", "config.json"]);
    let text = gateway.shows("");
    let of = |start: &str| text.lines().filter(|line| line.starts_with(start)).map(str::to_owned).collect::<Vec<_>>();
    let ages = of("hearth_backup_last_success_timestamp_seconds{");
    assert_eq!(ages.len(), 2, "{ages:?}");
    for job in ["state", "photos"] {
        let labels = format!("host=\"rex\",instance=\"\",job=\"{job}\",repository=\"main\"");
        assert!(ages.iter().any(|line| line.contains(&labels)), "{labels} in {ages:?}");
    }
    let tasks = of("hearth_backup_task_last_run_success{");
    assert!(tasks.len() == 1 && tasks[0].contains("kind=\"check\"") && tasks[0].contains("name=\"main\""), "{tasks:?}");
}

#[test]
fn a_gateway_that_asks_for_a_password_gets_it_and_nobody_else_sees_it() {
    // The password `secret`, by bcrypt.
    let hashed = Command::new("python3")
        .args(["-W", "ignore", "-c", "import crypt; print(crypt.crypt('secret', crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16)))"])
        .output();
    let hash = hashed.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    if !hash.starts_with("$2b$") {
        println!("SKIPPED: no python3 with crypt");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("web.yml");
    std::fs::write(&file, format!("basic_auth_users:\n  hearth: '{hash}'\n")).unwrap();
    let Some(gateway) = Gateway::start(&[&format!("--web.config.file={}", file.display())]) else { return };
    let wrong = bench(&gateway, Some("hearth:guess"));
    let (_, error) = wrong.ends(&["run", "state", "--config", "config.json"], 0);
    assert!(error.contains("is not told of this run: the server answered 401") && !error.contains("guess"), "{error}");
    let odd = bench(&gateway, Some("no pair"));
    let (_, error) = odd.ends(&["run", "state", "--config", "config.json"], 0);
    assert!(error.contains("must hold one line, USER:PASSWORD") && !error.contains("no pair"), "{error}");
    let right = bench(&gateway, Some("hearth:secret\n"));
    let (_, error) = right.ends(&["run", "state", "--config", "config.json"], 0);
    assert!(!error.contains("is not told"), "{error}");
    // "hearth:secret" in base64.
    assert!(gateway.shows("Authorization: Basic aGVhcnRoOnNlY3JldA==\r\n").contains("hearth_backup_last_success_timestamp_seconds{"));
}
