//! Whoever a job names is told what becomes of its runs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod cli_common;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
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
    assert!(
        text.starts_with("Job state on host ") && text.contains(" finished, but something could not be read, or is not as it should be.\n"),
        "{text}"
    );
    assert!(text.contains("Unit: hearth-backup-state.service\n") && text.ends_with("repository disk: the disk is full\n"), "{text}");
    assert!(text.contains(&format!("-n 50 _SYSTEMD_INVOCATION_ID={INVOCATION}\n")), "{text}");
    assert!(asked.to_lowercase().contains("authorization: bearer tk_secret"), "{asked}");
    assert!(asked.contains(": backup state finished with warnings") && asked.to_lowercase().contains("priority: 3"), "{asked}");
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
    assert!(heard.contains("Its log cannot be shown here (systemd did not say which run it was); see: journalctl -u other.service"));
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
    assert!(error.contains("the configuration has no `hub`; name a job"), "{error}");
}

#[test]
fn a_job_that_names_nobody_says_so() {
    let bench = Bench::new();
    bench.configure(&json!({}));
    let (_, said) = bench.ends(&NOTIFY, 0);
    assert!(said.contains("nobody is told: neither jobs.state.notify nor notify names a receiver"), "{said}");
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

/// Stand-in for services that watch over runs: takes every request and answers as it is told to, until the test ends. Healthchecks answers
/// `OK`, Uptime Kuma `{"ok":true}` (both by their documents).
struct Watcher {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Watcher {
    fn answering(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
                let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
                let mut body = vec![0; length.unwrap_or(0)];
                reader.read_exact(&mut body).unwrap();
                let line = head.lines().next().unwrap().trim_end_matches(" HTTP/1.1").to_owned();
                told.lock().unwrap().push(format!("{line}\n{}", String::from_utf8(body).unwrap()));
                write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{answer}", answer.len()).unwrap();
            }
        });
        Self { url, asked }
    }

    /// What it was asked since it was last looked, each by its first line.
    fn lines(&self) -> Vec<String> {
        self.whole().into_iter().map(|asked| asked.lines().next().unwrap().to_owned()).collect()
    }

    fn whole(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

/// A bench with a repository whose job tells these.
fn telling(notify: &Value) -> Bench {
    let bench = Bench::with_repository();
    bench.configure(&json!({ "notify": notify }));
    bench
}

const RUN: [&str; 5] = ["run", "state", "--config", "config.json", "--notify"];

#[test]
fn a_run_tells_of_its_beginning_and_its_end_in_this_order_where_no_unit_does() {
    let (check, kuma) = (Watcher::answering("OK"), Watcher::answering("{\"ok\":true}"));
    let bench = Bench::with_repository();
    bench.write("url", format!("{}/api/push/T0kenT0ken?status=up&msg=OK&ping=\n", kuma.url).as_bytes());
    let notify =
        json!({ "healthchecks": { "url": format!("{}/5b2f1a6e-0000", check.url) }, "uptimeKuma": { "urlFile": bench.path("url") } });
    bench.configure(&json!({ "notify": notify }));
    let (_, said) = bench.ends(&RUN, 0);
    assert!(!said.contains("5b2f1a6e") && !said.contains("T0ken"), "{said}");
    let told = check.whole();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("POST /5b2f1a6e-0000/start\n"), "{told:?}");
    assert!(
        told[1].starts_with("POST /5b2f1a6e-0000\n") && told[1].contains("main: 4 files, ") && told[1].contains(" added\n"),
        "{told:?}"
    );
    let told = kuma.lines();
    assert!(told.len() == 1 && told[0].starts_with("GET /api/push/T0kenT0ken?status=up&msg=Job%20state%20on%20host%20"), "{told:?}");
    assert!(told[0].contains("%20succeeded.&ping="), "{told:?}");
    fs::rename(bench.path("repo"), bench.path("away")).unwrap();
    bench.ends(&RUN, 1);
    assert_eq!(check.lines(), ["POST /5b2f1a6e-0000/start", "POST /5b2f1a6e-0000/1"]);
    assert!(kuma.lines()[0].contains("?status=down&"));
    // A dry run is none.
    bench.ends(&[&RUN[..], &["--dry-run"]].concat(), 1);
    assert_eq!((check.lines().len(), kuma.lines().len()), (0, 0));
}

#[test]
fn of_a_run_that_has_told_of_itself_a_unit_beside_it_does_not_tell_again() {
    let bench = Bench::with_repository();
    bench.configure(&json!({ "notify": { "on": ["success"], "command": listening(&bench) } }));
    expect(bench.command(&RUN).env("INVOCATION_ID", INVOCATION).output().unwrap(), 0, "run");
    assert!(fs::read_to_string(bench.path("heard")).unwrap().starts_with("state success\n"));
    fs::remove_file(bench.path("heard")).unwrap();
    let after = || {
        let mut command = after(&bench, "0", &["--json"]);
        command.env("MONITOR_SERVICE_RESULT", "success");
        serde_json::from_str::<Value>(&expect(command.output().unwrap(), 0, "notify").0).unwrap()
    };
    assert_eq!(after()["receivers"], json!([]));
    assert!(!bench.path("heard").exists());
    // What is remembered of it was lost.
    fs::remove_dir_all(bench.path("state/notified")).unwrap();
    assert_eq!(after()["receivers"][0]["event"], "success");
    assert!(fs::read_to_string(bench.path("heard")).unwrap().contains("main: 4 files, "));
}

#[test]
fn a_unit_that_is_started_with_a_run_tells_that_it_begins() {
    let check = Watcher::answering("OK");
    let bench = telling(&json!({ "healthchecks": { "url": format!("{}/5b2f1a6e-0000", check.url) }, "command": ["false"] }));
    let arguments = [&NOTIFY[..], &["--start", "--unit", "hearth-backup-state.service"]].concat();
    let report = bench.json(&arguments);
    assert_eq!((&report["result"], &report["receivers"][0]["event"]), (&json!("running"), &json!("start")));
    assert_eq!(report["receivers"].as_array().unwrap().len(), 1, "people do not hear of it unless they want to");
    let told = check.whole().remove(0);
    assert!(told.starts_with("POST /5b2f1a6e-0000/start\n") && told.contains(" begins.\nUnit: hearth-backup-state.service\n"), "{told}");
}

#[test]
fn what_systemd_knows_of_the_end_is_told_with_what_the_run_reported() {
    let check = Watcher::answering("OK");
    let bench = telling(&json!({ "healthchecks": { "url": format!("{}/5b2f1a6e-0000", check.url) } }));
    fs::rename(bench.path("repo"), bench.path("away")).unwrap();
    expect(bench.command(&RUN[..4]).env("INVOCATION_ID", INVOCATION).output().unwrap(), 1, "run");
    let mut command = after(&bench, "TERM", &[]);
    expect(command.env("MONITOR_SERVICE_RESULT", "timeout").output().unwrap(), 0, "notify");
    let told = check.whole().remove(0);
    assert!(told.contains(" took longer than its unit allows and was ended.\n") && told.contains("\nWhy: "), "{told}");
    assert!(told.contains("raise limits.time") && told.contains("To try again: systemctl start hearth-backup-state.service\n"), "{told}");
    assert!(told.contains("\nThe end of its log:\n20"), "that of the report, with times: {told}");
    // Another run, that could not be started, has no report; the newest is not taken for its own.
    let mut command = after(&bench, "226", &[]);
    expect(command.env("MONITOR_INVOCATION_ID", "f".repeat(32)).output().unwrap(), 0, "notify");
    let told = check.whole().remove(0);
    assert!(
        told.starts_with("POST /5b2f1a6e-0000/226\n") && told.contains("could not be started by systemd") && !told.contains("Why: "),
        "{told}"
    );
}

#[test]
fn whoever_all_name_is_told_unless_a_job_names_others_or_nobody() {
    let bench = Bench::with_repository();
    let word = |name: &str| json!({ "command": ["sh", "-c", format!("echo {name} $HEARTH_JOB$HEARTH_REPOSITORY$HEARTH_DRILL$HEARTH_MIRROR >> heard")] });
    let job = |notify: Option<Value>| {
        let mut job = json!({ "paths": [bench.source()], "repositories": ["main"] });
        job.as_object_mut().unwrap().extend(notify.map(|notify| ("notify".to_owned(), notify)));
        job
    };
    let main = json!({ "url": bench.path("repo"), "writerKey": bench.path("hearth-writer.key") });
    let config = json!({
        "notify": word("all"),
        "repositories": { "main": main, "usb": { "url": bench.path("usb"), "notify": word("own") } },
        "jobs": { "plain": job(None), "own": job(Some(word("own"))), "quiet": job(Some(json!({}))) },
        "mirrors": { "offsite": { "from": "main", "to": "usb" } },
        "drills": {
            "monthly": { "repository": "main", "key": bench.path("restore.key") },
            "weekly": { "repository": "main", "key": bench.path("restore.key"), "notify": word("own") },
        },
    });
    bench.write("config.json", config.to_string().as_bytes());
    let notify = |arguments: &[&str]| bench.ok(&[&["notify", "--config", "config.json", "--test"], arguments].concat());
    notify(&["plain"]);
    notify(&["own"]);
    notify(&["quiet"]);
    notify(&["offsite", "--mirror"]);
    notify(&["main", "--maintain"]);
    notify(&["usb", "--maintain"]);
    notify(&["monthly", "--drill"]);
    notify(&["weekly", "--drill"]);
    let heard = fs::read_to_string(bench.path("heard")).unwrap();
    assert_eq!(heard, "all plain\nown own\nall offsite\nall main\nown usb\nall monthly\nown weekly\n");
    let error = bench.fails(&["notify", "man", "--maintain", "--config", "config.json"], 1);
    assert!(error.contains("there is no repository `man`; did you mean `main`?"), "{error}");
}

#[test]
fn keeping_house_and_mirrors_tell_of_themselves_too() {
    let bench = Bench::with_repository();
    let word = json!({ "on": ["success"], "command": ["sh", "-c", "(echo $HEARTH_REPOSITORY$HEARTH_MIRROR; cat) > heard"] });
    let main = json!({ "url": bench.path("repo"), "writerKey": bench.path("hearth-writer.key") });
    let config = json!({
        "notify": word, "repositories": { "main": main, "usb": { "url": bench.path("usb") } },
        "mirrors": { "offsite": { "from": "main", "to": "usb" } },
    });
    bench.write("config.json", config.to_string().as_bytes());
    bench.ok(&["maintain", "main", "--config", "config.json", "--notify"]);
    let heard = fs::read_to_string(bench.path("heard")).unwrap();
    assert!(heard.starts_with("main\nKeeping house in main on host ") && heard.contains(" succeeded.\nBegan "), "{heard}");
    bench.ok(&["mirror", "offsite", "--config", "config.json", "--notify"]);
    let heard = fs::read_to_string(bench.path("heard")).unwrap();
    assert!(heard.starts_with("offsite\nMirror offsite on host ") && heard.contains(" succeeded.\n"), "{heard}");
}

#[test]
fn receivers_that_are_dead_silent_or_lie_fail_no_run_and_keep_nobody_from_being_told() {
    // It takes connections, as the kernel does for it, and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let liar = Watcher::answering("<html>Welcome</html>");
    let bench = Bench::with_repository();
    let all = json!(["start", "success"]);
    let notify = json!({
        "on": all, "timeout": "1s",
        "ntfy": { "url": format!("http://{free}"), "topic": "backups" },
        "healthchecks": { "url": format!("http://{}/x", silent.local_addr().unwrap()) },
        "uptimeKuma": { "url": liar.url },
        "command": ["sh", "-c", format!("echo $HEARTH_EVENT >> {}", bench.path("heard").display())],
    });
    bench.configure(&json!({ "notify": notify }));
    let (_, said) = bench.ends(&RUN, 0);
    assert_eq!(fs::read_to_string(bench.path("heard")).unwrap(), "start\nsuccess\n");
    assert_eq!(said.matches("could not be told").count(), 5, "ntfy and the check twice each, and Kuma, which hears of no start: {said}");
    assert!(said.contains("the server answered `<html>Welcome</html>`, and not that all is well"), "{said}");
}
