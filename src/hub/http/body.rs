//! Bodies of requests that are small enough for memory, and those that nobody wants.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::PATIENCE;
use crate::hub::repository::refusal;
use crate::store::hub::protocol::{Reason, Refusal};

/// What is read of a body that is refused, so that the client comes to read why.
const DRAINED: u64 = 64 << 20;

/// All bytes of a body, which may be so many.
pub(super) async fn whole(body: &mut Incoming, most: usize) -> Result<Bytes, Refusal> {
    let mut text = BytesMut::new();
    loop {
        match tokio::time::timeout(PATIENCE, body.frame()).await {
            Ok(None) => return Ok(text.freeze()),
            Ok(Some(Ok(frame))) => text.extend_from_slice(frame.data_ref().map_or(&[][..], |bytes| bytes)),
            Ok(Some(Err(error))) => return Err(refusal(Reason::Malformed, format!("the body broke off: {error}"))),
            Err(_) => return Err(refusal(Reason::Slow, format!("nothing came for {} seconds", PATIENCE.as_secs()))),
        }
        if text.len() > most {
            return Err(refusal(Reason::TooLarge, format!("the body may have {most} bytes")));
        }
    }
}

/// Reads what nobody wants, within bounds: a client that is still sending would not see the answer.
pub(super) async fn drain(mut body: Incoming, length: Option<u64>) {
    if length.is_some_and(|length| length > DRAINED) {
        return;
    }
    let mut left = DRAINED;
    while let Ok(Some(Ok(frame))) = tokio::time::timeout(PATIENCE, body.frame()).await {
        let read = frame.data_ref().map_or(0, |bytes| bytes.len() as u64);
        let Some(less) = left.checked_sub(read) else { return };
        left = less;
    }
}
