//! A host's agent: it keeps one connection to the hub, hears there what the host shall run, and has systemd run it.
//!
//! ```text
//!   hub <-- one outgoing connection -- listen (again and again, for ever) --> order: may it? --> systemd, by D-Bus
//!    ^                                                                          |
//!    +--------------------------- taken, running with progress, its end <-------+
//! ```
//!
//! May import: `store` (the way to the hub), `model`. What the host lets the hub start is asked of whoever starts the agent, for each order
//! anew. The agent runs nothing itself: a job is the systemd unit that its timer starts too, and goes on when the agent ends.

mod order;
mod pauses;
mod service;
mod systemd;

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use self::pauses::Pauses;
use crate::store::hub::order::{Order, OrderLine, PULSE};
use crate::store::hub::{HubAddress, Listening, OrderClient};
use crate::store::{Access, StoreError, StoreErrorKind};

/// How long a line may be silent that says every so often that it lives.
const SILENCE: Duration = Duration::from_secs(3 * PULSE);

/// Whether the hub may start a job; else why not.
pub type Permission = Box<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// What the tasks of an agent share.
struct Agent {
    client: OrderClient,
    permission: Permission,
    /// Jobs whose orders are under way, and which orders these are.
    busy: Mutex<HashMap<String, String>>,
}

/// Listens to the hub until the process is told to stop by SIGTERM or SIGINT; what runs then goes on.
///
/// # Errors
/// If no client can be made of what is given, or the system refuses.
pub fn run(address: &HubAddress, access: &Access, permission: Permission) -> Result<(), StoreError> {
    let failed = |error: io::Error| StoreError::io("start", "the agent", error);
    let client = OrderClient::new(address, access)?;
    let agent = Arc::new(Agent { client, permission, busy: Mutex::default() });
    let runtime = Builder::new_current_thread().thread_name("agent").enable_all().build().map_err(failed)?;
    let ended = runtime.block_on(async {
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        tokio::select! {
            () = service::watchdog() => {}
            () = agent.listen_for_ever() => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        service::stopping();
        Ok(())
    });
    // Nothing is waited for: what an order has come to is told by the next agent.
    runtime.shutdown_background();
    ended.map_err(failed)
}

impl Agent {
    async fn listen_for_ever(self: &Arc<Self>) {
        let hub = self.client.hub();
        let mut pauses = Pauses::default();
        service::ready(&format!("connecting to {hub}"));
        loop {
            let listening = tokio::time::timeout(SILENCE, self.client.listen()).await;
            let why = match listening {
                Ok(Ok(listening)) => {
                    tracing::info!("connected to {hub}");
                    service::status(&format!("connected to {hub}"));
                    self.hear(listening, &mut pauses).await
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => self.dead().await,
            };
            let pause = pauses.next();
            tracing::warn!("{why}; trying again in {:.0} s", pause.as_secs_f64().ceil());
            service::status(&format!("not connected: {why}"));
            tokio::time::sleep(pause).await;
        }
    }

    /// Hears what the hub says, until it says no more. Returns why.
    async fn hear(self: &Arc<Self>, mut listening: Listening, pauses: &mut Pauses) -> String {
        let hub = self.client.hub();
        loop {
            match tokio::time::timeout(SILENCE, listening.next()).await {
                Ok(Ok(Some(OrderLine::Order { order }))) => {
                    pauses.begin_again();
                    self.take(*order).await;
                }
                Ok(Ok(Some(OrderLine::Alive { .. }))) => pauses.begin_again(),
                Ok(Ok(Some(OrderLine::Ended { ended }))) => {
                    // Two agents of one host would push each other out as fast as they can.
                    pauses.take_long();
                    return format!("{hub} has ended the connection: {}", order::plain_message(&ended));
                }
                Ok(Ok(None)) => return format!("{hub} has closed the connection"),
                Ok(Err(error)) => return error.to_string(),
                Err(_) => return self.dead().await,
            }
        }
    }

    async fn dead(&self) -> String {
        self.client.give_up().await;
        format!("{} said nothing for {} seconds", self.client.hub(), SILENCE.as_secs())
    }

    /// Takes an order: one at a time for each job. A hub that brings one again, as after a line broke, is not heard twice.
    async fn take(self: &Arc<Self>, order: Order) {
        if let Err(why) = order::may_run(&order, &self.permission) {
            order::refuse(&self.client, &order, why).await;
            return;
        }
        let earlier = self.busy().insert(order.job.clone(), order.id.clone());
        if let Some(earlier) = earlier {
            self.busy().insert(order.job.clone(), earlier.clone());
            if earlier != order.id {
                order::refuse(&self.client, &order, format!("order {earlier} for the same job is under way")).await;
            }
            return;
        }
        let agent = Arc::clone(self);
        tokio::spawn(async move {
            let job = order.job.clone();
            order::carry_out(&agent.client, order).await;
            agent.busy().remove(&job);
        });
    }

    fn busy(&self) -> std::sync::MutexGuard<'_, HashMap<String, String>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether what failed may pass by itself.
fn may_pass(error: &StoreError) -> bool {
    matches!(error.kind, StoreErrorKind::Temporary)
}
