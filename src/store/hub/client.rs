//! HTTP to a hub: one client for all requests of a store, which counts them and keeps the pace of the line.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, stream};
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue, RANGE};
use http::{Method, StatusCode};
use serde::de::DeserializeOwned;

use super::answer::Failure;
use super::listing::{Listing, ListingError};
use super::protocol::{ERROR, STORED, VERSION};
use super::wire::{Answer, Bytestream, Message, Wire};
use super::{HubAddress, Way};
use crate::store::attempt::{ANSWER, Held, Silence};
use crate::store::line::{Line, Paces};
use crate::store::pieces;
use crate::store::requests::{Counter, RequestKind, Requests};
use crate::store::{Access, ObjectInfo};

/// Most bytes that are handed to a socket at once where a pace is kept, or out of a file.
const STRETCH: usize = 64 << 10;
const FILE_STRETCH: usize = 1 << 20;
/// Most bytes of an answer that is JSON.
const LONGEST_JSON: usize = 4 << 20;
/// Most bytes of a refusal.
const LONGEST_REFUSAL: usize = 64 << 10;

/// What a request brings.
pub(super) enum Content<'a> {
    /// Nothing.
    Empty,
    /// Bytes in memory.
    Pieces(Vec<Bytes>),
    /// A file, and how many bytes.
    File(&'a File, u64),
    /// What is left of a file, once, and how many bytes.
    Parts(Box<dyn Iterator<Item = Bytes> + Send>, u64),
}

impl Content<'_> {
    /// For one more attempt.
    ///
    /// # Errors
    /// If the file cannot be read again.
    pub(super) fn again(&self) -> Result<Content<'static>, Failure> {
        match self {
            Self::Empty => Ok(Content::Empty),
            Self::Pieces(pieces) => Ok(Content::Pieces(pieces.clone())),
            Self::File(file, size) => {
                let failed = |error: io::Error| Failure::Strange(format!("a temporary file cannot be read: {error}"));
                let file = file.try_clone().map_err(failed)?;
                pieces::rewind(&file).map_err(failed)?;
                let parts = std::iter::from_fn(move || {
                    let part = pieces::next_part(&mut &file, FILE_STRETCH).ok().filter(|part| !part.is_empty())?;
                    Some(part)
                });
                Ok(Content::Parts(Box::new(parts), *size))
            }
            Self::Parts(..) => Err(Failure::Strange("it was sent already".to_owned())),
        }
    }
}

impl Content<'static> {
    /// How many bytes there are, and these as they come.
    fn into_body(self, up: Paces) -> Option<(u64, Bytestream)> {
        let (size, parts): (u64, Box<dyn Iterator<Item = Bytes> + Send>) = match self {
            Self::Empty | Self::File(..) => return None,
            Self::Pieces(pieces) => (pieces.iter().map(|piece| piece.len() as u64).sum(), Box::new(pieces.into_iter())),
            Self::Parts(parts, size) => (size, parts),
        };
        let bytes = if up.is_empty() { stream::iter(parts.map(Ok)).boxed() } else { in_stretches(parts, up, Held::here()) };
        Some((size, bytes))
    }
}

/// Bytes that wait for their turn before they leave.
fn in_stretches(parts: Box<dyn Iterator<Item = Bytes> + Send>, up: Paces, held: Held) -> Bytestream {
    let next = |(mut parts, mut part, up, held): (Box<dyn Iterator<Item = Bytes> + Send>, Bytes, Paces, Held)| async move {
        if part.is_empty() {
            part = parts.next()?;
        }
        let length = up.stretch(STRETCH).min(part.len());
        up.hold(length, |nap| held.add(nap)).await;
        let now = part.split_to(length);
        Some((Ok(now), (parts, part, up, held)))
    };
    stream::unfold((parts, Bytes::new(), up, held), next).boxed()
}

/// The client of one repository.
pub(super) struct Client {
    wire: Wire,
    /// What all paths begin with.
    root: String,
    headers: HeaderMap,
    line: Line,
    counter: Counter,
}

impl Client {
    /// Nothing is asked yet.
    pub(super) fn new(address: &HubAddress, access: &Access) -> io::Result<Self> {
        let client = Self::of_hub(&address.way, &address.repository, access)?;
        Ok(Self { root: format!("/{VERSION}/{}", address.repository), ..client })
    }

    /// That of a hub, whatever repository is meant; `ssh` is told one. Nothing is asked yet.
    pub(super) fn of_hub(way: &Way, repository: &str, access: &Access) -> io::Result<Self> {
        let wire = match way {
            Way::Http(base) => Wire::http(base)?,
            Way::Ssh(host) => Wire::ssh(host.clone(), access.ssh().clone(), repository)?,
        };
        let mut headers = HeaderMap::new();
        if let Some(token) = access.token() {
            let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(io::Error::other)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(Self { wire, root: String::new(), headers, line: access.line(), counter: Counter::default() })
    }

    /// The requests so far.
    pub(super) fn requests(&self) -> Requests {
        self.counter.read()
    }

    /// Sends a request. An answer that is no success is a failure.
    async fn ask(
        &self,
        kind: RequestKind,
        method: Method,
        path: &str,
        headers: HeaderMap,
        content: Content<'static>,
    ) -> Result<Answer, Failure> {
        self.counter.add(kind);
        tracing::trace!("{method} {}{path}", self.root);
        let mut all = self.headers.clone();
        all.extend(headers);
        let body = content.into_body(self.line.up.clone());
        let waits_for_us = body.is_some();
        let sent = self.wire.send(Message { method, path: format!("{}{path}", self.root), headers: all, body });
        let answer = if waits_for_us {
            sent.await?
        } else {
            // However large the answer may be, its head comes soon.
            match tokio::time::timeout(ANSWER, sent).await {
                Ok(answer) => answer?,
                Err(_) => {
                    self.wire.give_up().await;
                    return Err(Silence(ANSWER).into());
                }
            }
        };
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        let word = answer.header(ERROR).map(str::to_owned);
        let mut answer = self.arriving(answer);
        let mut said = BytesMut::new();
        while said.len() < LONGEST_REFUSAL
            && let Ok(Some(piece)) = answer.next().await
        {
            said.extend_from_slice(&piece);
        }
        Err(Failure::of(status, word.as_deref(), &said))
    }

    /// The hub says nothing: what is asked next shall go another way.
    pub(super) async fn give_up(&self) {
        self.wire.give_up().await;
    }

    fn arriving(&self, answer: Answer) -> Arriving {
        Arriving { answer, down: self.line.down.clone(), held: Held::here() }
    }

    /// The bytes of an object, or of a part of it, as they come.
    pub(super) async fn get(&self, path: &str, range: Option<Range<u64>>) -> Result<Arriving, Failure> {
        let mut headers = HeaderMap::new();
        let ranged = range.is_some();
        if let Some(range) = range {
            let last = range.end.saturating_sub(1);
            headers.insert(RANGE, HeaderValue::try_from(format!("bytes={}-{last}", range.start)).map_err(strange)?);
        }
        let answer = self.ask(RequestKind::Get, Method::GET, path, headers, Content::Empty).await?;
        if ranged && answer.status() != StatusCode::PARTIAL_CONTENT {
            return Err(Failure::Strange("it was asked for a part of an object and sends all of it".to_owned()));
        }
        Ok(self.arriving(answer))
    }

    /// Size and time of an object.
    pub(super) async fn head(&self, path: &str) -> Result<(u64, SystemTime), Failure> {
        let answer = self.ask(RequestKind::Head, Method::HEAD, path, HeaderMap::new(), Content::Empty).await?;
        let size = answer.length();
        let stored = answer.header(STORED).and_then(|stored| stored.parse::<jiff::Timestamp>().ok());
        size.zip(stored.map(SystemTime::from)).ok_or_else(|| Failure::Strange("it says neither size nor time of an object".to_owned()))
    }

    /// An answer in JSON.
    pub(super) async fn json<T: DeserializeOwned>(
        &self,
        kind: RequestKind,
        method: Method,
        path: &str,
        content: Content<'static>,
    ) -> Result<T, Failure> {
        let answer = self.ask(kind, method, path, HeaderMap::new(), content).await?;
        let mut arriving = self.arriving(answer);
        let mut said = BytesMut::new();
        while let Some(piece) = arriving.next().await? {
            said.extend_from_slice(&piece);
            if said.len() > LONGEST_JSON {
                return Err(Failure::Strange("its answer has no end".to_owned()));
            }
        }
        serde_json::from_slice(&said).map_err(strange)
    }

    /// The objects of a list.
    pub(super) async fn list(&self, path: &str) -> Result<Vec<ObjectInfo>, Failure> {
        let answer = self.ask(RequestKind::List, Method::GET, path, HeaderMap::new(), Content::Empty).await?;
        let mut arriving = self.arriving(answer);
        let mut listing = Listing::default();
        let untrue = |error: ListingError| Failure::Strange(error.to_string());
        while let Some(piece) = arriving.next().await? {
            listing.read(&piece).map_err(untrue)?;
        }
        listing.finish().map_err(untrue)
    }
}

fn strange(error: impl std::fmt::Display) -> Failure {
    Failure::Strange(format!("its answer cannot be read ({error})"))
}

/// An answer that is being read.
pub(in crate::store) struct Arriving {
    answer: Answer,
    down: Paces,
    held: Held,
}

impl Arriving {
    /// How many bytes it has, if it says so.
    pub(super) fn length(&self) -> Option<u64> {
        self.answer.length()
    }

    /// The next bytes; none at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        let piece = self.answer.chunk().await?;
        self.down.hold(piece.as_ref().map_or(0, Bytes::len), |nap| self.held.add(nap)).await;
        Ok(piece)
    }
}
