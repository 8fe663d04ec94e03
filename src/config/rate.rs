//! Rates in a configuration: text such as `2MB`, or a number of bytes a second.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::rate::{SLOWEST_WITHOUT_UNIT, parse_rate, plain_rate};

/// Bytes a second; at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteRate(u64);

impl ByteRate {
    /// How many they are.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl<'de> Deserialize<'de> for ByteRate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a rate such as \"2MB\", or a number of bytes a second")]
        enum Written {
            Number(u64),
            Text(String),
        }
        let rate = match Written::deserialize(deserializer)? {
            Written::Number(bytes) => plain_rate(bytes),
            Written::Text(text) => parse_rate(&text),
        };
        rate.map(Self).map_err(D::Error::custom)
    }
}

/// So that it can be read again.
impl Serialize for ByteRate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 < SLOWEST_WITHOUT_UNIT { serializer.collect_str(&format_args!("{}B", self.0)) } else { serializer.serialize_u64(self.0) }
    }
}

impl JsonSchema for ByteRate {
    fn schema_name() -> Cow<'static, str> {
        "ByteRate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Text such as 2MB or 500kB, or a number of bytes a second; fewer than 1000 must have a unit.",
            "anyOf": [
                { "type": "integer", "minimum": SLOWEST_WITHOUT_UNIT },
                { "type": "string", "pattern": "^([0-9]{4,}(\\.[0-9]*)?|[0-9]+(\\.[0-9]*)? *([kKmMgGtTpP]([iI]?[bB]?)?|[bB]))$" },
            ],
        })
    }
}
