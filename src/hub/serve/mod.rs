//! Listening: connections come, each is served, and a stop waits for what is under way.
//!
//! ```text
//!   TCP, Unix socket, or sockets from systemd --> (TLS) --> plain --> HTTP/1.1 or 2 --> http::answer
//!                                                             |
//!                                      activity: closed when the client does nothing
//! ```

mod activity;
mod listener;
mod plain;
mod systemd;
mod tls;

use std::io;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, oneshot};

use self::activity::Activity;
use self::listener::{Connection, Listener};
use self::plain::Plain;
pub use self::tls::{Certificate, CertificateError};
use super::Hub;
use super::http::{self, Peer};
use super::patience::Patience;
use crate::config::Listen;

/// Connections at the same time; others wait to be accepted.
const CONNECTIONS: usize = 1024;
/// Bytes of a connection that are read ahead.
const BUFFER: usize = 128 << 10;
/// What HTTP/2 lets a client send before it waits for the hub, in bytes.
const WINDOW: u32 = 1 << 20;
/// Bytes of a frame.
const FRAME: u32 = 256 << 10;
/// Streams in a connection of HTTP/2.
const STREAMS: u32 = 32;
/// How long streams may take to give back what is theirs after their connections ended.
const AFTERWARDS: Duration = Duration::from_secs(2);

/// Serves until the process is told to stop by SIGTERM or SIGINT, and then ends what is under way; not if it is told twice. `ready` is told
/// where it listens.
///
/// # Errors
/// If it cannot listen.
pub fn run(hub: Hub, listen: &[Listen], certificate: Option<Certificate>, ready: impl FnOnce(&[String])) -> io::Result<()> {
    let runtime = Builder::new_multi_thread().thread_name("hub").enable_all().build()?;
    runtime.block_on(async {
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let (stop, stopped) = oneshot::channel();
        let signals = async {
            for stop in [Some(stop), None] {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                if let Some(stop) = stop {
                    systemd::stopping();
                    let _ = stop.send(());
                }
            }
            tracing::warn!("stopped at once; requests that were under way are broken off");
        };
        let watchdog = tokio::spawn(systemd::watchdog());
        let told = |names: &[String]| {
            systemd::ready(names);
            ready(names);
        };
        let stopped = async {
            let _ = stopped.await;
        };
        let served = tokio::select! {
            served = serve(Arc::new(hub), listen, certificate, told, stopped) => served,
            () = signals => Ok(()),
        };
        watchdog.abort();
        served
    })
}

/// Serves one connection over two pipes or the like, as `ssh` has them, until its other end closes it.
///
/// # Errors
/// If the connection breaks.
pub fn run_over(input: OwnedFd, output: OwnedFd, hub: Hub, peer: Peer) -> io::Result<()> {
    let runtime = Builder::new_multi_thread().worker_threads(2).thread_name("hub").enable_all().build()?;
    let served = runtime.block_on(async {
        let hub = Arc::new(hub);
        let served = Arc::clone(&hub);
        let service = service_fn(move |request| {
            let (hub, peer) = (Arc::clone(&served), peer.clone());
            async move { Ok::<_, std::convert::Infallible>(http::answer(hub, peer, request).await) }
        });
        let [input, output] = [input, output].map(|end| File::from_std(end.into()));
        let stream = tokio::io::join(input, output);
        let served = builder(&Patience::default()).http2_only().serve_connection(TokioIo::new(stream), service).await;
        hub.orders.stop();
        let _ = tokio::time::timeout(AFTERWARDS, hub.orders.left()).await;
        served.map_err(io::Error::other)
    });
    // An end cannot be given up while it is read.
    runtime.shutdown_background();
    served
}

/// Serves until `stop` ends, and then waits for what is under way.
///
/// # Errors
/// If it cannot listen.
pub async fn serve(
    hub: Arc<Hub>,
    listen: &[Listen],
    certificate: Option<Certificate>,
    ready: impl FnOnce(&[String]),
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let mut listeners = Vec::new();
    for place in listen {
        listeners.extend(Listener::open(place)?);
    }
    let certificate = certificate.map(Arc::new);
    let names: Vec<_> = listeners.iter().map(|listener| listener.name(certificate.is_some())).collect();
    ready(&names);
    let graceful = Arc::new(GracefulShutdown::new());
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let farewell = hub.patience.farewell;
    let (stopping, stopped) = tokio::sync::watch::channel(());
    let mut accepting = tokio::task::JoinSet::new();
    for listener in listeners {
        let (hub, certificate, room, mut stopped) = (Arc::clone(&hub), certificate.clone(), Arc::clone(&room), stopped.clone());
        let graceful = Arc::clone(&graceful);
        accepting.spawn(async move {
            loop {
                let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
                let connection = tokio::select! {
                    connection = listener.accept() => connection,
                    _ = stopped.changed() => return,
                };
                match connection {
                    Ok((connection, peer)) => {
                        let (hub, certificate, watcher) = (Arc::clone(&hub), certificate.clone(), graceful.watcher());
                        tokio::spawn(async move {
                            welcome(hub, certificate, watcher, connection, peer).await;
                            drop(permit);
                        });
                    }
                    Err(error) => {
                        // Such as too many open files: others must end first.
                        tracing::warn!("a connection could not be accepted: {error}");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
            }
        });
    }
    stop.await;
    // Streams that have no end do not keep the hub from ending.
    hub.orders.stop();
    let _ = stopping.send(());
    drop(stopped);
    while accepting.join_next().await.is_some() {}
    let Some(graceful) = Arc::into_inner(graceful) else { return Ok(()) };
    if tokio::time::timeout(farewell, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not end within {} seconds and are broken off", farewell.as_secs());
    }
    let _ = tokio::time::timeout(AFTERWARDS, hub.orders.left()).await;
    Ok(())
}

async fn welcome(hub: Arc<Hub>, certificate: Option<Arc<Certificate>>, watcher: Watcher, connection: Connection, peer: Peer) {
    match (connection, certificate) {
        (Connection::Tcp(stream), None) => converse(hub, watcher, stream, peer).await,
        (Connection::Tcp(stream), Some(certificate)) => {
            match tokio::time::timeout(hub.patience.handshake, certificate.accept(stream)).await {
                Ok(Ok(stream)) => converse(hub, watcher, stream, peer).await,
                Ok(Err(error)) => tracing::debug!("no TLS with {peer:?}: {error}"),
                Err(_) => tracing::debug!("no TLS with {peer:?}: too slow"),
            }
        }
        // Whoever reaches a socket in the file system is on this machine.
        (Connection::Unix(stream), _) => converse(hub, watcher, stream, peer).await,
    }
}

/// Serves one connection until it ends, or nothing happens in it for too long.
async fn converse(hub: Arc<Hub>, watcher: Watcher, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: Peer) {
    let (patience, activity) = (hub.patience, Activity::new());
    let (builder, under_way) = (builder(&patience), activity.clone());
    let service = service_fn(move |request| {
        let (hub, peer, answering) = (Arc::clone(&hub), peer.clone(), under_way.begins());
        async move { Ok::<_, std::convert::Infallible>(http::answer(hub, peer, request).await.map(|body| answering.sends(body))) }
    });
    let mut served = pin!(watcher.watch(builder.serve_connection(TokioIo::new(Plain::new(stream)), service)));
    loop {
        let left = activity.left(&patience);
        if left.is_zero() {
            tracing::debug!("a connection in which nothing happens is closed");
            return;
        }
        tokio::select! {
            ended = &mut served => {
                if let Err(error) = ended {
                    tracing::debug!("a connection broke: {error}");
                }
                return;
            }
            // What is waited for, and for how long, changes meanwhile.
            () = tokio::time::sleep(left.min(patience.idle).min(patience.answer)) => {}
        }
    }
}

fn builder(patience: &Patience) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(patience.head).max_buf_size(BUFFER).half_close(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW * 4)
        .max_frame_size(FRAME)
        .keep_alive_interval(Some(patience.head))
        .max_header_list_size(16 << 10);
    builder
}
