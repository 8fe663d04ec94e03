//! The network in front of a server: narrow, or cut after so many bytes.

#![allow(dead_code, reason = "each suite uses a part")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::Read as _;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::thread;

use crate::proxy::Line;

/// A wire to a server. It lies there until the program ends.
pub struct Wire {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    up: Line,
    down: Line,
    /// Bytes that still come to the server before the wire is cut once.
    left: AtomicI64,
    /// Whether nobody gets through once it is cut.
    for_good: AtomicBool,
    cut: AtomicBool,
    connections: AtomicU64,
}

impl Wire {
    /// A wire for so many bytes a second in each direction; as many as come if zero.
    pub fn to(port: u16, bandwidth: u64) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let line = || Line::new(bandwidth);
        let state = Arc::new(State {
            up: line(),
            down: line(),
            left: AtomicI64::new(i64::MAX),
            for_good: AtomicBool::new(false),
            cut: AtomicBool::new(false),
            connections: AtomicU64::new(0),
        });
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.cut.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let (state, ends) = (Arc::clone(&shared), [client.try_clone().unwrap(), server.try_clone().unwrap()]);
                thread::spawn(move || state.carry_up(client, server));
                let (state, [client, server]) = (Arc::clone(&shared), ends);
                thread::spawn(move || state.carry_down(server, client));
            }
        });
        Self { address, state }
    }

    /// Where it begins.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Cuts it once so many more bytes have come to the server. New connections are good.
    pub fn cut_after(&self, bytes: i64) {
        self.state.left.store(bytes, Ordering::SeqCst);
    }

    /// Cuts it once so many more bytes have come to the server. Nobody gets through until it is mended.
    pub fn break_after(&self, bytes: i64) {
        self.state.for_good.store(true, Ordering::SeqCst);
        self.cut_after(bytes);
    }

    /// Makes it whole again.
    pub fn mend(&self) {
        self.state.for_good.store(false, Ordering::SeqCst);
        self.state.cut.store(false, Ordering::SeqCst);
        self.cut_after(i64::MAX);
    }

    /// How often somebody connected.
    pub fn connections(&self) -> u64 {
        self.state.connections.load(Ordering::SeqCst)
    }
}

impl State {
    fn carry_up(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = [0; 16 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let bytes = i64::try_from(count).unwrap();
            if self.left.fetch_sub(bytes, Ordering::SeqCst) < bytes {
                self.left.store(i64::MAX, Ordering::SeqCst);
                self.cut.store(self.for_good.load(Ordering::SeqCst), Ordering::SeqCst);
                break;
            }
            if self.up.carry(&buffer[..count], &mut to).is_none() {
                break;
            }
        }
        end(&from, &to);
    }

    fn carry_down(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = [0; 16 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            if self.down.carry(&buffer[..count], &mut to).is_none() {
                break;
            }
        }
        end(&from, &to);
    }
}

fn end(one: &TcpStream, other: &TcpStream) {
    for stream in [one, other] {
        let _ = stream.shutdown(Shutdown::Both);
    }
}
