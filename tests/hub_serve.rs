//! `hearth-backup hub serve` as a service: TLS, sockets, systemd, and a stop in the middle of an upload.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

#[path = "hub/authority.rs"]
mod authority;
#[path = "hub/process.rs"]
mod process;
#[path = "hub/raw.rs"]
mod raw;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use authority::make_authority;
use hearth_backup::hub::Role;
use hearth_backup::store::Folder;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use nix::sys::signal::Signal;
use process::{Process, answer, named, program, token, upload};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

const WAIT: Duration = Duration::from_secs(60);

/// A hub with TLS by the authority `mine`.
fn with_tls(folder: &Path) -> Process {
    make_authority(folder, "mine");
    let [chain, key] = ["mine-server.pem", "mine-server.key"].map(|name| folder.join(name).display().to_string());
    Process::at(folder, &["--tls-certificate", &chain, "--tls-key", &key])
}

/// A client that trusts the authority `NAME.pem` and speaks these protocols.
fn client(folder: &Path, name: &str, protocols: &[&[u8]]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join(format!("{name}.pem"))).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    let mut config = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    config
}

fn address(hub: &Process) -> String {
    hub.base().trim_start_matches("https://").to_owned()
}

/// Shakes hands; returns the connection.
fn shake(hub: &Process, config: ClientConfig) -> std::io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let stream = TcpStream::connect(address(hub))?;
    stream.set_read_timeout(Some(WAIT))?;
    let connection = ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap();
    let mut tls = StreamOwned::new(connection, stream);
    while tls.conn.is_handshaking() {
        tls.conn.complete_io(&mut tls.sock)?;
    }
    Ok(tls)
}

fn certificate(folder: &Path, name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(folder.join(format!("{name}-server.pem"))).unwrap()
}

#[test]
fn a_host_trusts_a_hub_whose_authority_its_user_names_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let hub = with_tls(folder);
    make_authority(folder, "strangers");
    fs::write(folder.join("admin.token"), token(folder, "admin", Role::Maintainer, "nas")).unwrap();
    let repository = format!("{}/nas", hub.base().replace("127.0.0.1", "localhost"));
    let init = |authority: &str| {
        let arguments = ["init", "--repo", &repository, "--token-file", "admin.token", "--writer-key", "w.key", "--restore-key", "r.key"];
        let output = program(&arguments, folder).env("SSL_CERT_FILE", folder.join(authority)).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, error) = init("strangers.pem");
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains("SSL_CERT_FILE") && error.contains("invalid peer certificate"), "{error}");
    let (code, error) = init("mine.pem");
    assert_eq!(code, Some(0), "{error}");
}

#[test]
fn both_versions_of_http_are_spoken_within_tls_as_the_client_prefers() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let hub = with_tls(folder);
    let tls = shake(&hub, client(folder, "mine", &[b"http/1.1"])).unwrap();
    assert_eq!(tls.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let connector = tokio_rustls::TlsConnector::from(Arc::new(client(folder, "mine", &[b"h2", b"http/1.1"])));
        let stream = tokio::net::TcpStream::connect(address(&hub)).await.unwrap();
        let stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = http::Request::get("https://localhost/health").body(Empty::<bytes::Bytes>::new()).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, http::Version::HTTP_2));
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), r#"{"healthy":true}"#);
    });
}

#[test]
fn a_certificate_that_is_renewed_is_used_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let hub = with_tls(folder);
    let shown = |authority: &str| {
        shake(&hub, client(folder, authority, &[])).map(|tls| tls.conn.peer_certificates().unwrap()[0].clone().into_owned())
    };
    let old = shown("mine").unwrap();
    assert_eq!(old, certificate(folder, "mine"));

    make_authority(folder, "next");
    let replace = |file: &str| fs::rename(folder.join(format!("next-server.{file}")), folder.join(format!("mine-server.{file}"))).unwrap();
    let renewed = certificate(folder, "next");
    replace("pem");
    // Half of it is there: the old pair serves on.
    assert_eq!(shown("mine").unwrap(), old);
    assert!(hub.log().contains("has changed and cannot be used, so the old one is"), "{}", hub.log());
    replace("key");
    assert_eq!(shown("next").unwrap(), renewed);
    assert!(shown("mine").is_err());
}

#[test]
fn who_speaks_plain_http_where_tls_is_meant_gets_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let hub = with_tls(folder.path());
    let mut stream = TcpStream::connect(address(&hub)).unwrap();
    stream.set_read_timeout(Some(WAIT)).unwrap();
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: hub\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/1.1 200") && !String::from_utf8_lossy(&answer).contains("healthy"));
    shake(&hub, client(folder.path(), "mine", &[])).unwrap();
}

#[test]
fn a_key_that_is_not_the_certificates_is_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    make_authority(folder, "mine");
    let serve = ["hub", "serve", "--data", "data", "--tls-certificate", "mine-server.pem", "--tls-key", "mine.key"];
    let output = program(&serve, folder).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && error.contains("mine-server.pem with the key mine.key cannot be used"), "{error}");
}

fn healthy(socket: &Path) {
    let mut line = UnixStream::connect(socket).unwrap();
    line.write_all(b"GET /health HTTP/1.1\r\nHost: hub\r\n\r\n").unwrap();
    assert_eq!(answer(&mut line).0, 200);
}

#[test]
fn a_socket_that_a_killed_hub_left_is_replaced_and_one_in_use_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let socket = folder.join("hub.sock");
    let place = format!("unix:{}", socket.display());
    let start = || Process::command(folder, Command::new(env!("CARGO_BIN_EXE_hearth-backup")), &["--listen", &place]);
    let first = start();
    assert_eq!(first.places, std::slice::from_ref(&place));
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o666, "a proxy is another user");
    healthy(&socket);

    let second = program(&["hub", "serve", "--data", "data", "--listen", &place], folder).output().unwrap();
    let error = String::from_utf8_lossy(&second.stderr);
    assert!(second.status.code() == Some(1) && error.contains("cannot listen at") && error.contains("in use"), "{error}");
    healthy(&socket);

    first.killed();
    assert!(socket.exists());
    let mut third = start();
    healthy(&socket);
    third.signal(Signal::SIGTERM);
    assert!(third.ends().success(), "{}", third.log());
    assert!(!socket.exists(), "a hub that is stopped takes its socket away");

    fs::write(&socket, "a user's").unwrap();
    let fourth = program(&["hub", "serve", "--data", "data", "--listen", &place], folder).output().unwrap();
    assert_eq!(fourth.status.code(), Some(1));
    assert_eq!(fs::read(&socket).unwrap(), b"a user's");
}

#[test]
fn systemd_hands_over_sockets_and_is_told_what_the_hub_does() {
    if Command::new("systemd-socket-activate").arg("--version").output().is_err() {
        println!("SKIPPED: there is no systemd-socket-activate");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let writer = token(folder, "nas", Role::Writer, "nas");
    // An address that no other test has.
    let [_, _, c, d] = std::process::id().to_be_bytes();
    let (socket, port) = (folder.join("hub.sock"), format!("127.77.{c}.{d}:18420"));
    let mut command = Command::new("systemd-socket-activate");
    command.args(["-l", &port, "-l"]).arg(&socket).args(["-E", "NOTIFY_SOCKET", "-E", "WATCHDOG_USEC=100000"]);
    command.arg(env!("CARGO_BIN_EXE_hearth-backup"));
    let mut hub = Process::spawn(folder, command, &["--listen", "systemd"]);
    raw::until(WAIT, || UnixStream::connect(&socket).is_ok());
    hub.becomes_ready();
    assert_eq!(hub.places, [format!("http://{port}"), "a Unix socket from systemd".to_owned()]);
    healthy(&socket);
    assert_eq!(raw::ask(hub.base(), "GET /v1/nas", &format!("Authorization: Bearer {writer}\r\n"), "").0, 200);
    hub.hears("WATCHDOG=1");
    hub.hears("WATCHDOG=1");
    hub.signal(Signal::SIGTERM);
    hub.hears("STOPPING=1");
    assert!(hub.ends().success(), "{}", hub.log());
    assert!(socket.exists(), "systemd's socket stays systemd's");
}

#[test]
fn a_hub_without_a_socket_from_systemd_says_how_it_gets_one() {
    let folder = tempfile::tempdir().unwrap();
    let output = program(&["hub", "serve", "--data", "data", "--listen", "systemd"], folder.path()).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && error.contains(".socket unit"), "{error}");
}

#[test]
fn a_stop_in_the_middle_of_an_upload_ends_the_upload_and_then_the_hub() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let writer = token(folder, "nas", Role::Writer, "nas");
    let mut hub = Process::at(folder, &[]);
    let bytes = raw::noise(1, 3_000_000);
    let name = named(Folder::Packs, &bytes);
    let mut line = raw::connect(hub.base());
    let mut idle = raw::connect(hub.base());
    raw::send(&mut line, upload(&name, &writer, bytes.len()).as_bytes());
    raw::send(&mut line, &bytes[..1_000_000]);
    let tmp = folder.join("data/repositories/nas/tmp");
    raw::until(WAIT, || fs::read_dir(&tmp).is_ok_and(|found| found.count() > 0));
    hub.signal(Signal::SIGTERM);
    hub.hears("STOPPING=1");
    // Nobody else is let in any more, and who asks for nothing is let go.
    raw::until(WAIT, || TcpStream::connect(hub.base().trim_start_matches("http://")).is_err());
    assert_eq!(idle.read(&mut [0]).unwrap_or(0), 0);
    raw::send(&mut line, &bytes[1_000_000..2_000_000]);
    raw::send(&mut line, &bytes[2_000_000..]);
    assert_eq!(answer(&mut line), (200, serde_json::json!({ "created": true })));
    assert_eq!(hub.ends().code(), Some(0), "{}", hub.log());
    assert_eq!(fs::read(folder.join("data/repositories/nas").join(name.path())).unwrap(), bytes);
    assert_eq!(fs::read_dir(tmp).unwrap().count(), 0);
}

#[test]
fn who_stops_a_hub_twice_does_not_wait_for_uploads() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let writer = token(folder, "nas", Role::Writer, "nas");
    let mut hub = Process::at(folder, &[]);
    let bytes = raw::noise(2, 300_000);
    let mut line = raw::connect(hub.base());
    raw::send(&mut line, upload(&named(Folder::Packs, &bytes), &writer, bytes.len()).as_bytes());
    raw::send(&mut line, &bytes[..100_000]);
    raw::until(WAIT, || fs::read_dir(folder.join("data/repositories/nas/tmp")).is_ok_and(|found| found.count() > 0));
    hub.signal(Signal::SIGINT);
    hub.hears("STOPPING=1");
    hub.signal(Signal::SIGINT);
    assert_eq!(hub.ends().code(), Some(0), "{}", hub.log());
    assert_eq!(line.read(&mut [0]).unwrap_or(0), 0, "it is broken off");
}
