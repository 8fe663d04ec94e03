//! Orders at a hub: a host's agent listens to them and tells what became of them, and somebody else asks for them.

use bytes::{Buf as _, Bytes, BytesMut};
use http::Method;
use jiff::Timestamp;
use serde::Serialize;

use super::address::{HubAddress, Way};
use super::answer::{Break, Failure, explain};
use super::client::{Arriving, Client, Content};
use super::order::{Asked, News, Order, OrderLine, Wanted};
use crate::store::attempt::Attempts;
use crate::store::requests::RequestKind;
use crate::store::{Access, StoreError};

/// Bytes of a line.
const LONGEST_LINE: usize = 64 << 10;

/// A host's side: what the hub asks it to run.
pub struct OrderClient {
    client: Client,
    hub: String,
}

/// The stream of orders.
pub struct Listening {
    arriving: Arriving,
    rest: BytesMut,
    hub: String,
}

impl OrderClient {
    /// Of the host whose repository this is; nothing is asked yet.
    ///
    /// # Errors
    /// If no client can be made of what is given.
    pub fn new(address: &HubAddress, access: &Access) -> Result<Self, StoreError> {
        let client = Client::new(address, access).map_err(|error| StoreError::io("use the hub", address.to_string(), error))?;
        Ok(Self { client, hub: address.way.to_string() })
    }

    /// Where the hub is.
    pub fn hub(&self) -> &str {
        &self.hub
    }

    /// Begins to listen. There is one listener for each host: the one before hears no more.
    ///
    /// # Errors
    /// If the hub cannot be reached, or this is no host to it.
    pub async fn listen(&self) -> Result<Listening, StoreError> {
        let arriving = self.client.get("/orders", None).await.map_err(|failure| failed("listen for", "orders", &self.hub, &failure))?;
        Ok(Listening { arriving, rest: BytesMut::new(), hub: self.hub.clone() })
    }

    /// The line is dead although it did not break: the next request goes another way.
    pub async fn give_up(&self) {
        self.client.give_up().await;
    }

    /// Says how far an order is, once.
    ///
    /// # Errors
    /// If the hub cannot be reached, or takes no more news of it.
    pub async fn tell(&self, order: &str, news: &News) -> Result<Order, StoreError> {
        let path = format!("/orders/{order}");
        let told = async { self.client.json(RequestKind::Put, Method::POST, &path, content(news)?).await };
        told.await.map_err(|failure| failed("tell of", &format!("order {order}"), &self.hub, &failure))
    }
}

impl Listening {
    /// The next line; none once the hub has closed the stream. What a newer hub says besides is passed over.
    ///
    /// # Errors
    /// If the line breaks, or no hub speaks there.
    pub async fn next(&mut self) -> Result<Option<OrderLine>, StoreError> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line = self.rest.split_to(end);
                self.rest.advance(1);
                match serde_json::from_slice(&line) {
                    Ok(line) => return Ok(Some(line)),
                    Err(error) => tracing::debug!("a line of {} is not understood: {error}", self.hub),
                }
                continue;
            }
            if self.rest.len() > LONGEST_LINE {
                let endless = Failure::Strange("it sends a line without end".to_owned());
                return Err(failed("listen for", "orders", &self.hub, &endless));
            }
            match self.arriving.next().await {
                Ok(Some(piece)) => self.rest.extend_from_slice(&piece),
                Ok(None) => return Ok(None),
                Err(failure) => return Err(failed("listen for", "orders", &self.hub, &failure)),
            }
        }
    }
}

/// The side of somebody who asks hosts for runs.
pub struct Trigger {
    attempts: Attempts<Failure>,
    client: Client,
    hub: String,
}

impl Trigger {
    /// At a hub; behind `ssh` it is the hub of one repository. Nothing is asked yet.
    ///
    /// # Errors
    /// If no client can be made of what is given.
    pub fn new(way: &Way, repository: Option<&str>, access: &Access) -> Result<Self, StoreError> {
        let failed = |error| StoreError::io("use the hub", way.to_string(), error);
        let attempts = Attempts::new(1).map_err(failed)?;
        let client = Client::of_hub(way, repository.unwrap_or_default(), access).map_err(failed)?;
        Ok(Self { attempts, client, hub: way.to_string() })
    }

    /// Asks a host for a run of a job. If one is asked for already, that is the one.
    ///
    /// # Errors
    /// If the hub cannot be reached, knows no such host, or does not permit it.
    pub fn ask(&self, host: &str, job: &str) -> Result<Asked, StoreError> {
        let wanted = Wanted { host: host.to_owned(), job: job.to_owned() };
        let ask = |_| async { self.client.json(RequestKind::Put, Method::POST, "/backup-trigger", content(&wanted)?).await };
        self.attempts.run(0, ask).0.map_err(|failure| failed("ask for", &format!("a run of {job} at {host}"), &self.hub, &failure))
    }

    /// How far an order is; as soon as it is no more as it was at `seen`, or after so many seconds.
    ///
    /// # Errors
    /// If the hub cannot be reached, or knows no such order.
    pub fn follow(&self, host: &str, order: &str, seen: Timestamp, wait: u64) -> Result<Asked, StoreError> {
        let path = format!("/backup-trigger?host={host}&id={order}&seen={seen}&wait={wait}");
        let ask = |_| async { self.client.json(RequestKind::Head, Method::GET, &path, Content::Empty).await };
        self.attempts.run(0, ask).0.map_err(|failure| failed("ask about", &format!("order {order} at {host}"), &self.hub, &failure))
    }
}

fn content(value: &impl Serialize) -> Result<Content<'static>, Failure> {
    let text = serde_json::to_vec(value).map_err(|error| Failure::Line(Break::broken(error.to_string())))?;
    Ok(Content::Pieces(vec![Bytes::from(text)]))
}

fn failed(action: &'static str, object: &str, hub: &str, failure: &Failure) -> StoreError {
    explain(action, object.to_owned(), hub, failure)
}
