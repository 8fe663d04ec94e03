//! Whoever a job names is told that its run has failed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod cli_common;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};

use cli_common::{Bench, expect};
use serde_json::{Value, json};

const NOTIFY: [&str; 4] = ["notify", "state", "--config", "config.json"];
const INVOCATION: &str = "0123456789abcdef0123456789abcdef";

/// A server that answers one request; where it is, and what it was asked.
fn server(answer: &'static str) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut request = String::new();
        while !request.ends_with("\r\n\r\n") {
            assert!(reader.read_line(&mut request).unwrap() > 0, "{request}");
        }
        let length = request.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap()];
        reader.read_exact(&mut body).unwrap();
        write!(stream, "HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
        request + std::str::from_utf8(&body).unwrap()
    });
    (url, asked)
}

/// A bench whose job tells a topic at `url` and writes what its command was told to `heard`.
fn bench(url: &str) -> Bench {
    let bench = Bench::new();
    bench.write("token", b"tk_secret\n");
    bench.write("bin/journalctl", b"#!/bin/sh\necho \"asked: $*\"\necho 'repository disk: the disk is full'\n");
    fs::set_permissions(bench.path("bin/journalctl"), fs::Permissions::from_mode(0o755)).unwrap();
    let ntfy = json!({ "url": url, "topic": "backups", "tokenFile": bench.path("token") });
    bench.configure(&json!({ "notify": { "ntfy": ntfy, "command": listening(&bench) } }));
    bench
}

/// A command that writes to `heard` what it was told.
fn listening(bench: &Bench) -> [String; 3] {
    let script = format!("(echo $HEARTH_JOB $HEARTH_RESULT $HEARTH_UNIT; cat) > {}", bench.path("heard").display());
    ["sh".to_owned(), "-c".to_owned(), script]
}

/// The program as systemd starts it when a run has ended with `status`.
fn after(bench: &Bench, status: &str, arguments: &[&str]) -> Command {
    let mut command = bench.command(&[&NOTIFY[..], arguments].concat());
    let path = std::env::var("PATH").unwrap();
    command.env("PATH", format!("{}:{path}", bench.path("bin").display()));
    command.envs([
        ("MONITOR_UNIT", "hearth-backup-state.service"),
        ("MONITOR_SERVICE_RESULT", "exit-code"),
        ("MONITOR_EXIT_CODE", "exited"),
    ]);
    command.envs([("MONITOR_EXIT_STATUS", status), ("MONITOR_INVOCATION_ID", INVOCATION)]);
    command
}

#[test]
fn all_receivers_are_told_what_happened_where_and_what_the_journal_says_of_it() {
    let (url, asked) = server("200 OK");
    let bench = bench(&url);
    let (out, said) = expect(after(&bench, "3", &["--json"]).output().unwrap(), 0, "notify");
    let asked = asked.join().unwrap();
    let text = asked.split_once("\r\n\r\n").unwrap().1;
    assert!(text.starts_with("Job state on host ") && text.contains(" finished, but something could not be read.\n"), "{text}");
    assert!(text.contains("Unit: hearth-backup-state.service\n") && text.ends_with("repository disk: the disk is full\n"), "{text}");
    assert!(text.contains(&format!("-n 20 _SYSTEMD_INVOCATION_ID={INVOCATION}\n")), "{text}");
    assert!(asked.to_lowercase().contains("authorization: bearer tk_secret"), "{asked}");
    assert!(asked.contains(": backup state is not complete") && asked.to_lowercase().contains("priority: 4"), "{asked}");
    assert_eq!(fs::read_to_string(bench.path("heard")).unwrap(), format!("state incomplete hearth-backup-state.service\n{text}"));
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&report["result"], report["receivers"].as_array().unwrap().len()), (&json!("incomplete"), 2), "{report}");
    assert!(!said.contains("tk_secret") && !out.contains("tk_secret"));
}

#[test]
fn a_receiver_that_refuses_is_an_error_and_the_others_are_told() {
    let (url, asked) = server("403 Forbidden");
    let bench = bench(&url);
    let mut command = after(&bench, "1", &["--unit", "other.service"]);
    let (_, said) = expect(command.env_remove("MONITOR_INVOCATION_ID").output().unwrap(), 1, "notify");
    asked.join().unwrap();
    assert!(said.contains(&format!("ntfy {url}/backups: could not be told: the server answered 403 Forbidden")), "{said}");
    assert!(!said.contains("tk_secret"));
    let heard = fs::read_to_string(bench.path("heard")).unwrap();
    assert!(heard.starts_with("state failure other.service\n") && heard.contains(" failed.\n"), "{heard}");
    assert!(heard.contains("Its journal cannot be shown here (systemd did not say which run it was); see: journalctl -u other.service"));
}

#[test]
fn a_journal_that_cannot_be_read_does_not_keep_anybody_from_being_told() {
    let bench = bench("http://127.0.0.1:9");
    bench.configure(&json!({ "notify": { "command": listening(&bench) } }));
    fs::remove_file(bench.path("bin/journalctl")).unwrap();
    for program in ["sh", "cat"] {
        std::os::unix::fs::symlink(format!("/bin/{program}"), bench.path("bin").join(program)).unwrap();
    }
    expect(after(&bench, "1", &[]).env("PATH", bench.path("bin")).output().unwrap(), 0, "notify");
    let heard = fs::read_to_string(bench.path("heard")).unwrap();
    assert!(heard.contains("(`journalctl` cannot be started: No such file"), "{heard}");
}

#[test]
fn those_whom_a_mirror_names_are_told_of_it() {
    let bench = Bench::new();
    let script = format!("(echo $HEARTH_MIRROR $HEARTH_RESULT; cat) > {}", bench.path("heard").display());
    let repositories = json!({ "hub": { "url": bench.path("repo") }, "usb": { "url": bench.path("copy") } });
    let mirror = json!({ "from": "hub", "to": "usb", "notify": { "command": ["sh", "-c", script] } });
    let config = json!({ "repositories": repositories, "jobs": {}, "mirrors": { "offsite": mirror } });
    bench.write("config.json", config.to_string().as_bytes());
    let arguments = ["notify", "offsite", "--mirror", "--config", "config.json", "--unit", "hearth-backup-mirror-offsite.service"];
    assert_eq!(bench.json(&arguments)["mirror"], "offsite");
    let heard = fs::read_to_string(bench.path("heard")).unwrap();
    assert!(heard.starts_with("offsite failure\nMirror offsite on host "), "{heard}");
    let error = bench.fails(&["notify", "ofsite", "--mirror", "--config", "config.json"], 1);
    assert!(error.contains("there is no mirror `ofsite`; did you mean `offsite`?"), "{error}");
}

#[test]
fn those_whom_the_hub_names_are_told_of_its_maintenance() {
    let bench = Bench::new();
    let script = format!("(echo $HEARTH_UNIT $HEARTH_RESULT; cat) > {}", bench.path("heard").display());
    let config = json!({ "hub": { "dataDir": bench.path("hub"), "notify": { "command": ["sh", "-c", script] } } });
    bench.write("config.json", config.to_string().as_bytes());
    bench.json(&["notify", "--hub", "--config", "config.json", "--unit", "hearth-backup-hub-mirror-b2.service"]);
    let heard = fs::read_to_string(bench.path("heard")).unwrap();
    assert!(heard.starts_with("hearth-backup-hub-mirror-b2.service failure\nhearth-backup-hub-mirror-b2 on host "), "{heard}");
    assert!(heard.contains("told for the hub"), "{heard}");
    bench.write("config.json", b"{}");
    let error = bench.fails(&["notify", "--hub", "--config", "config.json"], 2);
    assert!(error.contains("config.json has no `hub`; name a job"), "{error}");
}

#[test]
fn a_job_that_names_nobody_says_so() {
    let bench = Bench::new();
    bench.configure(&json!({}));
    let (_, said) = bench.ends(&NOTIFY, 0);
    assert!(said.contains("nobody is told: jobs.state.notify names no receiver"), "{said}");
    let error = bench.fails(&["notify", "sate", "--config", "config.json"], 1);
    assert!(error.contains("there is no job `sate`; did you mean `state`?"), "{error}");
}

/// Answers the second of two requests through TLS, and prints its port first and then what it was asked.
const TLS: &str = "
import http.server, ssl, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers['Content-Length']))
        self.send_response(200); self.end_headers()
        print(body.decode(), flush=True)
    def log_message(self, *_): pass
server = http.server.HTTPServer(('127.0.0.1', 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1])
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.handle_request()
server.handle_request()
";

/// A certificate for this machine that has signed itself; false if this machine cannot make one.
fn certificate(file: &Path) -> bool {
    let file = file.to_str().unwrap();
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"]);
    command.args(["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]);
    command.args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout", file, "-out"]).arg(format!("{file}.crt"));
    let made = command.output().is_ok_and(|output| output.status.success());
    if made {
        let both = [fs::read(file).unwrap(), fs::read(format!("{file}.crt")).unwrap()].concat();
        fs::write(file, both).unwrap();
    } else {
        println!("SKIPPED: there is no openssl");
    }
    made
}

#[test]
fn a_server_is_told_through_tls_only_if_the_machine_trusts_its_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("server.pem");
    if !certificate(&file) {
        return;
    }
    let started = Command::new("python3").args(["-c", TLS]).arg(&file).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut server = started.unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let bench = bench(&format!("https://127.0.0.1:{}", lines.next().unwrap().unwrap()));
    let (_, said) = expect(after(&bench, "1", &[]).output().unwrap(), 1, "a stranger's certificate");
    assert!(said.contains("invalid peer certificate") && said.contains("must trust whoever signed it"), "{said}");
    let mut command = after(&bench, "1", &[]);
    command.env("SSL_CERT_FILE", format!("{}.crt", file.display())).env_remove("SSL_CERT_DIR");
    expect(command.output().unwrap(), 0, "notify");
    server.wait().unwrap();
    assert!(lines.next().unwrap().unwrap().starts_with("Job state on host "));
}
