//! Requests about how everything fares: of the whole hub for viewers and operators, and for everybody if it is open; else of the repository that a token is for.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use hyper::body::Incoming;

use super::answer::{Body, json, spawn, whole, with_type};
use super::{Peer, login, query};
use crate::hub::Hub;
use crate::hub::repository::refusal;
use crate::hub::status::{BackupStatus, METRICS, View};
use crate::store::hub::protocol::{Reason, Refusal};

/// Snapshots that one answer lists unless it is asked for others, and the most that it does.
const USUAL: usize = 100;
const MOST: usize = 1000;

/// Answers a request at the top of the hub; none if there is nothing of that name.
pub(super) async fn answer(
    hub: &Arc<Hub>,
    peer: &Peer,
    request: &Request<Incoming>,
    name: &str,
) -> Option<Result<Response<Body>, Refusal>> {
    matches!(name, "status" | "metrics" | "backup-status" | "backup-list").then_some(())?;
    Some(tell(hub, peer, request, name).await)
}

async fn tell(hub: &Arc<Hub>, peer: &Peer, request: &Request<Incoming>, name: &str) -> Result<Response<Body>, Refusal> {
    if request.method() != Method::GET {
        return Err(refusal(Reason::Method, format!("`{name}` knows GET")));
    }
    let view = view(hub, peer, request.headers()).await?;
    let (hub, query) = (Arc::clone(hub), request.uri().query().unwrap_or_default());
    match name {
        "backup-list" => {
            let [host, repository, limit] = query::values(query, ["host", "repository", "limit"])?;
            let limit =
                limit.map_or(Ok(USUAL), |limit| limit.parse().map_err(|_| refusal(Reason::Malformed, "`limit` is a whole number")))?;
            json(&spawn(move || hub.backup_list(&view, host.as_deref(), repository.as_deref(), limit.clamp(1, MOST))).await?)
        }
        "backup-status" => {
            let [host, job] = query::values(query, ["host", "job"])?;
            let status = spawn(move || hub.status(&view)).await?;
            json(&BackupStatus::of(&status.jobs, status.now, host.as_deref(), job.as_deref()))
        }
        "metrics" => {
            let status = spawn(move || hub.status(&view)).await?;
            Ok(with_type(Response::new(whole(Bytes::from(status.metrics()))), METRICS))
        }
        _ => json(&spawn(move || hub.status(&view)).await?),
    }
}

/// What somebody may see.
pub(super) async fn view(hub: &Arc<Hub>, peer: &Peer, headers: &HeaderMap) -> Result<View, Refusal> {
    if let Peer::Admitted { repository, .. } = peer {
        return Ok(View::Repository(repository.clone()));
    }
    if hub.settings.open_status {
        return Ok(View::All);
    }
    let token = login(hub, peer, headers).await?;
    match token.repository {
        _ if token.role.is_for_hub() => Ok(View::All),
        Some(repository) => Ok(View::Repository(repository)),
        None => Err(refusal(Reason::Forbidden, "this token is for no repository and not for the hub")),
    }
}
