//! A bad network: a proxy that is slow, and breaks a share of the requests, each time in another way.

#![allow(dead_code, reason = "each suite uses a part")]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// What an overloaded server says.
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
/// Requests that break together.
const BURST: u64 = 4;
/// Bytes that are let through at once.
const PIECE: usize = 16 << 10;

/// What is done to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Passes,
    /// The connection breaks before the server hears of it.
    Reset,
    /// The server does it, and the answer is lost.
    Lost,
    /// The answer ends early, somewhere.
    Cut,
    /// The proxy answers for an overloaded server.
    Busy,
}

/// How bad the network is.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    /// One of so many requests is broken; none if zero.
    pub share: u64,
    /// Whether all that are broken come one after the other, four at a time.
    pub burst: bool,
    /// In one of these ways.
    pub fates: &'static [Fate],
    /// What each request waits.
    pub latency: Duration,
    /// Bytes a second in each direction, of all connections together; as many as come if zero.
    pub bandwidth: u64,
    /// Other requests are broken for another.
    pub seed: u64,
}

impl Default for Weather {
    fn default() -> Self {
        let fates = &[Fate::Reset, Fate::Lost, Fate::Cut, Fate::Busy];
        Self { share: 0, burst: false, fates, latency: Duration::ZERO, bandwidth: 0, seed: 1 }
    }
}

/// A proxy in front of a server. It goes on until the program ends.
pub struct Proxy {
    address: SocketAddr,
    sky: Arc<Sky>,
}

struct Sky {
    server: SocketAddr,
    weather: Weather,
    requests: AtomicU64,
    broken: AtomicU64,
    up: Line,
    down: Line,
}

impl Proxy {
    /// Breaks one of `share` requests.
    pub fn before(server: SocketAddr, share: u64) -> Self {
        Self::in_weather(server, Weather { share, ..Weather::default() })
    }

    /// Treats requests so.
    pub fn in_weather(server: SocketAddr, weather: Weather) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let line = || Line::new(weather.bandwidth);
        let (requests, broken) = (AtomicU64::new(0), AtomicU64::new(0));
        let sky = Arc::new(Sky { server, weather, requests, broken, up: line(), down: line() });
        let shared = Arc::clone(&sky);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let sky = Arc::clone(&shared);
                thread::spawn(move || sky.serve(client));
            }
        });
        Self { address, sky }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests so far, and how many of them it broke.
    pub fn counts(&self) -> (u64, u64) {
        (self.sky.requests.load(Ordering::Relaxed), self.sky.broken.load(Ordering::Relaxed))
    }
}

impl Sky {
    /// One request after the other on a connection of its own to the server.
    fn serve(&self, mut client: TcpStream) -> Option<()> {
        let mut upstream = TcpStream::connect(self.server).ok()?;
        for stream in [&client, &upstream] {
            stream.set_nodelay(true).ok()?;
        }
        loop {
            let request = read_message(&mut client, false)?;
            let number = self.requests.fetch_add(1, Ordering::Relaxed);
            let draw = draw(number, self.weather.seed);
            let fate = self.fate(number, draw);
            if fate != Fate::Passes {
                self.broken.fetch_add(1, Ordering::Relaxed);
            }
            thread::sleep(self.weather.latency);
            match fate {
                Fate::Reset => return client.shutdown(Shutdown::Both).ok(),
                Fate::Busy => return client.write_all(BUSY).ok(),
                _ => {}
            }
            self.up.carry(&request, &mut upstream)?;
            let answer = read_message(&mut upstream, request.starts_with(b"HEAD "))?;
            match fate {
                Fate::Lost => return client.shutdown(Shutdown::Both).ok(),
                Fate::Cut => {
                    let end = usize::try_from(draw >> 32).unwrap() % answer.len();
                    return self.down.carry(&answer[..end], &mut client);
                }
                _ => self.down.carry(&answer, &mut client)?,
            }
        }
    }

    fn fate(&self, number: u64, mixed: u64) -> Fate {
        let Weather { share, burst, fates, seed, .. } = self.weather;
        let strikes =
            share > 0 && if burst { (number.wrapping_add(seed) / BURST).is_multiple_of(share) } else { mixed.is_multiple_of(share) };
        match strikes {
            true => fates[usize::try_from((mixed / share) % fates.len() as u64).unwrap()],
            false => Fate::Passes,
        }
    }
}

/// A number for each request that only looks random.
fn draw(number: u64, seed: u64) -> u64 {
    let mut mixed = number.wrapping_add(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 29)
}

/// One direction of a network, on which everybody waits for everybody.
pub struct Line {
    bandwidth: u64,
    free: Mutex<Instant>,
}

impl Line {
    /// For so many bytes a second; as many as come if zero.
    pub fn new(bandwidth: u64) -> Self {
        Self { bandwidth, free: Mutex::new(Instant::now()) }
    }

    /// Brings bytes to the other end.
    pub fn carry(&self, bytes: &[u8], to: &mut impl Write) -> Option<()> {
        for piece in bytes.chunks(PIECE) {
            if let Some(micros) = (piece.len() as u64 * 1_000_000).checked_div(self.bandwidth) {
                let time = Duration::from_micros(micros);
                let mut free = self.free.lock().unwrap();
                *free = (*free).max(Instant::now()) + time;
                let until = *free;
                drop(free);
                thread::sleep(until.saturating_duration_since(Instant::now()));
            }
            to.write_all(piece).ok()?;
        }
        to.flush().ok()
    }
}

/// A whole message with its body.
pub fn read_message(stream: &mut impl Read, without_body: bool) -> Option<Vec<u8>> {
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
