//! People are told by e-mail, through a real mail server on loopback: with TLS, logged in, and only if the server is who it says it is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod cli_common;

use std::io::{BufRead as _, BufReader, Lines};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use cli_common::{Bench, expect};
use serde_json::{Value, json};

/// A Python that has `aiosmtpd`: the one that `HEARTH_TEST_SMTP` names, or the system's. None where there is none.
fn python() -> Option<&'static Path> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || {
        let named = std::env::var_os("HEARTH_TEST_SMTP").filter(|path| !path.is_empty()).map(PathBuf::from);
        let python = named.unwrap_or_else(|| "python3".into());
        let imports = Command::new(&python).args(["-c", "import aiosmtpd"]).stderr(Stdio::null()).status();
        if imports.is_ok_and(|status| status.success()) {
            return Some(python);
        }
        println!("SKIPPED: no aiosmtpd, so no mail is sent; tests/run installs it");
        None
    };
    FOUND.get_or_init(find).as_deref()
}

/// A mail server; it ends with this.
struct Server {
    process: Child,
    port: u16,
    letters: Lines<BufReader<ChildStdout>>,
}

impl Server {
    fn start(mode: &str, bench: &Bench) -> Option<Self> {
        let python = python()?;
        let certificate = certificate(bench)?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mail/server.py");
        let mut command = Command::new(python);
        command.arg(script).arg(mode).arg(certificate).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().unwrap();
        let mut letters = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = letters.next().unwrap().unwrap().parse().expect("the server tells its port");
        Some(Self { process, port, letters })
    }

    fn letter(&mut self) -> Value {
        serde_json::from_str(&self.letters.next().unwrap().unwrap()).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A certificate for this machine that has signed itself, with its key: `server.pem`; alone it is `server.crt`.
fn certificate(bench: &Bench) -> Option<PathBuf> {
    let (key, alone) = (bench.path("server.pem"), bench.path("server.crt"));
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"]);
    command.args(["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"]);
    command.arg("-keyout").arg(&key).arg("-out").arg(&alone).stderr(Stdio::null());
    if !command.status().is_ok_and(|status| status.success()) {
        println!("SKIPPED: there is no openssl");
        return None;
    }
    let both = [std::fs::read(&key).unwrap(), std::fs::read(&alone).unwrap()].concat();
    std::fs::write(&key, both).unwrap();
    Some(key)
}

/// A bench whose job writes to two people by a server at this port, but for what `change` says.
fn configure(bench: &Bench, port: u16, change: &Value) {
    bench.write("password", b"s=cret\n");
    let mut email = json!({
        "server": "127.0.0.1", "port": port, "caFile": bench.path("server.crt"), "user": "me", "passwordFile": bench.path("password"),
        "from": "Backups of Zo\u{eb} <backup@example.org>", "to": ["one@example.org", "Two <two@example.org>"],
    });
    email.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    email.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    let job = json!({ "paths": ["/x"], "repositories": ["main"], "notify": { "email": email, "timeout": "2s" } });
    let main = json!({ "url": bench.path("repo"), "writerKey": bench.path("key") });
    let config = json!({ "host": "h\u{e4}uschen", "repositories": { "main": main }, "jobs": { "state": job } });
    bench.write("config.json", config.to_string().as_bytes());
}

const NOTIFY: [&str; 6] = ["notify", "state", "--config", "config.json", "--unit", "hearth-backup-state.service"];

#[test]
fn people_are_written_to_through_tls_that_begins_at_once_or_later() {
    for tls in ["starttls", "implicit"] {
        let bench = Bench::new();
        let Some(mut server) = Server::start(tls, &bench) else { return };
        configure(&bench, server.port, &json!({ "tls": tls }));
        let (_, said) = bench.ends(&NOTIFY, 0);
        assert!(!said.contains("s=cret"), "{said}");
        let letter = server.letter();
        assert_eq!((&letter["tls"], &letter["user"]), (&json!(true), &json!("me")));
        assert_eq!((&letter["from"], &letter["to"]), (&json!("backup@example.org"), &json!(["one@example.org", "two@example.org"])));
        let headers = &letter["headers"];
        assert_eq!(headers["subject"], "h\u{e4}uschen: backup state failed");
        assert_eq!(headers["from"], "Backups of Zo\u{eb} <backup@example.org>");
        assert_eq!(headers["auto-submitted"], "auto-generated");
        let text = letter["text"].as_str().unwrap().replace("\r\n", "\n");
        assert!(
            text.starts_with("Job state on host h\u{e4}uschen failed.\n") && text.contains("\nUnit: hearth-backup-state.service\n"),
            "{text}"
        );
    }
}

#[test]
fn a_server_on_this_machine_needs_neither_tls_nor_a_password() {
    let bench = Bench::new();
    let Some(mut server) = Server::start("plain", &bench) else { return };
    configure(&bench, server.port, &json!({ "tls": "none", "caFile": null, "user": null, "passwordFile": null }));
    bench.ends(&[&NOTIFY[..], &["--test=recovery"]].concat(), 0);
    let letter = server.letter();
    assert_eq!((&letter["tls"], &letter["user"]), (&json!(false), &Value::Null));
    assert_eq!(letter["headers"]["subject"], "h\u{e4}uschen: test of messages about job state");
    assert_eq!(letter["headers"]["x-hearth-backup-event"], "recovery");
}

#[test]
fn what_keeps_a_letter_from_being_sent_is_told_without_the_password() {
    let bench = Bench::new();
    let Some(server) = Server::start("starttls", &bench) else { return };
    let fails = |port: u16, change: Value| {
        configure(&bench, port, &change);
        let (_, said) = bench.ends(&NOTIFY, 1);
        assert!(said.contains("e-mail to one@example.org, Two <two@example.org> by 127.0.0.1:") && !said.contains("s=cret"), "{said}");
        said
    };
    bench.write("wrong", b"secret-2\n");
    let said = fails(server.port, json!({ "passwordFile": bench.path("wrong") }));
    assert!(
        said.contains("could not be told: permanent error (535)") && !said.contains("tried again") && !said.contains("secret-2"),
        "{said}"
    );
    let said = fails(server.port, json!({ "caFile": null }));
    assert!(said.contains("this machine must trust whoever signed it, or caFile name them") && !said.contains("tried again"), "{said}");
    let said = fails(server.port, json!({ "user": null, "passwordFile": null }));
    assert!(said.contains("could not be told: permanent error (530)"), "{said}");
    let said = fails(server.port, json!({ "caFile": bench.path("password") }));
    assert!(said.contains("caFile ") && said.contains("cannot be used"), "{said}");
    let said = fails(server.port, json!({ "passwordFile": bench.path("absent") }));
    assert!(said.contains("the password in ") && said.contains("No such file"), "{said}");
}

#[test]
fn a_password_is_never_said_to_a_server_that_offers_no_tls() {
    let bench = Bench::new();
    let Some(server) = Server::start("plain", &bench) else { return };
    configure(&bench, server.port, &json!({ "caFile": null }));
    let (_, said) = bench.ends(&NOTIFY, 1);
    assert!(said.contains("could not be told") && said.contains("STARTTLS"), "{said}");
}

#[test]
fn a_server_that_is_not_there_or_says_nothing_keeps_nobody_longer_than_the_timeout() {
    let bench = Bench::new();
    // It takes connections, as the kernel does for it, and never says anything.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let heard = bench.path("heard");
    for port in [silent.local_addr().unwrap().port(), free] {
        configure(&bench, port, &json!({ "caFile": null }));
        let mut config: Value = serde_json::from_slice(&std::fs::read(bench.path("config.json")).unwrap()).unwrap();
        config["jobs"]["state"]["notify"]["command"] = json!(["tee", heard]);
        bench.write("config.json", config.to_string().as_bytes());
        let (_, said) = expect(bench.run(&NOTIFY), 1, "notify");
        assert!(
            said.contains("e-mail to one@example.org, Two <two@example.org> by 127.0.0.1:") && said.contains("could not be told"),
            "{said}"
        );
        assert!(std::fs::read_to_string(&heard).unwrap().starts_with("Job state on host "), "the command was told");
        std::fs::remove_file(&heard).unwrap();
    }
}
