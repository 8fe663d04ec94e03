//! Clients that mean harm, or are broken: too many, too slow, too long, malformed. Each has its answer, and the hub lives on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod hub;
#[path = "hub/process.rs"]
mod process;
#[path = "hub/raw.rs"]
mod raw;

use std::io::Read as _;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use hearth_backup::hub::{Patience, Quota, Role};
use hearth_backup::store::{Folder, Store as _};
use http_body_util::Empty;
use hub::Server;
use hyper_util::rt::{TokioExecutor, TokioIo};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use process::{Process, answer, named, token, upload};
use serde_json::Value;

/// Nobody's patience is tried for longer.
const LONG: Duration = Duration::from_secs(3600);

/// A hub that waits for nothing but what `change` says.
fn patient(change: impl FnOnce(&mut Patience)) -> Server {
    let mut patience = Patience { head: LONG, handshake: LONG, idle: LONG, body: LONG, pace: 1, answer: LONG, farewell: LONG };
    change(&mut patience);
    Server::with(Quota::default(), |hub| hub.patient(patience))
}

fn moment() -> Duration {
    Duration::from_millis(200)
}

/// Reads until the hub closes the connection; what it said.
fn is_closed(line: &mut TcpStream) -> String {
    let mut said = Vec::new();
    match line.read_to_end(&mut said) {
        Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => panic!("it stays open: {error}"),
        _ => String::from_utf8_lossy(&said).into_owned(),
    }
}

fn reason(answer: &Value) -> &str {
    answer["error"].as_str().unwrap_or_default()
}

/// Half of an upload, and what is said to it.
fn half_an_upload(server: &Server, then: impl FnOnce(&mut TcpStream)) -> (u16, Value) {
    let writer = server.token("nas", Role::Writer, "nas");
    let bytes = raw::noise(1, 100_000);
    let mut line = raw::connect(&server.base);
    raw::send(&mut line, &[upload(&named(Folder::Packs, &bytes), &writer, bytes.len()).as_bytes(), &bytes[..50_000]].concat());
    then(&mut line);
    let answered = answer(&mut line);
    assert!(server.store("nas", &writer).list(Folder::Packs).unwrap().is_empty());
    answered
}

#[test]
fn a_body_that_stops_is_waited_for_for_a_while_and_refused() {
    let server = patient(|patience| patience.body = moment());
    let (status, answer) = half_an_upload(&server, |_| {});
    assert_eq!((status, reason(&answer)), (408, "slow"));
    assert_eq!(std::fs::read_dir(server.path("nas").join("tmp")).unwrap().count(), 0);
}

#[test]
fn a_body_that_trickles_is_refused_although_something_always_comes() {
    // Each byte comes in time, and all of them would take for ever.
    let server = patient(|patience| {
        patience.body = Duration::from_secs(1);
        patience.pace = 1 << 20;
    });
    let (status, answer) = half_an_upload(&server, |line| {
        let mut trickle = line.try_clone().unwrap();
        // Ends when the hub closes the connection.
        std::thread::spawn(move || {
            use std::io::Write as _;
            while trickle.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(50));
            }
        });
    });
    assert_eq!((status, reason(&answer)), (408, "slow"));
}

#[test]
fn who_fills_a_list_of_names_slowly_is_refused() {
    let server = patient(|patience| patience.body = moment());
    let admin = server.token("admin", Role::Maintainer, "nas");
    let mut line = raw::connect(&server.base);
    let head = format!("POST /v1/nas/delete HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer {admin}\r\nContent-Length: 99\r\n\r\n[");
    raw::send(&mut line, head.as_bytes());
    let (status, answer) = answer(&mut line);
    assert_eq!((status, reason(&answer)), (408, "slow"));
}

#[test]
fn a_head_that_does_not_end_is_not_waited_for() {
    let server = patient(|patience| patience.head = moment());
    for begun in ["G", "GET /v1/nas HTTP/1.1\r\nHost: hub\r\nAuthor"] {
        let mut line = raw::connect(&server.base);
        raw::send(&mut line, begun.as_bytes());
        assert_eq!(is_closed(&mut line), "", "{begun}");
    }
}

#[test]
fn who_connects_and_asks_for_nothing_is_let_go() {
    let server = patient(|patience| patience.idle = moment());
    for begun in
        [&b""[..], b"PRI * HTTP/2.0\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"]
    {
        let mut line = raw::connect(&server.base);
        raw::send(&mut line, begun);
        is_closed(&mut line);
    }
}

#[test]
fn who_keeps_a_connection_alive_and_asks_for_nothing_is_let_go() {
    let server = patient(|patience| {
        patience.idle = Duration::from_secs(1);
        // The hub asks whether anybody is there, and this client says so.
        patience.head = Duration::from_millis(50);
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(server.base.trim_start_matches("http://")).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(connection);
        let health = || http::Request::get("http://hub/health").body(Empty::<bytes::Bytes>::new()).unwrap();
        assert_eq!(sender.send_request(health()).await.unwrap().status(), 200);
        let _ = tokio::time::timeout(Duration::from_secs(60), connection).await.expect("it stays open");
        assert!(sender.send_request(health()).await.is_err());
    });
}

#[test]
fn who_takes_no_answer_is_let_go_and_holds_up_nobody() {
    let server = patient(|patience| patience.answer = Duration::from_secs(2));
    let store = server.store("nas", &server.token("admin", Role::Maintainer, "nas"));
    let reader = server.token("reader", Role::Reader, "nas");
    let bytes = raw::noise(5, 20 << 20);
    store.put_new(&named(Folder::Packs, &bytes), &bytes).unwrap();
    let request =
        format!("GET /v1/nas/objects/{} HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer {reader}\r\n\r\n", named(Folder::Packs, &bytes));
    // As many as the hub serves of one repository at the same time. None of them reads anything.
    let mut lines: Vec<_> = (0..64).map(|_| raw::connect(&server.base)).collect();
    for line in &mut lines {
        raw::send(line, request.as_bytes());
        // It has its turn.
        assert_eq!(line.peek(&mut [0]).unwrap(), 1);
    }
    assert_eq!(store.get(&named(Folder::Packs, &bytes), u64::MAX).unwrap(), bytes, "others have their turn");
}

#[test]
fn requests_that_are_none_are_answered_in_json_and_harm_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Process::at(folder.path(), &[]);
    let writer = token(folder.path(), "nas", Role::Writer, "nas");
    let get =
        |path: &[u8]| [b"GET ", path, format!(" HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer {writer}\r\n\r\n").as_bytes()].concat();
    let long = vec![b'a'; 100_000];
    let endless = vec![b'a'; 1_000_000];
    let with = |headers: &str| format!("GET /v1/nas HTTP/1.1\r\nHost: hub\r\n{headers}\r\n\r\n").into_bytes();
    let put = |headers: &str, body: &str| {
        let name = named(Folder::Index, b"x");
        format!("PUT /v1/nas/objects/{name} HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer {writer}\r\n{headers}\r\n\r\n{body}")
            .into_bytes()
    };
    let many = (0..500).map(|number| format!("X-{number}: 1")).collect::<Vec<_>>().join("\r\n");
    let cases: Vec<(&str, Vec<u8>, u16, &str)> = vec![
        ("garbage", b"\x16\x03\x01\x02\x00\x01\xff\xff\r\n\r\n".to_vec(), 400, "malformed"),
        ("noise", raw::noise(9, 3000), 400, "malformed"),
        ("no version", b"GET /health\r\n\r\n".to_vec(), 400, "malformed"),
        ("another version", b"GET /health HTTP/9.9\r\n\r\n".to_vec(), 400, "malformed"),
        ("NUL", get(b"/v1/nas\0/objects"), 400, "malformed"),
        ("a header without a name", with(": nothing"), 400, "malformed"),
        ("a header over two lines", with("X-A: 1\r\n folded"), 400, "malformed"),
        ("NUL in a header", with("X-A: \0"), 400, "malformed"),
        ("too many headers", with(&many), 400, "malformed"),
        ("a header without an end", with(&format!("X-A: {}", String::from_utf8_lossy(&endless))), 400, "malformed"),
        ("a path without an end", get(&endless), 400, "malformed"),
        ("a long path", get(&[b"/v1/nas/objects/index/", &long[..60_000]].concat()), 400, "malformed"),
        ("a long name", get(&[b"/v1/", &long[..60_000]].concat()), 404, "no_repository"),
        ("a path that is no text", get(b"/v1/nas/objects/index/\xff\xfe"), 400, "malformed"),
        ("%00", get(b"/v1/nas/objects/index/a%00b"), 400, "malformed"),
        ("%2e%2e", get(b"/v1/nas/objects/%2e%2e/%2e%2e/tokens.json"), 400, "malformed"),
        ("%2f", get(b"/v1/nas%2f..%2fother/objects/index/ab"), 404, "no_repository"),
        ("//", get(b"//v1/nas"), 404, "not_found"),
        ("// within", get(b"/v1//nas"), 404, "no_repository"),
        ("a slash at the end", get(b"/v1/nas/"), 404, "not_found"),
        ("a backslash", get(b"/v1/nas/objects/index\\..\\tokens.json"), 400, "malformed"),
        ("another host's path", get(b"http://elsewhere/v1/nas/objects/index/.."), 400, "malformed"),
        ("CONNECT", b"CONNECT elsewhere:22 HTTP/1.1\r\nHost: elsewhere\r\n\r\n".to_vec(), 404, "not_found"),
        ("OPTIONS *", b"OPTIONS * HTTP/1.1\r\nHost: hub\r\n\r\n".to_vec(), 404, "not_found"),
        ("a method that is none", b"EVIL /v1/nas/objects/index/ab HTTP/1.1\r\nHost: hub\r\n\r\n".to_vec(), 401, "unauthorized"),
        ("a password", with("Authorization: Basic YTpi"), 401, "unauthorized"),
        ("an empty token", with("Authorization: Bearer "), 401, "unauthorized"),
        ("a token that is no text", with("Authorization: Bearer \u{e9}"), 401, "unauthorized"),
        ("two lengths", put("Content-Length: 1\r\nContent-Length: 2", "x"), 400, "malformed"),
        ("a length below zero", put("Content-Length: -1", ""), 400, "malformed"),
        ("a length that is no number", put("Content-Length: many", ""), 400, "malformed"),
        ("a length beyond all", put("Content-Length: 18446744073709551616", ""), 400, "malformed"),
        ("chunks without an end", put("Transfer-Encoding: chunked", "zz\r\n"), 411, "length_required"),
        ("a length and chunks", put("Content-Length: 1\r\nTransfer-Encoding: chunked", "1\r\nx\r\n0\r\n\r\n"), 411, "length_required"),
        ("an unknown coding", put("Transfer-Encoding: rot13", ""), 400, "malformed"),
        ("too much", put("Content-Length: 1125899906842624", ""), 413, "too_large"),
        ("less than it says", put("Content-Length: 5\r\nConnection: close", "x"), 400, "malformed"),
        ("other bytes than it says", put("Content-Length: 1", "y"), 422, "mismatch"),
    ];
    for (what, request, status, expected) in cases {
        let mut line = raw::connect(hub.base());
        // The hub need not read all of what it refuses.
        let _ = std::io::Write::write_all(&mut line, &request);
        let _ = line.shutdown(std::net::Shutdown::Write);
        let (got, said) = answer(&mut line);
        assert_eq!((got, reason(&said)), (status, expected), "{what}: {said}");
        assert!(said["message"].as_str().is_some_and(|message| !message.is_empty()), "{what}: {said}");
        hub.is_well();
    }
    assert!(!hub.log().contains("panicked"), "{}", hub.log());
}

#[test]
fn http_2_that_is_none_is_closed_and_harms_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Process::at(folder.path(), &[]);
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let frame = |kind: u8, flags: u8, stream: u32, body: &[u8]| {
        [&u32::try_from(body.len()).unwrap().to_be_bytes()[1..], &[kind, flags], &stream.to_be_bytes(), body].concat()
    };
    let settings = frame(4, 0, 0, &[]);
    let cases = [
        ("noise", raw::noise(1, 5000)),
        ("noise after settings", [settings.clone(), raw::noise(2, 5000)].concat()),
        ("a frame beyond all", [settings.clone(), vec![0xff; 9]].concat()),
        ("a head that is no HPACK", [settings.clone(), frame(1, 5, 1, &raw::noise(3, 200))].concat()),
        ("bytes for no stream", [settings.clone(), frame(0, 1, 7, b"body")].concat()),
        ("an even stream", [settings.clone(), frame(1, 5, 2, &[0x82])].concat()),
        ("a window beyond all", [settings.clone(), frame(8, 0, 0, &[0x7f, 0xff, 0xff, 0xff])].concat()),
        ("a head that goes on for ever", [settings.clone(), frame(1, 0, 1, &[0x82]), frame(9, 0, 1, &vec![0; 16_000]).repeat(80)].concat()),
    ];
    for (what, bytes) in cases {
        let mut line = raw::connect(hub.base());
        let _ = std::io::Write::write_all(&mut line, &[PREFACE, &bytes].concat());
        let _ = line.shutdown(std::net::Shutdown::Write);
        is_closed(&mut line);
        assert!(!hub.log().contains("panicked"), "{what}: {}", hub.log());
        hub.is_well();
    }
    // Streams that are opened and given up at once, as fast as that goes.
    let head = frame(1, 5, 0, &[0x82, 0x86, 0x84, 0x41, 0x03, b'h', b'u', b'b']);
    let mut flood = [PREFACE, &settings].concat();
    for stream in 0..20_000_u32 {
        let number = (stream * 2 + 1).to_be_bytes();
        let mut head = head.clone();
        head[5..9].copy_from_slice(&number);
        flood.extend(head);
        flood.extend(frame(3, 0, stream * 2 + 1, &[0, 0, 0, 8]));
    }
    let mut line = raw::connect(hub.base());
    let _ = std::io::Write::write_all(&mut line, &flood);
    let _ = line.shutdown(std::net::Shutdown::Write);
    is_closed(&mut line);
    hub.is_well();
    assert!(hub.status("VmHWM") < 150_000, "{} kB", hub.status("VmHWM"));
}

#[test]
fn failed_logins_are_counted_and_logged_with_the_address_that_a_proxy_tells() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let writer = token(folder, "nas", Role::Writer, "nas");
    let place = format!("unix:{}", folder.join("hub.sock").display());
    let hub = Process::command(folder, Command::new(env!("CARGO_BIN_EXE_hearth-backup")), &["--listen", &place]);
    let asks = |token: &str, from: &str| {
        let mut line = UnixStream::connect(folder.join("hub.sock")).unwrap();
        let request = format!("GET /v1/nas HTTP/1.1\r\nHost: hub\r\nX-Forwarded-For: {from}\r\nAuthorization: Bearer {token}\r\n\r\n");
        std::io::Write::write_all(&mut line, request.as_bytes()).unwrap();
        answer(&mut line)
    };
    for _ in 0..10 {
        assert_eq!(asks("hbt_00000000_guess", "192.0.2.66").0, 401);
    }
    let (status, said) = asks(&writer, "192.0.2.66");
    assert_eq!((status, reason(&said)), (429, "too_many"));
    assert_eq!(asks(&writer, "192.0.2.7").0, 200, "others are not concerned");
    assert_eq!(hub.log().matches("unknown token failed, from 192.0.2.66").count(), 10, "{}", hub.log());
    assert!(!hub.log().contains("guess"), "no token is logged");
}

#[test]
fn five_hundred_connections_ask_add_and_break_off_at_once() {
    // Both ends of each count, but the hub has a process of its own.
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let writer = token(folder.path(), "nas", Role::Writer, "nas");
    let hub = Process::at(folder.path(), &[]);
    let lines: Vec<_> = (0..500).map(|number| (number, raw::connect(hub.base()))).collect();
    std::thread::scope(|scope| {
        for (number, mut line) in lines {
            let writer = &writer;
            let ask = move || {
                let bytes = raw::noise(number, 20_000);
                let head = upload(&named(Folder::Packs, &bytes), writer, bytes.len());
                match number % 5 {
                    0 => raw::send(&mut line, &[head.as_bytes(), &bytes[..9_000]].concat()),
                    1 => {
                        // Each from an address of its own, as a proxy tells it: the others need not wait.
                        let from = format!("X-Forwarded-For: 2001:db8:{number:x}::1");
                        let head = format!("GET /v1/nas HTTP/1.1\r\nHost: hub\r\n{from}\r\nAuthorization: Bearer none\r\n\r\n");
                        raw::send(&mut line, head.as_bytes());
                        assert_eq!(answer(&mut line).0, 401);
                    }
                    _ => {
                        raw::send(&mut line, &[head.as_bytes(), &bytes].concat());
                        assert_eq!(answer(&mut line), (200, serde_json::json!({ "created": true })));
                    }
                }
            };
            std::thread::Builder::new().stack_size(256 << 10).spawn_scoped(scope, ask).unwrap();
        }
    });
    hub.is_well();
    assert!(!hub.log().contains("panicked"), "{}", hub.log());
}
