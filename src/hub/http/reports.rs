//! Requests about reports of runs.

use http::header::CONTENT_LENGTH;
use http::{Request, Response};
use hyper::body::Incoming;
use jiff::Timestamp;

use super::answer::{Body, json, spawn};
use super::arriving::Arriving;
use super::objects::Ask;
use super::query;
use crate::hub::Role;
use crate::hub::reports::Wanted;
use crate::hub::repository::refusal;
use crate::model::report::{Kind, LARGEST};
use crate::store::hub::protocol::{Reason, Refusal};

/// Reports that one answer brings unless it is asked for others, and the most that it does.
const USUAL: usize = 20;
const MOST: usize = 100;
/// Bytes of reports that one answer brings, and one more report.
const ANSWER: u64 = 2 << 20;

/// Takes the report of a run.
pub(super) async fn receive(ask: Ask, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
    let length = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let body = Arriving::new(request.into_body(), ask.hub.patience);
    if !Kind::ALL.into_iter().any(|kind| ask.grant.role.may_report(kind)) {
        body.drain(length).await;
        return Err(refusal(Reason::Forbidden, format!("a {} does not report runs", ask.grant.role)));
    }
    let bytes = body.small(LARGEST, "a report").await?;
    let reported = spawn(move || ask.hub.reports.receive((&ask.grant.name, ask.grant.role), &ask.kept.name, &bytes, Timestamp::now()));
    json(&reported.await?)
}

/// Reports that came before, the newest first: a writer sees its own, others those of the repository.
pub(super) async fn list(ask: Ask, query: &str) -> Result<Response<Body>, Refusal> {
    let [job, limit] = query::values(query, ["job", "limit"])?;
    let limit = limit.map_or(Ok(USUAL), |limit| limit.parse().map_err(|_| refusal(Reason::Malformed, "`limit` is a whole number")))?;
    let host = (ask.grant.role == Role::Writer).then(|| ask.grant.name.clone());
    let wanted = Wanted { host, repository: Some(ask.kept.name.clone()), job, kind: None };
    let (found, _) = spawn(move || ask.hub.reports.read(&wanted, limit.clamp(1, MOST), ANSWER)).await?;
    json(&serde_json::json!({ "reports": found }))
}
