//! Requests about objects.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, RANGE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use jiff::Timestamp;
use tokio::sync::mpsc::{self, Sender};

use super::answer::{Body, json, pieces, spawn, whole, with_type};
use super::arriving::Arriving;
use crate::hub::Hub;
use crate::hub::door::{self, Grant};
use crate::hub::receive::Upload;
use crate::hub::repository::{Kept, failed, refusal};
use crate::sealed::{SealedError, pack};
use crate::store::hub::protocol::{self, DELETIONS, Deleted, Listed, Reason, Refusal, STORED, Stored};
use crate::store::{Folder, ObjectInfo, ObjectName, Store as _};

/// Bytes of an object that are read at once.
const PIECE: u64 = 512 << 10;
/// Lines of a listing that are sent at once.
const LINES: usize = 500;
/// Pieces of an upload that wait for the disk.
const WAITING: usize = 2;
/// Most bytes of a pack's end that are asked for: the format bounds the list there.
const LONGEST_FOOTER: u64 = 1 << 20;
/// Most bytes of a list of names.
const LONGEST_LIST: usize = 1 << 20;

/// A request that was let in.
pub(super) struct Ask {
    pub(super) hub: Arc<Hub>,
    pub(super) kept: Arc<Kept>,
    pub(super) grant: Grant,
}

/// Names, sizes and times: every role sees them.
pub(super) async fn list(ask: Ask, query: &str) -> Result<Response<Body>, Refusal> {
    let wrong = || refusal(Reason::Malformed, "a list needs `?folders=` and names of folders with commas between them");
    let folders = protocol::folders(query).ok_or_else(wrong)?;
    let turn = Arc::clone(&ask.kept.lists).acquire_owned().await.ok();
    let objects = spawn(move || ask.kept.store.list_folders(&folders).map_err(|error| failed(&error))).await?;
    let end = Listed::End { objects: objects.len() as u64 };
    let mut lines = objects.into_iter().map(|info| Listed::of(&info)).chain([end]).peekable();
    let parts = std::iter::from_fn(move || {
        lines.peek()?;
        let lines: Vec<_> = lines.by_ref().take(LINES).collect();
        Some(move || {
            let mut text = Vec::with_capacity(LINES * 160);
            for line in lines {
                serde_json::to_writer(&mut text, &line)?;
                text.push(b'\n');
            }
            Ok(text.into())
        })
    });
    let lines = pieces(parts, turn);
    Ok(with_type(Response::new(lines), "application/x-ndjson"))
}

/// An object, a part of it, or what is known of it.
pub(super) async fn get(ask: Ask, name: ObjectName, method: &Method, headers: &HeaderMap) -> Result<Response<Body>, Refusal> {
    let range = headers.get(RANGE).cloned();
    // Of packs everybody may read the list at their end.
    let only_footer = name.folder() == Folder::Packs && range.is_some() && ask.grant.may_read(Folder::Packs).is_err();
    if method == Method::GET && !only_footer {
        ask.grant.may_read(name.folder())?;
    }
    let (kept, asked) = (Arc::clone(&ask.kept), name.clone());
    let info = spawn(move || kept.store.stat(&asked).map_err(|error| failed(&error))).await?;
    let range = match range {
        Some(range) => Some(part(range.to_str().unwrap_or_default(), info.size)?),
        None => None,
    };
    let bytes = range.clone().unwrap_or(0..info.size);
    let body = match *method {
        Method::HEAD => whole(Bytes::new()),
        _ if only_footer => {
            let (info, bytes) = (info.clone(), bytes.clone());
            whole(spawn(move || footer(&ask, &info, bytes)).await?)
        }
        _ => object(ask.kept, name, bytes.clone()).await,
    };
    let mut response = with_type(Response::new(body), "application/octet-stream");
    if range.is_some() {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    describe(response.headers_mut(), &info, &bytes, range.is_some())?;
    Ok(response)
}

fn describe(headers: &mut HeaderMap, info: &ObjectInfo, bytes: &Range<u64>, partial: bool) -> Result<(), Refusal> {
    let text = |text: String| HeaderValue::try_from(text).map_err(|error| refusal(Reason::Failed, error.to_string()));
    let stored = Timestamp::try_from(info.stored).unwrap_or(Timestamp::UNIX_EPOCH);
    headers.insert(STORED, text(stored.to_string())?);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.end - bytes.start));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if partial {
        headers.insert(CONTENT_RANGE, text(format!("bytes {}-{}/{}", bytes.start, bytes.end.saturating_sub(1), info.size))?);
    }
    Ok(())
}

/// The part of an object that is asked for.
fn part(range: &str, size: u64) -> Result<Range<u64>, Refusal> {
    protocol::part(range, size).map_err(|reason| match reason {
        Reason::Range => refusal(reason, format!("the object has {size} bytes")),
        _ => refusal(reason, "a range is written `bytes=FIRST-LAST`"),
    })
}

/// The end of a pack, for those who may not read blocks: what is no footer is blank.
fn footer(ask: &Ask, info: &ObjectInfo, bytes: Range<u64>) -> Result<Vec<u8>, Refusal> {
    if bytes.end < info.size || bytes.end - bytes.start > LONGEST_FOOTER {
        return ask.grant.may_read(Folder::Packs).map(|()| Vec::new());
    }
    let contents = pack::read_contents(ask.kept.store.as_ref(), info).map_err(|error| {
        tracing::warn!("{error}");
        match error {
            // Its hash names it, and that is all that was asked of it when it came.
            SealedError::Damaged { .. } => refusal(Reason::Mismatch, "it is no pack, or a damaged one"),
            SealedError::Store(error) => failed(&error),
            _ => refusal(Reason::Failed, "the pack's footer cannot be read; the hub's log says why"),
        }
    })?;
    let start = contents.footer_start().max(bytes.start);
    let length = usize::try_from(bytes.end - start).unwrap_or_default();
    let mut footer = Vec::new();
    ask.kept.store.get_range(&info.name, start, length, &mut footer).map_err(|error| failed(&error))?;
    let mut answer = vec![0; usize::try_from(start - bytes.start).unwrap_or_default()];
    answer.extend_from_slice(&footer);
    Ok(answer)
}

/// The bytes of an object, read while they are sent.
async fn object(kept: Arc<Kept>, name: ObjectName, bytes: Range<u64>) -> Body {
    let turn = Arc::clone(&kept.reads).acquire_owned().await.ok();
    let mut offset = bytes.start;
    let parts = std::iter::from_fn(move || {
        let (kept, name, begin) = (Arc::clone(&kept), name.clone(), offset);
        let length = (bytes.end - begin).min(PIECE);
        offset += length;
        (length > 0).then_some(move || {
            let mut piece = Vec::new();
            kept.store.get_range(&name, begin, usize::try_from(length).map_err(io::Error::other)?, &mut piece).map_err(|error| {
                tracing::error!("{error}");
                io::Error::other(error.to_string())
            })?;
            Ok(piece.into())
        })
    });
    pieces(parts, turn)
}

/// A new object. What is refused is refused before a byte of it is accepted, as far as its head tells.
pub(super) async fn put(ask: Ask, name: ObjectName, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
    let length = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let mut body = Arriving::new(request.into_body(), ask.hub.patience);
    let begun = begin(&ask, name, length).await;
    let (upload, hub) = match begun {
        Ok(Some(upload)) => (upload, Arc::clone(&ask.hub)),
        Ok(None) => {
            body.drain(length).await;
            return json(&Stored { created: false, warning: None });
        }
        Err(refusal) => {
            body.drain(length).await;
            return Err(refusal);
        }
    };
    // First its repository's turn: whoever fills that holds up no other.
    let _turn = Arc::clone(&ask.kept.uploads).acquire_owned().await.ok();
    let _permit = Arc::clone(&ask.hub.uploads).acquire_owned().await.ok();
    let (sender, receiver) = mpsc::channel(WAITING);
    let receiving = tokio::task::spawn_blocking(move || upload.receive(&hub.tokens, receiver));
    pump(&mut body, sender).await;
    let stored = receiving.await.unwrap_or_else(|error| {
        tracing::error!("an upload made the hub fail: {error}");
        Err(refusal(Reason::Failed, "the hub failed; its log says how"))
    });
    if stored.is_err() {
        body.drain(length).await;
    }
    json(&stored?)
}

/// Whether the upload may begin: none if the object is there.
async fn begin(ask: &Ask, name: ObjectName, length: Option<u64>) -> Result<Option<Upload>, Refusal> {
    ask.grant.may_create(name.folder())?;
    let length = length.ok_or_else(|| refusal(Reason::LengthRequired, "an upload says its length"))?;
    let most = door::largest(name.folder());
    if length > most {
        return Err(refusal(Reason::TooLarge, format!("objects in {}/ have at most {most} bytes", name.folder())));
    }
    let (kept, grant, checked) = (Arc::clone(&ask.kept), ask.grant.clone(), ask.hub.checked);
    spawn(move || match kept.store.stat(&name) {
        Ok(_) => Ok(None),
        Err(error) if error.is_not_found() => {
            let room = kept.promise(length)?;
            Ok(Some(Upload { kept, grant, name, length, room, checked }))
        }
        Err(error) => Err(failed(&error)),
    })
    .await
}

/// Hands on what comes, until it ends, breaks off, comes too slowly, or nobody wants it any more.
async fn pump(body: &mut Arriving, sender: Sender<Result<Bytes, Refusal>>) {
    while let Some(piece) = body.next().await {
        let ends = piece.is_err();
        if sender.send(piece).await.is_err() || ends {
            return;
        }
    }
}

/// Removes an object; an absent one is a success.
pub(super) async fn delete(ask: Ask, name: ObjectName) -> Result<Response<Body>, Refusal> {
    ask.grant.may_delete()?;
    let object = name.path();
    spawn(move || ask.kept.delete(&name)).await?;
    json(&Deleted { object, error: None })
}

/// Removes many.
pub(super) async fn delete_many(ask: Ask, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
    let body = Arriving::new(request.into_body(), ask.hub.patience);
    if let Err(refusal) = ask.grant.may_delete() {
        body.drain(None).await;
        return Err(refusal);
    }
    let text = body.small(LONGEST_LIST, "a list of names").await?;
    let paths: Vec<String> =
        serde_json::from_slice(&text).map_err(|error| refusal(Reason::Malformed, format!("no list of paths: {error}")))?;
    if paths.len() > DELETIONS {
        return Err(refusal(Reason::TooLarge, format!("at most {DELETIONS} objects are deleted at once")));
    }
    let deleted = spawn(move || {
        let delete = |path: &String| match protocol::object_name(path) {
            Some(name) => ask.kept.delete(&name),
            None => Err(refusal(Reason::Malformed, "no object can have that path")),
        };
        Ok(paths.iter().map(|path| Deleted { object: path.clone(), error: delete(path).err() }).collect::<Vec<_>>())
    });
    json(&deleted.await?)
}
