//! Moto, an S3 server in Python that was made for tests of others.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::bucket::BUCKET;

/// A server with one bucket; it ends with this.
pub struct Moto {
    process: Child,
    address: SocketAddr,
}

/// The program: `HEARTH_TEST_MOTO`, or in `PATH`. Without it there is nothing to test.
fn program() -> Option<PathBuf> {
    let named = std::env::var_os("HEARTH_TEST_MOTO").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    named.into_iter().chain(std::env::split_paths(&path).map(|dir| dir.join("moto_server"))).find(|program| program.is_file())
}

impl Moto {
    /// None where it is not installed.
    pub fn start() -> Option<Self> {
        let Some(program) = program() else {
            println!("SKIPPED: moto is not installed; tests/run installs it");
            return None;
        };
        let mut command = Command::new(program);
        command.args(["-H", "127.0.0.1", "-p", "0"]).env("PYTHONUNBUFFERED", "1").stdin(Stdio::null()).stdout(Stdio::null());
        let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(process.stderr.take().unwrap());
        let mut moto = Self { process, address: ([127, 0, 0, 1], 0).into() };
        let (mut line, mut all) = (String::new(), String::new());
        let address = loop {
            line.clear();
            if said.read_line(&mut line).unwrap() == 0 {
                println!("SKIPPED: moto does not start: {all}");
                return None;
            }
            all.push_str(&line);
            if let Some((_, address)) = line.split_once("Running on http://") {
                break address.trim().trim_end_matches('/').parse().unwrap();
            }
        };
        // It would end if nobody listened to it.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        moto.address = address;
        moto.make_bucket();
        Some(moto)
    }

    fn make_bucket(&self) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        write!(stream, "PUT /{BUCKET} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
