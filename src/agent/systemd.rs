//! systemd by D-Bus: which unit is a job's, starting it, and how it is (org.freedesktop.systemd1(5)).

use std::collections::HashMap;

use futures_util::StreamExt as _;
use zbus::message::Type;
use zbus::{Connection, MatchRule, MessageStream, OwnedObjectPath};

const SYSTEMD: &str = "org.freedesktop.systemd1";
const ROOT: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const UNIT: &str = "org.freedesktop.systemd1.Unit";
const SERVICE: &str = "org.freedesktop.systemd1.Service";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// Why systemd does not do as asked.
#[derive(Debug, thiserror::Error)]
#[error("systemd cannot be asked by D-Bus: {0}")]
pub(super) struct BusError(#[from] zbus::Error);

type Result<T> = std::result::Result<T, BusError>;

/// A connection to the machine's bus.
pub(super) struct Systemd(Connection);

/// A unit of systemd.
#[derive(Debug, Clone)]
pub(super) struct Unit {
    pub(super) name: String,
    path: OwnedObjectPath,
}

/// How a unit is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct UnitState {
    /// `activating`, `active`, `inactive`, `failed` and others.
    pub(super) active: String,
    /// More exactly: `start`, `running`, `exited`.
    pub(super) sub: String,
    /// Whether systemd is about to start or stop it.
    pub(super) queued: bool,
    /// Names the last run, or the one that runs.
    pub(super) invocation: String,
    /// How the last run ended: `success`, `exit-code`, `timeout` and others.
    pub(super) result: String,
    /// Whether its program ended by itself, with a status.
    pub(super) exited: bool,
    /// That status, or the signal's number.
    pub(super) status: i32,
    /// What the run says of itself.
    pub(super) text: String,
}

impl UnitState {
    /// Whether the unit runs, or is about to.
    pub(super) fn is_busy(&self) -> bool {
        self.queued
            || matches!(self.active.as_str(), "activating" | "reloading" | "deactivating")
            || self.active == "active" && self.sub != "exited"
    }
}

/// Ends of systemd's jobs, which are no backup jobs but what systemd has to do.
pub(super) struct Ends(MessageStream);

impl Systemd {
    /// Connects to the bus of the machine.
    pub(super) async fn connect() -> Result<Self> {
        Ok(Self(Connection::system().await?))
    }

    /// The first of these units that there is.
    pub(super) async fn first_of(&self, names: &[String]) -> Result<Option<Unit>> {
        for name in names {
            let path: OwnedObjectPath = self.call(ROOT, MANAGER, "LoadUnit", &(name.as_str(),)).await?;
            let unit = Unit { name: name.clone(), path };
            let loaded: Values = self.properties(&unit, UNIT).await?;
            if loaded.text("LoadState") == "loaded" {
                return Ok(Some(unit));
            }
        }
        Ok(None)
    }

    /// How a unit is now.
    pub(super) async fn state(&self, unit: &Unit) -> Result<UnitState> {
        let (of_unit, of_service) = (self.properties(unit, UNIT).await?, self.properties(unit, SERVICE).await?);
        Ok(UnitState {
            active: of_unit.text("ActiveState"),
            sub: of_unit.text("SubState"),
            queued: of_unit.job() != 0,
            invocation: of_unit.hex("InvocationID"),
            result: of_service.text("Result"),
            // CLD_EXITED of waitid(2).
            exited: of_service.number("ExecMainCode") == 1,
            status: of_service.number("ExecMainStatus"),
            text: of_service.text("StatusText"),
        })
    }

    /// Hears from now on how systemd's jobs end.
    pub(super) async fn ends(&self) -> Result<Ends> {
        let rule = MatchRule::builder().msg_type(Type::Signal).sender(SYSTEMD).interface(MANAGER).member("JobRemoved").build()?;
        let ends = MessageStream::for_match_rule(rule, &self.0, None).await?;
        // Who has asked for it already is told so by an error.
        let _: Result<()> = self.call(ROOT, MANAGER, "Subscribe", &()).await;
        Ok(Ends(ends))
    }

    /// Starts a unit. Returns which of systemd's jobs that is.
    pub(super) async fn start(&self, unit: &Unit) -> Result<String> {
        let job: OwnedObjectPath = self.call(ROOT, MANAGER, "StartUnit", &(unit.name.as_str(), "replace")).await?;
        Ok(job.to_string())
    }

    async fn properties(&self, unit: &Unit, interface: &str) -> Result<Values> {
        self.call(unit.path.as_str(), PROPERTIES, "GetAll", &(interface,)).await.map(Values)
    }

    async fn call<A, T>(&self, path: &str, interface: &str, method: &str, arguments: &A) -> Result<T>
    where
        A: serde::Serialize + zbus::wire::DynamicType,
        T: for<'d> zbus::wire::DynamicDeserialize<'d>,
    {
        let answer = self.0.call_method(Some(SYSTEMD), path, Some(interface), method, arguments).await?;
        Ok(answer.body().deserialize()?)
    }
}

impl Ends {
    /// How this job of systemd's ended: `done`, `failed`, `dependency`, `timeout`, `canceled`, `skipped`. Waits for it; none if the bus is gone.
    pub(super) async fn of(&mut self, job: &str) -> Option<String> {
        while let Some(Ok(message)) = self.0.next().await {
            let removed: zbus::Result<(u32, OwnedObjectPath, String, String)> = message.body().deserialize();
            if let Ok((_, path, _, result)) = removed
                && path.as_str() == job
            {
                return Some(result);
            }
        }
        None
    }
}

/// Properties by name. What is not there, or of another type, is empty.
struct Values(HashMap<String, zbus::OwnedVariant>);

impl Values {
    fn text(&self, name: &str) -> String {
        self.0.get(name).and_then(|value| <&str>::try_from(value).ok()).unwrap_or_default().to_owned()
    }

    fn number(&self, name: &str) -> i32 {
        self.0.get(name).and_then(|value| i32::try_from(value).ok()).unwrap_or_default()
    }

    fn hex(&self, name: &str) -> String {
        let bytes: Vec<u8> = self.0.get(name).and_then(|value| value.try_clone().ok()?.try_into().ok()).unwrap_or_default();
        crate::model::id::hex(&bytes)
    }

    /// The number of systemd's job for the unit; zero if there is none.
    fn job(&self) -> u32 {
        let job: Option<(u32, OwnedObjectPath)> = self.0.get("Job").and_then(|value| value.try_clone().ok()?.try_into().ok());
        job.map(|(number, _)| number).unwrap_or_default()
    }
}
