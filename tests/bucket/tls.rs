//! TLS in front of a server, with a certificate of an authority that only this test knows.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::bucket::proxy::read_message;

/// Speaks TLS with the certificate of an authority for a server that does not; returns where. Goes on until the program ends.
pub fn before(server: SocketAddr, dir: &Path, name: &str) -> SocketAddr {
    let certificate = CertificateDer::from_pem_file(dir.join(format!("{name}-server.pem"))).unwrap();
    let key = PrivateKeyDer::from_pem_file(dir.join(format!("{name}-server.key"))).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let config = Arc::new(builder.with_single_cert(vec![certificate], key).unwrap());
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let config = Arc::clone(&config);
            thread::spawn(move || serve(client, server, config));
        }
    });
    address
}

fn serve(client: TcpStream, server: SocketAddr, config: Arc<ServerConfig>) -> Option<()> {
    let mut upstream = TcpStream::connect(server).ok()?;
    let mut client = StreamOwned::new(ServerConnection::new(config).ok()?, client);
    loop {
        let request = read_message(&mut client, false)?;
        upstream.write_all(&request).ok()?;
        let answer = read_message(&mut upstream, request.starts_with(b"HEAD "))?;
        client.write_all(&answer).ok()?;
        client.flush().ok()?;
    }
}
