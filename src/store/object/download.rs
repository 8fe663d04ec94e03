//! A long stretch of an object, read as it comes. If the line breaks, the rest is asked for again.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use futures_util::StreamExt as _;
use opendal::BufferStream;
use tokio::sync::Mutex;

use super::ObjectStore;
use crate::store::ObjectName;

/// What a piece of an answer may hold, in bytes: it gets time for so many.
const PIECE: u64 = 4 << 20;

/// The rest of a stretch.
pub(super) struct Download {
    store: ObjectStore,
    name: ObjectName,
    path: String,
    left: Range<u64>,
    /// The answer that is being read; none after it broke.
    answer: Arc<Mutex<Option<BufferStream>>>,
    piece: Bytes,
}

impl Download {
    /// Nothing is asked for before the first read.
    pub(super) fn new(store: ObjectStore, name: &ObjectName, range: Range<u64>) -> Self {
        let path = store.key(name);
        Self { store, name: name.clone(), path, left: range, answer: Arc::default(), piece: Bytes::new() }
    }

    /// The next piece; empty at the end.
    fn fetch(&self) -> io::Result<Bytes> {
        let next = |_| {
            let answer = Arc::clone(&self.answer);
            async move {
                let mut kept = answer.lock().await;
                let mut stream = match kept.take() {
                    Some(stream) => stream,
                    None => self.store.0.operator.reader(&self.path).await?.into_stream(self.left.clone()).await?,
                };
                let piece = stream.next().await.transpose()?;
                *kept = Some(stream);
                Ok::<_, opendal::Error>(piece.map(|piece| piece.to_bytes()).unwrap_or_default())
            }
        };
        let (piece, _) = self.store.0.attempts.run(PIECE, next);
        piece.map_err(|failure| io::Error::other(self.store.error("read", &self.name, &failure).to_string()))
    }
}

impl Read for Download {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() && !self.left.is_empty() {
            self.piece = self.fetch()?;
        }
        let length = self.piece.len().min(buffer.len());
        // No server is trusted to send no more than it was asked for.
        let length = length.min(usize::try_from(self.left.end - self.left.start).unwrap_or(length));
        self.piece.split_to(length).copy_to_slice(buffer.get_mut(..length).unwrap_or_default());
        self.left.start += length as u64;
        Ok(length)
    }
}
