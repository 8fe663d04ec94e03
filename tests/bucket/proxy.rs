//! A bad network: a proxy that breaks a share of the requests, each time in another way, the same ways for the same seed.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// Bytes of a truncated answer that are let through.
const CUT: usize = 150;
/// What an overloaded server says.
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// A proxy in front of a server. It goes on until the program ends.
pub struct Proxy {
    address: SocketAddr,
    requests: Arc<AtomicU64>,
    broken: Arc<AtomicU64>,
}

/// What is done to a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Passes,
    /// The connection breaks before the server hears of it.
    Reset,
    /// The server does it, and the answer is lost.
    Lost,
    /// The answer ends early.
    Cut,
    /// The proxy answers for an overloaded server.
    Busy,
}

impl Proxy {
    /// Breaks one of `share` requests.
    pub fn before(server: SocketAddr, share: u64) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, broken) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (counted, failed) = (Arc::clone(&requests), Arc::clone(&broken));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (counted, failed) = (Arc::clone(&counted), Arc::clone(&failed));
                thread::spawn(move || serve(client, server, share, &counted, &failed));
            }
        });
        Self { address, requests, broken }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests so far, and how many of them it broke.
    pub fn counts(&self) -> (u64, u64) {
        (self.requests.load(Ordering::Relaxed), self.broken.load(Ordering::Relaxed))
    }
}

/// One request after the other on a connection of its own to the server.
fn serve(mut client: TcpStream, server: SocketAddr, share: u64, requests: &AtomicU64, broken: &AtomicU64) -> Option<()> {
    let mut upstream = TcpStream::connect(server).ok()?;
    for stream in [&client, &upstream] {
        stream.set_nodelay(true).ok()?;
    }
    loop {
        let request = read_message(&mut client, false)?;
        let number = requests.fetch_add(1, Ordering::Relaxed);
        let fate = fate(number, share);
        if fate != Fate::Passes {
            broken.fetch_add(1, Ordering::Relaxed);
        }
        match fate {
            Fate::Reset => return client.shutdown(Shutdown::Both).ok(),
            Fate::Busy => return client.write_all(BUSY).ok(),
            _ => {}
        }
        upstream.write_all(&request).ok()?;
        let answer = read_message(&mut upstream, request.starts_with(b"HEAD "))?;
        match fate {
            Fate::Lost => return client.shutdown(Shutdown::Both).ok(),
            Fate::Cut => return client.write_all(&answer[..answer.len().min(CUT)]).ok(),
            _ => client.write_all(&answer).ok()?,
        }
    }
}

/// Every `share`-th request in the mean, at places that only look random.
fn fate(number: u64, share: u64) -> Fate {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^= mixed >> 29;
    if !mixed.is_multiple_of(share) {
        return Fate::Passes;
    }
    [Fate::Reset, Fate::Lost, Fate::Cut, Fate::Busy][((mixed / share) % 4) as usize]
}

/// A whole message with its body.
fn read_message(stream: &mut TcpStream, without_body: bool) -> Option<Vec<u8>> {
    let mut message = Vec::new();
    let mut byte = [0; 1 << 16];
    let head = loop {
        if let Some(end) = message.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        match stream.read(&mut byte).ok()? {
            0 => return None,
            count => message.extend_from_slice(&byte[..count]),
        }
    };
    let text = String::from_utf8_lossy(&message[..head]).to_lowercase();
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim));
    let bodiless = without_body || text.starts_with("http/1.1 204") || text.starts_with("http/1.1 304");
    let chunked = field("transfer-encoding").is_some_and(|value| value.contains("chunked"));
    let length: usize = field("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
    let complete = |message: &[u8]| bodiless || if chunked { message.ends_with(b"0\r\n\r\n") } else { message.len() >= head + length };
    while !complete(&message) {
        match stream.read(&mut byte).ok()? {
            0 => return None,
            count => message.extend_from_slice(&byte[..count]),
        }
    }
    Some(message)
}
