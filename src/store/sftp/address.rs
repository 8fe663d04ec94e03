//! `sftp://user@host:port/path`.

use std::fmt;
use std::str::FromStr;

/// A directory on another machine. Host, user and port may be left to the user's `ssh` configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SftpAddress {
    /// The user, if it is said.
    pub user: Option<String>,
    /// The host, or a name in the user's `ssh` configuration.
    pub host: String,
    /// The port, if it is said.
    pub port: Option<u16>,
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

impl SftpAddress {
    /// Whether it is the directory of another address, or one below it, as far as the addresses tell.
    pub fn lies_in(&self, other: &Self) -> bool {
        let same = (&self.user, &self.host, self.port) == (&other.user, &other.host, other.port);
        same && self.path.strip_prefix(&other.path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl FromStr for SftpAddress {
    type Err = SftpAddressError;

    /// From what stands behind `sftp://`.
    fn from_str(text: &str) -> Result<Self, SftpAddressError> {
        let (authority, path) = text.split_once('/').ok_or_else(|| SftpAddressError::Path(shown(text)))?;
        let (user, machine) = match authority.rsplit_once('@') {
            Some((user, machine)) => (Some(user), machine),
            None => (None, authority),
        };
        if user.is_some_and(|user| user.contains(':')) {
            return Err(SftpAddressError::Password(shown(text)));
        }
        // An address of IPv6 stands in brackets.
        let (host, port) = match machine.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            // What is no port is told as one.
            Some((host, rest)) => (host, Some(rest.strip_prefix(':').unwrap_or_default())),
            None => machine.split_once(':').map_or((machine, None), |(host, port)| (host, Some(port))),
        };
        if host.is_empty() || host.starts_with('-') || user.is_some_and(|user| user.is_empty() || user.starts_with('-')) {
            return Err(SftpAddressError::Host(shown(text)));
        }
        let number = |port: &str| port.parse::<u16>().ok().filter(|port| *port > 0);
        let port = match port {
            Some(port) => Some(number(port).ok_or_else(|| SftpAddressError::Port(shown(text)))?),
            None => None,
        };
        let path = match path.strip_prefix("~/") {
            Some(below_home) => below_home.to_owned(),
            None => format!("/{path}"),
        };
        let path = path.trim_end_matches('/');
        if path.is_empty() {
            return Err(SftpAddressError::Path(shown(text)));
        }
        Ok(Self { user: user.map(str::to_owned), host: host.to_owned(), port, path: path.to_owned() })
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
        f.write_str("sftp://")?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        match self.host.contains(':') {
            true => write!(f, "[{}]", self.host)?,
            false => f.write_str(&self.host)?,
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
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
        let expected = SftpAddress { user: Some("me".into()), host: "nas".into(), port: Some(2222), path: "/srv/backup".into() };
        assert_eq!(address, expected);
        assert_eq!("nas/~/q".parse::<SftpAddress>().unwrap().path, "q");
    }

    #[test]
    fn a_directory_lies_in_itself_and_in_those_above_it() {
        let lies_in = |inner: &str, outer: &str| inner.parse::<SftpAddress>().unwrap().lies_in(&outer.parse().unwrap());
        assert!(lies_in("nas/srv/q", "nas/srv/q/") && lies_in("nas/srv/q/below", "nas/srv/q"));
        assert!(!lies_in("nas/srv/q2", "nas/srv/q") && !lies_in("nas/srv", "nas/srv/q") && !lies_in("other/srv/q", "nas/srv/q"));
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
