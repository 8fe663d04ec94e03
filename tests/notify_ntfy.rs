//! People are told by a real ntfy server on loopback, which lets in only those who have a token.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod cli_common;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use cli_common::{Bench, expect};
use serde_json::{Value, json};

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program: `HEARTH_TEST_NTFY`, or in `PATH`. Without it there is nothing to test.
fn program() -> Option<PathBuf> {
    let named = std::env::var_os("HEARTH_TEST_NTFY").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found = named.into_iter().chain(std::env::split_paths(&path).map(|dir| dir.join("ntfy")));
    let found = found.find(|program| program.is_file());
    if found.is_none() {
        println!("SKIPPED: ntfy is not installed; tests/run brings it");
    }
    found
}

/// A server with the user `rex`, who may do everything with the topic `backups`, and nobody else anything. The process ends with this.
struct Server {
    address: String,
    token: String,
    process: Child,
}

impl Server {
    fn start(folder: &Path) -> Option<Self> {
        let program = program()?;
        // Somebody else may take it before the server does; that then ends, and the test fails.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let config = folder.join("ntfy.yml");
        let text = format!(
            "base-url: http://{address}\nlisten-http: {address}\nauth-file: {}\nauth-default-access: deny-all\ncache-file: {}\n",
            folder.join("users.db").display(),
            folder.join("cache.db").display()
        );
        fs::write(&config, text).unwrap();
        let ntfy = |arguments: &[&str]| {
            let mut command = Command::new(&program);
            command
                .arg(arguments[0])
                .arg("--config")
                .arg(&config)
                .args(&arguments[1..])
                .env("NTFY_PASSWORD", "s=cret")
                .stdin(Stdio::null());
            let (out, said) = expect(command.output().unwrap(), 0, arguments);
            out + &said
        };
        // It makes the file of users.
        let process =
            Command::new(&program).arg("serve").arg("--config").arg(&config).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut server = Self { address, token: String::new(), process };
        let begun = Instant::now();
        while server.get("/v1/health", "").is_none_or(|answer| !answer.contains("true")) {
            assert!(begun.elapsed() < PATIENCE && server.process.try_wait().unwrap().is_none(), "ntfy does not answer");
            thread::sleep(Duration::from_millis(50));
        }
        ntfy(&["user", "add", "rex"]);
        ntfy(&["access", "rex", "backups", "rw"]);
        let said = ntfy(&["token", "add", "rex"]);
        server.token = said.split_whitespace().find(|word| word.starts_with("tk_")).expect("a token").to_owned();
        Some(server)
    }

    /// The body of an answer; none if there is no server yet.
    fn get(&self, path: &str, headers: &str) -> Option<String> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {}\r\n{headers}\r\n", self.address).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer.split_once("\r\n\r\n")?.1.to_owned())
    }

    /// What people see, the oldest first.
    fn messages(&self) -> Vec<Value> {
        let lines = self.get("/backups/json?poll=1", &format!("Authorization: Bearer {}\r\n", self.token)).unwrap();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn configure(bench: &Bench, server: &Server, change: &Value) {
    bench.write("token", format!("{}\n", server.token).as_bytes());
    let mut ntfy =
        json!({ "url": format!("http://{}", server.address), "topic": "backups", "tokenFile": bench.path("token"), "tags": ["rex"] });
    ntfy.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    ntfy.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    let job = json!({ "paths": [bench.source()], "repositories": ["main"], "notify": { "ntfy": ntfy } });
    let main = json!({ "url": bench.path("repo"), "writerKey": bench.path("hearth-writer.key") });
    let config = json!({ "host": "h\u{e4}uschen", "repositories": { "main": main }, "jobs": { "state": job } });
    bench.write("config.json", config.to_string().as_bytes());
}

#[test]
fn people_see_what_failed_and_that_it_works_again() {
    let bench = Bench::with_repository();
    let Some(server) = Server::start(&bench.path("")) else { return };
    configure(&bench, &server, &json!({}));
    fs::rename(bench.path("repo"), bench.path("away")).unwrap();
    let run = ["run", "state", "--config", "config.json", "--notify"];
    let (_, said) = bench.ends(&run, 1);
    assert!(!said.contains(&server.token), "{said}");
    fs::rename(bench.path("away"), bench.path("repo")).unwrap();
    bench.ok(&run);
    bench.ok(&run);
    let messages = server.messages();
    assert_eq!(messages.len(), 2, "of the second good run nobody wants to hear: {messages:?}");
    let (failed, again) = (&messages[0], &messages[1]);
    assert_eq!((&failed["title"], &failed["priority"]), (&json!("h\u{e4}uschen: backup state failed"), &json!(4)));
    assert_eq!(failed["tags"], json!(["rotating_light", "rex"]));
    let text = failed["message"].as_str().unwrap();
    assert!(
        text.starts_with("Job state on host h\u{e4}uschen failed.\n")
            && text.contains("\nWhy: ")
            && text.contains("\nThe end of its log:\n"),
        "{text}"
    );
    assert_eq!((&again["title"], &again["tags"]), (&json!("h\u{e4}uschen: backup state works again"), &json!(["green_heart", "rex"])));
    // The usual priority is not said.
    assert!(again["priority"].is_null() || again["priority"] == 3, "{again}");
}

#[test]
fn a_text_that_is_as_long_as_it_may_be_is_no_attachment() {
    let bench = Bench::new();
    let Some(server) = Server::start(&bench.path("")) else { return };
    configure(&bench, &server, &json!({}));
    let report = json!({
        "version": 1, "id": "0".repeat(32), "program": "0.1.0", "host": "q", "kind": "backup", "job": "state", "outcome": "failure",
        "started": "2026-11-20T02:00:00Z", "ended": "2026-11-20T02:05:00Z", "log": vec!["\u{fc}".repeat(200); 200],
    });
    bench.write("state/reports/backup-state/20261120T020000.000Z-0.json", report.to_string().as_bytes());
    bench.ok(&["notify", "state", "--config", "config.json"]);
    let message = server.messages().remove(0);
    let text = message["message"].as_str().unwrap();
    assert!(message["attachment"].is_null() && text.len() > 3000 && text.ends_with("\u{fc}"), "{} bytes: {message}", text.len());
}

#[test]
fn without_the_right_token_nobody_is_told_and_the_reason_is_said() {
    let bench = Bench::new();
    let Some(server) = Server::start(&bench.path("")) else { return };
    let test = ["notify", "state", "--config", "config.json", "--test"];
    configure(&bench, &server, &json!({ "tokenFile": null }));
    let (_, said) = bench.ends(&test, 1);
    assert!(said.contains("could not be told: the server answered 403 Forbidden"), "{said}");
    configure(&bench, &server, &json!({}));
    bench.write("token", b"tk_wrongwrongwrongwrongwrongwrong\n");
    let (_, said) = bench.ends(&test, 1);
    assert!(said.contains("could not be told: the server answered 401 Unauthorized") && !said.contains("tk_wrong"), "{said}");
    configure(&bench, &server, &json!({}));
    bench.ok(&test);
    assert_eq!(server.messages()[0]["title"], "h\u{e4}uschen: test of messages about job state");
}
