//! Filesystem snapshots that a job is read from.

use std::borrow::Cow;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::size::ByteSize;

/// Whether a job's paths are read from filesystem snapshots.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum FilesystemSnapshots {
    /// No: they are read live.
    #[default]
    Off,
    /// Wherever the filesystem of a path can take one.
    Auto,
    /// As these say.
    With(SnapshotOptions),
}

/// How snapshots are taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct SnapshotOptions {
    /// Only by these; if it is empty, by those that are found.
    pub kinds: Vec<SnapshotKind>,
    /// Whether a path that cannot be read from a snapshot makes the run fail, instead of being read live.
    pub required: bool,
    /// Room for what is overwritten while a thick LVM snapshot is read: a part of the volume such as `"10%"`, or a size.
    pub lvm_room: Room,
    /// Where LVM snapshots are mounted; below the job's state if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mount_directory: Option<PathBuf>,
}

impl Default for SnapshotOptions {
    fn default() -> Self {
        Self { kinds: Vec::new(), required: false, lvm_room: Room::Percent(10), mount_directory: None }
    }
}

impl FilesystemSnapshots {
    /// The options; those of nothing special if none are given.
    pub fn options(&self) -> SnapshotOptions {
        match self {
            FilesystemSnapshots::With(options) => options.clone(),
            _ => SnapshotOptions::default(),
        }
    }
}

/// Who takes snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum SnapshotKind {
    /// Btrfs.
    Btrfs,
    /// ZFS.
    Zfs,
    /// LVM, thick or thin.
    Lvm,
}

/// Room for a thick LVM snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// A part of the volume, in percent from 1 to 100.
    Percent(u8),
    /// A size.
    Size(ByteSize),
}

impl Serialize for FilesystemSnapshots {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            FilesystemSnapshots::Off => serializer.serialize_str("off"),
            FilesystemSnapshots::Auto => serializer.serialize_str("auto"),
            FilesystemSnapshots::With(options) => options.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for FilesystemSnapshots {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Choice;
        impl<'de> Visitor<'de> for Choice {
            type Value = FilesystemSnapshots;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("\"auto\", \"off\" or a table")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<FilesystemSnapshots, E> {
                match text {
                    "off" => Ok(FilesystemSnapshots::Off),
                    "auto" => Ok(FilesystemSnapshots::Auto),
                    other => Err(E::unknown_variant(other, &["auto", "off"])),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<FilesystemSnapshots, A::Error> {
                SnapshotOptions::deserialize(MapAccessDeserializer::new(map)).map(FilesystemSnapshots::With)
            }
        }
        deserializer.deserialize_any(Choice)
    }
}

impl JsonSchema for FilesystemSnapshots {
    fn schema_name() -> Cow<'static, str> {
        "FilesystemSnapshots".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let options = generator.subschema_for::<SnapshotOptions>();
        json_schema!({ "anyOf": [{ "enum": ["auto", "off"] }, options] })
    }
}

impl Serialize for Room {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Room::Percent(percent) => serializer.serialize_str(&format!("{percent}%")),
            Room::Size(size) => size.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Room {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Part;
        impl Visitor<'_> for Part {
            type Value = Room;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a part such as \"10%\", a size such as \"20GiB\", or a number of bytes")
            }

            fn visit_u64<E>(self, bytes: u64) -> Result<Room, E> {
                Ok(Room::Size(ByteSize(bytes)))
            }

            fn visit_i64<E: serde::de::Error>(self, bytes: i64) -> Result<Room, E> {
                u64::try_from(bytes).map(|bytes| Room::Size(ByteSize(bytes))).map_err(|_| E::custom(format!("{bytes} is not a size")))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Room, E> {
                let Some(percent) = text.trim().strip_suffix('%') else {
                    return crate::model::size::parse_size(text).map(|bytes| Room::Size(ByteSize(bytes))).map_err(E::custom);
                };
                let percent = percent.trim().parse().ok().filter(|percent| (1..=100).contains(percent));
                percent.map(Room::Percent).ok_or_else(|| E::custom(format!("`{text}` is no part from 1% to 100%")))
            }
        }
        deserializer.deserialize_any(Part)
    }
}

impl JsonSchema for Room {
    fn schema_name() -> Cow<'static, str> {
        "Room".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let size = generator.subschema_for::<ByteSize>();
        json_schema!({ "anyOf": [{ "type": "string", "pattern": "^[0-9]+ *%$" }, size] })
    }
}
