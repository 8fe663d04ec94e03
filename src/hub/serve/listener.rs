//! Sockets.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::config::Listen;
use crate::hub::http::Peer;

/// A socket that connections come to.
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, Option<PathBuf>),
}

/// A connection.
pub(super) enum Connection {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Listener {
    /// Opens a place; systemd may hand over several sockets.
    pub(super) fn open(place: &Listen) -> io::Result<Vec<Self>> {
        match place {
            Listen::Tcp(address) => {
                let failed = |error: io::Error| io::Error::new(error.kind(), format!("cannot listen at {address}: {error}"));
                let listener = std::net::TcpListener::bind(address).map_err(failed)?;
                Ok(vec![tcp(listener)?])
            }
            Listen::Unix(path) => {
                let failed = |error: io::Error| io::Error::new(error.kind(), format!("cannot listen at {}: {error}", path.display()));
                remove_dead(path).map_err(failed)?;
                let listener = UnixListener::bind(path).map_err(failed)?;
                // Tokens decide who may do what; a proxy runs as another user.
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666)).map_err(failed)?;
                Ok(vec![Self::Unix(listener, Some(path.clone()))])
            }
            Listen::Systemd => from_systemd(),
        }
    }

    /// The next connection, and who it is from.
    pub(super) async fn accept(&self) -> io::Result<(Connection, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, from) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok((Connection::Tcp(stream), Peer::Address(from.ip().to_canonical())))
            }
            Self::Unix(listener, _) => Ok((Connection::Unix(listener.accept().await?.0), Peer::Local)),
        }
    }

    /// For people.
    pub(super) fn name(&self, tls: bool) -> String {
        match self {
            Self::Tcp(listener) => {
                let address = listener.local_addr().map_or("an unknown address".to_owned(), |address| address.to_string());
                format!("{}://{address}", if tls { "https" } else { "http" })
            }
            Self::Unix(_, Some(path)) => format!("unix:{}", path.display()),
            Self::Unix(_, None) => "a Unix socket from systemd".to_owned(),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix(_, Some(path)) = self {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn tcp(listener: std::net::TcpListener) -> io::Result<Listener> {
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener).map(Listener::Tcp)
}

/// A socket that a hub left which was killed. One that somebody listens at stays, and so does everything that is none.
fn remove_dead(path: &Path) -> io::Result<()> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    let refused = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    if is_socket && std::os::unix::net::UnixStream::connect(path).as_ref().err().is_some_and(refused) {
        std::fs::remove_file(path)?;
    }
    Ok(())
}

/// The sockets of `LISTEN_FDS` (sd_listen_fds(3)).
fn from_systemd() -> io::Result<Vec<Listener>> {
    let mut given = listenfd::ListenFd::from_env();
    let mut listeners = Vec::new();
    for index in 0..given.len() {
        if let Ok(Some(listener)) = given.take_tcp_listener(index) {
            listeners.push(tcp(listener)?);
        } else if let Ok(Some(listener)) = given.take_unix_listener(index) {
            listener.set_nonblocking(true)?;
            listeners.push(Listener::Unix(UnixListener::from_std(listener)?, None));
        }
    }
    if listeners.is_empty() {
        return Err(io::Error::other("systemd has handed over no socket; start the hub by its .socket unit, or give --listen"));
    }
    Ok(listeners)
}
