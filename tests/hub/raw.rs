//! Requests as bytes, for what no client would send.
#![allow(dead_code, reason = "each test needs a part of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// Bytes that do not compress.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// A connection to a hub.
pub fn connect(base: &str) -> TcpStream {
    let connection = TcpStream::connect(base.trim_start_matches("http://")).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    connection
}

/// Sends bytes.
pub fn send(connection: &mut TcpStream, bytes: &[u8]) {
    connection.write_all(bytes).unwrap();
}

/// Sends bytes, and reads the head of an answer and at least so much behind it.
pub fn converse(connection: &mut TcpStream, bytes: &[u8], body: usize) -> Vec<u8> {
    connection.write_all(bytes).unwrap();
    let (mut answer, mut buffer) = (Vec::new(), [0; 16 << 10]);
    loop {
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
        if end.is_some_and(|end| answer.len() >= end + 4 + body) {
            return answer;
        }
        match connection.read(&mut buffer).unwrap() {
            0 => return answer,
            length => answer.extend_from_slice(&buffer[..length]),
        }
    }
}

/// Sends bytes, closes the connection for writing if wanted, and reads all that comes until the other side closes it too.
pub fn exchange(base: &str, bytes: &[u8], ends: bool) -> Vec<u8> {
    let mut connection = connect(base);
    connection.write_all(bytes).unwrap();
    if ends {
        connection.shutdown(Shutdown::Write).unwrap();
    }
    let mut answer = Vec::new();
    let _ = connection.read_to_end(&mut answer);
    answer
}

/// Makes a request: its first line without the version, more headers, a body. Returns the status, and the answer's JSON.
pub fn ask(base: &str, request: &str, headers: &str, body: &str) -> (u16, serde_json::Value) {
    let text = format!("{request} HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n{headers}\r\n{body}");
    let answer = exchange(base, text.as_bytes(), false);
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{request}: no answer, but {answer:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
    (status, serde_json::from_str(body).unwrap_or_default())
}

/// Waits for something, asking again and again.
pub fn until(most: Duration, is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < most, "it never came to be");
        std::thread::yield_now();
    }
}
