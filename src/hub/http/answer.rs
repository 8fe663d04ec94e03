//! Answers: bodies, JSON, and which status a refusal has.

use std::io;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use serde::Serialize;
use tokio::sync::mpsc::Receiver;

use crate::hub::repository::refusal;
use crate::store::hub::protocol::{ERROR, Reason, Refusal};

/// The body of an answer. An error in it breaks the connection: the client sees that it is not whole.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Pieces of an answer that are made before they are wanted.
const AHEAD: usize = 2;

/// A body that is there.
pub(super) fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body of pieces that somebody sends.
pub(super) fn streamed(receiver: Receiver<io::Result<Bytes>>) -> Body {
    let frames = futures_util::stream::unfold(receiver, |mut receiver| async move {
        let piece: Option<io::Result<Bytes>> = receiver.recv().await;
        piece.map(|piece| (piece.map(Frame::data), receiver))
    });
    StreamBody::new(frames).boxed_unsync()
}

/// A body in pieces, each of which a thread makes. A client that takes none holds up no thread, and `held` is dropped when it has all.
pub(super) fn pieces<P>(parts: P, held: impl Send + 'static) -> Body
where
    P: Iterator<Item: FnOnce() -> io::Result<Bytes> + Send + 'static> + Send + 'static,
{
    let made = |make| async move { tokio::task::spawn_blocking(make).await.unwrap_or_else(|error| Err(io::Error::other(error))) };
    let frames = futures_util::stream::iter(parts).map(made).buffered(AHEAD).map(move |piece| {
        let _ = &held;
        piece.map(Frame::data)
    });
    StreamBody::new(frames).boxed_unsync()
}

/// An answer in JSON.
pub(super) fn json(value: &impl Serialize) -> Result<Response<Body>, Refusal> {
    let text = serde_json::to_vec(value).map_err(|error| refusal(Reason::Failed, error.to_string()))?;
    Ok(with_type(Response::new(whole(text)), "application/json"))
}

/// The answer with this type of content, which nobody shall keep.
pub(super) fn with_type(mut response: Response<Body>, kind: &'static str) -> Response<Body> {
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A refusal.
pub(super) fn refused(refusal: &Refusal) -> Response<Body> {
    let mut response = with_type(Response::new(whole(serde_json::to_vec(refusal).unwrap_or_default())), "application/json");
    *response.status_mut() = status(refusal.error);
    if let Ok(word) = HeaderValue::try_from(refusal.error.word()) {
        response.headers_mut().insert(ERROR, word);
    }
    if refusal.error == Reason::Unauthorized {
        response.headers_mut().insert(http::header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// The status that a refusal has.
pub(super) fn status(reason: Reason) -> StatusCode {
    match reason {
        Reason::Malformed => StatusCode::BAD_REQUEST,
        Reason::Unauthorized => StatusCode::UNAUTHORIZED,
        Reason::Forbidden => StatusCode::FORBIDDEN,
        Reason::NotFound | Reason::NoRepository => StatusCode::NOT_FOUND,
        Reason::Method => StatusCode::METHOD_NOT_ALLOWED,
        Reason::Slow => StatusCode::REQUEST_TIMEOUT,
        Reason::LengthRequired => StatusCode::LENGTH_REQUIRED,
        Reason::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Reason::Range => StatusCode::RANGE_NOT_SATISFIABLE,
        Reason::Mismatch | Reason::Incomplete | Reason::Signature => StatusCode::UNPROCESSABLE_ENTITY,
        Reason::Conflict => StatusCode::CONFLICT,
        Reason::TooMany => StatusCode::TOO_MANY_REQUESTS,
        Reason::Quota | Reason::Full => StatusCode::INSUFFICIENT_STORAGE,
        Reason::Failed | Reason::Other => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Runs what reads or writes the disk where it holds up nobody.
pub(super) async fn spawn<T: Send + 'static>(work: impl FnOnce() -> Result<T, Refusal> + Send + 'static) -> Result<T, Refusal> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| {
        tracing::error!("a request made the hub fail: {error}");
        Err(refusal(Reason::Failed, "the hub failed; its log says how"))
    })
}
