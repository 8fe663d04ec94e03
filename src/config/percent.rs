//! Shares in a configuration: a whole number of percent, or text such as `10%`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize};

/// A share of 0 to 100 percent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Percent(u8);

impl Percent {
    /// The number, from 0 to 100.
    pub fn get(self) -> u8 {
        self.0
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Share;
        impl Visitor<'_> for Share {
            type Value = Percent;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a whole number of percent from 0 to 100")
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Percent, E> {
                let share = u8::try_from(number).ok().filter(|number| *number <= 100);
                share.map(Percent).ok_or_else(|| E::custom(format!("{number} is no share; write a whole number from 0 to 100")))
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Percent, E> {
                let number = u64::try_from(number).map_err(|_| E::custom(format!("{number} is no share; it is below 0")))?;
                self.visit_u64(number)
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Percent, E> {
                let number = text.trim().strip_suffix('%').and_then(|number| number.trim_end().parse().ok());
                let number = number.ok_or_else(|| E::custom(format!("`{text}` is no share; write for example `10%`, or 10")))?;
                self.visit_u64(number)
            }
        }
        deserializer.deserialize_any(Share)
    }
}

impl JsonSchema for Percent {
    fn schema_name() -> Cow<'static, str> {
        "Percent".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A share of 0 to 100 percent: a whole number, or text such as 10%.",
            "anyOf": [
                { "type": "integer", "minimum": 0, "maximum": 100 },
                { "type": "string", "pattern": "^(100|[0-9]{1,2}) *%$" },
            ],
        })
    }
}
