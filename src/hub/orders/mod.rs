//! Orders: runs that somebody asked hosts for. They are files, so that every process of the hub sees the same ones and a restart loses none.
//!
//! ```text
//!   POST /backup-trigger --> DATA/orders/HOST/ID.json --> the stream that HOST's agent reads
//!                                    ^                                |
//!                                    +------- what the agent says <---+
//!   DATA/orders/HOST/agent   which stream is HOST's, renewed while it lives (lease)
//!   DATA/orders/HOST/lock    held while any of them is replaced
//! ```
//!
//! HOST is the name of the host's token; behind `ssh`, where there is none, it is the repository's name.

mod lease;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

pub(super) use self::lease::Lease;
use super::repository::{disk_failed, refusal};
use crate::store::durable;
use crate::store::hub::is_name;
use crate::store::hub::order::{LONGEST_MESSAGE, LONGEST_PROGRESS, News, Order, OrderProgress, OrderState, is_job, plain};
use crate::store::hub::protocol::{Reason, Refusal};

const FOLDER: &str = "orders";
const SUFFIX: &str = ".json";
const LOCK: &str = "lock";
/// Orders of a host that have not ended.
const OPEN: usize = 50;
/// Orders of a host that have ended and are kept, however young they are.
const ENDED: usize = 200;
/// Bytes of a file that are read.
const LARGEST: u64 = 64 << 10;
/// How long nobody may take an order, and how long nothing may be heard of one that was taken.
const PATIENCE: SignedDuration = SignedDuration::from_hours(1);
/// How long an order stays after its end.
const KEPT: SignedDuration = SignedDuration::from_hours(7 * 24);

/// The orders of a hub.
pub(super) struct Orders {
    folder: PathBuf,
    /// Changes when this process changes an order, so that nobody in it has to look again and again; ends with the hub.
    changes: watch::Sender<bool>,
}

impl Orders {
    /// Those below the hub's directory.
    pub(super) fn new(data: &Path) -> Self {
        Self { folder: data.join(FOLDER), changes: watch::Sender::new(false) }
    }

    /// Told of changes by this process. True once the hub stops.
    pub(super) fn changes(&self) -> watch::Receiver<bool> {
        self.changes.subscribe()
    }

    /// Waits until nobody is told any more.
    pub(super) async fn left(&self) {
        self.changes.closed().await;
    }

    /// The hub stops: whoever waits for something shall go.
    pub(super) fn stop(&self) {
        self.changes.send_replace(true);
    }

    /// Asks a host for a run; if there is such an order already, that is the one.
    pub(super) fn ask(&self, host: &str, job: &str, asked_by: &str, now: Timestamp) -> Result<Order, Refusal> {
        if !is_job(job) {
            return Err(refusal(Reason::Malformed, "no job can be called so"));
        }
        let folder = self.of(host)?;
        let _lock = lock(&folder)?;
        let orders = sweep(&folder, now)?;
        let open: Vec<_> = orders.into_iter().filter(|order| !order.state.is_ended()).collect();
        if let Some(same) = open.iter().find(|order| order.job == job) {
            return Ok(same.clone());
        }
        if open.len() >= OPEN {
            return Err(refusal(Reason::Conflict, format!("{host} has {OPEN} orders already that have not ended; wait for them")));
        }
        let order = Order {
            id: new_id(&folder, now),
            host: host.to_owned(),
            job: job.to_owned(),
            asked_by: asked_by.to_owned(),
            asked: now,
            state: OrderState::Asked,
            taken: None,
            message: None,
            progress: None,
            run: None,
            changed: now,
        };
        write(&folder, &order)?;
        self.changes.send_modify(|_| {});
        tracing::info!("{asked_by} asks {host} to run {job} (order {})", order.id);
        Ok(order)
    }

    /// An order as it is now.
    pub(super) fn get(&self, host: &str, id: &str, now: Timestamp) -> Result<Order, Refusal> {
        let folder = self.of(host)?;
        Ok(as_of(read(&folder, id)?, now))
    }

    /// The names of a host's orders, without reading them.
    pub(super) fn names(&self, host: &str) -> Result<Vec<String>, Refusal> {
        ids(&self.of(host)?)
    }

    /// Notes what a host says of an order.
    pub(super) fn note(&self, host: &str, id: &str, news: News, now: Timestamp) -> Result<Order, Refusal> {
        if matches!(news.state, OrderState::Asked | OrderState::Expired) {
            return Err(refusal(Reason::Malformed, "that is not for a host to say"));
        }
        let folder = self.of(host)?;
        let _lock = lock(&folder)?;
        let order = as_of(read(&folder, id)?, now);
        // One that was given up may still be running; one that nobody took in time shall not begin.
        let lives = !order.state.is_ended() || order.state == OrderState::Expired && order.taken.is_some();
        if !lives {
            return Err(refusal(Reason::Conflict, "that order has ended"));
        }
        let progress = news.progress.map(|progress| OrderProgress {
            text: plain(&progress.text, LONGEST_PROGRESS),
            percent: progress.percent.map(|percent| percent.min(100)),
        });
        let order = Order {
            state: news.state,
            taken: order.taken.or(Some(now)),
            message: news.message.map(|message| plain(&message, LONGEST_MESSAGE)).filter(|message| !message.is_empty()),
            progress: progress.filter(|progress| !progress.text.is_empty()),
            run: news.run.filter(|run| is_name(run)).or(order.run),
            changed: now,
            ..order
        };
        write(&folder, &order)?;
        self.changes.send_modify(|_| {});
        if order.state.is_ended() {
            tracing::info!("{host} ended order {id} for {}: {:?}", order.job, order.state);
        }
        Ok(order)
    }

    /// The folder of a host.
    fn of(&self, host: &str) -> Result<PathBuf, Refusal> {
        if is_name(host) { Ok(self.folder.join(host)) } else { Err(refusal(Reason::NotFound, "no host can be called so")) }
    }
}

/// Waits for its turn to change a host's orders. The folder is made.
fn lock(folder: &Path) -> Result<File, Refusal> {
    let open = || {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(folder.join(LOCK))?;
        file.lock()?;
        Ok(file)
    };
    open().map_err(|error| disk_failed(folder, &error))
}

/// An order as it counts now: time alone may have ended it.
fn as_of(order: Order, now: Timestamp) -> Order {
    let silent = now.duration_since(order.changed) > PATIENCE;
    if order.state.is_ended() || !silent {
        return order;
    }
    let message = if order.state == OrderState::Asked {
        "the host's agent did not take it within an hour"
    } else {
        "the host's agent was not heard of for an hour; the run itself may go on"
    };
    Order { state: OrderState::Expired, message: Some(message.to_owned()), changed: order.changed + PATIENCE, ..order }
}

/// All orders of a host, after those are gone that nobody will ask about any more.
fn sweep(folder: &Path, now: Timestamp) -> Result<Vec<Order>, Refusal> {
    let mut orders: Vec<_> = all(folder)?.into_iter().map(|order| as_of(order, now)).collect();
    let ended = orders.iter().filter(|order| order.state.is_ended()).count();
    let mut surplus = ended.saturating_sub(ENDED);
    orders.retain(|order| {
        let old = order.state.is_ended() && now.duration_since(order.changed) > KEPT;
        let goes = old || order.state.is_ended() && surplus > 0;
        if goes {
            surplus = surplus.saturating_sub(1);
            let _ = fs::remove_file(path(folder, &order.id));
        }
        !goes
    });
    Ok(orders)
}

/// All orders of a host, oldest first. One that cannot be read is none.
fn all(folder: &Path) -> Result<Vec<Order>, Refusal> {
    Ok(ids(folder)?.iter().filter_map(|id| read(folder, id).ok()).collect())
}

fn ids(folder: &Path) -> Result<Vec<String>, Refusal> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(disk_failed(folder, &error)),
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut ids: Vec<String> = names.filter_map(|name| name.strip_suffix(SUFFIX).filter(|id| is_name(id)).map(str::to_owned)).collect();
    ids.sort_unstable();
    Ok(ids)
}

fn path(folder: &Path, id: &str) -> PathBuf {
    folder.join(format!("{id}{SUFFIX}"))
}

fn read(folder: &Path, id: &str) -> Result<Order, Refusal> {
    let unknown = || refusal(Reason::NotFound, "the host has no such order");
    if !is_name(id) {
        return Err(unknown());
    }
    let path = path(folder, id);
    let text = durable::read(&path, LARGEST).map_err(|error| disk_failed(&path, &error))?.ok_or_else(unknown)?;
    let order: Order = serde_json::from_slice(&text).map_err(|error| disk_failed(&path, &io::Error::other(error)))?;
    if order.id == id { Ok(order) } else { Err(disk_failed(&path, &io::Error::other("it is another order's"))) }
}

fn write(folder: &Path, order: &Order) -> Result<(), Refusal> {
    let text = serde_json::to_vec(order).map_err(|error| refusal(Reason::Failed, error.to_string()))?;
    durable::replace(&path(folder, &order.id), &text).map_err(|error| disk_failed(folder, &error))
}

/// A name that sorts behind earlier ones: its time, and a number if there is one of that time.
fn new_id(folder: &Path, now: Timestamp) -> String {
    let time = now.strftime("%Y%m%d-%H%M%S-%3f").to_string();
    let names = (0_u32..).map(|number| if number == 0 { time.clone() } else { format!("{time}-{number}") });
    names.into_iter().find(|id| !path(folder, id).exists()).unwrap_or(time)
}

#[cfg(test)]
mod tests;
