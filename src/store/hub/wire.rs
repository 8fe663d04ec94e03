//! The two ways to a hub: HTTP/1.1 over TCP or TLS, with a connection for each request under way, and HTTP/2 over the pipes of `ssh`.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use super::answer::{Break, Failure};
use crate::store::ssh::{Ssh, SshHost, SshOptions, Tunnel};
use crate::store::tls::tls;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(20);
/// How long what was sent may stay unacknowledged before the line counts as dead.
const DEAD: Duration = Duration::from_secs(60);
/// How often a silent connection is probed.
const PROBE: Duration = Duration::from_secs(20);
/// How long the end of a connection is waited for in which a request failed.
const FAREWELL: Duration = Duration::from_secs(1);
/// What the hub may send before it waits for us, in bytes: for an object, and for all together.
const WINDOW: u32 = 4 << 20;
/// Bytes of a frame; fewer frames wake `ssh` less often.
const FRAME: u32 = 256 << 10;

/// The bytes of a request, as they come.
pub(super) type Bytestream = BoxStream<'static, Result<Bytes, Infallible>>;

/// A request.
pub(super) struct Message {
    pub(super) method: Method,
    /// The path behind the hub's base, from `/v1` on.
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    /// How many bytes it brings, and these.
    pub(super) body: Option<(u64, Bytestream)>,
}

/// The way to a hub.
pub(super) enum Wire {
    Http { client: reqwest::Client, base: String },
    Ssh(Box<SshWire>),
}

impl Wire {
    /// By HTTP. Nothing is asked yet.
    pub(super) fn http(base: &str) -> io::Result<Self> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls(base)?)
            .connect_timeout(CONNECT)
            .tcp_keepalive(PROBE)
            .tcp_user_timeout(DEAD)
            .tcp_nodelay(true)
            // With one connection for all, its window would slow uploads down.
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("hearth-backup/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(io::Error::other)?;
        Ok(Self::Http { client, base: base.to_owned() })
    }

    /// By `ssh`, which starts a hub for this repository at the other end. Nothing is started yet.
    pub(super) fn ssh(host: SshHost, options: SshOptions, repository: &str) -> io::Result<Self> {
        options.check()?;
        Ok(Self::Ssh(Box::new(SshWire { host, options, repository: repository.to_owned(), open: Mutex::new(None) })))
    }

    /// Sends a request and waits for the head of the answer.
    pub(super) async fn send(&self, message: Message) -> Result<Answer, Failure> {
        match self {
            Self::Http { client, base } => {
                let mut request = client.request(message.method, format!("{base}{}", message.path)).headers(message.headers);
                if let Some((size, body)) = message.body {
                    request = request.header(CONTENT_LENGTH, size).body(reqwest::Body::wrap_stream(body));
                }
                Ok(Answer::Http(request.send().await?))
            }
            Self::Ssh(wire) => wire.send(message).await.map(Answer::Ssh),
        }
    }
}

impl Wire {
    /// The hub says nothing: what is sent next shall go another way.
    pub(super) async fn give_up(&self) {
        if let Self::Ssh(wire) = self {
            *wire.open.lock().await = None;
        }
    }
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// One `ssh` for all requests; another once it ends.
pub(super) struct SshWire {
    host: SshHost,
    options: SshOptions,
    repository: String,
    open: Mutex<Option<Open>>,
}

struct Open {
    sender: SendRequest<Body>,
    ssh: Ssh,
    /// Ends with the connection.
    carried: JoinHandle<()>,
    /// Whether anything was answered through it.
    proven: bool,
}

impl SshWire {
    async fn send(&self, message: Message) -> Result<http::Response<Incoming>, Failure> {
        let mut request = Request::builder().method(message.method).uri(format!("http://hub{}", message.path));
        if let Some(headers) = request.headers_mut() {
            headers.extend(message.headers);
            if let Some((size, _)) = &message.body {
                headers.insert(CONTENT_LENGTH, (*size).into());
            }
        }
        let bytes = message.body.map_or_else(|| futures_util::stream::empty().boxed(), |(_, bytes)| bytes);
        let body = StreamBody::new(bytes.map(|piece| piece.map(Frame::data))).boxed_unsync();
        let request = request.body(body).map_err(|error| Failure::Strange(error.to_string()))?;
        let mut sender = self.sender().await?;
        let answered = match sender.ready().await {
            Ok(()) => sender.send_request(request).await,
            Err(error) => Err(error),
        };
        match answered {
            Ok(answer) => {
                if let Some(open) = self.open.lock().await.as_mut() {
                    open.proven = true;
                }
                Ok(answer)
            }
            Err(error) => Err(self.broken(error).await),
        }
    }

    async fn sender(&self) -> Result<SendRequest<Body>, Failure> {
        let mut open = self.open.lock().await;
        if let Some(open) = open.as_ref().filter(|open| !open.sender.is_closed()) {
            return Ok(open.sender.clone());
        }
        let remote = ["hearth-backup", "hub", "stdio", "--repository", &self.repository];
        let unreached = |error: io::Error| Failure::Line(Break::unreached(error.to_string()));
        let Tunnel { input, output, mut ssh } = Tunnel::open(&self.host, &self.options, &[], &remote).await.map_err(unreached)?;
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(WINDOW).initial_connection_window_size(WINDOW).max_frame_size(FRAME);
        let shaken = builder.handshake(TokioIo::new(tokio::io::join(output, input))).await;
        let (sender, connection) = match shaken {
            Ok(shaken) => shaken,
            Err(error) => return Err(Failure::Line(Break::unreached(ssh.last_words(error.to_string()).await))),
        };
        let carried = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!("the connection by ssh broke: {error}");
            }
        });
        *open = Some(Open { sender: sender.clone(), ssh, carried, proven: false });
        Ok(sender)
    }

    /// Gives up a connection that broke.
    async fn broken(&self, error: hyper::Error) -> Failure {
        let mut open = self.open.lock().await;
        if let Some(open) = open.as_mut() {
            // A request may learn of it first.
            let _ = tokio::time::timeout(FAREWELL, &mut open.carried).await;
        }
        match open.take_if(|open| open.carried.is_finished() || open.sender.is_closed()) {
            Some(mut open) => {
                let words = open.ssh.last_words(error.to_string()).await;
                Failure::Line(if open.proven { Break::broken(words) } else { Break::unreached(words) })
            }
            None => Failure::Line(Break::broken(error.to_string())),
        }
    }
}

/// The answer to a request, whose body is still to be read.
pub(super) enum Answer {
    Http(reqwest::Response),
    Ssh(http::Response<Incoming>),
}

impl Answer {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Http(answer) => answer.status(),
            Self::Ssh(answer) => answer.status(),
        }
    }

    /// A header, if it is text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let headers = match self {
            Self::Http(answer) => answer.headers(),
            Self::Ssh(answer) => answer.headers(),
        };
        headers.get(name)?.to_str().ok()
    }

    /// How many bytes it brings, if it says so.
    pub(super) fn length(&self) -> Option<u64> {
        self.header(CONTENT_LENGTH.as_str())?.parse().ok()
    }

    /// The next bytes of its body; none at the end.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        match self {
            Self::Http(answer) => Ok(answer.chunk().await?),
            Self::Ssh(answer) => loop {
                match answer.body_mut().frame().await {
                    None => return Ok(None),
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(bytes) => return Ok(Some(bytes)),
                        Err(_) => continue,
                    },
                    Some(Err(error)) => return Err(Failure::Line(Break::broken(error.to_string()))),
                }
            },
        }
    }
}
