//! Requests about orders: what a host shall run, and how far it is.
//!
//! ```text
//!   POST /backup-trigger          an operator, or a maintainer of the host's repository, asks for a run
//!   GET  /backup-trigger?...      how far it is; waits for news if wanted
//!   GET  /v1/NAME/orders          the host's agent: a line for each order, without end
//!   POST /v1/NAME/orders/ID       the host's agent: what became of it
//! ```

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, Response};
use hyper::body::Incoming;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc::{self, Sender};

use super::Peer;
use super::answer::{Body, json, spawn, streamed, with_type};
use super::arriving::Arriving;
use super::objects::Ask;
use crate::hub::door::Grant;
use crate::hub::orders::Lease;
use crate::hub::repository::refusal;
use crate::hub::{Hub, Role};
use crate::store::hub::order::{Asked, LONGEST_WAIT, News, Order, OrderLine, PULSE, Wanted};
use crate::store::hub::protocol::{Reason, Refusal};

/// Bytes of a body.
const LONGEST_BODY: usize = 16 << 10;
/// How long an agent may take to read a line.
const TAKEN: Duration = Duration::from_secs(60);
/// How often the folder is looked at for what other processes changed.
const LOOK: Duration = Duration::from_secs(1);

/// Somebody who asks, of whatever repository.
pub(super) struct Caller {
    pub(super) name: String,
    pub(super) role: Role,
    /// None for who looks after the whole hub.
    pub(super) repository: Option<String>,
}

/// Asks a host for a run, or how far one is.
pub(super) async fn trigger(hub: Arc<Hub>, caller: Caller, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
    let query = request.uri().query().unwrap_or_default().to_owned();
    match *request.method() {
        Method::POST => {
            let body = Arriving::new(request.into_body(), hub.patience);
            let wanted: Wanted = parse(&body.small(LONGEST_BODY, "a request for a run").await?)?;
            json(&spawn(move || ask(&hub, &caller, &wanted)).await?)
        }
        Method::GET => json(&follow(hub, caller, &query).await?),
        _ => Err(refusal(Reason::Method, "`backup-trigger` knows POST and GET")),
    }
}

fn ask(hub: &Hub, caller: &Caller, wanted: &Wanted) -> Result<Asked, Refusal> {
    may_trigger(hub, caller, &wanted.host)?;
    let now = Timestamp::now();
    let order = hub.orders.ask(&wanted.host, &wanted.job, &caller.name, now)?;
    Ok(Asked { order, connected: hub.orders.is_connected(&wanted.host, now) })
}

/// Lets a caller ask this host for runs, or not. Hosts of other repositories are told apart from none by nobody.
fn may_trigger(hub: &Hub, caller: &Caller, host: &str) -> Result<(), Refusal> {
    if !caller.role.may_trigger(true) {
        let message = format!("a {} may not ask hosts for runs; an operator may, or a maintainer of the host's repository", caller.role);
        return Err(refusal(Reason::Forbidden, message));
    }
    let tokens = hub.tokens.all().map_err(|error| {
        tracing::error!("{error}");
        refusal(Reason::Failed, "the hub cannot read its tokens; its log says why")
    })?;
    let mut repositories =
        tokens.iter().filter(|token| token.role == Role::Writer && token.name == host).map(|token| token.repository.as_deref());
    let is_host = |repository: Option<&str>| caller.role.may_trigger(repository == caller.repository.as_deref());
    let known = match repositories.next() {
        Some(first) => is_host(first) || repositories.any(is_host),
        // Behind ssh a host is called as its repository.
        None => hub.repositories.get(host).is_ok() && is_host(Some(host)),
    };
    if known { Ok(()) } else { Err(refusal(Reason::NotFound, format!("no host `{host}` is known to this hub, or not to this token"))) }
}

/// How far an order is; with `wait`, as soon as that changes.
async fn follow(hub: Arc<Hub>, caller: Caller, query: &str) -> Result<Asked, Refusal> {
    let field = |name: &str| query.split('&').find_map(|part| part.split_once('=').filter(|(key, _)| *key == name).map(|(_, value)| value));
    let missing = || refusal(Reason::Malformed, "`?host=` and `&id=` say which order; `&wait=` how long to wait, `&seen=` what is known");
    let (host, id) = field("host").zip(field("id")).ok_or_else(missing)?;
    let (host, id) = (host.to_owned(), id.to_owned());
    let wait: u64 = field("wait").map_or(Ok(0), str::parse).map_err(|_| missing())?;
    let seen: Option<Timestamp> = field("seen").map(str::parse).transpose().map_err(|_| missing())?;
    let until = Instant::now() + Duration::from_secs(wait.min(LONGEST_WAIT));
    let permitted = {
        let (hub, host) = (Arc::clone(&hub), host.clone());
        spawn(move || may_trigger(&hub, &caller, &host))
    };
    permitted.await?;
    let mut changes = hub.orders.changes();
    let mut seen = seen;
    loop {
        let stops = *changes.borrow_and_update();
        let (asked, host, id) = (Arc::clone(&hub), host.clone(), id.clone());
        let told = spawn(move || {
            let now = Timestamp::now();
            let order = asked.orders.get(&host, &id, now)?;
            Ok(Asked { order, connected: asked.orders.is_connected(&host, now) })
        });
        let told = told.await?;
        let news = told.order.state.is_ended() || *seen.get_or_insert(told.order.changed) != told.order.changed;
        let left = until.saturating_duration_since(Instant::now());
        if news || stops || left.is_zero() {
            return Ok(told);
        }
        tokio::select! {
            _ = changes.changed() => {}
            () = tokio::time::sleep(LOOK.min(left)) => {}
        }
    }
}

/// The host that somebody is.
fn host_of(grant: &Grant) -> Result<String, Refusal> {
    match grant.role {
        Role::Writer => Ok(grant.name.clone()),
        role => Err(refusal(Reason::Forbidden, format!("orders are for hosts, and this is a {role}"))),
    }
}

/// The orders of a host, as they come.
pub(super) async fn listen(ask: Ask) -> Result<Response<Body>, Refusal> {
    let host = host_of(&ask.grant)?;
    let hub = ask.hub;
    let lease = {
        let (hub, host) = (Arc::clone(&hub), host.clone());
        spawn(move || hub.orders.connect(&host, Timestamp::now())).await?
    };
    tracing::info!("the agent of {host} is connected");
    let (sender, receiver) = mpsc::channel(1);
    // Held to the very end, which the hub waits for.
    let present = hub.orders.changes();
    tokio::spawn(async move {
        let lease = Arc::new(lease);
        let why = tell(&hub, &host, &lease, &sender).await.err();
        // Its end touches the disk.
        let _ = tokio::task::spawn_blocking(move || drop(lease)).await;
        drop(present);
        tracing::info!("the agent of {host} is gone{}", why.map(|why| format!(": {}", why.message)).unwrap_or_default());
    });
    Ok(with_type(Response::new(streamed(receiver)), "application/x-ndjson"))
}

type Lines = Sender<std::io::Result<Bytes>>;

/// Sends what there is for a host, and what comes, until one of both goes.
async fn tell(hub: &Arc<Hub>, host: &str, lease: &Arc<Lease>, lines: &Lines) -> Result<(), Refusal> {
    let mut changes = hub.orders.changes();
    let mut sent = HashSet::new();
    let mut pulse: Option<Instant> = None;
    loop {
        if *changes.borrow_and_update() {
            // The agent comes again, at once if another hub takes the place of this one.
            return Ok(());
        }
        let due = pulse.is_none_or(|last| last.elapsed() >= Duration::from_secs(PULSE));
        let (asked, host, kept, known) = (Arc::clone(hub), host.to_owned(), Arc::clone(lease), std::mem::take(&mut sent));
        let (holds, fresh, names) = spawn(move || look(&asked, &host, &kept, &known, due)).await?;
        sent = names;
        if !holds {
            return send(lines, &OrderLine::Ended { ended: "another agent of this host has connected".to_owned() }).await;
        }
        for order in fresh {
            send(lines, &OrderLine::Order { order: Box::new(order) }).await?;
        }
        if due {
            send(lines, &OrderLine::Alive { alive: true }).await?;
            pulse = Some(Instant::now());
        }
        tokio::select! {
            () = lines.closed() => return Ok(()),
            _ = changes.changed() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Whether the stream is still the host's, the orders that are open and not yet sent, and the names of all.
fn look(hub: &Hub, host: &str, lease: &Lease, sent: &HashSet<String>, renew: bool) -> Result<(bool, Vec<Order>, HashSet<String>), Refusal> {
    let now = Timestamp::now();
    let holds = if renew { lease.renew(now)? } else { lease.holds() };
    let names = hub.orders.names(host)?;
    let unsent = names.iter().filter(|id| !sent.contains(*id));
    let fresh = unsent.filter_map(|id| hub.orders.get(host, id, now).ok()).filter(|order| !order.state.is_ended()).collect();
    Ok((holds, fresh, names.into_iter().collect()))
}

async fn send(lines: &Lines, line: &OrderLine) -> Result<(), Refusal> {
    let mut text = serde_json::to_vec(line).map_err(|error| refusal(Reason::Failed, error.to_string()))?;
    text.push(b'\n');
    // Nobody listens any more, or not fast enough: either way the agent comes again.
    match tokio::time::timeout(TAKEN, lines.send(Ok(text.into()))).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(refusal(Reason::Slow, "it closed the connection")),
        Err(_) => Err(refusal(Reason::Slow, "it reads nothing")),
    }
}

/// Notes what a host says of one of its orders.
pub(super) async fn note(ask: Ask, id: String, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
    let host = host_of(&ask.grant)?;
    let body = Arriving::new(request.into_body(), ask.hub.patience);
    let news: News = parse(&body.small(LONGEST_BODY, "what is said of an order").await?)?;
    json(&spawn(move || ask.hub.orders.note(&host, &id, news, Timestamp::now())).await?)
}

fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(text).map_err(|error| refusal(Reason::Malformed, format!("the body cannot be understood: {error}")))
}

impl Caller {
    /// Whom `ssh` has let in.
    pub(super) fn admitted(peer: &Peer) -> Option<Self> {
        match peer {
            Peer::Admitted { repository, role, name } => {
                Some(Self { name: name.clone(), role: *role, repository: Some(repository.clone()) })
            }
            Peer::Address(_) | Peer::Local => None,
        }
    }
}
