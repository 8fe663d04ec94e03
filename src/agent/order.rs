//! One order: from the hub's wish to what became of it.

use std::time::{Duration, Instant};

use super::pauses::Pauses;
use super::systemd::{BusError, Ends, Systemd, Unit, UnitState};
use super::{Permission, may_pass};
use crate::store::hub::OrderClient;
use crate::store::hub::order::{LONGEST_MESSAGE, LONGEST_PROGRESS, News, Order, OrderProgress, OrderState, is_job, plain};

/// How often a unit is looked at that runs.
const LOOK: Duration = Duration::from_secs(1);
/// How often its progress is told at most, and how often at least that it still runs.
const TELL: Duration = Duration::from_secs(3);
const TELL_AGAIN: Duration = Duration::from_secs(60);
/// How long the hub may take to hear.
const HEARD: Duration = Duration::from_secs(60);
/// How long systemd may be away, as while it is updated.
const AWAY: Duration = Duration::from_secs(60);
/// What `hearth-backup run` ends with if something is worth a look.
const WARNINGS: i32 = 3;
/// What it ends with if it was asked to stop.
const STOPPED: [i32; 2] = [130, 143];

/// Words of the hub as they may be shown.
pub(super) fn plain_message(text: &str) -> String {
    plain(text, LONGEST_MESSAGE)
}

/// Whether the host lets the hub start that; else why not.
pub(super) fn may_run(order: &Order, permission: &Permission) -> Result<(), String> {
    if is_job(&order.job) { permission(&order.job) } else { Err("no job can be called so".to_owned()) }
}

/// Tells the hub that an order is refused. If it cannot be told now, it brings the order again.
pub(super) async fn refuse(client: &OrderClient, order: &Order, why: String) {
    tracing::warn!("order {} for {} is refused: {why}", plain_message(&order.id), plain_message(&order.job));
    tell_once(client, &order.id, &News::of(OrderState::Refused).saying(why)).await;
}

/// Carries an order out, and tells the hub how it goes.
pub(super) async fn carry_out(client: &OrderClient, order: Order) {
    tracing::info!("{} asks for a run of {} (order {})", plain_message(&order.asked_by), order.job, plain_message(&order.id));
    // What the hub has given up meanwhile shall not begin.
    if order.state == OrderState::Asked && !tell(client, &order.id, &News::of(OrderState::Taken)).await {
        return;
    }
    let end = run(client, &order).await.unwrap_or_else(|why| News::of(OrderState::Failed).saying(why));
    tracing::info!("order {} for {}: {:?}", order.id, order.job, end.state);
    tell(client, &order.id, &end).await;
}

async fn run(client: &OrderClient, order: &Order) -> Result<News, String> {
    let job = &order.job;
    // The template first: where there is one, a job may be called as another of our services is.
    let names = [format!("hearth-backup@{job}.service"), format!("hearth-backup-{job}.service")];
    let unreached = |error: BusError| error.to_string();
    let systemd = Systemd::connect().await.map_err(unreached)?;
    let unit = systemd.first_of(&names).await.map_err(unreached)?;
    let unit = unit.ok_or_else(|| format!("the host has no unit for the job: neither {} nor {}", names[0], names[1]))?;
    let before = systemd.state(&unit).await.map_err(unreached)?;
    let mut watch = Watch { client, order: &order.id, unit: &unit, systemd, job: None, before: None, told: None };
    if let (OrderState::Running, Some(run)) = (order.state, &order.run) {
        // It was started before the agent was; it may have ended since.
        if *run != before.invocation {
            return Err(format!("the agent was away while it ended, and it has run again since; `journalctl -u {}` says more", unit.name));
        }
        return watch.until_it_ends(None).await;
    }
    if before.is_busy() {
        tracing::info!("{} runs already", unit.name);
        // Unless it waits for its turn.
        watch.before = matches!(before.active.as_str(), "inactive" | "failed").then_some(before.invocation);
        return watch.until_it_ends(None).await;
    }
    let mut ends = watch.systemd.ends().await.map_err(unreached)?;
    let started = watch.systemd.start(&unit).await;
    watch.job = Some(started.map_err(|error| format!("{} is not started: {error}", unit.name))?);
    watch.before = Some(before.invocation);
    watch.until_it_ends(Some(&mut ends)).await
}

/// A unit that is watched.
struct Watch<'a> {
    client: &'a OrderClient,
    order: &'a str,
    unit: &'a Unit,
    systemd: Systemd,
    /// systemd's job that starts the unit.
    job: Option<String>,
    /// The run before the one that this order started.
    before: Option<String>,
    told: Option<(Instant, News)>,
}

impl Watch<'_> {
    /// Tells of progress until the unit runs no more. Returns how it ended.
    async fn until_it_ends(&mut self, mut ends: Option<&mut Ends>) -> Result<News, String> {
        let mut result: Option<String> = None;
        let mut away: Option<Instant> = None;
        loop {
            match self.systemd.state(self.unit).await {
                Ok(state) if !state.is_busy() && (self.job.is_none() || result.is_some() || self.has_run(&state)) => {
                    return Ok(ended(self.unit, &state, self.before.as_deref(), result.as_deref()));
                }
                Ok(state) => {
                    away = None;
                    self.tell_progress(&state).await;
                }
                Err(error) => {
                    let since = *away.get_or_insert_with(Instant::now);
                    if since.elapsed() > AWAY {
                        return Err(format!("{error}, for a minute; the run itself may go on"));
                    }
                    if let Ok(systemd) = Systemd::connect().await {
                        self.systemd = systemd;
                    }
                }
            }
            match (&mut ends, &self.job, &result) {
                (Some(ends), Some(job), None) => {
                    if let Ok(word) = tokio::time::timeout(LOOK, ends.of(job)).await {
                        result = Some(word.unwrap_or_else(|| "unknown".to_owned()));
                    }
                }
                _ => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// Whether the run that was asked for has begun, whatever became of it.
    fn has_run(&self, state: &UnitState) -> bool {
        self.before.as_ref().is_some_and(|before| *before != state.invocation)
    }

    async fn tell_progress(&mut self, state: &UnitState) {
        let text = plain(&state.text, LONGEST_PROGRESS);
        let percent = percent(&text);
        let progress = (!text.is_empty()).then_some(OrderProgress { text, percent });
        let run = (self.before.is_none() || self.has_run(state)).then(|| state.invocation.clone()).filter(|run| !run.is_empty());
        let news = News { state: OrderState::Running, message: None, progress, run };
        let due = self.told.as_ref().is_none_or(|(when, told)| {
            let pause = if *told == news { TELL_AGAIN } else { TELL };
            when.elapsed() >= pause || told.run != news.run
        });
        if due {
            tell_once(self.client, self.order, &news).await;
            self.told = Some((Instant::now(), news));
        }
    }
}

/// What a unit's end means for the order; `result` is how systemd's job to start it ended.
fn ended(unit: &Unit, state: &UnitState, before: Option<&str>, result: Option<&str>) -> News {
    let name = &unit.name;
    if before.is_some_and(|before| before == state.invocation) {
        let why = match result.unwrap_or("unknown") {
            "dependency" => "what it needs, such as a disk, could not be started".to_owned(),
            "skipped" => "one of its conditions is not met".to_owned(),
            word => format!("systemd says `{word}`"),
        };
        return News::of(OrderState::Failed).saying(format!("{name} was not started: {why}; `systemctl status {name}` says more"));
    }
    let run = Some(state.invocation.clone()).filter(|run| !run.is_empty());
    let news = |state: OrderState, message: Option<String>| News { state, message, progress: None, run: run.clone() };
    match (state.result.as_str(), state.exited, state.status) {
        ("success", true, 0) => news(OrderState::Succeeded, None),
        ("success" | "exit-code", true, WARNINGS) => {
            news(OrderState::Warnings, Some(format!("done, with warnings; `journalctl -u {name}` on the host has them")))
        }
        ("success", true, status) if STOPPED.contains(&status) => news(OrderState::Failed, Some("it was stopped".to_owned())),
        (result, exited, status) => {
            let by = if exited { "status" } else { "signal" };
            news(OrderState::Failed, Some(format!("the run failed ({result}, {by} {status}); `journalctl -u {name}` on the host says why")))
        }
    }
}

/// The percentage that a text about progress holds.
fn percent(text: &str) -> Option<u8> {
    text.split_whitespace().find_map(|word| word.strip_suffix('%')?.parse().ok()).filter(|percent| *percent <= 100)
}

/// Tells the hub what it must know, however often it takes. Says whether it took it.
async fn tell(client: &OrderClient, order: &str, news: &News) -> bool {
    let mut pauses = Pauses::default();
    loop {
        match tokio::time::timeout(HEARD, client.tell(order, news)).await {
            Ok(Ok(_)) => return true,
            Ok(Err(error)) if !may_pass(&error) => {
                tracing::warn!("{error}");
                return false;
            }
            Ok(Err(error)) => tracing::debug!("{error}"),
            Err(_) => client.give_up().await,
        }
        tokio::time::sleep(pauses.next()).await;
    }
}

/// Tells the hub what it may miss.
async fn tell_once(client: &OrderClient, order: &str, news: &News) {
    if let Ok(Err(error)) = tokio::time::timeout(HEARD, client.tell(order, news)).await {
        tracing::debug!("{error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_percentage_is_found_in_what_a_run_says_of_itself() {
        assert_eq!(percent("backup  45%  1,234 files"), Some(45));
        assert_eq!(percent("100%"), Some(100));
        assert!(["", "scan 12 files", "101%", "-1%", "%", "4.5%"].iter().all(|text| percent(text).is_none()));
    }
}
