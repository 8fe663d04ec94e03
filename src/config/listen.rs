//! Where a server listens.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The word for sockets that systemd opens, and what the path of a socket follows.
const SYSTEMD: &str = "systemd";
const UNIX: &str = "unix:";

/// Where a server listens: `ADDRESS:PORT`, `unix:PATH`, or `systemd`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// At an address.
    Tcp(SocketAddr),
    /// At a socket in the file system, for a proxy on this machine.
    Unix(PathBuf),
    /// At the sockets that systemd has opened.
    Systemd,
}

impl Listen {
    /// Where other machines may reach it, if they may.
    pub fn reached_by_others(&self) -> Option<SocketAddr> {
        match self {
            Listen::Tcp(address) if !address.ip().is_loopback() => Some(*address),
            Listen::Tcp(_) | Listen::Unix(_) | Listen::Systemd => None,
        }
    }
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == SYSTEMD {
            return Ok(Listen::Systemd);
        }
        if let Some(path) = text.strip_prefix(UNIX).filter(|path| !path.is_empty()) {
            return Ok(Listen::Unix(PathBuf::from(path)));
        }
        let address = text.parse::<SocketAddr>().map(Listen::Tcp);
        address.map_err(|_| "write ADDRESS:PORT such as 127.0.0.1:8420 or [::]:8420, unix:/run/hearth/hub.sock, or systemd".to_owned())
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listen::Tcp(address) => write!(f, "{address}"),
            Listen::Unix(path) => write!(f, "{UNIX}{}", path.display()),
            Listen::Systemd => f.write_str(SYSTEMD),
        }
    }
}

impl Serialize for Listen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Listen {
    fn schema_name() -> Cow<'static, str> {
        "Listen".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "ADDRESS:PORT, unix:PATH, or systemd.", "pattern": "^(systemd|unix:.+|.+:[0-9]+)$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_back_as_they_are_written() {
        for text in ["127.0.0.1:8420", "[::]:8420", "unix:/run/hub.sock", "systemd"] {
            assert_eq!(text.parse::<Listen>().unwrap().to_string(), text);
        }
        for text in ["", "8420", "localhost:8420", "unix:", "127.0.0.1"] {
            assert!(text.parse::<Listen>().unwrap_err().contains("8420"), "{text}");
        }
        let open = |text: &str| text.parse::<Listen>().unwrap().reached_by_others().is_some();
        assert!(open("0.0.0.0:1") && open("[::]:1") && !open("[::1]:1") && !open("systemd"));
    }
}
