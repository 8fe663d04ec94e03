//! Pages for people, in a browser: nothing is changed by them, and what is refused is a page as well.

use std::sync::Arc;

use http::header::{CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use http::{HeaderValue, Method, Request, Response};
use hyper::body::Incoming;

use super::answer::{Body, spawn, status, whole, with_type};
use super::status::view;
use super::{Peer, query};
use crate::hub::page::{self, HostRuns};
use crate::hub::reports::Wanted;
use crate::hub::repository::refusal;
use crate::hub::status::{JobStatus, View};
use crate::hub::{Hub, KeptReport};
use crate::model::report::{Kind, Report};
use crate::store::hub::is_name;
use crate::store::hub::protocol::{ERROR, Reason, Refusal};

const HOSTS: &str = "/hosts/";
/// Runs of each job on the page of a host, and on that of one job.
const FEW: usize = 10;
const MANY: usize = 100;
/// Bytes of reports that a page shows, and one more report.
const LARGEST: u64 = 1 << 20;

/// What a browser may do with a page, besides its policy.
const GUARDS: [(HeaderName, &str); 5] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Whether a path is that of a page.
pub(super) fn is_page(path: &str) -> bool {
    path == "/" || path.starts_with(HOSTS)
}

/// Answers with a page.
pub(super) async fn answer(hub: &Arc<Hub>, peer: &Peer, request: &Request<Incoming>) -> Result<Response<Body>, Refusal> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(refusal(Reason::Method, "pages know GET"));
    }
    let view = view(hub, peer, request.headers()).await?;
    let hub = Arc::clone(hub);
    let html = match request.uri().path().strip_prefix(HOSTS) {
        None => spawn(move || cluster(&hub, &view)).await?,
        Some(host) => {
            let nobody = || refusal(Reason::NotFound, "there is no such host that you may see");
            let host = Some(host).filter(|host| is_name(host)).ok_or_else(nobody)?.to_owned();
            let [job] = query::values(request.uri().query().unwrap_or_default(), ["job"])?;
            spawn(move || host_runs(&hub, &view, host, job)?.ok_or_else(nobody)).await?
        }
    };
    Ok(guarded(html))
}

fn cluster(hub: &Hub, view: &View) -> Result<String, Refusal> {
    let data = (*view == View::All && !hub.settings.open_status).then_some(hub.settings.data_dir.as_path());
    Ok(page::cluster(&hub.status(view)?, data))
}

/// The page of a host, or of a job; none if there is none that is seen.
fn host_runs(hub: &Hub, view: &View, host: String, job: Option<String>) -> Result<Option<String>, Refusal> {
    let status = hub.status(view)?;
    let meant = |one: &&JobStatus| one.host == host && (job.is_none() || one.job == job);
    let (mut left, few) = (LARGEST, if job.is_some() { MANY } else { FEW });
    let mut jobs = Vec::new();
    for one in status.jobs.iter().filter(meant) {
        let wanted = Wanted {
            host: Some(host.clone()),
            repository: view.repository().map(str::to_owned),
            job: one.job.clone(),
            kind: Some(one.kind),
        };
        // The hub's own runs came through no repository.
        let own = one.job.as_deref().filter(|_| one.repository.is_empty());
        let runs = if let Some(name) = own {
            Some(own_runs(hub, one.kind, name, few))
        } else if one.job.is_some() && left > 0 {
            let (runs, bytes) = hub.reports.read(&wanted, few, left)?;
            left = left.saturating_sub(bytes);
            Some(runs)
        } else {
            None
        };
        jobs.push((one.clone(), runs));
    }
    let found = !jobs.is_empty();
    Ok(found.then(|| page::host(&status, &HostRuns { host, job, jobs })))
}

fn own_runs(hub: &Hub, kind: Kind, name: &str, most: usize) -> Vec<KeptReport> {
    let found = hub.own.newest(kind, name, most).inspect_err(|error| tracing::error!("the hub's own reports cannot be read: {error}"));
    let kept = |report: Report| KeptReport {
        received: report.ended.unwrap_or(report.started),
        host: report.host.clone(),
        repository: String::new(),
        report,
    };
    found.unwrap_or_default().into_iter().map(kept).collect()
}

/// A refusal as a page. A browser that has no token asks for one.
pub(super) fn refused(refusal: &Refusal, path: &str) -> Response<Body> {
    let home = match path.matches('/').count() {
        0 | 1 => "./".to_owned(),
        depth => "../".repeat(depth - 1),
    };
    let mut response = guarded(page::refused(refusal, &home));
    *response.status_mut() = status(refusal.error);
    if let Ok(word) = HeaderValue::try_from(refusal.error.word()) {
        response.headers_mut().insert(ERROR, word);
    }
    if refusal.error == Reason::Unauthorized {
        let basic = HeaderValue::from_static("Basic realm=\"hearth-backup\", charset=\"UTF-8\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, basic);
    }
    response
}

fn guarded(html: String) -> Response<Body> {
    let mut response = with_type(Response::new(whole(html)), "text/html; charset=utf-8");
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(page::policy()));
    headers.extend(GUARDS.map(|(name, value)| (name, HeaderValue::from_static(value))));
    response
}
