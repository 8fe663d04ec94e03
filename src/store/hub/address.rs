//! `https://hub/NAME` and `ssh://user@host/NAME`: where a hub is, and which of its repositories is meant.

use std::fmt;
use std::net::IpAddr;

use http::Uri;

use crate::store::ssh::{SshHost, SshHostError};

/// A repository at a hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubAddress {
    /// How the hub is reached.
    pub way: Way,
    /// The repository's name there.
    pub repository: String,
}

/// How a hub is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// By HTTP, at what stands before the repository's name, without a slash at its end.
    Http(String),
    /// Over the standard input and output of `ssh` to this machine.
    Ssh(SshHost),
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Way::Http(base) => f.write_str(base),
            Way::Ssh(host) => write!(f, "ssh://{host}"),
        }
    }
}

/// Why a URL names no repository at a hub.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HubAddressError {
    /// Not of the form that is needed.
    #[error("`{0}` names no repository at a hub; write https://HOST/NAME or ssh://USER@HOST/NAME, without `?`")]
    Form(String),
    /// Not of the form of a hub.
    #[error("`{0}` names no hub; write https://HOST or ssh://USER@HOST/NAME, without `?`")]
    NoHub(String),
    /// A password in the URL.
    #[error("a URL ends up in logs and lists of processes and must hold no password; put the hub's token into a file for --token-file")]
    Secret,
    /// The name of a repository.
    #[error("`{0}` cannot be a repository at a hub: names are 1 to 64 of a-z, 0-9, `.`, `_` and `-`, and begin with a letter or digit")]
    Name(String),
    /// Tokens and backups would be read on the way.
    #[error(
        "http://{0} would show the token to everybody on the way; use https:// or ssh://, or add --allow-plain-http if the line is protected otherwise, such as by WireGuard"
    )]
    Plain(String),
}

/// Whether a repository, a host or a token may be called so: it is safe as a file name and in a path everywhere.
pub fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=64).contains(&name.len())
        && name.bytes().next().is_some_and(plain)
        && name.bytes().all(|byte| plain(byte) || matches!(byte, b'.' | b'_' | b'-'))
}

impl HubAddress {
    /// Reads a URL whose scheme is `https`, `http` or `ssh`. Plain HTTP leads to this machine only, unless it is allowed.
    ///
    /// # Errors
    /// If it names no repository.
    pub fn parse(scheme: &str, rest: &str, plain: bool) -> Result<Self, HubAddressError> {
        let form = || HubAddressError::Form(format!("{scheme}://{}", rest.rsplit_once('@').map_or(rest, |(_, rest)| rest)));
        let trimmed = rest.trim_end_matches('/');
        let (before, repository) = trimmed.rsplit_once('/').ok_or_else(form)?;
        if rest.contains(['?', '#']) || before.is_empty() {
            return Err(form());
        }
        if !is_name(repository) {
            return Err(HubAddressError::Name(repository.to_owned()));
        }
        let repository = repository.to_owned();
        if scheme == "ssh" {
            let host = before.parse().map_err(|error| if error == SshHostError::Password { HubAddressError::Secret } else { form() })?;
            return if before.contains('/') { Err(form()) } else { Ok(Self { way: Way::Ssh(host), repository }) };
        }
        let uri: Uri = format!("{scheme}://{before}/").parse().map_err(|_| form())?;
        let authority = uri.authority().ok_or_else(form)?;
        if authority.as_str().contains('@') {
            return Err(HubAddressError::Secret);
        }
        if scheme == "http" && !plain && !is_loopback(authority.host()) {
            return Err(HubAddressError::Plain(authority.host().to_owned()));
        }
        Ok(Self { way: Way::Http(format!("{scheme}://{before}")), repository })
    }
}

impl Way {
    /// Reads where a hub is: `https://HUB`, whatever repository is meant there, or `ssh://USER@HUB/NAME`, where there is only one. That is
    /// returned too.
    ///
    /// # Errors
    /// If it names no hub.
    pub fn parse(url: &str, plain: bool) -> Result<(Self, Option<String>), HubAddressError> {
        let form = || HubAddressError::NoHub(url.rsplit_once('@').map_or(url, |(_, rest)| rest).to_owned());
        let (scheme, rest) = url.split_once("://").ok_or_else(form)?;
        match scheme {
            "ssh" => {
                let HubAddress { way, repository } = HubAddress::parse(scheme, rest, plain)?;
                Ok((way, Some(repository)))
            }
            // What holds for a repository there holds for the hub.
            "https" | "http" => match HubAddress::parse(scheme, &format!("{}/hub", rest.trim_end_matches('/')), plain) {
                Ok(HubAddress { way, .. }) => Ok((way, None)),
                Err(HubAddressError::Form(_) | HubAddressError::Name(_)) => Err(form()),
                Err(error) => Err(error),
            },
            _ => Err(form()),
        }
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl fmt::Display for HubAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.way, self.repository)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<HubAddress, HubAddressError> {
        let (scheme, rest) = url.split_once("://").unwrap();
        HubAddress::parse(scheme, rest, false)
    }

    #[test]
    fn urls_are_read_and_shown_again() {
        for url in [
            "https://hub/home",
            "https://hub:8420/backup/home",
            "http://127.0.0.1:8420/a.b-c_1",
            "http://[::1]:1/a",
            "ssh://me@hub:22/x",
            "ssh://nas/x",
        ] {
            assert_eq!(parse(url).unwrap().to_string(), url);
        }
        assert_eq!(parse("https://hub/home/").unwrap().to_string(), "https://hub/home");
    }

    #[test]
    fn what_names_no_repository_is_refused_with_what_to_write() {
        for url in ["https://hub", "https://hub/", "https:///home", "https://hub/home?x=1", "ssh://hub/a/b", "ssh://hub", "ssh://-oX/a"] {
            assert!(matches!(parse(url), Err(HubAddressError::Form(_))), "{url}: {:?}", parse(url));
        }
        for url in ["https://hub/..", "https://hub/A", "https://hub/a%2fb", "https://hub/-a", "https://hub/.a"] {
            assert!(matches!(parse(url), Err(HubAddressError::Name(_))), "{url}");
        }
    }

    #[test]
    fn a_hub_is_named_with_and_without_a_repository() {
        let shown = |url| Way::parse(url, false).map(|(way, repository)| (way.to_string(), repository));
        assert_eq!(shown("https://hub:8420/backup/"), Ok(("https://hub:8420/backup".to_owned(), None)));
        assert_eq!(shown("ssh://me@hub/nas"), Ok(("ssh://me@hub".to_owned(), Some("nas".to_owned()))));
        for url in ["hub", "https://", "https:///", "sftp://hub/nas", "https://hub?x=1", "ssh://hub"] {
            assert!(Way::parse(url, false).is_err(), "{url}");
        }
        assert!(matches!(Way::parse("http://hub.lan", false), Err(HubAddressError::Plain(_))));
        assert_eq!(Way::parse("https://me:secret@hub", false), Err(HubAddressError::Secret));
    }

    #[test]
    fn nothing_secret_is_in_a_url_or_goes_over_a_plain_line() {
        for url in ["https://me:secret@hub/home", "ssh://me:secret@hub/home"] {
            assert_eq!(parse(url), Err(HubAddressError::Secret));
        }
        assert!(matches!(parse("http://hub.lan/home"), Err(HubAddressError::Plain(_))));
        assert!(HubAddress::parse("http", "hub.lan/home", true).is_ok());
    }
}
