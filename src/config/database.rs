//! Databases whose dumps are saved.

use std::borrow::Cow;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::secret::SecretFile;
use super::size::ByteSize;

/// A PostgreSQL server: a dump of each database, and the roles and tablespaces that belong to all of them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Postgresql {
    /// `"all"`, or a list of names.
    pub databases: Databases,
    /// Databases that `"all"` leaves out.
    pub exclude: Vec<String>,
    /// The system's user as whom the tools run, for peer authentication over the local socket; empty for the user of the job.
    /// `postgres` if absent, and the user of the job with `through`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// A host name, or the directory of a socket; the tools' default if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The port; the tools' default if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The database's user; that of the system if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// A file that holds the password and nothing else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<SecretFile>,
    /// Whether roles and tablespaces are saved as well.
    pub globals: bool,
    /// Whether the rows of each table are counted in the dump as it passes, for `restore-db` to compare.
    pub row_counts: bool,
    /// How a database is dumped.
    pub format: DumpFormat,
    /// Tables that `pg_dump` reads at once in directory format.
    #[schemars(range(min = 1, max = 64))]
    pub parallel: u16,
    /// Smaller databases are dumped in custom format all the same.
    pub directory_from: ByteSize,
    /// Where dumps in directory format lie until they are saved; below the state directory if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scratch: Option<PathBuf>,
    /// Words before each of the tools, such as `["docker", "exec", "-i", "NAME"]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub through: Vec<String>,
}

impl Postgresql {
    /// The system's user as whom the tools run, if it is another.
    pub fn run_as(&self) -> Option<&str> {
        let default = if self.through.is_empty() { "postgres" } else { "" };
        Some(self.user.as_deref().unwrap_or(default)).filter(|user| !user.is_empty())
    }
}

/// A MariaDB or MySQL server: a dump of each database, and the users that belong to all of them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Mariadb {
    /// `"all"`, or a list of names.
    pub databases: Databases,
    /// Databases that `"all"` leaves out.
    pub exclude: Vec<String>,
    /// The system's user as whom the tools run; the user of the job if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// A host name; the local socket if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The port; the tools' default if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The server's socket; the tools' default if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket: Option<PathBuf>,
    /// The database's user; that of the system if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// A file that holds the password and nothing else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<SecretFile>,
    /// Whether users, roles and their rights are saved as well.
    pub users: bool,
    /// Whether the rows of each table are counted in the dump as it passes, for `restore-db` to compare.
    pub row_counts: bool,
    /// Words before each of the tools, such as `["docker", "exec", "-i", "NAME"]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub through: Vec<String>,
}

impl Default for Mariadb {
    fn default() -> Self {
        Self {
            databases: Databases::All,
            exclude: Vec::new(),
            user: None,
            host: None,
            port: None,
            socket: None,
            username: None,
            password_file: None,
            users: true,
            row_counts: true,
            through: Vec::new(),
        }
    }
}

/// How `pg_dump` writes a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum DumpFormat {
    /// One file, streamed straight into the snapshot.
    Custom,
    /// A file for each table, several at once; needs room on disk for the whole dump.
    Directory,
}

impl Default for Postgresql {
    fn default() -> Self {
        Self {
            databases: Databases::All,
            exclude: Vec::new(),
            user: None,
            host: None,
            port: None,
            username: None,
            password_file: None,
            globals: true,
            row_counts: true,
            format: DumpFormat::Custom,
            parallel: 4,
            directory_from: ByteSize(0),
            scratch: None,
            through: Vec::new(),
        }
    }
}

/// Which databases of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Databases {
    /// All that can be connected to, but for templates.
    All,
    /// These.
    Named(Vec<String>),
}

impl Serialize for Databases {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Databases::All => serializer.serialize_str("all"),
            Databases::Named(names) => names.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Databases {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = Databases;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("\"all\" or a list of names")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Databases, E> {
                match text {
                    "all" => Ok(Databases::All),
                    other => Err(E::custom(format!("`{other}` is neither \"all\" nor a list; write [\"{other}\"] for one database"))),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Databases, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = list.next_element()? {
                    names.push(name);
                }
                Ok(Databases::Named(names))
            }
        }
        deserializer.deserialize_any(Names)
    }
}

impl JsonSchema for Databases {
    fn schema_name() -> Cow<'static, str> {
        "Databases".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "const": "all" }, { "type": "array", "items": { "type": "string" } }] })
    }
}
