//! Requests: which path is which, who asks, and what is answered.
//!
//! ```text
//!   GET    /v1/NAME                    what there is of a repository, and the hub's time
//!   GET    /v1/NAME/objects?folders=.. names, sizes and times, a line each
//!   GET    /v1/NAME/objects/PATH       an object, or a part of it; HEAD: its size and time
//!   PUT    /v1/NAME/objects/PATH       a new object
//!   DELETE /v1/NAME/objects/PATH       removes one
//!   POST   /v1/NAME/delete             removes many
//!   GET    /v1/NAME/orders             what the host shall run, as it comes
//!   POST   /v1/NAME/orders/ID          what became of it
//!   POST   /backup-trigger             asks a host for a run; GET: how far it is
//!   POST   /v1/NAME/reports            takes the report of a run
//!   GET    /v1/NAME/reports?job=..     the newest of them
//!   GET    /status, /metrics           how everything fares, for programs and for Prometheus
//!   GET    /backup-status?host=..&job= the same in short
//!   GET    /backup-list?host=..        snapshots by what their envelopes show
//!   GET    /, /hosts/HOST              pages for people
//!   GET    /health                     whether the hub answers; without a token
//!   GET    /openapi.json               what every answer is, for programs; without a token
//! ```
//!
//! Paths are told apart here and not by a router with rules of its own: every answer, refusals of malformed requests among them, is one that
//! `docs/hub-protocol.md` has.

mod answer;
mod arriving;
mod objects;
mod orders;
mod origin;
mod pages;
mod peer;
mod query;
mod reports;
mod status;

use std::sync::Arc;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{ALLOW, AUTHORIZATION, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use hyper::body::Incoming;
use zeroize::Zeroizing;

pub use self::answer::Body;
use self::answer::{json, refused, spawn, whole, with_type};
pub use self::peer::Peer;
use super::door::Grant;
use super::login::WINDOW;
use super::repository::{Kept, refusal};
use super::{Hub, Token};
use crate::store::Store as _;
use crate::store::hub::protocol::{About, Reason, Refusal, VERSION};

/// What every answer is, for programs: OpenAPI 3.1.
const DESCRIPTION: &str = include_str!("../../../docs/hub-openapi.json");

/// Answers one request. Nothing that it brings makes this fail otherwise than with a refusal.
pub async fn answer(hub: Arc<Hub>, peer: Peer, request: Request<Incoming>) -> Response<Body> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let begun = Instant::now();
    let answered = route(&hub, &peer, request).await;
    let response = answered.unwrap_or_else(|refusal| {
        tracing::info!("{method} {path}: refused, {}", refusal.message);
        let mut response = if pages::is_page(&path) { pages::refused(&refusal, &path) } else { refused(&refusal) };
        if refusal.error == Reason::TooMany {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(WINDOW.as_secs()));
        }
        if refusal.error == Reason::Method {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(known(&path)));
        }
        response
    });
    tracing::debug!("{method} {path}: {} after {} ms", response.status().as_u16(), begun.elapsed().as_millis());
    // A refusal of HEAD has no body either; hyper leaves it out.
    response
}

async fn route(hub: &Arc<Hub>, peer: &Peer, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
    let path = request.uri().path().to_owned();
    let mut parts = path.strip_prefix('/').unwrap_or(&path).splitn(3, '/');
    let (version, repository, rest) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
    if matches!(version, "health" | "openapi.json") && repository.is_none() {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Err(refusal(Reason::Method, "it knows GET"));
        }
        return match version {
            "health" => json(&serde_json::json!({ "healthy": true })),
            _ => Ok(with_type(Response::new(whole(DESCRIPTION)), "application/json")),
        };
    }
    origin::check(request.method(), request.headers())?;
    if pages::is_page(&path) {
        return pages::answer(hub, peer, &request).await;
    }
    if version == "backup-trigger" && repository.is_none() {
        let caller = who(hub, peer, request.headers()).await?;
        return orders::trigger(Arc::clone(hub), caller, request).await;
    }
    if repository.is_none()
        && let Some(answered) = status::answer(hub, peer, &request, version).await
    {
        return answered;
    }
    let nothing = || refusal(Reason::NotFound, "nothing is there; see docs/hub-protocol.md for what is");
    let repository = repository.filter(|_| version == VERSION).ok_or_else(nothing)?;
    let (grant, kept) = let_in(hub, peer, repository, request.headers()).await?;
    let ask = objects::Ask { hub: Arc::clone(hub), kept, grant };
    match (request.method(), rest) {
        (&Method::GET, None) => about(&ask).await,
        (&Method::GET, Some("objects")) => objects::list(ask, request.uri().query().unwrap_or_default()).await,
        (&Method::GET, Some("orders")) => orders::listen(ask).await,
        (&Method::POST, Some("delete")) => objects::delete_many(ask, request).await,
        (method, Some(rest)) if rest.starts_with("orders") => match rest.strip_prefix("orders/") {
            Some(id) if *method == Method::POST => orders::note(ask, id.to_owned(), request).await,
            Some(_) => Err(refusal(Reason::Method, "an order knows POST")),
            None if rest == "orders" => Err(refusal(Reason::Method, "orders know GET")),
            None => Err(nothing()),
        },
        (&Method::POST, Some("reports")) => reports::receive(ask, request).await,
        (&Method::GET, Some("reports")) => reports::list(ask, request.uri().query().unwrap_or_default()).await,
        (method, Some(rest)) => match rest.strip_prefix("objects/") {
            Some(object) => {
                let name = crate::store::hub::protocol::object_name(object)
                    .ok_or_else(|| refusal(Reason::Malformed, "no object can have that path"))?;
                match *method {
                    Method::GET | Method::HEAD => objects::get(ask, name, method, request.headers()).await,
                    Method::PUT => objects::put(ask, name, request).await,
                    Method::DELETE => objects::delete(ask, name).await,
                    _ => Err(refusal(Reason::Method, "objects know GET, HEAD, PUT and DELETE")),
                }
            }
            None if matches!(rest, "objects" | "delete" | "reports") => {
                Err(refusal(Reason::Method, "lists know GET, `delete` knows POST, and `reports` knows both"))
            }
            None => Err(nothing()),
        },
        (_, None) => Err(refusal(Reason::Method, "a repository knows GET")),
    }
}

/// The methods that a path knows.
fn known(path: &str) -> &'static str {
    if pages::is_page(path) {
        return "GET, HEAD";
    }
    let path = path.trim_start_matches('/');
    match path.splitn(3, '/').nth(2) {
        None if path == "backup-trigger" => "GET, POST",
        None | Some("objects" | "orders") => "GET",
        Some("reports") => "GET, POST",
        Some(rest) if rest.starts_with("orders/") => "POST",
        Some("delete") => "POST",
        Some(_) => "GET, HEAD, PUT, DELETE",
    }
}

/// Whose token it is. A repository that the token is not for is told apart from none by nobody.
async fn let_in(hub: &Arc<Hub>, peer: &Peer, repository: &str, headers: &HeaderMap) -> Result<(Grant, Arc<Kept>), Refusal> {
    let grant = match peer {
        Peer::Admitted { repository: own, role, name } if own == repository => {
            Grant { name: name.clone(), token: None, role: *role, writer: None }
        }
        Peer::Admitted { .. } => return Err(refusal(Reason::NoRepository, "ssh lets you into another repository")),
        Peer::Address(_) | Peer::Local => log_in(hub, peer, repository, headers).await?,
    };
    let (hub, name) = (Arc::clone(hub), repository.to_owned());
    let kept = spawn(move || hub.repositories.get(&name)).await?;
    Ok((grant, kept))
}

/// Who asks something that is of no repository.
async fn who(hub: &Arc<Hub>, peer: &Peer, headers: &HeaderMap) -> Result<orders::Caller, Refusal> {
    match orders::Caller::admitted(peer) {
        Some(caller) => Ok(caller),
        None => {
            let Token { name, role, repository, .. } = login(hub, peer, headers).await?;
            Ok(orders::Caller { name, role, repository })
        }
    }
}

async fn log_in(hub: &Arc<Hub>, peer: &Peer, repository: &str, headers: &HeaderMap) -> Result<Grant, Refusal> {
    let found = login(hub, peer, headers).await?;
    if found.repository.as_deref() != Some(repository) {
        return Err(refusal(Reason::NoRepository, "there is no such repository for this token"));
    }
    Ok(Grant { name: found.name, token: Some(found.id), role: found.role, writer: found.writer })
}

/// The token that a request brings: as `Bearer TOKEN`, or as the password of `Basic`, which browsers ask people for.
async fn login(hub: &Arc<Hub>, peer: &Peer, headers: &HeaderMap) -> Result<Token, Refusal> {
    let from = peer.address(headers);
    if !hub.logins.may_try(from, Instant::now()) {
        return Err(refusal(Reason::TooMany, "too many failed logins from this address; wait a minute"));
    }
    let brought = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(token_in);
    let token = brought.ok_or_else(|| refusal(Reason::Unauthorized, "a token is needed, as `Authorization: Bearer TOKEN`"))?;
    let asked = Arc::clone(hub);
    let found = spawn(move || {
        asked.tokens.find(&token).map_err(|error| {
            tracing::error!("{error}");
            refusal(Reason::Failed, "the hub cannot read its tokens; its log says why")
        })
    });
    found.await?.ok_or_else(|| {
        hub.logins.failed(from, Instant::now());
        tracing::warn!("a login with an unknown token failed, from {}", from.map_or("this machine".to_owned(), |from| from.to_string()));
        refusal(Reason::Unauthorized, "the hub does not know this token; it may have been revoked")
    })
}

/// The token in a header of RFC 6750, or of RFC 7617 whatever the user is called.
fn token_in(header: &str) -> Option<Zeroizing<String>> {
    let (scheme, rest) = header.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Zeroizing::new(rest.trim().to_owned()));
    }
    let decoded = Zeroizing::new(STANDARD.decode(rest.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?);
    let (_, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some(Zeroizing::new(password.to_owned()))
}

async fn about(ask: &objects::Ask) -> Result<Response<Body>, Refusal> {
    let kept = Arc::clone(&ask.kept);
    let role = ask.grant.role;
    let about = spawn(move || {
        let unknown_folders = kept.store.unknown_folders().map_err(|error| super::repository::failed(&error))?;
        Ok(About {
            repository: kept.name.clone(),
            role: role.to_string(),
            now: kept.now().try_into().map_err(|_| refusal(Reason::Failed, "the hub's clock is wrong"))?,
            used: kept.usage()?,
            quota: kept.quota.told(),
            warning: kept.warning(kept.usage()?),
            unknown_folders,
        })
    });
    json(&about.await?)
}
