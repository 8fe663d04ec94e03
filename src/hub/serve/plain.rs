//! Refusals of what is no HTTP/1.1 at all.
//!
//! `hyper` answers a head that it cannot read itself, with a status and nothing else. What comes here is the hub's own refusal instead, in JSON
//! like every other, and what the client still sends is read for a while, as it would not see the answer otherwise.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::hub::repository::refusal;
use crate::store::hub::protocol::{ERROR, Reason};

/// What is read of a client that is refused, in bytes.
const DRAINED: usize = 4 << 20;

static REFUSAL: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let refusal = refusal(Reason::Malformed, "the head of this request is not of HTTP/1.1, or larger than 128 KiB");
    let body = serde_json::to_string(&refusal).unwrap_or_default();
    let head = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncache-control: no-store\r\n{ERROR}: {}\r\nconnection: close\r\ncontent-length: {}",
        refusal.error.word(),
        body.len()
    );
    format!("{head}\r\n\r\n{body}").into_bytes()
});

/// A connection in which no answer of `hyper` itself is sent.
pub(super) struct Plain<S> {
    stream: S,
    refused: Option<Refused>,
}

struct Refused {
    /// Bytes of the refusal that are sent.
    sent: usize,
    /// Bytes that are still read.
    drain: usize,
}

impl<S> Plain<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, refused: None }
    }
}

/// Whether these bytes are an answer of `hyper` itself: a refusal that says neither why nor anything else.
fn is_bare(bytes: &[u8]) -> bool {
    if !bytes.starts_with(b"HTTP/1.1 4") || !bytes.ends_with(b"\r\n\r\n") {
        return false;
    }
    let head = String::from_utf8_lossy(bytes);
    head.contains("content-length: 0\r\n") && !head.contains(ERROR) && head.matches("\r\n\r\n").count() == 1
}

impl<S: AsyncWrite + Unpin> Plain<S> {
    /// Sends the refusal, as far as there is one.
    fn refuse(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(refused) = &mut self.refused else { return Poll::Ready(Ok(())) };
        while let Some(rest) = REFUSAL.get(refused.sent..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut self.stream).poll_write(context, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => refused.sent += sent,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Plain<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Plain<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.refused.is_none() && is_bare(bytes) {
            // Sent here as far as that goes, and the rest when it is flushed.
            self.refused = Some(Refused { sent: 0, drain: DRAINED });
            return match self.refuse(context) {
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                _ => Poll::Ready(Ok(bytes.len())),
            };
        }
        ready!(self.refuse(context))?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut filled = slices.iter().filter(|slice| !slice.is_empty());
        match (filled.next(), filled.next()) {
            (Some(only), None) => self.poll_write(context, only),
            _ => {
                ready!(self.refuse(context))?;
                Pin::new(&mut self.stream).poll_write_vectored(context, slices)
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.refuse(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.refuse(context))?;
        ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
        let Self { stream, refused } = &mut *self;
        while let Some(refused) = refused.as_mut().filter(|refused| refused.drain > 0) {
            let mut scratch = [0; 8 << 10];
            let mut buffer = ReadBuf::new(&mut scratch);
            let read = ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer));
            let length = buffer.filled().len();
            refused.drain = if read.is_err() || length == 0 { 0 } else { refused.drain.saturating_sub(length) };
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_answers_of_hyper_itself_are_replaced() {
        let bare = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\ndate: now\r\n\r\n";
        assert!(is_bare(bare.as_bytes()));
        assert!(is_bare(bare.replace("400 Bad Request", "431 Request Header Fields Too Large").as_bytes()));
        assert!(!is_bare(bare.replace("date: now", "hearth-error: malformed").as_bytes()));
        assert!(!is_bare(bare.replace("400", "200").as_bytes()));
        assert!(!is_bare(format!("{bare}more").as_bytes()));
    }
}
