//! HTTP: one client for all requests of a store, which counts them, notes the server's time and keeps the pace of the line.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use futures_util::{StreamExt as _, TryStream, TryStreamExt as _, stream};
use http::{HeaderValue, Method, Request, Response};
use opendal::{Buffer, Error, ErrorKind, HttpBody, HttpTransport, HttpTransporter};
use opendal_http_transport_reqwest::ReqwestTransport;

use crate::store::attempt::Held;
use crate::store::line::{Line, Paces};
use crate::store::requests::{Counter, RequestKind, Requests};
use crate::store::tls::tls;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(20);
/// How long what was sent may stay unacknowledged before the line counts as dead.
const DEAD: Duration = Duration::from_secs(60);
/// How often a silent connection is probed.
const PROBE: Duration = Duration::from_secs(20);
/// Most bytes that are handed to a socket at once where a pace is kept.
const STRETCH: usize = 64 << 10;

/// The client. Clones share connections and counts.
#[derive(Clone)]
pub(super) struct Transport {
    inner: ReqwestTransport,
    /// The client that it uses.
    client: reqwest::Client,
    line: Line,
    counter: Arc<Counter>,
    /// The server's time in its latest answer, in seconds since 1970.
    date: Arc<AtomicI64>,
}

/// What a server may say beside the bytes of objects, in bytes of one answer: a thousand keys of a list have 2 MB at most.
const LONGEST: usize = 64 << 20;
/// No answer so far told a time.
const UNKNOWN: i64 = i64::MIN;

impl Transport {
    /// A client for a server at the end of a line.
    pub(super) fn new(endpoint: &str, line: Line) -> io::Result<Self> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls(endpoint)?)
            .connect_timeout(CONNECT)
            .tcp_keepalive(PROBE)
            .tcp_user_timeout(DEAD)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("hearth-backup/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(io::Error::other)?;
        let (inner, counter, date) = (ReqwestTransport::new(client.clone()), Arc::default(), Arc::new(AtomicI64::new(UNKNOWN)));
        Ok(Self { inner, client, line, counter, date })
    }

    /// As the library wants it.
    pub(super) fn erased(&self) -> HttpTransporter {
        HttpTransporter::new(self.clone())
    }

    /// The requests so far.
    pub(super) fn requests(&self) -> Requests {
        self.counter.read()
    }

    /// The server's time in its latest answer.
    pub(super) fn date(&self) -> Option<SystemTime> {
        let seconds = u64::try_from(self.date.load(Ordering::Relaxed)).ok()?;
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
    }
}

impl HttpTransport for Transport {
    async fn fetch(&self, mut request: Request<Buffer>) -> opendal::Result<Response<HttpBody>> {
        if request.method().as_str() == "MOVE" {
            // The library asks to replace what is there (RFC 4918, 10.6); no object is ever replaced.
            request.headers_mut().insert("overwrite", HeaderValue::from_static("F"));
        }
        let kind = kind(&request);
        self.counter.add(kind);
        tracing::trace!("{} {}", request.method(), request.uri());
        let paced = !self.line.up.is_empty() && !request.body().is_empty();
        let response = if paced { self.send(request).await? } else { self.inner.fetch(request).await? };
        let date = response.headers().get(http::header::DATE).and_then(|date| date.to_str().ok());
        if let Some(date) = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok()) {
            self.date.store(date.timestamp().as_second(), Ordering::Relaxed);
        }
        let brings_bytes = kind == RequestKind::Get && response.status().is_success();
        let response = if brings_bytes { response } else { response.map(at_most_an_answer) };
        if self.line.down.is_empty() {
            return Ok(response);
        }
        let (down, held) = (self.line.down.clone(), Held::here());
        // Pieces are not handed on before their turn; meanwhile the server may send no more than what the socket holds.
        let slowly = move |piece: opendal::Result<Buffer>| {
            let (down, held) = (down.clone(), held.clone());
            async move {
                down.hold(piece.as_ref().map_or(0, Buffer::len), |nap| held.add(nap)).await;
                piece
            }
        };
        Ok(response.map(|body| body.map_inner(|pieces| Box::new(Box::pin(pieces.then(slowly))))))
    }
}

impl Transport {
    /// Sends a request whose body takes its time.
    async fn send(&self, request: Request<Buffer>) -> opendal::Result<Response<HttpBody>> {
        let (parts, body) = request.into_parts();
        let failed = |error: reqwest::Error| {
            // As the library judges those requests that it sends itself.
            let passing = error.is_request() || error.is_body() || error.is_decode();
            Error::new(ErrorKind::Unexpected, "send http request").with_temporary(passing).set_source(error.without_url())
        };
        // The length is among the headers; so it is no chunked transfer, which services do not take.
        let body = reqwest::Body::wrap_stream(in_stretches(body, self.line.up.clone(), Held::here()));
        let sent = self.client.request(parts.method, parts.uri.to_string()).headers(parts.headers).body(body).send();
        let mut answer = sent.await.map_err(failed)?;
        let length = answer.content_length();
        let mut response = Response::new(());
        *response.status_mut() = answer.status();
        std::mem::swap(response.headers_mut(), answer.headers_mut());
        response.extensions_mut().insert(parts.uri);
        let pieces = answer.bytes_stream().map_ok(Buffer::from).map_err(failed);
        Ok(response.map(|()| HttpBody::new(Box::pin(pieces), length)))
    }
}

/// Lists, errors and the like are read whole before they are understood; no server may fill the memory with them.
fn at_most_an_answer(body: HttpBody) -> HttpBody {
    body.map_inner(|pieces| {
        let mut left = LONGEST;
        Box::new(Box::pin(pieces.map(move |piece| {
            let piece = piece?;
            left = left.checked_sub(piece.len()).ok_or_else(|| {
                Error::new(
                    ErrorKind::Unsupported,
                    format!("the server's answer is longer than {LONGEST} bytes, more than any that is read"),
                )
            })?;
            Ok(piece)
        })))
    })
}

/// Bytes that wait for their turn before they leave.
fn in_stretches(bytes: Buffer, up: Paces, held: Held) -> impl TryStream<Ok = bytes::Bytes, Error = Infallible> + Send {
    stream::unfold((bytes, up, held), |(bytes, up, held)| async move {
        let length = up.stretch(STRETCH).min(bytes.len());
        if length == 0 {
            return None;
        }
        up.hold(length, |nap| held.add(nap)).await;
        Some((Ok(bytes.slice(..length).to_bytes()), (bytes.slice(length..), up, held)))
    })
}

/// What a request is for, and how services bill it.
fn kind(request: &Request<Buffer>) -> RequestKind {
    let query = request.uri().query().unwrap_or_default();
    match *request.method() {
        Method::GET if query.contains("list-type=") => RequestKind::List,
        Method::GET => RequestKind::Get,
        Method::HEAD => RequestKind::Head,
        Method::DELETE => RequestKind::Delete,
        // WebDAV: about the object itself, or about what a folder holds.
        _ if request.method().as_str() == "PROPFIND" => match request.headers().get("depth").map(HeaderValue::as_bytes) {
            Some(b"0") => RequestKind::Head,
            _ => RequestKind::List,
        },
        Method::POST if query.split('&').any(|word| word.trim_end_matches('=') == "delete") => RequestKind::Delete,
        _ => RequestKind::Put,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::pace::Pace;

    #[test]
    fn a_paced_upload_leaves_in_stretches_and_whole() {
        let up = Paces::new([Arc::new(Pace::new(1 << 40)), Arc::new(Pace::new(300_000))]);
        let bytes = Buffer::from((0..70_000_u32).map(|number| number as u8).collect::<Vec<_>>());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let sent: Vec<_> = runtime.block_on(in_stretches(bytes.clone(), up, Held::default()).try_collect()).unwrap();
        assert_eq!(sent.iter().map(bytes::Bytes::len).collect::<Vec<_>>(), [30_000, 30_000, 10_000]);
        assert_eq!(sent.concat(), bytes.to_vec());
    }
}
