//! Small bodies of requests.

use bytes::BytesMut;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::PATIENCE;
use crate::hub::repository::refusal;
use crate::store::hub::protocol::{Reason, Refusal};

/// All of a body that may have so many bytes; `what` it is, for who sends more.
pub(super) async fn small(mut body: Incoming, most: usize, what: &str) -> Result<BytesMut, Refusal> {
    let mut text = BytesMut::new();
    loop {
        match tokio::time::timeout(PATIENCE, body.frame()).await {
            Ok(None) => return Ok(text),
            Ok(Some(Ok(frame))) => text.extend_from_slice(frame.data_ref().map_or(&[][..], |bytes| bytes)),
            Ok(Some(Err(error))) => return Err(refusal(Reason::Malformed, format!("the body broke off: {error}"))),
            Err(_) => return Err(refusal(Reason::Slow, format!("nothing came for {} seconds", PATIENCE.as_secs()))),
        }
        if text.len() > most {
            return Err(refusal(Reason::TooLarge, format!("{what} has at most {most} bytes")));
        }
    }
}
