//! `user@host:port`, as it stands in URLs.

use std::fmt;
use std::str::FromStr;

/// Another machine. User and port may be left to the user's `ssh` configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshHost {
    /// The user, if it is said.
    pub user: Option<String>,
    /// Its name, or one in the user's `ssh` configuration.
    pub name: String,
    /// The port, if it is said.
    pub port: Option<u16>,
}

/// Why a text names no machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SshHostError {
    /// A password is written in it.
    Password,
    /// No name, or one that `ssh` would take for an option.
    Name,
    /// The port is no number from 1 to 65535.
    Port,
}

impl FromStr for SshHost {
    type Err = SshHostError;

    fn from_str(text: &str) -> Result<Self, SshHostError> {
        let (user, machine) = match text.rsplit_once('@') {
            Some((user, machine)) => (Some(user), machine),
            None => (None, text),
        };
        if user.is_some_and(|user| user.contains(':')) {
            return Err(SshHostError::Password);
        }
        // An address of IPv6 stands in brackets.
        let (name, port) = match machine.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((name, "")) => (name, None),
            // What is no port is told as one.
            Some((name, rest)) => (name, Some(rest.strip_prefix(':').unwrap_or_default())),
            None => machine.split_once(':').map_or((machine, None), |(name, port)| (name, Some(port))),
        };
        if name.is_empty() || name.starts_with('-') || user.is_some_and(|user| user.is_empty() || user.starts_with('-')) {
            return Err(SshHostError::Name);
        }
        let number = |port: &str| port.parse::<u16>().ok().filter(|port| *port > 0);
        let port = match port {
            Some(port) => Some(number(port).ok_or(SshHostError::Port)?),
            None => None,
        };
        Ok(Self { user: user.map(str::to_owned), name: name.to_owned(), port })
    }
}

impl fmt::Display for SshHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        match self.name.contains(':') {
            true => write!(f, "[{}]", self.name)?,
            false => f.write_str(&self.name)?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}
