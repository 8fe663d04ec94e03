//! Reading objects from a server by requests: whole, in part, and long stretches as they come. What breaks is asked for again.
//!
//! ```text
//!   get, get_range, Stretch --> Attempts (retries, time-outs, connections) --> Download::ask, Download::next --> server
//! ```

use std::fmt::Display;
use std::io::{self, Read};
use std::ops::Range;

use bytes::{Buf as _, Bytes};
use tokio::sync::Mutex;

use super::attempt::{Attempts, Failing};
use super::{ObjectName, Store, StoreError, StoreErrorKind};

/// Bytes for which a read that knows no limit is given time.
const LARGEST: u64 = 1 << 30;
/// What a piece of an answer may hold, in bytes: it gets time for so many, and no more memory is taken before they are there.
const PIECE: u64 = 4 << 20;

/// A store that is asked for the bytes of objects by requests.
pub(super) trait Download: Store + Clone {
    /// Why a request failed.
    type Failure: Failing + Display;
    /// An answer that is being read.
    type Answer: Send;

    /// What runs the requests.
    fn attempts(&self) -> &Attempts<Self::Failure>;

    /// A failure to read an object, as the store tells it.
    fn not_read(&self, name: &ObjectName, failure: &Self::Failure) -> StoreError;

    /// Asks for an object, or for a part of it.
    async fn ask(&self, name: &ObjectName, range: Option<Range<u64>>) -> Result<Self::Answer, Self::Failure>;

    /// How many bytes an answer says that it has, if it does.
    fn announced(answer: &Self::Answer) -> Option<u64>;

    /// The next bytes of an answer; none at its end.
    async fn next(answer: &mut Self::Answer) -> Result<Option<Bytes>, Self::Failure>;
}

/// [`Store::get`].
pub(super) fn get(store: &impl Download, name: &ObjectName, limit: u64) -> Result<Vec<u8>, StoreError> {
    read(store, name, None, limit)?.ok_or_else(|| StoreError::new(StoreErrorKind::TooLarge, "read", name))
}

/// [`Store::get_range`].
pub(super) fn get_range(
    store: &impl Download,
    name: &ObjectName,
    offset: u64,
    length: usize,
    buffer: &mut Vec<u8>,
) -> Result<(), StoreError> {
    buffer.clear();
    let truncated = || StoreError::new(StoreErrorKind::Truncated, "read", name);
    let end = offset.checked_add(length as u64).ok_or_else(truncated)?;
    if length == 0 {
        // No request asks for nothing.
        return if store.stat(name)?.size >= offset { Ok(()) } else { Err(truncated()) };
    }
    let bytes = read(store, name, Some(offset..end), length as u64)?;
    *buffer = bytes.filter(|bytes| bytes.len() == length).ok_or_else(truncated)?;
    Ok(())
}

/// All bytes of an object, or of a part of it, unless there are more than `limit`.
fn read<S: Download>(store: &S, name: &ObjectName, range: Option<Range<u64>>, limit: u64) -> Result<Option<Vec<u8>>, StoreError> {
    let read = |_| async {
        let mut answer = store.ask(name, range.clone()).await?;
        let size = S::announced(&answer).unwrap_or_default();
        if size > limit {
            return Ok(None);
        }
        let mut bytes = Vec::with_capacity(size.min(PIECE) as usize);
        while let Some(piece) = S::next(&mut answer).await? {
            if (bytes.len() + piece.len()) as u64 > limit {
                return Ok(None);
            }
            bytes.extend_from_slice(&piece);
        }
        Ok::<_, S::Failure>(Some(bytes))
    };
    store.attempts().run(limit.min(LARGEST), read).0.map_err(|failure| store.not_read(name, &failure))
}

/// A long stretch of an object, read as it comes. If the line breaks, the rest is asked for again.
pub(super) struct Stretch<S: Download> {
    store: S,
    name: ObjectName,
    left: Range<u64>,
    /// The answer that is being read; none after it broke.
    answer: Mutex<Option<S::Answer>>,
    piece: Bytes,
}

impl<S: Download> Stretch<S> {
    /// Nothing is asked for before the first read.
    pub(super) fn new(store: &S, name: &ObjectName, range: Range<u64>) -> Self {
        Self { store: store.clone(), name: name.clone(), left: range, answer: Mutex::default(), piece: Bytes::new() }
    }

    /// The next piece; empty at the end.
    fn fetch(&self) -> io::Result<Bytes> {
        let next = |_| async {
            let mut kept = self.answer.lock().await;
            let mut answer = match kept.take() {
                Some(answer) => answer,
                None => self.store.ask(&self.name, Some(self.left.clone())).await?,
            };
            let piece = S::next(&mut answer).await?;
            *kept = Some(answer);
            Ok::<_, S::Failure>(piece.unwrap_or_default())
        };
        let (piece, _) = self.store.attempts().run(PIECE, next);
        piece.map_err(|failure| io::Error::other(self.store.not_read(&self.name, &failure).to_string()))
    }
}

impl<S: Download> Read for Stretch<S> {
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
