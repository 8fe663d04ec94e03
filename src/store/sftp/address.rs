//! `sftp://user@host:port/path`.

use std::fmt;
use std::str::FromStr;

use crate::store::ssh::{SshHost, SshHostError};

/// A directory on another machine. Host, user and port may be left to the user's `ssh` configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SftpAddress {
    /// The machine.
    pub host: SshHost,
    /// The directory: absolute, or relative to where the server begins.
    pub path: String,
}

/// Why a location is not understood.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SftpAddressError {
    /// A password is written in it.
    #[error("`sftp://{0}`: a password does not belong into a location; ssh asks for it, or uses a key")]
    Password(String),
    /// No host, or one that ssh would take for an option.
    #[error("`sftp://{0}` names no host; write sftp://user@host/path")]
    Host(String),
    /// The port is no number.
    #[error("`sftp://{0}`: the port is no number from 1 to 65535")]
    Port(String),
    /// No directory.
    #[error("`sftp://{0}` names no directory; write sftp://user@host/srv/backup, or sftp://user@host/~/backup below the user's home")]
    Path(String),
}

impl FromStr for SftpAddress {
    type Err = SftpAddressError;

    /// From what stands behind `sftp://`.
    fn from_str(text: &str) -> Result<Self, SftpAddressError> {
        let (authority, path) = text.split_once('/').ok_or_else(|| SftpAddressError::Path(shown(text)))?;
        let host = authority.parse().map_err(|error| match error {
            SshHostError::Password => SftpAddressError::Password(shown(text)),
            SshHostError::Name => SftpAddressError::Host(shown(text)),
            SshHostError::Port => SftpAddressError::Port(shown(text)),
        })?;
        let path = match path.strip_prefix("~/") {
            Some(below_home) => below_home.to_owned(),
            None => format!("/{path}"),
        };
        let path = path.trim_end_matches('/');
        if path.is_empty() {
            return Err(SftpAddressError::Path(shown(text)));
        }
        Ok(Self { host, path: path.to_owned() })
    }
}

/// A location without the password that somebody may have written in it.
fn shown(text: &str) -> String {
    let (authority, path) = text.split_at(text.find('/').unwrap_or(text.len()));
    match authority.rsplit_once('@') {
        Some((user, host)) => format!("{}@{host}{path}", user.split(':').next().unwrap_or_default()),
        None => text.to_owned(),
    }
}

impl fmt::Display for SftpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sftp://{}", self.host)?;
        match self.path.starts_with('/') {
            true => f.write_str(&self.path),
            false => write!(f, "/~/{}", self.path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_left_to_ssh() {
        for text in ["nas/srv/backup", "me@nas:2222/srv/backup", "[fe80::1]:22/srv", "nas/~/backup/q", "friend/x"] {
            let address: SftpAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), format!("sftp://{text}"));
        }
        let address: SftpAddress = "me@nas:2222/srv/backup/".parse().unwrap();
        let expected = SftpAddress { host: "me@nas:2222".parse().unwrap(), path: "/srv/backup".into() };
        assert_eq!(address, expected);
        assert_eq!("nas/~/q".parse::<SftpAddress>().unwrap().path, "q");
    }

    #[test]
    fn what_is_wrong_is_told_and_no_password_repeated() {
        for (text, what) in [
            ("me:secret@nas/srv", "password"),
            ("/srv", "no host"),
            ("-oProxyCommand=x/srv", "no host"),
            ("-l@nas/srv", "no host"),
            ("nas:0/srv", "port"),
            ("nas:99999/srv", "port"),
            ("[::1]22/srv", "port"),
            ("nas", "directory"),
            ("nas/", "directory"),
            ("nas/~/", "directory"),
        ] {
            let error = text.parse::<SftpAddress>().unwrap_err().to_string();
            assert!(error.contains(what) && !error.contains("secret"), "{text}: {error}");
        }
    }
}
