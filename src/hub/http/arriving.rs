//! The body of a request, as it comes.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use crate::hub::patience::Patience;
use crate::hub::repository::refusal;
use crate::store::hub::protocol::{Reason, Refusal};

/// What is read of a body that nobody wants, in bytes, so that the client comes to read why.
const DRAINED: u64 = 64 << 20;

/// A body that comes fast enough, or is refused.
pub(super) struct Arriving {
    body: Incoming,
    patience: Patience,
    received: u64,
    /// How long the client was waited for; the time that the hub's own disk takes is not the client's.
    waited: Duration,
}

impl Arriving {
    pub(super) fn new(body: Incoming, patience: Patience) -> Self {
        Self { body, patience, received: 0, waited: Duration::ZERO }
    }

    /// The next bytes; none at the end.
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, Refusal>> {
        loop {
            let slow = || refusal(Reason::Slow, "the body comes too slowly");
            let Some(left) = self.patience.left(self.received, self.waited) else { return Some(Err(slow())) };
            let begun = Instant::now();
            let frame = tokio::time::timeout(left, self.body.frame()).await;
            self.waited += begun.elapsed();
            match frame {
                Ok(None) => return None,
                Ok(Some(Ok(frame))) => {
                    // Trailers say nothing to us.
                    let Ok(bytes) = frame.into_data() else { continue };
                    self.received += bytes.len() as u64;
                    return Some(Ok(bytes));
                }
                Ok(Some(Err(error))) => return Some(Err(refusal(Reason::Malformed, format!("the body broke off: {error}")))),
                Err(_) => return Some(Err(slow())),
            }
        }
    }

    /// All of a body that may have so many bytes; `what` it is, for who sends more.
    pub(super) async fn small(mut self, most: usize, what: &str) -> Result<BytesMut, Refusal> {
        let mut text = BytesMut::new();
        while let Some(piece) = self.next().await {
            text.extend_from_slice(&piece?);
            if text.len() > most {
                self.drain(None).await;
                return Err(refusal(Reason::TooLarge, format!("{what} has at most {most} bytes")));
            }
        }
        Ok(text)
    }

    /// Reads what nobody wants, within bounds of length and time: a client that is still sending would not see the answer.
    pub(super) async fn drain(mut self, length: Option<u64>) {
        if length.is_some_and(|length| length > DRAINED) {
            return;
        }
        let (most, time) = (self.received + DRAINED, self.patience.body);
        let drained = async {
            while let Some(Ok(_)) = self.next().await {
                if self.received > most {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(time, drained).await;
    }
}
