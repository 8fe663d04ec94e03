//! How much of the machine a job may take, and when.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::rate::ByteRate;

/// How much of the machine a job may take. Programs that it starts, such as dumps, are bound by the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Limits {
    /// How far others come first for the processor: 0, not at all, to 19.
    #[schemars(range(min = 0, max = 19))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nice: Option<u8>,
    /// When the job's reads and writes have their turn, on disks whose scheduler knows classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub io: Option<IoClass>,
    /// How many processors the job may use at once.
    #[schemars(range(min = 1))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<u32>,
    /// How many bytes of the sources may be read in a second, such as `50MiB`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_rate: Option<ByteRate>,
    /// How many bytes may be written in a second, to all repositories together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload_rate: Option<ByteRate>,
}

/// A class of reads and writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum IoClass {
    /// Only when nobody else wants to.
    Idle,
    /// With the others, but after them.
    BestEffort,
}

/// The time of day in which a job may run, by the machine's clock. It may lie around midnight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Window {
    /// When it begins, such as `22:00`.
    pub from: TimeOfDay,
    /// When it ends.
    pub to: TimeOfDay,
}

/// A time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeOfDay(pub jiff::civil::Time);

impl FromStr for TimeOfDay {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no time of day; write for example `22:00`");
        let (hour, minute) = text.split_once(':').ok_or_else(wrong)?;
        let number = |digits: &str| if digits.len() == 2 { digits.parse::<i8>().ok() } else { None };
        let (hour, minute) = number(hour).zip(number(minute)).ok_or_else(wrong)?;
        jiff::civil::Time::new(hour, minute, 0, 0).map(Self).map_err(|_| wrong())
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0.hour(), self.0.minute())
    }
}

impl Serialize for TimeOfDay {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TimeOfDay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for TimeOfDay {
    fn schema_name() -> Cow<'static, str> {
        "TimeOfDay".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$" })
    }
}
